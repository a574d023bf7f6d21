//! What a step's processes mount in mount namespaces of their own: what they change upon that is in no layer, and the step's other
//! processes see nothing of it.

use std::collections::{BTreeSet, HashMap};

use blubr_build::StepRun;
use blubr_log::event::{Dev, MountMount};
use blubr_log::{Body, Event, Name};

/// Mount points that are remembered; a count. Beyond, any name in such a namespace may lie upon a mount.
const POINTS_MAX: usize = 10_000;

/// The mounts of such namespaces, by run, and the device number of each run's tree.
#[derive(Default)]
pub struct Apart {
    points: HashMap<u32, BTreeSet<Vec<u8>>>,
    kept: usize,
    devices: HashMap<u32, Dev>,
}

/// Where a name lies for a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lies {
    /// In the step's tree, as far as is known.
    InTree,
    /// Its namespace has mounts of its own, not known to be above it.
    Perhaps,
    /// Below such a mount, or below the place of one of another namespace.
    Below,
    /// Upon another file system.
    Elsewhere,
}

impl Apart {
    /// Takes in an event of a container; `place` says what a name is in the step's own tree, where nothing is mounted upon it.
    pub fn learn(&mut self, run: &StepRun, event: &Event<'_>, place: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        match &event.body {
            Body::MountMount(mount) if !event.failed() && is_apart(run, event) && is_new(mount) => {
                let points = self.points.entry(run.id).or_default();
                let point = target(mount).and_then(|target| place(&target));
                match point.filter(|_| self.kept < POINTS_MAX) {
                    Some(point) => self.kept += usize::from(points.insert(point)),
                    // The root is above everything.
                    None => drop(points.insert(Vec::new())),
                }
            }
            // What the container's own namespace shows is the tree. overlayfs has no device of its own, and gets such a number.
            Body::FileOpen(open) if !event.failed() && !run.whole && !is_apart(run, event) => {
                if let (Some(path), Some(dev)) = (open.path.get(), open.dev)
                    && dev.major == 0
                    && !self.devices.contains_key(&run.id)
                    && place(path.bytes()).is_some()
                {
                    self.devices.insert(run.id, dev);
                }
            }
            _ => {}
        }
    }

    /// Where a name of an event of a container lies.
    pub fn lies(&self, run: &StepRun, event: &Event<'_>, path: &[u8]) -> Lies {
        let Some(points) = self.points.get(&run.id).filter(|_| is_apart(run, event)) else {
            return Lies::InTree;
        };
        let mut dirs = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let is_below = points.contains(path)
            || dirs.any(|end| path.get(..end).is_some_and(|dir| points.contains(dir)));
        if !is_below {
            return Lies::Perhaps;
        }
        // Who has a directory open below the mount goes on to name what is in it so.
        let dev = match &event.body {
            Body::FileOpen(it) => it.dev,
            Body::FileClose(it) => it.dev,
            _ => None,
        };
        let differs = dev.zip(self.devices.get(&run.id)).is_some_and(|(dev, tree)| dev != *tree);
        if differs { Lies::Elsewhere } else { Lies::Below }
    }
}

/// Whether a process of a container has another mount namespace than that.
fn is_apart(run: &StepRun, event: &Event<'_>) -> bool {
    run.mntns.is_some_and(|own| own != event.head.mntns)
}

/// Whether something is mounted, and not only what is there changed.
fn is_new(mount: &MountMount<'_>) -> bool {
    let has = |flag: &[u8]| mount.flags.iter().any(|given| given == flag);
    !has(b"remount") && (mount.fstype.is_some() || has(b"bind") || has(b"move"))
}

/// Where, as an absolute name.
fn target(mount: &MountMount<'_>) -> Option<Vec<u8>> {
    let target = mount.target.get()?.bytes();
    if target.first() == Some(&b'/') {
        return Some(target.to_vec());
    }
    let cwd = mount.cwd.as_ref().map(Name::bytes)?;
    Some([cwd.strip_suffix(b"/").unwrap_or(cwd), b"/", target].concat())
}
