//! Requests as programs send them, and as they would to mislead.

use super::*;

#[track_caller]
fn read(text: &str) -> (String, Option<String>, Then) {
    let Begin::Request(request) = request(text.as_bytes()) else { panic!("{text:?}") };
    let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (string(request.method), request.host.map(string), request.then)
}

#[test]
fn each_form_of_target_names_whom_it_is_for() {
    let host = |text: &str| read(text).1;
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        host("GET / HTTP/1.1\r\nUser-Agent: x\r\nhOsT:  build.example:8080 \r\n\r\n"),
        some("build.example:8080")
    );
    assert_eq!(host("GET / HTTP/1.0\n\n"), None);
    // RFC 9112 section 3.2.2: the field is passed over.
    assert_eq!(host("GET http://a.example/x HTTP/1.1\r\nHost: b.example\r\n\r\n"), some("a.example"));
    assert_eq!(
        host("GET ftp://user:word@a.example:21?q HTTP/1.1\r\nHost: b\r\n\r\n"),
        some("a.example:21")
    );
    assert_eq!(host("GET http://[2001:db8::1]:80/ HTTP/1.1\r\n\r\n"), some("[2001:db8::1]:80"));
    assert_eq!(host("GET /go?to=http://b.example/ HTTP/1.1\r\nHost: a\r\n\r\n"), some("a"));
    assert_eq!(host("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), some("a"));
    assert_eq!(
        read("CONNECT a.example:443 HTTP/1.1\r\nHost: b.example\r\n\r\n"),
        ("CONNECT".to_owned(), some("a.example:443"), Then::Tunnel)
    );
    // Who would be meant?
    assert_eq!(host("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), None);
    assert_eq!(host("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), some("a"));
    assert_eq!(host("GET / HTTP/1.1\r\nHost:\r\n\r\n"), None);
    assert_eq!(host("\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), some("a"));
}

#[test]
fn what_follows_is_known_only_where_the_head_says_so() {
    let then = |fields: &str| read(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).2;
    assert_eq!(then(""), Then::Next(0));
    assert_eq!(then("Content-Length: 17\r\n"), Then::Next(17));
    for unknown in [
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 17\r\nContent-Length: 17\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Upgrade: websocket\r\n",
    ] {
        assert_eq!(then(unknown), Then::Unknown, "{unknown}");
    }
}

#[test]
fn each_beginning_of_a_request_is_waited_for() {
    let text = b"BASELINE-CONTROL /x HTTP/1.1\r\nHost: a\r\nCookie: b\r\n\r\nbody";
    for len in 1..text.len() - 4 {
        assert_eq!(request(&text[..len]), Begin::More, "{len}");
    }
    let Begin::Request(whole) = request(text) else { panic!() };
    assert_eq!(whole.len, text.len() - 4);
}

#[test]
fn what_is_no_request_is_not_waited_for() {
    for text in [
        "get / HTTP/1.1\r\n",
        "GET /\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET  / HTTP/1.1\r\n",
        "GET / x HTTP/1.1\r\n",
        " / HTTP/1.1\r\n",
        "HTTP/1.1 200 OK\r\n",
        "EHLO build.example\r\n",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "\u{16}\u{3}\u{1}",
        "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nno field\r\n\r\n",
    ] {
        assert_eq!(request(text.as_bytes()), Begin::Not, "{text:?}");
    }
    let endless = [&b"GET /"[..], &vec![b'a'; HEAD_BYTES_MAX]].concat();
    assert_eq!(request(&endless), Begin::Not);
    let endless = [&b"GET / HTTP/1.1\r\n"[..], &b"a: b\r\n".repeat(HEAD_BYTES_MAX / 6)].concat();
    assert_eq!(request(&endless), Begin::Not);
    assert_eq!(request(&b"\r\n".repeat(HEAD_BYTES_MAX)), Begin::Not);
}

#[test]
fn damaged_requests_end_well() {
    let text = b"GET http://a.example/x HTTP/1.1\r\nHost: b.example\r\nContent-Length: 3\r\n\r\nabc";
    for at in 0..text.len() {
        for value in 0..=255u8 {
            let mut bytes = text.to_vec();
            bytes[at] = value;
            if let Begin::Request(request) = request(&bytes) {
                assert!(request.len <= bytes.len() && request.host.is_none_or(|host| !host.is_empty()));
            }
        }
    }
}
