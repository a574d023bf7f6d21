//! net.* and unix.connect: what the test's own sockets do.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use blubr_tests::require;
use serde_json::{Value, json};

use crate::recording::{Monitor, Recording};

/// Events of this type of our own process with this value.
fn mine<'r>(r: &'r Recording, kind: &str, key: &str, value: &Value) -> Vec<&'r Value> {
    r.of(kind).into_iter().filter(|e| e["pid"] == std::process::id() && e[key] == *value).collect()
}

#[test]
fn a_connection_is_told_from_both_ends() {
    require!(Root);
    let monitor = Monitor::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let own = client.local_addr().unwrap().port();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(&[1; 1000]).unwrap();
    server.read_exact(&mut [0; 1000]).unwrap();
    server.write_all(&[2; 300]).unwrap();
    client.read_exact(&mut [0; 300]).unwrap();
    drop(client);
    drop(server);
    std::thread::sleep(Duration::from_millis(100));
    let r = monitor.stop();

    let bind = mine(&r, "net.bind", "saddr", &json!("127.0.0.1"));
    assert!(bind.iter().any(|e| e["proto"] == "tcp" && e["sport"] == 0), "{bind:#?}");
    let listen = mine(&r, "net.listen", "sport", &json!(port));
    assert_eq!((listen.len(), &listen[0]["saddr"]), (1, &json!("127.0.0.1")));
    let connect = mine(&r, "net.connect", "dport", &json!(port));
    assert_eq!(connect.len(), 1);
    let connect = connect[0];
    assert_eq!(
        (&connect["proto"], &connect["family"], &connect["ret"]),
        (&json!("tcp"), &json!("inet"), &json!(0))
    );
    assert_eq!((&connect["saddr"], &connect["sport"]), (&json!("127.0.0.1"), &json!(own)));
    assert_eq!(connect["daddr"], "127.0.0.1");
    let accept = mine(&r, "net.accept", "dport", &json!(own));
    assert_eq!((accept.len(), &accept[0]["sport"]), (1, &json!(port)));
    let close = mine(&r, "net.close", "dport", &json!(port));
    assert_eq!(close.len(), 1);
    assert_eq!((&close[0]["sport"], &close[0]["bytes_sent"]), (&json!(own), &json!(1000)));
    let received = close[0]["bytes_received"].as_u64().unwrap();
    // tcp_rcv_nxt_update counts the other side's FIN where it has come.
    assert!((300..=301).contains(&received), "{received}");
    assert!(close[0]["duration_ns"].as_u64().unwrap() > 0);
    let close = mine(&r, "net.close", "dport", &json!(own));
    assert_eq!((close.len(), &close[0]["bytes_sent"]), (1, &json!(300)));
}

#[test]
fn a_connection_that_is_refused_is_told_with_its_errno() {
    require!(Root);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let monitor = Monitor::start();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    let r = monitor.stop();
    let connect = mine(&r, "net.connect", "dport", &json!(port));
    assert_eq!((connect.len(), &connect[0]["ret"]), (1, &json!(-111)));
}

#[test]
fn addresses_of_ipv6_are_told() {
    require!(Root);
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("SKIPPED: this host has no ::1");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let monitor = Monitor::start();
    drop(TcpStream::connect(("::1", port)).unwrap());
    let r = monitor.stop();
    let connect = mine(&r, "net.connect", "dport", &json!(port));
    assert_eq!((&connect[0]["family"], &connect[0]["daddr"]), (&json!("inet6"), &json!("::1")));
}

#[test]
fn the_first_datagram_to_each_destination_is_told() {
    require!(Root);
    let one = UdpSocket::bind("127.0.0.1:0").unwrap();
    let two = UdpSocket::bind("127.0.0.1:0").unwrap();
    let monitor = Monitor::start();
    let from = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        from.send_to(b"x", one.local_addr().unwrap()).unwrap();
        from.send_to(b"x", two.local_addr().unwrap()).unwrap();
    }
    let r = monitor.stop();
    let sport = json!(from.local_addr().unwrap().port());
    let sent = mine(&r, "net.send", "sport", &sport);
    let ports: Vec<_> = sent.iter().map(|e| e["dport"].as_u64().unwrap() as u16).collect();
    assert_eq!(ports, [one.local_addr().unwrap().port(), two.local_addr().unwrap().port()]);
    assert_eq!((&sent[0]["proto"], &sent[0]["daddr"]), (&json!("udp"), &json!("127.0.0.1")));
}

