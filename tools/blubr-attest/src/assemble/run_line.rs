//! Whether a line of an image's history is a RUN's, from its beginning to its end, in the form that its engine gives it.

use blubr_dockerfile::{Dockerfile, Instruction, default_shell, fronts, without_mounted};
use blubr_image::Config;

use super::arguments::Arguments;

/// What may stand in front of commands: build arguments; and `/bin/sh -c`, the SHELL in force, or that of the image (a base
/// image's, where the Dockerfile has none).
pub struct Fronts<'d> {
    arguments: Arguments,
    in_force: Vec<Option<&'d [String]>>,
    of_image: Option<&'d [String]>,
    default: Vec<String>,
}

impl<'d> Fronts<'d> {
    /// Of a Dockerfile and the image made of it, by a client with these arguments; `chain`: the instructions of the stages that
    /// it is made of.
    pub fn new(
        dockerfile: &'d Dockerfile,
        config: &'d Config,
        argv: &[Vec<u8>],
        chain: &[usize],
    ) -> Self {
        let arguments = Arguments::new(dockerfile, argv, chain);
        let of_image = config.config.shell.as_deref();
        Self { arguments, in_force: dockerfile.shells(), of_image, default: default_shell() }
    }

    /// The shells in front of an instruction (its index).
    fn shells(&self, at: usize) -> impl Iterator<Item = &[String]> {
        let in_force = self.in_force.get(at).copied().flatten();
        let all = [Some(self.default.as_slice()), in_force, self.of_image];
        all.into_iter().flatten().filter(|words| !words.is_empty())
    }
}

