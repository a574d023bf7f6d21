//! What BuildKit refuses in an instruction that its parser has passed: `instructions.Parse`.

use crate::error::{Flaw, Weight, excerpt};
use crate::flags::check_flags;
use crate::gotext::lower;
use crate::heredoc::heredoc_of;
use crate::instruction::Instruction;

type Checked = Result<(), Flaw>;

/// The first thing that is wrong with an instruction. `any_keyword`: the file asks for a frontend of its own, which may know
/// more keywords than Docker's.
pub(crate) fn check(i: &Instruction, any_keyword: bool) -> Checked {
    if !i.is_known() {
        if any_keyword {
            return Ok(());
        }
        let what = format!("unknown instruction {}", excerpt(&i.word));
        return Err(Flaw::new(i.keyword_at, what, "spell it as Docker's reference does"));
    }
    check_count(i)?;
    check_flags(i)?;
    match i.keyword.as_str() {
        "copy" | "add" => check_files(i),
        "env" | "label" | "arg" => check_names(i),
        "shell" => check_shell(i),
        "from" => check_from(i),
        "healthcheck" => check_healthcheck(i),
        "volume" => match i.args.iter().position(|word| word.trim().is_empty()) {
            Some(_) => Err(Flaw::new(i.rest_at, "VOLUME with an empty path", "name a directory")),
            None => Ok(()),
        },
        "onbuild" => check_onbuild(i),
        _ => Ok(()),
    }
}

/// How many words an instruction must have.
fn check_count(i: &Instruction) -> Checked {
    let needs = match i.keyword.as_str() {
        "copy" | "add" => 2,
        "env" | "label" | "arg" | "expose" | "volume" | "maintainer" | "stopsignal" | "user"
        | "workdir" | "healthcheck" | "shell" | "onbuild" | "from" => 1,
        _ => 0,
    };
    if i.args.len() >= needs {
        return Ok(());
    }
    let name = i.keyword.to_uppercase();
    let (what, advice) = match i.keyword.as_str() {
        "copy" | "add" => ("a source and a destination", "write both, the destination last"),
        "from" => ("an image or a stage", "write FROM IMAGE, or FROM IMAGE AS NAME"),
        "onbuild" => ("an instruction", "write the instruction behind it"),
        "healthcheck" => ("NONE or CMD", "write HEALTHCHECK CMD COMMAND, or HEALTHCHECK NONE"),
        "env" | "label" => ("a name and a value", "write name=value"),
        _ => ("an argument", "write one behind it"),
    };
    let flaw = Flaw::new(i.keyword_at, format!("{name} needs {what}"), advice);
    let bare = i.args.is_empty() && !i.json_form && i.flags.is_empty();
    Err(if bare { flaw.weighs(Weight::Unfinished) } else { flaw })
}

fn check_files(i: &Instruction) -> Checked {
    let Some(last) = i.args.last() else { return Ok(()) };
    if matches!(heredoc_of(last), Ok(Some(_))) {
        let what = format!("{} with a heredoc for its destination", i.keyword.to_uppercase());
        return Err(Flaw::new(i.arg_at(i.args.len() - 1), what, "write the path behind the heredocs"));
    }
    Ok(())
}

fn check_names(i: &Instruction) -> Checked {
    let blank = if i.keyword == "arg" {
        i.args.iter().position(|word| word.starts_with('=')).map(|at| i.arg_at(at))
    } else {
        // Its place is that of the `=`.
        let pair = i.pairs().position(|(name, _)| name.is_empty());
        pair.map(|pair| i.arg_at(pair * 2 + 1).saturating_sub(1))
    };
    match blank {
        None => Ok(()),
        Some(at) => {
            let what = format!("{} with an empty name", i.keyword.to_uppercase());
            Err(Flaw::new(at, what, "write name=value"))
        }
    }
}

fn check_shell(i: &Instruction) -> Checked {
    if i.json_form {
        return Ok(());
    }
    let advice = "write it as [\"executable\", \"parameter\"]";
    Err(Flaw::new(i.rest_at, "SHELL takes a JSON array", advice))
}

fn check_from(i: &Instruction) -> Checked {
    /// `strings.EqualFold(_, "as")`: the long s is one too.
    fn is_as(word: &str) -> bool {
        word.to_lowercase().replace('\u{17f}', "s") == "as"
    }
    match i.args.as_slice() {
        [_] => Ok(()),
        [_, word, name] if is_as(word) => {
            let mut chars = name.chars().filter_map(|c| c.to_lowercase().next());
            let first = chars.next().is_some_and(|c| c.is_ascii_lowercase());
            let good = first
                && chars.all(|c| {
                    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.')
                });
            if good {
                return Ok(());
            }
            let what = format!("\"{}\" can't name a stage", excerpt(name));
            Err(Flaw::new(i.arg_at(2), what, "take a letter, then letters, digits, - _ and ."))
        }
        words => {
            let what = "FROM takes one argument, or three";
            let at = i.arg_at(words.len().min(2) - 1);
            Err(Flaw::new(at, what, "write FROM IMAGE, or FROM IMAGE AS NAME"))
        }
    }
}

fn check_healthcheck(i: &Instruction) -> Checked {
    let advice = "write HEALTHCHECK CMD COMMAND, or HEALTHCHECK NONE";
    let kind = i.args.first().map(|kind| kind.to_uppercase());
    let flaw = |what: String| Err(Flaw::new(i.rest_at, what, advice));
    match kind.as_deref() {
        Some("NONE") if i.args.len() > 1 => flaw("HEALTHCHECK NONE takes no arguments".to_owned()),
        Some("CMD") if i.args.len() < 2 => {
            let flaw = Flaw::new(i.rest_at, "HEALTHCHECK CMD needs a command", advice);
            Err(flaw.weighs(Weight::Unfinished))
        }
        Some("NONE" | "CMD") => Ok(()),
        other => flaw(format!(
            "HEALTHCHECK takes NONE or CMD, not \"{}\"",
            excerpt(other.unwrap_or_default())
        )),
    }
}

fn check_onbuild(i: &Instruction) -> Checked {
    let name = i.args.first().map(|word| word.trim().to_uppercase()).unwrap_or_default();
    if matches!(name.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
        let what = format!("{name} can't stand in an ONBUILD");
        return Err(Flaw::new(i.rest_at, what, "take another instruction for the trigger"));
    }
    Ok(())
}

/// Whether a `syntax` directive names Docker's own frontend, whose keywords are known.
pub(crate) fn is_dockers_own(syntax: &str) -> bool {
    let image = lower(syntax.split(' ').next().unwrap_or_default());
    let image = image.strip_prefix("docker.io/").unwrap_or(&image);
    let repository = image.split(['@', ':']).next().unwrap_or_default();
    matches!(repository, "docker/dockerfile" | "docker/dockerfile-upstream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_frontends() {
        for own in
            ["docker/dockerfile", "docker/dockerfile:1-labs", "docker.io/docker/dockerfile@sha256:0 x"]
        {
            assert!(is_dockers_own(own), "{own}");
        }
        for other in ["example/frontend", "docker/dockerfilex", "localhost:5000/docker/dockerfile"] {
            assert!(!is_dockers_own(other), "{other}");
        }
    }
}
