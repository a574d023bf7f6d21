//! Digests that differ only because of times inside a layer or a config.

use crate::normalise::Rule;

/// The rule.
pub const DIGESTS: Rule = Rule {
    name: "layer-times",
    what: "layers with the same entries (path, kind, sha256, size, link target) count as equal, and with all of them the \
           digests of image, config and manifest: times, owners and modes of entries are not compared then",
};
