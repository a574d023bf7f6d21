//! Mounts, roots and namespaces as strace saw them.

use super::{Process, names, namespaces};
use crate::facts::Fact;
use crate::strace::{Call, bytes, number, tag, value};

/// include/uapi/linux/mount.h, as mount(8) names them.
const MOUNT_FLAGS: [(i64, &str); 23] = [
    (1, "ro"),
    (1 << 1, "nosuid"),
    (1 << 2, "nodev"),
    (1 << 3, "noexec"),
    (1 << 4, "sync"),
    (1 << 5, "remount"),
    (1 << 6, "mand"),
    (1 << 7, "dirsync"),
    (1 << 8, "nosymfollow"),
    (1 << 10, "noatime"),
    (1 << 11, "nodiratime"),
    (1 << 12, "bind"),
    (1 << 13, "move"),
    (1 << 14, "rec"),
    (1 << 15, "silent"),
    (1 << 16, "acl"),
    (1 << 17, "unbindable"),
    (1 << 18, "private"),
    (1 << 19, "slave"),
    (1 << 20, "shared"),
    (1 << 21, "relatime"),
    (1 << 24, "strictatime"),
    (1 << 25, "lazytime"),
];
/// MOUNT_ATTR_* (include/uapi/linux/mount.h), and what clearing one gives.
const ATTRIBUTES: [(i64, &str); 4] = [(1, "ro"), (2, "nosuid"), (4, "nodev"), (8, "noexec")];
const CLEARED: [(i64, &str); 4] = [(1, "rw"), (2, "suid"), (4, "dev"), (8, "exec")];
const UMOUNT_FLAGS: [(i64, &str); 4] = [(1, "force"), (2, "detach"), (4, "expire"), (8, "nofollow")];

impl Process {
    pub(super) fn mount(&mut self, call: &Call, ret: i64) -> Option<Vec<Fact>> {
        let arg = |at| call.arg(at);
        let text = |at: usize| bytes(call.arg(at));
        let fact = match call.name.as_str() {
            "mount" => Fact::new("mount.mount")
                .maybe_bytes("source", text(0).as_deref())
                .maybe_bytes("target", self.path(None, arg(1)).as_deref())
                .maybe_bytes("fstype", text(2).as_deref())
                .with("flags", names(number(arg(3)), &MOUNT_FLAGS))
                .maybe_bytes("options", text(4).as_deref()),
            "umount2" | "umount" => {
                let flags = if call.name == "umount2" { number(arg(1)) } else { 0 };
                Fact::new("mount.umount")
                    .maybe_bytes("target", self.path(None, arg(0)).as_deref())
                    .with("flags", names(flags, &UMOUNT_FLAGS))
            }
            "pivot_root" => {
                let (path, old) = (self.path(None, arg(0)), self.path(None, arg(1)));
                let fact = Fact::new("mount.pivot_root")
                    .maybe_bytes("path", path.as_deref())
                    .maybe_bytes("put_old", old.as_deref());
                if ret == 0 {
                    // Seen from strace the new root is the root of another tree, and has no name.
                    self.root.clear();
                    self.cwd = b"/".to_vec();
                }
                fact
            }
            "chroot" => {
                let path = self.path(None, arg(0));
                let fact = Fact::new("fs.chroot").maybe_bytes("path", path.as_deref());
                if let (0, Some(path)) = (ret, path) {
                    self.root.extend_from_slice(&self.real(&path));
                }
                fact
            }
            "unshare" => {
                let names = namespaces(number(arg(0)));
                if names.is_empty() {
                    return Some(Vec::new());
                }
                Fact::new("ns.unshare").with("namespaces", names)
            }
            "setns" => {
                let of = tag(arg(0)).and_then(bytes_of_namespace);
                let asked = namespaces(number(arg(1)));
                Fact::new("ns.setns").with("namespaces", of.unwrap_or(asked))
            }
            _ => return self.new_mount(call, ret),
        };
        Some(vec![fact.with("ret", ret)])
    }

