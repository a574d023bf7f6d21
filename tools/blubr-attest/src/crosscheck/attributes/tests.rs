//! Scenes of what was said of names, and what is found wanting in them.

use blubr_image::layer::Kind;

use super::super::below::DEFAULT_LIST;
use super::xattrs::ACCESS_LIST;
use super::*;
use crate::assemble_parts::{Made, Xattr};

/// The names of one run's tree, what was said of them, and a layer below.
#[derive(Default)]
pub(super) struct Scene {
    given: Given,
    below: Below,
    trails: Trails,
    links: Links,
    /// The engine puts attributes of users into layers.
    pub(super) shows_user: bool,
}

impl Scene {
    pub(super) fn said(mut self, path: &str, facts: &[Fact]) -> Self {
        let said = Said { facts: facts.to_vec(), first: 1, last: 9, ..Said::default() };
        self.given.said.insert((0, path.into()), said);
        self.given.tells_perm = true;
        self
    }

    /// Changes what was said of a name.
    pub(super) fn with(mut self, path: &str, change: impl FnOnce(&mut Said)) -> Self {
        change(self.given.said.get_mut(&(0, path.into())).unwrap());
        self
    }

    pub(super) fn lower(mut self, path: &str, attributes: Attributes) -> Self {
        self.below.lay(path.into(), attributes);
        self
    }

    pub(super) fn loosely(mut self, path: &str, fact: Fact) -> Self {
        let path = path.into();
        let loose = crate::assemble_parts::Loose { path, fact, unsure: false, seq: 5 };
        self.given.loose.entry(0).or_default().push(loose);
        self
    }

    fn judging(&self) -> Judge<'_> {
        let runs = (&[0].into(), Lasting::of_run(0, self.shows_user));
        Judge::of_runs(runs, &self.given, &self.below, &self.links, &self.trails)
    }

    /// What is wrong with an entry, as `attribute image`.
    pub(super) fn judge(&self, path: &str, entry: &Attributes) -> String {
        let judge = self.judging();
        let in_layer = |path: &[u8]| (path != b"/nowhere").then_some(Kind::File);
        let found = judge.judge(path.as_bytes(), entry, &in_layer);
        let said: Vec<String> = found
            .into_iter()
            .map(|one| format!("{} {}", one.attribute, one.image.as_deref().unwrap_or("none")))
            .collect();
        said.join(", ")
    }
}

pub(super) fn file(mode: u32, size: u64) -> Attributes {
    Attributes { kind: Kind::File, mode, uid: 0, gid: 0, size, link: None, xattrs: BTreeMap::new() }
}

pub(super) fn made(perm: u32) -> [Fact; 4] {
    [Fact::Gone, Fact::Made(Made::File), Fact::Perm(perm), Fact::Maker(0)]
}

#[test]
fn what_was_made_has_the_bits_that_it_was_given() {
    let scene =
        Scene::default().said("/f", &[&made(0o640)[..], &[Fact::Size(7), Fact::Perm(0o6755)]].concat());
    for mode in [0o640, 0o6755, 0o755, 0o2755] {
        assert_eq!(scene.judge("/f", &file(mode, 7)), "", "{mode:o}");
    }
    assert_eq!(scene.judge("/f", &file(0o4640, 7)), "mode 4640");
    assert_eq!(scene.judge("/f", &file(0o777, 8)), "mode 0777, size 8");
    let other = Attributes { uid: 7, ..file(0o640, 7) };
    assert_eq!(scene.judge("/f", &other), "owner 7", "the group of what was made is not told");
}

#[test]
fn what_was_copied_up_is_as_it_was_below() {
    let scene = Scene::default().lower("/f", file(0o644, 3)).said("/f", &[Fact::Perm(0o600)]);
    assert_eq!(scene.judge("/f", &file(0o600, 3)), "");
    assert_eq!(scene.judge("/f", &file(0o644, 3)), "");
    let changed = Attributes { gid: 5, ..file(0o666, 4) };
    assert_eq!(scene.judge("/f", &changed), "mode 0666, group 5, size 4");
}

#[test]
fn a_name_that_came_back_by_an_unknown_way_is_not_judged() {
    let scene = Scene::default().lower("/f", file(0o644, 3)).said("/f", &[Fact::Gone]);
    assert_eq!(scene.judge("/f", &file(0o777, 9)), "");
    let scene = Scene::default().said("/g", &[Fact::Perm(0o600)]);
    assert_eq!(scene.judge("/g", &file(0o777, 9)), "", "what made it is not known");
    let scene = Scene::default().said("/h", &[&made(0o600)[..], &[Fact::Anything]].concat());
    assert_eq!(scene.judge("/h", &file(0o777, 9)), "");
}

