//! The argv that each engine executes for a RUN.

use crate::heredoc::heredoc_of;
use crate::instruction::Instruction;

/// Who executes a RUN, where that makes a difference to its argv.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Engine {
    /// Docker's classic builder (`DOCKER_BUILDKIT=0`).
    Classic,
    /// BuildKit, in dockerd, in buildx or alone.
    BuildKit,
    /// buildah and podman that write an OCI image, which has no SHELL: they use /bin/sh whatever the file says.
    BuildahOci,
    /// buildah and podman with `--format docker`.
    BuildahDocker,
}

/// An argv, and the engines that make it of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellCommand {
    /// All that make this one.
    pub engines: Vec<Engine>,
    /// What is handed to execve(2) in the container: `["/bin/sh", "-c", "make install"]`. Variables are untouched.
    pub argv: Vec<String>,
}

/// The shell in front of a RUN where neither file nor base image names one.
#[must_use]
pub fn default_shell() -> Vec<String> {
    vec!["/bin/sh".to_owned(), "-c".to_owned()]
}

/// A line of a history without the digest of what a RUN's bind mounts held (`:sha256:` and 64 hexadecimal digits), which
/// newer buildah writes behind it (`StageExecutor.getCreatedBy`); `None` where it has none.
#[must_use]
pub fn without_mounted(line: &str) -> Option<&str> {
    /// Hexadecimal digits of a SHA-256.
    const DIGITS: usize = 64;
    let (line, digest) = line.rsplit_once(":sha256:")?;
    let whole = digest.len() == DIGITS && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then_some(line)
}

impl Instruction {
    /// The argv of a RUN, CMD or ENTRYPOINT (or of an ONBUILD's trigger that is one), one entry for each way the engines
    /// differ. `shell` is the SHELL in force ([`crate::Dockerfile::shell_at`], else the base image's, else
    /// [`default_shell`]).
    ///
    /// All engines strip the first line's leading whitespace and the whole's trailing one, and put continuation lines
    /// together as they stand, their indentation included. With a heredoc (BuildKit's `dispatchRun`, buildah's
    /// `StageExecutor.Run`) the body is the command, or the line and the bodies are put together again for the shell. Left
    /// out is buildah's RUN of one heredoc that begins with `#!`: it runs a file with a random name.
    #[must_use]
    pub fn shell_commands(&self, shell: &[String]) -> Vec<ShellCommand> {
        let run = self.trigger.as_deref().unwrap_or(self);
        if !matches!(run.keyword.as_str(), "run" | "cmd" | "entrypoint") {
            return Vec::new();
        }
        let all = [Engine::Classic, Engine::BuildKit, Engine::BuildahOci, Engine::BuildahDocker];
        if run.json_form {
            return vec![ShellCommand { engines: all.to_vec(), argv: run.args.clone() }];
        }
        // A bare RUN: the shell gets an empty text.
        let line = run.args.first().map_or("", String::as_str);
        let mut commands: Vec<ShellCommand> = Vec::new();
        for engine in all {
            let Some(text) = run.command_text(engine, line) else {
                continue;
            };
            let mut argv = if engine == Engine::BuildahOci { default_shell() } else { shell.to_vec() };
            argv.push(text);
            match commands.iter_mut().find(|c| c.argv == argv) {
                Some(same) => same.engines.push(engine),
                None => commands.push(ShellCommand { engines: vec![engine], argv }),
            }
        }
        commands
    }

    /// What buildah writes of a RUN into an image's history behind the shell (`StageExecutor.getCreatedBy`), without flags: the
    /// line, and the bodies of heredocs trimmed and without their ends.
    #[must_use]
    pub fn buildah_text(&self) -> String {
        let mut text = self.args.concat();
        for heredoc in &self.heredocs {
            text.push('\n');
            text.push_str(heredoc.content().trim());
        }
        text
    }

    /// Whether a RUN has `--mount`: buildah may then write a digest behind its line ([`without_mounted`]).
    #[must_use]
    pub fn mounts(&self) -> bool {
        self.flags.iter().any(|flag| flag.starts_with("--mount"))
    }

