//! A virtual machine with one of Debian's other kernels: it runs a script in a tree of this host's own programs, says
//! what that says, and brings back what it made.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{find, stdout_of, text_of};
use crate::require::{host_script, tool};
use crate::supervise::{Supervised, process_folder};
use crate::workload::busybox_path;

mod tree;

use tree::SYSTEMD;
pub use tree::Tree;

/// The kernels that are tried unless `$BLUBR_KERNELS` names others: beginnings of versions, and the newest there is.
pub const KERNELS: [&str; 4] = ["5.10", "6.1", "6.12", NEWEST];
/// The newest kernel there is, by that name.
pub const NEWEST: &str = "newest";

/// Bytes of its disk, sparse: what the tests write is far less.
const DISK_BYTES: u64 = 2 << 30;
/// Bytes of what it brings back at most.
const OUT_BYTES: u64 = 512 << 20;
/// How often its serial line is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// What a kernel says that gives up.
const PANIC: &str = "Kernel panic";
/// What it says first of all, when its kernel has booted.
const BEGUN: &str = "blubr-vm: begun";
/// How often one that does not get so far is started: QEMU's emulation panics a kernel now and then while that boots.
const BOOTS_MAX: u32 = 3;
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

/// Boots a machine with this kernel and tree, and runs a script as root until it ends or the time is over. A machine whose
/// kernel panics while it boots is started again, which the test's output says.
///
/// # Panics
/// When the machine cannot be made.
#[must_use]
pub fn run_script(kernel: &Kernel, tree: &Tree, script: &str, limit: Duration) -> Ran {
    tree.text("/blubr/script", script);
    for boot in 1..BOOTS_MAX {
        let ran = boot_once(kernel, tree, limit);
        if ran.serial.contains(BEGUN) || !ran.serial.contains(PANIC) {
            return ran;
        }
        eprintln!(
            "kernel {} panicked while it booted, {boot} of {BOOTS_MAX}:\n{}",
            kernel.release, ran.serial
        );
    }
    boot_once(kernel, tree, limit)
}

/// Boots a machine, and has what became of it.
fn boot_once(kernel: &Kernel, tree: &Tree, limit: Duration) -> Ran {
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
        if text.contains(PANIC) {
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
    // With a thread for each CPU, QEMU 7.2 runs what the kernel has just patched (int3 of text_poke_bp) once more now and then:
    // 7.3 panicked of it, and a CPU of 5.10 hung where a static branch had been.
    let accelerator = "tcg,thread=single";
    // Without -cx16 QEMU 7.2 brings down kernel 6.12 in most boots.
    command.args(["-M", "q35", "-accel", accelerator, "-cpu", "max,-cx16", "-smp", "2", "-m", "1536"]);
    command.args(["-nodefaults", "-no-reboot", "-display", "none"]);
    command.arg("-serial").arg(format!("file:{}", serial.display()));
    command.arg("-pidfile").arg(serial.with_extension("pid"));
    command.arg("-kernel").arg(kernel.folder.join("vmlinuz")).arg("-initrd").arg(initrd);
    // What a kernel says of itself is seen, and one that has lost a task or hangs ends: a lock would be held for ever.
    let hangs = "oops=panic softlockup_panic=1 watchdog_thresh=60 panic=-1";
    command.arg("-append").arg(format!("console=ttyS0 loglevel=5 {hangs}"));
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
    drop(stdout_of(make.arg(tree.folder_here()).arg(disk)));
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
    let asked = KERNELS.into_iter().filter(|name| is_asked_for(name));
    let absent = asked.into_iter().find(|name| Kernel::find(name).is_none())?;
    let script = host_script("unpack-kernel");
    Some(format!("kernel {absent} is not there: {} {absent} FOLDER", script.display()))
}
