//! Lists as they are read: which are kept, and how much memory all of them may take.
//!
//! A statement's lists are what makes it long, and no reader needs all of them. A list that isn't kept is still read entry by
//! entry, so that its form is checked, and comes out empty. What is kept is charged to a budget, because a few bytes of JSON
//! can ask for hundreds of bytes of memory (`[{},{},...]`).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::build::{Candidate, Check, Cited, Evidence, File, Filter, Source, Step, Unexplained};
use crate::statement::ResourceDescriptor;
use crate::trace::{Access, FileAccess, Network, Process, Touched};

/// Lists that a reader may do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lists(u16);

impl Lists {
    /// No list at all: what stands beside the lists is kept.
    pub const NONE: Self = Self(0);
    /// Every list.
    pub const ALL: Self = Self(u16::MAX);
    /// `monitorLog.process`.
    pub const PROCESSES: Self = Self(1);
    /// `monitorLog.fileAccess`.
    pub const ACCESSES: Self = Self(2);
    /// `monitorLog.network`.
    pub const NETWORK: Self = Self(4);
    /// `steps`, `candidates` and the lists of `unattributed`.
    pub const STEPS: Self = Self(8);
    /// `reads`, wherever they stand.
    pub const READS: Self = Self(16);
    /// `evidence` of steps and candidates.
    pub const EVIDENCE: Self = Self(32);
    /// `files`.
    pub const FILES: Self = Self(64);
    /// `unexplained`.
    pub const UNEXPLAINED: Self = Self(128);
    /// `processes` of steps, of candidates and of what belongs to no step.
    pub const PROGRAMS: Self = Self(256);

    /// These without those.
    #[must_use]
    pub const fn without(self, those: Self) -> Self {
        Self(self.0 & !those.0)
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, those: Self) -> Self {
        Self(self.0 | those.0)
    }

    const fn has(self, list: Self) -> bool {
        self.0 & list.0 == list.0
    }
}

/// How the statement that is being read on this thread is read. serde's derive has no way to hand this down.
#[derive(Clone, Copy)]
struct Reading {
    kept: Lists,
    /// Within a list that isn't kept: nothing is.
    dropping: bool,
    /// Bytes of memory that are left.
    left: usize,
}

thread_local! {
    static READING: Cell<Reading> =
        const { Cell::new(Reading { kept: Lists::ALL, dropping: false, left: usize::MAX }) };
}

thread_local! {
    /// The statement that is being written on this thread leaves out the lists that its detail has.
    static MOVED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `write` with the lists that a detail has left out, or not.
pub(crate) fn moved<T>(out: bool, write: impl FnOnce() -> T) -> T {
    /// Puts back what was, also when `write` panics.
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            MOVED.set(self.0);
        }
    }
    let _back = Back(MOVED.replace(out));
    write()
}

/// Whether a list is left out: it is in the detail.
pub(crate) fn is_moved<T>(_: &[T]) -> bool {
    MOVED.get()
}

/// The same of `files`, where `null` stays: not looked at.
pub(crate) fn are_files_moved(files: &Option<Vec<File>>) -> bool {
    MOVED.get() && files.is_some()
}

/// Runs `read` with these lists kept, in so many bytes of memory for their entries (what long strings take besides is bounded
/// by the statement's own length).
pub(crate) fn with<T>(kept: Lists, bytes_max: usize, read: impl FnOnce() -> T) -> T {
    /// Puts back what was, also when `read` panics.
    struct Back(Reading);
    impl Drop for Back {
        fn drop(&mut self) {
            READING.set(self.0);
        }
    }
    let _back = Back(READING.replace(Reading { kept, dropping: false, left: bytes_max }));
    read()
}

/// An entry of a list, and what one takes at most in memory beyond the characters of its long strings.
pub(crate) trait Entry {
    /// Bytes.
    const COST: usize;
}

/// The least that the allocator takes for a string (glibc's malloc: a chunk of 32 bytes).
const SHORT_STRING_BYTES: usize = 32;
/// A map with one entry: a B-tree's leaf of eleven pairs of strings.
const MAP_BYTES: usize = 11 * 48 + 16;

macro_rules! entries {
    ($($kind:ty: $strings:literal strings, $maps:literal maps;)*) => {
        $(impl Entry for $kind {
            const COST: usize =
                size_of::<$kind>() + $strings * SHORT_STRING_BYTES + $maps * MAP_BYTES;
        })*
    };
}

entries! {
    String: 1 strings, 0 maps;
    u64: 0 strings, 0 maps;
    Access: 0 strings, 0 maps;
    Process: 5 strings, 0 maps;
    Network: 8 strings, 0 maps;
    Touched: 3 strings, 0 maps;
    FileAccess: 3 strings, 1 maps;
    File: 8 strings, 0 maps;
    Unexplained: 4 strings, 0 maps;
    Evidence: 2 strings, 0 maps;
    Cited: 4 strings, 0 maps;
    Check: 2 strings, 0 maps;
    Step: 8 strings, 0 maps;
    Candidate: 2 strings, 0 maps;
    Filter: 1 strings, 0 maps;
    Source: 1 strings, 0 maps;
    ResourceDescriptor: 3 strings, 2 maps;
}

