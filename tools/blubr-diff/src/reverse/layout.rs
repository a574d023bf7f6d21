//! What an instruction says, laid out as Dockerfile source that reads back to the same.
//!
//! Every candidate is parsed again, and the first that means what was asked for is taken: nothing in a hostile history can
//! add a line, and nothing is printed that a terminal would obey.

use std::collections::BTreeMap;

use blubr_cli::misleads;
use blubr_dockerfile::{Dockerfile, Engine, Instruction, Scope};

/// Lines longer than this are broken where their author broke them, in characters.
const LINE_CHARS_MAX: usize = 100;

/// A JSON array of strings in which nothing that misleads stands unescaped.
pub fn json(words: &[String]) -> String {
    let mut out = String::from("[");
    for (i, word) in words.iter().enumerate() {
        out.push_str(if i > 0 { ", \"" } else { "\"" });
        for c in word.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if misleads(c) => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
    out.push(']');
    out
}

/// Escapes what a word's expansion would take for quotes, variables or escapes.
fn literal(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        if matches!(c, '\\' | '$' | '"' | '\'') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A value in double quotes, or bare where it needs none.
fn quoted(value: &str) -> String {
    let bare = |c: char| {
        c.is_alphanumeric()
            || matches!(c, '_' | '.' | '/' | ':' | '@' | '%' | '+' | ',' | '=' | '-' | '~')
    };
    if !value.is_empty() && value.chars().all(bare) {
        return value.to_owned();
    }
    let escaped: String = value
        .chars()
        .flat_map(|c| [if matches!(c, '"' | '$' | '\\') { "\\" } else { "" }.to_owned(), c.to_string()])
        .collect();
    format!("\"{escaped}\"")
}

/// Parses one instruction as it would stand between others: it must not take in the line behind it.
pub fn parse_one(source: &str) -> Option<Instruction> {
    let file = Dockerfile::parse(format!("FROM scratch\n{source}\nUSER behind\n").as_bytes()).ok()?;
    let last = source.matches('\n').count() + 2;
    let [_, one, behind] = <[Instruction; 3]>::try_from(file.instructions).ok()?;
    (one.lines == (2, last) && behind.args == ["behind"]).then_some(one)
}

/// The first source that is safe to show, is one instruction of this keyword, and passes `check`.
fn first_good(
    keyword: &str,
    sources: impl IntoIterator<Item = String>,
    check: impl Fn(&Instruction) -> bool,
) -> Option<String> {
    sources.into_iter().find(|source| {
        let shown = !source.chars().any(|c| misleads(c) && c != '\n' && c != '\t');
        shown && parse_one(source).is_some_and(|i| i.keyword == keyword && check(&i))
    })
}

/// The instruction's words after expansion without variables.
fn expanded(instruction: &Instruction) -> Option<Vec<String>> {
    Scope::new('\\', BTreeMap::new()).step(instruction).ok()
}

/// `RUN` of a text that a shell gets.
pub fn run_shell(text: &str, shell: &[String]) -> Option<String> {
    let mut argv = shell.to_vec();
    argv.push(text.to_owned());
    let heredoc = text.ends_with('\n').then(|| {
        let name = (0..).map(|n| if n == 0 { "EOF".to_owned() } else { format!("EOF{n}") });
        let name = name.into_iter().find(|name| !text.lines().any(|l| l == name)).unwrap_or_default();
        format!("RUN <<{name}\n{text}{name}")
    });
    let long = text.chars().count() > LINE_CHARS_MAX;
    let sources = [
        (long && !text.contains('\n')).then(|| format!("RUN {}", broken(text))),
        (!text.contains('\n')).then(|| format!("RUN {text}")),
        heredoc,
        Some(format!("RUN {text}")),
        Some(format!("RUN {}", json(&argv))),
    ];
    let same = |i: &Instruction| {
        i.flags.is_empty()
            && i.shell_commands(shell)
                .iter()
                .any(|c| c.engines.contains(&Engine::BuildKit) && c.argv == argv)
    };
    first_good("run", sources.into_iter().flatten(), same)
}

/// The text broken again where a continuation line with an indentation was joined: at a run of spaces behind an operator, or
/// at a run that no one puts into a line.
fn broken(text: &str) -> String {
    /// A line joined behind ` \` with the usual four spaces leaves a run of five.
    const RUN_CHARS_MIN: usize = 5;
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(at) = rest.find(' ') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let spaces = from.len() - from.trim_start_matches([' ', '\t']).len();
        let operator = ["&&", "||", ";", "|", "{", "("].iter().any(|o| out.ends_with(o));
        let run = from.get(..spaces).unwrap_or("");
        if spaces >= RUN_CHARS_MIN || (spaces > 1 && (operator || run.contains('\t'))) {
            out.push_str(" \\\n");
            out.push_str(run.get(1..).unwrap_or(""));
        } else {
            out.push_str(run);
        }
        rest = from.get(spaces..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

/// `RUN`, `CMD`, `ENTRYPOINT`, `SHELL` with a JSON array.
pub fn exec(keyword: &str, argv: &[String]) -> Option<String> {
    let source = format!("{} {}", keyword.to_uppercase(), json(argv));
    first_good(keyword, [source], |i| i.json_form && i.args == argv)
}

/// `CMD` and `ENTRYPOINT`: in shell form where the argv begins with the shell in force.
pub fn cmd(keyword: &str, argv: &[String], shell: &[String]) -> Option<String> {
    let text = argv.split_last().filter(|(_, before)| *before == shell).map(|(text, _)| text);
    let shell_form = text.and_then(|text| {
        let source = format!("{} {text}", keyword.to_uppercase());
        first_good(keyword, [source].into_iter().filter(|s| !s.contains('\n')), |i| {
            !i.json_form && i.args == [text.clone()]
        })
    });
    shell_form.or_else(|| exec(keyword, argv))
}

/// `ENV` and `LABEL`.
pub fn pairs(keyword: &str, pairs: &[(String, String)]) -> Option<String> {
    let want: Vec<String> = pairs.iter().flat_map(|(n, v)| [n.clone(), v.clone()]).collect();
    let line = |name: &dyn Fn(&str) -> String| {
        let words: Vec<String> =
            pairs.iter().map(|(n, v)| format!("{}={}", name(n), quoted(v))).collect();
        format!("{} {}", keyword.to_uppercase(), words.join(" "))
    };
    let sources = [line(&|n| n.to_owned()), line(&quoted)];
    first_good(keyword, sources.into_iter().filter(|s| !s.contains('\n')), |i| {
        expanded(i).as_ref() == Some(&want)
    })
}

/// `ARG`.
pub fn arg(name: &str, value: Option<&str>) -> Option<String> {
    let (source, want) = match value {
        Some(value) => (format!("ARG {name}={}", quoted(value)), format!("{name}={value}")),
        None => (format!("ARG {name}"), name.to_owned()),
    };
    first_good("arg", [source].into_iter().filter(|s| !s.contains('\n')), |i| {
        expanded(i).as_ref() == Some(&vec![want.clone()])
    })
}

/// `COPY` and `ADD`: flags, sources and destination.
pub fn copy(keyword: &str, flags: &[String], words: &[String]) -> Option<String> {
    let upper = keyword.to_uppercase();
    let flags_text: String = flags.iter().map(|f| format!(" {f}")).collect();
    let literals: Vec<String> = words.iter().map(|w| literal(w)).collect();
    let sources = [
        format!("{upper}{flags_text} {}", literals.join(" ")),
        format!("{upper}{flags_text} {}", json(&literals)),
    ];
    first_good(keyword, sources.into_iter().filter(|s| !s.contains('\n')), |i| {
        i.flags == flags && i.heredocs.is_empty() && expanded(i).as_deref() == Some(words)
    })
}

/// `COPY` and `ADD` of buildah, which keeps the words as they were written, variables and all.
pub fn copy_as_written(keyword: &str, flags: &[String], words: &[String]) -> Option<String> {
    let upper = keyword.to_uppercase();
    let flags_text: String = flags.iter().map(|f| format!(" {f}")).collect();
    let sources = [
        format!("{upper}{flags_text} {}", words.join(" ")),
        format!("{upper}{flags_text} {}", json(words)),
    ];
    first_good(keyword, sources.into_iter().filter(|s| !s.contains('\n')), |i| {
        i.flags == flags && i.heredocs.is_empty() && i.args == words
    })
}

/// `USER`, `WORKDIR`, `STOPSIGNAL`, `MAINTAINER`: one word, spaces and all.
pub fn one(keyword: &str, value: &str) -> Option<String> {
    let text = if keyword == "maintainer" { value.to_owned() } else { literal(value) };
    let source = format!("{} {text}", keyword.to_uppercase());
    first_good(keyword, [source].into_iter().filter(|s| !s.contains('\n')), |i| {
        expanded(i).is_some_and(|w| w == [value])
    })
}

/// `EXPOSE` and `VOLUME`.
pub fn list(keyword: &str, words: &[String]) -> Option<String> {
    let literals: Vec<String> = words.iter().map(|w| literal(w)).collect();
    let upper = keyword.to_uppercase();
    let sources = match keyword {
        "volume" => vec![format!("{upper} {}", json(&literals))],
        _ => vec![format!("{upper} {}", literals.join(" "))],
    };
    first_good(keyword, sources.into_iter().filter(|s| !s.contains('\n')), |i| {
        expanded(i).as_deref() == Some(words)
    })
}

/// `HEALTHCHECK`; durations in nanoseconds, 0 for the engine's default.
pub fn healthcheck(check: &blubr_image::Healthcheck) -> Option<String> {
    let (kind, rest) = check.test.split_first()?;
    if kind == "NONE" {
        return first_good("healthcheck", ["HEALTHCHECK NONE".to_owned()], |_| rest.is_empty());
    }
    let mut flags = String::new();
    for (name, value) in [
        ("interval", check.interval),
        ("timeout", check.timeout),
        ("start-period", check.start_period),
        ("start-interval", check.start_interval),
    ] {
        if value != 0 {
            flags.push_str(&format!(" --{name}={}", duration(value)));
        }
    }
    if check.retries != 0 {
        flags.push_str(&format!(" --retries={}", check.retries));
    }
    let (text, shell_form) = match (kind.as_str(), rest) {
        ("CMD-SHELL", [line]) if !line.contains('\n') => (line.clone(), true),
        ("CMD", argv) => (json(argv), false),
        _ => return None,
    };
    first_good("healthcheck", [format!("HEALTHCHECK{flags} CMD {text}")], |i| {
        i.json_form != shell_form && i.args.get(1..) == Some(rest)
    })
}

/// Nanoseconds as Go's time.ParseDuration reads them: the largest unit that leaves no fraction.
pub fn duration(nanoseconds: i64) -> String {
    for (unit, length) in [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
    ] {
        if nanoseconds % length == 0 {
            return format!("{}{unit}", nanoseconds / length);
        }
    }
    format!("{nanoseconds}ns")
}

/// An instruction that the history keeps as it was written.
pub fn verbatim(keyword: &str, source: &str) -> Option<String> {
    first_good(keyword, [source.to_owned()], |_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh() -> Vec<String> {
        blubr_dockerfile::default_shell()
    }

    #[test]
    fn runs_read_back() {
        for text in
            ["a && b", "echo \"x && y\" '  z'", "a |cat", "x # y", "echo \\$A \\\\ b", "[ -f x ]"]
        {
            assert_eq!(run_shell(text, &sh()).unwrap(), format!("RUN {text}"));
        }
        assert_eq!(run_shell("a\nb\n", &sh()).unwrap(), "RUN <<EOF\na\nb\nEOF");
        assert_eq!(run_shell("EOF\n", &sh()).unwrap(), "RUN <<EOF1\nEOF\nEOF1");
        assert_eq!(run_shell("cat <<A >x\n1\nA", &sh()).unwrap(), "RUN cat <<A >x\n1\nA");
    }

    #[test]
    fn what_no_plain_line_can_say_becomes_an_array() {
        for text in [
            "a\nUSER root",
            "x\\",
            "\u{1b}[2Jx",
            "--mount=x y",
            " a",
            "[\"a\"]",
            "cat <<E",
            "a\u{202e}b",
            "a\r\nb\n",
        ] {
            let source = run_shell(text, &sh()).unwrap();
            assert!(source.starts_with("RUN [\"/bin/sh\", \"-c\", \""), "{source}");
            assert_eq!(source.lines().count(), 1);
            assert!(!source.chars().any(misleads), "{source}");
            assert_eq!(parse_one(&source).unwrap().args[2], text);
        }
    }

    #[test]
    fn long_lines_are_broken_where_they_were() {
        let text = format!("{} &&     {} &&     c", "a".repeat(60), "b".repeat(60));
        let source = run_shell(&text, &sh()).unwrap();
        assert_eq!(source.lines().count(), 3);
        assert!(source.lines().nth(1).unwrap().starts_with("    b"));
        // A break that would make a comment is not made.
        let text = format!("{} &&     # {}", "a".repeat(60), "b".repeat(60));
        assert_eq!(run_shell(&text, &sh()).unwrap(), format!("RUN {text}"));
    }

    #[test]
    fn values_are_quoted() {
        let of = |n: &str, v: &str| pairs("env", &[(n.to_owned(), v.to_owned())]);
        assert_eq!(of("A", "1").unwrap(), "ENV A=1");
        assert_eq!(of("A", "").unwrap(), "ENV A=\"\"");
        assert_eq!(of("A", "b c").unwrap(), "ENV A=\"b c\"");
        assert_eq!(of("A", "$x \"q\" \\ 'y'").unwrap(), "ENV A=\"\\$x \\\"q\\\" \\\\ 'y'\"");
        assert_eq!(of("A", "x\nUSER root"), None);
        assert_eq!(of("A", "\u{1b}"), None);
        assert_eq!(of("A B", "x"), None.or(of("A B", "x")));
        assert_eq!(pairs("label", &[("a b".into(), "c".into())]).unwrap(), "LABEL \"a b\"=c");
    }

    #[test]
    fn the_rest() {
        assert_eq!(one("workdir", "/work dir/$x").unwrap(), "WORKDIR /work dir/\\$x");
        assert_eq!(one("user", "a\nRUN x"), None);
        assert_eq!(list("volume", &["/a b".into()]).unwrap(), "VOLUME [\"/a b\"]");
        let words: Vec<String> = ["b c", "/d e"].map(String::from).to_vec();
        assert_eq!(
            copy("copy", &["--from=x".into()], &words).unwrap(),
            "COPY --from=x [\"b c\", \"/d e\"]"
        );
        assert_eq!(
            cmd("cmd", &["/bin/sh".into(), "-c".into(), "x $A".into()], &sh()).unwrap(),
            "CMD x $A"
        );
        assert_eq!(cmd("cmd", &["x".into()], &sh()).unwrap(), "CMD [\"x\"]");
        assert_eq!(arg("V", Some("a b")).unwrap(), "ARG V=\"a b\"");
        assert_eq!(duration(90_000_000_000), "90s");
    }
}
