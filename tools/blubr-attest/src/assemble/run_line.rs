//! Whether a line of an image's history is a RUN's, from its beginning to its end, in the form that its engine gives it.

use blubr_dockerfile::{Dockerfile, Instruction, default_shell, without_mounted};
use blubr_image::Config;

/// What may stand in front of commands: `/bin/sh -c`, the SHELL in force, and that of the image (a base image's, where the
/// Dockerfile has none).
pub struct Shells<'d> {
    in_force: Vec<Option<&'d [String]>>,
    of_image: Option<&'d [String]>,
    default: Vec<String>,
}

impl<'d> Shells<'d> {
    /// Of a Dockerfile and the image made of it.
    pub fn new(dockerfile: &'d Dockerfile, config: &'d Config) -> Self {
        let of_image = config.config.shell.as_deref();
        Self { in_force: dockerfile.shells(), of_image, default: default_shell() }
    }

    /// In front of an instruction (its index).
    fn at(&self, at: usize) -> impl Iterator<Item = &[String]> {
        let in_force = self.in_force.get(at).copied().flatten();
        let all = [Some(self.default.as_slice()), in_force, self.of_image];
        all.into_iter().flatten().filter(|words| !words.is_empty())
    }
}

/// Whether a line is this RUN's, which stands at `at` in the Dockerfile.
pub fn is_of(at: usize, instruction: &Instruction, created_by: &str, shells: &Shells<'_>) -> bool {
    let commands = Commands::of(at, instruction, shells);
    let line = created_by.trim();
    // runCommandString (BuildKit's frontend/dockerfile/dockerfile2llb/convert.go).
    let marked = line.strip_suffix("# buildkit").map(str::trim_end);
    let bound = without_mounted(line).filter(|_| instruction.mounts());
    [Some(line), marked, bound].into_iter().flatten().any(|line| {
        let line = line.strip_prefix("RUN ").unwrap_or(line);
        if !line.starts_with('|') {
            return commands.has(line.trim_start());
        }
        values(line).is_some_and(|values| commands.ends(values))
    })
}

/// The values behind `|N NAME=`, with what follows them. (N is no count of them with buildah.)
fn values(line: &str) -> Option<&str> {
    let (count, rest) = line.strip_prefix('|')?.split_once(' ')?;
    let (name, values) = rest.split_once('=')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let fits = !count.is_empty()
        && count.bytes().all(|byte| byte.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(is_name);
    fits.then_some(values)
}

/// The forms in which engines write a RUN's command.
struct Commands<'d> {
    /// What may stand in front of it.
    shells: Vec<String>,
    /// What stands behind a shell.
    texts: Vec<String>,
    /// An exec form's words, which stand alone.
    words: Option<String>,
    flags: &'d [String],
}

impl<'d> Commands<'d> {
    fn of(at: usize, instruction: &'d Instruction, shells: &Shells<'_>) -> Self {
        let mut texts = Vec::new();
        let mut words = None;
        if instruction.json_form {
            // buildah writes the exec form as it stands, behind a shell; the others its words.
            let json = instruction.text.find('[').and_then(|at| instruction.text.get(at..));
            texts.extend(json.map(str::to_owned));
            words = Some(instruction.args.join(" ").trim().to_owned());
        } else {
            let commands = instruction.shell_commands(&shells.default).into_iter();
            texts.extend(commands.filter_map(|command| command.argv.into_iter().next_back()));
            texts.push(instruction.buildah_text());
        }
        texts.iter_mut().for_each(|text| *text = text.trim().to_owned());
        let shells = shells.at(at).map(|words| words.join(" ")).collect();
        Self { shells, texts, words, flags: &instruction.flags }
    }

    /// Whether a text is a shell and the command, or an exec form's words.
    fn has(&self, text: &str) -> bool {
        let behind = |shell: &String| {
            let rest = text.strip_prefix(shell.as_str())?;
            rest.starts_with(char::is_whitespace).then(|| self.without_flags(rest.trim_start()))
        };
        self.words.as_deref() == Some(text)
            || self.shells.iter().filter_map(behind).any(|text| self.texts.iter().any(|own| own == text))
    }

    /// Whether it is what stands behind the values of build arguments. A value may hold anything, a space too, and a shell: the
    /// command may be all that is behind that.
    fn ends(&self, values: &str) -> bool {
        let first = self.shells.iter().filter_map(|shell| first_behind_space(values, shell)).min();
        if let Some(words) = &self.words
            && let Some(before) = values.strip_suffix(words.as_str())
            && before.ends_with(' ')
        {
            return first.is_none_or(|first| first >= before.len());
        }
        first.and_then(|first| values.get(first..)).is_some_and(|text| self.has(text))
    }

    /// A command without the RUN's flags, which buildah leaves in front of it.
    fn without_flags<'l>(&self, text: &'l str) -> &'l str {
        self.flags.iter().fold(text, |text, flag| {
            let rest = text.strip_prefix(flag.as_str());
            rest.filter(|rest| rest.starts_with(char::is_whitespace)).map_or(text, str::trim_start)
        })
    }
}

