//! One history line turned into one instruction, with what the line does not tell.

use std::collections::{BTreeMap, BTreeSet};

use blubr_image::{Config, Healthcheck};

use crate::reverse::arguments::Arguments;
use crate::reverse::line::Engine;
use crate::reverse::{goquote, layout, lossy};

/// An instruction as source, and remarks on what is not known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statement {
    /// Dockerfile source; `None` where no instruction can be given.
    pub source: Option<String>,
    /// What isn't known, a line each, safe to print.
    pub unknown: Vec<String>,
    /// Whether it is an ARG whose name is not told.
    pub nameless_arg: bool,
}

impl Statement {
    fn sure(source: Option<String>) -> Self {
        Self::with(source, true, "")
    }

    fn with(source: Option<String>, sure: bool, remark: &str) -> Self {
        let unknown = if sure { Vec::new() } else { vec![remark.to_owned()] };
        Self { source, unknown, nameless_arg: false }
    }
}

/// What is known before a line: grows as the history is walked.
pub struct Walk<'a> {
    /// The image's config, which keeps what history lines lose.
    pub config: &'a Config,
    env: BTreeMap<&'a str, &'a str>,
    volumes: BTreeSet<&'a str>,
    /// SHELL in force.
    pub shell: Vec<String>,
    /// Build arguments.
    pub args: Arguments,
    /// Whether a later line sets the same thing again, so that the config's value isn't this line's.
    pub last_of_kind: bool,
}

/// Where BuildKit puts a heredoc that begins with `#!`.
const INLINE_SCRIPT: &str = "/dev/pipes/";

impl<'a> Walk<'a> {
    /// Before the first line.
    pub fn new(config: &'a Config, args: Arguments) -> Self {
        Self {
            config,
            env: config.config.env.iter().rev().filter_map(|e| e.split_once('=')).collect(),
            volumes: config.config.volumes.iter().map(String::as_str).collect(),
            shell: blubr_dockerfile::default_shell(),
            args,
            last_of_kind: false,
        }
    }

    /// An instruction that ran no command.
    pub fn instruction(&mut self, engine: Engine, keyword: &str, rest: &str) -> Statement {
        let lower = keyword.to_lowercase();
        match keyword {
            "COPY" | "ADD" => copy(engine, &lower, rest),
            "ARG" => self.arg(engine, rest),
            // buildah keeps the rest of a line as it was written.
            _ if engine.keeps_text() => self.verbatim(&lower, keyword, rest),
            "ENV" => self.env(rest),
            "LABEL" => self.label(rest),
            "CMD" | "ENTRYPOINT" => match goquote::strings(rest) {
                Some((argv, "")) => Statement::sure(layout::cmd(&lower, &argv, &self.shell)),
                _ => self.verbatim(&lower, keyword, rest),
            },
            "SHELL" => self.set_shell(rest),
            "USER" | "WORKDIR" | "STOPSIGNAL" | "MAINTAINER" => {
                Statement::sure(layout::one(&lower, rest))
            }
            "EXPOSE" => {
                // Docker 28 writes a list, those before it a map.
                let rest = goquote::bracketed(rest).unwrap_or(rest);
                let ports = goquote::map_keys(rest);
                let ports =
                    ports.unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
                Statement::sure(layout::list(&lower, &ports))
            }
            "VOLUME" => {
                let inside = goquote::bracketed(rest).unwrap_or(rest);
                let (volumes, sure) = lossy::names(inside, &self.volumes);
                let sure = sure || !volumes.is_empty() && volumes.iter().all(|v| v.starts_with('/'));
                Statement::with(layout::list(&lower, &volumes), sure, "whether a name holds spaces")
            }
            "HEALTHCHECK" => self.healthcheck(rest),
            _ => self.verbatim(&lower, keyword, rest),
        }
    }

    fn verbatim(&mut self, lower: &str, keyword: &str, rest: &str) -> Statement {
        let source = layout::verbatim(lower, &format!("{keyword} {rest}"));
        if lower == "shell"
            && let Some(shell) = source.as_deref().and_then(layout::parse_one)
        {
            self.shell = shell.args;
        }
        Statement::sure(source)
    }

    fn env(&self, rest: &str) -> Statement {
        let (pairs, sure) = lossy::pairs(rest, |name| self.env.get(name).map(|v| Some(*v)));
        Statement::with(
            layout::pairs("env", &pairs),
            sure,
            "where these values end; the history drops quotes",
        )
    }

