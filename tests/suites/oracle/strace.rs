//! What strace wrote (`-ff -yy -v -xx -X raw`), as calls: every string is in hexadecimal, so that no name can be taken for
//! punctuation.

use std::collections::BTreeMap;
use std::path::Path;

/// The flags by which strace writes what is read here.
pub const FLAGS: &[&str] =
    &["-ff", "-q", "-yy", "-v", "-xx", "-X", "raw", "-s", "1048576", "--decode-pids=pidns"];

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ret {
    /// The number, and what strace says that a descriptor is: `</path>` without the brackets.
    Number(i64, Option<String>),
    /// The errno's name.
    Failed(String),
    /// It never came back.
    None,
}

/// One line of a thread's file.
#[derive(Debug)]
pub enum Line {
    Call(Call),
    /// `+++ exited with 3 +++` or `+++ killed by SIGKILL +++`.
    Ended {
        code: Option<u32>,
        signal: Option<String>,
    },
}

/// A call.
#[derive(Debug, Clone)]
pub struct Call {
    pub name: String,
    pub args: Vec<String>,
    pub ret: Ret,
    /// The process id that strace itself knows for a returned one of another namespace.
    pub global_pid: Option<i64>,
}

impl Call {
    /// An argument as written; empty where there is none.
    pub fn arg(&self, at: usize) -> &str {
        self.args.get(at).map_or("", String::as_str)
    }

    /// What a successful call returned.
    pub fn done(&self) -> Option<i64> {
        match self.ret {
            Ret::Number(number, _) => Some(number),
            _ => None,
        }
    }
}

/// The lines of every thread, by thread.
pub fn read(folder: &Path, prefix: &str) -> BTreeMap<i64, Vec<Line>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let of_threads = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        let thread = name.strip_prefix(prefix)?.strip_prefix('.')?.parse().ok()?;
        Some((thread, lines(&std::fs::read_to_string(entry.path()).unwrap())))
    });
    of_threads.collect()
}

fn lines(text: &str) -> Vec<Line> {
    let mut begun: Option<String> = None;
    let mut all = Vec::new();
    for line in text.lines() {
        // A call that was cut in two, with something between: the halves are one line.
        if let Some(first) = line.trim_end().strip_suffix("<unfinished ...>") {
            begun = Some(first.to_owned());
            continue;
        }
        let joined = match (begun.take(), line.split_once(" resumed>")) {
            (Some(first), Some((_, rest))) if line.starts_with("<... ") => first + rest,
            (first, _) => {
                begun = first;
                line.to_owned()
            }
        };
        all.extend(one(&joined));
    }
    // What never came back: only its name and arguments are known.
    all.extend(begun.and_then(|first| one(&format!("{first}) = ?"))));
    name_handles(&mut all);
    all
}

/// strace has no name for what a handle opened; the next call on the descriptor has.
fn name_handles(lines: &mut [Line]) {
    for at in 0..lines.len() {
        let (before, after) = lines.split_at_mut(at + 1);
        let Some(Line::Call(call)) = before.last_mut() else { continue };
        if let ("open_by_handle_at", Ret::Number(fd, of @ None)) = (&*call.name, &mut call.ret) {
            let mut later = after.iter().filter_map(|line| match line {
                Line::Call(call) => call.arg(0).strip_prefix(&format!("{fd}<")),
                Line::Ended { .. } => None,
            });
            *of = later.next().and_then(|of| of.strip_suffix('>')).map(str::to_owned);
        }
    }
}

fn one(line: &str) -> Option<Line> {
    if let Some(rest) = line.strip_prefix("+++ ") {
        let word = |before: &str| {
            rest.strip_prefix(before).and_then(|rest| rest.split(' ').next()).map(str::to_owned)
        };
        let code = word("exited with ").map(|code| code.parse().unwrap());
        let signal = word("killed by ");
        return (code.is_some() || signal.is_some()).then_some(Line::Ended { code, signal });
    }
    // Signals, and what strace says of a process's mode.
    if line.starts_with("--- ") || line.starts_with('[') {
        return None;
    }
    let (name, rest) = line.split_once('(').unwrap_or_else(|| panic!("not a line of strace: {line}"));
    let (args, rest) = arguments(rest).unwrap_or_else(|| panic!("not a line of strace: {line}"));
    let result = rest.trim_start().strip_prefix("= ").unwrap_or_else(|| panic!("no result: {line}"));
    let global_pid = result
        .split_once("/* ")
        .and_then(|(_, comment)| comment.strip_suffix(" in strace's PID NS */"))
        .map(|pid| pid.trim().parse().unwrap());
    Some(Line::Call(Call { name: name.to_owned(), args, ret: returned(result), global_pid }))
}

