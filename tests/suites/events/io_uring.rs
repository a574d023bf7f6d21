//! What is done through a ring is told as what a system call does, with what came of it.

use std::process::Command;

use blubr_tests::program::text_of;
use blubr_tests::require;
use serde_json::{Value, json};

use crate::programs::{Program, compiled};
use crate::recording::{Recording, command};

/// Runs the operations of `words` (`,` between them) through a ring and gives what was told of them.
#[track_caller]
fn ring(program: &Program, words: &str) -> Recording {
    let mut shell = Command::new("sh");
    let script = format!("echo 123456 > passed; exec {} {words} > results", program.path.display());
    shell.args(["-ec", &script]);
    command(&shell)
}

fn mine<'r>(r: &'r Recording, kind: &str) -> Vec<&'r Value> {
    r.of(kind).into_iter().filter(|e| e["comm"] == "ring" && e["via"] == "io_uring").collect()
}

/// What the program itself was told of each operation of this name.
fn results(r: &Recording, word: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(r.path("results")).unwrap();
    let all = crate::programs::results(&text);
    all.get(word).into_iter().flatten().map(|result| json!(result)).collect()
}

#[test]
fn files_that_a_ring_opens_changes_and_removes_are_told() {
    require!(Root, Compiler, Rings);
    let program = compiled("ring");
    let r = ring(
        &program,
        "open f 1 , open-read f 2 , fallocate 1 100 , setxattr f user.a b , \
         fsetxattr 2 user.c d , close 1 , mkdir d , rename f d/g , link d/g h , symlink nowhere l , \
         unlink l , rmdir d , mkdir gone , rmdir gone , open none/x 3",
    );
    let opens = mine(&r, "file.open");
    assert_eq!(opens.len(), 3, "{opens:#?}");
    let ino =
        json!(text_of(Command::new("stat").args(["-c", "%i"]).arg(r.path("h"))).parse::<u64>().unwrap());
    let first = opens[0];
    assert_eq!((&first["path"], &first["mode"]), (&json!(r.path("f")), &json!("rw")));
    assert_eq!((&first["create"], &first["truncate"]), (&json!(true), &json!(true)));
    assert_eq!((&first["ino"], first.get("path_from")), (&ino, None));
    assert_eq!([first["ret"].clone()], results(&r, "open")[..1]);
    assert_eq!((&opens[1]["mode"], &opens[1]["ino"]), (&json!("r"), &ino));
    assert_eq!([opens[1]["ret"].clone()], results(&r, "open-read")[..]);
    assert_eq!(
        (&opens[2]["path"], &opens[2]["ret"], &opens[2]["path_from"]),
        (&json!(r.path("none/x")), &json!(-2), &json!("user"))
    );
    let close = mine(&r, "file.close");
    assert_eq!((close.len(), &close[0]["path"], &close[0]["ino"]), (1, &json!(r.path("f")), &ino));
    assert_eq!((close[0].get("size"), close[0].get("mtime")), (None, None));
    let sizes: Vec<_> = mine(&r, "file.truncate").into_iter().map(|e| e["size"].clone()).collect();
    assert_eq!(sizes, [json!(100)]);
    let mkdir = mine(&r, "file.mkdir");
    assert_eq!((&mkdir[0]["path"], &mkdir[0]["mode"]), (&json!(r.path("d")), &json!("0750")));
    let rename = mine(&r, "file.rename");
    assert_eq!((&rename[0]["path"], &rename[0]["to"]), (&json!(r.path("f")), &json!(r.path("d/g"))));
    let link = mine(&r, "file.link");
    assert_eq!((&link[0]["path"], &link[0]["to"]), (&json!(r.path("d/g")), &json!(r.path("h"))));
    let symlink = mine(&r, "file.symlink");
    assert_eq!((&symlink[0]["path"], &symlink[0]["target"]), (&json!(r.path("l")), &json!("nowhere")));
    let unlinks: Vec<_> =
        mine(&r, "file.unlink").into_iter().map(|e| (e["path"].clone(), e["ret"].clone())).collect();
    let unlink = |name: &str, ret: i64| (json!(r.path(name)), json!(ret));
    assert_eq!(unlinks, [unlink("l", 0), unlink("d", -39), unlink("gone", 0)]);
    let attributes: Vec<_> =
        mine(&r, "file.setxattr").into_iter().map(|e| (e["name"].clone(), e["value"].clone())).collect();
    assert_eq!(attributes, [(json!("user.a"), json!("b")), (json!("user.c"), json!("d"))]);
    // The kernel's own state agrees.
    let stat = text_of(Command::new("stat").args(["-c", "%s %h"]).arg(r.path("h")));
    assert_eq!(stat, "100 2");
    let rings = r.of("watch.iouring").into_iter().filter(|e| e["comm"] == "ring").count();
    assert_eq!(rings, 1);
}

