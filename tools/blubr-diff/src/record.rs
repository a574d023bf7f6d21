//! One side of a comparison: a statement, and the files of its layers in little memory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;

use blubr_attestation::Statement;
use blubr_attestation::build::{BlubrBuild, File};

/// A record as it is compared: the statement without the lists that nothing compares, and the files apart.
#[derive(Debug)]
pub struct Record {
    /// The statement; its `files` are empty where there are any, see [`Record::files`].
    pub statement: Statement,
    /// The files; `None` where the record has none.
    pub files: Option<Files>,
    /// The file that has its tables, where that was not given: none of the lists says anything.
    pub elsewhere: Option<String>,
}

impl Record {
    /// The extension that holds most of what is compared.
    pub fn build(&self) -> &BlubrBuild {
        &self.statement.predicate.blubr_build
    }
}

impl From<Statement> for Record {
    fn from(mut statement: Statement) -> Self {
        let list = &mut statement.predicate.blubr_build.files;
        let files = list.as_mut().map(|list| list.drain(..).collect());
        Self { statement, files, elsewhere: None }
    }
}

/// The entries of the layers that a build made. A statement may have a hundred thousand of them and more, which share a
/// handful of layers, kinds and steps: each takes 64 bytes, its sum and the characters of its name.
#[derive(Debug, Default)]
pub struct Files {
    entries: Vec<Packed>,
    /// Names and targets, one behind the other.
    characters: String,
    sums: Vec<[u8; 32]>,
    /// Each text that many entries have, once.
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

#[derive(Debug)]
struct Packed {
    name: Span,
    target: Option<Span>,
    size: Option<u64>,
    sum: PackedSum,
    kind: u32,
    layer: u32,
    step: Option<Number>,
    attributes: Option<Number>,
    is_base64: bool,
    hidden: bool,
}

/// The number of a text that there may be none of, in four bytes.
#[derive(Debug, Clone, Copy)]
struct Number(NonZeroU32);

impl Number {
    fn new(at: u32) -> Option<Self> {
        at.checked_add(1).and_then(NonZeroU32::new).map(Self)
    }

    fn at(self) -> u32 {
        self.0.get() - 1
    }
}

/// Where characters stand. A statement has fewer bytes than a `u32` counts.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
enum PackedSum {
    None,
    /// In `sums`.
    Bytes(u32),
    /// In `texts`.
    Text(u32),
}

/// A file's sum. Equal ones are equal: only what is not 64 lower-case digits is kept as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sum<'a> {
    /// SHA-256.
    Bytes(&'a [u8; 32]),
    /// Whatever else the record says.
    Text(&'a str),
}

/// One entry, as it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry<'a> {
    /// The path; in base64 where [`Entry::is_base64`] says so.
    pub name: &'a str,
    /// The path isn't UTF-8.
    pub is_base64: bool,
    /// `file`, `directory` ...
    pub kind: &'a str,
    /// The sum of its content, where it has one.
    pub sha256: Option<Sum<'a>>,
    /// A link's target.
    pub target: Option<&'a str>,
    /// Mode and owner, as `0755 0:0`; `None` where the record doesn't tell them.
    pub attributes: Option<&'a str>,
    /// Bytes of content.
    pub size: Option<u64>,
    /// The layer's diff_id.
    pub layer: &'a str,
    /// The step that wrote it.
    pub step: Option<&'a str>,
    /// A later layer changed or removed it.
    pub hidden: bool,
}

impl<'a> Entry<'a> {
    /// The path for people, and to compare by.
    pub fn path(&self) -> Cow<'a, str> {
        if self.is_base64 { format!("base64:{}", self.name).into() } else { self.name.into() }
    }
}

impl Files {
    /// Takes one more.
    pub fn add(&mut self, file: File) {
        let is_base64 = file.path.is_none();
        let name = file.path.or(file.path_b64).unwrap_or_default();
        let sum = match file.sha256 {
            None => PackedSum::None,
            Some(text) => match digits(&text) {
                Some(bytes) => {
                    self.sums.push(bytes);
                    PackedSum::Bytes(number(self.sums.len() - 1))
                }
                None => PackedSum::Text(self.number(text)),
            },
        };
        let packed = Packed {
            name: self.keep(&name),
            target: file.target.map(|target| self.keep(&target)),
            size: file.size,
            sum,
            kind: self.number(file.kind),
            layer: self.number(file.layer),
            step: file.step.and_then(|step| Number::new(self.number(step))),
            attributes: file
                .mode
                .and_then(|mode| Number::new(self.number(format!("{mode} {}:{}", file.uid, file.gid)))),
            is_base64,
            hidden: file.hidden,
        };
        self.entries.push(packed);
    }

