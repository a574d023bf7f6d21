//! Addresses behind a name.

use crate::normalise::Rule;

/// The rule.
pub const ADDRESSES: Rule = Rule {
    name: "addresses",
    what: "a host with a name is compared by its name; its address may differ",
};