#[test]
fn an_open_that_leaves_no_descriptor_or_no_answer_is_told_all_the_same() {
    require!(Root, Compiler, Rings);
    let program = compiled("ring");
    let r = ring(&program, "table , open-direct passed , open-silent silent , mkdir later");
    let opens = mine(&r, "file.open");
    let direct = opens.iter().find(|e| e["path"] == r.path("passed")).unwrap();
    let ino = text_of(Command::new("stat").args(["-c", "%i"]).arg(r.path("passed")));
    assert_eq!((direct["ino"].to_string(), &direct["ret"]), (ino, &json!(0)));
    let silent = opens.iter().find(|e| e["path"] == r.path("silent")).unwrap();
    assert_eq!((silent.get("ret"), &silent["path_from"]), (None, &json!("user")));
    assert!(std::path::Path::new(&r.path("silent")).exists());
}

#[test]
fn a_link_is_told_as_it_was_named_by_a_ring() {
    require!(Root, Compiler, Rings);
    let program = compiled("ring");
    let r = ring(&program, "symlink passed alias , open-read alias 1");
    let opens = mine(&r, "file.open");
    assert_eq!(
        (opens.len(), &opens[0]["path"], &opens[0]["path_from"], opens[0].get("ino")),
        (1, &json!(r.path("alias")), &json!("user"), None)
    );
}

