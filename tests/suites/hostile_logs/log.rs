//! Writes a log of one small build into whose middle any number of further events is put.

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use blubr_log::{Header, Hook, Host, Lost, Time, Tool, Writer};

/// Who an event is of: pid, parent, user id, control group, mount namespace.
#[derive(Clone, Copy)]
pub struct Who(pub u64, pub u64, pub u32, pub u64, pub u64);

/// The engine.
pub const DAEMON: Who = Who(10, 1, 0, 1, 1);
/// Who asks for the build.
pub const CLIENT: Who = Who(20, 5, 1000, 1, 1);
/// No part of the build.
pub const STRANGER: Who = Who(30, 5, 0, 1, 1);
/// The runtime of the step's container.
pub const RUNTIME: Who = Who(410, 10, 0, 1, 1);
/// The step's first process.
pub const STEP: Who = Who(411, 410, 0, 41, 41);

/// When the log begins, in ns since 1970: 2026-11-24T12:00:00Z.
const BEGAN_NS: u64 = 1_795_521_600_000_000_000;
/// How far an event is behind the one before, in ns.
const STEP_NS: u64 = 1_000;

/// A log that is being written.
pub struct Log {
    writer: Writer<BufWriter<File>>,
    line: String,
    seq: u64,
    waited_ns: u64,
}

impl Log {
    /// Begins a log in a file.
    pub fn new(path: &Path) -> Self {
        let out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
        let header = Header {
            r#type: "header".into(),
            schema: blubr_log::SCHEMA.into(),
            tool: Tool { name: "blubr-record".into(), version: "0".into() },
            started: Time(BEGAN_NS),
            host: Host {
                kernel: "6".into(),
                arch: "x86_64".into(),
                boot_id: "b".into(),
                machine_id_hash: None,
                cgroup: "v2".into(),
                resolvers: vec![],
            },
            backend: "tracepoint".into(),
            hooks: vec![Hook { name: "open".into(), attach: "tp_btf/sys_exit".into() }],
            not_covered: vec![],
            scope: "host".into(),
            command: None,
            truncated: Vec::new(),
            command_pid: None,
            part: None,
            filters: vec![],
        };
        Self { writer: Writer::new(out, &header).unwrap(), line: String::new(), seq: 0, waited_ns: 0 }
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.seq
    }

    /// Nothing happens for so long.
    pub fn wait(&mut self, ns: u64) {
        self.waited_ns += ns;
    }

    /// Adds an event with its own fields.
    pub fn add(&mut self, who: Who, kind: &str, own: &str) {
        self.add_by(who, who.0, kind, own);
    }

    /// Adds an event of one thread of a process.
    pub fn add_by(&mut self, who: Who, tid: u64, kind: &str, own: &str) {
        let Who(pid, ppid, uid, cgroup, mntns) = who;
        self.seq += 1;
        let time = Time(BEGAN_NS + self.waited_ns + self.seq * STEP_NS);
        let comma = if own.is_empty() { "" } else { "," };
        self.line.clear();
        write!(
            self.line,
            r#"{{"seq":{},"time":"{time}","type":"{kind}","pid":{pid},"tid":{tid},"start":{pid}0,"ppid":{ppid},"comm":"x","uid":{uid},"cgroup":"/g{cgroup}","cgroup_id":{cgroup},"mntns":{mntns}{comma}{own}}}"#,
            self.seq
        )
        .unwrap();
        self.writer.event_line(&self.line, kind).unwrap();
    }