    fn keep(&mut self, text: &str) -> Span {
        let start = number(self.characters.len());
        self.characters.push_str(text);
        Span { start, end: number(self.characters.len()) }
    }

    /// The number of a text.
    fn number(&mut self, text: String) -> u32 {
        if let Some(number) = self.numbers.get(&text) {
            return *number;
        }
        let number = number(self.texts.len());
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", String::as_str)
    }

    fn span(&self, span: Span) -> &str {
        self.characters.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Whether modes and owners are told.
    pub fn tell_attributes(&self) -> bool {
        self.entries.iter().any(|entry| entry.attributes.is_some())
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The one at a place in the statement's order.
    pub fn get(&self, at: usize) -> Option<Entry<'_>> {
        self.entries.get(at).map(|packed| self.entry(packed))
    }

    fn entry(&self, packed: &Packed) -> Entry<'_> {
        Entry {
            name: self.span(packed.name),
            is_base64: packed.is_base64,
            kind: self.text(packed.kind),
            sha256: match packed.sum {
                PackedSum::None => None,
                PackedSum::Bytes(at) => self.sums.get(at as usize).map(Sum::Bytes),
                PackedSum::Text(number) => Some(Sum::Text(self.text(number))),
            },
            target: packed.target.map(|span| self.span(span)),
            size: packed.size,
            layer: self.text(packed.layer),
            step: packed.step.map(|step| self.text(step.at())),
            attributes: packed.attributes.map(|attributes| self.text(attributes.at())),
            hidden: packed.hidden,
        }
    }

    /// Each of them, in the statement's order.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries.iter().map(|packed| self.entry(packed))
    }
}

impl FromIterator<File> for Files {
    fn from_iter<I: IntoIterator<Item = File>>(files: I) -> Self {
        let mut all = Self::default();
        files.into_iter().for_each(|file| all.add(file));
        all
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The bytes that 64 lower-case digits stand for.
fn digits(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(bytes)
}

impl fmt::Display for Sum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_what_was_there() {
        let hex = "0123456789abcdef".repeat(4);
        for text in ["", "aa", &hex, &hex.to_uppercase(), &"g".repeat(64), &"é".repeat(32)] {
            let file = File { sha256: Some(text.to_owned()), ..File::default() };
            let files: Files = [file].into_iter().collect();
            assert_eq!(files.get(0).unwrap().sha256.unwrap().to_string(), text);
        }
        let file = |path: Option<&str>, step: &str| File {
            path: path.map(str::to_owned),
            path_b64: path.is_none().then(|| "/w==".to_owned()),
            kind: "file".into(),
            sha256: Some(hex.clone()),
            size: Some(3),
            target: Some("x".into()),
            mode: Some("0640".into()),
            uid: 7,
            gid: 0,
            layer: "sha256:1".into(),
            hidden: path.is_none(),
            step: Some(step.into()),
            process: None,
        };
        let files: Files = [file(Some("/a"), "0.2"), file(None, "0.3")].into_iter().collect();
        let all: Vec<Entry<'_>> = files.iter().collect();
        let sum = digits(&hex).unwrap();
        let first = Entry {
            name: "/a",
            is_base64: false,
            kind: "file",
            sha256: Some(Sum::Bytes(&sum)),
            target: Some("x"),
            attributes: Some("0640 7:0"),
            size: Some(3),
            layer: "sha256:1",
            step: Some("0.2"),
            hidden: false,
        };
        assert_eq!(all[0], first);
        let second = Entry { name: "/w==", is_base64: true, step: Some("0.3"), hidden: true, ..first };
        assert_eq!(all[1], second);
        assert_eq!((files.texts.len(), files.len(), files.is_empty()), (5, 2, false));
        assert!(files.get(2).is_none() && size_of::<Packed>() <= 64);
    }
}
