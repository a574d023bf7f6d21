//! net.tls, net.http and net.dns over TCP: what real programs ask for, and streams in every kind of piece.

use std::io::{IoSlice, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use blubr_tests::program::run;
use blubr_tests::require;
use serde_json::{Value, json};

use crate::recording::{Monitor, Recording};

/// Longest wait for a client's next words.
const WAIT: Duration = Duration::from_secs(10);
/// What a server answers to a request.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A server for one connection: gives back what came before it was closed, or until `enough` says so.
fn serve(
    address: IpAddr,
    answer: &'static [u8],
    enough: fn(&[u8]) -> bool,
) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let own = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        let (mut all, mut since) = (Vec::new(), 0);
        let mut piece = [0u8; 4096];
        while let Ok(len @ 1..) = stream.read(&mut piece) {
            all.extend_from_slice(&piece[..len]);
            if !answer.is_empty() && all[since..].ends_with(b"\r\n\r\n") {
                since = all.len();
                stream.write_all(answer).unwrap();
            }
            if enough(&all) {
                break;
            }
        }
        all
    });
    (own, serving)
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn at_once(bytes: &[u8]) -> bool {
    bytes.len() > 100
}

/// Events of this type to this port.
fn to<'r>(r: &'r Recording, kind: &str, port: u16) -> Vec<&'r Value> {
    r.of(kind).into_iter().filter(|e| e["dport"] == port).collect()
}

/// A ClientHello of openssl for this name.
fn hello(name: &str) -> Vec<u8> {
    let (server, serving) = serve(V4, b"", at_once);
    let mut client = Command::new("openssl");
    client.args(["s_client", "-servername", name, "-connect", &server.to_string()]);
    drop(run(&mut client));
    let hello = serving.join().unwrap();
    assert!(hello.windows(name.len()).any(|window| window == name.as_bytes()));
    hello
}

#[test]
fn the_name_that_openssl_and_curl_ask_for_is_told_over_ipv4_and_ipv6() {
    require!(Root, Clients);
    let monitor = Monitor::start();
    let (four, serving_four) = serve(V4, b"", at_once);
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-servername", "four.example", "-connect", &four.to_string()]);
    drop(run(&mut openssl));
    let six = TcpListener::bind("[::1]:0").is_ok().then(|| {
        let (six, serving) = serve("::1".parse().unwrap(), b"", at_once);
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-servername", "six.example", "-connect", &six.to_string()]);
        drop(run(&mut openssl));
        drop(serving.join());
        six.port()
    });
    let (nameless, serving_nameless) = serve(V4, b"", at_once);
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-noservername", "-tls1_2", "-connect", &nameless.to_string()]);
    drop(run(&mut openssl));
    let (curled, serving_curled) = serve(V4, b"", at_once);
    let place = format!("curl.example:{}:127.0.0.1", curled.port());
    let url = format!("https://curl.example:{}/", curled.port());
    drop(run(Command::new("curl").args(["-sk", "--noproxy", "*", "--resolve", &place, &url])));
    for serving in [serving_four, serving_nameless, serving_curled] {
        drop(serving.join());
    }
    let r = monitor.stop();

    let names = |port| to(&r, "net.tls", port).iter().map(|e| e["sni"].clone()).collect::<Vec<_>>();
    assert_eq!(names(four.port()), [json!("four.example")]);
    assert_eq!(names(curled.port()), [json!("curl.example")]);
    assert_eq!(names(nameless.port()), [Value::Null]);
    let told = to(&r, "net.tls", four.port())[0];
    let connect = to(&r, "net.connect", four.port())[0];
    for key in ["proto", "family", "saddr", "sport", "daddr", "pid"] {
        assert_eq!(told[key], connect[key], "{key}");
    }
    assert_eq!(told.get("ech"), None);
    match six {
        Some(port) => {
            assert_eq!(names(port), [json!("six.example")]);
            assert_eq!(to(&r, "net.tls", port)[0]["daddr"], "::1");
        }
        None => eprintln!("SKIPPED: this host has no ::1"),
    }
}