fn returned(text: &str) -> Ret {
    let word = text.split(' ').next().unwrap_or_default();
    if word == "?" || (word == "-1" && text != "-1") {
        // `-1 ENOENT (No such file or directory)`, `? ERESTARTSYS (To be restarted ...)`, `?`
        return text.split(' ').nth(1).map_or(Ret::None, |name| Ret::Failed(name.to_owned()));
    }
    let (number, of) = match text.split_once('<') {
        Some((number, of)) => (number, of.rsplit_once('>').map(|(of, _)| of.to_owned())),
        None => (word, None),
    };
    let value = match number.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap().cast_signed(),
        None => number.parse().unwrap_or_else(|_| panic!("not a result: {text}")),
    };
    Ret::Number(value, of)
}

/// The arguments, without strace's comments, and what stands behind their `)`.
fn arguments(text: &str) -> Option<(Vec<String>, &str)> {
    let (args, length) = split(text);
    let rest = text.get(length..)?.strip_prefix(')')?;
    Some((args, rest))
}

/// The words between commas up to the bracket that ends this level, and how long they are.
pub fn split(text: &str) -> (Vec<String>, usize) {
    let (mut words, mut word) = (Vec::new(), String::new());
    let (mut depth, mut quoted, mut comment) = (0u32, false, false);
    let mut length = text.len();
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if comment {
            comment = !(before == '*' && c == '/');
        } else if !quoted && before == '/' && c == '*' {
            comment = true;
            word.pop();
        } else {
            quoted ^= c == '"';
            match c {
                '(' | '[' | '{' if !quoted => depth += 1,
                ')' | ']' | '}' if !quoted && depth == 0 => {
                    length = at;
                    break;
                }
                ')' | ']' | '}' if !quoted => depth -= 1,
                _ => {}
            }
            if c == ',' && !quoted && depth == 0 {
                words.push(std::mem::take(&mut word).trim().to_owned());
            } else {
                word.push(c);
            }
        }
        before = c;
    }
    if !word.trim().is_empty() || !words.is_empty() {
        words.push(word.trim().to_owned());
    }
    (words, length)
}

/// The words of `[a, b]` or `{a, b}`.
pub fn inside(text: &str) -> Vec<String> {
    let inner = text.get(1..).unwrap_or_default();
    split(inner).0
}

/// The value of `key=` in a struct, wherever it stands.
pub fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("{key}="))?;
    let end = rest.find([',', '}']).unwrap_or(rest.len());
    rest.get(..end)
}

/// A number, also an or of numbers: `0x1|0x80000`.
pub fn number(text: &str) -> i64 {
    let one = |word: &str| {
        let word = word.split('<').next().unwrap_or_default().trim();
        let value = match (word.strip_prefix("0x"), word.strip_prefix('0')) {
            (Some(digits), _) => u64::from_str_radix(digits, 16).ok().map(u64::cast_signed),
            (None, Some(digits)) if !digits.is_empty() => i64::from_str_radix(digits, 8).ok(),
            _ => word.parse().or_else(|_| word.parse::<u64>().map(u64::cast_signed)).ok(),
        };
        value.unwrap_or_else(|| panic!("not a number: {text}"))
    };
    // `1<<3|2` is not written with -X raw.
    text.split('|').map(one).fold(0, |all, bits| all | bits)
}

/// The bytes of `"\x61\x62"`, or of what stands so between brackets; none where strace had only an address.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    let inner = text.strip_prefix('"').map_or(Some(text), |rest| rest.strip_suffix('"'))?;
    assert!(!text.ends_with("..."), "strace cut a string: {text}");
    if !inner.is_empty() && !inner.starts_with("\\x") {
        return None;
    }
    inner.split("\\x").skip(1).map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

/// Of `3<...>` what is between the brackets.
pub fn tag(text: &str) -> Option<&str> {
    text.split_once('<').and_then(|(_, rest)| rest.rsplit_once('>')).map(|(tag, _)| tag)
}

/// The path of a descriptor's tag, without the mark of a device or of a deleted file.
pub fn tag_path(tag: &str) -> Option<Vec<u8>> {
    let tag = tag.split(['<', '>']).next().unwrap_or_default();
    bytes(tag.strip_suffix("(deleted)").unwrap_or(tag))
}
