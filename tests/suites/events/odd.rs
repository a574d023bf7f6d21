//! Calls that do not do what they seem to: a filter answers them, they are refused, what they name is moved meanwhile.

use std::os::unix::fs::PermissionsExt as _;

use blubr_tests::program::run;
use blubr_tests::require;
use serde_json::{Value, json};

use crate::programs::{compiled, results};
use crate::recording::{Recording, script};

/// What a part of the program did, and said that its calls returned.
#[track_caller]
fn odd(what: &str) -> (Recording, String) {
    let program = compiled("odd");
    let r = script(&format!("{} {what} >said", program.path.display()));
    let said = std::fs::read_to_string(r.path("said")).unwrap();
    (r, said)
}

fn of_odd<'r>(r: &'r Recording, kind: &str) -> Vec<&'r Value> {
    r.of(kind).into_iter().filter(|event| event["comm"] == "odd").collect()
}

#[test]
fn a_process_of_several_threads_ends_once_and_closes_its_files() {
    require!(Root, Compiler);
    let (r, _) = odd("threads");
    let mut ended: Vec<_> = of_odd(&r, "process.exit").iter().map(|e| e["pid"].as_u64()).collect();
    let all = ended.len();
    ended.sort_unstable();
    ended.dedup();
    assert_eq!((all, ended.len()), (101, 101), "each tells its end once");
    for n in 0..100 {
        assert_eq!(r.all("file.close", &format!("f{n}")).len(), 1, "f{n}");
    }
}

#[test]
fn a_descriptor_stays_open_where_what_would_close_it_is_refused() {
    require!(Root, Compiler);
    let (r, said) = odd("refused");
    let returned = results(&said);
    assert_eq!((&returned["dup2"], &returned["dup3"]), (&vec![-9], &vec![-22]));
    assert_eq!((&returned["close_range"], &returned["write"]), (&vec![-22], &vec![1]));
    let close = r.one("file.close", "path", "kept");
    assert_eq!(close["size"], 1, "at its end, when it was written: {close}");
}

#[test]
fn what_a_filter_answers_in_the_kernels_place_is_no_event() {
    require!(Root, Compiler);
    let (r, said) = odd("answered");
    let returned = results(&said);
    let says = |word: &str| returned[word][0];
    assert_eq!((says("mkdir"), says("fchmod"), says("connect")), (0, 0, -115));
    assert_eq!((says("thread_mkdir"), says("child_mkdir"), says("rmdir")), (0, 0, -18));
    assert!(says("unlink") > 0 && says("open") > 0, "{said}");
    assert_eq!(r.all("file.mkdir", "never"), Vec::<&Value>::new());
    assert_eq!(of_odd(&r, "net.connect"), Vec::<&Value>::new());
    // A call that the filter fails has failed.
    let removed = r.one("file.unlink", "path", "never");
    assert_eq!(removed["ret"], -18);
    assert_eq!(r.all("file.unlink", "real"), Vec::<&Value>::new());
    // What it lets through is told, of each thread and of what is born with the filter.
    let modes: Vec<_> =
        r.all("file.chmod", "real").iter().map(|e| (e["mode"].clone(), e["ret"].clone())).collect();
    assert_eq!(modes, [json!("0640"), json!("0641"), json!("0642")].map(|mode| (mode, json!(0))));
    let opened: Vec<_> = r.all("file.open", "real").iter().map(|e| e["mode"].clone()).collect();
    assert_eq!(opened, [json!("rw"), json!("r")]);
}