    /// What stands behind the shell, or nothing where the engine can't take it or the text can't be known.
    fn command_text(&self, engine: Engine, line: &str) -> Option<String> {
        let Some(first) = self.heredocs.first() else {
            return Some(line.to_owned());
        };
        let alone = heredoc_of(line).ok().flatten().is_some();
        let shebang = first.content().starts_with("#!");
        match engine {
            // The classic builder never learnt heredocs.
            Engine::Classic => None,
            Engine::BuildKit if alone && shebang => Some(format!("/dev/pipes/{}", first.name)),
            Engine::BuildKit if alone => Some(first.content()),
            Engine::BuildKit => {
                let mut text = line.to_owned();
                for heredoc in &self.heredocs {
                    text.push('\n');
                    text.push_str(&heredoc.body);
                    text.push_str(&heredoc.name);
                }
                Some(text)
            }
            _ if alone && shebang => None,
            // imagebuilder puts a newline before each line of a body, none behind the last, and strips `<<-` itself.
            _ => {
                let mut text = if alone { String::new() } else { line.to_owned() };
                let heredocs =
                    if alone { std::slice::from_ref(first) } else { self.heredocs.as_slice() };
                for heredoc in heredocs {
                    for body_line in heredoc.content().lines() {
                        text.push('\n');
                        text.push_str(body_line);
                    }
                    if !alone {
                        text.push('\n');
                        text.push_str(&heredoc.name);
                    }
                }
                Some(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dockerfile;

    fn commands(file: &str) -> Vec<(String, Vec<Engine>)> {
        let file = Dockerfile::parse(file.as_bytes()).unwrap();
        let at = file.instructions.iter().position(|i| i.keyword == "run").unwrap();
        let shell = file.shell_at(at).map_or_else(default_shell, <[String]>::to_vec);
        let commands = file.instructions[at].shell_commands(&shell);
        commands.into_iter().map(|c| (c.argv.join("|"), c.engines)).collect()
    }

    #[test]
    fn plain_and_continued() {
        let all = vec![Engine::Classic, Engine::BuildKit, Engine::BuildahOci, Engine::BuildahDocker];
        assert_eq!(commands("FROM a\nRUN  echo  $A \n"), [("/bin/sh|-c|echo  $A".into(), all.clone())]);
        let file = "FROM a\nRUN a && \\  \n    # why\n\n    b \\\n\tc";
        assert_eq!(commands(file), [("/bin/sh|-c|a &&     b \tc".into(), all.clone())]);
        assert_eq!(commands("FROM a\nRUN [\"/x\", \"a b\"]"), [("/x|a b".into(), all.clone())]);
        assert_eq!(commands("FROM a\nRUN --network=none x"), [("/bin/sh|-c|x".into(), all)]);
    }

    #[test]
    fn buildah_ignores_shell_in_oci_images() {
        let found = commands("FROM a\nSHELL [\"/bin/bash\", \"-eo\", \"pipefail\", \"-c\"]\nRUN x");
        assert_eq!(found[0].0, "/bin/bash|-eo|pipefail|-c|x");
        assert_eq!(found[1], ("/bin/sh|-c|x".into(), vec![Engine::BuildahOci]));
    }

    #[test]
    fn heredocs() {
        let found = commands("FROM a\nRUN <<EOF\na\n  b\nEOF\n");
        assert_eq!(found[0], ("/bin/sh|-c|a\n  b\n".into(), vec![Engine::BuildKit]));
        assert_eq!(found[1].0, "/bin/sh|-c|\na\n  b");
        let found = commands("FROM a\nRUN cat <<A - <<-B >x\n1\nA\n\t2\n\tB\n");
        assert_eq!(found[0].0, "/bin/sh|-c|cat <<A - <<-B >x\n1\nA\n\t2\nB");
        let found = commands("FROM a\nRUN <<EOF\n#!/usr/bin/perl\nprint 1\nEOF\n");
        assert_eq!(found, [("/bin/sh|-c|/dev/pipes/EOF".into(), vec![Engine::BuildKit])]);
    }

    #[test]
    fn what_buildah_keeps_in_a_history() {
        let text =
            |file: &str| Dockerfile::parse(file.as_bytes()).unwrap().instructions[1].buildah_text();
        assert_eq!(text("FROM a\nRUN --network=none a \\\n  b\n"), "a   b");
        assert_eq!(text("FROM a\nRUN <<EOF\n\na\n  b\nEOF\n"), "<<EOF\na\n  b");
        assert_eq!(text("FROM a\nRUN cat <<A && cat <<B\na\nA\nb\nB\n"), "cat <<A && cat <<B\na\nb");
        let digest = "0".repeat(64);
        assert_eq!(without_mounted(&format!("x:sha256:{digest}")), Some("x"));
        assert_eq!(without_mounted(&format!("x:sha256:{digest}0")), None);
        assert_eq!(without_mounted("x:sha256:"), None);
    }
}
