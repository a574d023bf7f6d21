//! The log as the recorder writes it: gives each event its number, its time and its cgroup's path.

use std::collections::BTreeMap;
use std::io::{self, Write};

use blubr_log::{Body, Event, Head, LineMark, Lost, Name, NameList, Seen, Tail, Time, Writer};
use blubr_probes::wire::wire_head;

use crate::cgroup::Cgroups;

/// CLOCK_REALTIME minus CLOCK_MONOTONIC, taken once.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    offset_ns: i128,
}

impl Clock {
    /// From one reading of both clocks, in ns.
    pub fn new(realtime_ns: u64, monotonic_ns: u64) -> Self {
        Clock { offset_ns: i128::from(realtime_ns) - i128::from(monotonic_ns) }
    }

    /// The time of day at a moment of the monotonic clock.
    pub fn time(self, monotonic_ns: u64) -> Time {
        Time(u64::try_from(i128::from(monotonic_ns) + self.offset_ns).unwrap_or(0))
    }
}

/// Writes events in the order in which they are given.
pub struct Log<W: Write> {
    writer: Writer<W>,
    clock: Clock,
    seq: u64,
    /// Paths of control groups.
    pub cgroups: Cgroups,
}

impl<W: Write> Log<W> {
    /// A log whose header is written.
    pub fn new(writer: Writer<W>, clock: Clock, cgroups: Cgroups) -> Self {
        Log { writer, clock, seq: 0, cgroups }
    }

    /// The time of day at a moment of the monotonic clock.
    pub fn time(&self, monotonic_ns: u64) -> Time {
        self.clock.time(monotonic_ns)
    }

    /// Writes one event.
    ///
    /// # Errors
    /// What the output returns.
    pub fn event(&mut self, head: &wire_head, body: Body<'_>, tail: Tail<'_>) -> io::Result<()> {
        self.cgroups.look_for(head.cgroup_id);
        self.seq += 1;
        let comm = head.comm.split(|b| *b == 0).next().unwrap_or_default();
        let event = Event {
            head: Head {
                seq: self.seq,
                time: self.clock.time(head.time_ns),
                r#type: Name::from(body.type_name()),
                pid: head.pid,
                tid: head.tid,
                start: head.start_ns,
                ppid: head.ppid,
                comm: Name::from(comm),
                uid: head.uid,
                cgroup: Seen(self.cgroups.path(head.cgroup_id).map(Name::from)),
                cgroup_id: head.cgroup_id,
                mntns: head.mntns,
            },
            body,
            tail,
        };
        self.writer.event(&event)
    }

    /// Says what was lost between two moments of the monotonic clock, and how many of these events tasks outside had to give up.
    ///
    /// # Errors
    /// What the output returns.
    pub fn lost(
        &mut self,
        by_type: BTreeMap<String, u64>,
        lost_outside: u64,
        after_ns: u64,
        before_ns: u64,
    ) -> io::Result<()> {
        let lost = Lost {
            r#type: LineMark::Lost.name().to_owned(),
            after: self.clock.time(after_ns),
            before: self.clock.time(before_ns),
            lost: by_type.values().sum(),
            lost_outside,
            by_type,
        };
        self.writer.lost(&lost)
    }

    /// The writer, for checkpoints and the trailer.
    pub fn writer(&mut self) -> &mut Writer<W> {
        &mut self.writer
    }

    /// Ends the log with its trailer.
    ///
    /// # Errors
    /// What the output returns.
    pub fn finish(self, ended_ns: u64, exit: Option<i32>) -> io::Result<W> {
        let ended = self.clock.time(ended_ns);
        self.writer.finish(ended, exit, Vec::new())
    }
}

/// The fields of an event that were cut, as its tail says it: each by its key, which a test holds against the schema.
#[derive(Debug, Default, Clone)]
pub struct Cut(Vec<&'static str>);

impl Cut {
    /// Nothing was cut.
    pub fn none() -> Self {
        Cut::default()
    }

    /// Notes a field where `cut`.
    pub fn note(&mut self, field: &'static str, cut: bool) {
        if cut && !self.0.contains(&field) {
            self.0.push(field);
        }
    }

    /// For the tail.
    pub fn list(&self) -> Option<NameList<'static>> {
        (!self.0.is_empty()).then(|| NameList::from_names(&self.0))
    }
}

/// A name out of a buffer where it is known.
pub fn seen(known: bool, bytes: &[u8]) -> Seen<Name<'_>> {
    Seen(known.then(|| Name::from(bytes)))
}
