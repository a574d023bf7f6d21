//! Unix sockets: which ones containers made themselves, and which others they connected to.

use blubr_log::{Body, Event, Name};

use super::Pass;
use super::touches::makes_socket;
use blubr_log::event::may_have_reached;

/// Sockets of containers that are remembered.
const SOCKETS_MAX: usize = 10_000;

impl Pass<'_> {
    /// Which unix sockets a container made, and which others it connected to. Of those without a file nothing tells who made
    /// them.
    pub(super) fn socket(&mut self, run: u32, event: &Event<'_>) {
        let place = |path: &[u8]| {
            let spot = self.membership.spot(event, path)?;
            Some((run, spot.path, spot.mounted))
        };
        match &event.body {
            Body::FileMknod(it) if makes_socket(event) && !event.failed() => {
                let made = it.path.get().and_then(|path| place(path.bytes()));
                if self.bound.len() < SOCKETS_MAX {
                    self.bound.extend(made);
                }
            }
            Body::FileRename(it) if !self.bound.is_empty() && !event.failed() => {
                let from = it.path.get().and_then(|path| place(path.bytes()));
                if from.is_some_and(|from| self.bound.contains(&from)) && self.bound.len() < SOCKETS_MAX
                {
                    let to = it.to.get().and_then(|path| place(path.bytes()));
                    self.bound.extend(to);
                }
            }
            Body::UnixConnect(it) if may_have_reached(event.tail.ret.unwrap_or(0)) => {
                let path = it.path.get().map(Name::bytes);
                let own = path.filter(|path| path.starts_with(b"/")).and_then(place);
                if own.is_none_or(|own| !self.bound.contains(&own)) {
                    let name = path.map_or_else(|| "without a name".into(), String::from_utf8_lossy);
                    let first = || (name.into_owned(), 0);
                    self.out.sockets.get_or_insert_with(first).1 += 1;
                }
            }
            _ => {}
        }
    }
}