#[test]
fn a_name_that_is_asked_for_and_its_answer_are_told() {
    require!(Root);
    let address = Ipv4Addr::new(127, 83, 1, 1);
    let server = UdpSocket::bind((address, 53)).unwrap();
    // It begins before the recorder does, whose start takes a while on a slow machine.
    server.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let answering = std::thread::spawn(move || {
        // busybox asks for A and AAAA; an answer that loops comes first, for the recorder alone to choke on.
        for _ in 0..2 {
            let mut query = [0u8; 512];
            let (len, from) = server.recv_from(&mut query).unwrap();
            let mut looping = query[..len].to_vec();
            looping[..4].copy_from_slice(&[0, 0, 0x81, 0x80]);
            looping[7] = 1;
            let at = len as u8;
            looping.extend_from_slice(&[0xc0, at, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]);
            server.send_to(&looping, from).unwrap();
            let asks_a = query[len - 3] == 1;
            let mut answer = query[..len].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            if asks_a {
                answer[7] = 1;
                answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
            }
            server.send_to(&answer, from).unwrap();
        }
    });
    let r = crate::recording::command(
        std::process::Command::new(blubr_tests::workload::busybox_path()).args([
            "nslookup",
            "build.example",
            &address.to_string(),
        ]),
    );
    answering.join().unwrap();
    let dns: Vec<_> = r
        .of("net.dns")
        .into_iter()
        .filter(|e| e["comm"].as_str().is_some_and(|comm| comm.starts_with("busybox")))
        .collect();
    assert!(
        dns.iter().all(|e| e["qname"] == "build.example" && e["server"] == "127.83.1.1"),
        "{dns:#?}"
    );
    let questions: Vec<_> =
        dns.iter().filter(|e| e.get("rcode").is_none()).map(|e| e["qtype"].as_str()).collect();
    assert_eq!(questions, [Some("A"), Some("AAAA")]);
    let answers = json!([{"name": "build.example", "address": "192.0.2.7", "ttl": 60}]);
    let answered = dns.iter().find(|e| e["answers"] == answers).unwrap();
    assert_eq!((&answered["from"], &answered["rcode"]), (&json!("127.83.1.1"), &json!(0)));
    let looped = dns.iter().find(|e| e["truncated"] == json!(["answers"])).unwrap();
    assert_eq!(looped["answers"], json!([]));
}

#[test]
fn an_accept_that_failed_is_told_by_the_socket_that_was_to_accept() {
    require!(Root);
    let monitor = Monitor::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
    let r = monitor.stop();
    let accept = mine(&r, "net.accept", "sport", &json!(port));
    assert_eq!((accept.len(), &accept[0]["ret"]), (1, &json!(-11)));
    assert_eq!(
        (&accept[0]["saddr"], &accept[0]["family"], accept[0].get("daddr")),
        (&json!("127.0.0.1"), &json!("inet"), None)
    );
}

#[test]
fn a_unix_socket_is_told_by_its_path() {
    require!(Root);
    let monitor = Monitor::start();
    let path = monitor.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    drop(UnixStream::connect(&path).unwrap());
    let linked = monitor.path().join("linked");
    std::os::unix::fs::symlink(monitor.path(), &linked).unwrap();
    let _other = UnixListener::bind(linked.join("other")).unwrap();
    assert!(UnixListener::bind(&path).is_err());
    let nobody = SocketAddr::from_abstract_name(b"blubr-events").unwrap();
    let _hidden = UnixListener::bind_addr(&nobody).unwrap();
    let r = monitor.stop();
    // The file that bind makes, by the kernel's own name for it.
    let made = mine(&r, "file.mknod", "kind", &json!("socket"));
    let made: Vec<_> =
        made.iter().map(|e| (&e["path"], &e["mode"], &e["path_from"], &e["ret"])).collect();
    let (first, other) = (json!(r.path("socket")), json!(r.path("other")));
    let (mode, user, done, in_use) = (json!("0777"), json!("user"), json!(0), json!(-98));
    assert_eq!(
        made,
        [
            (&first, &mode, &Value::Null, &done),
            (&other, &mode, &Value::Null, &done),
            (&first, &mode, &user, &in_use),
        ]
    );
    let connect = mine(&r, "unix.connect", "path", &json!(path.display().to_string()));
    assert_eq!((connect.len(), &connect[0]["ret"]), (1, &json!(0)));
}

