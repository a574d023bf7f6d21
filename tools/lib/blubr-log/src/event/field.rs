//! The kinds of values that keys have: how each is written, read and documented.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::{Error, MapAccess};

use crate::json;
use crate::name::{Text, bytes_of, from_base64};
use crate::{Name, NameList, Seen, Time};

/// A kind of value.
pub(crate) trait Field<'de>: Sized {
    /// Its JSON shape, for manuals.
    const SHAPE: &'static str;
    /// Whether the key must be there.
    const REQUIRED: bool = true;
    /// Whether the value may stand in base64 under `key_b64`.
    const BYTES: bool = false;

    /// What the field is before its key was read.
    fn unread() -> Self;

    /// Writes the key and the value; nothing where the value says that the key is left out.
    fn write(&self, key: &str, out: &mut Vec<u8>);

    /// Reads the value of `key`.
    fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error>;

    /// Reads the value of `key_b64`.
    fn read_encoded<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let _ = map;
        Err(A::Error::custom("this key has no base64 form"))
    }
}

macro_rules! integer {
    ($($Ty:ty),*) => { $(
        impl<'de> Field<'de> for $Ty {
            const SHAPE: &'static str = "integer";
            fn unread() -> Self {
                0
            }
            #[inline]
            fn write(&self, key: &str, out: &mut Vec<u8>) {
                json::key(out, key);
                out.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
            }
            fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
                *self = map.next_value()?;
                Ok(())
            }
        }
    )* };
}
integer!(u16, u32, u64, i32, i64);

impl<'de> Field<'de> for Time {
    const SHAPE: &'static str = "string: time";
    fn unread() -> Self {
        Time::default()
    }
    #[inline]
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        json::key(out, key);
        out.push(b'"');
        out.extend_from_slice(&self.text());
        out.push(b'"');
    }
    fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        *self = map.next_value()?;
        Ok(())
    }
}

impl<'de> Field<'de> for Name<'de> {
    const SHAPE: &'static str = "string";
    const BYTES: bool = true;
    fn unread() -> Self {
        Name::default()
    }
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        Name::write(self, key, out);
    }
    fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        if let Some(text) = map.next_value::<Option<Text<'de>>>()? {
            self.0 = bytes_of(text.0);
        }
        Ok(())
    }
    fn read_encoded<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        self.0 = Cow::Owned(from_base64(&map.next_value::<Text<'de>>()?.0)?);
        Ok(())
    }
}

impl<'de> Field<'de> for NameList<'de> {
    const SHAPE: &'static str = "array of strings";
    const BYTES: bool = true;
    fn unread() -> Self {
        NameList::default()
    }
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        NameList::write(self, key, out);
    }
    fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        if let Some(texts) = map.next_value::<Option<Vec<Text<'de>>>>()? {
            let names = texts.iter().map(|text| text.0.as_bytes());
            *self = without_nul(names)?;
        }
        Ok(())
    }
    fn read_encoded<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let texts = map.next_value::<Vec<Text<'de>>>()?;
        let names = texts.iter().map(|text| from_base64(&text.0)).collect::<Result<Vec<_>, _>>()?;
        *self = without_nul(names.iter().map(Vec::as_slice))?;
        Ok(())
    }
}

fn without_nul<'n, E: Error>(
    names: impl Iterator<Item = &'n [u8]> + Clone,
) -> Result<NameList<'static>, E> {
    if names.clone().any(|name| name.contains(&0)) {
        return Err(E::custom("a name with a NUL in it, which the kernel has no way to make"));
    }
    Ok(NameList::from_names(names))
}

/// `null` where it could not be seen.
impl<'de, T: Nullable<'de>> Field<'de> for Seen<T> {
    const SHAPE: &'static str = T::NULLABLE;
    const BYTES: bool = T::BYTES;
    fn unread() -> Self {
        Seen(None)
    }
    #[inline]
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        match &self.0 {
            Some(value) => value.write(key, out),
            None => {
                json::key(out, key);
                out.extend_from_slice(b"null");
            }
        }
    }
    fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        read_or_null(&mut self.0, map)
    }
    fn read_encoded<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        self.0.insert(T::unread()).read_encoded(map)
    }
}

