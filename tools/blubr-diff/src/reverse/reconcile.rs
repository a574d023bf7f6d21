//! What config and history say differently: the sign of an image that was committed, squashed or rewritten.

use std::collections::{BTreeMap, BTreeSet};

use blubr_cli::printable;
use blubr_dockerfile::{DEFAULT_PATH, Instruction, Scope};
use blubr_image::{Config, ContainerConfig};

use crate::reverse::layout;
use crate::reverse::{Entry, Reversed};

/// What the reversed instructions would make of a config.
#[derive(Debug, Default)]
struct Made {
    env: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    once: BTreeMap<&'static str, String>,
    onbuild: usize,
    volumes: BTreeSet<String>,
}

/// Labels that engines add by themselves.
const ENGINE_LABELS: [&str; 1] = ["io.buildah.version"];

/// Adds remarks, and instructions that only the config shows.
pub fn reconcile(config: &Config, reversed: &mut Reversed) {
    if config.history.is_empty() && !config.diff_ids().is_empty() {
        reversed.remarks.push("everything that made the layers: this image has no history".to_owned());
        for (at, layer) in config.diff_ids().iter().enumerate() {
            reversed.remarks.push(format!(
                "what made layer {} of {}, {layer}",
                at + 1,
                config.diff_ids().len()
            ));
        }
    }
    let made = replay(&reversed.entries);
    let c = &config.config;
    env_and_labels(c, &made, reversed);
    let whole = reversed.entries.iter().all(|e| e.source.is_some());
    singles(c, &made, whole, reversed);
    for volume in c.volumes.iter().filter(|v| !made.volumes.contains(v.as_str())) {
        tail(reversed, layout::list("volume", std::slice::from_ref(volume)), "VOLUME");
    }
    // BuildKit writes no ONBUILD into the history; the classic builder and buildah do.
    for trigger in c.on_build.iter().skip(made.onbuild) {
        let source = layout::verbatim("onbuild", &format!("ONBUILD {trigger}"));
        tail(reversed, source, "ONBUILD");
    }
    if made.onbuild > c.on_build.len() {
        reversed.remarks.push(
            "why the history has an ONBUILD that the config lacks (OCI images can't keep it)".to_owned(),
        );
    }
}

/// Walks over the reversed instructions as a builder would.
fn replay(entries: &[Entry]) -> Made {
    let mut made = Made::default();
    let mut scope = Scope::new('\\', BTreeMap::new());
    for instruction in entries.iter().filter_map(|e| layout::parse_one(e.source.as_deref()?)) {
        let words = scope.step(&instruction).unwrap_or_default();
        match instruction.keyword.as_str() {
            "env" => made.env.extend(pairs(&words)),
            "label" => made.labels.extend(pairs(&words)),
            "onbuild" => made.onbuild += 1,
            "volume" => made.volumes.extend(words),
            "user" => drop(made.once.insert("USER", words.concat())),
            "stopsignal" => drop(made.once.insert("STOPSIGNAL", words.concat())),
            "workdir" => {
                let at = made.once.get("WORKDIR").map_or("/", String::as_str);
                let to = workdir(at, &words.concat());
                made.once.insert("WORKDIR", to);
            }
            "healthcheck" => drop(made.once.insert("HEALTHCHECK", String::new())),
            "shell" => drop(made.once.insert("SHELL", words.join("\0"))),
            "cmd" => drop(made.once.insert("CMD", command(&instruction))),
            "entrypoint" => drop(made.once.insert("ENTRYPOINT", command(&instruction))),
            _ => {}
        }
    }
    made
}

fn pairs(words: &[String]) -> impl Iterator<Item = (String, String)> {
    words.chunks_exact(2).filter_map(|pair| match pair {
        [name, value] => Some((name.clone(), value.clone())),
        _ => None,
    })
}

/// The last word of an exec form, or the whole of a shell form: enough to see whether it is the config's.
fn command(instruction: &Instruction) -> String {
    instruction.args.last().cloned().unwrap_or_default()
}

