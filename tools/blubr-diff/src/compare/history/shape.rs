//! An instruction as a key that a Dockerfile and a history line have in common.

use std::collections::{BTreeMap, BTreeSet};

use blubr_dockerfile::{DEFAULT_PATH, Instruction, Scope, default_shell, nanoseconds};

use crate::compare::redacted::{self, REDACTED};
use crate::reverse::workdir;

/// Ports of a range that are taken apart; there are no more.
const PORTS_MAX: u32 = 65_536;

/// What a key says of a COPY whose sources the history doesn't tell.
const SUM: &str = "<sources>";

/// An instruction, comparable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Equal for equal instructions.
    pub key: String,
    /// For people: the instruction with variables replaced.
    pub text: String,
}

/// What stands for the shell in front of a shell form.
const SHELL: &str = "<shell> ";

impl Shape {
    /// Whether the other one is this with something in place of `[redacted:KIND]`.
    pub fn redacted_fits(&self, other: &Self) -> bool {
        self.key.contains(REDACTED) && redacted::fits(&self.key, &other.key)
    }
}

/// What holds before the first instruction: what a base image brought.
#[derive(Debug, Clone)]
pub struct Start {
    env: Vec<(String, String)>,
    shell: Vec<String>,
    workdir: String,
}

impl Start {
    /// What the base image's instructions leave.
    pub fn after(base: &[&Instruction]) -> Self {
        let mut walk = Walk::new(
            &Self { env: Vec::new(), shell: default_shell(), workdir: "/".to_owned() },
            &[],
            &[],
            LeftOut::default(),
        );
        for instruction in base {
            walk.shape(instruction);
        }
        // No line of a history tells of it.
        walk.env.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
        Self { env: walk.env.into_iter().collect(), shell: walk.shell, workdir: walk.workdir }
    }
}

/// What the lines of a history leave out.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeftOut {
    /// The sources of COPY and ADD: a sum stands for them.
    pub sources: bool,
    /// The ends of a RUN's heredocs, as buildah does.
    pub heredoc_ends: bool,
}

/// Whether this is a COPY or ADD whose sources are only known by a sum.
pub fn has_sum(instruction: &Instruction) -> bool {
    let kinds = ["file:", "dir:", "multi:"];
    matches!(instruction.keyword.as_str(), "copy" | "add")
        && instruction
            .args
            .first()
            .is_some_and(|a| kinds.iter().any(|k| a.strip_prefix(k).is_some_and(|s| s.len() == 64)))
}

/// The shapes of a list, and how many bytes were looked at to make them. `global`: ARGs before the first FROM. `given`: values
/// of build arguments.
pub fn shapes(
    list: &[&Instruction],
    start: &Start,
    global: &[&Instruction],
    given: &[(String, String)],
    left_out: LeftOut,
) -> (Vec<Shape>, u64) {
    let mut walk = Walk::new(start, global, given, left_out);
    let shapes: Vec<Shape> = list.iter().map(|i| walk.shape(i)).collect();
    let bytes = shapes.iter().map(|shape| shape.key.len()).sum::<usize>() + walk.scope.spent();
    (shapes, bytes as u64)
}

struct Walk {
    scope: Scope,
    env: BTreeMap<String, String>,
    shell: Vec<String>,
    workdir: String,
    left_out: LeftOut,
}

impl Walk {
    fn new(
        start: &Start,
        global: &[&Instruction],
        given: &[(String, String)],
        left_out: LeftOut,
    ) -> Self {
        let mut scope = Scope::new('\\', given.iter().cloned().collect());
        for instruction in global {
            // An ARG that can't be expanded leaves its name unset, as if it weren't there.
            let _ = scope.step(instruction);
        }
        scope.begin_stage(&start.env);
        Self {
            scope,
            env: start.env.iter().cloned().collect(),
            shell: start.shell.clone(),
            workdir: start.workdir.clone(),
            left_out,
        }
    }

    fn shape(&mut self, i: &Instruction) -> Shape {
        let words = self.scope.step(i).unwrap_or_else(|_| i.args.clone());
        let text = match i.keyword.as_str() {
            "run" | "cmd" | "entrypoint" => self.command(i),
            "env" => {
                for pair in words.chunks_exact(2) {
                    if let [name, value] = pair {
                        self.env.insert(name.clone(), value.clone());
                    }
                }
                pairs(&words)
            }
            "label" => pairs(&words),
            "arg" => words
                .iter()
                .map(|w| w.split_once('=').map_or(w.as_str(), |(n, _)| n))
                .collect::<Vec<_>>()
                .join(" "),
            "shell" => {
                self.shell.clone_from(&words);
                words.join(" ")
            }
            "workdir" => {
                self.workdir = workdir(&self.workdir, &words.concat());
                self.workdir.clone()
            }
            "expose" => ports(&words),
            "healthcheck" => healthcheck(i),
            "copy" | "add" if self.left_out.sources => {
                format!("{SUM} {}", words.last().map_or("", String::as_str))
            }
            "copy" | "add" => inline_files(i, words).join(" "),
            _ => words.join(" "),
        };
        let key = format!("{} {text}", i.keyword.to_uppercase());
        Shape { text: key.replacen(SHELL, "", 1), key }
    }

