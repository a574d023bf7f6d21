//! A Dockerfile from an image's config and history.
//!
//! [`reverse`] walks the history of a classic, BuildKit or buildah image, line by line: [`line`] takes a line apart,
//! `statement` turns it into an instruction with the help of the config, `layout` writes it so that it reads back to the
//! same. What a line does not tell is said in a remark; what config and history say differently is said at the end.

mod arguments;
mod base;
mod goquote;
mod layout;
mod line;
mod lossy;
mod reconcile;
mod statement;

use std::collections::BTreeMap;

use blubr_cli::printable;
use blubr_dockerfile::fronts;
use blubr_image::{Config, Digest};

pub use base::Boundary;
pub use layout::parse_one;
pub use line::Engine;
pub use reconcile::workdir;

use arguments::Arguments;
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
    /// Whether it is an ARG whose name the line does not tell.
    pub nameless_arg: bool,
    /// What isn't known, safe to print.
    pub unknown: Vec<String>,
    /// What is known and the source can't say, safe to print.
    pub notes: Vec<String>,
    /// Build arguments that a RUN was given.
    pub build_args: Vec<(String, String)>,
}

/// An instruction that is longer than a line may be was none, in bytes.
const INSTRUCTION_BYTES_MAX: usize = blubr_dockerfile::limits::LINE_BYTES_MAX;
/// A command may have many lines; one that is longer than this is not taken apart, in bytes. execve(2) takes 128 KiB.
const COMMAND_BYTES_MAX: usize = 1 << 20;

/// Reverses an image. `base`: the config of the image that it was made from, where that is known. `given`: names and values of
/// build arguments that the build's command gave, where that is known.
pub fn reverse(config: &Config, base: Option<&Config>, given: &[(String, String)]) -> Reversed {
    let mut reversed = Reversed::default();
    let layers = match config.layers_of_history() {
        Ok(layers) => layers,
        Err(error) => {
            reversed.remarks.push(format!(
                "{}; it was squashed or rewritten, and no layer can be told from a line",
                printable(&error.to_string())
            ));
            vec![None; config.history.len()]
        }
    };
    let engines = engines(config);
    let (mut entries, told) = entries(config, &engines, &layers, Arguments::given(given));
    // A later line may tell where a value ends that an earlier one leaves open.
    if let Some(told) = told.again() {
        (entries, _) = self::entries(config, &engines, &layers, told);
    }
    reversed.entries = give_args_their_values(entries);
    reversed.base = base::boundary(config, &engines, base);
    reconcile::reconcile(config, &mut reversed);
    reversed
}

/// One for each line, and what they told of build arguments.
fn entries(
    config: &Config,
    engines: &[Engine],
    layers: &[Option<usize>],
    arguments: Arguments,
) -> (Vec<Entry>, Arguments) {
    let mut entries = Vec::with_capacity(config.history.len());
    let mut walk = Walk::new(config, arguments);
    let last_healthcheck = config.history.iter().rposition(|h| h.created_by.contains("HEALTHCHECK "));
    for (at, history) in config.history.iter().enumerate() {
        let engine = engines.get(at).copied().unwrap_or(Engine::Classic);
        walk.last_of_kind = last_healthcheck == Some(at);
        let shell = walk.shell.join(" ");
        let line = line::recognise(history.instruction(), &history.comment, &shell);
        let layer = layers.get(at).copied().flatten().and_then(|l| config.diff_ids().get(l)).cloned();
        let mut entry =
            Entry { history: Some(at), engine: Some(engine.name()), layer, ..Entry::default() };
        match line.body {
            Body::Instruction(_, rest) if rest.len() > INSTRUCTION_BYTES_MAX => {}
            Body::Command(text) if text.len() > COMMAND_BYTES_MAX => {}
            Body::Instruction(keyword, rest) => {
                let done = walk.instruction(engine, keyword, rest);
                (entry.source, entry.unknown) = (done.source, done.unknown);
                entry.nameless_arg = done.nameless_arg;
            }
            Body::Command(text) => {
                let (done, given) = walk.command(engine, text);
                (entry.source, entry.unknown, entry.build_args) = (done.source, done.unknown, given);
            }
            Body::Unknown
                if history.created_by.len() <= COMMAND_BYTES_MAX
                    && engine == Engine::Classic
                    && !history.created_by.starts_with('#')
                    && entry.layer.is_some()
                    && !history.created_by.trim().is_empty() =>
            {
                let (done, given) = walk.command(engine, history.instruction());
                (entry.source, entry.unknown, entry.build_args) = (done.source, done.unknown, given);
                entry.unknown.push("whether this is a RUN or a container that was committed".to_owned());
            }
            Body::Unknown => {}
        }
        if entry.source.is_none() && !entry.nameless_arg {
            entry.unknown.push(nameless(&history.created_by, &history.comment, entry.layer.as_ref()));
        }
        entries.push(entry);
    }
    (entries, walk.args)
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
    format!("which instruction {made}; the history says: {}", printable(&shown))
}

