//! All ways to give each chain of steps to a client that keep to the rules: what every one of them says is known.

use std::collections::{BTreeSet, HashSet};

/// Pairs of chains that are looked at for one group before it counts as undecided: 65,536 choices among 8 chains. It
/// bounds how deep choices follow upon one another, too: no group of more than 161 chains is ever given out whole.
const LOOKS_MAX: usize = 1 << 22;

/// Chains (by index) that clients (by index) may have asked for.
pub(crate) struct Puzzle<'r> {
    /// For each chain the clients that may have asked for it.
    pub(crate) fits: &'r [Vec<usize>],
    /// Whether one client can't have asked for both chains.
    pub(crate) apart: &'r dyn Fn(usize, usize, usize) -> bool,
    /// Clients that must have a chain.
    pub(crate) needs: &'r BTreeSet<usize>,
}

impl Puzzle<'_> {
    /// For each chain of the group the clients that have it in one way or other of giving out all of them, in the
    /// order of the group; `None` where there is no such way, or too many to try.
    pub(crate) fn solve(&self, group: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut seen: Vec<HashSet<usize>> = vec![HashSet::new(); group.len()];
        let mut looks = LOOKS_MAX;
        let clients: BTreeSet<usize> =
            group.iter().flat_map(|chain| self.fits[*chain].iter().copied()).collect();
        let needs: Vec<usize> = self.needs.intersection(&clients).copied().collect();
        for at in 0..group.len() {
            for &client in &self.fits[group[at]] {
                if seen[at].contains(&client) {
                    continue;
                }
                let mut given: Vec<Option<usize>> = vec![None; group.len()];
                given[at] = Some(client);
                if self.extend(group, &needs, &mut given, &mut looks)? {
                    for (seen, client) in seen.iter_mut().zip(&given) {
                        seen.extend(client);
                    }
                }
            }
        }
        let found: Vec<Vec<usize>> = group
            .iter()
            .zip(&seen)
            .map(|(chain, seen)| {
                self.fits[*chain].iter().copied().filter(|client| seen.contains(client)).collect()
            })
            .collect();
        found.iter().all(|clients: &Vec<usize>| !clients.is_empty()).then_some(found)
    }

    fn may_have(
        &self,
        group: &[usize],
        given: &[Option<usize>],
        at: usize,
    ) -> impl Iterator<Item = usize> {
        let free = |client: &usize| {
            given.iter().enumerate().all(|(other, owner)| {
                other == at || *owner != Some(*client) || !(self.apart)(group[at], group[other], *client)
            })
        };
        self.fits[group[at]].iter().copied().filter(free).collect::<Vec<_>>().into_iter()
    }

    /// Gives out the rest; `None` when it takes too long. The chain with the fewest choices goes first.
    fn extend(
        &self,
        group: &[usize],
        needs: &[usize],
        given: &mut Vec<Option<usize>>,
        looks: &mut usize,
    ) -> Option<bool> {
        *looks = looks.checked_sub(group.len() * group.len())?;
        let mut open: Vec<(usize, Vec<usize>)> = Vec::new();
        for at in 0..group.len() {
            if given[at].is_none() {
                let choices: Vec<usize> = self.may_have(group, given, at).collect();
                if choices.is_empty() {
                    return Some(false);
                }
                open.push((at, choices));
            }
        }
        // Who needs a chain and can no longer have one.
        let starved = |client: &&usize| {
            !given.contains(&Some(**client)) && !open.iter().any(|(_, choices)| choices.contains(client))
        };
        if needs.iter().any(|client| starved(&client)) {
            return Some(false);
        }
        let Some((at, choices)) = open.into_iter().min_by_key(|(at, choices)| (choices.len(), *at))
        else {
            return Some(true);
        };
        for client in choices {
            given[at] = Some(client);
            if self.extend(group, needs, given, looks)? {
                return Some(true);
            }
        }
        given[at] = None;
        Some(false)
    }
}

