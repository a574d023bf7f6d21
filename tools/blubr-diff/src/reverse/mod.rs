//! A Dockerfile from an image's config and history.
//!
//! [`reverse`] walks the history of a classic, BuildKit or buildah image, line by line: [`line`] takes a line apart,
//! [`statement`] turns it into an instruction with the help of the config, [`layout`] writes it so that it reads back to the
//! same. What a line does not tell is said in a remark; what config and history say differently is said at the end.

mod base;
mod goquote;
mod layout;
mod line;
mod lossy;
mod reconcile;
mod statement;

use blubr_image::{Config, Digest};

pub use base::Boundary;
pub use layout::comment;
pub use line::Engine;

use line::Body;
use statement::Walk;

/// A Dockerfile that would make the image, as far as its history tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reversed {
    /// One for each line of the history, oldest first.
    pub entries: Vec<Entry>,
    /// Where the base image ends, where anything says so.
    pub base: Option<Boundary>,
    /// What the history as a whole doesn't tell, or tells differently from the config.
    pub remarks: Vec<String>,
    /// Instructions that the config shows and no history line; behind all entries.
    pub tail: Vec<Entry>,
}

/// What one history line gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the config's history, from 0; `None` for what comes from the config.
    pub history: Option<usize>,
    /// Who wrote it.
    pub engine: Option<&'static str>,
    /// The layer that it made.
    pub layer: Option<Digest>,
    /// Dockerfile source; `None` where no instruction can be given.
    pub source: Option<String>,
    /// What isn't known, safe to print.
    pub unknown: Vec<String>,
    /// Build arguments that a RUN was given.
    pub build_args: Vec<(String, String)>,
}

/// Reverses an image. `base`: the config of the image that it was made from, where that is known.
pub fn reverse(config: &Config, base: Option<&Config>) -> Reversed {
    let mut reversed = Reversed::default();
    let layers = match config.layers_of_history() {
        Ok(layers) => layers,
        Err(error) => {
            reversed.remarks.push(format!("{}; it was squashed or rewritten, and no layer can be told from a line", comment(&error.to_string())));
            vec![None; config.history.len()]
        }
    };
    let engines = engines(config);
    let mut walk = Walk { config, shell: blubr_dockerfile::default_shell(), args: Vec::new(), last_of_kind: false };
    let last_healthcheck = config.history.iter().rposition(|h| h.created_by.contains("HEALTHCHECK "));
    for (at, history) in config.history.iter().enumerate() {
        let engine = engines.get(at).copied().unwrap_or(Engine::Classic);
        walk.last_of_kind = last_healthcheck == Some(at);
        let shell = walk.shell.join(" ");
        let line = line::recognise(&history.created_by, &history.comment, &shell);
        let layer = layers.get(at).copied().flatten().and_then(|l| config.diff_ids().get(l)).cloned();
        let mut entry = Entry { history: Some(at), engine: Some(engine.name()), layer, ..Entry::default() };
        match line.body {
            Body::Instruction(keyword, rest) => {
                let done = walk.instruction(engine, keyword, rest);
                (entry.source, entry.unknown) = (done.source, done.unknown);
            }
            Body::Command(text) => {
                let (done, given) = walk.command(engine, text);
                (entry.source, entry.unknown, entry.build_args) = (done.source, done.unknown, given);
            }
            Body::Unknown if engine == Engine::Classic && entry.layer.is_some() && !history.created_by.trim().is_empty() => {
                let (done, given) = walk.command(engine, &history.created_by);
                (entry.source, entry.unknown, entry.build_args) = (done.source, done.unknown, given);
                entry.unknown.push("whether this is a RUN or a container that was committed".to_owned());
            }
            Body::Unknown => {}
        }
        if entry.source.is_none() {
            entry.unknown.push(nameless(&history.created_by, &history.comment, entry.layer.as_ref()));
        }
        reversed.entries.push(entry);
    }
    give_args_their_values(&mut reversed.entries);
    reversed.base = base::boundary(config, &engines, base);
    reconcile::reconcile(config, &mut reversed);
    reversed
}

/// What to say of a line that is no instruction.
fn nameless(created_by: &str, said: &str, layer: Option<&Digest>) -> String {
    /// Characters of a history line that a remark repeats.
    const SHOWN_CHARS_MAX: usize = 2000;
    let made = layer.map_or_else(|| "made no layer".to_owned(), |l| format!("made layer {l}"));
    let text = if created_by.trim().is_empty() { said } else { created_by };
    if text.trim().is_empty() {
        return format!("which instruction {made}; the history line is empty");
    }
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("which instruction {made}; the history says: {}", comment(&shown))
}

/// Who wrote each line: what the line shows, else its neighbours, earlier ones first.
fn engines(config: &Config) -> Vec<Engine> {
    let shown: Vec<Option<Engine>> = config
        .history
        .iter()
        .map(|h| {
            // The shell in force isn't known yet; a line of another one is read as its own first words say.
            let shell = h.created_by.split_once(" #(nop) ").map_or("/bin/sh -c", |(shell, _)| shell);
            line::recognise(&h.created_by, &h.comment, shell).engine
        })
        .collect();
    let first = shown.iter().copied().flatten().next().unwrap_or(Engine::Classic);
    let mut current = first;
    shown
        .into_iter()
        .map(|engine| {
            current = engine.unwrap_or(current);
            current
        })
        .collect()
}

/// buildah's ARG lines have no values; the first RUN behind one has.
fn give_args_their_values(entries: &mut [Entry]) {
    for at in 0..entries.len() {
        let Some(name) = entries.get(at).and_then(|e| e.source.as_deref()?.strip_prefix("ARG ")).map(str::to_owned) else {
            continue;
        };
        if name.contains('=') || entries.get(at).is_none_or(|e| e.engine != Some(Engine::Buildah.name())) {
            continue;
        }
        let given = entries.iter().skip(at).find_map(|e| e.build_args.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone()));
        if let (Some(value), Some(entry)) = (given, entries.get_mut(at))
            && let Some(source) = layout::arg(&name, Some(&value))
        {
            entry.source = Some(source);
        }
    }
}

#[cfg(test)]
mod tests;
