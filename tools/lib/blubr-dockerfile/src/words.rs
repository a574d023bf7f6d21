//! One joined line cut into keyword, flags and words: BuildKit's `splitCommand` and `line_parsers.go`.

use crate::error::{Flaw, excerpt};
use crate::gotext::{byte_is_space, trim, trim_start};

/// `[\t\v\f\r ]+`, the separators of BuildKit's parser; a newline can't occur in a joined line.
fn is_separator(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// A line's first cut; offsets are of bytes in the line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command<'l> {
    pub(crate) keyword: &'l [u8],
    pub(crate) keyword_at: usize,
    /// Each with its offset.
    pub(crate) flags: Vec<(usize, String)>,
    /// Trimmed.
    pub(crate) rest: &'l [u8],
    pub(crate) rest_at: usize,
}

/// Cuts off the keyword and the flags. `flag_escape`: what escapes in a flag.
pub(crate) fn split_command(line: &[u8], flag_escape: u8) -> Command<'_> {
    let keyword_at = line.len() - trim_start(line).len();
    let text = trim(line);
    let end = text.iter().position(|b| is_separator(char::from(*b))).unwrap_or(text.len());
    let (keyword, rest) = text.split_at(end);
    let skip = rest.iter().take_while(|b| is_separator(char::from(**b))).count();
    let args_at = end + skip;
    let args = text.get(args_at..).unwrap_or(&[]);
    let mut flags = Vec::new();
    let behind = split_flags(args, flag_escape, &mut flags);
    let rest = args.get(behind..).unwrap_or(&[]);
    let rest_at = keyword_at + args_at + behind + (rest.len() - trim_start(rest).len());
    for (at, _) in &mut flags {
        *at += keyword_at + args_at;
    }
    Command { keyword, keyword_at, flags, rest: trim(rest), rest_at }
}

/// The flags in front of an instruction's words with the white space behind them, and the words. (By the default escape.)
#[must_use]
pub fn flags_apart(text: &str) -> (&str, &str) {
    let behind = split_flags(text.as_bytes(), b'\\', &mut Vec::new());
    // A byte of a letter that Go takes for white space may end a flag: such a text is no one's.
    text.split_at_checked(behind).unwrap_or(("", text))
}

/// Takes `--name[=value]` words from the front and says where the rest begins. Quotes are removed; `--` alone ends them.
/// BuildKit's `extractBuilderFlags` takes each byte for a character, which shows in letters outside of ASCII.
fn split_flags(line: &[u8], escape: u8, flags: &mut Vec<(usize, String)>) -> usize {
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|b| byte_is_space(*b)) {
            at += 1;
        }
        let start = at;
        if !line.get(at..).is_some_and(|word| word.starts_with(b"--")) {
            return at;
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(&byte) = line.get(at) {
            match quote {
                None if byte_is_space(byte) => break,
                None if matches!(byte, b'\'' | b'"') => quote = Some(byte),
                Some(q) if q == byte => quote = None,
                _ if byte == escape => {
                    at += 1;
                    // One at the very end escapes nothing.
                    word.extend(line.get(at).map(|b| char::from(*b)));
                }
                _ => word.push(char::from(byte)),
            }
            at += 1;
        }
        at = at.min(line.len());
        if word == "--" {
            return at;
        }
        flags.push((start, word));
    }
}

/// Words that keep their quotes and escapes (`parseWords`), for ENV, LABEL and ARG; each with its offset in `rest`.
pub(crate) fn quoted_words(rest: &str, escape: char) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut start = 0;
    let mut quote = None;
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            if !word.is_empty() {
                words.push((start, std::mem::take(&mut word)));
            }
            continue;
        }
        if word.is_empty() {
            start = at;
        }
        match quote {
            None if matches!(c, '\'' | '"') => quote = Some(c),
            Some(q) if c == q => quote = None,
            _ => {}
        }
        if c == escape && quote != Some('\'') {
            // An escape character that is the last one is dropped.
            if let Some((_, next)) = chars.next() {
                word.push(c);
                word.push(next);
            }
            continue;
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push((start, word));
    }
    words
}

