//! A virtual machine with one of Debian's other kernels: it runs a script in a tree of this host's own programs, says
//! what that says, and brings back what it made.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{find, run, stdout_of, text_of};
use crate::require::{host_script, tool};
use crate::supervise::{Supervised, process_folder};
use crate::workload::busybox_path;

/// The kernels that are tried unless `$BLUBR_KERNELS` names others: beginnings of versions. The newest that there is stays
/// for those who ask: emulated, it passes probes over now and then (a preemption before they can keep that off), which
/// the log counts as lost and the suites do not forgive.
pub const KERNELS: [&str; 3] = ["5.10", "6.1", "6.12"];
/// The newest kernel there is, by that name.
pub const NEWEST: &str = "newest";

/// Bytes of its disk, sparse: what the tests write is far less.
const DISK_BYTES: u64 = 2 << 30;
/// Bytes of what it brings back at most.
const OUT_BYTES: u64 = 512 << 20;
/// How often its serial line is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// What its last line begins with; the script's exit status follows.
const ENDED: &str = "blubr-vm: ended ";

/// Loads what finds the disk, in the order in which they need each other, and goes on there.
const INITRD_INIT: &str = "#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk overlay loop; do
  [ ! -e /modules/$module.ko ] || /bin/busybox insmod /modules/$module.ko
done
/bin/busybox mount -t ext4 /dev/vda /root
exec /bin/busybox switch_root /root /blubr/busybox sh /blubr/init
";

/// Makes a small system of the tree, and becomes the program that the tree names as its first, or runs the script itself.
const INIT: &str = "b=/blubr/busybox
$b mount -t proc none /proc
$b mount -t sysfs none /sys
$b mount -t devtmpfs none /dev
$b mkdir -p /dev/shm /dev/pts
$b mount -t tmpfs none /dev/shm
$b mount -t devpts none /dev/pts
$b mount -t tmpfs none /tmp
$b mount -t tmpfs none /run
$b mount -t cgroup2 none /sys/fs/cgroup
$b ip link set lo up
# Somewhere to send to: nothing leaves the machine.
$b ip route add default dev lo
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
[ ! -e /blubr/first ] || exec $($b cat /blubr/first)
exec $b sh /blubr/run
";

/// Runs the script, and packs up what it left.
const RUN: &str = "b=/blubr/busybox
cd /blubr/out
/bin/bash /blubr/script </dev/null >/dev/ttyS0 2>&1
status=$?
$b tar cf /dev/vdb .
$b sync
echo \"blubr-vm: ended $status\" >/dev/ttyS0
$b poweroff -f
";

/// The first process of a machine that runs a unit.
const SYSTEMD: &str = "/usr/lib/systemd/systemd";
/// What it starts services by, since 255.
const EXECUTOR: &str = "/usr/lib/systemd/systemd-executor";
/// What a service's unit waits for, and what ends them.
const UNITS: &str = "basic.target sysinit.target local-fs.target local-fs-pre.target swap.target paths.target slices.target \
    sockets.target timers.target shutdown.target umount.target final.target emergency.target";
/// Runs the script when all else is up.
const SCRIPT_UNIT: &str = "[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/blubr/busybox sh /blubr/run
";

/// A kernel that `tests/host/unpack-kernel` has put beside `$BLUBR_TOOLS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    folder: PathBuf,
    /// What `uname -r` says.
    pub release: String,
}

impl Kernel {
    /// The kernel of this name, if it is there.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let tools = PathBuf::from(std::env::var_os("BLUBR_TOOLS")?);
        let folder = tools.parent()?.join("kernels").join(name);
        let release = fs::read_to_string(folder.join("release")).ok()?.trim().to_owned();
        folder.join("vmlinuz").is_file().then_some(Self { folder, release })
    }
}

/// Whether `$BLUBR_KERNELS` (comma-separated) asks for it, or nothing in particular and it is one of [`KERNELS`].
#[must_use]
pub fn is_asked_for(name: &str) -> bool {
    let asked = std::env::var("BLUBR_KERNELS").unwrap_or_default();
    match asked.as_str() {
        "" => KERNELS.contains(&name),
        some => some.split(',').any(|word| word.trim() == name),
    }
}