/// Chains that have a client in common, directly or through others: each group is a puzzle of its own.
pub(crate) fn groups(fits: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut group_of: Vec<Option<usize>> = vec![None; fits.len()];
    let mut by_client: std::collections::HashMap<usize, Vec<usize>> = std::collections::HashMap::new();
    for (chain, clients) in fits.iter().enumerate() {
        for client in clients {
            by_client.entry(*client).or_default().push(chain);
        }
    }
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for first in 0..fits.len() {
        if group_of[first].is_some() {
            continue;
        }
        let mut group = Vec::new();
        let mut open = vec![first];
        group_of[first] = Some(groups.len());
        while let Some(chain) = open.pop() {
            group.push(chain);
            for other in fits[chain].iter().flat_map(|client| &by_client[client]) {
                if group_of[*other].is_none() {
                    group_of[*other] = Some(groups.len());
                    open.push(*other);
                }
            }
        }
        group.sort_unstable();
        groups.push(group);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solve(
        fits: &[&[usize]],
        apart: &dyn Fn(usize, usize, usize) -> bool,
        needs: &[usize],
    ) -> Option<Vec<Vec<usize>>> {
        let fits: Vec<Vec<usize>> = fits.iter().map(|clients| clients.to_vec()).collect();
        let all: Vec<usize> = (0..fits.len()).collect();
        let needs = needs.iter().copied().collect();
        Puzzle { fits: &fits, apart, needs: &needs }.solve(&all)
    }

    const ONE_EACH: &dyn Fn(usize, usize, usize) -> bool = &|_, _, _| true;
    const ANY: &dyn Fn(usize, usize, usize) -> bool = &|_, _, _| false;

    #[test]
    fn what_two_ways_allow_stays_open() {
        assert_eq!(solve(&[&[0, 1], &[0, 1]], ONE_EACH, &[0, 1]), Some(vec![vec![0, 1], vec![0, 1]]));
    }

    #[test]
    fn one_known_chain_decides_the_others() {
        let found = solve(&[&[0], &[0, 1, 2], &[1, 2], &[2]], ONE_EACH, &[]);
        assert_eq!(found, None, "three clients for four chains");
        let found = solve(&[&[0, 1, 2], &[1, 2], &[2]], ONE_EACH, &[]);
        assert_eq!(found, Some(vec![vec![0], vec![1], vec![2]]));
    }

    #[test]
    fn who_needs_a_chain_gets_the_only_one_it_can_have() {
        assert_eq!(solve(&[&[0, 1], &[0]], ANY, &[0, 1]), Some(vec![vec![1], vec![0]]));
        assert_eq!(solve(&[&[0, 1], &[0]], ANY, &[]), Some(vec![vec![0, 1], vec![0]]));
        assert_eq!(solve(&[&[0, 1]], ANY, &[0, 1]), None);
    }

    #[test]
    fn chains_at_the_same_time_are_two_clients() {
        let apart: &dyn Fn(usize, usize, usize) -> bool = &|a, b, _| (a == 0) != (b == 0);
        // Chains 1 and 2 follow each other, chain 0 runs beside both.
        let found = solve(&[&[0], &[0, 1], &[0, 1]], apart, &[]);
        assert_eq!(found, Some(vec![vec![0], vec![1], vec![1]]));
    }

    #[test]
    fn too_many_ways_are_no_answer_and_end() {
        // One client too few, in a way that only trying everything shows.
        let clients: Vec<usize> = (0..11).collect();
        let fits: Vec<&[usize]> = (0..12).map(|_| clients.as_slice()).collect();
        assert_eq!(solve(&fits, ONE_EACH, &[]), None);
    }

    #[test]
    fn a_group_as_large_as_a_log_may_make_it_is_no_answer_and_ends() {
        let fits: Vec<&[usize]> = (0..100_000).map(|_| [0].as_slice()).collect();
        assert_eq!(solve(&fits, ANY, &[]), None);
    }

    #[test]
    fn groups_have_clients_in_common() {
        let fits = [vec![0], vec![1, 2], vec![0, 3], vec![], vec![2]];
        assert_eq!(groups(&fits), [vec![0, 2], vec![1, 4], vec![3]]);
    }
}
