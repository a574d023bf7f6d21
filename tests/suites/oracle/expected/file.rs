//! What the log must say of the calls on files.

use super::Process;
use crate::facts::Fact;
use crate::strace::{Call, Ret, bytes, inside, number, tag_path, value};

impl Process {
    fn open(&self, call: &Call, dir: Option<&str>, name: &str, flags: i64, ret: i64) -> Fact {
        let mode = match flags {
            _ if flags & 0o10_000_000 != 0 => "path",
            _ if flags & 3 == 0 => "r",
            _ if flags & 3 == 1 => "w",
            _ => "rw",
        };
        let path = match &call.ret {
            // A namespace's file, a pipe, lies nowhere: strace has a word for it, the contract no path.
            Ret::Number(_, Some(tag)) => {
                tag_path(tag).filter(|path| path.starts_with(b"/")).map(|path| self.inner(path))
            }
            _ if call.name == "open_by_handle_at" => None,
            _ => self.path(dir, name),
        };
        let all = |bits: i64| flags & bits == bits;
        Fact::new("file.open")
            .maybe_bytes("path", path.as_deref())
            .with("mode", mode)
            .flag("create", all(0o100))
            .flag("truncate", all(0o1000))
            .flag("tmpfile", all(0o20_200_000))
            .with("ret", ret)
    }

    /// Files: of a call of another subject nothing.
    pub(super) fn file(&self, call: &Call, ret: i64) -> Option<Vec<Fact>> {
        let arg = |at| call.arg(at);
        let perm = |at: usize| format!("{:04o}", number(call.arg(at)) & 0o7777);
        let here = |name: &str| self.path(None, name);
        let from = |dir: &str, name: &str| self.path(Some(dir), name);
        let on =
            |kind: &str, path: Option<Vec<u8>>| Fact::new(kind).maybe_bytes("path", path.as_deref());
        let chmod = |path, at| on("file.chmod", path).with("mode", perm(at));
        let chown = |path, at: usize| {
            let id = |at| Some(number(call.arg(at)) & 0xffff_ffff).filter(|id| *id != 0xffff_ffff);
            on("file.chown", path).maybe("owner", id(at)).maybe("group", id(at + 1))
        };
        let two = |kind, path, to: Option<Vec<u8>>| on(kind, path).maybe_bytes("to", to.as_deref());
        let attribute = |path, set: bool| {
            let fact = on("file.setxattr", path).maybe_bytes("name", bytes(call.arg(1)).as_deref());
            let value = if set { bytes(call.arg(2)) } else { None };
            fact.maybe_bytes("value", value.as_deref()).flag("remove", !set)
        };
        // The log's sizes have no sign.
        let truncated = |path, size: i64| on("file.truncate", path).with("size", size.cast_unsigned());
        let fact = match call.name.as_str() {
            "open" => self.open(call, None, arg(0), number(arg(1)), ret),
            "creat" => self.open(call, None, arg(0), 0o1101, ret),
            "openat" => self.open(call, Some(arg(0)), arg(1), number(arg(2)), ret),
            "openat2" => {
                let flags = value(arg(2), "flags").map_or(0, number);
                self.open(call, Some(arg(0)), arg(1), flags, ret)
            }
            "open_by_handle_at" => self.open(call, None, "", number(arg(2)), ret),
            "mkdir" => on("file.mkdir", here(arg(0))).with("mode", perm(1)),
            "mkdirat" => on("file.mkdir", from(arg(0), arg(1))).with("mode", perm(2)),
            "mknod" => mknod(on("file.mknod", here(arg(0))), arg(1), arg(2)),
            "mknodat" => mknod(on("file.mknod", from(arg(0), arg(1))), arg(2), arg(3)),
            "unlink" => on("file.unlink", here(arg(0))),
            "rmdir" => on("file.unlink", here(arg(0))).flag("directory", true),
            "unlinkat" => {
                on("file.unlink", from(arg(0), arg(1))).flag("directory", number(arg(2)) & 0x200 != 0)
            }
            "rename" => two("file.rename", here(arg(0)), here(arg(1))),
            "renameat" | "renameat2" => {
                let flags = if call.name == "renameat2" { number(arg(4)) } else { 0 };
                two("file.rename", from(arg(0), arg(1)), from(arg(2), arg(3)))
                    .flag("exchange", flags & 2 != 0)
                    .flag("whiteout", flags & 4 != 0)
            }
            "link" => two("file.link", here(arg(0)), here(arg(1))),
            "linkat" => two("file.link", from(arg(0), arg(1)), from(arg(2), arg(3))),
            "symlink" => {
                on("file.symlink", here(arg(1))).maybe_bytes("target", bytes(arg(0)).as_deref())
            }
            "symlinkat" => {
                on("file.symlink", from(arg(1), arg(2))).maybe_bytes("target", bytes(arg(0)).as_deref())
            }
            "chmod" => chmod(here(arg(0)), 1),
            "fchmod" => chmod(self.fd_path(arg(0)), 1),
            "fchmodat" | "fchmodat2" => chmod(from(arg(0), arg(1)), 2),
            "chown" | "lchown" | "chown32" | "lchown32" => chown(here(arg(0)), 1),
            "fchown" | "fchown32" => chown(self.fd_path(arg(0)), 1),
            "fchownat" => chown(from(arg(0), arg(1)), 2),
            "truncate" | "truncate64" => truncated(here(arg(0)), number(arg(1))),
            "ftruncate" | "ftruncate64" => truncated(self.fd_path(arg(0)), number(arg(1))),
            "fallocate" => truncated(self.fd_path(arg(0)), number(arg(2)) + number(arg(3))),
            "setxattr" | "lsetxattr" => attribute(here(arg(0)), true),
            "fsetxattr" => attribute(self.fd_path(arg(0)), true),
            "removexattr" | "lremovexattr" => attribute(here(arg(0)), false),
            "fremovexattr" => attribute(self.fd_path(arg(0)), false),
            "utime" | "utimes" => on("file.utimes", here(arg(0))),
            "futimesat" | "utimensat" | "utimensat_time64" if arg(1) == "NULL" => {
                on("file.utimes", self.base(Some(arg(0))))
            }
            "futimesat" | "utimensat" | "utimensat_time64" => on("file.utimes", from(arg(0), arg(1))),
            _ => return None,
        };
        let opens = ["open", "creat", "openat", "openat2", "open_by_handle_at"];
        let told = if opens.contains(&&*call.name) { fact } else { times(fact, call).with("ret", ret) };
        Some(vec![told])
    }
}

