//! Every string of a JSON document, with what stands around it; keys of objects are not values and are left alone.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Keys whose values are words of the formats themselves, never of a build. A secret may be the same word: a reader would not know
/// the statement again without it.
const WORDS: [&str; 18] = [
    "_type",
    "access",
    "direction",
    "hostnameFrom",
    "kind",
    "mediaType",
    "origin",
    "part",
    "place",
    "predicateType",
    "recording",
    "result",
    "schema",
    "status",
    "table",
    "taken",
    "type",
    "what",
];

/// A string value.
pub(super) struct Place<'a> {
    /// Its text; of a value under a key that ends in `_b64` what that encodes, odd bytes replaced.
    pub(super) text: Cow<'a, str>,
    /// The string before it in the same array.
    pub(super) before: Option<&'a str>,
    /// The first string of the same array, if that is a list of arguments: the program.
    pub(super) program: Option<&'a str>,
    /// It is a word of the formats.
    pub(super) is_word: bool,
}

/// One step of reading.
enum Token<'t> {
    /// Anything that is no string value: punctuation, numbers, keys.
    Other(&'t str),
    /// A string value's inside, still escaped.
    Text(&'t str),
}

/// Calls `visit` for every string value of `json`.
pub(super) fn each(json: &str, visit: &mut dyn FnMut(&Place<'_>)) {
    walk(json, &mut |_| {}, &mut |_, place| visit(place));
}

/// Writes `json` anew with the strings that `change` gives something for replaced.
pub(super) fn rewrite(json: &str, change: &mut dyn FnMut(&Place<'_>) -> Option<String>) -> String {
    let out = std::cell::RefCell::new(String::with_capacity(json.len()));
    walk(json, &mut |other| out.borrow_mut().push_str(other), &mut |raw, place| {
        let mut out = out.borrow_mut();
        match change(place) {
            Some(new) => out.push_str(&serde_json::Value::String(new).to_string()),
            None => {
                out.push('"');
                out.push_str(raw);
                out.push('"');
            }
        }
    });
    out.into_inner()
}

fn walk(json: &str, other: &mut dyn FnMut(&str), text: &mut dyn FnMut(&str, &Place<'_>)) {
    // The strings of the arrays that we are in: first and last one each; `None` for an object.
    let mut within: Vec<Option<(Option<String>, Option<String>)>> = Vec::new();
    let mut key = String::new();
    for token in tokens(json) {
        match token {
            Token::Other(piece) => {
                nest(piece, &mut within);
                if let Some(name) = piece.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                    key = name.to_owned();
                }
                other(piece);
            }
            Token::Text(raw) => {
                let plain = unescape(raw);
                let decoded =
                    key.ends_with("_b64").then(|| STANDARD.decode(plain.as_bytes()).ok()).flatten();
                let shown: Cow<'_, str> = match &decoded {
                    Some(bytes) => Cow::Owned(String::from_utf8_lossy(bytes).into_owned()),
                    None => Cow::Borrowed(plain.as_ref()),
                };
                let array = within.last().and_then(Option::as_ref);
                let place = Place {
                    before: array.and_then(|(_, last)| last.as_deref()),
                    program: array.and_then(|(first, _)| first.as_deref()),
                    text: Cow::Borrowed(shown.as_ref()),
                    is_word: WORDS.contains(&key.as_str()),
                };
                text(raw, &place);
                let seen = shown.into_owned();
                if let Some(Some((first, last))) = within.last_mut() {
                    first.get_or_insert_with(|| seen.clone());
                    *last = Some(seen);
                }
            }
        }
    }
}

fn nest(piece: &str, within: &mut Vec<Option<(Option<String>, Option<String>)>>) {
    if piece.starts_with('"') {
        return;
    }
    for byte in piece.bytes() {
        match byte {
            b'[' => within.push(Some((None, None))),
            b'{' => within.push(None),
            b']' | b'}' => drop(within.pop()),
            _ => {}
        }
    }
}

fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    // The text comes from our own writer; what can't be read is passed on as it is.
    serde_json::from_str::<String>(&format!("\"{raw}\"")).map_or(Cow::Borrowed(raw), Cow::Owned)
}

fn tokens(json: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = json;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if !rest.starts_with('"') {
            let end = rest.find('"').unwrap_or(rest.len());
            let (piece, tail) = rest.split_at(end);
            rest = tail;
            return Some(Token::Other(piece));
        }
        let end = closing_quote(rest);
        let is_key = rest.get(end + 1..).is_some_and(|tail| tail.trim_start().starts_with(':'));
        let inside = rest.get(1..end).unwrap_or_default();
        let (whole, tail) = rest.split_at((end + 1).min(rest.len()));
        rest = tail;
        Some(if is_key { Token::Other(whole) } else { Token::Text(inside) })
    })
}

/// Where the string that `text` begins with ends: the offset of its closing quote.
fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_strings_are_written_as_they_were() {
        let json = r#"{"a":"x\"\\\u00e9\n","b":[1,"y",{"c":null}],"d":"","e\"":"z"}"#;
        assert_eq!(rewrite(json, &mut |_| None), json);
    }

    #[test]
    fn values_are_seen_decoded_and_keys_are_not() {
        let mut seen = Vec::new();
        each(r#"{"k":"a\nb","n_b64":"/2E=","l":["p","q"]}"#, &mut |place| {
            seen.push((
                place.text.to_string(),
                place.before.map(str::to_owned),
                place.program.map(str::to_owned),
            ));
        });
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            seen,
            [
                ("a\nb".into(), None, None),
                ("\u{fffd}a".into(), None, None),
                ("p".into(), None, None),
                ("q".into(), some("p"), some("p")),
            ]
        );
    }
}
