//! Whether a line of an image's history is a RUN's, from its beginning to its end, in the form that its engine gives it.

use blubr_dockerfile::{Dockerfile, Instruction, default_shell};
use blubr_image::Config;

/// What stands in front of commands: `/bin/sh -c`, and each other shell that the Dockerfile or the image names.
pub struct Shells(Vec<String>);

impl Shells {
    /// Of a Dockerfile and the image made of it.
    pub fn new(dockerfile: &Dockerfile, config: &Config) -> Self {
        let named = dockerfile.instructions.iter().filter(|one| one.keyword == "shell");
        let inherited = config.config.shell.iter();
        let all = named.map(|one| one.args.as_slice()).chain(inherited.map(Vec::as_slice));
        let default = default_shell();
        let mut shells: Vec<String> =
            std::iter::once(default.as_slice()).chain(all).map(|words| words.join(" ")).collect();
        shells.sort_unstable();
        shells.dedup();
        Self(shells)
    }
}

/// Whether a line is this RUN's. A heredoc's has its body in one form or another, which is not compared.
pub fn is_of(instruction: &Instruction, created_by: &str, shells: &Shells) -> bool {
    if !instruction.heredocs.is_empty() {
        return true;
    }
    let line = created_by.trim();
    // runCommandString (BuildKit's frontend/dockerfile/dockerfile2llb/convert.go).
    let marked = line.strip_suffix("# buildkit").map(str::trim_end);
    let binds = instruction.flags.iter().any(|flag| flag.starts_with("--mount"));
    let bound = Some(without_mounted(line)).filter(|_| binds);
    [Some(line), marked, bound].into_iter().flatten().any(|line| {
        let line = line.strip_prefix("RUN ").unwrap_or(line);
        if !line.starts_with('|') {
            return is_command(instruction, line.trim_start(), shells);
        }
        // A value may hold anything: what is behind one of its spaces may be the command.
        let Some(values) = values(line) else { return false };
        values.match_indices(' ').any(|(at, _)| {
            let rest = values.get(at..).unwrap_or_default().trim_start();
            is_command(instruction, rest, shells)
        })
    })
}

/// A line without the digest of what a RUN's bind mounts held, which newer buildah writes behind it.
fn without_mounted(text: &str) -> &str {
    let split = text.rsplit_once(":sha256:");
    let digest =
        |digest: &str| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    split.filter(|(_, last)| digest(last)).map_or(text, |(text, _)| text)
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

/// Whether a text is a shell and the command, or an exec form's words.
fn is_command(instruction: &Instruction, text: &str, shells: &Shells) -> bool {
    let behind = |shell: &String| {
        let rest = text.strip_prefix(shell.as_str())?;
        rest.starts_with(char::is_whitespace).then(|| rest.trim_start())
    };
    let mut commands = shells.0.iter().filter_map(behind);
    if !instruction.json_form {
        let command = instruction.args.concat();
        return commands.any(|text| without_flags(instruction, text) == command.trim());
    }
    // buildah writes the exec form as it stands, behind a shell; the others its words.
    let json = instruction.text.find('[').and_then(|at| instruction.text.get(at..)).map(str::trim_end);
    text == instruction.args.join(" ").trim()
        || commands.any(|text| Some(without_flags(instruction, text)) == json)
}

/// A command without the RUN's flags, which buildah leaves in front of it.
fn without_flags<'l>(instruction: &Instruction, text: &'l str) -> &'l str {
    instruction.flags.iter().fold(text, |text, flag| {
        let rest = text.strip_prefix(flag.as_str());
        rest.filter(|rest| rest.starts_with(char::is_whitespace)).map_or(text, str::trim_start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_of_line(text: &str, line: &str) -> bool {
        let text = format!("FROM scratch\nSHELL [\"/bin/ash\", \"-ec\"]\n{text}\n");
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        let shells = Shells::new(&file, &Config::default());
        is_of(&file.instructions[2], line, &shells)
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
