//! Whose rules a file is cut by: the engines differ in a few places.

/// The parser to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// BuildKit since 0.9 (Docker 23 and later, and `# syntax=docker/dockerfile:1`): heredocs; an escape character that is
    /// itself escaped at the end of a line does not continue it.
    #[default]
    BuildKit,
    /// The parser that Docker 20.10 has built in, for its classic builder and its BuildKit alike: no heredocs, and any
    /// escape character at the end of a line continues it.
    Docker20,
    /// imagebuilder as buildah 1.28 has it: as [`Dialect::Docker20`], and `escape` is the only directive it knows, so that
    /// a `syntax` line before it hides it.
    Buildah,
}

impl Dialect {
    pub(crate) fn has_heredocs(self) -> bool {
        self == Self::BuildKit
    }

    pub(crate) fn escaped_escape_ends_line(self) -> bool {
        self == Self::BuildKit
    }

    pub(crate) fn knows_directive(self, name: &str) -> bool {
        match self {
            Self::BuildKit => matches!(name, "syntax" | "escape" | "check"),
            Self::Docker20 => matches!(name, "syntax" | "escape"),
            Self::Buildah => name == "escape",
        }
    }
}
