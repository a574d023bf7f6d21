//! Keys in another spelling: engines and registries are written in Go, whose encoding/json takes a key in any case (and the last
//! of two), so that `Layers` behind `layers` is another image to them than to who reads what is written.

use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor, value::Error as Named,
};

use crate::Error;

/// Maps whose keys are the image's own words, by the keys under which they stand; Go takes these as they are.
const MAPS: [&str; 2] = ["annotations", "Labels"];
/// Bytes of a key that are told.
const KEY_BYTES_MAX: usize = 64;

/// An error where a document has one of the keys of `known` in another case.
pub(crate) fn check(what: &'static str, bytes: &[u8], known: &[&str]) -> Result<(), Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Walk(known).deserialize(&mut json).map_err(|error| Error::Json { what, reason: error.to_string() })
}

/// The keys that a struct is read from.
pub(crate) fn keys_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut keys: &[&str] = &[];
    // It ends with an error always: there is nothing to read.
    drop(T::deserialize(Ask(&mut keys)));
    keys
}

/// Takes note of what it is asked for, and has nothing.
struct Ask<'k>(&'k mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = Named;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Named> {
        Err(serde::de::Error::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Named> {
        *self.0 = fields;
        Err(serde::de::Error::custom("nothing to read"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Goes through a document; how deep, serde_json bounds.
#[derive(Clone, Copy)]
struct Walk<'k>(&'k [&'k str]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if !self.0.contains(&key.as_str())
                && let Some(meant) = self.0.iter().find(|one| folded(one).eq(folded(&key)))
            {
                let key: String =
                    key.chars().take(KEY_BYTES_MAX).flat_map(char::escape_default).collect();
                let said = format_args!("it has the key '{key}', which engines take for '{meant}'");
                return Err(serde::de::Error::custom(said));
            }
            if MAPS.contains(&key.as_str()) {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(self)?;
            }
        }
        Ok(())
    }
}

/// As Go's encoding/json compares keys (fold.go): ASCII letters in any case, and the two others that fold to one.
fn folded(key: &str) -> impl Iterator<Item = char> {
    key.chars().map(|one| match one {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        one => one.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Known {
        #[serde(rename = "diff_ids")]
        _ids: Option<u8>,
        #[serde(rename = "OnBuild")]
        _on_build: Option<u8>,
    }

    #[test]
    fn the_keys_of_a_struct_are_asked_of_serde() {
        assert_eq!(keys_of::<Known>(), ["diff_ids", "OnBuild"]);
        assert!(keys_of::<u8>().is_empty());
    }

    #[test]
    fn a_key_in_another_case_is_an_error_and_the_images_own_words_are_not() {
        let known = keys_of::<Known>();
        for text in [
            "{}",
            r#"{"diff_ids":[{"OnBuild":null,"x":1.5,"y":-1,"z":true}],"on_build":"ONBUILD"}"#,
            r#"{"annotations":{"Diff_Ids":"a"},"Labels":{"onbuild":"b"}}"#,
        ] {
            assert!(check("it", text.as_bytes(), known).is_ok(), "{text}");
        }
        for text in [
            r#"{"diff_ids":1,"Diff_Ids":2}"#,
            r#"{"x":[{"y":{"onbuild":1}}]}"#,
            r#"{"diff_id\u017f":1}"#,
            r#"{"labels":{"ONBUILD":1}}"#,
        ] {
            let error = check("it", text.as_bytes(), known).unwrap_err().to_string();
            assert!(error.contains("which engines take for"), "{error}");
        }
    }
}
