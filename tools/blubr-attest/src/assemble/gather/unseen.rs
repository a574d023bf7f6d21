//! What the record can't follow: that it was there is known, and not what it did.

use blubr_log::{Body, Event};

use super::{EVIDENCE_MAX, Pass};

/// What the kernel calls a ring's file (io_uring_get_file).
pub const RING_FILE: &[u8] = b"/[io_uring]";

impl Pass<'_> {
    /// What the record can't follow is there.
    pub(super) fn blinding(&mut self, event: &Event<'_>) {
        // Where the result is not known it may be there.
        if event.failed() {
            return;
        }
        match &event.body {
            Body::WatchIouring(_) => self.out.has_rings = true,
            Body::WatchSocket(_) => self.out.has_other_sockets = true,
            // One that another process made and passed on.
            Body::FileOpen(open) => {
                let ring = open.path.get().is_some_and(|path| path.bytes() == RING_FILE);
                self.out.has_rings |= event.tail.via.is_some() && ring;
            }
            _ => {}
        }
    }

    /// A socket without one destination has ended. Where its bytes went the sends tell, if all were seen; where they are not
    /// counted it may have sent any.
    pub(super) fn sent_somewhere(&mut self, event: &Event<'_>) {
        let Body::NetClose(close) = &event.body else { return };
        if close.daddr.is_some() || close.bytes_sent == Some(0) {
            return;
        }
        self.out.sent_somewhere_count += 1;
        if self.out.sent_somewhere.len() < EVIDENCE_MAX {
            self.out.sent_somewhere.push(event.head.seq);
        }
    }
}
