//! `<<NAME` in RUN, COPY and ADD: which words open one, and what their bodies are.

use crate::expand::{ExpandError, Lexer, Rules};

/// A heredoc of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The terminator, without quotes.
    pub name: String,
    /// Whether variables in the body are replaced: not if any part of the name was quoted. In a RUN the engines leave the
    /// body alone whatever this says; the shell may replace.
    pub expand: bool,
    /// `<<-`: tabs at the start of lines are dropped.
    pub strip_tabs: bool,
    /// The file descriptor in front, 0 if none is written.
    pub fd: u64,
    /// The lines between, each with its newline, tabs not yet stripped.
    pub body: String,
}

impl Heredoc {
    /// The body with leading tabs dropped where `<<-` asks for it.
    #[must_use]
    pub fn content(&self) -> String {
        if !self.strip_tabs {
            return self.body.clone();
        }
        self.body.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// The names of the heredocs that a RUN's line opens, in order.
#[must_use]
pub fn heredoc_names(line: &str) -> Vec<String> {
    heredocs_of(line, true).unwrap_or_default().into_iter().map(|heredoc| heredoc.name).collect()
}

/// The heredocs that a joined line opens, with empty bodies, in order. `spaced` takes `<< NAME` too, as BuildKit does since
/// 0.22. `\` escapes here whatever the file chose.
pub(crate) fn heredocs_of(line: &str, spaced: bool) -> Result<Vec<Heredoc>, String> {
    let rules = Rules {
        raw_quotes: true,
        raw_escapes: true,
        skip_unset: true,
        heredocs: spaced,
        ..Rules::PLAIN
    };
    let lexed = match Lexer::new(line, rules, &|_| None).run() {
        Ok(lexed) => lexed,
        // A line that is beyond us may open some; one that doesn't lex (an open quote that the shell will deal with) opens
        // none, as in BuildKit.
        Err(error @ ExpandError::TooLarge) => return Err(error.to_string()),
        Err(_) => return Ok(Vec::new()),
    };
    let mut found = Vec::new();
    for word in lexed.words {
        found.extend(heredoc_of(&word)?);
    }
    Ok(found)
}

/// Reads `[fd]<<[-]NAME` (BuildKit's `reHeredoc`); anything else is none.
pub(crate) fn heredoc_of(word: &str) -> Result<Option<Heredoc>, String> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (fd, rest) = word.split_at(digits);
    let Some(rest) = rest.strip_prefix("<<") else {
        return Ok(None);
    };
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start_matches(['\t', '\n', '\u{c}', '\r', ' ']);
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let unquoted = names(rest, false)?;
    let [name] = unquoted.as_slice() else {
        return Ok(None);
    };
    let quoted = names(rest, true)?;
    let [raw] = quoted.as_slice() else {
        return Err("a heredoc's name that is one word without its quotes, and several with".to_owned());
    };
    let quotes = |s: &str| s.chars().filter(|c| matches!(c, '\'' | '"')).count();
    Ok(Some(Heredoc {
        name: name.clone(),
        expand: quotes(name) == quotes(raw),
        strip_tabs,
        // Only digits, so that an error is a number too large, which Go cuts to the largest.
        fd: if fd.is_empty() { 0 } else { fd.parse().unwrap_or(u64::MAX) },
        body: String::new(),
    }))
}

fn names(rest: &str, raw_quotes: bool) -> Result<Vec<String>, String> {
    let rules = Rules { raw_quotes, skip_unset: true, ..Rules::PLAIN };
    Ok(Lexer::new(rest, rules, &|_| None).run().map_err(|e| format!("a heredoc's name: {e}"))?.words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(word: &str) -> Option<(String, bool, bool)> {
        heredoc_of(word).unwrap().map(|h| (h.name, h.expand, h.strip_tabs))
    }

    #[test]
    fn words_that_open_one() {
        assert_eq!(one("<<EOF"), Some(("EOF".into(), true, false)));
        assert_eq!(one("<<-EOF"), Some(("EOF".into(), true, true)));
        assert_eq!(one("<<'EOF'"), Some(("EOF".into(), false, false)));
        assert_eq!(one("<<\"E F\""), Some(("E F".into(), false, false)));
        assert_eq!(one("<<E'O'F"), Some(("EOF".into(), false, false)));
        assert_eq!(one("<<$EOF"), Some(("$EOF".into(), true, false)));
        assert_eq!(one("3<<EOF").map(|h| h.0), Some("EOF".into()));
    }

    #[test]
    fn what_a_shell_makes_of_a_variable_hides_none() {
        let names = |line: &str| {
            let found = heredocs_of(line, true).unwrap();
            found.into_iter().map(|heredoc| heredoc.name).collect::<Vec<_>>()
        };
        for variable in
            ["${D:=/etc/app}", "${V:0:1}", "${V: -1}", "${V:x}", "${V:}x}", "${V:-x}", "${V#x}"]
        {
            assert_eq!(names(&format!("RUN : {variable} <<EOF")), ["EOF"], "{variable}");
        }
        // These the lexer refuses, and then no heredoc is looked for.
        for variable in ["${V^}", "${V,,}", "${V@Q}", "${V=y}", "${V[0]}", "${V:#x}", "${V:%x}", "${V:"]
        {
            assert_eq!(names(&format!("RUN : {variable} <<EOF")), [""; 0], "{variable}");
        }
    }

    #[test]
    fn words_that_don_t() {
        for word in ["<<", "<<-", "<EOF", "<<<EOF", "a<<EOF", "<<A<<B", "EOF"] {
            assert_eq!(one(word), None, "{word}");
        }
    }

    #[test]
    fn lines() {
        let of = |l: &str| heredocs_of(l, true).unwrap().into_iter().map(|h| h.name).collect::<Vec<_>>();
        assert_eq!(of("RUN cat <<A 3<<-B >/x"), ["A", "B"]);
        assert_eq!(of("RUN cat <<  A"), ["A"]);
        assert_eq!(of(r#"RUN echo "<<A" '<<B' \<<C"#), [""; 0]);
        assert_eq!(of("RUN it's <<A"), [""; 0]);
        assert_eq!(heredocs_of("RUN cat << A", false).unwrap(), []);
    }

    #[test]
    fn tabs() {
        let mut h = heredoc_of("<<-E").unwrap().unwrap();
        h.body = "\t\ta\n\tb\tc\n".into();
        assert_eq!(h.content(), "a\nb\tc\n");
    }
}
