//! Connections and names as a log tells of them, and the entries that they become.

use super::*;

const ME: ProcessKey = ProcessKey { pid: 7, start: 77 };

fn to(ip: &str, port: u16, own: u16) -> Reached {
    Reached {
        proto: Proto(TCP),
        ip: ip.parse().unwrap(),
        port,
        own: Some(own),
        direction: Direction::Out,
        ret: 0,
        looked_up: None,
    }
}

fn at(seq: u64) -> Network {
    Network { seq, time: seq.to_string(), count: 1, ..Network::default() }
}

fn claim(name: &str, from: HostnameFrom) -> Claim {
    Claim { name: name.to_owned(), from }
}

fn sni(name: &str) -> Claim {
    claim(name, HostnameFrom::Sni)
}

/// Seq, count, name and its origin, other name, bytes sent.
type Told<'c> = (u64, u64, Option<&'c str>, Option<HostnameFrom>, Option<&'c str>, Option<u64>);

fn one(n: &Network) -> Told<'_> {
    let name = n.hostname.as_deref();
    (n.seq, n.count, name, n.hostname_from, n.lookup.as_deref(), n.bytes_sent)
}

fn told(connections: &mut Connections) -> Vec<Told<'_>> {
    connections.end(&mut Budget::new(false));
    connections.all.iter().map(one).collect()
}

const BYTES: Bytes = Bytes { sent: Some(10), received: Some(1) };

#[test]
fn connections_to_one_address_are_told_apart_by_the_names_that_were_asked_for() {
    let (mut c, mut b) = (Connections::default(), Budget::new(false));
    for (seq, own) in [(1, 101), (2, 102), (3, 103), (4, 104)] {
        c.begin(ME, &to("192.0.2.7", 443, own), at(seq), &mut b);
    }
    c.name(ME, &to("192.0.2.7", 443, 102), sni("two.example"), at(5), &mut b);
    c.name(ME, &to("192.0.2.7", 443, 104), sni("one.example"), at(6), &mut b);
    c.name(ME, &to("192.0.2.7", 443, 101), sni("one.example"), at(7), &mut b);
    // They end in another order than they began.
    for own in [104, 103, 102, 101] {
        c.close(ME, &to("192.0.2.7", 443, own), BYTES, &mut b);
    }
    let sni = Some(HostnameFrom::Sni);
    assert_eq!(
        told(&mut c),
        [
            (1, 2, Some("one.example"), sni, None, Some(20)),
            (2, 1, Some("two.example"), sni, None, Some(10)),
            (3, 1, None, None, None, Some(10)),
        ]
    );
}

#[test]
fn what_was_looked_up_stays_where_the_process_says_another_name() {
    let (mut c, mut b) = (Connections::default(), Budget::new(false));
    let looked_up =
        |own, name: &str| Reached { looked_up: Some(name.to_owned()), ..to("192.0.2.7", 443, own) };
    c.begin(ME, &looked_up(1, "build.example"), at(1), &mut b);
    c.name(ME, &looked_up(1, "build.example"), sni("BUILD.example."), at(2), &mut b);
    c.begin(ME, &looked_up(2, "cdn.example"), at(3), &mut b);
    c.name(ME, &looked_up(2, "cdn.example"), sni("front.example"), at(4), &mut b);
    c.begin(ME, &looked_up(3, "quiet.example"), at(5), &mut b);
    c.name(ME, &looked_up(3, "quiet.example"), sni(""), at(6), &mut b);
    let sni = Some(HostnameFrom::Sni);
    assert_eq!(
        told(&mut c),
        [
            (1, 1, Some("BUILD.example."), sni, None, None),
            (3, 1, Some("front.example"), sni, Some("cdn.example"), None),
            (5, 1, Some("quiet.example"), Some(HostnameFrom::Dns), None, None),
        ]
    );
}

#[test]
fn each_host_that_a_proxy_was_asked_for_is_told() {
    let (mut c, mut b) = (Connections::default(), Budget::new(false));
    let proxy = to("192.0.2.9", 3128, 50);
    c.begin(ME, &proxy, at(1), &mut b);
    for (seq, name) in [(2, "one.example"), (3, "two.example"), (4, "one.example"), (5, "192.0.2.9")] {
        c.name(ME, &proxy, claim(name, HostnameFrom::Http), at(seq), &mut b);
    }
    c.close(ME, &proxy, BYTES, &mut b);
    let http = Some(HostnameFrom::Http);
    assert_eq!(
        told(&mut c),
        [
            (1, 1, Some("one.example"), http, None, Some(10)),
            (3, 1, Some("two.example"), http, None, None),
        ]
    );
}