    /// fsopen and its like: one event where the mount gets its place, or where it fails before.
    fn new_mount(&mut self, call: &Call, ret: i64) -> Option<Vec<Fact>> {
        const CREATE: [i64; 2] = [6, 8];
        const RECONFIGURE: i64 = 7;
        const OPEN_TREE_CLONE: i64 = 1;
        let arg = |at| call.arg(at);
        let fd = |at: usize| number(call.arg(at));
        let told = match call.name.as_str() {
            "fsopen" => {
                let pending = Pending { fstype: bytes(arg(0)), ..Pending::default() };
                if ret >= 0 {
                    self.mounts.insert(ret, pending.clone());
                }
                (ret < 0).then(|| pending.fact(None))
            }
            "fsconfig" if fd(1) == RECONFIGURE || CREATE.contains(&fd(1)) => {
                let mut pending = self.mounts.get(&fd(0)).cloned().unwrap_or_default();
                if fd(1) == RECONFIGURE {
                    pending.flags = "remount".to_owned();
                }
                (ret < 0 || fd(1) == RECONFIGURE).then(|| pending.fact(None))
            }
            "fsconfig" => {
                let pending = self.mounts.entry(fd(0)).or_default();
                if let (Some(key), true) = (bytes(arg(2)), ret >= 0) {
                    pending.set(key, bytes(arg(3)));
                }
                None
            }
            "fsmount" => {
                let pending = self.mounts.get(&fd(0)).cloned().unwrap_or_default();
                let pending = Pending { flags: names(fd(2), &ATTRIBUTES), ..pending };
                if ret >= 0 {
                    self.mounts.insert(ret, pending.clone());
                }
                (ret < 0).then(|| pending.fact(None))
            }
            "open_tree" => {
                let pending = Pending {
                    source: self.path(Some(arg(0)), arg(1)),
                    flags: if fd(2) & 0x8000 != 0 { "bind,rec" } else { "bind" }.to_owned(),
                    ..Pending::default()
                };
                let copies = fd(2) & OPEN_TREE_CLONE != 0;
                if copies && ret >= 0 {
                    self.mounts.insert(ret, pending.clone());
                }
                (copies && ret < 0).then(|| pending.fact(None))
            }
            "move_mount" => {
                let target = self.path(Some(arg(2)), arg(3));
                let pending = match bytes(arg(1)).as_deref() {
                    Some([]) => self.mounts.get(&fd(0)).cloned().unwrap_or_default(),
                    _ => Pending {
                        source: self.path(Some(arg(0)), arg(1)),
                        flags: "move".to_owned(),
                        ..Pending::default()
                    },
                };
                Some(pending.fact(target))
            }
            "mount_setattr" => {
                let bits = |key| value(arg(3), key).map_or(0, number);
                let (set, cleared) =
                    (names(bits("attr_set"), &ATTRIBUTES), names(bits("attr_clr"), &CLEARED));
                let words = ["remount,bind", &set, &cleared];
                let words: Vec<_> = words.into_iter().filter(|words| !words.is_empty()).collect();
                let pending = Pending { flags: words.join(","), ..Pending::default() };
                Some(pending.fact(self.path(Some(arg(0)), arg(1))))
            }
            _ => return None,
        };
        Some(told.into_iter().map(|fact| fact.with("ret", ret)).collect())
    }
}

/// A mount on its way.
#[derive(Clone, Default)]
pub(super) struct Pending {
    fstype: Option<Vec<u8>>,
    source: Option<Vec<u8>>,
    options: Vec<u8>,
    flags: String,
}

impl Pending {
    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        if key == b"source" {
            self.source = value;
            return;
        }
        let word = value.map_or(key.clone(), |value| [&key, &b"="[..], &value].concat());
        let comma: &[u8] = if self.options.is_empty() { b"" } else { b"," };
        self.options.extend([comma, &word].concat());
    }

    fn fact(&self, target: Option<Vec<u8>>) -> Fact {
        Fact::new("mount.mount")
            .maybe_bytes("source", self.source.as_deref())
            .maybe_bytes("target", target.as_deref())
            .maybe_bytes("fstype", self.fstype.as_deref())
            .with("flags", &self.flags)
            .maybe_bytes("options", Some(&self.options[..]).filter(|options| !options.is_empty()))
    }
}

/// `uts` of a namespace's `uts:[4026531838]`.
fn bytes_of_namespace(tag: &str) -> Option<String> {
    let text = String::from_utf8(crate::strace::tag_path(tag)?).ok()?;
    let (name, _) = text.trim_start_matches('/').split_once(":[")?;
    Some(name.to_owned())
}