#[test]
fn connections_of_a_ring_are_told() {
    require!(Root, Compiler, Rings);
    let program = compiled("ring");
    let r = ring(
        &program,
        "serve 1 , socket tcp 2 , connect 2 @1 , accept 1 3 , socket tcp 4 , connect 4 127.0.0.1:1 , \
         socket udp 5 , sendmsg 5 127.0.0.1:9 , socket unix 6 , connect 6 absent , socket letters 9 , \
         sendmsg 9 absent , sendmsg 6 absent , dial 1 7 , accept-many 1 8",
    );
    let listen: Vec<_> = r.of("net.listen").into_iter().filter(|e| e["comm"] == "ring").collect();
    let port = &listen[0]["sport"];
    assert!(port.as_u64().unwrap() > 0);
    let connects = mine(&r, "net.connect");
    assert_eq!(connects.len(), 2, "{connects:#?}");
    assert_eq!((&connects[0]["daddr"], &connects[0]["dport"]), (&json!("127.0.0.1"), port));
    assert_eq!((&connects[1]["dport"], &connects[1]["ret"]), (&json!(1), &json!(-111)));
    let connected = results(&r, "connect");
    assert_eq!((&connects[0]["ret"], &connects[1]["ret"]), (&connected[0], &connected[1]));
    let (accepts, cancelled): (Vec<_>, Vec<_>) =
        mine(&r, "net.accept").into_iter().partition(|e| e["ret"].as_i64() >= Some(0));
    assert_eq!(accepts.len(), 2, "{accepts:#?}");
    // The request goes on until its ring ends.
    assert!(cancelled.iter().all(|e| e["ret"] == -125 && e.get("daddr").is_none()), "{cancelled:#?}");
    assert_eq!((&accepts[0]["dport"], &accepts[0]["sport"]), (&connects[0]["sport"], port));
    assert_eq!([accepts[0]["ret"].clone()], results(&r, "accept")[..]);
    for accept in &accepts {
        let same = |e: &&Value| e["sport"] == accept["sport"] && e["dport"] == accept["dport"];
        let ends: Vec<_> = r.of("net.close").into_iter().filter(same).collect();
        assert_eq!((ends.len(), &ends[0]["pid"]), (1, &accept["pid"]), "{ends:#?}");
    }
    let dialled =
        r.of("net.connect").into_iter().find(|e| e["comm"] == "ring" && e.get("via").is_none());
    assert_eq!(accepts[1]["dport"], dialled.unwrap()["sport"]);
    let sends: Vec<_> = mine(&r, "net.send").into_iter().map(|e| e["dport"].clone()).collect();
    assert_eq!(sends, [json!(9)]);
    // What a ring sends is counted, and its socket's end told, as of one of socket(2).
    let of_udp = |e: &&Value| e["comm"] == "ring" && e["proto"] == "udp";
    let ends: Vec<_> = r.of("net.close").into_iter().filter(of_udp).collect();
    assert_eq!((ends.len(), ends[0].get("daddr"), ends[0].get("via")), (1, None, None), "{ends:#?}");
    assert!(ends[0].get("bytes_sent").is_none_or(|bytes| *bytes == 1), "{ends:#?}");
    // A stream passes over where a message of it is to go.
    let unix: Vec<_> =
        mine(&r, "unix.connect").into_iter().map(|e| (e["path"].clone(), e["ret"].clone())).collect();
    assert_eq!(unix, vec![(json!(r.path("absent")), json!(-2)); 2]);
}

#[test]
fn what_only_newer_rings_do_is_told() {
    require!(Root, Compiler, RingBind);
    let program = compiled("ring");
    let r = ring(
        &program,
        "socket tcp 1 , bind 1 127.0.0.1:0 , listen 1 , socket udp 2 , sendto 2 127.0.0.1:10 , open f 3 , ftruncate 3 5",
    );
    let bind = mine(&r, "net.bind");
    assert_eq!((bind.len(), &bind[0]["saddr"], &bind[0]["ret"]), (1, &json!("127.0.0.1"), &json!(0)));
    let listen = mine(&r, "net.listen");
    assert!(listen[0]["sport"].as_u64().unwrap() > 0);
    let send = mine(&r, "net.send");
    assert_eq!((send.len(), &send[0]["dport"], &send[0]["daddr"]), (1, &json!(10), &json!("127.0.0.1")));
    let truncate = mine(&r, "file.truncate");
    assert_eq!((&truncate[0]["path"], &truncate[0]["size"]), (&json!(r.path("f")), &json!(5)));
}

#[test]
fn a_descriptor_that_a_ring_receives_is_told() {
    require!(Root, Compiler, Rings);
    let program = compiled("ring");
    let r = ring(&program, "pass passed 1 , receive 1");
    let passed: Vec<_> =
        r.all("file.open", "passed").into_iter().filter(|e| e["via"] == "scm_rights").collect();
    assert_eq!((passed.len(), &passed[0]["size"]), (1, &json!(7)));
}

#[test]
fn no_failed_leaves_a_ring_s_failures_out() {
    require!(Root, Compiler, Rings);
    let program = compiled("ring");
    let folder = crate::recording::folder();
    let log = folder.path().join("log");
    let status = blubr_tests::bins::command("blubr-record")
        .args(["--no-failed", "-o"])
        .arg(&log)
        .arg("--")
        .arg(&program.path)
        .args(["rmdir", "absent", ",", "mkdir", "there"])
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(status.success());
    let told =
        blubr_tests::program::jq("select(.comm == \"ring\" and .via == \"io_uring\") | .type", &log);
    assert_eq!(told, "file.mkdir");
}
