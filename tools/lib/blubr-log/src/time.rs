//! Points in time, as a log spells them: RFC 3339, UTC, nine digits.

use std::fmt;

/// Nanoseconds since 1970-01-01T00:00:00Z; in a log `2026-11-24T12:00:00.123456789Z`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

/// Length of the text form, in bytes.
pub(crate) const TEXT_LEN: usize = 30;

const NS_A_SECOND: u64 = 1_000_000_000;
const SECONDS_A_DAY: u64 = 86_400;

impl Time {
    /// The text form, `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ`.
    pub(crate) fn text(self) -> [u8; TEXT_LEN] {
        let seconds = self.0 / NS_A_SECOND;
        let (year, month, day) = civil(seconds / SECONDS_A_DAY);
        let of_day = seconds % SECONDS_A_DAY;
        let mut out = *b"0000-00-00T00:00:00.000000000Z";
        digits(&mut out[0..4], year);
        digits(&mut out[5..7], month);
        digits(&mut out[8..10], day);
        digits(&mut out[11..13], of_day / 3600);
        digits(&mut out[14..16], of_day / 60 % 60);
        digits(&mut out[17..19], of_day % 60);
        digits(&mut out[20..29], self.0 % NS_A_SECOND);
        out
    }

    /// Reads the text form. `None` if it is not exactly that form, or no date.
    pub fn parse(text: &str) -> Option<Time> {
        let b = text.as_bytes();
        if b.len() != TEXT_LEN || b[29] != b'Z' || b[10] != b'T' || b[19] != b'.' {
            return None;
        }
        if b[4] != b'-' || b[7] != b'-' || b[13] != b':' || b[16] != b':' {
            return None;
        }
        let year = number(&b[0..4])?;
        let (month, day) = (number(&b[5..7])?, number(&b[8..10])?);
        let (hour, minute, second) = (number(&b[11..13])?, number(&b[14..16])?, number(&b[17..19])?);
        if !(1970..=2500).contains(&year) || !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let days = days(year, month, day);
        if civil(days) != (year, month, day) {
            return None;
        }
        let seconds = days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second;
        Some(Time(seconds * NS_A_SECOND + number(&b[20..29])?))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl serde::de::Visitor<'_> for V {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as 2026-11-24T12:00:00.123456789Z")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                Time::parse(text)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        d.deserialize_str(V)
    }
}

fn digits(out: &mut [u8], value: u64) {
    // No part of a time has more than nine digits: divisions of 32 bits.
    let mut value = value as u32;
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn number(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u64::from(b - b'0')))
}

/// Days since 1970-01-01 to (year, month, day) of the proleptic Gregorian calendar, by eras of 400
/// years that begin on 1 March.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era_day = z % 146_097;
    let era_year = (era_day - era_day / 1460 + era_day / 36_524 - era_day / 146_096) / 365;
    let year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
    let shifted = (5 * year_day + 2) / 153;
    let day = year_day - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (z / 146_097 * 400 + era_year + u64::from(month <= 2), month, day)
}

/// The inverse of [`civil`]; `year` is at least 1970.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let y = year - u64::from(month <= 2);
    let era_year = y % 400;
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let year_day = (153 * shifted + 2) / 5 + day - 1;
    y / 400 * 146_097 + era_year * 365 + era_year / 4 - era_year / 100 + year_day - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        // `date -u -d @1795521600.5 +%FT%T.%NZ` and its like.
        for (ns, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (1_795_521_600_500_000_000, "2026-11-24T12:00:00.500000000Z"),
            (4_107_542_399_999_999_999, "2100-02-28T23:59:59.999999999Z"),
        ] {
            assert_eq!(Time(ns).to_string(), text);
            assert_eq!(Time::parse(text), Some(Time(ns)));
        }
    }

    #[test]
    fn every_day_of_two_centuries_comes_back() {
        for day in 0..75_000u64 {
            let (y, m, d) = civil(day);
            assert_eq!(days(y, m, d), day);
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "2026-11-24T12:00:00Z",
            "2026-02-30T12:00:00.000000000Z",
            "2026-13-01T12:00:00.000000000Z",
            "2026-11-24 12:00:00.000000000Z",
            "2026-11-24T24:00:00.000000000Z",
            "2026-11-24T12:00:00.00000000\u{e9}",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }
}