/// Where words first stand between a space and another one.
fn first_behind_space(text: &str, words: &str) -> Option<usize> {
    let length = words.len();
    let ends = |at: &usize| {
        let rest = text.get(at + length..).unwrap_or_default();
        rest.starts_with(char::is_whitespace)
    };
    let words = format!(" {words}");
    text.match_indices(&words).map(|(at, _)| at + 1).find(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_of_line(text: &str, line: &str) -> bool {
        let text = format!("FROM scratch\nSHELL [\"/bin/ash\", \"-ec\"]\n{text}\n");
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        let config = Config::default();
        let shells = Shells::new(&file, &config);
        is_of(2, &file.instructions[2], line, &shells)
    }

    #[test]
    fn a_line_of_every_builder_is_the_runs() {
        for (text, line) in [
            ("RUN make", "/bin/sh -c make"),
            ("RUN make", "RUN /bin/sh -c make # buildkit"),
            ("RUN make", "RUN /bin/ash -ec make # buildkit"),
            ("RUN make", "|1 N=2 /bin/sh -c make"),
            ("RUN make", "|4 GIVEN=from the command line LATE= /bin/sh -c make"),
            ("RUN make", "RUN |2 A=b C= /bin/ash -ec make # buildkit"),
            ("RUN   echo   kept   >   /m", "/bin/sh -c   echo   kept   >   /m"),
            ("RUN make # buildkit", "/bin/sh -c make # buildkit"),
            ("RUN make # buildkit", "RUN /bin/sh -c make # buildkit # buildkit"),
            (
                "RUN --mount=type=tmpfs,target=/t --network=none make",
                "/bin/sh -c --mount=type=tmpfs,target=/t --network=none make",
            ),
            ("RUN --mount=type=tmpfs,target=/t make", "RUN /bin/sh -c make # buildkit"),
            ("RUN a && \\\n    b", "/bin/sh -c a &&     b"),
            ("RUN [\"/bin/busybox\", \"touch\", \"/m2\"]", "RUN /bin/busybox touch /m2 # buildkit"),
            ("RUN [\"/bin/busybox\", \"touch\", \"/m2\"]", "/bin/busybox touch /m2"),
            ("RUN [\"/bin/busybox\", \"touch\", \"/m2\"]", "|1 A=b /bin/busybox touch /m2"),
            (
                "RUN [\"/bin/busybox\", \"touch\", \"/m2\"]",
                "/bin/sh -c [\"/bin/busybox\", \"touch\", \"/m2\"]",
            ),
            ("RUN [\"/bin/env\", \"/bin/sh\", \"-c\", \"x\"]", "|1 A=b c /bin/env /bin/sh -c x"),
            ("RUN [\"/bin/sh\", \"-c\", \"x y\"]", "|1 A=b c /bin/sh -c x y"),
            ("RUN <<EOF\nmake\n  all\nEOF", "RUN /bin/sh -c make\n  all\n # buildkit"),
            ("RUN <<EOF\nmake\nEOF", "RUN |1 A=b /bin/ash -ec make\n # buildkit"),
            ("RUN <<EOF\n#!/bin/x\nmake\nEOF", "RUN /bin/sh -c /dev/pipes/EOF # buildkit"),
            ("RUN cat <<A >x\nmake\nA", "RUN /bin/sh -c cat <<A >x\nmake\nA # buildkit"),
            ("RUN cat <<A >x\nmake\nA", "/bin/sh -c cat <<A >x\nmake"),
            (
                "RUN --network=none <<EOF\nmake\n  all\nEOF",
                "|3 A=b c /bin/sh -c --network=none <<EOF\nmake\n  all",
            ),
        ] {
            assert!(is_of_line(text, line), "{text}: {line}");
        }
    }

    #[test]
    fn buildah_writes_what_a_bind_mount_held_behind_the_line() {
        let text = "RUN --mount=type=bind,source=a,target=/a cat /a";
        let line = format!("/bin/sh -c --mount=type=bind,source=a,target=/a cat /a:sha256:{:064}", 7);
        assert!(is_of_line(text, &line));
        assert!(!is_of_line(text, &line[..line.len() - 1]));
        assert!(
            !is_of_line("RUN cat /a", &format!("/bin/sh -c cat /a:sha256:{:064}", 7)),
            "it binds nothing"
        );
    }

    #[test]
    fn a_line_that_only_ends_like_the_run_is_another_ones() {
        for (text, line) in [
            ("RUN make", "/bin/sh -c evil; make"),
            ("RUN make", "RUN /bin/sh -c evil; make # buildkit"),
            ("RUN make", "RUN evil; make # buildkit"),
            ("RUN make", "evil make"),
            ("RUN make", "evil /bin/sh -c make"),
            ("RUN make", "/bin/sh -cmake"),
            ("RUN make", "/bin/sh -c remake"),
            ("RUN make", "/bin/zsh -c make"),
            ("RUN make", "|x A=b /bin/sh -c make"),
            ("RUN make", "|1 a;b=c /bin/sh -c make"),
            ("RUN make", "|1 A=b evil; make"),
            ("RUN make", "|1 A=b /bin/sh -c evil; /bin/sh -c make"),
            ("RUN make", "|1 A=b /bin/ash -ec evil; /bin/sh -c make"),
            (
                "RUN [\"/bin/busybox\", \"touch\", \"/m2\"]",
                "|1 A=b /bin/sh -c evil /bin/busybox touch /m2",
            ),
            ("RUN <<EOF\nmake\nEOF", "RUN /bin/sh -c evil # buildkit"),
            ("RUN <<EOF\nmake\nEOF", "/bin/sh -c  <<EOF\nevil"),
            ("RUN cat <<A >x\nmake\nA", "RUN /bin/sh -c cat <<A >x\nevil\nA # buildkit"),
            ("RUN --mount=type=tmpfs,target=/t make", "/bin/sh -c --mount=type=tmpfs,target=/u make"),
            ("RUN [\"/bin/busybox\", \"touch\", \"/m2\"]", "evil /bin/busybox touch /m2"),
            (
                "RUN [\"/bin/busybox\", \"touch\", \"/m2\"]",
                "/bin/sh -c evil [\"/bin/busybox\", \"touch\", \"/m2\"]",
            ),
        ] {
            assert!(!is_of_line(text, line), "{text}: {line}");
        }
    }
}
