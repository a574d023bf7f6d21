//! Logs of synthetic events: what an engine, its client and its containers leave, an event a line.

use std::collections::HashSet;

use blubr_dockerfile::Dockerfile;
use blubr_log::{LineKind, Reader};

use crate::{Builds, Finder, Membership, Place};

const HEADER: &str = r#"{"type":"header","schema":"blubr.log/1","tool":{"name":"t","version":"0"},"started":"2026-11-24T12:00:00.000000000Z","host":{"kernel":"6","arch":"x86_64","boot_id":"b","machine_id_hash":null,"cgroup":"v2","resolvers":[]},"backend":"t","hooks":[],"not_covered":[],"scope":"host"}"#;

/// A log that grows by an event a line.
pub(super) struct Log {
    pub(super) text: String,
    seq: u64,
}

/// Who an event is of: pid, parent, user id, control group, mount namespace.
#[derive(Clone, Copy)]
pub(super) struct Who(pub(super) u32, pub(super) u32, pub(super) u32, pub(super) u64, pub(super) u32);

pub(super) const DAEMON: Who = Who(10, 1, 0, 1, 1);
pub(super) const CLIENT: Who = Who(20, 5, 1000, 1, 1);
pub(super) const STRANGER: Who = Who(30, 5, 1000, 1, 1);

/// How a RUN goes.
#[derive(Default)]
struct Run {
    code: u32,
    killed: bool,
    /// It does not end.
    goes_on: bool,
    mounted: Option<u32>,
    unshares: bool,
    /// Its mount namespace, where that is not `n`.
    mntns: Option<u32>,
}

impl Log {
    pub(super) fn new() -> Self {
        Log { text: format!("{HEADER}\n"), seq: 0 }
    }

    /// A log in which an engine is there, and a client has asked it for a build.
    pub(super) fn begun() -> Self {
        Log::begun_by(CLIENT)
    }

    pub(super) fn begun_by(client: Who) -> Self {
        let mut log = Log::new();
        log.add(DAEMON, "process.exists", r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#);
        log.asks(client);
        log
    }

    /// An event of a process's first thread; `own` are its own keys and its tail. Gives its number.
    pub(super) fn add(&mut self, who: Who, kind: &str, own: &str) -> u64 {
        self.add_by(who, who.0, kind, own)
    }

    /// An event of one thread of a process.
    pub(super) fn add_by(&mut self, who: Who, tid: u32, kind: &str, own: &str) -> u64 {
        let Who(pid, ppid, uid, cgroup, mntns) = who;
        self.seq += 1;
        let comma = if own.is_empty() { "" } else { "," };
        self.text.push_str(&format!(
            r#"{{"seq":{},"time":"2026-11-24T12:00:00.{:09}Z","type":"{kind}","pid":{pid},"tid":{tid},"start":{pid}0,"ppid":{ppid},"comm":"x","uid":{uid},"cgroup":"/g{cgroup}","cgroup_id":{cgroup},"mntns":{mntns}{comma}{own}}}"#,
            self.seq, self.seq
        ));
        self.text.push('\n');
        self.seq
    }

    pub(super) fn exec(&mut self, who: Who, argv: &[&str]) -> u64 {
        let argv: Vec<String> = argv.iter().map(|word| format!("{word:?}")).collect();
        self.add(
            who,
            "process.exec",
            &format!(r#""exe":"/bin/x","argv":[{}],"cwd":"/","gid":0"#, argv.join(",")),
        )
    }

    pub(super) fn fork(&mut self, who: Who, child: Who) {
        self.add(who, "process.fork", &format!(r#""child_pid":{},"child_start":{}0"#, child.0, child.0));
    }

    /// One RUN as BuildKit does it, in a namespace of any number.
    pub(super) fn run_in(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str], mntns: u32) {
        self.run_as(daemon, n, lowers, argv, &Run { mntns: Some(mntns), ..Run::default() });
    }

    /// One in a container with control group and namespace `n`.
    pub(super) fn run(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str]) {
        self.run_as(daemon, n, lowers, argv, &Run::default());
    }

    /// One that fails.
    pub(super) fn run_ending(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str], code: u32) {
        self.run_as(daemon, n, lowers, argv, &Run { code, ..Run::default() });
    }

    /// One that is killed.
    pub(super) fn run_killed(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str]) {
        self.run_as(daemon, n, lowers, argv, &Run { killed: true, ..Run::default() });
    }

