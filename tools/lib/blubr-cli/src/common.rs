//! The flags that every tool has.

use std::io::IsTerminal as _;

use crate::diagnostic::say;

/// When output is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// When standard output is a terminal and NO_COLOR is not set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether to colour what goes to standard output.
    pub fn for_stdout(self) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                !no_color && std::io::stdout().is_terminal()
            }
        }
    }
}

/// Flags that every tool has.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Common {
    /// Say nothing on standard error but errors
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// When to colour output
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, global = true)]
    pub color: Color,
}

impl Common {
    /// Says one line on standard error, after the tool's name, unless told to be quiet.
    pub fn note(&self, tool: &str, what: impl std::fmt::Display) {
        if !self.quiet {
            say(tool, what);
        }
    }
}