#[test]
fn each_request_of_a_connection_is_told_and_what_a_tunnel_is_asked_for() {
    require!(Root, Clients);
    let monitor = Monitor::start();
    let (plain, serving_plain) =
        serve(V4, ANSWER, |all| all.ends_with(b"\r\n\r\n") && all.starts_with(b"HEAD"));
    let url = format!("http://plain.example:{}/", plain.port());
    let place = format!("plain.example:{}:127.0.0.1", plain.port());
    drop(run(Command::new("curl").args(["-s", "--noproxy", "*", "--resolve", &place, &url, &url])));
    drop(serving_plain.join());
    let (proxy, serving_proxy) = serve(V4, ANSWER, |_| false);
    let by = format!("http://{proxy}");
    drop(run(Command::new("curl").args([
        "-s",
        "-x",
        &by,
        "http://one.example/",
        "http://two.example:81/",
    ])));
    drop(serving_proxy.join());
    let (tunnel, serving_tunnel) = serve(V4, b"HTTP/1.1 200 OK\r\n\r\n", |all| all.len() > 400);
    let by = format!("http://{tunnel}");
    drop(run(Command::new("curl").args(["-sk", "-x", &by, "https://inside.example:444/"])));
    drop(serving_tunnel.join());
    let (fetched, serving_fetched) = serve(V4, ANSWER, |_| false);
    let mut wget = Command::new(blubr_tests::workload::busybox_path());
    wget.args([
        "wget",
        "-q",
        "-O",
        "-",
        "--header",
        "Host: header.example",
        &format!("http://{fetched}/"),
    ]);
    drop(run(&mut wget));
    drop(serving_fetched.join());
    let r = monitor.stop();

    let asked = |port| {
        let asked = to(&r, "net.http", port)
            .into_iter()
            .map(|e| format!("{} {}", e["method"].as_str().unwrap(), e["host"].as_str().unwrap_or("-")));
        asked.collect::<Vec<_>>()
    };
    let host = format!("GET plain.example:{}", plain.port());
    assert_eq!(asked(plain.port()), [&host[..], &host]);
    assert_eq!(asked(proxy.port()), ["GET one.example", "GET two.example:81"]);
    assert_eq!(asked(tunnel.port()), ["CONNECT inside.example:444"]);
    assert_eq!(asked(fetched.port()), ["GET header.example"]);
    let inside = to(&r, "net.tls", tunnel.port());
    assert_eq!((inside.len(), &inside[0]["sni"]), (1, &json!("inside.example")));
    assert_eq!(inside[0]["sport"], to(&r, "net.http", tunnel.port())[0]["sport"]);
}

/// A connection to a server that reads until it is closed.
fn connection() -> (TcpStream, JoinHandle<Vec<u8>>) {
    let (server, serving) = serve(V4, b"", |_| false);
    let stream = TcpStream::connect(server).unwrap();
    stream.set_nodelay(true).unwrap();
    (stream, serving)
}

#[test]
fn a_name_is_told_however_it_was_written_and_never_where_a_part_was_not_seen() {
    require!(Root, Clients, Compiler);
    let tls = hello("pieces.example");
    let program = crate::programs::compiled("calls");
    let http = b"GET / HTTP/1.1\r\nHost: pieces.example\r\n\r\n".to_vec();
    let monitor = Monitor::start();
    let mut ports = Vec::new();
    for (kind, bytes) in [("net.tls", &tls), ("net.http", &http)] {
        for way in ["bytes", "pieces", "records", "behind"] {
            let (mut stream, serving) = connection();
            match way {
                "bytes" => bytes.chunks(1).for_each(|byte| stream.write_all(byte).unwrap()),
                "pieces" => {
                    let (one, rest) = bytes.split_at(3);
                    let (two, three) = rest.split_at(20);
                    let pieces = [&[][..], one, two, three].map(IoSlice::new);
                    assert_eq!(stream.write_vectored(&pieces).unwrap(), bytes.len());
                }
                // Of TLS the message in records of 100 bytes; of HTTP it is text.
                "records" if kind == "net.tls" => {
                    for piece in bytes[5..].chunks(100) {
                        let len = (piece.len() as u16).to_be_bytes();
                        stream.write_all(&[&[22, 3, 1][..], &len, piece].concat()).unwrap();
                    }
                }
                "records" => bytes.chunks(10).for_each(|piece| stream.write_all(piece).unwrap()),
                _ => {
                    stream.write_all(b"HELO build.example\r\n").unwrap();
                    stream.write_all(bytes).unwrap();
                }
            }
            ports.push((kind, way, stream.peer_addr().unwrap().port()));
            drop(stream);
            assert!(serving.join().unwrap().len() >= bytes.len());
        }
        // What sendfile(2) sends is not looked at.
        let path = monitor.path().join("rest");
        std::fs::write(&path, bytes).unwrap();
        for (way, written) in
            [("half a file", bytes.len() / 2), ("a file", 0), ("all of a file", bytes.len())]
        {
            let (server, serving) = serve(V4, b"", |_| false);
            let mut halves = Command::new(&program.path);
            halves.arg("halves").arg(&path).arg(written.to_string()).arg(server.port().to_string());
            assert!(run(&mut halves).status.success());
            ports.push((kind, way, server.port()));
            assert_eq!(serving.join().unwrap(), *bytes, "{way}");
        }
    }
    let r = monitor.stop();
    for (kind, way, port) in ports {
        let told = to(&r, kind, port);
        let seen = matches!(way, "bytes" | "pieces" | "records" | "all of a file");
        assert_eq!(told.len(), usize::from(seen), "{kind} by {way}: {told:#?}");
        for event in told {
            let key = if kind == "net.tls" { "sni" } else { "host" };
            assert_eq!(event[key], "pieces.example", "{way}");
        }
    }
}