#[test]
fn the_first_datagram_to_each_name_of_a_unix_socket_is_told_as_a_connection() {
    require!(Root, Compiler);
    let program = crate::programs::compiled("calls");
    let script = format!("mkdir below; exec {} letters > results", program.path.display());
    let r = crate::recording::command(std::process::Command::new("sh").args(["-ec", &script]));
    let text = std::fs::read_to_string(r.path("results")).unwrap();
    let said = crate::programs::results(&text);
    assert_eq!((&said["sendto"][..], &said["sendmsg"][..]), (&[1, 1, 1][..], &[1, 1][..]));
    let told: Vec<_> = r.of("unix.connect").into_iter().filter(|e| e["comm"] == "calls").collect();
    let told: Vec<_> = told.iter().map(|e| (&e["path"], &e["path_from"], &e["ret"])).collect();
    let [boxed, nobody, below] = ["box", "nobody", "below/box"].map(|name| json!(r.path(name)));
    let (hidden, user, sent, absent) = (json!("@letters"), json!("user"), json!(0), json!(-2));
    // Once by each socket, but each that failed; of a name that begins elsewhere anew.
    assert_eq!(
        told,
        [
            (&boxed, &user, &sent),
            (&hidden, &user, &sent),
            (&nobody, &user, &absent),
            (&nobody, &user, &absent),
            (&boxed, &user, &sent),
            (&below, &user, &absent),
        ]
    );
}

#[test]
fn each_destination_of_one_sendmmsg_is_told_and_what_was_refused_is_told_again() {
    require!(Root, Compiler);
    let program = crate::programs::compiled("calls");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let r = crate::recording::command(
        std::process::Command::new(&program.path).arg("datagrams").arg(port.to_string()),
    );
    let sends: Vec<_> = r.of("net.send").into_iter().filter(|e| e["comm"] == "calls").collect();
    let ports: Vec<_> = sends[..70].iter().map(|e| e["dport"].as_u64().unwrap()).collect();
    assert!(ports.iter().copied().eq(20_000..20_070), "{ports:?}");
    let broadcast: Vec<_> =
        sends.iter().filter(|e| e["daddr"] == "255.255.255.255").map(|e| e["ret"].as_i64()).collect();
    assert_eq!(broadcast, [Some(-13), Some(1)]);
    let raw = sends.last().unwrap();
    assert_eq!((&raw["proto"], &raw["daddr"]), (&json!("253"), &json!("127.0.0.1")));
    // sendto with MSG_FASTOPEN on a socket of TCP connects.
    let connect: Vec<_> = r.of("net.connect").into_iter().filter(|e| e["dport"] == port).collect();
    assert_eq!((connect.len(), &connect[0]["ret"]), (1, &json!(-111)));
}

#[test]
fn an_address_that_names_no_family_is_told_as_what_the_kernel_takes_it_for() {
    require!(Root, Compiler);
    let program = crate::programs::compiled("calls");
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = format!("exec {} unspecified {port} > results", program.path.display());
    let r = crate::recording::command(std::process::Command::new("sh").args(["-ec", &script]));
    let text = std::fs::read_to_string(r.path("results")).unwrap();
    let said = crate::programs::results(&text);
    let told = |kind: &str, keys: &[&str]| -> Vec<Vec<Value>> {
        let mine = r.of(kind).into_iter().filter(|e| e["comm"] == "calls");
        mine.map(|e| keys.iter().map(|key| e[key].clone()).collect()).collect()
    };
    // To each destination once, however its family was named; what goes where the socket is connected to is none.
    let sent = |word: &str| said[word][0];
    let mut sends = vec![
        vec![json!("udp"), json!("127.0.0.1"), json!(port), json!(sent("udp"))],
        vec![json!("253"), json!("127.0.0.1"), json!(port), json!(sent("raw"))],
        vec![json!("253"), json!("::1"), json!(0), json!(sent("raw6"))],
        vec![json!("udp"), json!("127.83.1.2"), json!(53), json!(sent("dns"))],
    ];
    assert_eq!((sent("udp"), sent("raw")), (1, 1));
    if sent("raw6") < 0 {
        eprintln!("SKIPPED: of IPv6, which this host lacks");
        sends.remove(2);
    }
    let mut found = told("net.send", &["proto", "daddr", "dport", "ret"]);
    found.retain(|send| sent("raw6") >= 0 || send[1] != "::1");
    assert_eq!(found, sends);
    assert_eq!(told("net.dns", &["qname", "server"]), [[json!("none.example"), json!("127.83.1.2")]]);
    assert_eq!(
        told("net.bind", &["proto", "saddr", "sport", "ret"]),
        [
            [json!("tcp"), json!("0.0.0.0"), json!(0), json!(0)],
            [json!("udp"), json!("127.0.0.1"), json!(0), json!(said["refused"][0])],
            [json!("253"), json!("127.0.0.1"), json!(0), json!(0)],
        ]
    );
    assert_eq!((said["refused"][0], said["bind"].as_slice()), (-97, &[0, 0][..]));
}

