//! Inline files of COPY and ADD with buildah: it writes each into a directory of its own among the temporary files, and has a helper
//! enter the folder for those (`StageExecutor.performCopy`). What was made is the context, and not all that lies in that folder.

use crate::build::{Moment, ProcessKey};
use crate::path::{base, parent};

use super::Finder;

/// Such directories in one folder at a time: a COPY has as many as inline files.
const HEREDOCS_MAX: usize = 1 << 10;

impl Finder {
    /// A directory was made.
    pub(super) fn heredoc_made(&mut self, key: ProcessKey, path: &[u8]) {
        if !is_heredoc(path) || !self.makers.contains_key(&key) {
            return;
        }
        let dir = self.tree.host_path(key, path);
        let Some(folder) = parent(&dir).map(<[u8]>::to_vec) else { return };
        if self.keep(dir.len() + folder.len()) {
            let all = self.heredocs.entry(folder).or_default();
            if all.len() < HEREDOCS_MAX {
                all.push((key, dir));
            }
        }
    }

    /// A directory was removed.
    pub(super) fn heredoc_removed(&mut self, dir: &[u8]) {
        if is_heredoc(dir)
            && let Some(all) = parent(dir).and_then(|folder| self.heredocs.get_mut(folder))
        {
            all.retain(|(_, made)| made != dir);
        }
    }

    /// A helper of `maker` enters the folder in which that has made such directories: they are known then. `false` where it has
    /// made none.
    pub(super) fn heredocs_entered(&mut self, maker: ProcessKey, folder: &[u8], now: Moment) -> bool {
        let all = self.heredocs.get(folder).into_iter().flatten();
        let made: Vec<Vec<u8>> =
            all.filter(|(by, _)| *by == maker).map(|(_, dir)| dir.clone()).collect();
        for dir in &made {
            if self.by_dir.get(dir).is_none() && self.room() {
                self.add_dir(maker, dir.clone(), now, false);
            }
        }
        !made.is_empty()
    }
}

fn is_heredoc(path: &[u8]) -> bool {
    base(path).starts_with(b"buildah-heredoc")
}
