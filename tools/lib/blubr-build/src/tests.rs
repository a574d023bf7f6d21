//! Builds made of synthetic events: the traces that BuildKit leaves of two identical RUN lines, and who else was there.

use blubr_dockerfile::Dockerfile;
use blubr_log::{LineKind, Reader};

use crate::{Area, Builds, Engine, Finder, Membership, NoBuild, Place, RunKind, Tied, tie};

const HEADER: &str = r#"{"type":"header","schema":"blubr.log/1","tool":{"name":"t","version":"0"},"started":"2026-11-24T12:00:00.000000000Z","host":{"kernel":"6","arch":"x86_64","boot_id":"b","machine_id_hash":null,"cgroup":"v2","resolvers":[]},"backend":"t","hooks":[],"not_covered":[],"scope":"host"}"#;

/// A log that grows by an event a line.
pub(crate) struct Log {
    text: String,
    seq: u64,
}

/// Who an event is of: pid, parent, user id, control group, mount namespace.
#[derive(Clone, Copy)]
pub(crate) struct Who(pub(crate) u32, pub(crate) u32, pub(crate) u32, pub(crate) u64, pub(crate) u32);

pub(crate) const DAEMON: Who = Who(10, 1, 0, 1, 1);
const CLIENT: Who = Who(20, 5, 1000, 1, 1);
const STRANGER: Who = Who(30, 5, 1000, 1, 1);

/// How a RUN goes.
#[derive(Default)]
struct Run {
    code: u32,
    mounted: Option<u32>,
    unshares: bool,
}

impl Log {
    pub(crate) fn new() -> Self {
        Log { text: format!("{HEADER}\n"), seq: 0 }
    }

    pub(crate) fn add(&mut self, who: Who, kind: &str, own: &str) -> u64 {
        let Who(pid, ppid, uid, cgroup, mntns) = who;
        self.seq += 1;
        let comma = if own.is_empty() { "" } else { "," };
        self.text.push_str(&format!(
            r#"{{"seq":{},"time":"2026-11-24T12:00:00.{:09}Z","type":"{kind}","pid":{pid},"tid":{pid},"start":{pid}0,"ppid":{ppid},"comm":"x","uid":{uid},"cgroup":"/g{cgroup}","cgroup_id":{cgroup},"mntns":{mntns}{comma}{own}}}"#,
            self.seq, self.seq
        ));
        self.text.push('\n');
        self.seq
    }