#[test]
fn a_name_without_its_connection_is_told_alone_and_one_over_an_accepted_connection_is_not() {
    let (mut c, mut b) = (Connections::default(), Budget::new(false));
    c.name(ME, &to("192.0.2.7", 443, 1), sni("inherited.example"), at(1), &mut b);
    let accepted = Reached { direction: Direction::In, ..to("192.0.2.8", 8080, 8080) };
    c.begin(ME, &accepted, at(2), &mut b);
    c.name(ME, &to("192.0.2.8", 999, 8080), sni("turned.example"), at(3), &mut b);
    c.close(ME, &to("192.0.2.8", 999, 8080), BYTES, &mut b);
    assert_eq!(
        told(&mut c),
        [
            (1, 1, Some("inherited.example"), Some(HostnameFrom::Sni), None, None),
            (2, 1, None, None, None, Some(10)),
        ]
    );
}

#[test]
fn a_program_that_does_not_wait_and_asks_again_has_one_connection() {
    let (mut c, mut b) = (Connections::default(), Budget::new(false));
    c.begin(ME, &Reached { ret: -115, ..to("192.0.2.7", 80, 1) }, at(1), &mut b);
    c.begin(ME, &to("192.0.2.7", 80, 1), at(2), &mut b);
    c.name(ME, &to("192.0.2.7", 80, 1), claim("a.example", HostnameFrom::Http), at(3), &mut b);
    c.begin(ME, &Reached { ret: -111, ..to("192.0.2.7", 80, 2) }, at(4), &mut b);
    let http = Some(HostnameFrom::Http);
    assert_eq!(
        told(&mut c),
        [(1, 2, Some("a.example"), http, None, None), (4, 1, None, None, None, None)]
    );
}

#[test]
fn connections_without_end_do_not_fill_the_memory() {
    let (mut c, mut b) = (Connections::default(), Budget::new(false));
    for at_port in 0..=u16::MAX {
        c.begin(ME, &to("192.0.2.7", 80, at_port), at(u64::from(at_port)), &mut b);
    }
    assert_eq!(c.live.len(), super::super::doing::LIVE_MAX);
    c.name(ME, &to("192.0.2.7", 80, u16::MAX), sni("late.example"), at(70_000), &mut b);
    assert_eq!((c.all.len(), c.left_out), (1, 1));
    assert_eq!(told(&mut c), [(0, 65_536, None, None, None, None)]);
    let mut c = Connections::default();
    c.begin(ME, &to("192.0.2.8", 80, 1), at(1), &mut Budget::new(false));
    for number in 0..100 {
        c.name(ME, &to("192.0.2.8", 80, 1), sni(&number.to_string()), at(1), &mut Budget::new(false));
    }
    assert_eq!(c.left_out, 100 - NAMES_MAX as u64);
}

#[test]
fn a_host_is_named_without_its_port() {
    for (host, name) in [
        ("build.example", "build.example"),
        ("build.example:8080", "build.example"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("a:b", "a:b"),
    ] {
        assert_eq!(host_without_port(host), name);
    }
}

#[test]
fn loopback_has_many_forms() {
    for text in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0"] {
        assert!(is_loopback(text.parse().unwrap()), "{text}");
    }
    for text in ["192.0.2.1", "2001:db8::1", "10.0.0.1", "169.254.1.1"] {
        assert!(!is_loopback(text.parse().unwrap()), "{text}");
    }
}

#[test]
fn bytes_of_udp_are_those_of_its_own_entry() {
    let (mut c, mut b) = (Connections::default(), Budget::new(false));
    let udp = Reached { proto: Proto(17), ..to("192.0.2.7", 443, 101) };
    c.begin(ME, &to("192.0.2.7", 443, 101), at(1), &mut b);
    c.begin(ME, &udp, at(2), &mut b);
    c.close(ME, &udp, Bytes { sent: Some(3), received: None }, &mut b);
    c.close(ME, &to("192.0.2.7", 443, 101), BYTES, &mut b);
    assert_eq!(told(&mut c), [(1, 1, None, None, None, Some(10)), (2, 1, None, None, None, Some(3))]);
}