/// ENV and LABEL into name, value, name, value: `name=value ...`, or the old `name value with spaces`. Offsets are in `rest`.
pub(crate) fn name_values(rest: &str, escape: char, keyword: &str) -> Result<Vec<String>, Flaw> {
    let words = quoted_words(rest, escape);
    let Some((_, first)) = words.first() else {
        return Ok(Vec::new());
    };
    if !first.contains('=') {
        let Some(end) = rest.find(is_separator) else {
            let what = format!("{} needs a name and a value", keyword.to_uppercase());
            return Err(Flaw::new(0, what, "write name=value"));
        };
        let (name, value) = rest.split_at(end);
        return Ok(vec![name.to_owned(), value.trim_start_matches(is_separator).to_owned()]);
    }
    let mut pairs = Vec::with_capacity(words.len() * 2);
    for (at, word) in &words {
        let Some((name, value)) = word.split_once('=') else {
            let what = format!("no = in \"{}\"", excerpt(word));
            return Err(Flaw::new(*at, what, "write name=value, and quotes around a value with spaces"));
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

/// HEALTHCHECK's first word and the rest (`parseHealthConfig`, which takes bytes for characters).
pub(crate) fn first_word(rest: &[u8]) -> (&[u8], &[u8]) {
    let end = rest.iter().position(|b| byte_is_space(*b)).unwrap_or(rest.len());
    let (word, rest) = rest.split_at(end);
    let skip = rest.iter().take_while(|b| byte_is_space(**b)).count();
    (word, rest.get(skip..).unwrap_or(&[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> (Vec<String>, String) {
        let cut = split_command(line.as_bytes(), b'\\');
        let flags = cut.flags.into_iter().map(|(_, flag)| flag).collect();
        (flags, String::from_utf8(cut.rest.to_vec()).unwrap())
    }

    #[test]
    fn keyword_flags_and_rest() {
        let line = "  Copy --from=build  --chown=\"a b\" -- --odd /x ";
        let cut = split_command(line.as_bytes(), b'\\');
        assert_eq!((cut.keyword, cut.rest), (&b"Copy"[..], &b"--odd /x"[..]));
        assert_eq!((cut.keyword_at, cut.rest_at), (2, line.find("--odd").unwrap()));
        assert_eq!(cut.flags, [(7, "--from=build".into()), (21, "--chown=a b".into())]);
        assert_eq!(split_command(b"RUN\techo  a", b'\\').rest, b"echo  a");
        assert_eq!(split_command(b"RUN", b'\\').rest, b"");
    }

    #[test]
    fn quotes_and_escapes_in_flags() {
        assert_eq!(flags(r"R --a='x y'\ z w").0, ["--a=x y z"]);
        assert_eq!(flags(r#"R --a="x\"y" w"#).0, [r#"--a=x"y"#]);
        assert_eq!(flags("R --a='open w"), (vec!["--a=open w".into()], String::new()));
        assert_eq!(flags("R --a\\"), (vec!["--a".into()], String::new()));
        assert_eq!(flags("R --a -b").1, "-b");
        let backtick = split_command(b"R --a=c:\\x` y z", b'`').flags;
        assert_eq!(backtick, [(2, r"--a=c:\x y".into())]);
    }

    #[test]
    fn flags_stay_as_they_are_written() {
        for (flags, rest) in [
            ("", "make --x"),
            ("--a=1 --b ", "make"),
            ("--a='x y'\t --b=\"c \\\" d\"  ", "make --c"),
            ("--a -- ", "--b"),
            ("--a", ""),
        ] {
            let text = format!("{flags}{rest}");
            let (before, behind) = flags_apart(&text);
            assert_eq!((before.trim_end(), behind.trim_start()), (flags.trim_end(), rest));
        }
        // The second byte of each is a no-break space to Go; of the longer one a third is left.
        assert_eq!(flags_apart("--a=à x"), ("--a=à ", "x"));
        assert_eq!(flags_apart("--a=\u{a801} x"), ("", "--a=\u{a801} x"));
    }

    #[test]
    fn bytes_of_a_flag_are_characters() {
        assert_eq!(flags("R --a=é x"), (vec!["--a=Ã©".into()], "x".into()));
        // The second byte of `à` is a no-break space to Go.
        let cut = split_command("R --a=à x".as_bytes(), b'\\');
        assert_eq!((cut.flags.as_slice(), cut.rest), (&[(2, "--a=Ã".to_owned())][..], &b"x"[..]));
    }

    #[test]
    fn quotes_stay_in_words() {
        let words = |rest: &str| quoted_words(rest, '\\').into_iter().map(|w| w.1).collect::<Vec<_>>();
        assert_eq!(words(r#"a="b c" d=e\ f 'g h'"#), [r#"a="b c""#, r"d=e\ f", "'g h'"]);
        assert_eq!(words(r#"a="x\" y" b"#), [r#"a="x\" y""#, "b"]);
        assert_eq!(words(r"a='\' b"), [r"a='\'", "b"]);
        assert_eq!(words(r"a\"), ["a"]);
        assert_eq!(words(r"\"), [""; 0]);
    }

    #[test]
    fn env_old_and_new() {
        assert_eq!(name_values("A b  c=d", '\\', "env").unwrap(), ["A", "b  c=d"]);
        assert_eq!(name_values("A=b C='d e'", '\\', "env").unwrap(), ["A", "b", "C", "'d e'"]);
        assert!(name_values("A", '\\', "env").is_err());
        assert_eq!(name_values("A=b CC=d C", '\\', "env").unwrap_err().at, 9);
    }
}