    /// The argv, joined: an exec form's words are cut differently in a history. buildah's variant for OCI images counts as
    /// the one with the shell, since a history can't tell them apart.
    fn command(&self, i: &Instruction) -> String {
        if i.json_form {
            let words = i.args.join(" ");
            // A history can't tell a shell that was written out from the one in force; of a RUN it joins the words.
            let default = default_shell();
            let joined = |shell: &[String]| words.strip_prefix(&shell.join(" "))?.strip_prefix(' ');
            let listed = |shell: &[String]| match i.args.strip_prefix(shell)? {
                [text] => Some(text.as_str()),
                _ => None,
            };
            let behind =
                |shell: &Vec<String>| if i.keyword == "run" { joined(shell) } else { listed(shell) };
            let text = [&self.shell, &default].into_iter().find_map(behind);
            return text.map_or_else(|| words.clone(), |text| format!("{SHELL}{text}"));
        }
        let text = if i.keyword == "run" && !i.heredocs.is_empty() && self.left_out.heredoc_ends {
            i.buildah_text()
        } else {
            let commands = i.shell_commands(&self.shell);
            let Some(command) = commands.first() else { return String::new() };
            command.argv.last().cloned().unwrap_or_default()
        };
        // Without the shell: SHELL has a line of its own, and buildah always writes /bin/sh.
        format!("{SHELL}{text}")
    }
}

/// BuildKit's history names an inline file by its heredoc's name, without quotes and the `-` of `<<-`.
fn inline_files(i: &Instruction, mut words: Vec<String>) -> Vec<String> {
    let mut names = i.heredocs.iter().map(|h| format!("<<{}", h.name));
    for word in
        words.iter_mut().filter(|w| w.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with("<<"))
    {
        if let Some(name) = names.next() {
            *word = name;
        }
    }
    words
}

fn pairs(words: &[String]) -> String {
    let pairs = words.chunks_exact(2).map(|pair| pair.join("="));
    pairs.collect::<Vec<_>>().join(" ")
}

/// `80 8000-8001/tcp` as a sorted set of single ports.
fn ports(words: &[String]) -> String {
    let mut set = BTreeSet::new();
    for word in words {
        let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
        let protocol = protocol.to_lowercase();
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<u32>(), last.parse::<u32>()) {
            (Ok(first), Ok(last)) if first <= last && last < PORTS_MAX => {
                set.extend((first..=last).map(|port| format!("{port}/{protocol}")));
            }
            _ => {
                set.insert(word.clone());
            }
        }
    }
    set.into_iter().collect::<Vec<_>>().join(" ")
}

fn healthcheck(i: &Instruction) -> String {
    let mut flags: Vec<String> = i
        .flags
        .iter()
        .filter_map(|flag| {
            let (name, value) = flag.strip_prefix("--")?.split_once('=')?;
            let value = nanoseconds(value).map_or_else(|| value.to_owned(), |ns| ns.to_string());
            // No value at all is the default too.
            (!matches!(value.as_str(), "" | "0")).then(|| format!("{name}={value}"))
        })
        .collect();
    flags.sort();
    let kind = i.args.first().map(|k| k.to_uppercase()).unwrap_or_default();
    let rest = i.args.get(1..).unwrap_or_default().join(" ");
    format!("{} {kind} {rest}", flags.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redactions_fit_anything() {
        let shape = |text: &str| Shape { key: text.to_owned(), text: text.to_owned() };
        let redacted = shape("RUN wget http://[redacted:url-password]@h/x && y");
        assert!(redacted.redacted_fits(&shape("RUN wget http://u:p@h/x && y")));
        assert!(!redacted.redacted_fits(&shape("RUN wget http://u:p@h/x && z")));
        assert!(!redacted.redacted_fits(&shape("RUN curl http://u:p@h/x && y")));
        assert!(!shape("a").redacted_fits(&shape("b")));
        assert!(shape("T=[redacted:token]").redacted_fits(&shape("T=abc")));
    }

    #[test]
    fn ports_are_sets() {
        let ports =
            |words: &[&str]| super::ports(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(ports(&["8000-8001", "53/UDP"]), ports(&["53/udp", "8001/tcp", "8000/tcp"]));
        assert_eq!(ports(&["9-1", "x"]), "9-1 x");
    }
}
