//! Whose rules a file is cut by: the engines differ in a few places.

/// The parser to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// BuildKit since 0.22, which is also `# syntax=docker/dockerfile:1`: heredocs, also with spaces between `<<` and the
    /// name; an escape character that is itself escaped at the end of a line does not continue it.
    #[default]
    BuildKit,
    /// BuildKit from 0.9 on: `<< NAME` with spaces opens no heredoc, so that `$((1 << 2))` can stand in a RUN; in flags `\`
    /// escapes whatever the file chose (until 0.21).
    BuildKit09,
    /// The parser that Docker 20.10 has built in, for its classic builder and its BuildKit alike: no heredocs.
    Docker20,
    /// imagebuilder as buildah 1.28 has it: no heredocs, any escape character at the end of a line continues it, and
    /// `escape` is the only directive it knows, so that a `syntax` line before it hides it.
    Buildah,
}

impl Dialect {
    /// All, the newest first.
    pub const ALL: [Self; 4] = [Self::BuildKit, Self::BuildKit09, Self::Docker20, Self::Buildah];

    pub(crate) fn has_heredocs(self) -> bool {
        matches!(self, Self::BuildKit | Self::BuildKit09)
    }

    pub(crate) fn has_spaced_heredocs(self) -> bool {
        self == Self::BuildKit
    }

    pub(crate) fn escaped_escape_ends_line(self) -> bool {
        self != Self::Buildah
    }

    pub(crate) fn chooses_flag_escape(self) -> bool {
        self == Self::BuildKit
    }

    pub(crate) fn knows_directive(self, name: &str) -> bool {
        match self {
            Self::BuildKit | Self::BuildKit09 => matches!(name, "syntax" | "escape" | "check"),
            Self::Docker20 => matches!(name, "syntax" | "escape"),
            Self::Buildah => name == "escape",
        }
    }
}