    pub(crate) fn exec(&mut self, who: Who, argv: &[&str]) -> u64 {
        let argv: Vec<String> = argv.iter().map(|word| format!("{word:?}")).collect();
        self.add(
            who,
            "process.exec",
            &format!(r#""exe":"/bin/x","argv":[{}],"cwd":"/","gid":0"#, argv.join(",")),
        )
    }

    pub(crate) fn fork(&mut self, who: Who, child: Who) {
        self.add(who, "process.fork", &format!(r#""child_pid":{},"child_start":{}0"#, child.0, child.0));
    }

    /// One RUN as BuildKit does it, in a container with control group and namespace `n`.
    pub(crate) fn run(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str]) {
        self.run_as(daemon, n, lowers, argv, &Run::default());
    }

    /// One that fails.
    pub(crate) fn run_ending(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str], code: u32) {
        self.run_as(daemon, n, lowers, argv, &Run { code, ..Run::default() });
    }

    /// One with what another step left mounted into it.
    pub(crate) fn run_with(
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
    pub(crate) fn run_unsharing(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str]) {
        self.run_as(daemon, n, lowers, argv, &Run { unshares: true, ..Run::default() });
    }

    fn overlay(&mut self, daemon: Who, n: u32, lowers: &[u32]) {
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
        let runtime = Who(n * 10, daemon.0, daemon.2, 1, 1);
        let init = Who(n * 10 + 1, n * 10, daemon.2, u64::from(n), n);
        self.fork(daemon, runtime);
        self.exec(runtime, &["runc", "run"]);
        self.fork(runtime, init);
        if how.unshares {
            self.add(init, "ns.unshare", r#""namespaces":["mnt"],"ret":0"#);
        }
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
        self.add(init, "process.exit", &format!(r#""code":{}"#, how.code));
        self.add(
            daemon,
            "mount.umount",
            &format!(r#""target":"/s/overlay2/{n}/merged","flags":[],"ret":0"#),
        );
    }

    fn client(&mut self) {
        self.exec(CLIENT, &["docker", "build", "."]);
        self.add(CLIENT, "unix.connect", r#""path":"/run/docker.sock","ret":0"#);
    }

    pub(crate) fn end(&mut self, who: Who) {
        self.add(who, "process.exit", r#""code":0"#);
    }

    fn each(&self, mut each: impl FnMut(&blubr_log::Event<'_>)) {
        let mut reader = Reader::new(self.text.as_bytes()).unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            if let LineKind::Event(event) = &line.kind {
                each(event);
            }
        }
    }

    pub(crate) fn builds(&self) -> Builds {
        self.builds_with(&[])
    }

    pub(crate) fn builds_told(&self, client: crate::ProcessKey, dockerfile: Dockerfile) -> Builds {
        let mut finder = Finder::new(Reader::new(self.text.as_bytes()).unwrap().header());
        finder.told(client, dockerfile);
        self.each(|event| finder.observe(event));
        finder.finish().unwrap()
    }

    pub(crate) fn builds_with(&self, lost: &[blubr_log::Lost]) -> Builds {
        let mut finder = Finder::new(Reader::new(self.text.as_bytes()).unwrap().header());
        self.each(|event| finder.observe(event));
        lost.iter().for_each(|lost| finder.lost(lost));
        finder.finish().unwrap()
    }
}

fn two_runs() -> Log {
    let mut log = Log::new();
    log.add(DAEMON, "process.exists", r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#);
    log.client();
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    log.run(DAEMON, 42, &[41, 40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    log
}

#[test]
fn identical_lines_are_told_apart_by_their_chain() {
    let builds = two_runs().builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    assert_eq!((build.engine, build.client.pid, build.engine_process.pid), (Engine::BuildKit, 20, 10));
    assert_eq!(build.runs.len(), 2);
    assert!(build.runs.iter().all(|run| run.kind == RunKind::Run && !run.shared));
    assert_eq!(build.runs[1].below, [build.runs[0].id]);
    let file = Dockerfile::parse(b"FROM base\nRUN make\nRUN make\n").unwrap();
    let tied: Vec<Tied> = tie(build, &file).into_iter().map(|tie| tie.instruction).collect();
    assert_eq!(tied, [Tied::One(1), Tied::One(2)]);
    // One of three such lines was cached, and it was the first.
    let file = Dockerfile::parse(b"FROM base\nRUN make\nRUN make\nRUN make\n").unwrap();
    let tied: Vec<Tied> = tie(build, &file).into_iter().map(|tie| tie.instruction).collect();
    assert_eq!(tied, [Tied::One(2), Tied::One(3)]);
    // Two stages that fit alike.
    let file =
        Dockerfile::parse(b"FROM base\nRUN make\nRUN make\nFROM base\nRUN make\nRUN make\n").unwrap();
    let tied: Vec<Tied> = tie(build, &file).into_iter().map(|tie| tie.instruction).collect();
    assert_eq!(tied, [Tied::Candidates(vec![1, 4]), Tied::Candidates(vec![2, 5])]);
    let file = Dockerfile::parse(b"FROM base\nRUN other\n").unwrap();
    assert!(tie(build, &file).iter().all(|tie| tie.instruction == Tied::None));
}

#[test]
fn every_event_has_its_place() {
    let mut log = two_runs();
    let end = log.text.clone();
    // Someone who writes into a step's upper directory while the build goes on, and does other things.
    log = Log { text: format!("{HEADER}\n"), seq: 0 };
    log.add(DAEMON, "process.exists", r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#);
    log.client();
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    let foreign = log.add(
        STRANGER,
        "file.open",
        r#""path":"/s/overlay2/41/diff/evil","mode":"w","create":true,"ret":3"#,
    );
    let outside = log.add(
        STRANGER,
        "file.open",
        r#""path":"/s/overlay2/410/diff/x","mode":"w","create":true,"ret":3"#,
    );
    let entered =
        log.add(Who(31, 5, 0, 41, 1), "file.open", r#""path":"/etc/passwd","mode":"r","ret":3"#);
    log.end(CLIENT);
    let later = log.add(
        STRANGER,
        "file.open",
        r#""path":"/s/overlay2/41/diff/later","mode":"w","create":true,"ret":3"#,
    );
    assert!(end.len() > log.text.len());
    let builds = log.builds();
    let run = builds.builds[0].runs[0].id;
    let mut membership = Membership::new(&builds, 1).unwrap();
    assert!(Membership::new(&builds, 2).is_none());
    let mut places = Vec::new();
    log.each(|event| {
        let place = membership.classify(event);
        if event.head.pid == 411 && event.head.r#type.bytes() == b"file.open" {
            let spot = membership.spot(event, b"/m").unwrap();
            assert_eq!(
                (spot.run, spot.area, spot.path.as_slice(), spot.mounted),
                (Some(run), Area::Tree, &b"/m"[..], None)
            );
        }
        if event.head.seq == foreign {
            let inside = membership.container_path(event, b"/s/overlay2/41/diff/evil", run);
            assert_eq!(inside.as_deref(), Some(&b"/evil"[..]));
        }
        places.push((event.head.seq, event.head.pid, place));
    });
    let of = |seq: u64| places.iter().find(|(known, ..)| *known == seq).unwrap().2;
    assert_eq!(of(foreign), Place::Foreign { run: Some(run) });
    assert_eq!(
        of(entered),
        Place::Foreign { run: Some(run) },
        "in the container's group without descending from it"
    );
    assert_eq!((of(outside), of(later)), (Place::Outside, Place::Outside));
    for (seq, pid, place) in places.iter().copied() {
        match pid {
            20 => assert_eq!(place, Place::Client),
            411 => assert_eq!(place, Place::Container { run }, "event {seq}"),
            410 => assert_eq!(place, Place::Engine { run: Some(run) }, "event {seq}"),
            10 => assert!(matches!(place, Place::Engine { .. }), "event {seq}"),
            _ => {}
        }
    }
}

#[test]
fn what_calls_itself_an_engine_is_none() {
    let mut log = Log::new();
    let fake = Who(50, 5, 65534, 1, 1);
    log.exec(fake, &["dockerd", "-H", "unix:///run/docker.sock"]);
    log.client();
    log.fork(fake, Who(51, 50, 65534, 1, 1));
    log.exec(Who(51, 50, 65534, 1, 1), &["runc", "run"]);
    log.end(CLIENT);
    let builds = log.builds();
    assert!(builds.builds.is_empty() && builds.orphans == 0);
    assert_eq!(builds.pick(None).err(), Some(NoBuild::None));
    // In a user namespace of its own it can mount; it is still no engine of another user's client.
    let mut log = Log::new();
    log.client();
    log.run(fake, 43, &[40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    assert!(builds.builds.is_empty());
    assert_eq!(builds.pick(None).err(), Some(NoBuild::NoClient(1)));
}

#[test]
fn what_fits_two_is_in_both() {
    let other = Who(21, 5, 1000, 1, 1);
    let mut log = Log::new();
    log.client();
    log.exec(other, &["docker", "build", "elsewhere"]);
    log.add(other, "unix.connect", r#""path":"/run/docker.sock","ret":0"#);
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    log.end(other);
    let builds = log.builds();
    assert_eq!(builds.builds.len(), 2);
    assert!(builds.builds.iter().all(|build| build.runs.len() == 1 && build.runs[0].shared));
    assert_eq!(builds.pick(None).err(), Some(NoBuild::Several(2)));
    assert_eq!(builds.pick(Some(3)).err(), Some(NoBuild::NoSuch(3, 2)));
}
