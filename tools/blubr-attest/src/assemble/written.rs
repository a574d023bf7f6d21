//! A line of an image's history, taken apart as the engine that wrote it put it together. It comes from the image, which may be
//! anyone's: what no engine writes so is a command that ran.

use std::collections::BTreeSet;

use blubr_dockerfile::{fronts, is_keyword};
use blubr_image::{Config, History};

/// The shell that stands in front of commands unless a SHELL names another, and what parts it from them.
const SHELL: &str = "/bin/sh -c ";
/// What BuildKit ends a line with whose instruction makes a layer by itself (`commitToHistory` in its
/// frontend/dockerfile/dockerfile2llb/convert.go; WORKDIR's has none).
const BUILDKIT: &str = " # buildkit";

/// What a line says its instruction was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<'c> {
    /// In lower case.
    pub keyword: String,
    /// The instruction without what is written around it; of a RUN what ran, with what stands in front of it.
    pub text: &'c str,
    /// It is written behind `#(nop)`, where a COPY has sums for its sources.
    pub is_marked: bool,
}

impl<'c> Written<'c> {
    /// The lines of an image's history.
    pub fn all(config: &'c Config) -> Vec<Self> {
        let of_image = config.config.shell.as_ref().map(|words| words.join(" "));
        let mut in_force = "";
        let lines = config.history.iter().map(History::instruction).map(|line| {
            let shells = [in_force, of_image.as_deref().unwrap_or_default()];
            let written = Self::of(line, &shells);
            if written.keyword == "shell" {
                in_force = fronts::shell_of(written.text).unwrap_or_default();
            }
            written
        });
        lines.collect()
    }

    /// A line, and shells that may stand in front of `#(nop)` besides the default one.
    pub fn of(line: &'c str, shells: &[&str]) -> Self {
        if let Some((_, text)) = fronts::without_command(line, shells)
            && let Some(keyword) = keyword(text.trim_start())
        {
            return Self { keyword, text: text.trim(), is_marked: true };
        }
        match keyword(line).as_deref() {
            Some("run") if line.ends_with(BUILDKIT) => {
                let text = line.strip_suffix(BUILDKIT).and_then(|line| line.strip_prefix("RUN "));
                Self::command(text.unwrap_or(line))
            }
            Some(keyword @ ("copy" | "add")) if line.ends_with(BUILDKIT) => {
                let text = line.strip_suffix(BUILDKIT).unwrap_or(line);
                Self { keyword: keyword.to_owned(), text: text.trim(), is_marked: false }
            }
            // Without that end it is what a RUN ran, be it called so.
            None | Some("run" | "copy" | "add") => Self::command(line),
            Some(keyword) => Self { keyword: keyword.to_owned(), text: line.trim(), is_marked: false },
        }
    }

    fn command(text: &'c str) -> Self {
        Self { keyword: "run".to_owned(), text: text.trim(), is_marked: false }
    }

    /// The RUN that the line is of, where it is known that what ran is the default shell's command. (Whether the text is right
    /// the container's first program shows.)
    pub fn shell_form(&self) -> Option<String> {
        let command = match fronts::counted(self.text) {
            None => self.text.strip_prefix(SHELL)?,
            Some((0, text)) => text.strip_prefix(SHELL)?,
            Some((count, text)) => behind_arguments(text, count)?,
        };
        (self.keyword == "run").then(|| format!("RUN {command}"))
    }
}

/// The keyword that a line begins with, lower case. Engines write it in upper case, and FROM makes no line.
fn keyword(line: &str) -> Option<String> {
    let word = line.split(' ').next().filter(|word| *word != "FROM")?;
    let is_upper = word.bytes().all(|byte| byte.is_ascii_uppercase());
    let word = word.to_ascii_lowercase();
    (is_upper && is_keyword(&word)).then_some(word)
}