    /// A program is run.
    pub fn exec(&mut self, who: Who, argv: &str) {
        self.add(who, "process.exec", &format!(r#""exe":"/bin/x","argv":[{argv}],"cwd":"/","gid":0"#));
    }

    /// A process is made.
    pub fn fork(&mut self, who: Who, child: Who) {
        let own = format!(r#""child_pid":{},"child_start":{}0"#, child.0, child.0);
        self.add(who, "process.fork", &own);
    }

    /// A process ends.
    pub fn exit(&mut self, who: Who) {
        self.add(who, "process.exit", r#""code":0"#);
    }

    /// An overlay is mounted for step `n`.
    pub fn overlay(&mut self, n: u64, lowers: &[u64]) {
        let lowers: Vec<String> =
            lowers.iter().map(|lower| format!("\"/s/overlay2/{lower}/diff\"")).collect();
        let own = format!(
            r#""source":"overlay","target":"/s/overlay2/{n}/merged","fstype":"overlay","flags":[],"lower":[{}],"upper":"/s/overlay2/{n}/diff","work":"/s/overlay2/{n}/work","ret":0"#,
            lowers.join(",")
        );
        self.add(DAEMON, "mount.mount", &own);
    }

    /// Up to the first program of the step.
    pub fn begin(&mut self) {
        self.begin_client();
        self.step(41, RUNTIME, STEP, &[40]);
    }

    /// The same of a step for which the runtime mounts a new file system at these places.
    pub fn begin_mounting(&mut self, points: &[&str]) {
        self.begin_client();
        self.step_mounting("make", 41, (RUNTIME, STEP), &[40], points);
    }

    /// Up to what the engine does first.
    pub fn begin_client(&mut self) {
        let daemon = r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#;
        self.add(DAEMON, "process.exists", daemon);
        self.add(RUNTIME_PARENT, "process.exists", daemon);
        self.exec(CLIENT, r#""docker","build",".""#);
        self.add(CLIENT, "unix.connect", r#""path":"/run/docker.sock","ret":0"#);
    }

    /// A RUN as BuildKit does it, up to its first program.
    pub fn step(&mut self, n: u64, runtime: Who, step: Who, lowers: &[u64]) {
        self.step_with("make", n, runtime, step, lowers);
    }

    /// The same of another command.
    pub fn step_with(&mut self, command: &str, n: u64, runtime: Who, step: Who, lowers: &[u64]) {
        self.step_mounting(command, n, (runtime, step), lowers, &[]);
    }

    fn step_mounting(
        &mut self,
        command: &str,
        n: u64,
        (runtime, step): (Who, Who),
        lowers: &[u64],
        points: &[&str],
    ) {
        self.overlay(n, lowers);
        self.add(
            DAEMON,
            "mount.mount",
            &format!(
                r#""source":"/s/overlay2/{n}/merged","target":"/x/{n}/rootfs","flags":["bind"],"ret":0"#
            ),
        );
        self.fork(DAEMON, runtime);
        self.exec(runtime, r#""runc","run""#);
        self.fork(runtime, step);
        for point in points {
            let kind = if *point == "/proc" { "proc" } else { "tmpfs" };
            let own = format!(
                r#""source":"{kind}","target":"/x/{n}/rootfs{point}","fstype":"{kind}","flags":[],"ret":0"#
            );
            self.add(step, "mount.mount", &own);
        }
        let own = format!(r#""path":"/x/{n}/rootfs","put_old":".","ret":0"#);
        self.add(step, "mount.pivot_root", &own);
        self.exec(step, &format!(r#""/bin/sh","-c","{command}""#));
    }

    /// The end of a step.
    pub fn step_ends(&mut self, n: u64, step: Who) {
        self.exit(step);
        self.umount(n);
    }

    /// The overlay of step `n` is unmounted.
    pub fn umount(&mut self, n: u64) {
        let own = format!(r#""target":"/s/overlay2/{n}/merged","flags":[],"ret":0"#);
        self.add(DAEMON, "mount.umount", &own);
    }

    /// The time of an event so many after the last.
    fn time(&self, events: i64) -> Time {
        Time(BEGAN_NS + self.seq.saturating_add_signed(events) * STEP_NS)
    }

    /// Says that events were lost from that of so many events after the last to that of so many.
    pub fn lost(&mut self, events: std::ops::RangeInclusive<i64>, lost: u64, lost_outside: u64) {
        let (after, before) = (self.time(*events.start()), self.time(*events.end()));
        let by_type = [("file.open".to_owned(), lost)].into();
        let line = Lost { r#type: "lost".into(), after, before, lost, lost_outside, by_type };
        self.writer.lost(&line).unwrap();
    }

    /// Writes a checkpoint.
    pub fn checkpoint(&mut self) {
        self.writer.checkpoint().unwrap();
    }

    /// Ends the build and the log.
    pub fn end(mut self) {
        self.end_of_build();
        self.finish();
    }

    /// Ends the build.
    pub fn end_of_build(&mut self) {
        self.step_ends(41, STEP);
        self.exit(CLIENT);
    }

    /// Ends the log.
    pub fn finish(mut self) {
        self.checkpoint();
        let ended = Time(BEGAN_NS + self.waited_ns + self.seq * STEP_NS);
        drop(self.writer.finish(ended, Some(0), vec![]).unwrap());
    }
}

/// A process like the engine that makes nothing.
const RUNTIME_PARENT: Who = Who(1, 0, 0, 1, 1);
