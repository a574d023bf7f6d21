//! The file of an encrypted message: read out of its armor where it has one, and held to hold nothing else.

use std::fmt::Debug;
use std::io::{self, BufRead, Read};

use pgp::armor::{BlockType, Dearmor, Headers};

use crate::decrypt::Refused;
use crate::packets::Packets;

/// The longest head of an armor, in bytes: a line, and some comments.
const ARMOR_HEAD_BYTES_MAX: u64 = 64 * 1024;
/// The longest end of one, in bytes: a checksum, and a line.
const ARMOR_END_BYTES_MAX: usize = 1024;
/// Bytes that are read at a time behind the message.
const CHUNK_BYTES: usize = 8192;

/// A message's packets as they are read.
#[derive(Debug)]
pub(crate) struct Source<R: BufRead> {
    bytes: Bytes<R>,
    packets: Packets,
    /// Reading failed; a [`Dearmor`] may not be read again then.
    failed: bool,
}

#[derive(Debug)]
enum Bytes<R: BufRead> {
    Binary(R),
    Armored(Box<Dearmor<R>>),
}

impl<R: BufRead> Source<R> {
    /// At the beginning of a file; white space may stand before an armor.
    pub(crate) fn new(mut file: R) -> Result<Self, Refused> {
        let read = |error: io::Error| Refused::NoMessage(error.to_string());
        let is_binary = file.fill_buf().map_err(read)?.first().is_some_and(|first| first & 0x80 != 0);
        let bytes = if is_binary {
            Bytes::Binary(file)
        } else {
            skip_space(&mut file).map_err(read)?;
            let kind = head(&mut file).map_err(read)?;
            let kind = kind.ok_or_else(|| Refused::NoMessage("it begins with something else".into()))?;
            let armor = Dearmor::after_header(kind, Headers::new(), file, ARMOR_END_BYTES_MAX);
            Bytes::Armored(Box::new(armor))
        };
        Ok(Self { bytes, packets: Packets::default(), failed: false })
    }

    /// Whether something was read that stands behind the message.
    pub(crate) fn has_more(&self) -> bool {
        self.packets.has_more()
    }

    /// Reads to the file's end: nothing may stand there but the message, and white space behind an armor.
    pub(crate) fn finish(mut self) -> Result<Packets, Refused> {
        let damaged = |error: io::Error| Refused::Damaged(error.to_string());
        let mut chunk = vec![0; CHUNK_BYTES];
        while !self.packets.has_more() && self.read(&mut chunk).map_err(damaged)? > 0 {}
        if self.packets.has_more() {
            return Err(Refused::Behind);
        }
        if !self.packets.is_encrypted() {
            return Err(Refused::NotEncrypted);
        }
        let Bytes::Armored(armor) = self.bytes else { return Ok(self.packets) };
        // It has said that it is at its end, and may be taken apart.
        let (_, _, _, mut rest) = armor.into_parts();
        loop {
            let got = rest.read(&mut chunk).map_err(damaged)?;
            match chunk.get(..got) {
                None | Some([]) => return Ok(self.packets),
                Some(more) if more.trim_ascii().is_empty() => {}
                Some(_) => return Err(Refused::Behind),
            }
        }
    }
}

impl<R: BufRead> Read for Source<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other("it can't be read"));
        }
        let got = match &mut self.bytes {
            Bytes::Binary(file) => file.read(out)?,
            Bytes::Armored(armor) => armor.read(out).inspect_err(|_| self.failed = true)?,
        };
        self.packets.feed(out.get(..got).unwrap_or_default());
        Ok(got)
    }
}

