//! One line of an image's history, taken apart as the engine that wrote it put it together.

use blubr_dockerfile::fronts;

use crate::reverse::layout;

/// Who writes lines of this form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Docker's classic builder: `/bin/sh -c #(nop)  ENV A=1`.
    Classic,
    /// BuildKit: `ENV A=1`, `RUN /bin/sh -c x # buildkit`.
    BuildKit,
    /// Others that write the instruction as it stands in the file (kaniko): `RUN x`.
    AsWritten,
    /// buildah and podman: `/bin/sh -c #(nop) ENV A=1`, with the instruction as it stands in the file.
    Buildah,
}

impl Engine {
    /// Whether its lines hold the instruction as it stands in the file, quotes and variables and all.
    pub fn keeps_text(self) -> bool {
        matches!(self, Self::Buildah | Self::AsWritten)
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::BuildKit => "buildkit",
            Self::AsWritten => "as-written",
            Self::Buildah => "buildah",
        }
    }
}

/// What a line holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// An instruction that ran no command: its keyword in upper case, and the rest, trimmed at the end.
    Instruction(&'a str, &'a str),
    /// A RUN: everything but BuildKit's own words around it, build arguments still in front.
    Command(&'a str),
    /// Nothing that a Dockerfile's instruction leaves.
    Unknown,
}

/// A line, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// Who wrote it, where the line itself shows it.
    pub engine: Option<Engine>,
    /// The shell in front of `#(nop)`: the classic builder puts the one in force there.
    pub shell: Option<&'a str>,
    /// What it holds.
    pub body: Body<'a>,
}

const BUILDKIT_SUFFIX: &str = " # buildkit";
/// The comment that BuildKit's Dockerfile frontend puts on its lines.
const BUILDKIT_COMMENT: &str = "buildkit.dockerfile.v0";

/// A keyword at the front, and the rest.
fn keyword(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    // Engines write it in upper case, and FROM makes no line.
    let is_upper = word != "FROM" && word.bytes().all(|byte| byte.is_ascii_uppercase());
    (is_upper && blubr_dockerfile::is_keyword(&word.to_ascii_lowercase())).then_some((word, rest))
}

/// Takes a line apart. `shell` is the one in force before it, joined with spaces.
pub fn recognise<'a>(created_by: &'a str, comment: &str, shell: &str) -> Line<'a> {
    if created_by.trim().is_empty() {
        return Line { engine: None, shell: None, body: Body::Unknown };
    }
    if let Some(line) = nop(created_by, comment, shell) {
        return line;
    }
    if let Some((word, rest)) = keyword(created_by) {
        let suffixed =
            matches!(word, "RUN" | "COPY" | "ADD").then(|| rest.strip_suffix(BUILDKIT_SUFFIX)).flatten();
        let buildkit = suffixed.is_some() || comment == BUILDKIT_COMMENT;
        let engine = if buildkit { Engine::BuildKit } else { Engine::AsWritten };
        let rest = suffixed.unwrap_or(rest);
        let body =
            if word == "RUN" { Body::Command(rest) } else { Body::Instruction(word, rest.trim_end()) };
        return Line { engine: Some(engine), shell: None, body };
    }
    let engine = if comment == BUILDKIT_COMMENT {
        Some(Engine::BuildKit)
    } else {
        from_comment(comment)
            .or_else(|| is_as_written_behind_shell(created_by).then_some(Engine::Buildah))
    };
    let command = is_command(created_by, shell);
    Line { engine, shell: None, body: if command { Body::Command(created_by) } else { Body::Unknown } }
}

/// buildah says in the comment what a layer was made on.
fn from_comment(comment: &str) -> Option<Engine> {
    base_of_comment(comment).map(|_| Engine::Buildah)
}

/// The image that buildah's comment names: `FROM localhost/base:latest`.
pub fn base_of_comment(comment: &str) -> Option<&str> {
    comment.strip_prefix("FROM ").map(str::trim).filter(|name| !name.is_empty())
}

/// What no other engine puts behind a shell, since it is no shell form: flags, a list, or a heredoc without its end.
fn is_as_written_behind_shell(text: &str) -> bool {
    const SHELL: &str = "/bin/sh -c ";
    let given = || text.starts_with('|').then(|| text.split_once(&format!(" {SHELL}"))).flatten();
    let written = text.strip_prefix(SHELL).or_else(|| given().map(|(_, written)| written));
    written.is_some_and(|text| text.starts_with("--") || is_list(text) || is_open_heredoc(text))
}

fn is_list(text: &str) -> bool {
    // Most lines end otherwise, and need not be parsed.
    let list = Some(text).filter(|text| text.trim_end().ends_with(']'));
    list.and_then(|list| layout::parse_one(&format!("RUN {list}"))).is_some_and(|run| run.json_form)
}

