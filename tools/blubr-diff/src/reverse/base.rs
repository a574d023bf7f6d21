//! Where the base image ends in a history.

use blubr_image::Config;

use crate::reverse::line::{self, Engine};
use blubr_cli::printable;

/// Where the base image ends, and what says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    /// How many history lines belong to the base image.
    pub lines: usize,
    /// Whether that is certain, or only likely.
    pub certain: bool,
    /// What says so, safe to print.
    pub reason: String,
}

/// A longer pause than this between two lines is no pause of one build, in seconds: the longest time-outs of public build
/// services are six hours.
const PAUSE_SECONDS_MAX: i64 = 6 * 3600;

/// Finds the boundary: the base image itself, buildah's comment, a change of engine, or a long pause.
pub fn boundary(config: &Config, engines: &[Engine], base: Option<&Config>) -> Option<Boundary> {
    if let Some(base) = base {
        let same = base.history.len() <= config.history.len()
            && base
                .history
                .iter()
                .zip(&config.history)
                .all(|(b, c)| b.created_by == c.created_by && b.created == c.created);
        let layers = config.diff_ids().starts_with(base.diff_ids());
        let reason = match (same, layers) {
            (true, true) => "its history and its layers are that image's",
            (false, true) => return None,
            _ => return None,
        };
        return Some(Boundary { lines: base.history.len(), certain: true, reason: reason.to_owned() });
    }
    // buildah says it on the first line that it adds, or, if it made one layer of all, on the last.
    let named = config.history.iter().position(|h| {
        line::base_of_comment(&h.comment).is_some_and(|name| name.contains('/') || name.contains(':'))
    });
    if let Some(at) = named {
        let name = config.history.get(at).and_then(|h| line::base_of_comment(&h.comment)).unwrap_or("");
        let last = at + 1 == config.history.len();
        if !last {
            return Some(Boundary {
                lines: at,
                certain: true,
                reason: format!("buildah wrote down that it began from {}", printable(name)),
            });
        }
    }
    let change = engines.windows(2).rposition(|pair| pair.first() != pair.last());
    if let Some(at) = change {
        let reason = "another engine made the lines behind it".to_owned();
        return Some(Boundary { lines: at + 1, certain: false, reason });
    }
    let times: Vec<Option<i64>> =
        config.history.iter().map(|h| h.created.as_deref().and_then(seconds)).collect();
    let pause = times.windows(2).rposition(|pair| match pair {
        [Some(a), Some(b)] => (b - a).abs() > PAUSE_SECONDS_MAX,
        _ => false,
    })?;
    Some(Boundary {
        lines: pause + 1,
        certain: false,
        reason: "the lines behind it were made more than six hours later".to_owned(),
    })
}

/// Seconds since 1970 of an RFC 3339 time, without its fraction; days by Howard Hinnant's days_from_civil.
fn seconds(time: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    // `date -u -d 2026-11-24T12:00:00Z +%s`
    #[test]
    fn times() {
        assert_eq!(seconds("2026-11-24T12:00:00.123456789Z"), Some(1_795_521_600));
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("nonsense"), None);
        assert_eq!(seconds("2026-1é-24T12:00:00Z"), None);
    }
}
