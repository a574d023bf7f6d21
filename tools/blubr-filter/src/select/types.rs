//! `--type GLOB`.

use blubr_log::Event;
use globset::GlobSet;

use super::Selector;

/// Events whose type fits a glob.
pub(crate) struct Types(pub(crate) GlobSet);

impl Selector for Types {
    fn select(&mut self, event: &Event<'_>) -> bool {
        event.head.r#type.text().is_some_and(|name| self.0.is_match(name))
    }
}