/// A WORKDIR seen from the one before, lexically, as engines do (path.Join).
pub fn workdir(from: &str, to: &str) -> String {
    let mut parts: Vec<&str> = if to.starts_with('/') { Vec::new() } else { from.split('/').collect() };
    for part in to.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.retain(|p| !p.is_empty());
    format!("/{}", parts.join("/"))
}

fn tail(reversed: &mut Reversed, source: Option<String>, keyword: &str) {
    let unknown = match &source {
        Some(_) => vec![format!("which line set this {keyword}; only the config shows it")],
        None => {
            vec![format!("how to write {keyword} as the config has it; no Dockerfile line can hold it")]
        }
    };
    reversed.tail.push(Entry { source, unknown, ..Entry::default() });
}

fn env_and_labels(c: &ContainerConfig, made: &Made, reversed: &mut Reversed) {
    for (name, value) in c.env.iter().filter_map(|e| e.split_once('=')) {
        let default = name == "PATH" && value == DEFAULT_PATH && !made.env.contains_key(name);
        if made.env.get(name).map(String::as_str) != Some(value) && !default {
            tail(reversed, layout::pairs("env", &[(name.to_owned(), value.to_owned())]), "ENV");
        }
    }
    let configured: BTreeSet<&str> = c.env.iter().filter_map(|e| Some(e.split_once('=')?.0)).collect();
    for name in made.env.keys().filter(|n| !configured.contains(n.as_str())) {
        reversed.remarks.push(format!(
            "why the history sets ENV {} and the config doesn't have it",
            printable(name)
        ));
    }
    for (name, value) in &c.labels {
        if made.labels.get(name) != Some(value) && !ENGINE_LABELS.contains(&name.as_str()) {
            tail(reversed, layout::pairs("label", &[(name.clone(), value.clone())]), "LABEL");
        }
    }
    for name in made.labels.keys().filter(|n| !c.labels.contains_key(*n)) {
        reversed.remarks.push(format!(
            "why the history sets LABEL {} and the config doesn't have it",
            printable(name)
        ));
    }
}

fn singles(c: &ContainerConfig, made: &Made, whole: bool, reversed: &mut Reversed) {
    let shell = c.shell.clone().unwrap_or_else(blubr_dockerfile::default_shell);
    let last = |argv: &Option<Vec<String>>| argv.as_ref().and_then(|a| a.last().cloned());
    let workdir = made.once.get("WORKDIR").map_or("", String::as_str);
    let rows: [(&'static str, Option<String>, Option<String>); 7] = [
        ("USER", Some(c.user.clone()).filter(|u| !u.is_empty()), layout::one("user", &c.user)),
        (
            "WORKDIR",
            Some(c.working_dir.clone()).filter(|w| !w.is_empty() && (!workdir.is_empty() || w != "/")),
            layout::one("workdir", &c.working_dir),
        ),
        (
            "STOPSIGNAL",
            c.stop_signal.clone(),
            c.stop_signal.as_deref().and_then(|s| layout::one("stopsignal", s)),
        ),
        ("SHELL", c.shell.as_ref().map(|s| s.join("\0")), layout::exec("shell", &shell)),
        (
            "ENTRYPOINT",
            last(&c.entrypoint),
            c.entrypoint.as_ref().and_then(|a| layout::cmd("entrypoint", a, &shell)),
        ),
        ("CMD", last(&c.cmd), c.cmd.as_ref().and_then(|a| layout::cmd("cmd", a, &shell))),
        (
            "HEALTHCHECK",
            c.healthcheck.as_ref().map(|_| String::new()),
            c.healthcheck.as_ref().and_then(layout::healthcheck),
        ),
    ];
    for (keyword, configured, source) in rows {
        let said = made.once.get(keyword);
        match (configured, said) {
            (Some(value), said) if said != Some(&value) => tail(reversed, source, keyword),
            // An ENTRYPOINT resets an inherited CMD; and a line that couldn't be read may have reset anything.
            (None, Some(_)) if keyword != "CMD" && whole => {
                let why = format!("why the history sets {keyword} and the config doesn't have it");
                let why = match keyword {
                    "SHELL" | "HEALTHCHECK" => format!("{why} (OCI images can't keep it)"),
                    _ => why,
                };
                reversed.remarks.push(why);
            }
            _ => {}
        }
    }
}
