//! `--cgroup GLOB`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use blubr_log::Event;
use globset::GlobSet;

use super::Selector;

/// Events of processes whose control group fits a glob.
pub(crate) struct Cgroups(pub(crate) GlobSet);

impl Selector for Cgroups {
    fn select(&mut self, event: &Event<'_>) -> bool {
        let path = event.head.cgroup.get();
        path.is_some_and(|path| self.0.is_match(OsStr::from_bytes(path.bytes())))
    }
}
