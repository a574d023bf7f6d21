//! How long the names of a table are: a path of another length need not be looked up there.

/// Whether there is, or was, a name of so many bytes.
#[derive(Default)]
pub(super) struct Lengths(Vec<bool>);

impl Lengths {
    pub(super) fn note(&mut self, bytes: usize) {
        if self.0.len() <= bytes {
            self.0.resize(bytes + 1, false);
        }
        if let Some(known) = self.0.get_mut(bytes) {
            *known = true;
        }
    }

    pub(super) fn has(&self, bytes: usize) -> bool {
        self.0.get(bytes).is_some_and(|known| *known)
    }
}