/// Who wrote each line: what the line shows, else its neighbours, earlier ones first.
fn engines(config: &Config) -> Vec<Engine> {
    let shown: Vec<Option<Engine>> = config
        .history
        .iter()
        .map(|h| {
            // The shell in force isn't known yet; a line of another one is read as its own first words say.
            let shell = fronts::before_mark(&h.created_by).unwrap_or("/bin/sh -c");
            line::recognise(h.instruction(), &h.comment, shell).engine
        })
        .collect();
    // One marked line makes its unmarked neighbours BuildKit's too.
    let buildkit = shown.contains(&Some(Engine::BuildKit));
    let shown = shown
        .into_iter()
        .map(|e| if buildkit && e == Some(Engine::AsWritten) { Some(Engine::BuildKit) } else { e });
    let shown: Vec<Option<Engine>> = shown.collect();
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

/// Undoes `|N NAME=value`: an ARG line without a value gets the one that a RUN behind it was given, and a RUN whose arguments
/// no line declares gets ARG lines in front.
fn give_args_their_values(entries: Vec<Entry>) -> Vec<Entry> {
    let mut done: Vec<Entry> = Vec::with_capacity(entries.len());
    let mut declared: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries {
        for (name, value) in &entry.build_args {
            match declared.get(name).and_then(|at| done.get_mut(*at)) {
                Some(arg) => give(arg, name, value),
                None if arguments::PREDEFINED.contains(&name.as_str()) => {}
                None => {
                    let source = layout::arg(name, Some(value));
                    let mut added = Entry { source, ..Entry::default() };
                    added.notes.push(format!(
                        "{}: declared by no line of the history, given to the next RUN",
                        printable(name)
                    ));
                    declared.insert(name.clone(), done.len());
                    done.push(added);
                }
            }
        }
        if let Some((name, _)) = declares(&entry) {
            declared.insert(name, done.len());
        }
        done.push(entry);
    }
    done
}

/// The name that an ARG entry declares, and its value.
fn declares(entry: &Entry) -> Option<(String, Option<String>)> {
    let source = entry.source.as_deref().filter(|s| s.starts_with("ARG "))?;
    let instruction = layout::parse_one(source)?;
    let word = blubr_dockerfile::Scope::new('\\', BTreeMap::new()).step(&instruction).ok()?.pop()?;
    Some(match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (word, None),
    })
}

/// Puts a RUN's value of a build argument to its ARG line.
fn give(arg: &mut Entry, name: &str, value: &str) {
    match declares(arg) {
        Some((_, None)) => {
            let Some(source) = layout::arg(name, Some(value)) else { return };
            arg.source = Some(source);
            if arg.engine == Some(Engine::Buildah.name()) {
                arg.unknown
                    .push("whether this value is the default or was given by --build-arg".to_owned());
            } else {
                arg.notes.push("the value was given by --build-arg".to_owned());
            }
        }
        Some((_, Some(default))) if default != value => {
            let note = format!("--build-arg gave {}", printable(value));
            if !arg.notes.contains(&note) {
                arg.notes.push(note);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