/// No key where it does not apply.
impl<'de, T: Nullable<'de>> Field<'de> for Option<T> {
    const SHAPE: &'static str = T::SHAPE;
    const REQUIRED: bool = false;
    const BYTES: bool = T::BYTES;
    fn unread() -> Self {
        None
    }
    #[inline]
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.write(key, out);
        }
    }
    fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        read_or_null(self, map)
    }
    fn read_encoded<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        self.insert(T::unread()).read_encoded(map)
    }
}

/// Reads a value that may be `null`. A `null` after `key_b64` leaves what that said.
fn read_or_null<'de, T: Nullable<'de>, A: MapAccess<'de>>(
    slot: &mut Option<T>,
    map: &mut A,
) -> Result<(), A::Error> {
    if let Some(value) = T::value_or_null(map)? {
        *slot = Some(value);
    }
    Ok(())
}

/// A value that can be told from `null`.
pub(crate) trait Nullable<'de>: Field<'de> {
    /// The JSON shape with `null` allowed, for manuals.
    const NULLABLE: &'static str;
    /// Reads a value or `null`.
    fn value_or_null<A: MapAccess<'de>>(map: &mut A) -> Result<Option<Self>, A::Error>;
}

macro_rules! nullable {
    ($shape:literal: $($Ty:ty),*) => { $(
        impl<'de> Nullable<'de> for $Ty {
            const NULLABLE: &'static str = $shape;
            fn value_or_null<A: MapAccess<'de>>(map: &mut A) -> Result<Option<Self>, A::Error> {
                map.next_value()
            }
        }
    )* };
}
nullable!("integer or null": u16, u32, u64, i32, i64);
nullable!("string or null": Time, Addr, Dev, Perm, OpenMode, Proto);

impl<'de> Nullable<'de> for Name<'de> {
    const NULLABLE: &'static str = "string or null";
    fn value_or_null<A: MapAccess<'de>>(map: &mut A) -> Result<Option<Self>, A::Error> {
        Ok(map.next_value::<Option<Text<'de>>>()?.map(|text| Name(bytes_of(text.0))))
    }
}

impl<'de> Nullable<'de> for NameList<'de> {
    const NULLABLE: &'static str = "array of strings, or null";
    fn value_or_null<A: MapAccess<'de>>(map: &mut A) -> Result<Option<Self>, A::Error> {
        match map.next_value::<Option<Vec<Text<'de>>>>()? {
            Some(texts) => without_nul(texts.iter().map(|text| text.0.as_bytes())).map(Some),
            None => Ok(None),
        }
    }
}

/// `true`, or no key at all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flag(pub bool);

impl<'de> Field<'de> for Flag {
    const SHAPE: &'static str = "true";
    const REQUIRED: bool = false;
    fn unread() -> Self {
        Flag(false)
    }
    #[inline]
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        if self.0 {
            json::key(out, key);
            out.extend_from_slice(b"true");
        }
    }
    fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        self.0 = map.next_value()?;
        Ok(())
    }
}

/// A value that is written and read as a string of its own form.
trait Spelled: Sized + Copy {
    const FORM: &'static str;
    fn spell(self, out: &mut impl fmt::Write) -> fmt::Result;
    fn unspell(text: &str) -> Option<Self>;
}

/// Writes into a line what has no character that JSON would escape.
struct Plain<'o>(&'o mut Vec<u8>);

impl fmt::Write for Plain<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

macro_rules! spelled {
    ($($Ty:ident),*) => { $(
        impl<'de> Field<'de> for $Ty {
            const SHAPE: &'static str = <$Ty as Spelled>::FORM;
            fn unread() -> Self {
                $Ty::default()
            }
            fn write(&self, key: &str, out: &mut Vec<u8>) {
                json::key(out, key);
                out.push(b'"');
                // Writing into a Vec does not fail.
                let _ = self.spell(&mut Plain(out));
                out.push(b'"');
            }
            fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
                *self = map.next_value()?;
                Ok(())
            }
        }

        impl fmt::Display for $Ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.spell(f)
            }
        }

        impl<'de> Deserialize<'de> for $Ty {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = Text::deserialize(d)?;
                $Ty::unspell(&text.0).ok_or_else(|| {
                    D::Error::invalid_value(serde::de::Unexpected::Str(&text.0), &<$Ty as Spelled>::FORM)
                })
            }
        }
    )* };
}
spelled!(Addr, Dev, Perm, OpenMode, Proto);

