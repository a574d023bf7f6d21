//! What a writer writes, a reader reads; what was changed, it finds.

use std::collections::BTreeMap;

use crate::chain::Chain;
use crate::event::{Dev, FileOpen, Flag, OpenMode, ProcessExec};
use crate::*;

fn header() -> Header {
    Header {
        r#type: "header".into(),
        schema: SCHEMA.into(),
        tool: Tool { name: "test".into(), version: "0".into() },
        started: Time(1),
        host: Host {
            kernel: "6".into(),
            arch: "x86_64".into(),
            boot_id: "b".into(),
            machine_id_hash: None,
            cgroup: "v2".into(),
            resolvers: vec![],
        },
        backend: "tracepoint".into(),
        hooks: vec![],
        not_covered: vec![],
        scope: "host".into(),
        command: Some(vec!["true".into()]),
        truncated: Vec::new(),
        command_pid: Some(7),
        part: None,
        filters: vec![],
    }
}

fn head<'a>(seq: u64, name: &'a str) -> Head<'a> {
    Head {
        seq,
        time: Time(1_795_521_600_123_456_789),
        r#type: name.into(),
        pid: 4242,
        tid: 4242,
        start: 98_123_456_789,
        ppid: 4240,
        comm: "sh".into(),
        uid: 0,
        cgroup: Name::from("/docker/buildkit/x1").into(),
        cgroup_id: 5021,
        mntns: 4_026_532_501,
    }
}

fn open(seq: u64) -> Event<'static> {
    Event {
        head: head(seq, "file.open"),
        body: FileOpen {
            path: Name::from("/m3").into(),
            mode: OpenMode::Write,
            create: Flag(true),
            truncate: Flag(true),
            tmpfile: Flag(false),
            dev: Some(Dev { major: 0, minor: 45 }),
            ino: Some(77),
            size: Some(0),
            mtime: Some(Time(1_795_521_600_123_000_000)),
            perm: None,
        }
        .into(),
        tail: Tail { ret: Some(3), ..Tail::default() },
    }
}

fn exec(seq: u64) -> Event<'static> {
    Event {
        head: Head { comm: Name::from(&b"b\xff"[..]), cgroup: Seen(None), ..head(seq, "process.exec") },
        body: ProcessExec {
            exe: Name::from(&b"/bin/\xffsh"[..]).into(),
            argv: NameList::from_block(b"sh\0-c\0echo \"a\"\n\x01\0\xfe\0\0").into(),
            cwd: Seen(None),
            gid: 0,
            uid_before: Some(1000),
            gid_before: None,
            script: None,
            interpreter: None,
        }
        .into(),
        tail: Tail { truncated: Some(NameList::from_names(["argv"])), ..Tail::default() },
    }
}

/// So many opens that were lost, some of them of tasks outside.
fn lost(lost: u64, lost_outside: u64) -> Lost {
    Lost {
        r#type: "lost".into(),
        after: Time(1),
        before: Time(2),
        lost,
        lost_outside,
        by_type: BTreeMap::from([("file.open".to_owned(), lost)]),
    }
}

fn log() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    writer.event(&open(1)).unwrap();
    writer.event(&exec(2)).unwrap();
    writer.checkpoint().unwrap();
    writer.lost(&lost(2, 0)).unwrap();
    writer.event(&open(3)).unwrap();
    writer.finish(Time(9), Some(0), vec![]).unwrap()
}

