//! The build's own interval in the log, and what was lost in it.

use blubr_build::Build;
use blubr_log::{Event, Lost, Time};

/// How many events were lost, and of these, how many were given up as those of tasks outside.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    pub all: u64,
    pub outside: u64,
}

impl Loss {
    fn add(&mut self, other: Self) {
        self.all = self.all.saturating_add(other.all);
        self.outside = self.outside.saturating_add(other.outside);
    }
}

/// From the checkpoint before the build's first event to the first after its last one.
#[derive(Debug, Default)]
pub(super) struct Interval {
    first_seq: u64,
    last_seq: u64,
    first_time: Time,
    last_time: Time,
    /// Events so far.
    pub events: u64,
    /// It begins after this many events.
    pub from: u64,
    /// It has ended after this many events.
    pub closed: Option<u64>,
    began: bool,
    passed: bool,
    /// Of times that touch the build's.
    touching: Loss,
    /// Of others, since the interval began.
    others: Loss,
}

impl Interval {
    pub(super) fn of(build: &Build) -> Self {
        let runs = &build.runs;
        let last = build.ended.map_or(0, |ended| ended.seq);
        Self {
            first_seq: runs.iter().map(|run| run.first_seq).fold(build.began.seq, u64::min),
            last_seq: runs.iter().map(|run| run.last_seq).fold(build.began.seq.max(last), u64::max),
            first_time: runs.iter().map(|run| run.began.time).fold(build.began.time, Time::min),
            ..Self::default()
        }
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    pub(super) fn event(&mut self, event: &Event<'_>) {
        self.moment(event.head.seq, event.head.time);
    }

    fn moment(&mut self, seq: u64, time: Time) {
        self.events += 1;
        self.began |= seq >= self.first_seq;
        self.passed |= seq > self.last_seq;
        if self.began && !self.passed {
            self.last_time = self.last_time.max(time);
        }
    }

    /// Where a loss stands in the log is when it was counted: while the ring waited to be read that is before events that are
    /// older than it, and of some it is only known at the end. So its times count too.
    pub(super) fn lost(&mut self, lost: &Lost) {
        let loss = Loss { all: lost.lost, outside: lost.lost_outside.min(lost.lost) };
        // Before the build's last event its place in the log decides.
        let begins_in_time = !self.passed || lost.after <= self.last_time;
        if lost.before >= self.first_time && begins_in_time {
            self.touching.add(loss);
        } else if self.closed.is_none() {
            self.others.add(loss);
        }
    }

    pub(super) fn checkpoint(&mut self, events: u64) {
        if !self.began {
            self.from = events;
            self.others = Loss::default();
        } else if self.passed && self.closed.is_none() {
            self.closed = Some(events);
        }
    }

    /// What was lost of it.
    pub(super) fn loss(&self) -> Loss {
        let mut loss = self.touching;
        loss.add(self.others);
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A build from event 10 at time 100 to event 20 at time 200.
    fn interval() -> Interval {
        Interval { first_seq: 10, last_seq: 20, first_time: Time(100), ..Interval::default() }
    }

    fn lost(after: u64, before: u64, lost: u64, lost_outside: u64) -> Lost {
        Lost {
            r#type: "lost".to_owned(),
            after: Time(after),
            before: Time(before),
            lost,
            lost_outside,
            by_type: Default::default(),
        }
    }

    fn events(interval: &mut Interval, seqs: std::ops::RangeInclusive<u64>) {
        seqs.for_each(|seq| interval.moment(seq, Time(seq * 10)));
    }

    #[test]
    fn what_was_lost_between_the_checkpoints_around_it_counts() {
        let mut it = interval();
        it.lost(&lost(0, 10, 1, 0));
        events(&mut it, 1..=5);
        it.checkpoint(5);
        it.lost(&lost(40, 60, 2, 1));
        events(&mut it, 6..=21);
        it.lost(&lost(205, 210, 4, 0));
        it.checkpoint(21);
        it.lost(&lost(210, 220, 8, 8));
        assert_eq!((it.from, it.closed), (5, Some(21)));
        assert_eq!(it.loss(), Loss { all: 6, outside: 1 });
    }

    #[test]
    fn a_loss_counts_by_its_time_where_it_is_told_before_older_events() {
        let mut it = interval();
        events(&mut it, 1..=5);
        // The ring still held events 6 and on when this was counted.
        it.lost(&lost(50, 150, 3, 2));
        it.checkpoint(5);
        events(&mut it, 6..=21);
        it.checkpoint(21);
        assert_eq!(it.loss(), Loss { all: 3, outside: 2 });
    }

    #[test]
    fn a_loss_of_the_whole_recording_that_is_told_at_its_end_counts() {
        let mut it = interval();
        events(&mut it, 1..=25);
        it.checkpoint(25);
        it.lost(&lost(0, 300, 1, 0));
        assert_eq!(it.loss(), Loss { all: 1, outside: 0 });
    }

    #[test]
    fn no_more_is_of_tasks_outside_than_was_lost() {
        let mut it = interval();
        it.lost(&lost(100, 150, 2, 7));
        assert_eq!(it.loss(), Loss { all: 2, outside: 2 });
        it.lost(&lost(100, 150, u64::MAX, u64::MAX));
        assert_eq!(it.loss(), Loss { all: u64::MAX, outside: u64::MAX });
    }
}