/// The command behind the only default shell that may end `count` arguments, whose values may hold anything.
fn behind_arguments(text: &str, count: usize) -> Option<&str> {
    fronts::argument(text)?;
    let mut names = BTreeSet::new();
    let mut found = None;
    let mut at = 0;
    for word in text.split(' ') {
        let rest = text.get(at..).unwrap_or_default();
        if names.len() >= count
            && let Some(command) = rest.strip_prefix(SHELL)
            && found.replace(command).is_some()
        {
            return None;
        }
        names.extend(fronts::argument(word).map(|(name, _)| name));
        at += word.len() + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_builder_have_a_keyword() {
        for (line, keyword, text) in [
            ("RUN /bin/sh -c echo hi > /m3 # buildkit", "run", "/bin/sh -c echo hi > /m3"),
            ("RUN /bin/sh -c x # buildkit # buildkit", "run", "/bin/sh -c x # buildkit"),
            ("COPY a /b # buildkit", "copy", "COPY a /b"),
            ("WORKDIR /x", "workdir", "WORKDIR /x"),
            ("CMD [\"sh\"]", "cmd", "CMD [\"sh\"]"),
            ("/bin/sh -c echo copy", "run", "/bin/sh -c echo copy"),
            ("/bin/sh -c make # buildkit", "run", "/bin/sh -c make # buildkit"),
            ("/bin/sh -c #(nop) COPY file:0123 in /b ", "copy", "COPY file:0123 in /b"),
            ("/bin/sh -c #(nop)  ENV A=b # buildkit", "env", "ENV A=b # buildkit"),
            ("/bin/ash -ec #(nop)  SHELL [/bin/ash -ec]", "shell", "SHELL [/bin/ash -ec]"),
            ("|1 K=V /bin/sh -c make", "run", "|1 K=V /bin/sh -c make"),
            ("", "run", ""),
        ] {
            let written = Written::of(line, &[]);
            assert_eq!((&*written.keyword, written.text), (keyword, text), "{line}");
            assert_eq!(written.is_marked, line.contains("#(nop)"), "{line}");
        }
    }

    #[test]
    fn what_only_looks_like_a_line_of_an_engine_is_a_command() {
        for line in [
            "/bin/sh -c evil; #(nop) COPY file:0123 in /b ",
            "/bin/sh -c echo '#(nop) COPY file:0123 in /b'",
            "/bin/sh -c  #(nop) COPY file:0123 in /b ",
            "/bin/sh -c #(nop)COPY file:0123 in /b ",
            "/bin/sh -c #(nop) copy file:0123 in /b ",
            "/bin/sh -c #(nop) make",
            "#(nop) COPY file:0123 in /b ",
            "|1 A=/bin/sh -c #(nop) COPY file:0123 in /b ",
            "/bin/ash -ec #(nop) COPY file:0123 in /b ",
            "/bin/ash -ec #(nop)  SHELL [/bin/ash -e]",
            "RUN /bin/sh -c evil #(nop) COPY a /b # buildkit",
            "COPY a /b",
            "RUN make",
            "FROM x",
            "Copy a /b # buildkit",
            "copy /a /b",
        ] {
            let written = Written::of(line, &[]);
            assert_eq!((&*written.keyword, written.is_marked), ("run", false), "{line}");
        }
        let written = Written::of("/bin/ash -ec #(nop) COPY file:01 in /b ", &["/bin/ash -ec"]);
        assert_eq!((&*written.keyword, written.text), ("copy", "COPY file:01 in /b"));
    }

    #[test]
    fn the_shell_in_force_is_followed_down_the_history() {
        let history = r#"{"history":[
            {"created_by":"/bin/ash -ec #(nop) WORKDIR /w"},
            {"created_by":"/bin/ash -ec #(nop)  SHELL [/bin/ash -ec]"},
            {"created_by":"/bin/ash -ec #(nop) WORKDIR /w"},
            {"created_by":"/bin/sh -c #(nop)  SHELL [/bin/sh -c]"},
            {"created_by":"/bin/ash -ec #(nop) WORKDIR /w"},
            {"created_by":"/bin/sh -c #(nop) SHELL [\"/bin/ash\", \"-ec\"]"},
            {"created_by":"/bin/sh -c #(nop) WORKDIR /w"},
            {"created_by":"SHELL [/bin/ash -ec]"},
            {"created_by":"WORKDIR /w"}"#;
        let keywords = |config: &str| {
            let config = Config::parse(format!("{history}]{config}}}").as_bytes()).unwrap();
            let all = Written::all(&config);
            all.into_iter().map(|written| written.keyword).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(keywords(""), "run shell workdir shell run shell workdir shell workdir");
        // Where a base image's history does not tell, its configuration may.
        let shell = r#","config":{"Shell":["/bin/ash","-ec"]}"#;
        assert_eq!(keywords(shell), "workdir shell workdir shell workdir shell workdir shell workdir");
    }

    #[test]
    fn the_shell_form_is_known_where_it_can_be_read_in_one_way() {
        for (line, wanted) in [
            ("RUN /bin/sh -c echo hi > /m # buildkit", Some("RUN echo hi > /m")),
            ("/bin/sh -c echo hi > /m", Some("RUN echo hi > /m")),
            ("/bin/sh -c /bin/sh -c x", Some("RUN /bin/sh -c x")),
            ("|1 A=b c /bin/sh -c echo hi", Some("RUN echo hi")),
            ("|2 A=b c B= /bin/sh -c echo hi", Some("RUN echo hi")),
            ("|0 /bin/sh -c echo hi", Some("RUN echo hi")),
            ("RUN |1 A=b /bin/sh -c echo hi # buildkit", Some("RUN echo hi")),
            // Before the second argument no command begins.
            ("|2 A=/x /bin/sh -c y B=z /bin/sh -c echo hi", Some("RUN echo hi")),
            // Of the value, or of the command.
            ("|1 A=b /bin/sh -c evil /bin/sh -c echo hi", None),
            ("|1 A=b /bin/sh -c /bin/sh -c echo hi", None),
            ("|2 A=b /bin/sh -c echo hi", None),
            ("|2 A=b A=c /bin/sh -c echo hi", None),
            ("|1 a;b=c /bin/sh -c echo hi", None),
            ("|1 /bin/sh -c echo A=b", None),
            ("|x A=b /bin/sh -c echo hi", None),
            ("|0 evil /bin/sh -c echo hi", None),
            ("|1 A=b/bin/sh -c echo hi", None),
            ("evil /bin/sh -c echo hi", None),
            ("RUN /bin/bash -c echo hi # buildkit", None),
            ("RUN /bin/sh -c echo hi", None),
            ("/bin/busybox touch /m", None),
            ("/bin/sh -c #(nop) WORKDIR /x", None),
        ] {
            assert_eq!(Written::of(line, &[]).shell_form().as_deref(), wanted, "{line}");
        }
    }
}