#[test]
fn what_tasks_outside_gave_up_is_told_apart_and_is_among_all_that_was_lost() {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    writer.lost(&lost(5, 3)).unwrap();
    writer.lost(&lost(2, 0)).unwrap();
    let log = writer.finish(Time(9), Some(0), vec![]).unwrap();
    let text = std::str::from_utf8(&log).unwrap();
    assert!(text.contains(r#""lost":5,"lost_outside":3,"#) && text.contains(r#""lost":2,"by_type""#));
    let trailer = text.lines().last().unwrap();
    assert!(trailer.contains(r#""lost":7,"lost_outside":3,"#), "{trailer}");
    assert_eq!(read(&log).unwrap().1.lost, 7);
    // As logs from before there was such a thing have it.
    let old = r#"{"type":"lost","after":"2026-11-24T12:00:00.000000000Z","before":"2026-11-24T12:00:01.000000000Z","lost":1,"by_type":{}}"#;
    assert_eq!(serde_json::from_str::<Lost>(old).unwrap().lost_outside, 0);
}

fn read(bytes: &[u8]) -> Result<(Vec<Event<'static>>, Summary), ReadError> {
    let mut reader = Reader::new(bytes)?;
    let mut events = Vec::new();
    while let Some(line) = reader.next_line()? {
        if let LineKind::Event(_) = line.kind {
            // Parse from a leaked copy: the test keeps the events.
            let text: &'static str = Box::leak(line.text.to_owned().into_boxed_str());
            events.push(event::parse(text).unwrap());
        }
    }
    Ok((events, reader.summary()))
}

#[test]
fn an_event_has_the_form_of_the_contract() {
    let mut out = Vec::new();
    let mut event = open(812);
    event.head.start = 98_123_456_789;
    event.write(&mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"seq":812,"time":"2026-11-24T12:00:00.123456789Z","type":"file.open","pid":4242,"tid":4242,"#,
            r#""start":98123456789,"ppid":4240,"comm":"sh","uid":0,"cgroup":"/docker/buildkit/x1","cgroup_id":5021,"#,
            r#""mntns":4026532501,"path":"/m3","mode":"w","create":true,"truncate":true,"dev":"0:45","ino":77,"#,
            r#""size":0,"mtime":"2026-11-24T12:00:00.123000000Z","ret":3}"#
        )
    );
}

/// The lines with the chain computed anew: what one can do who may write the log.
fn forged(lines: &[String]) -> Vec<u8> {
    let mut chain = Chain::new();
    let mut out = Vec::new();
    for line in lines {
        let line = match line.split_once(r#""sha256":""#) {
            Some((before, _)) => format!("{before}\"sha256\":\"{}\"}}\n", chain.hex()),
            None => format!("{line}\n"),
        };
        chain.update(line.as_bytes());
        out.extend_from_slice(line.as_bytes());
    }
    out
}

#[test]
fn what_was_lost_is_counted_twice() {
    let text = String::from_utf8(log()).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(forged(&lines), text.as_bytes());
    let at = lines.iter().position(|line| line.starts_with(r#"{"type":"lost""#)).unwrap();
    let failed = |lines: &[String]| read(&forged(lines)).unwrap_err().to_string();
    let mut silent = lines.clone();
    silent.remove(at);
    let said = "the trailer counts 2 lost events, but the `lost` lines before it tell of 0";
    assert_eq!(failed(&silent), said);
    // Or a checkpoint's.
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    writer.lost(&lost(2, 0)).unwrap();
    writer.checkpoint().unwrap();
    let log = writer.finish(Time(9), None, vec![]).unwrap();
    let fewer = String::from_utf8(log).unwrap().replacen(r#""lost":2"#, r#""lost":1"#, 1);
    let fewer: Vec<String> = fewer.lines().map(str::to_owned).collect();
    assert!(failed(&fewer).starts_with("the checkpoint counts 2 lost events"), "{}", failed(&fewer));
}

#[test]
fn what_was_written_is_read() {
    let (events, summary) = read(&log()).unwrap();
    assert_eq!(events, [open(1), exec(2), open(3)]);
    assert_eq!((summary.events, summary.lost, summary.cut), (3, 2, None));
    let trailer = summary.trailer.unwrap();
    assert_eq!(trailer.events["file.open"], 2);
    assert_eq!(trailer.exit, Some(0));
}

#[test]
fn every_line_is_json_with_distinct_keys_in_the_documented_order() {
    for line in log().split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        serde_json::from_slice::<serde_json::Value>(line).unwrap();
    }
    for kind in Body::TYPES {
        let mut keys: Vec<_> =
            Head::KEYS.iter().chain(kind.keys).chain(Tail::KEYS).map(|k| k.name).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "{} has a key twice", kind.name);
        assert!(kind.keys.len() <= 32 && !kind.doc.is_empty());
    }
}

#[test]
fn keys_in_another_order_and_unknown_keys_are_read() {
    let text = r#"{"path":"/x","new":{"a":[1]},"mode":"r","type":"file.open","uid":0,"cgroup":null,"cgroup_id":1,"mntns":1,
        "comm":"a","ppid":1,"start":1,"tid":1,"pid":1,"seq":1,"time":"2026-11-24T12:00:00.123456789Z","ret":-2}"#;
    let event = event::parse(text).unwrap();
    let Body::FileOpen(open) = &event.body else { panic!("{event:?}") };
    assert_eq!(open.path.get().and_then(|p| p.text()), Some("/x"));
    assert!(event.failed());
}

#[test]
fn a_type_of_tomorrow_is_passed_over() {
    let text = String::from_utf8({
        let mut out = Vec::new();
        open(1).write(&mut out);
        out
    })
    .unwrap()
    .replace("file.open", "file.dream");
    let event = event::parse(&text).unwrap();
    assert_eq!(event.body, Body::Other);
    assert_eq!(event.head.r#type.text(), Some("file.dream"));
}

#[test]
fn a_doubled_or_missing_key_is_refused() {
    let mut out = Vec::new();
    open(1).write(&mut out);
    let text = String::from_utf8(out).unwrap();
    for (from, to, what) in [
        (r#""path":"/m3","#, r#""path":"/m3","path":"/m4","#, "twice"),
        (r#""path":"/m3","#, "", "missing field `path`"),
        (r#""pid":4242,"#, "", "missing field `pid`"),
        (r#""pid":4242,"#, r#""pid":-1,"#, "invalid value"),
        (r#""mode":"w""#, r#""mode":"x""#, "expected string: r, w, rw or path"),
        (r#""path":"/m3","#, r#""path":null,"path_b64":"%","#, "base64"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        let error = event::parse(&changed).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn any_changed_byte_before_the_last_link_is_found() {
    let whole = log();
    let trailer = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for at in 0..trailer {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        match read(&changed) {
            Err(_) => {}
            Ok((_, summary)) => panic!("byte {at} changed unseen: {summary:?}"),
        }
    }
}

#[test]
fn a_log_cut_anywhere_says_so() {
    let whole = log();
    let header_end = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
    for end in header_end..whole.len() {
        let (_, summary) = read(&whole[..end]).unwrap();
        let cut = summary.cut.unwrap_or_else(|| panic!("cut at {end} unseen"));
        assert!(cut.events == 0 || cut.events == 2);
        assert_eq!(cut.in_line, whole[end - 1] != b'\n');
    }
}

#[test]
fn bytes_after_the_trailer_are_found() {
    for tail in ["x", "\n", "{}\n"] {
        let mut longer = log();
        longer.extend_from_slice(tail.as_bytes());
        assert!(matches!(read(&longer).unwrap_err().kind, ReadErrorKind::AfterTrailer));
    }
}

#[test]
fn what_is_no_log_is_named() {
    let error = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    assert!(error(b"").contains("is empty"));
    assert!(error(b"garbage\n").contains("not a blubr log"));
    assert!(error(b"garbage").contains("not a blubr log"));
    assert!(error(b"{\"schema\":\"blubr.log/2\"}\n").contains("blubr.log/2"));
    assert!(error(&[0xff; 100]).contains("not a blubr log"));
    assert!(error(&vec![b'{'; LINE_MAX + 2]).contains("longer than 1 MiB"));
}

#[test]
fn a_compressed_log_is_read_without_being_told_also_cut() {
    let whole = log();
    let packed = zstd::stream::encode_all(&whole[..], 1).unwrap();
    let (events, summary) = read(&packed).unwrap();
    assert_eq!(events.len(), 3);
    assert_eq!(summary, read(&whole).unwrap().1);
    for end in 5..packed.len() {
        match read(&packed[..end]) {
            Ok((_, summary)) => assert!(summary.cut.is_some()),
            Err(e) => {
                assert!(
                    e.line == 1 && e.to_string().contains("cut off within its first zstd frame"),
                    "{e}"
                );
            }
        }
    }
}

#[test]
fn checkpoints_come_by_themselves() {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    for seq in 1..=25_000 {
        writer.event(&open(seq)).unwrap();
    }
    let log = writer.finish(Time(9), None, vec![]).unwrap();
    let marks =
        log.split(|b| *b == b'\n').filter(|l| l.starts_with(b"{\"type\":\"checkpoint\"")).count();
    assert_eq!(marks, 2);
    assert_eq!(read(&log).unwrap().1.events, 25_000);
}

/// Three parts, with an event of `kind` at the beginning of the later ones.
fn parts(kind: &str) -> Vec<Vec<u8>> {
    let mut header = header();
    header.part = Some(Part { number: 4, previous: None, events: 0 });
    let mut writer = Writer::new(Vec::new(), &header).unwrap();
    writer.at_marks(|out, mark, _| {
        if mark == Mark::PartEnd {
            out.push(0);
        }
        Ok(())
    });
    let mut seq = 0;
    for part in 0..3 {
        if part > 0 {
            writer.next_part(Time(5), &mut header).unwrap();
            seq += 1;
            let mut line = Vec::new();
            open(seq).write(&mut line);
            // The keys of all three kinds, of which each passes over the others'.
            let keys = r#""exe":null,"argv":null,"cwd":null,"source":null,"target":null,"fstype":null,"root":null,"path""#;
            let text =
                String::from_utf8(line).unwrap().replace("file.open", kind).replace("\"path\"", keys);
            writer.event_line(&text, kind).unwrap();
        }
        seq += 1;
        writer.event(&open(seq)).unwrap();
        writer.event(&exec(seq + 1)).unwrap();
        seq += 1;
        writer.lost(&lost(2, 0)).unwrap();
    }
    let whole = writer.finish(Time(9), Some(0), vec![]).unwrap();
    whole.split(|b| *b == 0).map(<[u8]>::to_vec).collect()
}

fn chain_of(bytes: &[u8]) -> String {
    let mut chain = chain::Chain::new();
    chain.update(bytes);
    chain.hex()
}

#[test]
fn parts_are_read_one_behind_the_other() {
    let parts = parts("file.dream");
    let (events, summary) = read(&parts.concat()).unwrap();
    assert_eq!(events.len(), 8);
    assert_eq!((summary.events, summary.lost, &summary.cut), (8, 6, &None));
    assert_eq!(summary.trailer.unwrap().exit, Some(0));
    assert_eq!(summary.sha256, chain_of(&parts.concat()));
    let packed: Vec<u8> =
        parts.iter().flat_map(|part| zstd::stream::encode_all(&part[..], 1).unwrap()).collect();
    assert_eq!(read(&packed).unwrap().1.sha256, summary.sha256);
}

#[test]
fn what_a_later_part_lists_again_is_counted_and_not_handed_out() {
    for (kind, shown) in [("process.exists", 6), ("mount.exists", 6), ("process.exited", 8)] {
        let (mut count, text) = (0, parts(kind).concat());
        let mut reader = Reader::new(&text[..]).unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            count += usize::from(matches!(line.kind, LineKind::Event(_)));
        }
        assert_eq!((count, reader.summary().events), (shown, 8), "{kind}");
        assert_eq!(reader.summary().sha256, chain_of(&text));
    }
}

#[test]
fn a_part_is_a_log_of_its_own_that_says_where_it_stands() {
    let parts = parts("file.dream");
    for (at, part) in parts.iter().enumerate() {
        let (events, summary) = read(part).unwrap();
        assert_eq!(events.len(), if at == 0 { 2 } else { 3 });
        assert_eq!((summary.events, summary.lost), (events.len() as u64, 2));
        assert_eq!(summary.sha256, chain_of(part));
        let cut = (at < 2).then(|| [2, 5][at]);
        assert_eq!(summary.cut.map(|cut| (cut.events, cut.continued)), cut.map(|events| (events, true)));
        assert_eq!(summary.trailer.is_some(), at == 2);
    }
    let (_, summary) = read(&parts[1..].concat()).unwrap();
    assert_eq!((summary.events, summary.cut), (6, None));
}

#[test]
fn a_part_that_is_missing_changed_or_out_of_order_is_found() {
    let parts = parts("file.dream");
    let error = |order: &[usize]| {
        let text: Vec<u8> = order.iter().flat_map(|at| parts[*at].clone()).collect();
        read(&text).unwrap_err()
    };
    let told = error(&[0, 2]).to_string();
    assert!(told.contains("part 4 is not part 5") && told.contains("another digest"), "{told}");
    assert!(matches!(error(&[0, 0]).kind, ReadErrorKind::Part(4, _)));
    assert!(matches!(error(&[1, 0]).kind, ReadErrorKind::Part(5, _)));
    assert!(matches!(error(&[2, 0]).kind, ReadErrorKind::Another));
    let foreign = [&parts[0][..], &log()].concat();
    assert!(read(&foreign).unwrap_err().to_string().contains("a log of its own"));
    let first = parts[0].len();
    let whole = parts.concat();
    // What stands before the last trailer, as in a log of one part.
    let trailer = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for at in (0..trailer).step_by(41) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(read(&changed).is_err(), "byte {at} changed unseen");
    }
    for end in first..whole.len() {
        let (_, summary) = read(&whole[..end]).unwrap();
        assert!(summary.cut.is_some_and(|cut| cut.events >= 2), "cut at {end}");
        assert_eq!(summary.sha256, chain_of(&whole[..end]), "cut at {end}");
    }
}
