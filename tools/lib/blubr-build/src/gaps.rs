//! Where a log is not whole: lost events, and filters that passed on only some kinds.

use blubr_log::{Header, Lost, Time};

/// Stretches of loss that are told apart; with more the whole log counts as one.
const STRETCHES_MAX: usize = 1 << 12;

/// Stretches of a log in which events are missing.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    stretches: Vec<Stretch>,
    everywhere: bool,
}

#[derive(Debug)]
struct Stretch {
    after: Time,
    before: Time,
    /// How many events were lost that may tell of steps: of these, how many of unprivileged tasks outside.
    lost: (u64, u64),
}

impl Stretch {
    fn touches(&self, from: Time, to: Time) -> bool {
        self.after <= to && self.before >= from
    }
}

impl Gaps {
    /// What a header says: a filter other than by build has taken out more than other builds' events.
    pub(crate) fn of(header: &Header) -> Self {
        let mut args = header.filters.iter().flat_map(|filter| &filter.args);
        let everywhere = args.any(|arg| {
            arg.starts_with("--")
                && arg != "--build"
                && !arg.starts_with("--dockerfile")
                && !crate::shared::is_shared_argument(arg)
        });
        Gaps { stretches: Vec::new(), everywhere }
    }

    pub(crate) fn add(&mut self, lost: &Lost) {
        // By connections and what is tried against the recorder no step is known; but a client by its engine's socket, and what
        // is lost of calls of connect(2) is counted under one name.
        let beside =
            |kind: &str| kind.starts_with("net.") && kind != "net.connect" || kind.starts_with("watch.");
        let beside: u64 = lost.by_type.iter().filter(|(kind, _)| beside(kind)).map(|(_, n)| *n).sum();
        let all = lost.lost.saturating_sub(beside);
        self.put(Stretch { after: lost.after, before: lost.before, lost: (all, lost.lost_outside) });
    }

    fn put(&mut self, stretch: Stretch) {
        if self.stretches.len() < STRETCHES_MAX {
            self.stretches.push(stretch);
        } else {
            self.everywhere = true;
        }
    }

    /// Something was recorded, but not what it says: as good as lost.
    pub(crate) fn unclear(&mut self, at: Time) {
        self.put(Stretch { after: at, before: at, lost: (0, 0) });
    }

    /// Whether something may be missing between the two times.
    pub(crate) fn within(&self, from: Time, to: Time) -> bool {
        self.everywhere || self.stretches.iter().any(|one| one.touches(from, to))
    }

    /// Whether events were lost between the two times that may tell of steps; `outside`: those of unprivileged tasks outside too.
    pub(crate) fn lost_within(&self, from: Time, to: Time, outside: bool) -> bool {
        let counts = |one: &&Stretch| one.lost.0 > if outside { 0 } else { one.lost.1 };
        let too_many = self.stretches.len() >= STRETCHES_MAX;
        too_many || self.stretches.iter().filter(counts).any(|one| one.touches(from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_of_loss_counts_where_it_touches() {
        let mut gaps = Gaps::default();
        assert!(!gaps.within(Time(0), Time(100)));
        let lost = Lost {
            r#type: "lost".to_owned(),
            after: Time(10),
            before: Time(20),
            lost: 1,
            lost_outside: 0,
            by_type: Default::default(),
        };
        gaps.add(&lost);
        assert!(gaps.within(Time(20), Time(30)) && gaps.within(Time(0), Time(10)));
        assert!(!gaps.within(Time(21), Time(30)) && !gaps.within(Time(0), Time(9)));
        gaps.unclear(Time(40));
        assert!(gaps.within(Time(30), Time(40)) && !gaps.within(Time(41), Time(50)));
        for _ in 0..STRETCHES_MAX {
            gaps.add(&lost);
        }
        assert!(gaps.within(Time(50), Time(60)), "with too many to tell apart, everywhere");
    }
}
