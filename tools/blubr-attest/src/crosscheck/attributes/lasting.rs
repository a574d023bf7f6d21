//! What a step did to a file last, so that the layer must show it: extended attributes that are missing, and names of one file
//! that the layer has as several.

use std::collections::{BTreeMap, HashMap};

use blubr_build::{Build, Engine, RunKind, StepRun};
use blubr_image::layer::Kind;

use super::known::Known;
use super::words::text;
use super::xattrs::CAPABILITY;
use super::{Attributes, By, Deviation, Fact, Judge, last_name};
use crate::assemble_parts::{Slot, Slots, Xattr};

/// What is no user's though it begins with `user.`: there overlayfs, fuse-overlayfs and containers/storage note things.
const NOTES: [&[u8]; 3] = [b"user.overlay.", b"user.fuseoverlayfs.", b"user.containers."];

/// Which runs' doings a layer must show, and what may have undone them.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    /// The runs, and when the container of each ended (`seq`): what goes on behind it may find the layer made.
    runs: BTreeMap<u32, u64>,
    /// The engine puts attributes that users set into layers, as containers/storage does since 1.15
    /// (readUserXattrToTarHeader, pkg/archive/archive.go). Docker and containerd put in a capability alone
    /// (ReadSecurityXattrToTarHeader in moby's archive.go; HandleChange in containerd's pkg/archive/tar.go).
    shows_user: bool,
    /// When a call by such a last name last took attributes away, or may have.
    taken: HashMap<Vec<u8>, u64>,
    /// The same of names that may be any file's.
    taken_anywhere: u64,
}

impl Lasting {
    /// Of those of the runs that are a step's for certain.
    pub(super) fn new(build: &Build, slots: &Slots, counted: &[&StepRun]) -> Self {
        let is_sure =
            |run: &&&StepRun| run.kind == RunKind::Run && matches!(slots.of(run.id), Slot::Step(_));
        let ended = |run: &StepRun| run.ended.map_or(u64::MAX, |ended| ended.seq);
        let runs = counted.iter().filter(is_sure).map(|run| (run.id, ended(run))).collect();
        Self { runs, shows_user: build.engine == Engine::Buildah, ..Self::default() }
    }

    #[cfg(test)]
    pub(super) fn of_run(run: u32, shows_user: bool) -> Self {
        Self { runs: [(run, u64::MAX)].into(), shows_user, ..Self::default() }
    }

    /// A call took attributes from what has this last name, or from any file.
    pub(super) fn taken(&mut self, last_name: &[u8], seq: u64, anywhere: bool) {
        let last = if anywhere {
            &mut self.taken_anywhere
        } else {
            self.taken.entry(last_name.to_vec()).or_default()
        };
        *last = seq.max(*last);
    }

    fn is_sure(&self, run: u32, seq: u64) -> bool {
        self.runs.get(&run).is_some_and(|ended| seq <= *ended)
    }

    fn shows(&self, name: &[u8], kind: Kind) -> bool {
        match kind {
            Kind::File if name == CAPABILITY => true,
            Kind::File | Kind::Dir => {
                self.shows_user
                    && name.starts_with(b"user.")
                    && !NOTES.iter().any(|note| name.starts_with(note))
            }
            _ => false,
        }
    }
}