/// An internet address; in a log `"192.0.2.1"` or `"2001:db8::1"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub IpAddr);

impl Default for Addr {
    fn default() -> Self {
        Addr(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
    }
}

impl Spelled for Addr {
    const FORM: &'static str = "string: IP address";
    fn spell(self, out: &mut impl fmt::Write) -> fmt::Result {
        write!(out, "{}", self.0)
    }
    fn unspell(text: &str) -> Option<Self> {
        text.parse().ok().map(Addr)
    }
}

/// A device number; in a log `"major:minor"`, decimal, as stat(1) and /proc/self/mountinfo have it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dev {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl Spelled for Dev {
    const FORM: &'static str = "string: major:minor";
    fn spell(self, out: &mut impl fmt::Write) -> fmt::Result {
        out.write_str(itoa::Buffer::new().format(self.major))?;
        out.write_str(":")?;
        out.write_str(itoa::Buffer::new().format(self.minor))
    }
    fn unspell(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once(':')?;
        Some(Dev { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

/// Permission bits (07777); in a log octal, `"0644"`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Perm(pub u32);

impl Spelled for Perm {
    const FORM: &'static str = "string: octal";
    fn spell(self, out: &mut impl fmt::Write) -> fmt::Result {
        write!(out, "{:04o}", self.0)
    }
    fn unspell(text: &str) -> Option<Self> {
        u32::from_str_radix(text, 8).ok().map(Perm)
    }
}

/// What a file was opened for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpenMode {
    /// `r`: reading.
    #[default]
    Read,
    /// `w`: writing.
    Write,
    /// `rw`: both.
    ReadWrite,
    /// `path`: neither (O_PATH): the descriptor only names the file.
    Path,
}

impl OpenMode {
    /// Whether the file can be changed through this descriptor.
    pub fn writes(self) -> bool {
        matches!(self, OpenMode::Write | OpenMode::ReadWrite)
    }

    /// Whether the file's content can be read through this descriptor.
    pub fn reads(self) -> bool {
        matches!(self, OpenMode::Read | OpenMode::ReadWrite)
    }
}

impl Spelled for OpenMode {
    const FORM: &'static str = "string: r, w, rw or path";
    fn spell(self, out: &mut impl fmt::Write) -> fmt::Result {
        out.write_str(match self {
            OpenMode::Read => "r",
            OpenMode::Write => "w",
            OpenMode::ReadWrite => "rw",
            OpenMode::Path => "path",
        })
    }
    fn unspell(text: &str) -> Option<Self> {
        Some(match text {
            "r" => OpenMode::Read,
            "w" => OpenMode::Write,
            "rw" => OpenMode::ReadWrite,
            "path" => OpenMode::Path,
            _ => return None,
        })
    }
}

/// A transport protocol, by its IP protocol number (RFC 5237's registry).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proto(pub u16);

const PROTOCOLS: [(u16, &str); 8] = [
    (1, "icmp"),
    (6, "tcp"),
    (17, "udp"),
    (58, "icmpv6"),
    (132, "sctp"),
    (136, "udplite"),
    (255, "raw"),
    (262, "mptcp"),
];

impl Spelled for Proto {
    const FORM: &'static str = "string: tcp, udp, icmp, icmpv6, sctp, udplite, mptcp, raw or a number";
    fn spell(self, out: &mut impl fmt::Write) -> fmt::Result {
        match PROTOCOLS.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => out.write_str(name),
            None => write!(out, "{}", self.0),
        }
    }
    fn unspell(text: &str) -> Option<Self> {
        match PROTOCOLS.iter().find(|(_, name)| *name == text) {
            Some((number, _)) => Some(Proto(*number)),
            None => text.parse().ok().map(Proto),
        }
    }
}
