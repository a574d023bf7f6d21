//! Where a step begins and ends: its runtime's work, what it leaves behind, what moves away, and who comes in from outside.
//! The log's own forks and execs say what must be whose.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use blubr_tests::attribution::{filter, state};
use blubr_tests::buildah::{Buildah, Isolation};
use blubr_tests::builders::{Named, Way};
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::program::{jq, stdout_of, text_of};
use blubr_tests::record::record;
use blubr_tests::supervise::process_folder;
use blubr_tests::workload::Context;
use blubr_tests::{bins, require};
use serde_json::Value;

const CLASSIC: Way = Way::Docker(Builder::Classic);
const BUILDKIT: Way = Way::Docker(Builder::BuildKit);
const BUILDAH: Way = Way::Buildah(Isolation::Oci, true);
/// Its containers have the host's process ids: what a shell leaves behind lives on.
const CHROOT: Way = Way::Buildah(Isolation::Chroot, false);

/// The line at which others come in, and the one that leaves a process behind.
const VISITED: usize = 4;
const LEAVING: usize = 5;

const TAG: &str = "blubr-boundaries";

/// How long a step may take to come to the point where others come in.
const STEP_SECONDS_MAX: u64 = 120;
/// How often a build is recorded whose record lost events on a busy host.
const TRIES: usize = 3;

/// Words of the visited step's shell, by which it is found.
const HELD: &str = "blubr-held";

fn context(way: Way) -> Context {
    let leave = match way {
        CHROOT => {
            "RUN (until [ -e /next ]; do sleep 0.1; done; echo late > /late) > /dev/null 2>&1 < /dev/null & touch /left\n\
             RUN touch /next; timeout 60 sh -c 'until [ -s /late ]; do sleep 0.1; done'; touch /last\n"
        }
        _ => {
            "RUN setsid sh -c 'echo daemon > /daemon; sleep 60' & until [ -s /daemon ]; do sleep 0.1; done\n\
             RUN touch /last\n"
        }
    };
    Context::of_dockerfile(&format!(
        "FROM scratch\n\
         COPY busybox /bin/busybox\n\
         RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
         RUN : {HELD}; echo own > /own; timeout 120 sh -c 'until [ -e /go ]; do sleep 0.1; done'; \
         [ ! -e /cg/cgroup.procs ] || echo 0 > /cg/cgroup.procs; echo moved > /moved; sleep 0.1\n\
         {leave}"
    ))
}