/// QEMU's PC: installed, or unpacked beside `$BLUBR_TOOLS`.
#[must_use]
pub fn qemu() -> Option<PathBuf> {
    const PROGRAM: &str = "qemu-system-x86_64";
    let tools = std::env::var_os("BLUBR_TOOLS").map(PathBuf::from);
    let aside = tools.and_then(|tools| Some(tools.parent()?.join("qemu/bin").join(PROGRAM)));
    aside.filter(|path| path.is_file()).or_else(|| find(PROGRAM))
}

/// What a virtual machine has on its disk, in a folder that goes with the test process.
#[derive(Debug)]
pub struct Tree {
    folder: PathBuf,
}

impl Tree {
    /// One with an `/etc` of its own, empty folders where things are mounted, and busybox in `/blubr`.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("vm.").tempdir_in(process_folder());
        let tree = Self { folder: folder.expect("a folder").keep() };
        for name in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "proc", "sys", "dev"] {
            tree.make_folder(name);
        }
        for name in ["tmp", "run", "var/tmp", "root", "blubr/out", "blubr/bin"] {
            tree.make_folder(name);
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            // As Debian has them since 12 at the latest: programs are copied to where they really are.
            symlink(format!("usr/{name}"), tree.at(&format!("/{name}"))).expect("the tree is writable");
        }
        tree.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        tree.text("/etc/group", "root:x:0:\n");
        tree.text("/etc/hostname", "blubr-vm\n");
        tree.text("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
        tree.text("/blubr/init", INIT);
        tree.text("/blubr/run", RUN);
        tree.file(&busybox_path(), "/blubr/busybox");
        tree
    }

    /// Where a path of the machine's lies here.
    #[must_use]
    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }

    fn make_folder(&self, name: &str) {
        fs::create_dir_all(self.at(name)).expect("the tree is writable");
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn text(&self, path: &str, text: &str) {
        let to = self.at(path);
        fs::create_dir_all(to.parent().expect("a file is in a folder")).expect("the tree is writable");
        fs::write(to, text).expect("the tree is writable");
    }

    /// Copies a file, which must stand on its own: a static program, data.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn file(&self, from: &Path, path: &str) {
        let to = self.at(path);
        fs::create_dir_all(to.parent().expect("a file is in a folder")).expect("the tree is writable");
        fs::copy(from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }

    /// Copies a folder with all that is in it, to the same place.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn folder(&self, from: &Path) {
        let to = self.at(&from.display().to_string());
        self.make_folder(&from.parent().expect("not the root").display().to_string());
        drop(stdout_of(Command::new("cp").arg("-a").arg("-T").arg(from).arg(to)));
    }

    /// Copies programs of this host and the libraries that they need, each to where it is here.
    ///
    /// # Panics
    /// When one is not installed, or cannot be copied.
    pub fn programs(&self, names: &[&str]) {
        let mut files = BTreeSet::new();
        for name in names {
            let program = find(name).unwrap_or_else(|| panic!("{name}: not installed"));
            files.extend(needed_by(&program));
            files.insert(program);
        }
        for file in files {
            self.as_here(&file);
        }
    }

    /// Copies files of this host that are in no folder of programs, and the libraries that they need, each to where it is here.
    pub fn files_as_here(&self, paths: &[&str]) {
        for path in paths.iter().map(Path::new) {
            needed_by(path)
                .iter()
                .map(PathBuf::as_path)
                .chain([path])
                .for_each(|file| self.as_here(file));
        }
    }

    /// Makes systemd the machine's first process, without a journal, and with no other unit than one that runs the script.
    pub fn boots_systemd(&self) {
        let there = |path: &&str| Path::new(path).is_file();
        self.files_as_here(&[SYSTEMD, EXECUTOR].into_iter().filter(there).collect::<Vec<_>>());
        self.programs(&["systemctl", "systemd-analyze"]);
        for unit in UNITS.split_whitespace() {
            self.as_here(&Path::new("/usr/lib/systemd/system").join(unit));
        }
        self.text("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        self.text(
            "/etc/systemd/system/default.target",
            "[Unit]\nRequires=basic.target\nWants=script.service\n",
        );
        self.text("/etc/systemd/system/script.service", SCRIPT_UNIT);
        self.text("/blubr/first", SYSTEMD);
    }

    /// Copies a file to where it really is, and the symlinks that lead to it.
    fn as_here(&self, file: &Path) {
        let folder = file.parent().and_then(|parent| fs::canonicalize(parent).ok());
        let (Some(folder), Some(name)) = (folder, file.file_name()) else { return };
        let here = folder.join(name);
        let to = self.at(&here.display().to_string());
        if to.symlink_metadata().is_ok() {
            return;
        }
        self.make_folder(&folder.display().to_string());
        match fs::read_link(&here) {
            Ok(target) => {
                symlink(&target, &to).expect("the tree is writable");
                self.as_here(&folder.join(target));
            }
            Err(_) => {
                fs::copy(&here, &to).unwrap_or_else(|error| panic!("{}: {error}", here.display()));
            }
        }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

/// The shared libraries of a program, as ldd names them: none of a static one.
fn needed_by(program: &Path) -> Vec<PathBuf> {
    let output = run(Command::new("ldd").arg(program));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    words.map(|word| PathBuf::from(word.trim_end_matches(':'))).collect()
}

/// What became of a script in a virtual machine.
#[derive(Debug)]
pub struct Ran {
    /// All that came over its serial line: the kernel's words, and the script's.
    pub serial: String,
    /// The script's exit status; none where the machine did not get so far in time.
    pub status: Option<i32>,
    /// What it left in its working directory.
    pub out: PathBuf,
}

/// Boots a machine with this kernel and tree, and runs a script as root until it ends or the time is over.
///
/// # Panics
/// When the machine cannot be made.
#[must_use]
pub fn run_script(kernel: &Kernel, tree: &Tree, script: &str, limit: Duration) -> Ran {
    tree.text("/blubr/script", script);
    let folder = tempfile::Builder::new().prefix("machine.").tempdir_in(process_folder());
    let folder = folder.expect("a folder").keep();
    let (disk, out, initrd) = (folder.join("disk"), folder.join("out.tar"), folder.join("initrd"));
    make_disk(tree, &disk);
    fs::File::create(&out).and_then(|file| file.set_len(OUT_BYTES)).expect("the folder is writable");
    make_initrd(kernel, &folder.join("initrd.d"), &initrd);

    let serial = folder.join("serial");
    let machine = command(kernel, &initrd, &[&disk, &out], &serial);
    let log = fs::File::create(folder.join("qemu.log")).expect("the folder is writable");
    // Its folder is removed with the process's own, after it was read.
    let nothing = folder.join("nothing");
    let running = Supervised::start(&machine, nothing.as_os_str(), log);
    let deadline = Instant::now() + limit;
    let mut status = None;
    let mut text = String::new();
    let mut gone = false;
    while status.is_none() && !gone && Instant::now() < deadline {
        std::thread::sleep(LOOK);
        gone = is_gone(&serial.with_extension("pid"));
        text = String::from_utf8_lossy(&fs::read(&serial).unwrap_or_default()).into_owned();
        status = ended(&text);
        if text.contains("Kernel panic") {
            break;
        }
    }
    drop(running);
    let said = fs::read_to_string(folder.join("qemu.log")).unwrap_or_default();
    let serial = format!("{said}{}", text.replace('\r', ""));
    let made = folder.join("out");
    fs::create_dir(&made).expect("the folder is writable");
    if status.is_some() {
        drop(stdout_of(Command::new("tar").arg("-xf").arg(&out).arg("-C").arg(&made)));
    }
    for large in [disk, out, initrd] {
        fs::remove_file(large).expect("the folder is ours");
    }
    Ran { serial, status, out: made }
}

/// Whether QEMU has ended: its own file with its process id is there, and the process isn't.
fn is_gone(pid: &Path) -> bool {
    let pid = fs::read_to_string(pid).ok().and_then(|text| text.trim().parse::<u32>().ok());
    pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

/// The script's exit status, where the machine has said it.
fn ended(serial: &str) -> Option<i32> {
    let line = serial.lines().find_map(|line| line.strip_prefix(ENDED))?;
    line.trim().parse().ok()
}

/// QEMU's command line. KVM is never used: what a test says must not depend on where it ran.
fn command(kernel: &Kernel, initrd: &Path, disks: &[&Path], serial: &Path) -> Command {
    let mut command = Command::new("nice");
    command.arg(qemu().expect("a test asks for QEMU first"));
    // Where each CPU has a thread of its own, QEMU 7.2 runs what the kernel has just patched (int3 of text_poke_bp) once more
    // now and then: 7.3 panicked of it.
    let accelerator = if kernel.folder.ends_with(NEWEST) { "tcg,thread=single" } else { "tcg" };
    // Without -cx16 QEMU 7.2 brings down kernel 6.12 in most boots.
    command.args(["-M", "q35", "-accel", accelerator, "-cpu", "max,-cx16", "-smp", "2", "-m", "1536"]);
    command.args(["-nodefaults", "-no-reboot", "-display", "none"]);
    command.arg("-serial").arg(format!("file:{}", serial.display()));
    command.arg("-pidfile").arg(serial.with_extension("pid"));
    command.arg("-kernel").arg(kernel.folder.join("vmlinuz")).arg("-initrd").arg(initrd);
    command.args(["-append", "console=ttyS0 quiet panic=-1"]);
    for disk in disks {
        let drive = format!("file={},format=raw,if=virtio,cache=unsafe", disk.display());
        command.arg("-drive").arg(drive);
    }
    command
}

/// An ext4 file system of the tree, with what the oldest kernel knows of it.
fn make_disk(tree: &Tree, disk: &Path) {
    fs::File::create(disk).and_then(|file| file.set_len(DISK_BYTES)).expect("the folder is writable");
    let mke2fs = find("mke2fs").expect("a test asks for mke2fs first");
    let features = "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,\
                    huge_file,dir_nlink,extra_isize";
    let mut make = Command::new(mke2fs);
    make.args(["-q", "-F", "-t", "ext4", "-I", "256", "-O", features, "-d"]);
    drop(stdout_of(make.arg(&tree.folder).arg(disk)));
}

/// The first file system: busybox, and the modules that find the disk.
fn make_initrd(kernel: &Kernel, folder: &Path, initrd: &Path) {
    for name in ["bin", "dev", "root", "modules"] {
        fs::create_dir_all(folder.join(name)).expect("the folder is writable");
    }
    let busybox = busybox_path();
    fs::copy(&busybox, folder.join("bin/busybox")).expect("busybox can be copied");
    let modules = fs::read_dir(kernel.folder.join("modules")).expect("the kernel has modules");
    for module in modules {
        let module = module.expect("the kernel's folder can be read");
        let to = folder.join("modules").join(module.file_name());
        fs::copy(module.path(), to).expect("a module can be copied");
    }
    fs::write(folder.join("init"), INITRD_INIT).expect("the folder is writable");
    fs::set_permissions(folder.join("init"), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let list = text_of(Command::new("find").arg(".").current_dir(folder));
    let output = fs::File::create(initrd).expect("the folder is writable");
    let mut pack = Command::new(&busybox)
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .expect("busybox runs");
    let mut stdin = pack.stdin.take().expect("stdin is piped");
    stdin.write_all(list.as_bytes()).expect("cpio reads the list");
    drop(stdin);
    assert!(pack.wait().expect("cpio can be waited for").success(), "busybox cpio failed");
}

/// Static programs for a machine, made by `tests/host/build-static` into `$BLUBR_STATIC`.
#[must_use]
pub fn static_program(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("BLUBR_STATIC")?);
    Some(folder.join(name)).filter(|path| path.is_file())
}

/// What is missing for a virtual machine, if anything.
#[must_use]
pub fn missing() -> Option<String> {
    if qemu().is_none() {
        return Some("qemu-system-x86_64 not installed: make test-kernels".to_owned());
    }
    let lacks = ["mke2fs", "ldd", "nice"].into_iter().find(|program| find(program).is_none());
    lacks
        .map(|program| format!("{program} not installed"))
        .or_else(|| tool("busybox-static").is_none().then(|| "no static busybox: make setup".to_owned()))
}

/// What is missing of systemd, if anything.
#[must_use]
pub fn systemd_missing() -> Option<String> {
    (!Path::new(SYSTEMD).is_file()).then(|| format!("no {SYSTEMD}: make test-kernels"))
}

/// What is missing of the kernels and of what runs on them, if anything.
#[must_use]
pub fn kernels_missing() -> Option<String> {
    if ["blubr-record", "events"].iter().any(|name| static_program(name).is_none()) {
        return Some("no static programs in $BLUBR_STATIC: make test-kernels".to_owned());
    }
    let asked = KERNELS.into_iter().chain([NEWEST]).filter(|name| is_asked_for(name));
    let absent = asked.into_iter().find(|name| Kernel::find(name).is_none())?;
    let script = host_script("unpack-kernel");
    Some(format!("kernel {absent} is not there: {} {absent} FOLDER", script.display()))
}
