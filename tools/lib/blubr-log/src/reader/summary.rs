//! What a log was worth, once read to its end.

use crate::record::Trailer;

/// Where a log was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Events up to the last checkpoint: what the chain still proves.
    pub events: u64,
    /// Line of that checkpoint; 0 where there is none.
    pub line: u64,
    /// Whether the last line was cut in its middle.
    pub in_line: bool,
    /// It is a part that ended as it should; what was cut off are the parts that follow.
    pub continued: bool,
}

/// Says how far the log still holds.
impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.continued {
            return f.write_str("goes on in another part: give all parts, in order, as cat(1) does");
        }
        f.write_str("was cut off, it has no trailer: ")?;
        if self.line == 0 {
            return f.write_str("no checkpoint proves any of it");
        }
        write!(f, "its chain holds up to event {} (the checkpoint in line {})", self.events, self.line)
    }
}

/// What a log was worth, once read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// SHA-256 of all its bytes, in hexadecimal (of the lines, where it was compressed); of parts, of one behind the other.
    pub sha256: String,
    /// Its events, with those of a later part's beginning that are not handed out.
    pub events: u64,
    /// Events that the recorder lost.
    pub lost: u64,
    /// Its trailer, of parts the last one's; `None` for one cut off.
    pub trailer: Option<Trailer>,
    /// Where it was cut off.
    pub cut: Option<Cut>,
}
