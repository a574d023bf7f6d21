//! Pieces of streams as the probes lay them out, and the lines that they become.

use blubr_probes::wire::wire_stream;

use super::*;

fn net() -> wire_net {
    let mut net = wire_net::new_zeroed();
    (net.family, net.proto, net.sport, net.dport) = (libc::AF_INET as u16, 6, 4000, 443);
    (net.saddr[..4]).copy_from_slice(&[127, 0, 0, 1]);
    (net.daddr[..4]).copy_from_slice(&[192, 0, 2, 7]);
    net.sending = 1;
    net
}

fn piece(kind: wire_kind, net: &wire_net, offset: u32, bytes: &[u8], len: u32) -> Built {
    let place = wire_stream { socket: 0xffff_8880, offset, len };
    record(kind, libc::SYS_write, Some(i64::from(len)), net)
        .field(WIRE_F_STREAM, 0, place.as_bytes())
        .text(WIRE_F_PAYLOAD, bytes)
}

fn pieces(kind: wire_kind, net: &wire_net, bytes: &[u8], size: usize) -> Vec<Built> {
    let mut offset = 0;
    let each = bytes.chunks(size).map(|bytes| {
        let built = piece(kind, net, offset, bytes, bytes.len() as u32);
        offset += bytes.len() as u32;
        built
    });
    each.collect()
}

const ENDS: &str =
    r#","proto":"tcp","family":"inet","saddr":"127.0.0.1","sport":4000,"daddr":"192.0.2.7","dport":443"#;

/// A ClientHello for a.example.
fn hello() -> Vec<u8> {
    let name = b"a.example";
    let len = name.len() as u8;
    let mut body = vec![3, 3];
    body.extend_from_slice(&[9; 32]);
    body.extend_from_slice(&[
        0,
        0,
        2,
        0x13,
        1,
        1,
        0,
        0,
        len + 9,
        0,
        0,
        0,
        len + 5,
        0,
        len + 3,
        0,
        0,
        len,
    ]);
    body.extend_from_slice(name);
    let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, message.len() as u8][..], &message].concat()
}

#[test]
fn a_hello_in_pieces_is_told_once_by_the_call_that_completes_it() {
    for size in [1, 40, 500] {
        let bytes = hello();
        let told = lines(&pieces(WIRE_TLS_PAYLOAD, &net(), &bytes, size));
        let last = bytes.len() - (bytes.len() - 1) / size * size;
        assert_eq!(told, [format!("{ENDS},\"sni\":\"a.example\",\"ret\":{last}}}")], "{size}");
    }
}

#[test]
fn a_piece_that_was_lost_or_could_not_be_read_or_was_cut_gives_no_name() {
    let bytes = hello();
    let whole = pieces(WIRE_TLS_PAYLOAD, &net(), &bytes, 20);
    for lost in 0..whole.len() {
        let mut some = whole.clone();
        some.remove(lost);
        assert!(lines(&some).is_empty(), "{lost}");
    }
    let unread = piece(WIRE_TLS_PAYLOAD, &net(), 0, &[], 20);
    let place = wire_stream { socket: 0xffff_8880, offset: 0, len: 20 };
    let unread = record(WIRE_TLS_PAYLOAD, libc::SYS_write, Some(20), &net())
        .field(WIRE_F_STREAM, 0, place.as_bytes())
        .field(WIRE_F_PAYLOAD, wire::WIRE_FAULT, &unread.0[..0]);
    assert!(lines(&[&[unread][..], &whole[1..]].concat()).is_empty());
    let cut = piece(WIRE_TLS_PAYLOAD, &net(), 0, &bytes[..30], 60);
    let rest = piece(WIRE_TLS_PAYLOAD, &net(), 60, &bytes[60..], bytes.len() as u32 - 60);
    assert!(lines(&[cut, rest]).is_empty());
}

#[test]
fn requests_are_told_one_by_one_and_what_a_tunnel_is_asked_for() {
    let text = b"PUT /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nGET CONNECT b.example:443 HTTP/1.1\r\n\r\n";
    let bytes = [&text[..], &hello()].concat();
    for size in [7, bytes.len()] {
        let told = lines(&pieces(WIRE_HTTP_PAYLOAD, &net(), &bytes, size));
        let told: Vec<_> = told.iter().map(|line| line.strip_prefix(ENDS).unwrap()).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with(r#","method":"PUT","host":"a.example""#), "{}", told[0]);
        assert!(told[1].starts_with(r#","method":"CONNECT","host":"b.example:443""#), "{}", told[1]);
        assert!(told[2].starts_with(r#","sni":"a.example""#), "{}", told[2]);
    }
}

#[test]
fn records_of_streams_that_do_not_hold_together_are_refused() {
    let bytes = hello();
    let built = piece(WIRE_TLS_PAYLOAD, &net(), 0, &bytes, bytes.len() as u32);
    let without =
        record(WIRE_TLS_PAYLOAD, libc::SYS_write, Some(1), &net()).text(WIRE_F_PAYLOAD, &bytes);
    let short = record(WIRE_HTTP_PAYLOAD, libc::SYS_write, Some(1), &net()).text(WIRE_F_STREAM, &[0; 8]);
    let (mut log, mut decoder) = (log(), Decoder::default());
    for bad in [without, short] {
        assert!(decoder.record(&aligned(&bad.0), &mut log).is_err());
    }
    for at in size_of::<wire_head>()..built.0.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = built.0.clone();
            bytes[at] = value;
            let _ = decoder.record(&aligned(&bytes), &mut log);
        }
    }
}

#[test]
fn an_accept_that_failed_has_no_other_side() {
    let mut net = net();
    (net.daddr, net.dport) = ([0; 16], 0);
    let accept = |ret| record(WIRE_NET_ACCEPT, libc::SYS_accept, ret, &net);
    assert_eq!(
        lines(&[accept(Some(-11)), accept(None)]),
        [r#","proto":"tcp","family":"inet","saddr":"127.0.0.1","sport":4000,"ret":-11}"#]
    );
}

#[test]
fn a_unix_socket_s_file_is_named_by_the_kernel_or_by_the_caller() {
    let mut net = wire_net::new_zeroed();
    net.family = libc::AF_UNIX as u16;
    let bind = |name: &[u8], ret| {
        let address = [&1u16.to_ne_bytes()[..], name].concat();
        record(WIRE_UNIX_BIND, libc::SYS_bind, Some(ret), &net)
            .text(WIRE_F_ADDRESS, &address)
            .field(WIRE_F_VALUE, 0, &0o140_755_u64.to_ne_bytes())
            .walked(WIRE_F_BASE, b"run\0")
    };
    let made = |path: &str, from: &str, ret: i64| {
        format!(r#","path":"{path}","kind":"socket","mode":"0755"{from},"ret":{ret}}}"#)
    };
    let user = r#","path_from":"user""#;
    assert_eq!(
        lines(&[
            bind(b"../s\0x", 0).walked(WIRE_F_PATH, b"s\0b\0"),
            bind(b"s", -98),
            bind(b"/tmp/s\0\0", -13),
            bind(b"\0hidden", 0),
            bind(b"", 0),
        ]),
        [made("/b/s", "", 0), made("/run/s", user, -98), made("/tmp/s", user, -13)]
    );
}
