//! Words whose quotes are gone (`ENV A=1 B=two words`), cut again with the help of the image's config.

use std::collections::BTreeSet;

/// Candidates for a cut that are weighed against each other; with more, every candidate is taken.
const CANDIDATES_MAX: usize = 128;

/// Cuts `A=1 B=two words` into names and values. `known` says whether a name may be one here, and its final value where the
/// config has one. The second answer: whether this is the only reading.
pub fn pairs<'k>(
    text: &str,
    known: impl Fn(&str) -> Option<Option<&'k str>>,
) -> (Vec<(String, String)>, bool) {
    let starts = starts(text, &known);
    let Some(first) = starts.first() else { return (Vec::new(), false) };
    if first.at != 0 {
        return (Vec::new(), false);
    }
    let chosen = if starts.len() > CANDIDATES_MAX {
        (0..starts.len()).collect()
    } else {
        choose(text, &starts, &known)
    };
    let mut found = Vec::new();
    let mut sure = true;
    for (i, at) in chosen.iter().enumerate() {
        let Some(start) = starts.get(*at) else { continue };
        let end =
            chosen.get(i + 1).and_then(|next| starts.get(*next)).map_or(text.len(), |next| next.at - 1);
        let value = text.get(start.value..end).unwrap_or("");
        sure &= !value.contains(' ') || known(start.name).flatten() == Some(value);
        found.push((start.name.to_owned(), value.to_owned()));
    }
    (found, sure)
}

/// Whether a text can be cut into `count` pairs of names that are all known in one way only.
pub fn has_one_reading<'k>(
    text: &str,
    known: impl Fn(&str) -> Option<Option<&'k str>>,
    count: usize,
) -> bool {
    let starts = starts(text, &known);
    starts.len() == count && starts.iter().all(|s| known(s.name).is_some())
}

/// Where a pair may begin.
struct Start<'a> {
    at: usize,
    name: &'a str,
    value: usize,
}

fn starts<'a, 'k>(text: &'a str, known: impl Fn(&str) -> Option<Option<&'k str>>) -> Vec<Start<'a>> {
    let mut found = Vec::new();
    let mut at = 0;
    for word in text.split(' ') {
        if let Some((name, _)) = word.split_once('=').filter(|(name, _)| !name.is_empty())
            && (at == 0 || known(name).is_some())
        {
            found.push(Start { at, name, value: at + name.len() + 1 });
        }
        at += word.len() + 1;
    }
    found
}

/// The cuts with the most values that the config confirms; of these the one with most pairs.
fn choose<'k>(
    text: &str,
    starts: &[Start<'_>],
    known: impl Fn(&str) -> Option<Option<&'k str>>,
) -> Vec<usize> {
    let count = starts.len();
    // Best (confirmed, pairs) of the text from each candidate on, and the next cut there.
    let mut best = vec![(0_usize, 0_usize, count); count + 1];
    for i in (0..count).rev() {
        let Some(start) = starts.get(i) else { continue };
        let value = known(start.name).flatten();
        let mut mine = None;
        for j in i + 1..=count {
            let end = starts.get(j).map_or(text.len(), |next| next.at.saturating_sub(1));
            let confirmed = usize::from(value.is_some() && text.get(start.value..end) == value);
            let after = best.get(j).copied().unwrap_or_default();
            let score = (after.0 + confirmed, after.1 + 1, j);
            if mine.is_none_or(|m: (usize, usize, usize)| (score.0, score.1) > (m.0, m.1)) {
                mine = Some(score);
            }
        }
        if let (Some(slot), Some(mine)) = (best.get_mut(i), mine) {
            *slot = mine;
        }
    }
    let mut chosen = Vec::new();
    let mut at = 0;
    while at < count {
        chosen.push(at);
        at = best.get(at).map_or(count, |b| b.2).max(at + 1);
    }
    chosen
}

/// Words of one name that are tried as one; no engine's own names have more.
const NAME_WORDS_MAX: usize = 16;

/// Cuts `/v3 /v 4` into names: the longest runs of words that are in `known`, else single words. The second answer: whether
/// all are known.
pub fn names(text: &str, known: &BTreeSet<&str>) -> (Vec<String>, bool) {
    let words: Vec<&str> = text.split(' ').filter(|w| !w.is_empty()).collect();
    let mut found = Vec::new();
    let mut sure = true;
    let mut at = 0;
    while at < words.len() {
        let longest = NAME_WORDS_MAX.min(words.len() - at);
        let run = (1..=longest).rev().find_map(|n| {
            let joined = words.get(at..at + n)?.join(" ");
            known.contains(joined.as_str()).then_some((joined, n))
        });
        let (name, taken) = run.unwrap_or_else(|| {
            sure = false;
            (words.get(at).copied().unwrap_or("").to_owned(), 1)
        });
        found.push(name);
        at += taken;
    }
    (found, sure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, config: &[(&str, &str)]) -> (Vec<String>, bool) {
        let config: Vec<(String, String)> =
            config.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        let (pairs, sure) =
            pairs(text, |name| config.iter().find(|(n, _)| n == name).map(|(_, v)| Some(v.as_str())));
        (pairs.into_iter().map(|(n, v)| format!("{n}|{v}")).collect(), sure)
    }

    #[test]
    fn the_config_says_where_values_end() {
        let config = [("A", "1"), ("B", "two words"), ("C", "sing $A le"), ("D", "x=y A=b z")];
        assert_eq!(
            cut("A=1 B=two words C=sing $A le", &config),
            (vec!["A|1".into(), "B|two words".into(), "C|sing $A le".into()], true)
        );
        assert_eq!(cut("D=x=y A=b z", &config), (vec!["D|x=y A=b z".into()], true));
    }

    #[test]
    fn an_overridden_value_is_not_sure_if_it_has_spaces() {
        assert_eq!(cut("A=old value", &[("A", "new")]), (vec!["A|old value".into()], false));
        assert_eq!(cut("A=old", &[("A", "new")]), (vec!["A|old".into()], true));
        assert!(!cut("no pair", &[]).1);
    }

    #[test]
    fn volumes() {
        let known = BTreeSet::from(["/v 4", "/v3"]);
        assert_eq!(names("/v3 /v 4", &known), (vec!["/v3".into(), "/v 4".into()], true));
        assert_eq!(names("/v3 /x y", &known).0, ["/v3", "/x", "y"]);
    }

    #[test]
    fn many_candidates_stay_cheap() {
        let text = "A=1 ".repeat(20_000);
        assert!(!cut(text.trim(), &[("A", "1")]).0.is_empty());
    }
}