fn is_open_heredoc(text: &str) -> bool {
    let Some((line, bodies)) = text.split_once('\n') else { return false };
    let end = blubr_dockerfile::heredoc_names(line).pop();
    end.is_some_and(|end| bodies.lines().last() != Some(end.as_str()))
}

/// A line that a RUN leaves begins with its build arguments, with the shell, or with a program (exec form).
fn is_command(text: &str, shell: &str) -> bool {
    text.starts_with('|')
        || text.strip_prefix(shell).is_some_and(|t| t.starts_with(' '))
        || text.starts_with('/')
}

/// A line whose instruction ran no command.
fn nop<'a>(created_by: &'a str, comment: &str, shell: &str) -> Option<Line<'a>> {
    let (shell, rest) = fronts::without_command(created_by, &[shell])?;
    let two_spaces = rest.starts_with(' ');
    let (word, rest) = keyword(rest.trim_start())?;
    let engine = match word {
        _ if two_spaces => Some(Engine::Classic),
        // These three have one space with either engine.
        "COPY" | "ADD" | "WORKDIR" => from_comment(comment),
        _ => Some(Engine::Buildah),
    };
    Some(Line { engine, shell: Some(shell), body: Body::Instruction(word, rest.trim_end()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SH: &str = "/bin/sh -c";

    #[test]
    fn each_engines_own() {
        for (text, engine, body) in [
            ("/bin/sh -c #(nop)  ENV A=1", Some(Engine::Classic), Body::Instruction("ENV", "A=1")),
            ("/bin/sh -c #(nop) ENV A=1", Some(Engine::Buildah), Body::Instruction("ENV", "A=1")),
            ("/bin/sh -c #(nop) WORKDIR /x ", None, Body::Instruction("WORKDIR", "/x")),
            ("ENV A=1", Some(Engine::AsWritten), Body::Instruction("ENV", "A=1")),
            ("RUN /bin/sh -c x # buildkit", Some(Engine::BuildKit), Body::Command("/bin/sh -c x")),
            (
                "RUN /bin/sh -c x # buildkit # buildkit",
                Some(Engine::BuildKit),
                Body::Command("/bin/sh -c x # buildkit"),
            ),
            ("/bin/sh -c x # buildkit", None, Body::Command("/bin/sh -c x # buildkit")),
            ("|1 A=1 /bin/sh -c x", None, Body::Command("|1 A=1 /bin/sh -c x")),
            (
                "/bin/sh -c [\"x\", \"y\"]",
                Some(Engine::Buildah),
                Body::Command("/bin/sh -c [\"x\", \"y\"]"),
            ),
            (
                "|1 A=1 /bin/sh -c --network=none [\"x\"]",
                Some(Engine::Buildah),
                Body::Command("|1 A=1 /bin/sh -c --network=none [\"x\"]"),
            ),
            (
                "/bin/sh -c cat <<A <<B\nx\ny",
                Some(Engine::Buildah),
                Body::Command("/bin/sh -c cat <<A <<B\nx\ny"),
            ),
            (
                "/bin/sh -c cat <<A <<B\nx\nA\ny\nB",
                None,
                Body::Command("/bin/sh -c cat <<A <<B\nx\nA\ny\nB"),
            ),
            ("/bin/sh -c cat <<A", None, Body::Command("/bin/sh -c cat <<A")),
            ("/bin/sh -c [ -e /x ]", None, Body::Command("/bin/sh -c [ -e /x ]")),
            ("/bin/sh -c echo [\"x\"]", None, Body::Command("/bin/sh -c echo [\"x\"]")),
            ("bazel build ...", None, Body::Unknown),
            ("", None, Body::Unknown),
        ] {
            let line = recognise(text, "", SH);
            assert_eq!((line.engine, line.body), (engine, body), "{text}");
        }
    }

    #[test]
    fn a_command_that_prints_nop_is_a_command() {
        let text = "/bin/sh -c echo '#(nop)  CMD [\"x\"]'";
        assert_eq!(recognise(text, "", SH).body, Body::Command(text));
    }

    #[test]
    fn a_line_that_sets_the_shell_stands_behind_it() {
        let line = recognise("/bin/ash -e -c #(nop)  SHELL [/bin/ash -e -c]", "", SH);
        assert_eq!(line.shell, Some("/bin/ash -e -c"));
        assert_eq!(
            recognise("/bin/ash -e -c #(nop)  USER x", "", SH).body,
            Body::Command("/bin/ash -e -c #(nop)  USER x")
        );
        assert_eq!(
            recognise("/bin/ash -e -c #(nop)  USER x", "", "/bin/ash -e -c").body,
            Body::Instruction("USER", "x")
        );
    }
}
