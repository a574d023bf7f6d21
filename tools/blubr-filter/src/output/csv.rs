//! Events as CSV (RFC 4180): a column for each key that the log's schema has, a row for each event.
//!
//! An end product: it has no header, no checkpoints and no trailer, so nothing reads it back as a log.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};

use blubr_log::event::KeyDoc;
use blubr_log::{Body, Head, Lost, Tail};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::stream::Taker;

/// The column for keys that the schema doesn't have, as one JSON object.
const OTHER: &str = "other";

/// Writes rows.
pub(crate) struct Table<W: Write> {
    rows: csv::Writer<W>,
    columns: HashMap<String, usize>,
    cells: Vec<Vec<u8>>,
}

/// The names of the columns: every key once, in the order in which the schema has them, what all events have at both ends. A
/// key whose value may not be UTF-8 has a column for its base64 behind it.
fn columns() -> Vec<String> {
    let bodies = Body::TYPES.iter().flat_map(|kind| kind.keys);
    let keys: Vec<&KeyDoc> = Head::KEYS.iter().chain(bodies).chain(Tail::KEYS).collect();
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    for key in keys {
        add(key.name.to_owned());
        if key.bytes {
            add(format!("{}_b64", key.name));
        }
    }
    add(OTHER.to_owned());
    names
}

impl<W: Write> Table<W> {
    /// Writes the header row.
    pub(crate) fn new(output: W) -> io::Result<Self> {
        let names = columns();
        let mut rows = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(output);
        rows.write_record(&names).map_err(as_io)?;
        let cells = vec![Vec::new(); names.len()];
        let columns = names.into_iter().enumerate().map(|(at, name)| (name, at)).collect();
        Ok(Self { rows, columns, cells })
    }

    fn row(&mut self, line: &str) -> io::Result<()> {
        self.cells.iter_mut().for_each(Vec::clear);
        let cells = Cells { columns: &self.columns, cells: &mut self.cells };
        cells.deserialize(&mut serde_json::Deserializer::from_str(line)).map_err(io::Error::other)?;
        self.rows.write_record(&self.cells).map_err(as_io)
    }

    /// Gives the output back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.rows.flush()?;
        self.rows.into_inner().map_err(|error| io::Error::from(error.error().kind()))
    }
}

impl<W: Write> Taker for Table<W> {
    fn event(&mut self, line: &str, _kind: &str) -> io::Result<()> {
        self.row(line)
    }

    fn lost(&mut self, lost: &Lost) -> io::Result<()> {
        self.row(&serde_json::to_string(lost)?)
    }
}

/// What the output returned: a closed pipe must be known as one.
fn as_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// One line's cells, to be filled.
struct Cells<'a> {
    columns: &'a HashMap<String, usize>,
    cells: &'a mut Vec<Vec<u8>>,
}

impl<'de> DeserializeSeed<'de> for Cells<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Cells<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a line of a log")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut line: A) -> Result<(), A::Error> {
        let mut other = Vec::new();
        while let Some(key) = line.next_key::<Cow<'de, str>>()? {
            let value = line.next_value::<&'de RawValue>()?.get();
            let column = self.columns.get(key.as_ref()).filter(|_| key != OTHER);
            match column.and_then(|at| self.cells.get_mut(*at)) {
                Some(cell) => fill(cell, value).map_err(A::Error::custom)?,
                None => {
                    other.push(if other.is_empty() { b'{' } else { b',' });
                    serde_json::to_writer(&mut other, &key).map_err(A::Error::custom)?;
                    other.push(b':');
                    other.extend_from_slice(value.as_bytes());
                }
            }
        }
        if !other.is_empty() {
            other.push(b'}');
        }
        if let Some(cell) = self.columns.get(OTHER).and_then(|at| self.cells.get_mut(*at)) {
            *cell = other;
        }
        Ok(())
    }
}

/// A string as its characters, `null` as nothing, everything else (numbers, lists) as the JSON that it is.
fn fill(cell: &mut Vec<u8>, value: &str) -> serde_json::Result<()> {
    if value.starts_with('"') {
        let text: Cow<'_, str> = serde_json::from_str(value)?;
        cell.extend_from_slice(text.as_bytes());
    } else if value != "null" {
        cell.extend_from_slice(value.as_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"seq":1,"time":"t","type":"process.exec","pid":7,"comm":null,"comm_b64":"/w==","argv":["a","b,\"c"],"exe":"/x \"y\",\n=1","later":{"k":[1]},"ret":0}"#;

    fn table(lines: &[&str]) -> Vec<csv::StringRecord> {
        let mut table = Table::new(Vec::new()).unwrap();
        lines.iter().for_each(|line| table.event(line, "").unwrap());
        let bytes = table.finish().unwrap();
        assert!(bytes.ends_with(b"\r\n"));
        csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(bytes.as_slice())
            .records()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn each_key_of_the_schema_is_a_column_once() {
        let names = columns();
        let mut once = names.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), names.len());
        for key in Body::TYPES.iter().flat_map(|kind| kind.keys).chain(Head::KEYS).chain(Tail::KEYS) {
            assert!(names.iter().any(|name| name == key.name), "{}", key.name);
        }
        for name in ["seq", "path", "path_b64", "argv_b64", "comm_b64", "ret", "other"] {
            assert!(names.iter().any(|one| one == name), "{name}");
        }
        assert!(!names.iter().any(|name| name == "pid_b64"));
    }

    #[test]
    fn a_row_holds_all_that_the_line_says() {
        let rows = table(&[EVENT, r#"{"seq":2}"#]);
        let cell = |row: usize, name: &str| {
            let at = rows[0].iter().position(|column| column == name).unwrap();
            rows[row].get(at).unwrap().to_owned()
        };
        for (name, value) in [
            ("seq", "1"),
            ("comm", ""),
            ("comm_b64", "/w=="),
            ("argv", r#"["a","b,\"c"]"#),
            ("exe", "/x \"y\",\n=1"),
            ("other", r#"{"later":{"k":[1]}}"#),
            ("ret", "0"),
            ("path", ""),
        ] {
            assert_eq!(cell(1, name), value, "{name}");
        }
        // Nothing is left of the row before.
        assert_eq!(
            (cell(2, "seq"), cell(2, "exe"), cell(2, "other")),
            ("2".into(), "".into(), "".into())
        );
    }
}
