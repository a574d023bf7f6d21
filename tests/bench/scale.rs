//! Makes a long log out of a short one: `blubr-bench-log BASE EVENTS MARK FIRST`, to standard output.
//!
//! BASE is the recorded log of a real build in which one process has MARK (a file's name) among its arguments. What that process
//! did, from its parent's fork to its exit, is written again and again behind it, each time as another process (pid, start)
//! with another file (FIRST and the numbers behind it, as wide as MARK's digits, in MARK's place), until the log has about EVENTS
//! events. Everything else is as it was recorded, only later and with the numbers that follow. The chain is computed anew.
//! Prints to standard error how many processes were added.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};

use blubr_log::{LineKind, Reader, Time, Writer};

/// How far an added event is behind the one before, in ns: some 500,000 a second, as much as a recorder gets.
const STEP_NS: u64 = 2_000;
/// The first pid that is given away: the kernel gives none as high (PID_MAX_LIMIT, include/linux/threads.h).
const FIRST_PID: u64 = 5_000_000;

/// An event of the base.
struct Recorded {
    text: String,
    kind: String,
    seq: u64,
    time: Time,
}

/// What stands in a line between its fixed parts.
#[derive(Clone, Copy)]
enum Hole {
    Seq,
    Time,
    Pid,
    Start,
    Name,
    Inode(u64),
}

/// A line that is written again and again.
struct Template {
    kind: String,
    parts: Vec<(String, Hole)>,
    rest: String,
}

impl Template {
    /// Cuts a line at what differs from one process to the next.
    fn new(event: &Recorded, pid: u64, start: u64, mark: &str) -> Self {
        let time = event.time.to_string();
        let mut holes: Vec<(String, usize, Hole)> = vec![
            (format!("\"seq\":{},", event.seq), 6, Hole::Seq),
            (format!("\"time\":\"{time}\","), 8, Hole::Time),
            (format!("\"pid\":{pid},"), 6, Hole::Pid),
            (format!("\"tid\":{pid},"), 6, Hole::Pid),
            (format!("\"start\":{start},"), 8, Hole::Start),
            (format!("\"child_pid\":{pid},"), 12, Hole::Pid),
            (format!("\"child_start\":{start}"), 14, Hole::Start),
            (mark.to_owned(), 0, Hole::Name),
        ];
        if event.text.contains(mark)
            && let Some(inode) = number_after(&event.text, "\"ino\":")
        {
            holes.push((format!("\"ino\":{inode},"), 6, Hole::Inode(inode)));
        }
        let (mut parts, mut rest) = (Vec::new(), event.text.as_str());
        // The earliest hole in what is left, again and again.
        while let Some((at, needle, head, hole)) = holes
            .iter()
            .filter_map(|(needle, head, hole)| Some((rest.find(needle)?, needle, *head, *hole)))
            .min_by_key(|(at, ..)| *at)
        {
            let tail = usize::from(needle.ends_with(',')) + usize::from(needle.ends_with("\","));
            parts.push((rest[..at + head].to_owned(), hole));
            rest = &rest[at + needle.len() - tail..];
        }
        Self { kind: event.kind.clone(), parts, rest: rest.to_owned() }
    }

    fn write(&self, to: &mut String, seq: u64, time: Time, round: u64, start: u64, name: &str) {
        use std::fmt::Write as _;
        to.clear();
        for (text, hole) in &self.parts {
            to.push_str(text);
            match hole {
                Hole::Seq => write!(to, "{seq}"),
                Hole::Time => write!(to, "{time}"),
                Hole::Pid => write!(to, "{}", FIRST_PID + round),
                Hole::Start => write!(to, "{start}"),
                Hole::Name => write!(to, "{name}"),
                Hole::Inode(inode) => write!(to, "{}", inode + 1_000_000 + round),
            }
            .unwrap();
        }
        to.push_str(&self.rest);
    }
}

fn number_after(text: &str, key: &str) -> Option<u64> {
    let rest = text.get(text.find(key)? + key.len()..)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, base, wanted, mark, first] = args.as_slice() else {
        panic!("usage: blubr-bench-log BASE EVENTS MARK FIRST")
    };
    let (wanted, first): (u64, u64) = (wanted.parse().unwrap(), first.parse().unwrap());
    let mut reader = Reader::new(BufReader::new(File::open(base).unwrap())).unwrap();
    let header = reader.header().clone();
    let (mut events, mut trailer) = (Vec::new(), None);
    while let Some(line) = reader.next_line().unwrap() {
        match line.kind {
            LineKind::Event(event) => events.push(Recorded {
                kind: event.body.type_name().to_owned(),
                seq: event.head.seq,
                time: event.head.time,
                text: line.text.to_owned(),
            }),
            LineKind::Trailer(it) => trailer = Some(it),
            LineKind::Lost(_) | LineKind::Checkpoint(_) => {}
        }
    }
    let trailer = trailer.expect("a whole log");
    let ran = events.iter().find(|one| one.kind == "process.exec" && one.text.contains(mark));
    let ran = ran.expect("a process that has MARK among its arguments");
    let pid = number_after(&ran.text, "\"pid\":").unwrap();
    let start = number_after(&ran.text, "\"start\":").unwrap();
    let (its, child) =
        (format!("\"pid\":{pid},\"tid\":{pid},\"start\":{start},"), format!("\"child_pid\":{pid},"));
    let of = |one: &&Recorded| one.text.contains(&its) || one.text.contains(&child);
    let templates: Vec<Template> =
        events.iter().filter(of).map(|one| Template::new(one, pid, start, mark)).collect();
    let last = events.iter().rposition(|one| of(&one)).unwrap();
    let rounds = wanted.saturating_sub(events.len() as u64) / templates.len() as u64;
    let width = mark.chars().filter(char::is_ascii_digit).count();
    let stem = mark.trim_end_matches(|c: char| c.is_ascii_digit());

    let out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let mut writer = Writer::new(out, &header).unwrap();
    let (mut seq, mut late, mut line) = (0, 0, String::new());
    for (at, one) in events.iter().enumerate() {
        seq += 1;
        let time = Time(one.time.0 + late);
        let text = one.text.replacen(&format!("\"seq\":{},", one.seq), &format!("\"seq\":{seq},"), 1);
        let text = text.replacen(&one.time.to_string(), &time.to_string(), 1);
        writer.event_line(&text, &one.kind).unwrap();
        if at != last {
            continue;
        }
        for round in 0..rounds {
            let name = format!("{stem}{:0width$}", first + round);
            for template in &templates {
                seq += 1;
                late += STEP_NS;
                let time = Time(one.time.0 + late);
                template.write(&mut line, seq, time, round, start + 1 + round * 10_000, &name);
                writer.event_line(&line, &template.kind).unwrap();
            }
        }
    }
    writer.checkpoint().unwrap();
    let ended = Time(trailer.ended.0 + late);
    writer.finish(ended, trailer.exit, Vec::new()).unwrap().flush().unwrap();
    eprintln!("{rounds}");
}
