//! What engines put in front of an instruction where they write it down: of a RUN's command `|N NAME=value NAME=value COMMAND`,
//! quotes gone, and of what runs none `SHELL #(nop) INSTRUCTION`.
//!
//! Docker's classic builder (`prependEnvOnCmd` in moby's builder/dockerfile/dispatchers.go) and BuildKit (`runCommandString`
//! in frontend/dockerfile/dockerfile2llb/convert.go) count arguments, and join all by spaces. buildah counts words.

/// Arguments in front of a command; engines' own have fewer.
const ARGUMENTS_MAX: usize = 1024;
/// Readings of one text that are followed.
const READINGS_MAX: usize = 16;

/// One reading of such a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<'t> {
    /// Names and values.
    pub arguments: Vec<(&'t str, &'t str)>,
    /// What stands behind them.
    pub command: &'t str,
}

/// What parts the shell and the instruction of a line that ran no command.
const NO_COMMAND: &str = " #(nop) ";
/// The shell that is in force unless a SHELL names another.
const DEFAULT_SHELL: &str = "/bin/sh -c";

/// The shell in front of an instruction that ran no command, and the instruction, where a text is `SHELL #(nop) INSTRUCTION`:
/// with one of `shells`, the default one, or the one that the instruction itself sets. (A command may hold the same words.)
///
/// The classic builder writes the shell in force (`withCmdComment` and `withCmdCommentString` in moby's
/// builder/dockerfile/internals.go), buildah always the default one (`StageExecutor.getCreatedBy`).
#[must_use]
pub fn without_command<'t>(text: &'t str, shells: &[&str]) -> Option<(&'t str, &'t str)> {
    let (shell, instruction) = text.split_once(NO_COMMAND)?;
    let is_one = shell == DEFAULT_SHELL || shells.contains(&shell);
    (is_one || shell_of(instruction.trim_start()) == Some(shell)).then_some((shell, instruction))
}

/// What stands before ` #(nop) ` in a text, be it a shell or not.
#[must_use]
pub fn before_mark(text: &str) -> Option<&str> {
    text.split_once(NO_COMMAND).map(|(before, _)| before)
}

/// The shell that a line's SHELL sets, as the classic builder and BuildKit write it: `SHELL [/bin/ash -ec]`.
#[must_use]
pub fn shell_of(instruction: &str) -> Option<&str> {
    instruction.trim_end().strip_prefix("SHELL [")?.strip_suffix(']')
}

/// N, and what stands behind it; `None` where no arguments are counted in front.
#[must_use]
pub fn counted(text: &str) -> Option<(usize, &str)> {
    let (count, rest) = text.strip_prefix('|')?.split_once(' ')?;
    let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    Some((count.parse().ok().filter(|_| is_number)?, rest))
}

/// Every reading of a text as exactly `count` arguments, each of another name, and a command. `ends` gives the lengths that the
/// value of a name may have, of the text behind `NAME=`; a space must follow. None where there are too many.
#[must_use]
pub fn readings<'t>(
    text: &'t str,
    count: usize,
    ends: &dyn Fn(&'t str, &'t str) -> Vec<usize>,
) -> Vec<Reading<'t>> {
    let mut found = vec![Reading { arguments: Vec::new(), command: text }];
    if count > ARGUMENTS_MAX {
        return Vec::new();
    }
    for _ in 0..count {
        let mut longer = Vec::new();
        for reading in found {
            let Some((name, text)) = argument(reading.command) else { continue };
            if reading.arguments.iter().any(|(known, _)| *known == name) {
                continue;
            }
            for end in ends(name, text) {
                let Some((value, behind)) = text.split_at_checked(end) else { continue };
                let Some(command) = behind.strip_prefix(' ') else { continue };
                let mut arguments = reading.arguments.clone();
                arguments.push((name, value));
                longer.push(Reading { arguments, command });
            }
        }
        if longer.is_empty() || longer.len() > READINGS_MAX {
            return Vec::new();
        }
        found = longer;
    }
    found.retain(|reading| !reading.command.is_empty());
    found
}

