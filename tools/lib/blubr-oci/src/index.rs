//! Indexes that are changed: kept as JSON, so that entries and keys that others wrote stay as they are.

use blubr_image::manifest::{Descriptor, OCI_INDEX};
use blubr_image::{Digest, Error};
use serde_json::{Value, json};

use crate::names::REF_NAME;

/// More entries than this aren't written (blubr_image::config::LIST_LEN_MAX are read).
const ENTRIES_MAX: usize = blubr_image::config::LIST_LEN_MAX;

/// An index without entries.
pub(crate) fn empty() -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
}

/// Reads an index that will be changed.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let wrong = |reason: String| Error::Json { what: "the index", reason };
    let mut value: Value = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
    let object = value.as_object_mut().ok_or_else(|| wrong("it is no JSON object".to_owned()))?;
    // Go writes an empty list as null.
    let list = object.entry("manifests").or_insert(Value::Null);
    if list.is_null() {
        *list = json!([]);
    }
    if !list.is_array() {
        return Err(wrong("its manifests are no list".to_owned()));
    }
    Ok(value)
}

/// One line of JSON.
pub(crate) fn write(index: &Value) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(index)
        .map_err(|error| Error::Json { what: "the index", reason: error.to_string() })
}

/// Whether an entry has `digest`.
pub(crate) fn has(index: &Value, digest: &Digest) -> bool {
    entries(index).any(|entry| entry["digest"] == digest.as_str())
}

/// Adds an entry.
pub(crate) fn add(index: &mut Value, entry: &Descriptor) -> Result<(), Error> {
    let value = serde_json::to_value(entry)
        .map_err(|error| Error::Json { what: "a descriptor", reason: error.to_string() })?;
    match index.get_mut("manifests").and_then(Value::as_array_mut) {
        Some(list) if list.len() < ENTRIES_MAX => list.push(value),
        _ => {
            return Err(Error::Source(format!(
                "the index has {ENTRIES_MAX} entries already, and takes no more"
            )));
        }
    }
    Ok(())
}

/// Takes away the entries that bear the name `tag`.
pub(crate) fn remove_tag(index: &mut Value, tag: &str) {
    if let Some(list) = index.get_mut("manifests").and_then(Value::as_array_mut) {
        list.retain(|entry| entry["annotations"][REF_NAME] != tag);
    }
}

/// Takes away the entries for `digest` that bear no name.
pub(crate) fn remove_unnamed(index: &mut Value, digest: &Digest) {
    if let Some(list) = index.get_mut("manifests").and_then(Value::as_array_mut) {
        list.retain(|entry| {
            entry["digest"] != digest.as_str() || entry["annotations"][REF_NAME].is_string()
        });
    }
}

fn entries(index: &Value) -> impl Iterator<Item = &Value> {
    index["manifests"].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays() {
        let digest = Digest::sha256(b"theirs");
        let text = format!(
            r#"{{"manifests":[{{"digest":"{digest}","size":6,"x-own":[1],"urls":["u"]}}],"x-key":"kept"}}"#
        );
        let mut index = parse(text.as_bytes()).unwrap();
        let ours = Descriptor::of("t", b"ours");
        add(&mut index, &ours).unwrap();
        let back = parse(&write(&index).unwrap()).unwrap();
        assert!(has(&back, &digest) && has(&back, &ours.digest));
        assert_eq!(back["manifests"][0]["x-own"], json!([1]));
        assert_eq!(back["x-key"], "kept");
    }

    #[test]
    fn null_is_an_empty_list_and_other_things_are_errors() {
        assert_eq!(parse(br#"{"manifests":null}"#).unwrap()["manifests"], json!([]));
        for text in ["[]", "1", r#"{"manifests":{}}"#, "{"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
