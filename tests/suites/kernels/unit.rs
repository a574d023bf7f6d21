//! The unit that `make install` puts into place, under systemd as the machine's first process: what it records, and what is
//! left of it when it is killed, stopped and started again.

use std::path::{Path, PathBuf};
use std::process::Command;

use blubr_tests::bins;
use blubr_tests::program::{jq, run, stdout_of, text_of};
use blubr_tests::vm::{Tree, static_program};

const UNIT: &str = include_str!("../../../packaging/blubr-record.service.in");

/// Parts so small that some come and the oldest go; how, the unit says itself.
const SMALL: &str = "[Service]\nEnvironment=BLUBR_ROTATE=64K BLUBR_KEEP=256K\n";

/// What it says goes into a file: the machine has no journal.
const SAID: &str = "[Service]\nStandardError=append:/blubr/out/said\n";

/// The overlay's directories are named from the mounting process's own root and working directory, where only /proc leads.
const SCRIPT: &str = "set -e
trap '[ $? -eq 0 ] || { cat said; systemctl status --no-pager blubr-record; }' EXIT
export PATH=/blubr/bin:$PATH
mkdir -p lower upper work merged
await() { for i in $(seq 600); do ! eval \"$1\" || return 0; sleep 0.1; done; echo \"in vain: $1\"; exit 1; }
logs=/var/log/blubr
blubr-record -o plain.ndjson -- mkdir /root/plain
systemd-analyze --man=no verify /usr/lib/systemd/system/blubr-record.service
systemd-analyze --no-pager security blubr-record.service | tail -n 1
systemctl start blubr-record
mkdir /root/first
pid=$(systemctl show -P MainPID blubr-record)
mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work merged; umount merged
stat -c '%a %U' $logs $logs/* > modes
grep -h '^Cap\\|^NoNewPrivs\\|^Seccomp:' /proc/$pid/task/*/status > rights
sleep 6
kill -KILL $pid
await '[ $(systemctl show -P NRestarts blubr-record) = 1 ]'
await 'systemctl --quiet is-active blubr-record'
mkdir /root/second
systemctl show -P NRestarts blubr-record > restarts
systemctl stop blubr-record
systemctl show -p Result -p ExecMainStatus -p ActiveState blubr-record > stopped
cp -a $logs first
cp /blubr/small.conf /etc/systemd/system/blubr-record.service.d/
systemctl daemon-reload
systemctl start blubr-record
for i in $(seq 30000); do : > /root/again; done
systemctl stop blubr-record
cp -a $logs small
";

/// Puts the unit and what it starts where an installation has them.
pub fn prepare(tree: &Tree) {
    tree.boots_systemd();
    tree.file(&static_program("blubr-record").unwrap(), "/usr/bin/blubr-record");
    let unit = UNIT.replace("@BINDIR@", "/usr/bin");
    tree.text("/usr/lib/systemd/system/blubr-record.service", &unit);
    tree.text("/etc/systemd/system/blubr-record.service.d/said.conf", SAID);
    tree.text("/blubr/small.conf", SMALL);
}

/// What the machine runs.
pub fn script() -> &'static str {
    SCRIPT
}

/// A log as lines without compression, and what blubr-filter says of it.
fn plain(log: &Path) -> (PathBuf, String) {
    let to = log.with_extension("lines");
    let output = run(bins::command("blubr-filter").arg("--type=*").arg("-o").arg(&to).arg(log));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    (to, said)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Looks at what the machine left.
pub fn check(out: &Path) {
    rights(out);
    killed_and_stopped(out);
    parts(out);
}

/// Only root reads the logs, the unit's confinement held, and it hid nothing from the recorder.
fn rights(out: &Path) {
    let modes = text(&out.join("modes"));
    let (folder, files) = modes.split_once('\n').unwrap();
    assert_eq!(folder, "700 root", "{modes}");
    assert!(!files.is_empty() && files.lines().all(|file| file == "600 root"), "{modes}");
    let rights = text(&out.join("rights"));
    let all = |field: &str, value: &str| {
        let mut lines = rights.lines().filter_map(|line| line.strip_prefix(field)).peekable();
        lines.peek().is_some() && lines.all(|line| line.trim() == value)
    };
    assert!(all("NoNewPrivs:", "1") && all("Seccomp:", "2"), "{rights}");
    let (first, _) = plain(&out.join("first/host.000001.ndjson.zst.partial"));
    let coverage = "select(.type == \"header\") | (.host | tojson), ((.hooks, .not_covered)[] | tojson)";
    let (confined, free) = (jq(coverage, &first), jq(coverage, &out.join("plain.ndjson")));
    let differ: Vec<_> =
        confined.lines().filter(|line| !free.lines().any(|other| other == *line)).collect();
    assert_eq!((differ, confined.len()), (vec![], free.len()));
    let mount =
        "select(.type == \"mount.mount\" and .fstype == \"overlay\") | [.lower[0], .upper, .ret] | @csv";
    assert_eq!(jq(mount, &first), "\"/blubr/out/lower\",\"/blubr/out/upper\",0");
    // What was mounted before, as the host sees it: the unit has a mount namespace of its own.
    let host = jq("select(.type == \"process.exists\" and .pid == 1) | .mntns", &first);
    let mounts = format!("select(.type == \"mount.exists\" and .mntns == {host}) | .target");
    assert_eq!(jq(&mounts, &first), jq(&mounts, &out.join("plain.ndjson")));
}

/// A recorder that was killed is started again and leaves what it had; one that is stopped ends its log.
fn killed_and_stopped(out: &Path) {
    let made = "select(.type == \"file.mkdir\" and .comm == \"mkdir\") | .path";
    let (first, said) = plain(&out.join("first/host.000001.ndjson.zst.partial"));
    assert!(said.contains("cut off"), "{said}");
    assert!(jq(made, &first).lines().any(|path| path == "/root/first"), "{}", jq(made, &first));
    assert_eq!(text(&out.join("restarts")).trim(), "1");
    let (second, said) = plain(&out.join("first/host.000002.ndjson.zst"));
    assert_eq!(said, "");
    assert_eq!(jq(made, &second), "/root/second");
    assert_eq!(
        jq("select(.type == \"trailer\") | [.lost, .sources[0].complete] | @csv", &second),
        "0,true"
    );
    let stopped = text(&out.join("stopped"));
    assert_eq!(stopped, "Result=success\nExecMainStatus=0\nActiveState=inactive\n");
}

/// Parts of the size and number that the unit was told, each behind the one before.
fn parts(out: &Path) {
    let folder = out.join("small");
    let names = text_of(Command::new("sh").args(["-c", "ls"]).current_dir(&folder));
    let names: Vec<_> = names.lines().collect();
    assert!(names.len() > 2 && names.iter().all(|name| name.ends_with(".ndjson.zst")), "{names:?}");
    assert!(names[0] > "host.000003.ndjson.zst", "the oldest, and what was killed, are gone: {names:?}");
    let size = |name: &&str| folder.join(name).metadata().unwrap().len();
    let before: u64 = names.iter().rev().skip(1).map(size).sum();
    assert!(before <= 256 << 10, "{before} bytes in {names:?}");
    let all = out.join("all.ndjson.zst");
    drop(stdout_of(Command::new("sh").args(["-c", "cat small/* >all.ndjson.zst"]).current_dir(out)));
    let (all, said) = plain(&all);
    assert_eq!(said, "");
    let opened = jq("select(.type == \"file.open\" and .path == \"/root/again\") | .create", &all);
    assert!(opened.lines().count() > 1000, "{}", opened.lines().count());
}