    fn label(&self, rest: &str) -> Statement {
        let labels = &self.config.config.labels;
        let (pairs, sure) = lossy::pairs(rest, |name| labels.get(name).map(|v| Some(v.as_str())));
        Statement::with(
            layout::pairs("label", &pairs),
            sure,
            "where these values end; the history drops quotes",
        )
    }

    fn arg(&mut self, engine: Engine, rest: &str) -> Statement {
        if engine == Engine::Buildah {
            // buildah names all arguments declared so far that have a value, without it.
            let names: Vec<&str> =
                rest.split_whitespace().map(|w| w.split_once('=').map_or(w, |(n, _)| n)).collect();
            let Some(name) = names.iter().find(|n| !self.args.is_declared(n)) else {
                let remark = "the name of this ARG: one that was declared before, or that has no value";
                let unknown = vec![remark.to_owned()];
                return Statement { source: None, unknown, nameless_arg: true };
            };
            self.args.declare(name, None);
            return Statement::sure(layout::arg(name, None));
        }
        let (name, value) = match rest.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (rest, None),
        };
        self.args.declare(name, value);
        Statement::sure(layout::arg(name, value))
    }

    fn set_shell(&mut self, rest: &str) -> Statement {
        let inside = goquote::bracketed(rest).unwrap_or(rest);
        let configured = self.config.config.shell.as_ref().filter(|s| s.join(" ") == inside);
        let shell =
            configured.cloned().unwrap_or_else(|| inside.split(' ').map(str::to_owned).collect());
        let sure = configured.is_some();
        self.shell = shell;
        Statement::with(
            layout::exec("shell", &self.shell),
            sure,
            "whether a word of this SHELL holds spaces",
        )
    }

    fn healthcheck(&self, rest: &str) -> Statement {
        let (check, sure) = match &self.config.config.healthcheck {
            Some(check) if self.last_of_kind => (check.clone(), true),
            _ => match parse_healthcheck(rest) {
                Some(check) => (check, true),
                None => {
                    return Statement {
                        unknown: vec!["this HEALTHCHECK; a later one replaced it".into()],
                        ..Statement::default()
                    };
                }
            },
        };
        Statement::with(layout::healthcheck(&check), sure, "this HEALTHCHECK")
    }

    /// A RUN, its build arguments still in front.
    pub fn command(&mut self, engine: Engine, text: &str) -> (Statement, Vec<(String, String)>) {
        if engine == Engine::AsWritten {
            let source = layout::verbatim("run", &format!("RUN {text}"));
            return (Statement::sure(source), Vec::new());
        }
        let (given, text, mut unknown) = self.args.split(text, &self.shell);
        if engine == Engine::Buildah {
            // Always /bin/sh -c, whatever SHELL says, and behind it the instruction as written.
            let written = text.strip_prefix("/bin/sh -c ").unwrap_or(text);
            let heredocs = blubr_dockerfile::heredoc_names(written.lines().next().unwrap_or(""));
            let source = match heredocs.as_slice() {
                [] => layout::verbatim("run", &format!("RUN {written}")),
                [name] => layout::verbatim("run", &format!("RUN {written}\n{name}")),
                _ => None,
            };
            let source = source.or_else(|| {
                if heredocs.len() > 1 {
                    unknown.push("where its heredocs end; the history drops their ends".to_owned());
                }
                let (flags, command) = blubr_dockerfile::flags_apart(written);
                let source = layout::run_shell(command, &blubr_dockerfile::default_shell())?;
                layout::verbatim("run", &source.replacen("RUN ", &format!("RUN {flags}"), 1))
            });
            return (Statement { source, unknown, nameless_arg: false }, given);
        }
        let joined = self.shell.join(" ");
        let source = match text.strip_prefix(&joined).and_then(|t| t.strip_prefix(' ')) {
            Some(command) if command.starts_with(INLINE_SCRIPT) => {
                unknown.push("the script itself; it stood in the Dockerfile as a heredoc".to_owned());
                layout::run_shell(command, &self.shell)
            }
            Some(command) => layout::run_shell(command, &self.shell),
            None => {
                unknown.push(
                    "where the words of this exec form begin and end; it is cut at spaces".to_owned(),
                );
                let argv: Vec<String> = text.split(' ').map(str::to_owned).collect();
                layout::exec("run", &argv)
            }
        };
        (Statement { source, unknown, nameless_arg: false }, given)
    }
}

/// Where the classic builder and buildah put the sum of what was copied instead of its name.
fn sum(rest: &str) -> Option<(usize, usize)> {
    const SUM_CHARS: usize = 64;
    for kind in ["file:", "dir:", "multi:"] {
        for (at, _) in rest.match_indices(kind) {
            let end = at + kind.len() + SUM_CHARS;
            let hex = rest.get(at + kind.len()..end)?;
            if hex.bytes().all(|b| b.is_ascii_hexdigit()) && rest.get(end..)?.starts_with(" in ") {
                return Some((at, end));
            }
        }
    }
    None
}

