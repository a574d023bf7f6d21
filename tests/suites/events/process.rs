//! process.fork, process.exec, process.exit, process.exists.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use blubr_tests::program::text_of;
use blubr_tests::require;
use serde_json::json;

use crate::recording::{Monitor, command, folder, script};

#[test]
fn a_child_is_followed_from_fork_to_exit() {
    require!(Root);
    let r = script("/bin/sleep 0.01; (exit 7) || true; /bin/sh -c 'kill -KILL $$' || true");
    let shell = r.lines[0]["command_pid"].as_u64().unwrap();
    let exec =
        r.of("process.exec").into_iter().find(|e| e["argv"] == json!(["/bin/sleep", "0.01"])).unwrap();
    assert_eq!(exec["ppid"], shell);
    assert_eq!(exec["comm"], "sleep");
    assert_eq!(exec["uid"], 0);
    assert_eq!(exec["gid"], 0);
    assert_eq!(exec["cwd"], r.folder.path().display().to_string());
    assert_eq!(exec["exe"], std::fs::canonicalize("/bin/sleep").unwrap().display().to_string());
    assert!(exec.get("ret").is_none() && exec.get("uid_before").is_none());
    let fork = r.of("process.fork").into_iter().find(|e| e["child_pid"] == exec["pid"]).unwrap();
    assert_eq!(fork["pid"], shell);
    assert_eq!(fork["child_start"], exec["start"]);
    let exit = r.of("process.exit").into_iter().find(|e| e["pid"] == exec["pid"]).unwrap();
    assert_eq!((&exit["code"], exit.get("signal")), (&json!(0), None));
    assert!(fork["seq"].as_u64() < exec["seq"].as_u64() && exec["seq"].as_u64() < exit["seq"].as_u64());
    let of_shell = |e: &&&serde_json::Value| e["ppid"] == shell;
    let ends: Vec<_> = r
        .of("process.exit")
        .iter()
        .filter(of_shell)
        .map(|e| (e["code"].clone(), e["signal"].clone()))
        .collect();
    assert!(ends.contains(&(json!(7), json!(null))), "{ends:?}");
    assert!(ends.contains(&(json!(null), json!(9))), "{ends:?}");
}

#[test]
fn argv_is_exact() {
    require!(Root);
    let mut program = Command::new("/bin/true");
    program.args(["", "two words", "\"quoted\"\n\t", "", "é"]);
    let r = command(&program);
    let argv = json!(["/bin/true", "", "two words", "\"quoted\"\n\t", "", "é"]);
    assert!(r.of("process.exec").iter().any(|e| e["argv"] == argv));

    let mut program = Command::new("/bin/true");
    program.arg("x").arg(OsStr::from_bytes(b"\xff\xfe"));
    let r = command(&program);
    let encoded = json!(["L2Jpbi90cnVl", "eA==", "//4="]);
    let exec = r.of("process.exec").into_iter().find(|e| e["argv_b64"] == encoded).unwrap();
    assert_eq!(exec["argv"], json!(null));
}

#[test]
fn a_long_argv_is_whole_and_a_longer_one_says_that_it_is_cut() {
    require!(Root);
    let long = "x".repeat(100_000);
    let mut program = Command::new("/bin/true");
    program.arg(&long);
    let r = command(&program);
    let exec =
        r.of("process.exec").into_iter().find(|e| e["argv"] == json!(["/bin/true", long])).unwrap();
    assert!(exec.get("truncated").is_none());

    let mut program = Command::new("/bin/true");
    program.args([&long, &long]);
    let r = command(&program);
    let cut = |e: &&&serde_json::Value| e["truncated"] == json!(["argv"]) && e["comm"] == "true";
    let cut: Vec<_> = r.of("process.exec").into_iter().filter(|e| cut(&e)).collect();
    assert_eq!(cut.len(), 1);
    let kept: usize =
        cut[0]["argv"].as_array().unwrap().iter().map(|a| a.as_str().unwrap().len() + 1).sum();
    assert!((131_072..=131_073).contains(&kept), "{kept}");
}