/// A question for a name and its answer, each behind its length.
fn question(name: &str) -> Vec<u8> {
    let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
    counted(&bytes)
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn answer(question: &[u8], last: u8) -> Vec<u8> {
    let mut bytes = question[2..].to_vec();
    bytes[2..4].copy_from_slice(&[0x81, 0x80]);
    bytes[7] = 1;
    bytes.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]);
    counted(&bytes)
}

#[test]
fn dns_over_tcp_is_told_in_any_pieces_and_several_at_once() {
    require!(Root);
    let address = Ipv4Addr::new(127, 83, 1, 3);
    let listener = TcpListener::bind((address, 53)).unwrap();
    let monitor = Monitor::start();
    let mut client = TcpStream::connect((address, 53)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (one, two, three) =
        (question("one.example"), question("two.example"), question("three.example"));
    // The length by itself, as resolvers do, and the rest byte by byte.
    client.write_all(&one[..2]).unwrap();
    one[2..].chunks(1).for_each(|byte| client.write_all(byte).unwrap());
    let mut got = vec![0; one.len()];
    server.read_exact(&mut got[..2]).unwrap();
    server.read_exact(&mut got[2..]).unwrap();
    let first = answer(&one, 1);
    server.write_all(&first).unwrap();
    let mut got = vec![0; first.len()];
    client.read_exact(&mut got[..2]).unwrap();
    client.read_exact(&mut got[2..9]).unwrap();
    client.read_exact(&mut got[9..]).unwrap();
    // Two at once, of which the second is cut.
    let both = [&two[..], &three].concat();
    client.write_all(&both[..two.len() + 5]).unwrap();
    client.write_all(&both[two.len() + 5..]).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let mut got = vec![0; 1000];
    assert_eq!(server.read(&mut got).unwrap(), both.len());
    let both = [answer(&two, 2), answer(&three, 3)].concat();
    let pieces: Vec<_> = both.chunks(7).map(IoSlice::new).collect();
    assert_eq!(server.write_vectored(&pieces).unwrap(), both.len());
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(client.read(&mut got).unwrap(), both.len());
    let r = monitor.stop();

    let dns: Vec<_> = r
        .of("net.dns")
        .into_iter()
        .filter(|e| e["pid"] == std::process::id() && e["server"] == "127.83.1.3")
        .collect();
    for (name, last) in [("one.example", 1), ("two.example", 2), ("three.example", 3)] {
        let of: Vec<_> = dns.iter().filter(|e| e["qname"] == name).collect();
        // Each is seen where it is sent and where it is received.
        let asked = of.iter().filter(|e| e.get("rcode").is_none()).count();
        let answers = json!([{"name": name, "address": format!("192.0.2.{last}"), "ttl": 60}]);
        let answered = of.iter().filter(|e| e["answers"] == answers).count();
        assert_eq!((asked, answered, of.len()), (2, 2, 4), "{name}: {of:#?}");
        assert!(of.iter().all(|e| e.get("truncated").is_none()), "{of:#?}");
    }
}