/// The name of the argument that a text begins with, and what stands behind its `=`.
#[must_use]
pub fn argument(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, value))
}

/// The length of a value that is one word; `None` where no space ends it.
#[must_use]
pub fn word(text: &str) -> Option<usize> {
    text.find(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands<'t>(text: &'t str, known: &[(&str, &str)]) -> Vec<&'t str> {
        let ends = |name: &str, text: &str| {
            let values: Vec<_> = known.iter().filter(|(own, _)| *own == name).collect();
            let fits = values.iter().filter(|(_, value)| text.starts_with(value));
            match values.is_empty() {
                true => word(text).into_iter().collect(),
                false => fits.map(|(_, value)| value.len()).collect::<Vec<_>>(),
            }
        };
        let Some((count, rest)) = counted(text) else { return Vec::new() };
        readings(rest, count, &ends).into_iter().map(|reading| reading.command).collect()
    }

    #[test]
    fn only_a_shell_stands_before_what_ran_no_command() {
        for (text, wanted) in [
            ("/bin/sh -c #(nop)  ENV A=b", Some(("/bin/sh -c", " ENV A=b"))),
            ("/bin/sh -c #(nop) COPY file:01 in /b ", Some(("/bin/sh -c", "COPY file:01 in /b "))),
            ("/x -c #(nop) WORKDIR /y", Some(("/x -c", "WORKDIR /y"))),
            ("/y -c #(nop)  SHELL [/y -c]", Some(("/y -c", " SHELL [/y -c]"))),
            ("/y -c #(nop)  SHELL [/z -c]", None),
            ("/y -c #(nop) WORKDIR /y", None),
            ("/bin/sh -c echo #(nop) WORKDIR /y", None),
            ("/bin/sh -c #(nop)WORKDIR /y", None),
            (" #(nop) WORKDIR /y", None),
            ("", None),
        ] {
            assert_eq!(without_command(text, &["/x -c"]), wanted, "{text}");
        }
    }

    #[test]
    fn exactly_so_many_arguments_stand_in_front() {
        for (text, wanted) in [
            ("|0 make", vec!["make"]),
            ("|1 A=b make it", vec!["make it"]),
            ("|1 A= make", vec!["make"]),
            ("|2 A=b C=d=e make", vec!["make"]),
            ("|1 A=b C=d make", vec!["C=d make"]),
            ("|1 K=x y make", vec!["make"]),
            ("|1 K=x z make", vec![]),
            ("|2 A=b make", vec![]),
            ("|2 A=b make C=d x", vec![]),
            ("|2 A=b A=c make", vec![]),
            ("|1 A=b", vec![]),
            ("|1 A=b ", vec![]),
            ("|1 =b make", vec![]),
            ("|1 a b=c make", vec![]),
            ("|1 a;b=c make", vec![]),
            ("| A=b make", vec![]),
            ("|+1 A=b make", vec![]),
            ("|99999999999999999999999 A=b make", vec![]),
            ("|2000 A=b make", vec![]),
            ("A=b make", vec![]),
        ] {
            assert_eq!(commands(text, &[("K", "x y")]), wanted, "{text}");
        }
    }

    #[test]
    fn every_reading_is_given_and_too_many_are_none() {
        let two = [("A", "x"), ("A", "x y")];
        assert_eq!(commands("|1 A=x y make", &two), ["y make", "make"]);
        let values: Vec<String> = (0..=READINGS_MAX).map(|n| vec!["x"; n + 1].join(" ")).collect();
        let many: Vec<_> = values.iter().map(|value| ("A", value.as_str())).collect();
        let text = format!("|1 A={} make", values[READINGS_MAX]);
        assert!(commands(&text, &many).is_empty());
        assert_eq!(commands(&text, &many[1..]).len(), READINGS_MAX);
    }
}
