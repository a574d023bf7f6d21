//! How much a difference matters.

/// From what any change brings with it to what should stop a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Follows from other differences, or means nothing by itself.
    Info,
    /// The build was changed: its Dockerfile, its files, its commands.
    Change,
    /// Look at it: a new host, another content from an unchanged step, a record that tells less than the last.
    Warning,
    /// The image is not what the record says, or the record contradicts itself.
    Alert,
}

impl Severity {
    /// The word that people and scripts see.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Change => "change",
            Self::Warning => "warning",
            Self::Alert => "alert",
        }
    }
}
