//! All that is known of one file, by the names that it had or has.

use std::collections::BTreeSet;

use blubr_image::layer::Kind;

use super::super::below::Attributes;
use super::super::paths::upwards;
use super::{Judge, last_name};
use crate::assemble_parts::{Fact, Made};

/// Names that one file had or has, which are looked at; a count.
const NAMES_MAX: usize = 64;
/// Directories of which it is remembered whether they changed; a count.
const DIRS_MAX: usize = 4_096;

/// All that is known of one file.
#[derive(Default)]
pub(super) struct Known<'a> {
    pub(super) facts: Vec<&'a Fact>,
    pub(super) lower: Vec<&'a Attributes>,
    pub(super) names: BTreeSet<Vec<u8>>,
    pub(super) incomplete: bool,
}

impl<'a> Judge<'a> {
    /// Goes through the names that the file had or has.
    pub(super) fn known(&self, path: &[u8]) -> Known<'a> {
        let mut known = Known::default();
        let mut waiting = vec![path.to_vec()];
        while let Some(name) = waiting.pop() {
            if known.names.contains(&name) {
                continue;
            }
            if known.names.len() >= NAMES_MAX {
                known.incomplete = true;
                break;
            }
            self.look_at(&name, name == path, &mut known, &mut waiting);
            known.names.insert(name);
        }
        known
    }

    /// Takes in what was said of one name, and which others to look at.
    fn look_at(&self, name: &[u8], own: bool, known: &mut Known<'a>, waiting: &mut Vec<Vec<u8>>) {
        let has = |wanted: fn(&Fact) -> bool| self.facts(name).any(wanted);
        let made = has(|fact| matches!(fact, Fact::Made(_)));
        let came = has(|fact| matches!(fact, Fact::Other(_) | Fact::Linked(_)));
        let gone = has(|fact| *fact == Fact::Gone);
        // A value that a lower layer's file has counts even where the name was given to another one: the event that took it
        // may be of a name that only looks like this one.
        let lower = self.below.get(name);
        known.lower.extend(lower);
        known.incomplete |= !made && !came && (lower.is_none() || own && gone);
        known.incomplete |= has(|fact| *fact == Fact::Anything);
        known.incomplete |= self.doubtful.contains(last_name(name)) || self.above_changed(name);
        for fact in self.facts(name) {
            match fact {
                Fact::Other(other) | Fact::Also(other) => {
                    waiting.extend(self.trails.meanings(other, self.links));
                }
                // linkat(2) may have followed it.
                Fact::Linked(other) => {
                    for other in self.trails.meanings(other, self.links) {
                        known.incomplete |= self.may_be_symlink(&other);
                        waiting.push(other);
                    }
                }
                _ => {}
            }
            known.facts.push(fact);
        }
    }

    fn may_be_symlink(&self, name: &[u8]) -> bool {
        self.links.through(name).is_some()
            || self.below.get(name).is_some_and(|lower| lower.kind == Kind::Symlink)
            || self.facts(name).any(|fact| *fact == Fact::Made(Made::Symlink))
    }

    /// Whether a directory above got its name from another, or was taken away and not made again: what was said of this name
    /// may have been of another file.
    fn above_changed(&self, path: &[u8]) -> bool {
        let Some(parent) = upwards(path).nth(1) else { return false };
        if let Some(known) = self.changed.borrow().get(parent) {
            return *known;
        }
        let changed = upwards(parent).any(|dir| {
            let has = |wanted: fn(&Fact) -> bool| self.facts(dir).any(wanted);
            self.trails.came_from_below(dir)
                || has(|fact| matches!(fact, Fact::Other(_)))
                || has(|fact| *fact == Fact::Gone) && !has(|fact| *fact == Fact::Made(Made::Dir))
        });
        let mut all = self.changed.borrow_mut();
        if all.len() >= DIRS_MAX {
            all.clear();
        }
        all.insert(parent.to_vec(), changed);
        changed
    }
}
