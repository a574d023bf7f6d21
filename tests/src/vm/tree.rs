//! What a virtual machine has on its disk: programs of this host with their libraries, and what runs when it has booted.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{find, run, stdout_of};
use crate::supervise::process_folder;
use crate::workload::busybox_path;

/// Makes a small system of the tree, says that the kernel is up, and becomes the program that the tree names as its first, or
/// runs the script itself.
const INIT: &str = "b=/blubr/busybox
$b mount -t proc none /proc
$b mount -t sysfs none /sys
$b mount -t devtmpfs none /dev
$b echo 'blubr-vm: begun' >/dev/ttyS0
$b mkdir -p /dev/shm /dev/pts
$b mount -t tmpfs none /dev/shm
$b mount -t devpts none /dev/pts
$b mount -t tmpfs none /tmp
$b mount -t tmpfs none /run
$b mount -t cgroup2 none /sys/fs/cgroup
# As systemd does.
$b mount -t tracefs none /sys/kernel/tracing
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
pub(super) const SYSTEMD: &str = "/usr/lib/systemd/systemd";
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

    /// The folder here that has what the machine finds at its root.
    pub(super) fn folder_here(&self) -> &Path {
        &self.folder
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