    /// One that is not seen to end.
    pub(super) fn run_going_on(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str]) {
        self.run_as(daemon, n, lowers, argv, &Run { goes_on: true, ..Run::default() });
    }

    /// What a filter keeps of the log for its first build.
    pub(super) fn kept(&self) -> Log {
        let mut membership = Membership::new(&self.builds(), 1).unwrap();
        let mut kept = HashSet::new();
        self.each(|event| {
            if membership.classify(event) != Place::Outside {
                kept.insert(event.head.seq);
            }
        });
        self.only(&kept)
    }

    /// The log with only these events.
    pub(super) fn only(&self, seqs: &HashSet<u64>) -> Log {
        let mut kept = Log::new();
        let header = self.text.lines().next().unwrap();
        let filters = r#","filters":[{"tool":"t","args":["--build"]}]}"#;
        kept.text = format!("{}{filters}\n", header.strip_suffix('}').unwrap());
        let mut lines = self.text.lines().skip(1);
        self.each(|event| {
            let line = lines.next().unwrap();
            if seqs.contains(&event.head.seq) {
                kept.text.push_str(&format!("{line}\n"));
            }
        });
        kept
    }

    /// Gives a directory of the log another name.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.text = self.text.replace(from, to);
    }

    /// One with what another step left mounted into it.
    pub(super) fn run_with(
        &mut self,
        daemon: Who,
        n: u32,
        lowers: &[u32],
        argv: &[&str],
        mounted: Option<u32>,
    ) {
        self.run_as(daemon, n, lowers, argv, &Run { mounted, ..Run::default() });
    }

    /// One whose runtime makes the mount namespace before it enters the tree.
    pub(super) fn run_unsharing(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str]) {
        self.run_as(daemon, n, lowers, argv, &Run { unshares: true, ..Run::default() });
    }

    pub(super) fn overlay(&mut self, daemon: Who, n: u32, lowers: &[u32]) {
        let dir = |n: u32| format!("/s/overlay2/{n}/diff");
        let lowers: Vec<String> = lowers.iter().map(|n| format!("\"{}\"", dir(*n))).collect();
        self.add(
            daemon,
            "mount.mount",
            &format!(
                r#""source":"overlay","target":"/s/overlay2/{n}/merged","fstype":"overlay","flags":[],"lower":[{}],"upper":"{}","work":"/s/overlay2/{n}/work","ret":0"#,
                lowers.join(","),
                dir(n)
            ),
        );
    }

    fn run_as(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str], how: &Run) {
        self.overlay(daemon, n, lowers);
        self.add(
            daemon,
            "mount.mount",
            &format!(
                r#""source":"/s/overlay2/{n}/merged","target":"/x/{n}/rootfs","flags":["bind"],"ret":0"#
            ),
        );
        let runtime = Who(n * 10, daemon.0, daemon.2, daemon.3, daemon.4);
        let init = Who(n * 10 + 1, n * 10, daemon.2, u64::from(n), how.mntns.unwrap_or(n));
        self.fork(daemon, runtime);
        self.exec(runtime, &["runc", "run"]);
        self.fork(runtime, init);
        if how.unshares {
            self.add(init, "ns.unshare", r#""namespaces":["mnt"],"ret":0"#);
        }
        let place = format!(r#""path":"/x/{n}/rootfs/dev","mode":"path","ret":6"#);
        self.add(init, "file.open", &place);
        let mount = r#""source":"tmpfs","target":"/proc/self/fd/6","fstype":"tmpfs","flags":[],"path_from":"user","ret":0"#;
        self.add(init, "mount.mount", mount);
        if let Some(other) = how.mounted {
            self.overlay(daemon, other, &[40]);
            let own = format!(
                r#""source":"/s/overlay2/{other}/merged","target":"/proc/self/fd/6","cwd":"/x/{n}/rootfs","flags":["bind"],"ret":0"#
            );
            self.add(init, "mount.mount", &own);
        }
        self.add(init, "mount.pivot_root", &format!(r#""path":"/x/{n}/rootfs","put_old":".","ret":0"#));
        self.exec(init, argv);
        self.add(init, "file.open", r#""path":"/m","mode":"w","create":true,"ret":3"#);
        if how.goes_on {
            return;
        }
        let end =
            if how.killed { r#""signal":9"#.to_owned() } else { format!(r#""code":{}"#, how.code) };
        self.add(init, "process.exit", &end);
        self.add(
            daemon,
            "mount.umount",
            &format!(r#""target":"/s/overlay2/{n}/merged","flags":[],"ret":0"#),
        );
    }

    pub(super) fn client(&mut self) {
        self.asks(CLIENT);
    }

    fn asks(&mut self, client: Who) {
        self.exec(client, &["docker", "build", "."]);
        self.add(client, "unix.connect", r#""path":"/run/docker.sock","ret":0"#);
    }

    pub(super) fn end(&mut self, who: Who) {
        self.add(who, "process.exit", r#""code":0"#);
    }

    pub(super) fn each(&self, mut each: impl FnMut(&blubr_log::Event<'_>)) {
        let mut reader = Reader::new(self.text.as_bytes()).unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            if let LineKind::Event(event) = &line.kind {
                each(event);
            }
        }
    }

    pub(super) fn builds(&self) -> Builds {
        self.builds_with(&[])
    }

    pub(super) fn builds_told(&self, client: crate::ProcessKey, dockerfile: Dockerfile) -> Builds {
        let mut finder = Finder::new(Reader::new(self.text.as_bytes()).unwrap().header());
        finder.told(client, dockerfile);
        self.each(|event| finder.observe(event));
        finder.finish().unwrap()
    }

    pub(super) fn builds_with(&self, lost: &[blubr_log::Lost]) -> Builds {
        let mut finder = Finder::new(Reader::new(self.text.as_bytes()).unwrap().header());
        self.each(|event| finder.observe(event));
        lost.iter().for_each(|lost| finder.lost(lost));
        finder.finish().unwrap()
    }
}

/// A thread of the engine unpacks something in a directory that it makes its own root, as Docker 24 and later does.
pub(super) fn unpack(log: &mut Log, tid: u32, dir: &str, files: &[&str]) -> Vec<u64> {
    let thread = Who(DAEMON.0, DAEMON.1, DAEMON.2, DAEMON.3, 77);
    log.add_by(thread, tid, "ns.unshare", r#""namespaces":["mnt"],"ret":0"#);
    let pivot = format!(r#""path":"{dir}","put_old":".","ret":0"#);
    log.add_by(thread, tid, "mount.pivot_root", &pivot);
    // It lists its root as it goes.
    log.add_by(thread, tid, "file.open", r#""path":"/","mode":"r","size":4096,"ret":3"#);
    let write = |name: &&str| {
        let open = format!(r#""path":"{name}","mode":"w","create":true,"size":0,"ret":3"#);
        let opened = log.add_by(thread, tid, "file.open", &open);
        log.add_by(thread, tid, "file.close", &format!(r#""path":"{name}","size":7"#));
        opened
    };
    files.iter().map(write).collect()
}