#[test]
fn a_file_keeps_its_attributes_under_another_name() {
    let scene = Scene::default()
        .said("/new", &[&made(0o600)[..], &[Fact::Size(5), Fact::Gone]].concat())
        .said("/f", &[Fact::Gone, Fact::Other(b"/new".as_slice().into())])
        .lower("/f", file(0o777, 1));
    assert_eq!(scene.judge("/f", &file(0o600, 5)), "");
    assert_eq!(scene.judge("/f", &file(0o755, 2)), "mode 0755, size 2");
}

#[test]
fn a_call_by_a_name_that_leads_elsewhere_may_have_meant_it() {
    let with = |path| Scene::default().said("/d/f", &made(0o600)).loosely(path, Fact::Perm(0o755));
    assert_eq!(with("/link/f").judge("/d/f", &file(0o755, 0)), "", "the same last name");
    assert_eq!(with("/proc/self/fd/3").judge("/d/f", &file(0o755, 0)), "", "a name of nothing known");
    let scene = with("/other").said("/other", &made(0o600));
    assert_eq!(scene.judge("/d/f", &file(0o755, 0)), "mode 0755", "it was another file's");
    let symlink = [Fact::Gone, Fact::Made(Made::Symlink)];
    let scene = with("/cur").said("/cur", &[&symlink[..], &made(0o600)].concat());
    assert_eq!(scene.judge("/d/f", &file(0o755, 0)), "", "it was a symlink for some of the time");
}

#[test]
fn more_values_by_loose_names_than_are_compared_leave_all_open() {
    let with = |path: &str, count| {
        let mut scene = Scene::default().said("/d/f", &made(0o600)).said("/d/g", &made(0o600));
        for uid in 1..=count {
            scene = scene.loosely(path, Fact::Owner(uid));
        }
        scene
    };
    let judge = |scene: &Scene| scene.judging().too_loose().is_some();
    let (few, many) = (1_000, 1_001);
    assert!(!judge(&with("/proc/self/fd/3", few)) && judge(&with("/proc/self/fd/3", many)));
    assert_eq!(with("/d/f", few).judge("/d/f", &file(0o640, 0)), "mode 0640");
    assert_eq!(with("/d/f", many).judge("/d/f", &file(0o640, 0)), "", "one name alone");
    assert_eq!(with("/d/f", many).judge("/d/g", &file(0o640, 0)), "mode 0640");
}

#[test]
fn names_by_way_of_a_symlink_that_changed_are_doubtful() {
    let symlink = [Fact::Gone, Fact::Made(Made::Symlink)];
    let scene = Scene::default()
        .said("/cur", &symlink)
        .said("/cur/conf", &[Fact::Gone])
        .said("/v1/conf", &[&made(0o600)[..], &[Fact::Size(1)]].concat());
    assert_eq!(scene.judge("/v1/conf", &file(0o644, 9)), "");
}

#[test]
fn an_access_list_changes_the_bits() {
    let acl = Xattr { name: ACCESS_LIST.to_vec(), value: None };
    let scene = Scene::default().said("/f", &[&made(0o644)[..], &[Fact::Xattr(Box::new(acl))]].concat());
    assert_eq!(scene.judge("/f", &file(0o674, 0)), "");
}

#[test]
fn two_names_do_not_make_a_file() {
    let name = |path: &str| path.as_bytes().into();
    let scene = Scene::default()
        .said("/t/#12", &[Fact::Size(4), Fact::Also(name("/f"))])
        .said("/f", &[&made(0o600)[..], &[Fact::Gone, Fact::Linked(name("/t/#12"))]].concat());
    assert_eq!(scene.judge("/f", &file(0o640, 4)), "", "what made the other is not known");
    let scene = Scene::default()
        .said("/s", &[Fact::Gone, Fact::Made(Made::Symlink), Fact::Also(name("/f"))])
        .said("/f", &[Fact::Gone, Fact::Linked(name("/s"))]);
    assert_eq!(scene.judge("/f", &file(0o640, 4)), "", "the link may have followed the symlink");
}

#[test]
fn below_a_directory_that_was_renamed_the_lower_layer_says_nothing() {
    let scene = Scene::default()
        .lower("/d/f", file(0o644, 3))
        .said("/d", &[Fact::Gone, Fact::Other(b"/e".as_slice().into())])
        .said("/d/f", &[Fact::Perm(0o600)]);
    assert_eq!(scene.judge("/d/f", &file(0o777, 9)), "");
}

#[test]
fn numbers_of_a_user_namespace_are_not_compared() {
    let mut scene = Scene::default().said("/f", &made(0o600));
    let other = Attributes { uid: 7, ..file(0o600, 0) };
    assert_eq!(scene.judge("/f", &other), "owner 7");
    scene.given.own_numbers = true;
    assert_eq!(scene.judge("/f", &other), "");
}

#[test]
fn a_recorder_that_does_not_tell_bits_leaves_them_open() {
    let mut scene = Scene::default().lower("/f", file(0o644, 0)).said("/f", &[Fact::Gone]);
    scene.given.tells_perm = false;
    assert_eq!(scene.judge("/f", &file(0o4755, 0)), "");
    let directory = Attributes { kind: Kind::Dir, ..file(0o755, 0) };
    assert_eq!(scene.judge("/f", &directory), "");
}