/// What a log says of the ends of a program's datagram and raw sockets.
fn ends_of<'r>(r: &'r Recording, comm: &str) -> Vec<&'r Value> {
    r.of("net.close").into_iter().filter(|e| e["comm"] == comm && e["proto"] != "tcp").collect()
}

/// Whether this kernel tells what these sockets send, or receive, by the header's own words.
fn is_counted(r: &Recording, key: &str) -> bool {
    let of = format!("net.close, {key} of datagram and raw sockets");
    !r.lines[0]["not_covered"].as_array().unwrap().iter().any(|one| one["what"] == of.as_str())
}

/// The program's own lines: way, own port, bytes sent and received, summed by way and port.
fn counted_by_the_program(text: &str) -> Vec<(String, u64, u64, u64)> {
    let mut all: Vec<(String, u64, u64, u64)> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let (way, port, sent, received) = (words[0], number(1), number(2), number(3));
        match all.iter_mut().find(|(known, at, _, _)| known == way && *at == port) {
            Some((_, _, out, into)) => (*out, *into) = (*out + sent, *into + received),
            None => all.push((way.to_owned(), port, sent, received)),
        }
    }
    all
}

#[test]
fn what_went_through_a_datagram_or_raw_socket_is_told_however_it_ends() {
    require!(Root, Compiler);
    let program = crate::programs::compiled("flows");
    let script = format!("exec {} > said", program.path.display());
    let r = crate::recording::command(std::process::Command::new("sh").args(["-ec", &script]));
    let said = counted_by_the_program(&std::fs::read_to_string(r.path("said")).unwrap());
    let ways: Vec<&str> = said.iter().map(|(way, ..)| way.as_str()).collect();
    let all = "close dup2 close_range exec exit kill passed calls again raw";
    assert_eq!(ways, all.split(' ').collect::<Vec<_>>());
    let told = ends_of(&r, "flows");
    let before = usize::from(is_counted(&r, "bytes_sent") || is_counted(&r, "bytes_received"));
    for (way, port, sent, received) in &said {
        let sport = (*port != 0).then_some(*port);
        let ends: Vec<_> = told
            .iter()
            .filter(|e| e["sport"].as_u64() == sport && (e["proto"] == "253") == (way == "raw"))
            .collect();
        let sum = |key: &str| ends.iter().map(|e| e[key].as_u64()).sum::<Option<u64>>();
        for (key, bytes) in [("bytes_sent", sent), ("bytes_received", received)] {
            assert_eq!(sum(key), is_counted(&r, key).then_some(*bytes), "{way}: {ends:#?}");
        }
        // Of a socket that was connected anew there is one for each time, and one of what went through before.
        let count = match way.as_str() {
            "again" => 2,
            "calls" => 1 + before,
            _ => 1,
        };
        assert_eq!(ends.len(), count, "{way}: {ends:#?}");
    }
    // The bytes are of one destination where no datagram named another.
    let of = |way: &str| said.iter().find(|(known, ..)| known == way).unwrap().1;
    let daddr = |port| {
        told.iter().filter(|e| e["sport"] == port).map(|e| e.get("daddr").cloned()).collect::<Vec<_>>()
    };
    assert_eq!(daddr(of("passed")), [Some(json!("127.0.0.1"))]);
    assert_eq!(daddr(of("again")), [Some(json!("127.0.0.1")), Some(json!("127.0.0.1"))]);
    assert_eq!(daddr(of("calls")), vec![None; 1 + before]);
    // The socket goes when nothing holds it, not at its process's end.
    for way in ["close", "dup2", "close_range", "exec"] {
        let end = told.iter().find(|e| e["sport"] == of(way)).unwrap();
        let exit = r.of("process.exit").into_iter().find(|e| e["pid"] == end["pid"]).unwrap();
        assert!(end["seq"].as_u64() < exit["seq"].as_u64(), "{way}: {end} {exit}");
    }
    // A connection that was reset before it was accepted has ended, too, on either side.
    let accept = r.of("net.accept").into_iter().find(|e| e["comm"] == "flows").unwrap();
    let close = |own: &Value, other: &Value| {
        let same = |e: &&Value| e["proto"] == "tcp" && e["sport"] == *own && e["dport"] == *other;
        r.of("net.close").into_iter().filter(same).map(|e| e["pid"].clone()).collect::<Vec<_>>()
    };
    let (own, other, pid) = (&accept["sport"], &accept["dport"], vec![accept["pid"].clone()]);
    assert_eq!((close(own, other), close(other, own)), (pid.clone(), pid));
    // One that was made and never used has none: two servers, and those of the lines above.
    assert_eq!(told.len(), said.len() + 3 + before, "{told:#?}");
}
