//! One line of a log: which kind it is, and what it holds.

use serde::Deserialize;

use crate::event::{self, Event};
use crate::record::{Checkpoint, LineMark, Lost, Trailer};

/// A line as the reader hands it out: whole, UTF-8, its kind known.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// Its text, without the newline.
    pub text: &'a str,
    /// What it is.
    pub kind: LineKind<'a>,
}

/// What a line is.
#[derive(Debug, Clone)]
pub enum LineKind<'a> {
    /// An event, of a known type or not.
    Event(Box<Event<'a>>),
    /// Events were lost.
    Lost(Lost),
    /// A link of the chain; the reader has checked it.
    Checkpoint(Checkpoint),
    /// The end; the reader has checked it.
    Trailer(Trailer),
}

impl<'a> LineKind<'a> {
    /// Parses a line after the first.
    pub(crate) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        // Every event that blubr-record writes begins so; other writers cost a second look.
        if text.starts_with("{\"seq\":") {
            return event::parse(text).map(|event| LineKind::Event(Box::new(event)));
        }
        #[derive(Deserialize)]
        struct Kind<'k> {
            #[serde(borrow)]
            r#type: std::borrow::Cow<'k, str>,
        }
        let kind: Kind<'_> = serde_json::from_str(text)?;
        const LOST: &str = LineMark::Lost.name();
        const CHECKPOINT: &str = LineMark::Checkpoint.name();
        const TRAILER: &str = LineMark::Trailer.name();
        Ok(match kind.r#type.as_ref() {
            LOST => LineKind::Lost(serde_json::from_str(text)?),
            CHECKPOINT => LineKind::Checkpoint(serde_json::from_str(text)?),
            TRAILER => LineKind::Trailer(serde_json::from_str(text)?),
            _ => LineKind::Event(Box::new(event::parse(text)?)),
        })
    }
}