#[test]
fn kinds_targets_devices_and_links() {
    let link = |target: &str| Attributes {
        kind: Kind::Symlink,
        link: Some(target.as_bytes().into()),
        ..file(0o777, 0)
    };
    let scene = Scene::default().said(
        "/l",
        &[Fact::Gone, Fact::Made(Made::Symlink), Fact::Target(b"to".as_slice().into()), Fact::Maker(0)],
    );
    assert_eq!(scene.judge("/l", &link("to")), "");
    assert_eq!(scene.judge("/l", &link("/etc")), "target /etc");
    assert_eq!(scene.judge("/l", &file(0o777, 0)), "kind file");

    let dev = blubr_log::event::Dev { major: 1, minor: 3 };
    let null = Made::Device { letter: b'c', dev };
    let scene = Scene::default().said("/n", &[Fact::Gone, Fact::Made(null), Fact::Asked(0o666)]);
    let device = |minor| Attributes { kind: Kind::CharDevice { major: 1, minor }, ..file(0o644, 0) };
    assert_eq!(scene.judge("/n", &device(3)), "", "the umask takes bits away");
    assert_eq!(scene.judge("/n", &device(5)), "kind device c 1:5");

    let other = |path: &str| Fact::Linked(path.as_bytes().into());
    let scene = Scene::default()
        .said("/a", &[&made(0o600)[..], &[Fact::Also(b"/b".as_slice().into())]].concat())
        .said("/b", &[Fact::Gone, other("/a")])
        .said("/c", &made(0o600));
    let hard = |to: &str| Attributes {
        kind: Kind::Hardlink,
        link: Some(to.as_bytes().into()),
        ..file(0o600, 0)
    };
    assert_eq!(scene.judge("/b", &hard("a")), "");
    assert_eq!(scene.judge("/b", &hard("c")), "target /c");
    assert_eq!(scene.judge("/b", &hard("nowhere")), "target /nowhere");
    let scene = scene.lower("/old", file(0o600, 0)).lower("/older", file(0o600, 0));
    assert_eq!(scene.judge("/b", &hard("old")), "target /old", "a new file is none of a lower layer's");
    assert_eq!(scene.judge("/older", &hard("c")), "target /c");
    assert_eq!(scene.judge("/older", &hard("old")), "", "they may have been one file");
}

#[test]
fn extended_attributes_are_set_by_someone() {
    let with = |name: &str, value: &str| Attributes {
        xattrs: [(name.into(), value.into())].into(),
        ..file(0o600, 0)
    };
    let set = |value: Option<&str>| {
        Fact::Xattr(Box::new(Xattr { name: "user.x".into(), value: value.map(Into::into) }))
    };
    let scene = Scene::default().said("/f", &[&made(0o600)[..], &[set(Some("1"))]].concat());
    assert_eq!(scene.judge("/f", &with("user.x", "1")), "");
    assert_eq!(scene.judge("/f", &with("user.x", "2")), "xattr user.x 2");
    assert_eq!(scene.judge("/f", &with("security.capability", "c")), "xattr security.capability c");
    assert_eq!(scene.judge("/f", &with("security.selinux", "c")), "", "the kernel labels by itself");
    let list = with("system.posix_acl_access", "l");
    assert_eq!(scene.judge("/f", &list), "xattr system.posix_acl_access l");
    assert_eq!(scene.judge("/f", &with("user.overlay.opaque", "y")), "xattr user.overlay.opaque y");
    let mut rootless = Scene::default().said("/f", &made(0o600));
    rootless.given.kernel_notes = true;
    assert_eq!(rootless.judge("/f", &with("user.overlay.impure", "y")), "");
    assert_eq!(rootless.judge("/f", &with("user.overlay.origin", "")), "");
    assert_eq!(rootless.judge("/f", &with("user.overlay.impure", "n")), "xattr user.overlay.impure n");
    assert_eq!(
        rootless.judge("/f", &with("user.overlay.redirect", "/x")),
        "xattr user.overlay.redirect /x",
        "with userxattr the kernel follows none and makes none"
    );
    let handed = Xattr { name: DEFAULT_LIST.to_vec(), value: Some(b"l".to_vec()) };
    let scene = scene.said("/d", &[Fact::Xattr(Box::new(handed))]);
    assert_eq!(scene.judge("/f", &list), "", "a directory hands its list on");
    let note = with("trusted.overlay.redirect", "/x");
    assert_eq!(
        Scene::default().judge("/f", &note),
        "xattr trusted.overlay.redirect /x",
        "nothing is known of it"
    );
    let scene = Scene::default().said("/f", &[&made(0o600)[..], &[set(None)]].concat());
    assert_eq!(scene.judge("/f", &with("user.x", "2")), "", "what it was set to is not known");
}
