//! The flags that each instruction has, and what may be their values: BuildKit's `BFlags` and `commands_run*.go`.

use crate::duration::nanoseconds;
use crate::error::{Flaw, Weight, excerpt};
use crate::gotext::parse_bool;
use crate::instruction::Instruction;

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing, `true` or `false`.
    Bool,
    /// A value, once.
    One,
    /// A value, any number of times.
    Many,
}

const FILES: &[(&str, Kind)] =
    &[("chown", Kind::One), ("chmod", Kind::One), ("link", Kind::Bool), ("exclude", Kind::Many)];
const COPY: &[(&str, Kind)] = &[("from", Kind::One), ("parents", Kind::Bool)];
const ADD: &[(&str, Kind)] =
    &[("keep-git-dir", Kind::Bool), ("checksum", Kind::One), ("unpack", Kind::Bool)];
const RUN: &[(&str, Kind)] =
    &[("mount", Kind::Many), ("device", Kind::Many), ("network", Kind::One), ("security", Kind::One)];
const HEALTHCHECK: &[(&str, Kind)] = &[
    ("interval", Kind::One),
    ("timeout", Kind::One),
    ("start-period", Kind::One),
    ("start-interval", Kind::One),
    ("retries", Kind::One),
];

fn known(i: &Instruction) -> [&'static [(&'static str, Kind)]; 2] {
    match i.keyword.as_str() {
        "copy" => [FILES, COPY],
        "add" => [FILES, ADD],
        "run" => [RUN, &[]],
        "from" => [&[("platform", Kind::One)], &[]],
        "healthcheck" => [HEALTHCHECK, &[]],
        _ => [&[], &[]],
    }
}

/// Whether BuildKit looks at the flags at all.
fn is_checked(i: &Instruction) -> bool {
    match i.keyword.as_str() {
        "arg" | "stopsignal" => false,
        "healthcheck" => !i.args.first().is_some_and(|kind| kind.eq_ignore_ascii_case("none")),
        _ => true,
    }
}

/// The first thing that is wrong with the flags.
pub(crate) fn check_flags(i: &Instruction) -> Result<(), Flaw> {
    if !is_checked(i) {
        return Ok(());
    }
    let known = known(i);
    let mut used: Vec<&str> = Vec::new();
    let mut unknown = None;
    for (flag, at) in i.flags.iter().zip(&i.flags_at) {
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag.as_str(), None),
        };
        let bare = name.strip_prefix("--").unwrap_or(name);
        let flaw = |what: String, advice| Flaw::new(*at, what, advice);
        let Some((bare, kind)) = known.iter().copied().flatten().find(|(n, _)| *n == bare) else {
            let what = format!("{} has no flag {}", i.keyword.to_uppercase(), excerpt(name));
            let advice = "take one that its reference names";
            unknown.get_or_insert(flaw(what, advice).weighs(Weight::UnknownFlag));
            continue;
        };
        if *kind != Kind::Many && used.contains(bare) {
            return Err(flaw(format!("{name} stands here twice"), "leave one out"));
        }
        used.push(bare);
        match (kind, value) {
            (Kind::Bool, Some(value)) if !matches!(value.to_lowercase().as_str(), "true" | "false") => {
                let what = format!("{name} takes true or false, not \"{}\"", excerpt(value));
                return Err(flaw(what, "write true, false, or no value"));
            }
            (Kind::One | Kind::Many, None) => {
                return Err(flaw(format!("{name} without a value"), "write it as --name=value"));
            }
            _ => {}
        }
        check_value(bare, value.unwrap_or_default()).map_err(|(what, advice)| flaw(what, advice))?;
    }
    unknown.map_or(Ok(()), Err)
}