fn copy(engine: Engine, keyword: &str, rest: &str) -> Statement {
    let layout = if engine.keeps_text() { layout::copy_as_written } else { layout::copy };
    let (flags, rest) = match sum(rest) {
        // The classic builder forgets the space behind --chown.
        Some((at, _)) => (rest.get(..at).unwrap_or(""), rest.get(at..).unwrap_or("")),
        None => ("", rest),
    };
    let mut flags: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
    if let Some((_, end)) = sum(rest) {
        let source = rest.get(..end).unwrap_or("");
        let dest = rest.get(end + " in ".len()..).unwrap_or("").trim_end();
        let what = if source.starts_with("multi:") {
            "the names of the several sources"
        } else {
            "the source's name"
        };
        return Statement {
            source: layout(keyword, &flags, &[source.to_owned(), dest.to_owned()]),
            unknown: vec![format!("{what}; the history keeps a sum of them only")],
            nameless_arg: false,
        };
    }
    let mut words: Vec<String> = rest.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
    while words.first().is_some_and(|w| w.starts_with("--")) {
        flags.push(words.remove(0));
    }
    // Several sources need a destination that ends with a slash, so anything else had a space in a name.
    let sure = words.len() <= 2 || words.last().is_some_and(|w| w.ends_with('/') || w == ".");
    let mut statement = Statement::with(
        layout(keyword, &flags, &words),
        sure,
        "where these names begin and end: one holds a space",
    );
    if words.iter().any(|w| w.starts_with("<<")) {
        statement.unknown.push("what the inline files (heredocs) hold".to_owned());
    }
    statement
}

/// `&{["CMD-SHELL" "x"] "5s" "3s" "1m0s" '\x02'}`, with a start interval before the retries in newer engines.
fn parse_healthcheck(rest: &str) -> Option<Healthcheck> {
    let (test, mut rest) = goquote::strings(rest.strip_prefix("&{")?)?;
    let mut durations = Vec::new();
    while let Some((duration, after)) = rest.strip_prefix(' ').and_then(goquote::quoted) {
        durations.push(blubr_dockerfile::nanoseconds(&duration)?);
        rest = after;
    }
    let mut check = Healthcheck::default();
    check.test = test;
    [check.interval, check.timeout, check.start_period, check.start_interval] =
        std::array::from_fn(|i| durations.get(i).copied().unwrap_or(0));
    let rune = rest.trim().strip_prefix('\'')?.strip_suffix("'}")?;
    check.retries = match rune.strip_prefix("\\x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => i64::from(u32::from(goquote::quoted(&format!("\"{rune}\""))?.0.chars().next()?)),
    };
    Some(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn healthchecks() {
        let check =
            parse_healthcheck(r#"&{["CMD-SHELL" "test -f /m8 || exit 1"] "5s" "3s" "1m0s" '\x02'}"#)
                .unwrap();
        assert_eq!(check.test, ["CMD-SHELL", "test -f /m8 || exit 1"]);
        assert_eq!(
            (check.interval, check.start_period, check.retries),
            (5_000_000_000, 60_000_000_000, 2)
        );
        assert_eq!(parse_healthcheck(r#"&{["NONE"] "0s" "0s" "0s" "0s" 'A'}"#).unwrap().retries, 65);
        assert_eq!(parse_healthcheck("{Test:[x]}"), None);
    }

    #[test]
    fn buildah_keeps_variables() {
        let rest = format!("file:{} in $DIR/ ", "a".repeat(64));
        assert!(copy(Engine::Buildah, "copy", &rest).source.unwrap().ends_with(" $DIR/"));
        assert!(copy(Engine::Classic, "copy", &rest).source.unwrap().ends_with(" \\$DIR/"));
    }

    #[test]
    fn sums_stand_for_names() {
        let sum = "a".repeat(64);
        let statement =
            copy(Engine::Classic, "copy", &format!("--chown=1000:1000file:{sum} in /dst/sp ace "));
        assert_eq!(
            statement.source.unwrap(),
            format!("COPY --chown=1000:1000 [\"file:{sum}\", \"/dst/sp ace\"]")
        );
        assert_eq!(statement.unknown.len(), 1);
        assert!(
            copy(Engine::Classic, "copy", "a b /c").unknown.len() == 1
                && copy(Engine::Classic, "copy", "a b /c/").unknown.is_empty()
        );
    }
}