/// Whether what ran ([`Written::text`](super::written::Written)) is this RUN's, which stands at `at` in the Dockerfile.
pub fn is_of(at: usize, instruction: &Instruction, ran: &str, fronts: &Fronts<'_>) -> bool {
    let commands = Commands::of(at, instruction, fronts);
    let bound = without_mounted(ran).filter(|_| instruction.mounts());
    [Some(ran), bound].into_iter().flatten().any(|line| {
        if !line.starts_with('|') {
            return commands.has(line.trim_start());
        }
        let Some((count, rest)) = fronts::counted(line) else { return false };
        let (behind, sure) = fronts.arguments.commands(rest, count, at);
        behind.into_iter().any(|text| commands.has(text)) || (!sure && commands.ends(rest))
    })
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
    fn of(at: usize, instruction: &'d Instruction, fronts: &Fronts<'_>) -> Self {
        let mut texts = Vec::new();
        let mut words = None;
        if instruction.json_form {
            // buildah writes the exec form as it stands, behind a shell; the others its words.
            let json = instruction.text.find('[').and_then(|at| instruction.text.get(at..));
            texts.extend(json.map(str::to_owned));
            words = Some(instruction.args.join(" ").trim().to_owned());
        } else {
            let commands = instruction.shell_commands(&fronts.default).into_iter();
            texts.extend(commands.filter_map(|command| command.argv.into_iter().next_back()));
            texts.push(instruction.buildah_text());
        }
        texts.iter_mut().for_each(|text| *text = text.trim().to_owned());
        let shells = fronts.shells(at).map(|words| words.join(" ")).collect();
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

    /// Whether it is a shell and the command, behind arguments whose number and values are not held to: a value that is not known
    /// may hold anything, a space too, and a shell; buildah counts words. The command may be all that is behind the first shell.
    fn ends(&self, arguments: &str) -> bool {
        let Some((_, values)) = fronts::argument(arguments) else { return false };
        let first = self.shells.iter().filter_map(|shell| first_behind_space(values, shell)).min();
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
    use super::super::written::Written;
    use super::*;

    fn is_of_line(text: &str, line: &str) -> bool {
        is_of_built(text, line, "docker buildx bake")
    }

    /// With a client of these words; only some tell what the arguments are.
    fn is_of_built(text: &str, line: &str, client: &str) -> bool {
        let text = format!("FROM scratch\nSHELL [\"/bin/ash\", \"-ec\"]\nARG A=\"b c\" N\n{text}\n");
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        let config = Config::default();
        let client: Vec<Vec<u8>> = client.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let fronts = Fronts::new(&file, &config, &client, &[1, 2, 3]);
        let line = Written::of(line, &[]);
        line.keyword == "run" && is_of(3, &file.instructions[3], line.text, &fronts)
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
            (
                "RUN [\"/bin/busybox\", \"touch\", \"/m2\"]",
                "RUN |2 A=b N= /bin/busybox touch /m2 # buildkit",
            ),
            ("RUN make", "|0 /bin/sh -c make"),
            ("RUN [\"/bin/true\"]", "|0 /bin/true"),
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
            ("RUN make", "/bin/sh -c make # buildkit"),
            ("RUN make", "RUN /bin/sh -c make # buildkit # buildkit"),
            ("RUN make", "RUN /bin/sh -c make"),
            ("RUN make", "evil make"),
            ("RUN make", "evil /bin/sh -c make"),
            ("RUN make", "/bin/sh -cmake"),
            ("RUN make", "/bin/sh -c remake"),
            ("RUN make", "/bin/zsh -c make"),
            ("RUN make", "|x A=b /bin/sh -c make"),
            ("RUN make", "|1 a;b=c /bin/sh -c make"),
            ("RUN make", "|1 a b=c /bin/sh -c make"),
            ("RUN make", "|1 /bin/sh -c make"),
            ("RUN make", "|1 A=b evil; make"),
            ("RUN make", "|1 A=b /bin/sh -c evil; /bin/sh -c make"),
            ("RUN make", "|1 A=b /bin/ash -ec evil; /bin/sh -c make"),
            (
                "RUN [\"/bin/busybox\", \"touch\", \"/m2\"]",
                "|1 A=b /bin/sh -c evil /bin/busybox touch /m2",
            ),
            // The arguments are as many as are counted.
            ("RUN [\"/bin/busybox\", \"touch\", \"/m2\"]", "|1 A=b evil /bin/busybox touch /m2"),
            ("RUN [\"/bin/busybox\", \"touch\", \"/m2\"]", "|2 A=b evil /bin/busybox touch /m2"),
            ("RUN [\"/bin/busybox\", \"touch\", \"/m2\"]", "|2 A=b /bin/busybox touch /m2"),
            ("RUN [\"/bin/busybox\", \"touch\", \"/m2\"]", "|1 A=b N=evil /bin/busybox touch /m2"),
            ("RUN [\"/bin/busybox\", \"touch\", \"/m2\"]", "|0 A=b /bin/busybox touch /m2"),
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

    #[test]
    fn values_that_are_known_are_held_exactly() {
        let exec = "RUN [\"/bin/env\", \"/bin/sh\", \"-c\", \"x\"]";
        let (default, given) = ("docker build .", "docker build --build-arg A=b .");
        for (text, line, client, wanted) in [
            (exec, "|1 A=b c /bin/env /bin/sh -c x", default, true),
            (exec, "RUN |2 A=b c N= /bin/env /bin/sh -c x # buildkit", default, true),
            (exec, "|1 A=b c evil /bin/env /bin/sh -c x", default, false),
            (exec, "|1 A=b /bin/env /bin/sh -c x", default, false),
            (exec, "|1 A=b c /bin/env /bin/sh -c x", given, false),
            (exec, "|1 A=b /bin/env /bin/sh -c x", given, true),
            ("RUN make", "|1 A=b c /bin/sh -c make", default, true),
            ("RUN make", "|1 A=b c evil /bin/sh -c make", default, false),
            ("RUN make", "|1 A=b evil /bin/sh -c make", given, false),
            // buildah counts words.
            ("RUN make", "|2 A=b c /bin/sh -c make", default, true),
            // What bake is told of is not known: evil may be of the value.
            ("RUN make", "|1 A=b evil /bin/sh -c make", "docker buildx bake", true),
        ] {
            assert_eq!(is_of_built(text, line, client), wanted, "{client}: {line}");
        }
    }
}
