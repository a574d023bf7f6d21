//! Reading an event from its line.

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::field::Field;
use super::{Body, Event, Head, KeyDoc, Tail};
use crate::name::Text;

/// A key that was read: its bit, and whether this spelling settles the value (`"path":null` leaves
/// it to `path_b64`).
pub(crate) struct Got {
    bit: u32,
    encoded: bool,
}

/// Parses one line that holds an event.
pub(crate) fn parse(line: &str) -> Result<Event<'_>, serde_json::Error> {
    let first = pass(line, None)?;
    match first {
        Pass::Whole(event) => Ok(*event),
        Pass::TypeCameLate(name) => match pass(line, Some(&name))? {
            Pass::Whole(event) => Ok(*event),
            Pass::TypeCameLate(_) => Err(serde_json::Error::custom("an event without a type")),
        },
    }
}

fn pass<'de>(line: &'de str, known: Option<&str>) -> Result<Pass<'de>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(line);
    let done = EventSeed { known }.deserialize(&mut json)?;
    json.end()?;
    Ok(done)
}

enum Pass<'a> {
    Whole(Box<Event<'a>>),
    /// A key that is not in the head stood before `type`: other writers may order as they like.
    TypeCameLate(String),
}

struct EventSeed<'k> {
    known: Option<&'k str>,
}

impl<'de> DeserializeSeed<'de> for EventSeed<'_> {
    type Value = Pass<'de>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EventSeed<'_> {
    type Value = Pass<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an event (a JSON object)")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut head = Head::unread();
        let mut tail = Tail::unread();
        let mut body = self.known.map(Body::unread);
        let (mut of_head, mut of_body, mut of_tail) =
            (Mask::default(), Mask::default(), Mask::default());
        let mut late = false;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            let key = key.0.as_ref();
            if let Some(got) = head.read(key, &mut map)? {
                of_head.add(&got, key)?;
                if key == "type" && body.is_none() {
                    body = Some(Body::unread(head.r#type.text().unwrap_or_default()));
                }
                continue;
            }
            if let Some(got) = tail.read(key, &mut map)? {
                of_tail.add(&got, key)?;
                continue;
            }
            match &mut body {
                Some(body) => {
                    if let Some(got) = body.read(key, &mut map)? {
                        of_body.add(&got, key)?;
                        continue;
                    }
                }
                None => late = true,
            }
            map.next_value::<IgnoredAny>()?;
        }
        of_head.check(Head::REQUIRED, Head::KEYS)?;
        let Some(body) = body.filter(|_| !late) else {
            return Ok(Pass::TypeCameLate(head.r#type.lossy().into_owned()));
        };
        of_tail.check(Tail::REQUIRED, Tail::KEYS)?;
        let (required, keys) = body.required();
        of_body.check(required, keys)?;
        Ok(Pass::Whole(Box::new(Event { head, body, tail })))
    }
}

/// Which keys were read, in either spelling.
#[derive(Default)]
struct Mask {
    plain: u32,
    encoded: u32,
}

impl Mask {
    /// A key given twice is refused: two readers could each believe another value.
    fn add<E: serde::de::Error>(&mut self, got: &Got, key: &str) -> Result<(), E> {
        let mask = if got.encoded { &mut self.encoded } else { &mut self.plain };
        let bit = 1 << got.bit;
        if *mask & bit != 0 {
            return Err(E::custom(format_args!("the key `{key}` is there twice")));
        }
        *mask |= bit;
        Ok(())
    }

    fn check<E: serde::de::Error>(&self, required: u32, keys: &'static [KeyDoc]) -> Result<(), E> {
        let missing = required & !(self.plain | self.encoded);
        match keys.get(missing.trailing_zeros() as usize) {
            Some(key) => Err(E::missing_field(key.name)),
            None => Ok(()),
        }
    }
}

/// `("path", true)` for `path_b64`.
pub(crate) fn split(key: &str) -> (&str, bool) {
    match key.strip_suffix("_b64") {
        Some(name) => (name, true),
        None => (key, false),
    }
}

/// Reads one value into its field.
pub(crate) fn value<'de, T: Field<'de>, A: MapAccess<'de>>(
    field: &mut T,
    encoded: bool,
    bit: u32,
    map: &mut A,
) -> Result<Option<Got>, A::Error> {
    if encoded {
        if !T::BYTES {
            return Ok(None);
        }
        field.read_encoded(map)?;
    } else {
        field.read(map)?;
    }
    Ok(Some(Got { bit, encoded }))
}