fn mknod(fact: Fact, mode: &str, device: &str) -> Fact {
    let mode = number(mode);
    let (kind, has_device) = match mode & 0o170_000 {
        0o010_000 => ("fifo", false),
        0o020_000 => ("char", true),
        0o060_000 => ("block", true),
        0o140_000 => ("socket", false),
        _ => ("file", false),
    };
    // makedev(0x1, 0x3), or the number.
    let rdev = has_device.then(|| match device.strip_prefix("makedev(") {
        Some(two) => {
            let two = two.trim_end_matches(')').split(',').map(number).collect::<Vec<_>>();
            format!("{}:{}", two[0], two[1])
        }
        None => {
            let device = number(device);
            format!("{}:{}", (device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00))
        }
    });
    fact.with("kind", kind).with("mode", format!("{:04o}", mode & 0o7777)).maybe("rdev", rdev)
}

/// utimensat(2)
const UTIME_NOW: i64 = 0x3fff_ffff;
const UTIME_OMIT: i64 = 0x3fff_fffe;

/// The times that a call gives; `now` where it has the kernel look at the clock.
fn times(fact: Fact, call: &Call) -> Fact {
    let at = match call.name.as_str() {
        "utime" | "utimes" => 1,
        "futimesat" | "utimensat" | "utimensat_time64" => 2,
        _ => return fact,
    };
    let given = call.arg(at);
    if given == "NULL" {
        return fact.with("atime", "now").with("mtime", "now");
    }
    if call.name == "utime" {
        let one = |key| value(given, key).map(|seconds| rfc3339(number(seconds), 0));
        return fact.maybe("atime", one("actime")).maybe("mtime", one("modtime"));
    }
    let one = |text: &String| {
        let seconds = number(value(text, "tv_sec")?);
        match value(text, "tv_nsec").map(number) {
            Some(UTIME_OMIT) => None,
            Some(UTIME_NOW) => Some("now".to_owned()),
            Some(ns) => Some(rfc3339(seconds, ns)),
            None => Some(rfc3339(seconds, number(value(text, "tv_usec")?) * 1000)),
        }
    };
    let both = inside(given);
    fact.maybe("atime", both.first().and_then(one)).maybe("mtime", both.get(1).and_then(one))
}

/// A time as the log has it. Days to years by eras of 400 years that begin in March.
fn rfc3339(seconds: i64, ns: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ns:09}Z")
}
