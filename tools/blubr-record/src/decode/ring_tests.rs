//! Operations of a ring as the probes lay them out, and the lines that they become.

use super::*;

/// A request that a ring has taken on, and its answer.
fn asked(kind: wire_kind, nr: i64, request: u64, body: &(impl IntoBytes + Immutable)) -> Built {
    record(kind, nr, None, body).head(|head| {
        (head.ret, head.flags, head.via) = (request as i64, wire::WIRE_PENDING, wire::WIRE_BY_RING);
    })
}

fn answer(request: u64, ret: i64, flags: u32, body: &(impl IntoBytes + Immutable)) -> Built {
    let built = record(WIRE_RING_DONE, 0, Some(ret), body).head(|head| head.flags |= flags);
    built.field(WIRE_F_REQUEST, 0, &request.to_ne_bytes())
}

const UNLINKED: &str = r#","path":"/c/x","path_from":"user","via":"io_uring""#;

fn unlink(request: u64) -> Built {
    asked(WIRE_FILE_UNLINK, libc::SYS_unlinkat, request, &call([0; 6]))
        .text(WIRE_F_PATH, b"x")
        .walked(WIRE_F_BASE, b"c\0")
}

#[test]
fn a_request_of_a_ring_is_told_when_it_comes_back() {
    let done = answer(7, -2, 0, &call([0; 6]));
    // An answer without a question, or a second one, tells nothing.
    let told = lines(&[done.clone(), unlink(7), unlink(8), done.clone(), done]);
    assert_eq!(told, [format!("{UNLINKED},\"ret\":-2}}")]);
}

#[test]
fn a_request_that_nobody_answered_is_told_without_a_result() {
    // The kernel uses the place of 7 again: the first has ended.
    assert_eq!(lines(&[unlink(7), unlink(7)]), [format!("{UNLINKED}}}")]);
    let mut log = log();
    let mut decoder = Decoder::default();
    for request in 0..3 {
        decoder.record(&aligned(&unlink(request).0), &mut log).unwrap();
    }
    decoder.end(&mut log).unwrap();
    let text = String::from_utf8(std::mem::take(log.writer().output())).unwrap();
    assert_eq!(text.matches(UNLINKED).count(), 3);
    assert!(!text.contains("\"ret\""));
}

#[test]
fn requests_that_never_end_do_not_fill_the_memory() {
    let mut log = log();
    let mut decoder = Decoder::default();
    let long = vec![b'a'; 4000];
    for request in 0..6000u64 {
        let built = asked(WIRE_FILE_UNLINK, libc::SYS_unlinkat, request, &call([0; 6]))
            .text(WIRE_F_PATH, &[b"/", long.as_slice()].concat());
        decoder.record(&aligned(&built.0), &mut log).unwrap();
    }
    let text = String::from_utf8(std::mem::take(log.writer().output())).unwrap();
    let told = text.matches("file.unlink").count();
    // 16 MiB hold some 4,000 of them; the oldest were told.
    assert!((1000..3000).contains(&told), "{told}");
    decoder.end(&mut log).unwrap();
    let text = String::from_utf8(std::mem::take(log.writer().output())).unwrap();
    assert_eq!(told + text.matches("file.unlink").count(), 6000);
}

#[test]
fn failures_of_a_ring_that_are_not_wanted_are_left_out() {
    assert!(lines(&[unlink(7), answer(7, -2, wire::WIRE_UNWANTED, &call([0; 6]))]).is_empty());
}

#[test]
fn a_ring_s_open_is_the_kernel_s_only_where_both_say_the_same() {
    let mut file = wire_file::new_zeroed();
    file.flags = libc::O_RDONLY as u32;
    let open = || asked(WIRE_FILE_OPEN, libc::SYS_openat, 7, &file).text(WIRE_F_PATH, b"/a/b");
    let mut found = wire_file::new_zeroed();
    (found.ino, found.mode) = (9, 0o100_644);
    let resolved = |names: &[u8]| answer(7, 3, wire::WIRE_RESOLVED, &found).walked(WIRE_F_PATH, names);
    let same = lines(&[open(), resolved(b"b\0a\0")]).remove(0);
    assert!(same.starts_with(r#","path":"/a/b","mode":"r","dev":"0:0","ino":9"#), "{same}");
    assert!(!same.contains("path_from"), "{same}");
    // Another thread has put another file there, or a symlink was followed.
    let other = lines(&[open(), resolved(b"innocent\0a\0")]).remove(0);
    assert_eq!(other, r#","path":"/a/b","mode":"r","path_from":"user","via":"io_uring","ret":3}"#);
}

#[test]
fn a_connection_of_a_ring_goes_where_the_kernel_says() {
    let mut net = wire_net::new_zeroed();
    let mut address = vec![2, 0, 1, 187, 127, 0, 0, 1];
    address.extend_from_slice(&[0; 8]);
    let connect = asked(WIRE_CONNECT, 0, 7, &net).text(WIRE_F_ADDRESS, &address);
    (net.family, net.proto, net.dport) = (libc::AF_INET as u16, 6, 444);
    net.daddr[..4].copy_from_slice(&[192, 0, 2, 9]);
    let told = lines(&[connect.clone(), answer(7, 0, wire::WIRE_RESOLVED, &net)]).remove(0);
    assert!(told.contains(r#""daddr":"192.0.2.9","dport":444"#), "{told}");
    // Of one that failed there is only what was asked for.
    let told = lines(&[connect, answer(7, -111, wire::WIRE_RESOLVED, &net)]).remove(0);
    assert!(told.contains(r#""daddr":"127.0.0.1","dport":443"#), "{told}");
}
