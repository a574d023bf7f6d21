//! Both sides as the same words: what happened in a thread, one line each, in order.

use std::collections::BTreeMap;

use serde_json::Value;

/// What happened, by thread; the end of a process stands at its first thread.
pub type Facts = BTreeMap<i64, Vec<String>>;

/// One event's type and the fields that both sides know.
pub struct Fact(String);

impl Fact {
    pub fn new(kind: &str) -> Self {
        Fact(kind.to_owned())
    }
    pub fn with(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.0 = format!("{} {key}={value}", self.0);
        self
    }
    pub fn bytes(self, key: &str, value: &[u8]) -> Self {
        self.with(key, value.escape_ascii())
    }
    pub fn maybe(self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
    pub fn maybe_bytes(self, key: &str, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.bytes(key, value),
            None => self,
        }
    }
    pub fn flag(self, key: &str, on: bool) -> Self {
        if on { self.with(key, true) } else { self }
    }
    pub fn text(self) -> String {
        self.0
    }
}

/// The word for a path longer than any can be, which both sides cut, each in its way.
pub const CUT: &[u8] = b"(cut)";

/// The keys of each type that are compared: all that a call's arguments or its result say.
const KEYS: &[(&str, &[&str])] = &[
    ("file.open", &["path", "mode", "create", "truncate", "tmpfile", "via", "ret"]),
    ("file.close", &["path"]),
    ("file.mkdir", &["path", "mode", "ret"]),
    ("file.mknod", &["path", "kind", "mode", "rdev", "ret"]),
    ("file.unlink", &["path", "directory", "ret"]),
    ("file.rename", &["path", "to", "exchange", "whiteout", "ret"]),
    ("file.link", &["path", "to", "ret"]),
    ("file.symlink", &["path", "target", "ret"]),
    ("file.chmod", &["path", "mode", "ret"]),
    ("file.chown", &["path", "owner", "group", "ret"]),
    ("file.truncate", &["path", "size", "ret"]),
    ("file.setxattr", &["path", "name", "value", "remove", "ret"]),
    ("file.utimes", &["path", "atime", "mtime", "ret"]),
    ("process.fork", &["child_pid"]),
    ("process.exec", &["exe", "argv", "cwd", "script", "ret"]),
    ("process.exit", &["code", "signal"]),
    ("mount.mount", &["source", "target", "fstype", "flags", "options", "ret"]),
    ("mount.umount", &["target", "flags", "ret"]),
    ("mount.pivot_root", &["path", "put_old", "ret"]),
    ("fs.chroot", &["path", "ret"]),
    ("ns.unshare", &["namespaces", "ret"]),
    ("ns.setns", &["namespaces", "ret"]),
    ("net.connect", &["proto", "daddr", "dport", "via", "ret"]),
    ("net.accept", &["proto", "saddr", "sport", "daddr", "dport", "ret"]),
    ("net.bind", &["proto", "saddr", "sport", "ret"]),
    ("net.listen", &["proto", "saddr", "sport", "ret"]),
    ("net.send", &["proto", "daddr", "dport", "ret"]),
    ("unix.connect", &["path", "ret"]),
];

/// Types that are not compared, each with the reason. What is neither here nor above fails.
pub const NOT_COMPARED: &[(&str, &str)] = &[
    ("process.exists", "of before the command began"),
    ("mount.exists", "of before the command began"),
    (
        "net.close",
        "the kernel's, not a call's: oracle/probes.rs compares each end with what was accepted or what a program counted, suites/events/net.rs the bytes",
    ),
    ("net.dns", PAYLOAD),
    ("net.tls", PAYLOAD),
    ("net.http", PAYLOAD),
    ("watch.bpf", WATCH),
    ("watch.ptrace", WATCH),
    ("watch.module", WATCH),
    ("watch.kill", WATCH),
    ("watch.iouring", WATCH),
    ("watch.socket", WATCH),
];

const PAYLOAD: &str =
    "out of payload, which strace is not asked for: suites/events asks what servers were told";
const WATCH: &str =
    "of calls that strace is not asked for: suites/events/watch.rs makes each and looks for it";