#[test]
fn a_call_s_number_is_the_low_half_of_what_was_given_for_it() {
    require!(Root, Compiler);
    let program = compiled("odd");
    let r = script(&format!("touch kept; {} numbers >said", program.path.display()));
    let said = std::fs::read_to_string(r.path("said")).unwrap();
    let returned = results(&said);
    if returned["mkdir"][0] == -38 {
        return eprintln!("SKIPPED: this kernel takes the whole number (before 5.13)");
    }
    assert_eq!((returned["mkdir"][0], returned["connect"][0]), (0, 0), "{said}");
    let opened: Vec<_> = r.all("file.open", "kept").into_iter().filter(|e| e["comm"] == "odd").collect();
    assert_eq!((opened.len(), &opened[0]["ret"]), (1, &json!(returned["open"][0])));
    assert_eq!(r.one("file.mkdir", "path", "dir")["ret"], 0);
    let connected = of_odd(&r, "net.connect");
    assert_eq!((connected.len(), &connected[0]["dport"]), (1, &json!(9)), "{connected:?}");
}

#[test]
fn what_a_tracer_answers_in_the_kernels_place_is_no_event() {
    require!(Root, Compiler);
    let (r, said) = odd("emulated");
    let returned = results(&said);
    assert_eq!((returned["mkdir"][0], returned["unlink"][0]), (0, 0), "{said}");
    assert_eq!(of_odd(&r, "file.mkdir"), Vec::<&Value>::new());
    assert_eq!(of_odd(&r, "file.unlink"), Vec::<&Value>::new());
}

#[test]
fn a_connection_is_told_whatever_becomes_of_the_address_that_was_given() {
    require!(Root, Compiler);
    let (r, said) = odd("connected");
    let returned = results(&said);
    assert_eq!((returned["connect"][0], returned["disconnect"][0]), (0, 0), "{said}");
    let told: Vec<_> =
        of_odd(&r, "net.connect").iter().map(|e| (e["dport"].clone(), e["ret"].clone())).collect();
    let port = json!(returned["port"][0]);
    let wanted = [-115, -115, 0].map(|ret| (port.clone(), json!(ret)));
    assert_eq!(told, wanted, "{said}");
}

#[test]
fn a_connection_that_a_signal_interrupts_comes_about_and_is_no_failure() {
    require!(Root, Compiler);
    let program = compiled("odd");
    let folder = crate::recording::folder();
    let log = folder.path().join("log");
    let output = run(blubr_tests::bins::command("blubr-record")
        .args(["--no-failed", "-o"])
        .arg(&log)
        .arg("--")
        .arg(&program.path)
        .arg("interrupted"));
    assert!(output.status.success());
    // The recorder's own standard output is the log's.
    let said = String::from_utf8(output.stderr).unwrap();
    let returned = results(&said);
    assert_eq!((returned["interrupted"][0], returned["refused"][0]), (-4, -22), "{said}");
    // As it was before the signal: ERESTARTSYS, which the program sees as EINTR.
    let told = "select(.type == \"net.connect\" and .comm == \"odd\") | \"\\(.ret) \\(.dport)\"";
    let port = returned["port"][0];
    // The port is the kernel's, whatever was written over the one that was given.
    let wanted = [-115, -115, -512].map(|ret| format!("{ret} {port}")).join("\n");
    assert_eq!(blubr_tests::program::jq(told, &log), wanted);
}

#[test]
fn a_mount_is_told_by_what_is_attached_and_not_by_the_number_of_its_descriptor() {
    require!(Root, Compiler);
    let (r, said) = odd("replaced");
    let returned = results(&said);
    assert_eq!((&returned["create"], &returned["move_mount"]), (&vec![0; 3], &vec![0; 2]), "{said}");
    let told: Vec<_> =
        of_odd(&r, "mount.mount").iter().map(|e| (e["fstype"].clone(), e["source"].clone())).collect();
    assert_eq!(told, [(json!("ramfs"), json!("second")), (json!("tmpfs"), json!("third"))]);
}

#[test]
fn the_files_of_a_thread_that_shares_none_close_with_it() {
    require!(Root, Compiler);
    let (r, said) = odd("apart");
    let thread = &results(&said)["written"];
    let closed = of_odd(&r, "file.close");
    let of = |name: &str| {
        let named = closed.iter().filter(|e| e["path"] == r.path(name));
        named.map(|e| (e["tid"].as_i64(), e["seq"].as_u64())).collect::<Vec<_>>()
    };
    let (own, after, shared) = (of("own"), of("after"), of("shared"));
    assert_eq!((own.len(), after.len()), (1, 1), "{closed:#?}");
    assert_eq!(own[0].0, Some(thread[0]));
    // It had a descriptor of this one too.
    assert_eq!(shared.len(), 2, "{closed:#?}");
    assert!(own[0].1 < after[0].1, "it closes when its thread ends");
}