#[test]
fn a_script_names_itself_and_its_interpreter() {
    require!(Root);
    let tools = folder();
    let path = tools.path().join("hello");
    std::fs::write(&path, "#!/bin/sh -e\nexit 0\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let name = path.display().to_string();
    let r = command(Command::new(&path).arg("a"));
    let exec = r.of("process.exec").into_iter().find(|e| e["script"] == name).unwrap();
    assert_eq!(exec["interpreter"], "/bin/sh");
    assert_eq!(exec["exe"], std::fs::canonicalize("/bin/sh").unwrap().display().to_string());
    assert_eq!(exec["argv"], json!(["/bin/sh", "-e", name, "a"]));
}

#[test]
fn a_program_that_cannot_start_is_told_with_its_errno() {
    require!(Root);
    let r = script("./not-there one 'two words' || true; : > plain; ./plain || true");
    let missing = r.of("process.exec").into_iter().find(|e| e["exe"] == r.path("not-there")).unwrap();
    let argv = json!(["./not-there", "one", "two words"]);
    assert_eq!((missing["ret"].as_i64(), &missing["argv"]), (Some(-2), &argv));
    assert_eq!(missing["path_from"], "user");
    let plain = r.of("process.exec").into_iter().find(|e| e["exe"] == r.path("plain")).unwrap();
    assert_eq!(plain["ret"], -13);
}

#[test]
fn a_setuid_program_tells_the_ids_before() {
    require!(Root, PrepareExec);
    let tools = folder();
    std::fs::set_permissions(tools.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = tools.path().join("id");
    std::fs::copy("/usr/bin/id", &path).unwrap();
    std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let r = script(&format!("setpriv --reuid 1234 --regid 1235 --clear-groups {}", path.display()));
    let exec =
        r.of("process.exec").into_iter().find(|e| e["exe"] == path.display().to_string()).unwrap();
    assert_eq!((&exec["uid"], &exec["gid"]), (&json!(0), &json!(1235)));
    assert_eq!((&exec["uid_before"], &exec["gid_before"]), (&json!(1234), &json!(1235)));
}

#[test]
fn what_was_there_before_is_told() {
    require!(Root);
    let before = folder();
    let held = before.path().join("held");
    let file = std::fs::File::create(&held).unwrap();
    let mut sleeper = Command::new("/bin/sleep")
        .arg("60")
        .current_dir(before.path())
        .stdout(Stdio::from(file))
        .spawn()
        .unwrap();
    let r = Monitor::start().stop();
    let pid = sleeper.id();
    let start_ticks =
        text_of(Command::new("cut").args(["-d", " ", "-f", "22"]).arg(format!("/proc/{pid}/stat")));
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    let exists = r.of("process.exists").into_iter().find(|e| e["pid"] == pid).unwrap();
    assert_eq!(exists["argv"], json!(["/bin/sleep", "60"]));
    assert_eq!(exists["exe"], std::fs::canonicalize("/bin/sleep").unwrap().display().to_string());
    assert_eq!(exists["cwd"], before.path().display().to_string());
    // Beside it whatever file the test's own output goes to.
    let writing = exists["open_for_writing"].as_array().unwrap();
    assert!(writing.contains(&json!(held.display().to_string())), "{writing:?}");
    assert_eq!(exists["ppid"], std::process::id());
    let ticks: u64 = start_ticks.parse().unwrap();
    assert_eq!(exists["start"].as_u64().unwrap() / 10_000_000, ticks);
    assert!(r.of("process.exists").iter().any(|e| e["pid"] == 1));
}

#[test]
fn a_control_group_that_lives_for_an_instant_has_its_path() {
    require!(Root);
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mountinfo.lines().find(|line| line.contains(" - cgroup2 ")).expect("a cgroup2 tree");
    let tree = line.split(' ').nth(4).unwrap();
    let name = format!("blubr-events-{}", std::process::id());
    let r = script(&format!(
        "mkdir {tree}/{name}; sh -c 'echo $$ > {tree}/{name}/cgroup.procs; exec /bin/echo inside'; rmdir {tree}/{name}"
    ));
    let exec =
        r.of("process.exec").into_iter().find(|e| e["argv"] == json!(["/bin/echo", "inside"])).unwrap();
    assert_eq!(exec["cgroup"], format!("/{name}"));
    let exit = r.of("process.exit").into_iter().find(|e| e["pid"] == exec["pid"]).unwrap();
    assert_eq!((&exit["cgroup"], &exit["cgroup_id"]), (&exec["cgroup"], &exec["cgroup_id"]));
    let unknown = r.lines.iter().filter(|e| e.get("seq").is_some() && e["cgroup"].is_null()).count();
    assert_eq!(unknown, 0);
}