/// The log's events of a command and its descendants, from the moment that strace let it go; and how many of its types
/// that are not compared.
pub fn of_log(
    lines: &[Value],
    threads: &BTreeMap<i64, i64>,
    root: i64,
) -> (Facts, BTreeMap<&'static str, u64>) {
    let mut facts = Facts::new();
    let mut not_compared = BTreeMap::new();
    let mut begun = false;
    for event in lines {
        let (Some(kind), Some(tid)) = (event["type"].as_str(), event["tid"].as_i64()) else { continue };
        // strace's child waits for it to attach and then becomes the command.
        begun |= tid == root && kind == "process.exec" && event.get("ret").is_none();
        let of_command = threads.contains_key(&tid) && begun;
        let Some((_, keys)) = KEYS.iter().find(|(name, _)| *name == kind) else {
            let known = NOT_COMPARED.iter().find(|(name, _)| *name == kind);
            let (name, _) = known.unwrap_or_else(|| panic!("the oracle does not know {kind}"));
            *not_compared.entry(*name).or_default() += u64::from(of_command);
            continue;
        };
        if !of_command {
            continue;
        }
        let by_process = kind == "process.exit" || kind == "file.close";
        let group = if by_process { event["pid"].as_i64().unwrap() } else { tid };
        let mut fact = Fact::new(kind);
        for key in *keys {
            // "Now" is written as the time of the event.
            let now = key.ends_with("time") && event[key] == event["time"];
            fact = if now { fact.with(key, "now") } else { field(fact, key, event) };
        }
        facts.entry(group).or_default().push(fact.text());
    }
    (facts, not_compared)
}

fn field(fact: Fact, key: &str, event: &Value) -> Fact {
    let cut = event["truncated"].as_array().is_some_and(|cut| cut.iter().any(|one| one == key));
    if cut && key == "path" {
        return fact.bytes(key, CUT);
    }
    let encoded = &event[format!("{key}_b64")];
    match &event[key] {
        Value::Null => match encoded {
            Value::String(text) => fact.bytes(key, &from_base64(text)),
            Value::Array(words) => {
                fact.with(key, list(words.iter().map(|word| from_base64(text_of(word)))))
            }
            _ => fact,
        },
        Value::String(text) => fact.bytes(key, text.as_bytes()),
        Value::Array(words) if key == "argv" => {
            fact.with(key, list(words.iter().map(|word| text_of(word).as_bytes().to_vec())))
        }
        Value::Array(words) => fact.with(key, words.iter().map(text_of).collect::<Vec<_>>().join(",")),
        other => fact.with(key, other),
    }
}

fn text_of(word: &Value) -> &str {
    word.as_str().unwrap()
}

/// The bytes of a name that is no text: six bits a letter (RFC 4648, section 4).
fn from_base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = text.trim_end_matches('=').bytes();
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for letter in letters {
        let six = LETTERS.iter().position(|one| *one == letter).unwrap();
        bits = bits << 6 | u32::try_from(six).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held).to_le_bytes()[0]);
        }
    }
    bytes
}

/// Words one after another, each to be told from the next.
pub fn list(words: impl IntoIterator<Item = Vec<u8>>) -> String {
    words.into_iter().map(|word| format!("[{}]", word.escape_ascii())).collect()
}

/// Puts what threads of one process closed together, in no order: which of them ends last, and so closes the rest, is
/// nobody's choice.
pub fn join_closes(facts: &mut Facts, threads: &BTreeMap<i64, i64>) {
    let mut of: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    threads.iter().for_each(|(thread, process)| of.entry(*process).or_default().push(*thread));
    for (process, threads) in of.into_iter().filter(|(_, threads)| threads.len() > 1) {
        let mut closes = Vec::new();
        for thread in threads {
            let all = facts.remove(&thread).unwrap_or_default();
            let (close, other) =
                all.into_iter().partition(|fact: &String| fact.starts_with("file.close "));
            closes.extend::<Vec<_>>(close);
            facts.insert(thread, other);
        }
        closes.sort();
        facts.insert(-process, closes);
    }
}

/// What one side has and the other hasn't, and where their order differs; empty where they agree.
pub fn differences(strace: &Facts, log: &Facts) -> Vec<String> {
    let none = Vec::new();
    let mut all = Vec::new();
    let groups: std::collections::BTreeSet<_> = strace.keys().chain(log.keys()).collect();
    for group in groups {
        let (theirs, ours) = (strace.get(group).unwrap_or(&none), log.get(group).unwrap_or(&none));
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        theirs.iter().for_each(|fact| *counts.entry(fact).or_default() += 1);
        ours.iter().for_each(|fact| *counts.entry(fact).or_default() -= 1);
        for (fact, count) in &counts {
            match count {
                0 => {}
                1.. => all.push(format!("{group}: strace only, {count}: {fact}")),
                _ => all.push(format!("{group}: log only, {}: {fact}", -count)),
            }
        }
        if theirs != ours && counts.values().all(|count| *count == 0) {
            let at = theirs.iter().zip(ours).position(|(a, b)| a != b).unwrap();
            all.push(format!("{group}: another order: {} before {}", theirs[at], ours[at]));
        }
    }
    all
}
