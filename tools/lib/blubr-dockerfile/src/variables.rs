//! Variables with what their values rest on: where nothing in the file says a value, an assumption is made, and kept.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Names whose values are not the file's.
pub(crate) type Assumed = BTreeSet<String>;

/// A value, and the assumptions that went into it.
#[derive(Debug, Clone, Default)]
struct Value {
    text: String,
    assumed: Assumed,
}

/// The variables at one place of a build.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    values: BTreeMap<String, Value>,
    /// What isn't here may be set by a base image that we don't see.
    pub(crate) open: bool,
}

impl Variables {
    pub(crate) fn set(&mut self, name: &str, text: String, assumed: Assumed) {
        self.values.insert(name.to_owned(), Value { text, assumed });
    }

    /// All of `other` over what is here.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.values.extend(other.values.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// About how many bytes of memory they take.
    pub(crate) fn bytes(&self) -> usize {
        const EACH: usize = 128;
        let of = |(name, value): (&String, &Value)| {
            EACH + name.len()
                + value.text.len()
                + value.assumed.iter().map(|n| EACH + n.len()).sum::<usize>()
        };
        self.values.iter().map(of).sum()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Looks a name up and notes in `assumed` what the answer rests on.
    pub(crate) fn get(&self, name: &str, assumed: &RefCell<Assumed>) -> Option<String> {
        match self.values.get(name) {
            Some(value) => {
                assumed.borrow_mut().extend(value.assumed.iter().cloned());
                Some(value.text.clone())
            }
            None => {
                if self.open && !name.is_empty() {
                    assumed.borrow_mut().insert(name.to_owned());
                }
                None
            }
        }
    }
}