#[test]
fn a_directory_that_moves_while_a_call_waits_makes_its_path_doubtful() {
    require!(Root, Compiler);
    let (r, said) = odd("moved");
    assert_eq!((results(&said)["chdir"][0], results(&said)["truncate"][0]), (0, 0));
    let truncate = of_odd(&r, "file.truncate");
    assert_eq!(truncate.len(), 1, "{truncate:?}");
    assert_eq!(truncate[0]["path_from"], "user-raced", "{truncate:?}");
}

#[test]
fn a_root_that_is_not_the_process_s_alone_is_told_to_be_so() {
    require!(Root, Compiler);
    let (r, said) = odd("roots");
    assert_eq!(
        (&results(&said)["chroot"], &results(&said)["unshare"]),
        (&vec![0; 4], &vec![0]),
        "{said}"
    );
    let told: Vec<_> =
        of_odd(&r, "fs.chroot").iter().map(|e| (e["path"].clone(), e["apart"].clone())).collect();
    let wanted = [("alone", false), ("shared", true), ("threads", false), ("own", true)];
    let wanted =
        wanted.map(|(path, apart)| (json!(r.path(path)), if apart { json!(true) } else { Value::Null }));
    assert_eq!(told, wanted);
}

#[test]
fn where_the_link_of_a_descriptor_leads_is_told_of_calls_that_follow_it() {
    require!(Root, Compiler);
    let (r, said) = odd("linked");
    let is_link = |event: &&Value| {
        let path = event["path"].as_str();
        event["comm"] == "odd" && path.is_some_and(|path| path.contains("/fd/"))
    };
    let told: Vec<_> = (r.lines.iter().filter(is_link))
        .map(|event| {
            (event["type"].as_str().unwrap_or_default(), event["ret"].clone(), event["fd_path"].clone())
        })
        .collect();
    let (file, dir) = (json!(r.path("dir/file")), json!(r.path("dir")));
    // The symlink in /dev is not everywhere.
    let by_dev = results(&said)["chown"][0];
    let wanted = [
        ("file.chmod", 0, &file),
        ("file.chmod", 0, &file),
        ("file.chown", by_dev, &file),
        ("file.chown", 0, &Value::Null),
        ("file.utimes", 0, &file),
        ("file.truncate", 0, &file),
        ("file.link", 0, &file),
        ("file.link", -18, &Value::Null),
        ("file.mkdir", 0, &dir),
        ("file.chmod", 0, &Value::Null),
        ("file.chmod", -2, &Value::Null),
        ("file.unlink", 0, &dir),
        ("file.rename", -18, &Value::Null),
    ];
    let wanted = wanted.map(|(kind, ret, leads)| (kind, json!(ret), leads.clone()));
    assert_eq!(told, wanted, "{said}");
}

#[test]
fn the_link_of_a_descriptor_is_of_the_first_thread_s_table() {
    require!(Root, Compiler);
    let (r, said) = odd("tables");
    let told: Vec<_> = of_odd(&r, "file.chmod").iter().map(|event| &event["fd_path"]).collect();
    let own = json!(r.path("dir/other"));
    // What the thread has there itself, they do not lead to.
    assert_eq!(told, [&Value::Null, &Value::Null, &own], "{said}");
    let mode = |name: &str| std::fs::metadata(r.path(name)).unwrap().permissions().mode() & 0o777;
    // The symlink in /dev is not everywhere.
    let by_dev = if results(&said)["chmod"][1] == 0 { 0o602 } else { 0o601 };
    assert_eq!((mode("dir/file"), mode("dir/other")), (by_dev, 0o603));
}
