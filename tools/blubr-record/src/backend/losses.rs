//! The table in which the probes count what the ring had no room for.

use std::io;

use aya::maps::MapData;
use blubr_probes::wire;

use crate::mapping::Mapping;

/// Entries of a CPU: one for each kind of record.
pub const KINDS: usize = wire::wire_kind::WIRE_KIND_COUNT as usize;

/// What was lost of each kind.
pub type Counts = [Loss; KINDS];

/// Entries of so many CPUs.
pub fn entries(cpus: u32) -> u32 {
    cpus * wire::wire_kind::WIRE_KIND_COUNT as u32
}

/// The table, as it lies in the kernel's memory: a CPU's entries behind another's.
pub struct LossTable {
    table: Mapping,
    entries: usize,
    /// Its descriptor is what the mapping stands on.
    _map: MapData,
}

impl LossTable {
    /// Maps the table of so many CPUs.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(map: MapData, cpus: u32) -> io::Result<Self> {
        let entries = usize::try_from(entries(cpus)).map_err(io::Error::other)?;
        let table = Mapping::new(&map, entries * size_of::<wire::wire_loss>(), libc::PROT_READ, 0)?;
        Ok(LossTable { table, entries, _map: map })
    }

    /// Puts what was lost since the start into `counts`.
    pub fn read(&self, counts: &mut Counts) {
        counts.fill(Loss::default());
        for at in 0..self.entries {
            let entry = at * size_of::<wire::wire_loss>();
            let number = |offset: usize| self.table.number(entry + offset);
            let (count, outside) = (
                number(std::mem::offset_of!(wire::wire_loss, count)),
                number(std::mem::offset_of!(wire::wire_loss, outside)),
            );
            let sum = &mut counts[at % KINDS];
            sum.count += count + outside;
            sum.outside += outside;
        }
    }
}

/// Counts of one kind that was lost.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Records, since the start.
    pub count: u64,
    /// Of these, what tasks outside containers and the recorded command had to give up.
    pub outside: u64,
}