/// What a value must look like before variables are replaced.
fn check_value(name: &str, value: &str) -> Result<(), (String, &'static str)> {
    let shown = || excerpt(value);
    match name {
        "network" if !matches!(value, "default" | "none" | "host") => {
            Err((format!("no network \"{}\"", shown()), "take default, none or host"))
        }
        "security" if !matches!(value, "insecure" | "sandbox") => {
            Err((format!("no security \"{}\"", shown()), "take insecure or sandbox"))
        }
        "mount" | "device" => {
            let fields = fields(value).ok_or_else(|| {
                (format!("--{name} that is no list: \"{}\"", shown()), "put commas between its parts")
            })?;
            let variable = |field: &&String| {
                field.split_once('=').is_some_and(|(key, from)| {
                    key.eq_ignore_ascii_case("from")
                        && from.find('$').is_some_and(|at| at + 1 < from.len())
                })
            };
            if name == "device" {
                return check_device(&fields);
            }
            match fields.iter().find(variable) {
                Some(_) => Err((
                    "--mount takes no variable for from".to_owned(),
                    "give the image a stage of its own, and name that",
                )),
                None => Ok(()),
            }
        }
        "interval" | "timeout" | "start-period" | "start-interval" => match nanoseconds(value) {
            _ if value.is_empty() => Ok(()),
            Some(0 | 1_000_000..) => Ok(()),
            Some(_) => Err((format!("--{name} of less than 1 ms"), "take 1ms or more, or 0")),
            None => Err((format!("no duration: \"{}\"", shown()), "write it as 30s or 1m30s")),
        },
        "retries" if !value.is_empty() && value.parse::<i32>().is_ok_and(|n| n < 0) => {
            Err(("--retries below 0".to_owned(), "take 0 or more"))
        }
        "retries" if !value.is_empty() && value.parse::<i32>().is_err() => {
            Err((format!("no number: \"{}\"", shown()), "take a whole number"))
        }
        _ => Ok(()),
    }
}

/// What a device must look like: a name, and whether it is required (`ParseDevice`).
fn check_device(fields: &[String]) -> Result<(), (String, &'static str)> {
    let advice = "write it as NAME, or NAME,required";
    let mut named = false;
    for field in fields {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value)),
            None => (field.to_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("required", None) => {}
            ("required", Some(value)) if parse_bool(value).is_some() => {}
            ("name", Some(_)) | (_, None) if !named => named = true,
            (other, _) if other != "required" && !named => named = true,
            _ => return Err((format!("no device: \"{}\"", excerpt(field)), advice)),
        }
    }
    Ok(())
}

/// One line of comma-separated values, as `encoding/csv` reads it; nothing where it refuses.
pub(crate) fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    if rest.is_empty() {
        return None;
    }
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, behind) = match rest.split_once(',') {
                Some((field, behind)) => (field, Some(behind)),
                None => (rest, None),
            };
            if field.contains('"') {
                return None;
            }
            fields.push(field.to_owned());
            match behind {
                Some(behind) => rest = behind,
                None => return Some(fields),
            }
            continue;
        };
        rest = quoted;
        let mut field = String::new();
        loop {
            let (piece, behind) = rest.split_once('"')?;
            field.push_str(piece);
            rest = behind;
            match rest.strip_prefix('"') {
                Some(behind) => {
                    field.push('"');
                    rest = behind;
                }
                None => break,
            }
        }
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if rest.is_empty() => return Some(fields),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        for good in ["a.example/b=c", "a.example/b,required", "name=a,required=true", "required"] {
            assert_eq!(check_value("device", good), Ok(()), "{good}");
        }
        for bad in ["a,b", "a=b,name=c", "a,required=maybe", "a,b=c"] {
            assert!(check_value("device", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists() {
        let of = |line: &str| fields(line).map(|f| f.join("|"));
        assert_eq!(of("type=bind,target=/x").as_deref(), Some("type=bind|target=/x"));
        assert_eq!(of(r#""a,b",c"#).as_deref(), Some("a,b|c"));
        assert_eq!(of(r#""a""b""#).as_deref(), Some(r#"a"b"#));
        assert_eq!(of("a,").as_deref(), Some("a|"));
        for bad in ["", r#"a"b"#, r#""a"b"#, r#""a"#] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
