//! Builds at the same time at one engine, made of synthetic events: whose steps are whose, and what stays open.

use blubr_dockerfile::Dockerfile;
use blubr_log::{Lost, Time};

use crate::tests::{DAEMON, Log, Who};
use crate::{Build, Builds};

const ONE: Who = Who(20, 5, 1000, 1, 1);
const OTHER: Who = Who(21, 5, 1000, 1, 1);
const THIRD: Who = Who(22, 5, 1000, 1, 1);

fn begun(clients: &[Who]) -> Log {
    let mut log = Log::new();
    log.add(DAEMON, "process.exists", r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#);
    for who in clients {
        connect(&mut log, *who);
    }
    log
}

fn connect(log: &mut Log, who: Who) {
    log.exec(who, &["docker", "build", "."]);
    log.add(who, "unix.connect", r#""path":"/run/docker.sock","ret":0"#);
}

/// The engine reads what steps left, as it does to put it into an image.
fn read(log: &mut Log, steps: &[u32]) {
    for n in steps {
        let own = format!(r#""path":"/s/overlay2/{n}/diff","mode":"r","size":4096,"ret":7"#);
        log.add(DAEMON, "file.open", &own);
    }
}

fn image(log: &mut Log, id: &str) {
    let own = format!(
        r#""path":"/s/image/overlay2/imagedb/content/sha256/.tmp-{id}","to":"/s/image/overlay2/imagedb/content/sha256/{id}","ret":0"#
    );
    log.add(DAEMON, "file.rename", &own);
}

fn told(log: &mut Log, id: &str) {
    let dir = format!("/s/image/overlay2/imagedb/metadata/sha256/{id}");
    let own = format!(r#""path":"{dir}/.tmp-lastUpdated1","to":"{dir}/lastUpdated","ret":0"#);
    log.add(DAEMON, "file.rename", &own);
}

fn fail(log: &mut Log, who: Who) {
    log.add(who, "process.exit", r#""code":1"#);
}

/// The build of a client.
fn of(builds: &Builds, who: Who) -> &Build {
    builds.builds.iter().find(|build| build.client.pid == who.0).unwrap()
}

/// Its steps by the number in their directories, a `*` behind those that are shared.
fn steps(builds: &Builds, who: Who) -> Vec<String> {
    let name = |upper: &[u8]| {
        let text = String::from_utf8(upper.to_vec()).unwrap();
        text.split('/').nth(3).unwrap().to_owned()
    };
    let runs = of(builds, who).runs.iter();
    runs.map(|run| name(&run.upper) + if run.shared { "*" } else { "" }).collect()
}

fn run(log: &mut Log, n: u32, lowers: &[u32]) {
    log.run(DAEMON, n, lowers, &["/bin/sh", "-c", "make"]);
}

#[test]
fn the_first_to_end_has_the_chain_that_was_read_by_then() {
    let mut log = begun(&[ONE, OTHER]);
    run(&mut log, 41, &[40]);
    run(&mut log, 51, &[40]);
    run(&mut log, 42, &[41, 40]);
    run(&mut log, 52, &[51, 40]);
    read(&mut log, &[52, 51]);
    log.end(OTHER);
    read(&mut log, &[42, 41]);
    log.end(ONE);
    let builds = log.builds();
    assert_eq!(steps(&builds, ONE), ["41", "42"]);
    assert_eq!(steps(&builds, OTHER), ["51", "52"]);
}

#[test]
fn what_was_all_read_before_either_ended_is_in_both() {
    let mut log = begun(&[ONE, OTHER]);
    run(&mut log, 41, &[40]);
    run(&mut log, 51, &[40]);
    read(&mut log, &[41, 51]);
    log.end(OTHER);
    log.end(ONE);
    let builds = log.builds();
    assert_eq!((steps(&builds, ONE), steps(&builds, OTHER)), two(["41*", "51*"]));
}

fn two(steps: [&str; 2]) -> (Vec<String>, Vec<String>) {
    let steps: Vec<String> = steps.iter().map(|&step| step.to_owned()).collect();
    (steps.clone(), steps)
}

#[test]
fn a_dockerfile_decides_where_nothing_else_does() {
    let mut log = begun(&[ONE, OTHER]);
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    log.run(DAEMON, 51, &[40], &["/bin/sh", "-c", "make other"]);
    read(&mut log, &[41, 51]);
    log.end(OTHER);
    log.end(ONE);
    let told = |who: Who, text: &str| {
        let client = of(&log.builds(), who).client;
        log.builds_told(client, Dockerfile::parse(text.as_bytes()).unwrap())
    };
    let builds = told(ONE, "FROM base\nRUN make\n");
    assert_eq!(steps(&builds, ONE), ["41"]);
    assert_eq!(steps(&builds, OTHER), ["51"]);
    let builds = told(OTHER, "FROM base\nRUN make\n");
    assert_eq!(steps(&builds, OTHER), ["41"]);
    // A Dockerfile that gives neither tells nothing.
    let builds = told(ONE, "FROM base\nRUN something else\n");
    assert_eq!((steps(&builds, ONE), steps(&builds, OTHER)), two(["41*", "51*"]));
    let lines = |line: usize| {
        let file = Dockerfile::parse(b"FROM base\nRUN make \\\n  all\nRUN make\n").unwrap();
        crate::steps_at(of(&told(ONE, "FROM base\nRUN make\n"), ONE), &file, line)
    };
    assert_eq!((lines(2), lines(3), lines(4)), (Ok(vec![]), Ok(vec![]), Ok(vec![0])));
}

#[test]
fn nothing_is_concluded_from_what_is_missing_where_events_were_lost() {
    let mut log = begun(&[ONE, OTHER]);
    run(&mut log, 41, &[40]);
    run(&mut log, 51, &[40]);
    read(&mut log, &[51]);
    log.end(OTHER);
    read(&mut log, &[41]);
    log.end(ONE);
    let lost = |after: u64, before: u64| Lost {
        r#type: "lost".to_owned(),
        after: Time(after),
        before: Time(before),
        lost: 1,
        lost_outside: 0,
        by_type: Default::default(),
    };
    assert_eq!(steps(&log.builds(), OTHER), ["51"]);
    let within = of(&log.builds(), ONE).runs[0].began.time.0;
    let builds = log.builds_with(&[lost(within, within)]);
    assert_eq!((steps(&builds, ONE), steps(&builds, OTHER)), two(["41*", "51*"]));
    let builds = log.builds_with(&[lost(0, 1)]);
    assert_eq!(steps(&builds, OTHER), ["51"], "long before them");
}

#[test]
fn an_image_that_a_client_was_told_of_has_its_layers_registered() {
    let register = |log: &mut Log, n: u32, between: &mut dyn FnMut(&mut Log)| {
        let scratch = format!("/s/tmp/docker-tarsplit{n}");
        log.add(DAEMON, "file.mkdir", &format!(r#""path":"{scratch}","mode":"0700","ret":0"#));
        let notes = format!(r#""path":"/s/overlay2/{n}/lower","mode":"r","size":28,"ret":7"#);
        log.add(DAEMON, "file.open", &notes);
        let split = format!(r#""path":"{scratch}/tar-split","mode":"rw","create":true,"ret":7"#);
        log.add(DAEMON, "file.open", &split);
        read(log, &[n]);
        between(log);
        let own = format!(r#""path":"{scratch}","directory":true,"ret":0"#);
        log.add(DAEMON, "file.unlink", &own);
    };
    let mut log = begun(&[ONE, OTHER]);
    run(&mut log, 41, &[40]);
    run(&mut log, 51, &[40]);
    register(&mut log, 41, &mut |log| {
        register(log, 51, &mut |_| {});
        image(log, "bb");
        told(log, "bb");
    });
    image(&mut log, "aa");
    log.end(OTHER);
    told(&mut log, "aa");
    log.end(ONE);
    let builds = log.builds();
    assert_eq!(steps(&builds, ONE), ["41"]);
    assert_eq!(steps(&builds, OTHER), ["51"]);
}

#[test]
fn a_step_that_failed_is_of_no_build_that_succeeded() {
    let mut log = begun(&[ONE, OTHER]);
    run(&mut log, 41, &[40]);
    log.run_ending(DAEMON, 51, &[40], &["/bin/sh", "-c", "make"], 2);
    read(&mut log, &[51, 41]);
    fail(&mut log, OTHER);
    log.end(ONE);
    let builds = log.builds();
    assert_eq!(steps(&builds, ONE), ["41"]);
    assert_eq!(steps(&builds, OTHER), ["51"]);
}

#[test]
fn a_step_that_was_killed_is_of_no_build_that_succeeded() {
    let mut log = begun(&[ONE, OTHER]);
    run(&mut log, 41, &[40]);
    log.run_killed(DAEMON, 51, &[40], &["/bin/sh", "-c", "make"]);
    read(&mut log, &[51, 41]);
    log.add(OTHER, "process.exit", r#""signal":15"#);
    log.end(ONE);
    let builds = log.builds();
    assert_eq!(steps(&builds, ONE), ["41"]);
    assert_eq!(steps(&builds, OTHER), ["51"]);
}

#[test]
fn a_build_that_ends_in_the_middle_of_anothers_chain_shares_what_is_below() {
    let mut log = begun(&[ONE, OTHER]);
    run(&mut log, 41, &[40]);
    run(&mut log, 42, &[41, 40]);
    read(&mut log, &[42, 41]);
    run(&mut log, 43, &[42, 41, 40]);
    log.end(OTHER);
    read(&mut log, &[43]);
    log.end(ONE);
    let builds = log.builds();
    assert_eq!(steps(&builds, ONE), ["41*", "42*", "43"]);
    assert_eq!(steps(&builds, OTHER), ["41*", "42*"]);
}

#[test]
fn an_equal_first_step_is_shared_and_what_is_built_upon_it_is_not() {
    let mut log = begun(&[ONE, OTHER]);
    run(&mut log, 41, &[40]);
    run(&mut log, 42, &[41, 40]);
    run(&mut log, 52, &[41, 40]);
    read(&mut log, &[52, 41]);
    log.end(OTHER);
    read(&mut log, &[42]);
    log.end(ONE);
    let builds = log.builds();
    assert_eq!(steps(&builds, ONE), ["41*", "42"]);
    assert_eq!(steps(&builds, OTHER), ["41*", "52"]);
}

#[test]
fn a_stage_that_is_mounted_into_a_step_is_of_its_build() {
    let mut log = begun(&[ONE, OTHER]);
    run(&mut log, 41, &[40]);
    run(&mut log, 51, &[40]);
    // Read while it is mounted, to look it up in the cache; not put into any image.
    log.run_with(DAEMON, 42, &[40], &["/bin/sh", "-c", "make"], Some(41));
    read(&mut log, &[42]);
    log.end(OTHER);
    read(&mut log, &[51]);
    log.end(ONE);
    let builds = log.builds();
    assert_eq!(steps(&builds, OTHER), ["41", "42"]);
    assert_eq!(steps(&builds, ONE), ["51"]);
}

#[test]
fn a_client_that_had_all_in_the_cache_leaves_the_others_undecided_at_most() {
    let mut log = begun(&[ONE, OTHER, THIRD]);
    // The third ends before anything is read.
    run(&mut log, 41, &[40]);
    run(&mut log, 51, &[40]);
    log.end(THIRD);
    read(&mut log, &[51]);
    log.end(OTHER);
    read(&mut log, &[41]);
    log.end(ONE);
    let builds = log.builds();
    assert_eq!(steps(&builds, ONE), ["41"]);
    assert_eq!(steps(&builds, OTHER), ["51"]);
    assert_eq!(steps(&builds, THIRD), Vec::<String>::new());
    // If it ends last, a chain may be its.
    let mut log = begun(&[ONE, OTHER, THIRD]);
    run(&mut log, 41, &[40]);
    run(&mut log, 51, &[40]);
    read(&mut log, &[51]);
    log.end(OTHER);
    read(&mut log, &[41]);
    log.end(ONE);
    log.end(THIRD);
    let builds = log.builds();
    assert!(steps(&builds, THIRD).contains(&"41*".to_owned()), "{:?}", steps(&builds, THIRD));
    assert!(steps(&builds, ONE).contains(&"41*".to_owned()));
}

#[test]
fn a_word_of_another_program_makes_no_rival() {
    let mut log = Log::new();
    log.add(DAEMON, "process.exists", r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#);
    log.add(OTHER, "process.exists", r#""exe":"/usr/bin/make","argv":["make","build"],"cwd":"/""#);
    connect(&mut log, ONE);
    run(&mut log, 41, &[40]);
    read(&mut log, &[41]);
    log.end(ONE);
    assert_eq!(steps(&log.builds(), ONE), ["41"]);
}

#[test]
fn a_client_from_before_the_recording_is_a_rival_where_its_program_is_the_clients() {
    let mut log = Log::new();
    log.add(DAEMON, "process.exists", r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#);
    log.add(
        OTHER,
        "process.exists",
        r#""exe":"/usr/bin/docker","argv":["docker","build","."],"cwd":"/""#,
    );
    connect(&mut log, ONE);
    run(&mut log, 41, &[40]);
    run(&mut log, 51, &[40]);
    read(&mut log, &[41]);
    log.end(ONE);
    read(&mut log, &[51]);
    log.end(OTHER);
    let builds = log.builds();
    assert_eq!(steps(&builds, ONE), ["41"], "the other chain was not read in its time");
}

#[test]
fn the_number_of_a_namespace_that_is_gone_says_nothing() {
    let mut log = begun(&[ONE]);
    // A helper of the engine: one thread of it has a mount namespace, ends, and the number is given out again
    // before the helper's last thread has ended.
    let helper = Who(600, DAEMON.0, 0, 1, 1);
    log.fork(DAEMON, helper);
    let inside = Who(600, DAEMON.0, 0, 1, 41);
    log.add(inside, "ns.unshare", r#""namespaces":["mnt"],"ret":0"#);
    log.add(inside, "mount.pivot_root", r#""path":"/s/overlay2/9/diff","put_old":".","ret":0"#);
    log.run_unsharing(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    log.end(helper);
    log.end(ONE);
    assert_eq!(steps(&log.builds(), ONE), ["41"], "the container is seen to enter its own tree");
}

fn begin_layer(log: &mut Log, dir: u32) {
    let own = format!(r#""path":"/s/overlay2/l/S{dir}","target":"../{dir}/diff","ret":0"#);
    log.add(DAEMON, "file.symlink", &own);
}

/// A helper writes one file into a layer.
fn fill_layer(log: &mut Log, dir: u32, path: &str) {
    let helper = Who(dir * 10, DAEMON.0, 0, 1, dir);
    log.fork(DAEMON, helper);
    log.add(helper, "ns.unshare", r#""namespaces":["mnt"],"ret":0"#);
    let own = format!(r#""path":"/s/overlay2/{dir}/diff","put_old":".","ret":0"#);
    log.add(helper, "mount.pivot_root", &own);
    log.add(helper, "file.open", &format!(r#""path":"{path}","mode":"w","create":true,"ret":3"#));
    log.add(helper, "file.close", &format!(r#""path":"{path}","size":7"#));
    log.end(helper);
}

#[test]
fn layers_with_equal_names_in_other_folders_are_told_apart() {
    // The classic builder's COPY on nothing: a helper writes it into a layer, the engine reads that, and a helper
    // writes what was read into a layer anew.
    let below = |paths: [&str; 2]| {
        let mut log = begun(&[ONE]);
        let copies = [41, 51].into_iter().zip(paths);
        copies.clone().for_each(|(dir, _)| begin_layer(&mut log, dir));
        copies.clone().for_each(|(dir, path)| fill_layer(&mut log, dir, path));
        for (dir, path) in copies {
            let own = format!(r#""path":"/s/overlay2/{dir}/diff{path}","mode":"r","size":7,"ret":7"#);
            log.add(DAEMON, "file.open", &own);
        }
        let registered = [61, 71].into_iter().zip(paths);
        registered.clone().for_each(|(dir, _)| begin_layer(&mut log, dir));
        registered.for_each(|(dir, path)| fill_layer(&mut log, dir, path));
        run(&mut log, 42, &[61]);
        run(&mut log, 52, &[71]);
        // A build that failed may have left several ends.
        fail(&mut log, ONE);
        let builds = log.builds();
        let runs = &of(&builds, ONE).runs;
        let names = steps(&builds, ONE);
        assert_eq!(names, ["41", "51", "42", "52"]);
        let below = |at: usize| runs[at].below.iter().map(|id| names[*id as usize].clone());
        [below(2).collect::<Vec<_>>(), below(3).collect()]
    };
    assert_eq!(below(["/bin/x", "/other/x"]), [["41"], ["51"]]);
    assert!(below(["/bin/x", "/bin/x"]).iter().all(Vec::is_empty), "either may have left either");
}

#[test]
fn a_step_that_still_runs_is_of_no_build_that_has_succeeded() {
    let mut log = begun(&[ONE, OTHER]);
    let argv = ["/bin/sh", "-c", "make"];
    log.run_going_on(DAEMON, 51, &[151, 40], &argv);
    log.run(DAEMON, 41, &[141, 40], &argv);
    log.end(ONE);
    // Containers of the classic builder stand on a layer of their own.
    for n in [41, 51] {
        log.rename(&format!("/s/overlay2/1{n}/diff"), &format!("/s/overlay2/{n}-init/diff"));
    }
    let builds = log.builds();
    assert_eq!(steps(&builds, ONE), ["41"]);
    assert_eq!(steps(&builds, OTHER), ["51"], "nor has its client another at the same time");
}

/// What BuildKit is sent: it makes the file, asks the client for it, and writes what comes.
fn send(log: &mut Log, who: Who, dir: u32, file: &str, size: u32, meanwhile: &mut dyn FnMut(&mut Log)) {
    begin_layer(log, dir);
    let path = format!("/s/overlay2/{dir}/diff/{file}");
    log.add(DAEMON, "file.open", &format!(r#""path":"{path}","mode":"w","create":true,"ret":7"#));
    let own = format!(r#""path":"/home/{}/{file}","mode":"r","size":{size},"ret":3"#, who.0);
    log.add(who, "file.open", &own);
    meanwhile(log);
    log.add(DAEMON, "file.close", &format!(r#""path":"{path}","size":{size}"#));
}

/// A COPY of the file `tool` from what was sent.
fn copy(log: &mut Log, from: u32, to: u32) {
    begin_layer(log, to);
    let own = format!(r#""path":"/s/overlay2/{from}/diff/tool","mode":"r","size":7,"ret":7"#);
    log.add(DAEMON, "file.open", &own);
    let path = format!("/s/overlay2/{to}/diff/bin/tool");
    log.add(DAEMON, "file.open", &format!(r#""path":"{path}","mode":"w","create":true,"ret":7"#));
    log.add(DAEMON, "file.close", &format!(r#""path":"{path}","size":7"#));
}

/// Each client's Dockerfile, by which they are told apart.
fn send_dockerfiles(log: &mut Log) {
    for (who, dir, size) in [(ONE, 80, 20), (OTHER, 90, 21)] {
        send(log, who, dir, "Dockerfile", size, &mut |_| {});
        let own =
            format!(r#""path":"/s/overlay2/{dir}/diff/Dockerfile","mode":"r","size":{size},"ret":7"#);
        log.add(DAEMON, "file.open", &own);
    }
}

#[test]
fn which_of_two_equal_contexts_is_whose_need_not_be_told() {
    let mut log = begun(&[ONE, OTHER]);
    send_dockerfiles(&mut log);
    // While the one is received the other is, too: both clients have read such a file by the end.
    let mut other = |log: &mut Log| send(log, OTHER, 91, "tool", 7, &mut |_| {});
    send(&mut log, ONE, 81, "tool", 7, &mut other);
    copy(&mut log, 91, 41);
    run(&mut log, 42, &[41]);
    run(&mut log, 43, &[42, 41]);
    run(&mut log, 53, &[42, 41]);
    read(&mut log, &[43, 42, 41]);
    log.end(ONE);
    read(&mut log, &[53]);
    log.end(OTHER);
    let builds = log.builds();
    assert_eq!(steps(&builds, ONE), ["41*", "42*", "43"]);
    assert_eq!(steps(&builds, OTHER), ["41*", "42*", "53"]);
}

#[test]
fn a_step_that_is_at_work_when_a_copy_s_files_arrive_is_shared() {
    let mut log = begun(&[ONE, OTHER]);
    send_dockerfiles(&mut log);
    send(&mut log, ONE, 81, "tool", 7, &mut |_| {});
    copy(&mut log, 81, 41);
    // The equal step has begun for the first when the second's files are there.
    begin_layer(&mut log, 42);
    let argv = ["/bin/sh", "-c", "make"];
    let mut begins = |log: &mut Log| log.run_going_on(DAEMON, 42, &[41], &argv);
    send(&mut log, OTHER, 91, "tool", 7, &mut begins);
    log.add(Who(421, 420, 0, 42, 42), "process.exit", r#""code":0"#);
    run(&mut log, 43, &[42, 41]);
    run(&mut log, 53, &[42, 41]);
    read(&mut log, &[43, 42, 41]);
    log.end(ONE);
    read(&mut log, &[53]);
    log.end(OTHER);
    let builds = log.builds();
    assert_eq!(steps(&builds, ONE), ["41*", "42*", "43"]);
    assert_eq!(steps(&builds, OTHER), ["41*", "42*", "53"]);
}
