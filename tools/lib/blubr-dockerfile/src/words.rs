//! One joined line cut into keyword, flags and words: BuildKit's `splitCommand` and `line_parsers.go`.

use crate::error::excerpt;

/// `[\t\v\f\r ]+`, the separators of BuildKit's parser; a newline can't occur in a joined line.
fn is_separator(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// The keyword in lower case, its flags, and the rest, trimmed.
pub(crate) fn split_command(line: &str) -> (String, Vec<String>, String) {
    let line = line.trim();
    let Some(end) = line.find(is_separator) else {
        return (line.to_lowercase(), Vec::new(), String::new());
    };
    let (keyword, rest) = line.split_at(end);
    let (flags, rest) = split_flags(rest.trim_start_matches(is_separator));
    (keyword.to_lowercase(), flags, rest.trim().to_owned())
}

/// Takes `--name[=value]` words from the front. Quotes are removed and `\` (always this one) escapes, as BuildKit's
/// `extractBuilderFlags` does; `--` alone ends them.
fn split_flags(line: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = line;
    loop {
        let word_at = rest.trim_start();
        if !word_at.starts_with("--") {
            return (flags, word_at);
        }
        let mut word = String::new();
        let mut quote = None;
        let mut chars = word_at.char_indices();
        let mut end = word_at.len();
        while let Some((at, c)) = chars.next() {
            match (quote, c) {
                (None, c) if c.is_whitespace() => {
                    end = at;
                    break;
                }
                (None, '\'' | '"') => quote = Some(c),
                (Some(q), c) if c == q => quote = None,
                (_, '\\') => word.extend(chars.next().map(|(_, c)| c)),
                (_, c) => word.push(c),
            }
        }
        rest = &word_at[end..];
        if word == "--" {
            return (flags, rest);
        }
        flags.push(word);
    }
}

/// Words that keep their quotes and escapes (`parseWords`), for ENV, LABEL and ARG.
pub(crate) fn quoted_words(rest: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        match quote {
            None if matches!(c, '\'' | '"') => quote = Some(c),
            Some(q) if c == q => quote = None,
            _ => {}
        }
        if c == escape && quote != Some('\'') {
            // An escape character that is the last one is dropped.
            if let Some(next) = chars.next() {
                word.push(c);
                word.push(next);
            }
            continue;
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// ENV and LABEL into name, value, name, value: `name=value ...`, or the old `name value with spaces`.
pub(crate) fn name_values(rest: &str, escape: char, keyword: &str) -> Result<Vec<String>, String> {
    let words = quoted_words(rest, escape);
    let Some(first) = words.first() else {
        return Ok(Vec::new());
    };
    if !first.contains('=') {
        let Some(end) = rest.find(is_separator) else {
            return Err(format!("{} needs a name and a value", keyword.to_uppercase()));
        };
        let (name, value) = rest.split_at(end);
        return Ok(vec![name.to_owned(), value.trim_start_matches(is_separator).to_owned()]);
    }
    let mut pairs = Vec::with_capacity(words.len() * 2);
    for word in &words {
        let Some((name, value)) = word.split_once('=') else {
            return Err(format!("no = in \"{}\": it must have the form name=value", excerpt(word)));
        };
        pairs.push(name.to_owned());
        pairs.push(value.to_owned());
    }
    Ok(pairs)
}

/// Words between spaces; quotes mean nothing (COPY, ADD, EXPOSE, FROM, VOLUME).
pub(crate) fn plain_words(rest: &str) -> Vec<String> {
    rest.split(is_separator).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// What stands behind a keyword that takes a JSON array.
pub(crate) enum Json {
    /// An array of strings.
    Words(Vec<String>),
    /// Not JSON, or not an array: the engines fall back to the shell form.
    NotAnArray,
}

/// Reads a JSON array of strings. An array that holds something else is an error, as in BuildKit's `parseJSON`.
pub(crate) fn json_words(rest: &str) -> Result<Json, String> {
    let rest = rest.trim_start();
    if !rest.starts_with('[') {
        return Ok(Json::NotAnArray);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(rest) else {
        return Ok(Json::NotAnArray);
    };
    let words: Option<Vec<String>> = values.into_iter().map(|v| v.as_str().map(str::to_owned)).collect();
    words.map(Json::Words).ok_or_else(|| "a JSON array here must hold strings only".to_owned())
}

/// HEALTHCHECK's first word and the rest.
pub(crate) fn first_word(rest: &str) -> (&str, &str) {
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (word, rest) = rest.split_at(end);
    (word, rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyword_flags_and_rest() {
        let (k, flags, rest) = split_command("  Copy --from=build  --chown=\"a b\" -- --odd /x ");
        assert_eq!((k.as_str(), rest.as_str()), ("copy", "--odd /x"));
        assert_eq!(flags, ["--from=build", "--chown=a b"]);
        assert_eq!(split_command("RUN\techo  a").2, "echo  a");
        assert_eq!(split_command("RUN"), ("run".into(), vec![], String::new()));
    }

    #[test]
    fn quotes_stay_in_words() {
        assert_eq!(quoted_words(r#"a="b c" d=e\ f 'g h'"#, '\\'), [r#"a="b c""#, r"d=e\ f", "'g h'"]);
        assert_eq!(quoted_words(r#"a="x\" y" b"#, '\\'), [r#"a="x\" y""#, "b"]);
        assert_eq!(quoted_words(r"a='\' b", '\\'), [r"a='\'", "b"]);
        assert_eq!(quoted_words(r"a\", '\\'), ["a"]);
    }

    #[test]
    fn env_old_and_new() {
        assert_eq!(name_values("A b  c=d", '\\', "env").unwrap(), ["A", "b  c=d"]);
        assert_eq!(name_values("A=b C='d e'", '\\', "env").unwrap(), ["A", "b", "C", "'d e'"]);
        assert!(name_values("A", '\\', "env").is_err());
        assert!(name_values("A=b C", '\\', "env").is_err());
    }

    #[test]
    fn arrays() {
        assert!(matches!(json_words(r#" ["a", "b c"] "#), Ok(Json::Words(w)) if w == ["a", "b c"]));
        for shell in ["['a']", r#"["a",]"#, "[ -f x ]", "echo"] {
            assert!(matches!(json_words(shell), Ok(Json::NotAnArray)), "{shell}");
        }
        assert!(json_words("[1]").is_err());
    }
}