/// What builds.
enum Host {
    Docker(&'static Engine, Builder),
    Buildah(Buildah, Isolation, &'static str),
}

impl Host {
    fn new(way: Way) -> Self {
        match way {
            Way::Buildah(isolation, layers) => {
                let layers = if layers { "--layers" } else { "--layers=false" };
                Self::Buildah(Buildah::new(), isolation, layers)
            }
            Way::Docker(builder) => Self::Docker(Engine::shared(), builder),
            _ => panic!("{} is not tried here", way.name()),
        }
    }

    /// A build; buildah's RUNs may have a control group's folder at /cg.
    fn build(&self, context: &Path, group: &Group) -> Command {
        match self {
            Self::Docker(engine, builder) => engine.build_command(*builder, context, TAG, &[]),
            Self::Buildah(buildah, Isolation::Oci, layers) => {
                let volume = format!("--volume={}:/cg", group.0.display());
                buildah.build_command(Isolation::Oci, context, TAG, &[layers, &volume])
            }
            Self::Buildah(buildah, isolation, layers) => {
                buildah.build_command(*isolation, context, TAG, &[layers])
            }
        }
    }

    fn image(&self, folder: &Path) -> Named {
        match self {
            Self::Docker(engine, _) => {
                Named { reference: format!("docker:{TAG}"), host: Some(engine.host.clone()) }
            }
            Self::Buildah(buildah, ..) => {
                let reference = format!("oci:{}:image", folder.join("layout").display());
                buildah.push(TAG, &reference);
                Named { reference, host: None }
            }
        }
    }

    fn state(&self) -> &Path {
        match self {
            Self::Docker(engine, _) => &engine.state,
            Self::Buildah(buildah, ..) => buildah.folder(),
        }
    }
}

/// A control group that is gone with this value.
struct Group(PathBuf);

impl Group {
    fn new(way: Way) -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let root = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (at, kind) = (words.next()?, words.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(at))
        });
        let folder =
            root.unwrap().join(format!("blubr-boundaries-{}-{}", way.name(), std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn name(&self) -> String {
        format!("/{}", self.0.file_name().unwrap().to_str().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Busy while a process of it ends.
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::fs::remove_dir(&self.0).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Says that the build is over, also when its recording failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The shell of the visited step; none when the build is over.
fn held(over: &AtomicBool) -> Option<u32> {
    let deadline = Instant::now() + Duration::from_secs(STEP_SECONDS_MAX);
    while !over.load(Ordering::Relaxed) {
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let file =
                |name: &str| std::fs::read_to_string(process.path().join(name)).unwrap_or_default();
            // The step's own, which has come so far that its first file is there.
            if file("comm") == "sh\n"
                && file("cmdline").contains(&format!(": {HELD};"))
                && process.path().join("root/own").is_file()
            {
                return Some(pid);
            }
        }
        assert!(Instant::now() < deadline, "no step came to the point where it waits");
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

/// Where the host has the visited step's tree.
fn tree(state: &Path) -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut targets = mounts.lines().filter_map(|line| Some(PathBuf::from(line.split(' ').nth(4)?)));
    targets.find(|target| target.starts_with(state) && target.join("own").is_file()).unwrap()
}

/// Does in the step's tree whatever one can from outside; gives the names of the files that this leaves there.
fn visit(host: &Host, way: Way, group: &Group, over: &AtomicBool) -> Vec<&'static str> {
    let Some(pid) = held(over) else { return Vec::new() };
    let root = format!("/proc/{pid}/root");
    let touch = |command: &mut Command, name: &str| {
        drop(stdout_of(command.args(["/bin/busybox", "touch", name])));
    };
    let mut left = vec!["/by-chroot", "/by-mount", "/by-nsenter", "/by-root", "/go"];
    let mut nsenter = Command::new("nsenter");
    nsenter.args(["-t", &pid.to_string()]);
    nsenter.args(if way == CHROOT { ["-m", "-r"] } else { ["-m", "-p"] });
    touch(&mut nsenter, "/by-nsenter");
    touch(Command::new("chroot").arg(&root), "/by-chroot");
    touch(Command::new("chroot").arg(tree(host.state())), "/by-mount");
    std::fs::write(format!("{root}/by-root"), "x").unwrap();
    if let (Host::Docker(engine, _), CLASSIC) = (host, way) {
        let container = text_of(engine.docker().args(["ps", "-q", "--no-trunc"]));
        let docker = |words: &[&str]| drop(stdout_of(engine.docker().args(words)));
        docker(&["exec", &container, "/bin/busybox", "sh", "-c", "echo x > /by-exec; echo x >> /own"]);
        let file = process_folder().join("by-cp");
        std::fs::write(&file, "x").unwrap();
        docker(&["cp", file.to_str().unwrap(), &format!("{container}:/by-cp")]);
        left.extend(["/by-cp", "/by-exec", "/own"]);
    }
    // buildah's step has the means to go by itself.
    if way != BUILDAH {
        std::fs::write(group.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }
    std::fs::write(format!("{root}/go"), "x").unwrap();
    left.sort_unstable();
    left
}

/// A build that was recorded while others came in.
struct Recorded {
    log: PathBuf,
    dockerfile: PathBuf,
    statement: PathBuf,
    /// What others left in the visited step's tree.
    left: Vec<&'static str>,
    /// The control group that the visited step's shell moved to.
    moved_to: String,
    events: Vec<Value>,
}

impl Recorded {
    /// Of an engine; made once.
    fn of(way: Way) -> &'static Self {
        static MADE: Mutex<BTreeMap<&str, &Recorded>> = Mutex::new(BTreeMap::new());
        let mut made = MADE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        made.entry(way.name()).or_insert_with(|| Box::leak(Box::new(Self::make(way))))
    }

    fn make(way: Way) -> Self {
        let folder = process_folder().join(way.name());
        std::fs::create_dir_all(&folder).unwrap();
        let host = Host::new(way);
        let context = context(way);
        let dockerfile = folder.join("Dockerfile");
        std::fs::copy(context.file("Dockerfile"), &dockerfile).unwrap();
        let (log, filtered) = (folder.join("build.ndjson"), folder.join("filtered.ndjson"));
        let statement = folder.join("statement.json");
        let (mut left, mut moved_to) = (Vec::new(), String::new());
        for _ in 0..TRIES {
            let group = Group::new(way);
            let build = host.build(context.path(), &group);
            let over = AtomicBool::new(false);
            left = std::thread::scope(|scope| {
                let visitor = scope.spawn(|| visit(&host, way, &group, &over));
                let ended = Over(&over);
                drop(record(&log, &build));
                drop(ended);
                visitor.join().unwrap()
            });
            moved_to = group.name();
            filter(&log, &filtered);
            drop(std::fs::remove_dir_all(folder.join("layout")));
            state(&filtered, &dockerfile, &host.image(&folder), &statement);
            if check("recording-complete", &statement) == "pass" {
                break;
            }
        }
        let text = std::fs::read_to_string(&log).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let events = lines.filter(|line| line["seq"].is_u64()).collect();
        Recorded { log, dockerfile, statement, left, moved_to, events }
    }

    /// What the statement says of the step at a line.
    fn step(&self, line: usize, what: &str) -> String {
        let step = format!(".predicate.blubr_build.steps[] | select(.lines[0] == {line})");
        jq(&format!("{step} | {what}"), &self.statement)
    }

    /// Numbers of the events that `--step` picks.
    fn picked(&self, line: usize) -> BTreeSet<u64> {
        let mut filter = bins::command("blubr-filter");
        filter
            .arg("--dockerfile")
            .arg(&self.dockerfile)
            .args(["--step", &line.to_string()])
            .arg(&self.log);
        let text = text_of(&mut filter);
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter_map(|line| line["seq"].as_u64()).collect()
    }

    /// The exec of a step's first program: of all that have these words the last before the program itself runs.
    fn first(&self, words: &str) -> &Value {
        let of_shell = |event: &&Value| {
            let argv = event["argv"].as_array().map(Vec::as_slice).unwrap_or_default();
            let last = argv.last().and_then(Value::as_str).unwrap_or_default();
            event["type"] == "process.exec"
                && succeeded(event)
                && last.contains(words)
                && argv.get(1).is_some_and(|flag| flag == "-c")
        };
        self.events.iter().find(of_shell).unwrap_or_else(|| panic!("no shell with {words}"))
    }

    /// Processes that descend from these, themselves too.
    fn descendants(&self, mut keys: BTreeSet<(u64, u64)>) -> BTreeSet<(u64, u64)> {
        for event in &self.events {
            if event["type"] == "process.fork" && keys.contains(&key(event)) {
                keys.insert((number(event, "child_pid"), number(event, "child_start")));
            }
        }
        keys
    }

    /// The events of a step's own processes: of its first program's, from then on, and of whatever descends from it.
    fn own(&self, first: &Value) -> Vec<&Value> {
        let all = self.descendants([key(first)].into());
        let from = number(first, "seq");
        self.events
            .iter()
            .filter(|event| number(event, "seq") >= from && all.contains(&key(event)))
            .collect()
    }
}

fn key(event: &Value) -> (u64, u64) {
    (number(event, "pid"), number(event, "start"))
}

fn number(event: &Value, name: &str) -> u64 {
    event[name].as_u64().unwrap_or_default()
}

fn succeeded(event: &Value) -> bool {
    event["ret"].as_i64().is_none_or(|ret| ret >= 0)
}

fn check(id: &str, statement: &Path) -> String {
    jq(&format!(".predicate.blubr_build.checks[] | select(.id == \"{id}\") | .result"), statement)
}

/// Those of a step's events that the step is said to have, by the tools' own count.
fn counted(recorded: &Recorded, line: usize) -> usize {
    recorded.step(line, ".counts.events").parse().unwrap()
}

fn what_the_runtime_does(way: Way) {
    let recorded = Recorded::of(way);
    let first = recorded.first(HELD);
    let (from, group) = (number(first, "seq"), first["cgroup"].as_str().unwrap());
    let id = group.rsplit('/').next().unwrap();
    let runtimes = recorded.events.iter().filter(|event| {
        let argv = event["argv"].as_array().map(Vec::as_slice).unwrap_or_default();
        event["type"] == "process.exec"
            && number(event, "seq") < from
            && argv.iter().filter_map(Value::as_str).any(|word| word.contains(id))
    });
    let runtimes: BTreeSet<_> = runtimes.map(key).collect();
    assert!(!runtimes.is_empty(), "{}: no runtime was told of {id}", way.name());
    let all = recorded.descendants(runtimes);
    assert!(all.contains(&key(first)), "{}: the step's shell descends from the runtime", way.name());
    let before = |event: &&Value| number(event, "seq") < from && all.contains(&key(event));
    let before: Vec<&Value> = recorded.events.iter().filter(before).collect();
    for kind in ["mount.mount", "mount.pivot_root", "process.fork", "file.open"] {
        assert!(before.iter().any(|event| event["type"] == kind), "{}: {kind}", way.name());
    }
    assert!(before.iter().any(|event| event["cgroup"] != *group), "{}: all in its group", way.name());
    let picked = recorded.picked(VISITED);
    let missing: Vec<_> =
        before.iter().filter(|event| !picked.contains(&number(event, "seq"))).collect();
    assert!(
        missing.is_empty(),
        "{}: {} not picked, the first {:?}",
        way.name(),
        missing.len(),
        missing[0]
    );
    // The runtime's programs are the engine's, none the step's.
    let engine =
        jq(".predicate.monitorLog.process[] | select(.part == \"engine\") | .seq", &recorded.statement);
    let engine: BTreeSet<&str> = engine.lines().collect();
    for exec in before.iter().filter(|event| event["type"] == "process.exec" && succeeded(event)) {
        assert!(engine.contains(number(exec, "seq").to_string().as_str()), "{}: {exec}", way.name());
    }
    let of_step = recorded.step(VISITED, ".processes[].seq");
    assert!(of_step.lines().all(|seq| seq.parse::<u64>().unwrap() >= from), "{}: {of_step}", way.name());
}

#[test]
fn what_a_runtime_does_before_a_container_has_its_control_group_is_the_engines_work_for_the_step() {
    require!(Root, Docker, Buildah);
    for way in [CLASSIC, BUILDKIT, BUILDAH] {
        what_the_runtime_does(way);
    }
}

#[test]
fn what_a_step_leaves_behind_is_its_own() {
    require!(Root, Docker, Buildah);
    for (way, words) in
        [(CLASSIC, "> /daemon"), (BUILDKIT, "> /daemon"), (BUILDAH, "> /daemon"), (CHROOT, "> /late")]
    {
        let recorded = Recorded::of(way);
        let first = recorded.first(words);
        let own = recorded.own(first);
        let exit = own.iter().find(|event| event["type"] == "process.exit" && key(event) == key(first));
        let exit = number(exit.unwrap(), "seq");
        let behind: Vec<&&Value> =
            own.iter().filter(|event| number(event, "seq") > exit && key(event) != key(first)).collect();
        assert!(behind.iter().any(|event| event["type"] == "process.exit"), "{}", way.name());
        let picked = recorded.picked(LEAVING);
        assert!(behind.iter().all(|event| picked.contains(&number(event, "seq"))), "{}", way.name());
        assert_eq!(counted(recorded, LEAVING), own.len(), "{}", way.name());
        if way == CHROOT {
            let late = behind.iter().find(|event| event["path"] == "/late");
            let next = recorded.first("touch /last");
            assert!(
                number(late.unwrap(), "seq") > number(next, "seq"),
                "it came while the next step ran"
            );
            assert_eq!(recorded.step(LEAVING, "[.writes[].path] | index(\"/late\") != null"), "true");
            let next = recorded.step(LEAVING + 1, "[.writes[].path] | join(\" \")");
            assert!(next.contains("/last") && !next.contains("/late"), "{next}");
        }
    }
}

#[test]
fn what_moves_to_another_control_group_is_still_the_steps() {
    require!(Root, Docker, Buildah);
    for way in [CLASSIC, BUILDKIT, BUILDAH, CHROOT] {
        let recorded = Recorded::of(way);
        let first = recorded.first(HELD);
        let own = recorded.own(first);
        let moved: Vec<_> =
            own.iter().filter(|event| event["cgroup"] == *recorded.moved_to.as_str()).collect();
        assert_ne!(first["cgroup"], *recorded.moved_to.as_str(), "{}", way.name());
        assert!(moved.iter().any(|event| event["path"] == "/moved"), "{}: {moved:?}", way.name());
        let picked = recorded.picked(VISITED);
        assert!(moved.iter().all(|event| picked.contains(&number(event, "seq"))), "{}", way.name());
        assert_eq!(counted(recorded, VISITED), own.len(), "{}", way.name());
        assert_eq!(recorded.step(VISITED, "[.writes[].path] | index(\"/moved\") != null"), "true");
    }
}

#[test]
fn who_comes_in_from_outside_is_named_and_is_never_the_step() {
    require!(Root, Docker, Buildah);
    for way in [CLASSIC, BUILDKIT, BUILDAH, CHROOT] {
        let recorded = Recorded::of(way);
        let found = jq(
            ".predicate.blubr_build.unexplained | map(\"\\(.what) \\(.path)\") | sort | .[]",
            &recorded.statement,
        );
        let foreign: Vec<String> =
            recorded.left.iter().map(|path| format!("foreign-write {path}")).collect();
        assert_eq!(found.lines().collect::<Vec<_>>(), foreign, "{}", way.name());
        for id in ["image-explained", "no-foreign-access"] {
            assert_eq!(check(id, &recorded.statement), "fail", "{}: {id}", way.name());
        }
        for line in 1..=LEAVING + 1 {
            let writes = recorded.step(line, "[.writes[].path] | join(\" \")");
            assert!(!writes.contains("/by-") && !writes.contains("/go"), "{}: {writes}", way.name());
            let programs = recorded.step(line, "[.processes[].argv[]] | join(\" \")");
            assert!(!programs.contains("/by-"), "{}: {programs}", way.name());
        }
        let parts = "[.predicate.monitorLog.process[] | select(.argv | tostring | contains(\"/by-\")) | .part] | unique | join(\" \")";
        assert_eq!(jq(parts, &recorded.statement), "foreign", "{}", way.name());
        // Where the host has what they touched.
        let named = "[.predicate.monitorLog.fileAccess[] | select(.name | tostring | endswith(\"/by-nsenter\")) | .name] | .[]";
        let named = jq(named, &recorded.statement);
        assert!(named.len() > "/by-nsenter".len(), "{}: {named}", way.name());
    }
}