/// Reads an armor's head to the empty line at its end: what it is the armor of, `None` where it is no head. (rPGP's own reader
/// takes all up to the last colon in its buffer for the name of a comment, another message too.)
fn head(file: &mut impl BufRead) -> io::Result<Option<BlockType>> {
    let mut file = file.take(ARMOR_HEAD_BYTES_MAX);
    let mut line = Vec::new();
    file.read_until(b'\n', &mut line)?;
    let kind = match line.trim_ascii_end() {
        b"-----BEGIN PGP MESSAGE-----" => BlockType::Message,
        b"-----BEGIN PGP ARMORED FILE-----" => BlockType::File,
        _ => return Ok(None),
    };
    loop {
        line.clear();
        file.read_until(b'\n', &mut line)?;
        match line.trim_ascii_end() {
            [] => return Ok(Some(kind).filter(|_| line.ends_with(b"\n"))),
            [.., b':'] => {}
            comment if comment.windows(2).any(|two| two == b": ") => {}
            _ => return Ok(None),
        }
    }
}

fn skip_space(file: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = file.fill_buf()?;
        let space = buffer.len() - buffer.trim_ascii_start().len();
        if space == 0 {
            return Ok(());
        }
        file.consume(space);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::armor;

    fn alone(file: &[u8]) -> &'static str {
        let answer = Source::new(file).and_then(Source::finish);
        match answer {
            Ok(_) => "alone",
            Err(Refused::Behind) => "behind",
            Err(Refused::NotEncrypted) => "not encrypted",
            Err(Refused::NoMessage(_)) => "no message",
            Err(Refused::Damaged(_)) => "damaged",
            Err(Refused::NoKey(_) | Refused::Nested) => "other",
        }
    }

    /// A packet of a session key, and one of encrypted data.
    fn message() -> Vec<u8> {
        [&[0xc1, 3, 1, 2, 3][..], &[0xd2, 255, 0, 0, 0x40, 0], &[7; 0x4000]].concat()
    }

    #[test]
    fn only_white_space_may_stand_behind_an_armor_and_nothing_behind_packets() {
        let binary = message();
        assert_eq!(alone(&binary), "alone");
        for behind in [&b"\n"[..], b"x", &message(), &[0xcb, 1, 0]] {
            let more = [&binary, behind].concat();
            assert_eq!(alone(&more), "behind");
            assert_eq!(alone(armor::write("PGP MESSAGE", &more).as_bytes()), "behind", "in the armor");
        }
        let armored = armor::write("PGP MESSAGE", &binary);
        for space in ["", "\n", " \t\r\n\n"] {
            assert_eq!(alone(format!("{space}{armored}{space}").as_bytes()), "alone");
        }
        let unended = armored.trim_end();
        assert_eq!(alone(unended.as_bytes()), "alone");
        for behind in
            ["x", "\nx\n", " \n\n-", "\n\0", &format!("\n{armored}"), &format!("\n{:9000}x", "")]
        {
            assert_eq!(alone(format!("{unended}{behind}").as_bytes()), "behind", "{behind:.20}");
        }
        let commented = armored.replacen("\n\n", "\nComment: of gpg\nVersion: 2\n\n", 1);
        assert_eq!(alone(commented.as_bytes()), "alone");
        assert_eq!(alone(format!("{commented}{commented}").as_bytes()), "behind");
    }

    #[test]
    fn other_files_are_none_of_these() {
        let armored = armor::write("PGP MESSAGE", &message());
        for (file, wanted) in [
            (String::new(), "no message"),
            ("\n\n".to_owned(), "no message"),
            (format!("text\n{armored}"), "no message"),
            (armored.replacen("\n\n", "\nno comment\n\n", 1), "no message"),
            ("-----BEGIN PGP MESSAGE-----".to_owned(), "no message"),
            ("-----BEGIN PGP MESSAGE-----\nComment: x".to_owned(), "no message"),
            (armor::write("PGP SIGNATURE", &message()), "no message"),
            (armored.replace("END PGP MESSAGE", "END PGP SIGNATURE"), "damaged"),
            (armored.replace("-----END", "---END"), "damaged"),
            (armor::write("PGP MESSAGE", &[0xcb, 3, 1, 2, 3]), "not encrypted"),
        ] {
            assert_eq!(alone(file.as_bytes()), wanted, "{file:.40}");
        }
        // No armor's head is looked for without end.
        let long = format!("-----BEGIN PGP MESSAGE-----\nComment: {}", "x".repeat(1 << 20));
        assert_eq!(alone(long.as_bytes()), "no message");
    }
}
