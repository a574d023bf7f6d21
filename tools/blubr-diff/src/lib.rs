//! Compare attestations with each other and with images.
//!
//! [`cli`] has the flags as typed. [`reverse`] makes a Dockerfile of an image's history; [`compare`] puts two records, or a
//! record and an image, side by side, a file a subject; [`normalise`] takes away what differs between two runs of the same
//! build; [`output`] prints.
//!
//! This tool must never write into an attestation or an image, nor say "the same" of something that it did not look at.

mod attestation;
pub mod cli;
pub mod compare;
mod detail;
pub mod normalise;
pub mod output;
mod plan;
pub mod record;
pub mod reverse;
pub mod severity;
mod source;

use std::io::Write as _;
use std::path::Path;

use blubr_cli::{Common, Exit, Failure, Input, Output};

use cli::{Command, Compare, Flags};
use compare::{Checker, Found, History, ImageSide};
use detail::Detail;
use normalise::Rules;
use output::report::Style;
use plan::Plan;

/// Bytes of a Dockerfile that is read.
const DOCKERFILE_BYTES_MAX: u64 = blubr_dockerfile::limits::FILE_BYTES_MAX as u64;

/// Runs the tool.
///
/// # Errors
/// When an input can't be read or the output can't be written.
pub fn run(flags: Flags) -> Result<Exit, Failure> {
    match &flags.command {
        Some(Command::Reverse(reverse)) => run_reverse(reverse),
        None => match plan::plan(&flags.compare)? {
            Plan::Two(old, new) => run_two(old, new, &flags.compare, &flags.common),
            Plan::Image(one, image) => run_image(one, image, &flags.compare, &flags.common),
        },
    }
}

fn run_two(old: &Path, new: &Path, flags: &Compare, common: &Common) -> Result<Exit, Failure> {
    let keys = attestation::keys(flags)?;
    let mut details = details(flags, &keys)?;
    let a = attestation::open(old, &keys, &mut details)?;
    let b = attestation::open(new, &keys, &mut details)?;
    details.iter().try_for_each(Detail::was_used)?;
    let mut rules = Rules::new(flags.strict);
    let found = compare::compare(&a, &b, &mut rules, &flags.only);
    tell(&found, &rules, (&old.to_string_lossy(), &new.to_string_lossy()), flags, common)
}

/// The detail files that the flags name.
fn details(flags: &Compare, keys: &[blubr_envelope::SecretKey]) -> Result<Vec<Detail>, Failure> {
    flags.detail.iter().map(|path| Detail::open(path, keys)).collect()
}

fn run_image(one: &Path, image: &str, flags: &Compare, common: &Common) -> Result<Exit, Failure> {
    let keys = attestation::keys(flags)?;
    let mut details = details(flags, &keys)?;
    let record = attestation::open(one, &keys, &mut details)?;
    details.iter().try_for_each(Detail::was_used)?;
    let build = record.build();
    let file = match &flags.dockerfile {
        Some(path) => Some(Input::open(Some(path))?.read_to_end(DOCKERFILE_BYTES_MAX)?),
        None => None,
    };
    let recorded = History::new(build, file.as_deref());
    if let (Err(why), Some(path)) = (&recorded, &flags.dockerfile) {
        return Err(Failure::new(why).at(path.display()));
    }
    let mut opened = source::open(image)?;
    let wanted = flags.only.is_empty() || flags.only.contains(&cli::Subject::Files);
    let ids = opened.image.config.diff_ids().to_vec();
    let mut checker = Checker::new(&record, &ids).filter(|_| !flags.no_layers && wanted);
    if let Some(checker) = &mut checker {
        for (index, id) in ids.iter().enumerate() {
            if checker.wants(id.as_str()) {
                opened.each_entry(index, |entry| checker.entry(id.as_str(), entry))?;
            }
        }
    }
    let reversed = reverse::reverse(&opened.image.config, None, &compare::given(build));
    let side = ImageSide { image: &opened.image, reversed: &reversed, files: checker };
    let mut found = compare::against_image(
        &record.statement,
        side,
        recorded.as_ref().map_err(String::as_str),
        &flags.only,
    );
    if !wanted {
        // Not asked for.
    } else if let Some(file) = &record.elsewhere {
        found.not_compared.push(format!("the files: they are in {file} (--detail)"));
    } else if record.files.is_none() {
        found.not_compared.push("the files: the record was made without the image".to_owned());
    } else if flags.no_layers {
        found.not_compared.push("the files: --no-layers".to_owned());
    }
    tell(&found, &Rules::new(false), (&one.to_string_lossy(), image), flags, common)
}

/// Prints what was found; the answer is the exit status.
fn tell(
    found: &Found,
    rules: &Rules,
    (old, new): (&str, &str),
    flags: &Compare,
    common: &Common,
) -> Result<Exit, Failure> {
    if !common.quiet {
        let style = Style { color: common.color.for_stdout(), explain: flags.explain };
        let text = match flags.json {
            true => output::json::print(found, rules, old, new),
            false => output::report::print(found, rules, style),
        };
        write(None, &text)?;
    }
    if found.differences.is_empty() && found.same.is_empty() {
        // "Nothing differs" would be true of any two records that hold nothing.
        let what = "nothing of what was asked for could be compared";
        return Err(Failure::new(what).at(old).advise("see the lines 'not compared'"));
    }
    Ok(if found.differences.is_empty() { Exit::Done } else { Exit::No })
}

fn write(path: Option<&Path>, text: &str) -> Result<(), Failure> {
    let mut out = Output::create(path)?;
    let name = out.name().to_owned();
    out.write_all(text.as_bytes()).map_err(|e| Failure::io(&name, &e))?;
    out.commit()
}

fn run_reverse(flags: &cli::Reverse) -> Result<Exit, Failure> {
    let mut opened = source::open(&flags.image)?;
    let base = flags.base.as_deref().map(source::open).transpose()?;
    let files = if flags.files { Some(opened.files()?) } else { None };
    let config = &opened.image.config;
    let reversed = reverse::reverse(config, base.as_ref().map(|b| &b.image.config), &[]);
    if base.is_some() && reversed.base.is_none() {
        let what = "was not made from the image given by --base: layers or history differ";
        return Err(Failure::no(what).at(&flags.image));
    }
    let text = output::dockerfile::print(&reversed, config, &flags.image, files.as_ref());
    write(flags.output.as_deref(), &text)?;
    Ok(Exit::Done)
}