/// Takes bytes off the budget.
fn charge<E: serde::de::Error>(bytes: usize) -> Result<(), E> {
    let reading = READING.get();
    let left = reading
        .left
        .checked_sub(bytes)
        .ok_or_else(|| E::custom("its lists would take more memory than is spent on a statement"))?;
    READING.set(Reading { left, ..reading });
    Ok(())
}

/// Reads a list, or takes it apart and keeps nothing.
struct List<T> {
    keep: bool,
    entry: PhantomData<T>,
}

impl<'de, T: Entry + Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        if self.keep {
            while let Some(entry) = entries.next_element()? {
                charge(T::COST)?;
                list.push(entry);
            }
            return Ok(list);
        }
        let before = READING.get();
        READING.set(Reading { dropping: true, ..before });
        let read = (|| {
            while entries.next_element::<T>()?.is_some() {}
            Ok(())
        })();
        READING.set(before);
        read.map(|()| list)
    }
}

fn read<'de, D: Deserializer<'de>, T: Entry + Deserialize<'de>>(
    list: Option<Lists>,
    from: D,
) -> Result<Vec<T>, D::Error> {
    let reading = READING.get();
    let keep = !reading.dropping && list.is_none_or(|list| reading.kept.has(list));
    from.deserialize_seq(List { keep, entry: PhantomData })
}

/// A list that is always kept, but within one that isn't.
pub(crate) fn kept<'de, D: Deserializer<'de>, T: Entry + Deserialize<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    read(None, from)
}

macro_rules! droppable {
    ($($name:ident: $list:ident;)*) => {
        $(pub(crate) fn $name<'de, D: Deserializer<'de>, T: Entry + Deserialize<'de>>(
            from: D,
        ) -> Result<Vec<T>, D::Error> {
            read(Some(Lists::$list), from)
        })*
    };
}

droppable! {
    processes: PROCESSES;
    accesses: ACCESSES;
    network: NETWORK;
    steps: STEPS;
    reads: READS;
    programs: PROGRAMS;
    evidence: EVIDENCE;
}

/// What is cited, charged; nothing within a list that isn't kept.
pub(crate) fn cited<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<Cited>>, D::Error> {
    let cited = Option::<Box<Cited>>::deserialize(from)?;
    if READING.get().dropping {
        return Ok(None);
    }
    if cited.is_some() {
        charge(Cited::COST)?;
    }
    Ok(cited)
}

/// A list that may be `null`.
struct OrNull<T>(Lists, PhantomData<T>);

impl<'de, T: Entry + Deserialize<'de>> Visitor<'de> for OrNull<T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or null")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        read(Some(self.0), from).map(Some)
    }
}

/// `files`: `null` stays `null` whether or not the list is kept.
pub(crate) fn files<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<File>>, D::Error> {
    from.deserialize_option(OrNull(Lists::FILES, PhantomData))
}

/// `unexplained`, likewise.
pub(crate) fn unexplained<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Vec<Unexplained>>, D::Error> {
    from.deserialize_option(OrNull(Lists::UNEXPLAINED, PhantomData))
}

/// Reads a map from texts.
struct Map<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            if READING.get().dropping {
                entries.next_value::<T>()?;
                continue;
            }
            // Leaves are half full at least.
            charge(4 * size_of::<(String, T)>() + 2 * SHORT_STRING_BYTES)?;
            if map.insert(key, entries.next_value()?).is_some() {
                return Err(A::Error::custom("a key stands twice in one object"));
            }
        }
        Ok(map)
    }
}

/// A map, charged.
pub(crate) fn map<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    from.deserialize_map(Map(PhantomData))
}

/// Follows keys down to one list and gives its entries away one by one.
pub(crate) struct Each<'a, T, F: FnMut(T)> {
    pub path: &'a [&'a str],
    pub take: &'a mut F,
    pub entry: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>, F: FnMut(T)> serde::de::DeserializeSeed<'de> for Each<'_, T, F> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        if self.path.is_empty() { from.deserialize_option(self) } else { from.deserialize_map(self) }
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Each<'_, T, F> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.first() {
            Some(key) => write!(f, "an object with `{key}`"),
            None => f.write_str("a list or null"),
        }
    }

    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<bool, A::Error> {
        while let Some(entry) = entries.next_element()? {
            (self.take)(entry);
        }
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<bool, A::Error> {
        let Some((first, rest)) = self.path.split_first() else {
            return Err(A::Error::custom("an object where a list should be"));
        };
        let mut found = false;
        while let Some(key) = entries.next_key::<std::borrow::Cow<'de, str>>()? {
            if key == *first {
                let deeper = Each { path: rest, take: &mut *self.take, entry: PhantomData };
                found = entries.next_value_seed(deeper)?;
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}
