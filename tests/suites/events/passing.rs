//! Descriptors that come from another process: the receiver has an open file, or a connection, without a call for it.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::process::Command;

use blubr_tests::require;
use serde_json::json;

use crate::programs::{compiled, results};
use crate::recording::script;

#[test]
fn what_a_received_descriptor_names_is_told() {
    require!(Root, Compiler);
    let program = compiled("calls");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let r =
        script(&format!("echo hello > file; {} passing file {port} > results", program.path.display()));
    let text = std::fs::read_to_string(r.path("results")).unwrap();
    let said = results(&text);
    let received: Vec<_> =
        r.all("file.open", "file").into_iter().filter(|e| e["via"] == "scm_rights").collect();
    assert_eq!(received.len(), 1);
    let received = received[0];
    assert_eq!((&received["mode"], &received["size"]), (&json!("rw"), &json!(6)));
    assert_eq!(received["ret"], said["file"][0]);
    let opener =
        r.all("file.open", "file").into_iter().find(|e| e.get("via").is_none() && e["mode"] == "rw");
    assert_ne!(received["pid"], opener.unwrap()["pid"]);
    let connects: Vec<_> = r.of("net.connect").into_iter().filter(|e| e["dport"] == port).collect();
    assert_eq!(connects.len(), 2);
    assert_eq!((connects[0].get("via"), &connects[1]["via"]), (None, &json!("scm_rights")));
    assert_eq!((&connects[1]["pid"], &connects[1]["sport"]), (&received["pid"], &connects[0]["sport"]));
    assert_eq!(connects[1]["ret"], said["socket"][0]);
    // And back, by pidfd_getfd.
    let taken: Vec<_> =
        r.all("file.open", "file").into_iter().filter(|e| e["via"] == "pidfd_getfd").collect();
    assert_eq!((taken.len(), &taken[0]["ret"]), (1, &json!(said["pidfd_getfd"][0])));
    assert_eq!((&taken[0]["ino"], &taken[0]["pid"]), (&received["ino"], &connects[0]["pid"]));
}

#[test]
fn a_received_unix_socket_is_told_by_the_name_that_it_is_connected_to() {
    require!(Root, Compiler);
    let program = compiled("calls");
    let monitored = crate::recording::folder();
    let stream = monitored.path().join("stream");
    let _listener = UnixListener::bind(&stream).unwrap();
    let datagram = format!("@blubr-introduced-{}", std::process::id());
    let hidden = SocketAddr::from_abstract_name(&datagram[1..]).unwrap();
    let _box = UnixDatagram::bind_addr(&hidden).unwrap();
    // The caller's way there is another: it is the kernel's that is told.
    std::os::unix::fs::symlink(monitored.path(), monitored.path().join("linked")).unwrap();
    let linked = monitored.path().join("linked/stream");
    let r = script(&format!(
        "{} introduced {} {datagram} > results",
        program.path.display(),
        linked.display()
    ));
    let text = std::fs::read_to_string(r.path("results")).unwrap();
    let said = results(&text);
    let connects: Vec<_> = r.of("unix.connect").into_iter().filter(|e| e["comm"] == "calls").collect();
    let told: Vec<_> = connects
        .iter()
        .map(|e| (e["path"].as_str().unwrap(), e.get("via").and_then(|via| via.as_str()), &e["ret"]))
        .collect();
    let (stream, linked) = (stream.to_str().unwrap(), linked.to_str().unwrap());
    let number = |word: &str| json!(said[word][0]);
    assert_eq!(
        told,
        [
            (linked, None, &json!(0)),
            (&datagram[..], None, &json!(0)),
            (stream, Some("scm_rights"), &number("stream")),
            (&datagram[..], Some("scm_rights"), &number("datagram")),
            (stream, Some("pidfd_getfd"), &number("pidfd_getfd")),
        ]
    );
    assert_eq!((&connects[2]["pid"], connects[2].get("path_from")), (&connects[3]["pid"], None));
    assert_ne!(connects[2]["pid"], connects[0]["pid"]);
    assert_eq!(connects[4]["pid"], connects[0]["pid"]);
}

#[test]
fn a_listening_socket_that_is_taken_over_is_told_as_one() {
    require!(Root);
    // pidfd_open(2) of perl itself, and pidfd_getfd(2).
    let r = script(
        "perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(0, INADDR_LOOPBACK)); \
         listen(S, 1); $p = syscall(434, $$ + 0, 0); print syscall(438, $p, fileno(S), 0)' > taken",
    );
    let listens: Vec<_> = r.of("net.listen").into_iter().filter(|e| e["comm"] == "perl").collect();
    let [own, taken] = listens[..] else { panic!("{listens:#?}") };
    assert_eq!((own.get("via"), &own["ret"]), (None, &json!(0)));
    let number: i64 = std::fs::read_to_string(r.path("taken")).unwrap().parse().unwrap();
    assert_eq!((&taken["via"], &taken["ret"]), (&json!("pidfd_getfd"), &json!(number)));
    assert_eq!((&taken["saddr"], &taken["sport"]), (&own["saddr"], &own["sport"]));
}

#[test]
fn strace_names_the_same_descriptors() {
    require!(Root, Compiler, Strace);
    let program = compiled("calls");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "echo hello > file; strace -f -y -qq -e trace=recvmsg,pidfd_getfd -o strace.out {} passing file {port}",
        program.path.display()
    );
    let r = crate::recording::command(Command::new("sh").args(["-ec", &script]));
    let text = std::fs::read_to_string(r.path("strace.out")).unwrap();
    // cmsg_data=[3</.../file>, 7<TCP:[...]>]
    let data = text.split_once("cmsg_data=[").and_then(|(_, rest)| rest.split_once(']')).unwrap().0;
    let fd: i64 = data.split_once('<').unwrap().0.parse().unwrap();
    assert!(data.contains(&format!("<{}>", r.path("file"))), "{text}");
    let received = r.all("file.open", "file").into_iter().find(|e| e["via"] == "scm_rights").unwrap();
    assert_eq!(received["ret"], fd);
}
