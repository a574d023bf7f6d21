//! What each helper of an engine did in a tree that several instructions may share, in the order of the helpers.

use crate::build::{Made, ProcessKey};
use crate::parts::Part;
use crate::traces::{Entered, Overlay, Span};

use super::Finder;

/// Parts of one tree that are kept apart; what comes behind, up to the next container, goes into one. (A COPY of a glob has a helper for each file.)
const PARTS_MAX: usize = 1 << 9;

impl Finder {
    /// What a helper that has ended did in the tree that it had entered; none where it changed nothing.
    pub(super) fn part_of(&self, key: ProcessKey, entered: &Entered) -> Option<Part> {
        let overlay = &self.overlays[entered.overlay];
        // Newer buildah takes away what it made to mount upon, and sets the times of the directories around back: that is the
        // container's, like the making.
        let dated = entered.dated.filter(|_| entered.wrote.is_some() || !entered.removed);
        let after = entered.wrote.map_or(overlay.containers.len(), |span| span.after);
        let last = entered.wrote.map(|span| span.last).max(dated)?;
        let content = dated.is_some() || entered.wrote.is_some_and(|span| span.content);
        let made = match &entered.places {
            _ if content => Made::More,
            Some(paths) if !paths.is_empty() => Made::Directories(paths.clone()),
            _ => Made::Unknown,
        };
        let forked = self.tree.get(key).and_then(|process| process.forked);
        let began = forked.filter(|forked| forked.seq > self.quiet_since(overlay)).unwrap_or(entered.at);
        let looked = self.looked_elsewhere(entered.overlay, self.quiet_since(overlay), entered.at.seq);
        Some(Part { began, ended: last, after, made, looked, by_helper: true, prepares: None })
    }

    /// When the last work in a tree was done that is known by now.
    fn quiet_since(&self, overlay: &Overlay) -> u64 {
        let container = overlay.containers.last().map(|at| {
            let container = &self.containers[*at];
            container.ended.map_or(container.setup_began.seq, |(ended, _)| ended.seq)
        });
        let prepared = overlay.prepared.as_ref().map(|prepared| prepared.part.ended.seq);
        let part = overlay.parts.last().map(|part| part.ended.seq);
        [container, prepared, part].into_iter().flatten().fold(overlay.began.seq, u64::max)
    }
}

impl Part {
    /// What the engine itself wrote, for whatever instruction.
    pub(super) fn of_engine(span: Span) -> Self {
        let made = if span.content { Made::More } else { Made::Unknown };
        let (began, ended, after) = (span.first, span.last, span.after);
        Part { began, ended, after, made, looked: true, by_helper: false, prepares: None }
    }
}

impl Overlay {
    pub(crate) fn add_part(&mut self, part: Part) {
        let is_full = self.parts.len() >= PARTS_MAX;
        match self.parts.last_mut().filter(|last| last.after == part.after) {
            Some(last) if is_full || !(last.by_helper || part.by_helper) => {
                last.ended = last.ended.max(part.ended);
                last.by_helper = false;
                let more = is_full || [&last.made, &part.made].contains(&&Made::More);
                last.made = if more { Made::More } else { Made::Unknown };
            }
            _ => self.parts.push(part),
        }
    }
}
