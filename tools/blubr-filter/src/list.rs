//! `--build list`: the builds of a log, one a line.

use std::io::Write as _;

use blubr_build::{Build, Ended, NoBuild, RunKind};
use blubr_cli::{Exit, Failure, Input, Output, printable};

use crate::plan::Listing;
use crate::{select, stream};

/// Prints the builds; exit 1 if there is none.
pub(crate) fn print(listing: &Listing) -> Result<Exit, Failure> {
    let input = Input::open(listing.log.as_deref())?;
    let name = input.name().to_owned();
    let (builds, summary) = select::find(input, &name)?;
    if builds.builds.is_empty() {
        let why = if builds.orphans > 0 { NoBuild::NoClient(builds.orphans) } else { NoBuild::None };
        return Err(Failure::no(why).at(&name));
    }
    let mut output = Output::create(None)?;
    let mut text = String::from("N\tENGINE\tCLIENT\tBEGAN\tSTEPS\tEXIT\tCOMMAND\n");
    for build in &builds.builds {
        text.push_str(&line(build));
    }
    output.write_all(text.as_bytes()).map_err(|e| Failure::io(output.name(), &e))?;
    output.commit()?;
    stream::say_cut(&summary, &name, &listing.common);
    if builds.orphans > 0 {
        let what = format!("{} more containers ran for no client that was seen", builds.orphans);
        listing.common.note(crate::TOOL, format_args!("{name}: {what}"));
    }
    Ok(Exit::Done)
}

fn line(build: &Build) -> String {
    let runs = build.runs.iter().filter(|run| run.kind == RunKind::Run).count();
    let shared = build.runs.iter().filter(|run| run.shared).count();
    let mut steps = format!("{} ({runs} run", build.runs.len());
    if shared > 0 {
        steps.push_str(&format!(", {shared} shared"));
    }
    steps.push(')');
    let exit = match build.exit {
        Some(Ended { code: Some(code), .. }) => code.to_string(),
        Some(Ended { signal: Some(signal), .. }) => format!("signal {signal}"),
        _ => "-".to_owned(),
    };
    let command: Vec<String> = build.argv.iter().map(|word| quoted(word)).collect();
    format!(
        "{}\t{}\t{}\t{}\t{steps}\t{exit}\t{}\n",
        build.number,
        build.engine.name(),
        build.client,
        build.began.time,
        command.join(" ")
    )
}

/// A word as a shell takes it, where it is not plain.
fn quoted(word: &[u8]) -> String {
    let text = String::from_utf8_lossy(word);
    let text = printable(&text);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        assert_eq!(quoted(b"docker"), "docker");
        assert_eq!(quoted(b"a b"), "'a b'");
        assert_eq!(quoted(b"it's\n"), "'it'\\''s\\n'");
        assert_eq!(quoted(b""), "''");
    }
}
