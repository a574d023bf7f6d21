//! Durations as Go writes them: `1h30m`, `1.5s`, `-2ms`.

/// Nanoseconds; nothing for what Go's `time.ParseDuration` refuses.
#[must_use]
pub fn nanoseconds(text: &str) -> Option<i64> {
    const UNITS: [(&str, i128); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (whole, behind) = digits(rest);
        let (fraction, behind) = match behind.strip_prefix('.') {
            Some(behind) => digits(behind),
            None => ("", behind),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = behind.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        let whole: i128 = if whole.is_empty() { 0 } else { i128::from(whole.parse::<i64>().ok()?) };
        total = total.checked_add(whole.checked_mul(unit)?)?;
        // Digits beyond the 18th are below a nanosecond.
        let fraction = fraction.get(..18).unwrap_or(fraction);
        if let (Ok(value), Ok(length)) = (fraction.parse::<i128>(), u32::try_from(fraction.len())) {
            total = total.checked_add(value * unit / 10_i128.pow(length))?;
        }
        rest = behind;
        if total > i128::from(i64::MAX) + i128::from(sign == -1) {
            return None;
        }
    }
    i64::try_from(total * sign).ok()
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Examples of the documentation of Go's time.ParseDuration.
    #[test]
    fn as_go_reads_them() {
        for (text, want) in [
            ("0", Some(0)),
            ("5s", Some(5_000_000_000)),
            ("1h15m30.918s", Some(4_530_918_000_000)),
            ("-1.5ms", Some(-1_500_000)),
            (".5s", Some(500_000_000)),
            ("1.s", Some(1_000_000_000)),
            ("1µs", Some(1_000)),
            ("", None),
            ("5", None),
            ("s", None),
            (".s", None),
            ("5 s", None),
            ("1d", None),
            ("9999999h", None),
        ] {
            assert_eq!(nanoseconds(text), want, "{text}");
        }
    }
}