impl Judge<'_> {
    /// Extended attributes that a container set last, and that the layer does not have so. Of a file that has, or had, other names
    /// nothing is said.
    pub(super) fn lost_xattrs(
        &self,
        path: &[u8],
        known: &Known<'_>,
        entry: &Attributes,
    ) -> Vec<Deviation> {
        let all = self.said.get(path).filter(|_| known.names.len() == 1);
        let all = all.map(Vec::as_slice).unwrap_or_default();
        let mut last: BTreeMap<&[u8], (u64, u32, &Xattr)> = BTreeMap::new();
        for by in all.iter().filter(|by| !by.through) {
            for (xattr, seq) in &by.said.set {
                let known = last.entry(&xattr.name).or_insert((*seq, by.run, xattr));
                if known.0 < *seq {
                    *known = (*seq, by.run, xattr);
                }
            }
        }
        let differs = |xattr: &Xattr| match (entry.xattrs.get(&xattr.name), &xattr.value) {
            (None, _) => true,
            // The kernel and Docker write a capability anew (cap_convert_nscap; revision 3 becomes 2).
            (Some(_), _) if xattr.name == CAPABILITY => false,
            (Some(image), value) => value.as_ref().is_some_and(|value| value != image),
        };
        let lost = last.into_iter().filter(|(name, (seq, run, xattr))| {
            self.lasting.shows(name, entry.kind)
                && self.lasting.is_sure(*run, *seq)
                && differs(xattr)
                && self.has_kept(path, all, name, *seq)
        });
        lost.map(|(name, (_, _, xattr))| Deviation {
            attribute: format!("xattr {}", text(name)),
            image: entry.xattrs.get(name).map(|value| text(value)),
            recorded: xattr.value.iter().map(|value| text(value)).collect(),
        })
        .collect()
    }

    /// Whether nothing can have taken an attribute away that was set at `seq`.
    fn has_kept(&self, path: &[u8], all: &[By<'_>], name: &[u8], seq: u64) -> bool {
        let taken = self.lasting.taken.get(last_name(path)).copied().unwrap_or(0);
        let is_later = |by: &By<'_>| {
            let set = by.said.set.iter().any(|(xattr, at)| xattr.name == name && *at > seq);
            by.said.replaced.max(by.said.changed) > seq || set
        };
        taken.max(self.lasting.taken_anywhere) < seq && !all.iter().any(is_later)
    }

    /// A step made `path` a further name of a file and nothing parted them: a layer that has both has one as a link.
    pub(super) fn parted(
        &self,
        path: &[u8],
        known: &Known<'_>,
        in_layer: &dyn Fn(&[u8]) -> Option<Kind>,
    ) -> Option<Deviation> {
        let all = self.said.get(path)?;
        let last = all.iter().filter(|by| !by.through).max_by_key(|by| by.said.linked)?;
        let seq = last.said.linked;
        let mut targets = self.facts(path).filter_map(|fact| match fact {
            Fact::Linked(target) => Some(&**target),
            _ => None,
        });
        let (Some(target), None) = (targets.next(), targets.next()) else { return None };
        let meanings = self.trails.meanings(target, self.links);
        let target = meanings.first().filter(|_| meanings.len() == 1 && !known.incomplete)?;
        let replaced = |path: &[u8]| {
            self.said.get(path).into_iter().flatten().map(|by| by.said.replaced).max().unwrap_or(0)
        };
        let is_one = seq > 0
            && self.lasting.is_sure(last.run, seq)
            && replaced(path) == seq
            && replaced(target) < seq;
        (is_one && in_layer(target) == Some(Kind::File)).then(|| Deviation {
            attribute: "target".to_owned(),
            image: None,
            recorded: vec![text(target)],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, file, made};
    use super::*;

    /// A file that a step made and gave an attribute at 5.
    fn set(name: &str, value: Option<&str>, shows_user: bool) -> Scene {
        let xattr = Xattr { name: name.into(), value: value.map(Into::into) };
        let fact = Fact::Xattr(Box::new(xattr.clone()));
        let mut scene = Scene::default().said("/f", &[&made(0o600)[..], &[fact]].concat());
        scene.shows_user = shows_user;
        scene.with("/f", |said| {
            (said.set, said.replaced, said.changed) = (vec![(xattr, 5)], 1, 2);
        })
    }

    fn having(name: &str, value: &str) -> Attributes {
        Attributes { xattrs: [(name.into(), value.into())].into(), ..file(0o600, 0) }
    }

    #[test]
    fn an_attribute_that_a_step_set_last_is_there_where_its_engine_shows_it() {
        let bare = file(0o600, 0);
        for (name, shows_user, said) in [
            ("security.capability", false, "xattr security.capability none"),
            ("security.capability", true, "xattr security.capability none"),
            ("user.x", true, "xattr user.x none"),
            ("user.x", false, ""),
            ("user.overlay.x", true, ""),
            ("trusted.x", true, ""),
            ("security.ima", true, ""),
        ] {
            assert_eq!(set(name, Some("1"), shows_user).judge("/f", &bare), said, "{name} {shows_user}");
            let scene = set(name, None, shows_user);
            assert_eq!(scene.judge("/f", &bare), said, "{name}: whatever the value");
            assert_eq!(set(name, Some("1"), shows_user).judge("/f", &having(name, "1")), "", "{name}");
        }
        // One that it had before is another one.
        let before = Xattr { name: "user.x".into(), value: Some("0".into()) };
        let scene = set("user.x", Some("1"), true)
            .with("/f", |said| said.facts.push(Fact::Xattr(Box::new(before))));
        assert_eq!(scene.judge("/f", &having("user.x", "0")), "xattr user.x 0");
    }

    #[test]
    fn what_may_have_taken_an_attribute_away_leaves_it_open() {
        let bare = file(0o600, 0);
        let capability = || set("security.capability", Some("1"), true);
        type Change = fn(Scene) -> Scene;
        let changes: [(Change, &str); 6] = [
            (|scene| scene.with("/f", |said| said.changed = 6), "another content, or owner"),
            (|scene| scene.with("/f", |said| said.replaced = 6), "another file"),
            (|scene| scene.loosely("/d/f", Fact::Without), "the same last name"),
            (|scene| scene.loosely("/proc/self/fd/3", Fact::Owner(1)), "a name of nothing known"),
            (
                |scene| scene.with("/f", |said| said.facts.push(Fact::Also(b"/g".as_slice().into()))),
                "two names",
            ),
            (|scene| scene.with("/f", |said| said.facts.push(Fact::Anything)), "a stranger"),
        ];
        for (change, why) in changes {
            assert_eq!(change(capability()).judge("/f", &bare), "", "{why}");
        }
        let owner = capability().loosely("/elsewhere", Fact::Owner(1)).said("/elsewhere", &made(0o600));
        assert_eq!(owner.judge("/f", &bare), "xattr security.capability none", "it was another file's");
    }

    #[test]
    fn two_names_of_one_file_are_not_two_files() {
        let name = |path: &str| path.as_bytes().into();
        let linked = |replaced: (u64, u64)| {
            Scene::default()
                .said("/a", &[&made(0o600)[..], &[Fact::Also(name("/b"))]].concat())
                .said("/b", &[Fact::Gone, Fact::Linked(name("/a"))])
                .with("/a", |said| said.replaced = replaced.0)
                .with("/b", |said| (said.replaced, said.linked) = (replaced.1, 5))
        };
        let one = file(0o600, 0);
        assert_eq!(linked((1, 5)).judge("/b", &one), "target none");
        assert_eq!(linked((1, 5)).judge("/a", &one), "", "it is said of the one that was made a link");
        assert_eq!(linked((6, 5)).judge("/b", &one), "", "the other was made anew");
        assert_eq!(linked((1, 6)).judge("/b", &one), "", "it was made anew itself");
        let twice = linked((1, 5)).with("/b", |said| said.facts.push(Fact::Linked(name("/c"))));
        assert_eq!(twice.judge("/b", &one), "", "which of two it is a link of");
    }
}
