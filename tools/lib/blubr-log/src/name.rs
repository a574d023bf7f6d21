//! Names as the kernel has them: bytes that are mostly, but not always, UTF-8.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

use crate::json;

/// A path, a command name or another string of the kernel: any bytes but NUL.
///
/// In a log `"key":"text"`, or where it is not UTF-8 `"key":null,"key_b64":"base64"`.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(pub Cow<'a, [u8]>);

impl<'a> Name<'a> {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, where it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Text for people: what is not UTF-8 becomes U+FFFD.
    pub fn lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// A copy that outlives the line it was read from.
    pub fn into_owned(self) -> Name<'static> {
        Name(Cow::Owned(self.0.into_owned()))
    }

    pub(crate) fn write(&self, key: &str, out: &mut Vec<u8>) {
        json::key(out, key);
        match self.text() {
            Some(text) => json::string(out, text),
            None => {
                b64_key(key, out);
                json::base64(out, &self.0);
            }
        }
    }
}

impl<'a> From<&'a [u8]> for Name<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Name(Cow::Borrowed(bytes))
    }
}

impl<'a> From<&'a str> for Name<'a> {
    fn from(text: &'a str) -> Self {
        Name(Cow::Borrowed(text.as_bytes()))
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lossy())
    }
}

/// A list of names, such as argv. Kept as the kernel keeps argv: each name ended by a NUL.
///
/// In a log `"key":["a","b"]`, or where one of them is not UTF-8 `"key":null,"key_b64":["…","…"]`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct NameList<'a>(Cow<'a, [u8]>);

impl<'a> NameList<'a> {
    /// A list from a block in which a NUL ends each name, as at `mm->arg_start`. A last name without
    /// its NUL counts as a name.
    pub fn from_block(block: &'a [u8]) -> Self {
        NameList(Cow::Borrowed(block))
    }

    /// A list of names, none of which holds a NUL (one that does would be read back as two).
    pub fn from_names<T: AsRef<[u8]>>(names: impl IntoIterator<Item = T>) -> NameList<'static> {
        let mut block = Vec::new();
        for name in names {
            block.extend_from_slice(name.as_ref());
            block.push(0);
        }
        NameList(Cow::Owned(block))
    }

    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let block: &[u8] = &self.0;
        let ended = block.strip_suffix(&[0]).unwrap_or(block);
        let whole = (!block.is_empty()).then_some(ended);
        whole.into_iter().flat_map(|block| block.split(|b| *b == 0))
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A copy that outlives the line it was read from.
    pub fn into_owned(self) -> NameList<'static> {
        NameList(Cow::Owned(self.0.into_owned()))
    }

    pub(crate) fn write(&self, key: &str, out: &mut Vec<u8>) {
        json::key(out, key);
        let text = std::str::from_utf8(&self.0).is_ok();
        if !text {
            b64_key(key, out);
        }
        out.push(b'[');
        for (at, name) in self.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            // NUL is no part of a longer UTF-8 sequence: where the block is UTF-8, each name is.
            match std::str::from_utf8(name) {
                Ok(name) if text => json::string(out, name),
                _ => json::base64(out, name),
            }
        }
        out.push(b']');
    }
}

fn b64_key(key: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"null,\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"_b64\":");
}

/// A value that was looked for: `null` in the log where it could not be seen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen<T>(pub Option<T>);

impl<T> Seen<T> {
    /// The value, where it was seen.
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T> From<T> for Seen<T> {
    fn from(value: T) -> Self {
        Seen(Some(value))
    }
}

/// Text of a JSON string, borrowed from the line where no escape forbids it.
///
/// serde borrows a bare `Cow<str>` but never one within an `Option`; this newtype always does.
pub(crate) struct Text<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> serde::de::Visitor<'de> for V {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        d.deserialize_str(V)
    }
}

pub(crate) fn bytes_of(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

pub(crate) fn from_base64<E: serde::de::Error>(text: &str) -> Result<Vec<u8>, E> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|_| E::custom("a value that should be base64 is not"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_split_at_its_nuls() {
        let names = |block: &[u8]| -> Vec<Vec<u8>> {
            NameList::from_block(block).iter().map(<[u8]>::to_vec).collect()
        };
        assert!(names(b"").is_empty());
        assert_eq!(names(b"\0"), [b"".to_vec()]);
        assert_eq!(names(b"sh\0-c\0\0"), [b"sh".to_vec(), b"-c".to_vec(), b"".to_vec()]);
        assert_eq!(names(b"cut"), [b"cut".to_vec()]);
        assert_eq!(NameList::from_names(["a", "", "b"]).len(), 3);
    }

    #[test]
    fn what_is_not_utf8_is_kept_in_base64() {
        let mut out = vec![b'{'];
        Name::from(&b"a\xff"[..]).write("path", &mut out);
        NameList::from_block(b"x\0\xfe\0").write("argv", &mut out);
        assert_eq!(out, br#"{"path":null,"path_b64":"Yf8=","argv":null,"argv_b64":["eA==","/g=="]"#);
    }
}
