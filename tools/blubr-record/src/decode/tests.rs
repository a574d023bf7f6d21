//! Records put together by hand, as the probes lay them out, and the lines that they become.

use blubr_log::{Header, Writer};
use blubr_probes::wire::wire_field_id::{self, *};
use blubr_probes::wire::wire_kind::{self, *};
use blubr_probes::wire::{
    self, wire_call, wire_cgroup, wire_field, wire_file, wire_head, wire_net, wire_net_close,
};
use zerocopy::{FromBytes as _, FromZeros as _, Immutable, IntoBytes};

use super::*;
use crate::cgroup::Cgroups;
use crate::log::Clock;

/// A record under construction. Kept in words: the ring's records are aligned to 8.
#[derive(Clone)]
struct Built(Vec<u8>);

fn record(kind: wire_kind, nr: i64, ret: Option<i64>, body: &(impl IntoBytes + Immutable)) -> Built {
    let mut head = wire_head::new_zeroed();
    head.kind = kind as u32;
    head.fixed = (size_of::<wire_head>() + size_of_val(body)) as u32;
    head.time_ns = 1_000_000_001;
    head.start_ns = 77;
    head.cgroup_id = 5;
    (head.pid, head.tid, head.ppid, head.uid, head.mntns) = (10, 11, 9, 0, 4_026_531_832);
    head.nr = nr as u32;
    if let Some(ret) = ret {
        head.ret = ret;
        head.flags = wire::WIRE_HAS_RET;
    }
    head.comm[..2].copy_from_slice(b"sh");
    let mut bytes = head.as_bytes().to_vec();
    bytes.extend_from_slice(body.as_bytes());
    Built(bytes)
}

impl Built {
    /// With another head.
    fn head(mut self, change: impl FnOnce(&mut wire_head)) -> Built {
        let bytes = &mut self.0[..size_of::<wire_head>()];
        let mut head = wire_head::read_from_bytes(bytes).unwrap();
        change(&mut head);
        bytes.copy_from_slice(head.as_bytes());
        self
    }

    fn field(mut self, id: wire_field_id, flags: u32, bytes: &[u8]) -> Built {
        let field = wire_field { id: id as u16, flags: flags as u16, len: bytes.len() as u32 };
        self.0.extend_from_slice(field.as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(8), 0xaa);
        self
    }

    fn text(self, id: wire_field_id, text: &[u8]) -> Built {
        self.field(id, 0, text)
    }

    fn walked(self, id: wire_field_id, names: &[u8]) -> Built {
        self.field(id, wire::WIRE_WALKED, names)
    }
}

fn log() -> Log<Vec<u8>> {
    let header = Header { schema: blubr_log::SCHEMA.to_owned(), ..Header::default() };
    let tree = Some(std::path::PathBuf::from("/nonexistent"));
    Log::new(Writer::new(Vec::new(), &header).unwrap(), Clock::new(0, 0), Cgroups::new(tree))
}

/// The lines behind the header that these records become, each without the head's keys.
fn lines(records: &[Built]) -> Vec<String> {
    lines_by(Decoder::default(), records)
}

fn lines_by(mut decoder: Decoder, records: &[Built]) -> Vec<String> {
    let mut log = log();
    for record in records {
        decoder.record(&aligned(&record.0), &mut log).unwrap();
    }
    let text = String::from_utf8(std::mem::take(log.writer().output())).unwrap();
    text.lines()
        .skip(1)
        .map(|line| {
            let (_, own) = line.split_once("\"mntns\":4026531832").unwrap();
            own.to_owned()
        })
        .collect()
}

/// A copy at an address that is a multiple of 8.
fn aligned(bytes: &[u8]) -> Aligned {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    Aligned(words, bytes.len())
}

struct Aligned(Vec<u64>, usize);

impl std::ops::Deref for Aligned {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0.as_bytes()[..self.1]
    }
}

fn call(args: [u64; 6]) -> wire_call {
    wire_call { args }
}

#[test]
fn an_open_by_the_kernel_s_path() {
    let mut file = wire_file::new_zeroed();
    (file.ino, file.size, file.mode, file.dev) = (7, 3, 0o100_644, 8 << 20 | 1);
    (file.mtime_s, file.mtime_ns) = (1, 5);
    file.flags = (libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC) as u32;
    let open = record(WIRE_FILE_OPEN, libc::SYS_openat, Some(3), &file).walked(WIRE_F_PATH, b"b\0a\0");
    assert_eq!(
        lines(&[open]),
        [concat!(
            r#","path":"/a/b","mode":"w","create":true,"truncate":true,"dev":"8:1","ino":7,"size":3,"#,
            r#""mtime":"1970-01-01T00:00:01.000000005Z","ret":3}"#
        )]
    );
}

#[test]
fn a_path_outside_the_root_says_so() {
    let mut file = wire_file::new_zeroed();
    file.mode = 0o100_644;
    let flags = wire::WIRE_WALKED | wire::WIRE_UNREACHABLE;
    let close = record(WIRE_FILE_CLOSE, 0, None, &file).field(WIRE_F_PATH, flags, b"memfd:x\0");
    let line = lines(&[close]).remove(0);
    assert!(line.starts_with(r#","path":"/memfd:x","dev""#), "{line}");
    assert!(line.ends_with(r#","path_from":"outside"}"#), "{line}");
}

#[test]
fn a_name_is_made_absolute_by_its_directory() {
    let unlink = record(WIRE_FILE_UNLINK, libc::SYS_unlinkat, Some(0), &call([3, 0, 0x200, 0, 0, 0]))
        .text(WIRE_F_PATH, b"../x")
        .walked(WIRE_F_BASE, b"d\0c\0");
    assert_eq!(lines(&[unlink]), [r#","path":"/c/x","directory":true,"path_from":"user","ret":0}"#]);
}

#[test]
fn to_ask_whether_a_program_may_run_is_no_attempt() {
    let failed = |nr, flags| {
        record(WIRE_EXEC_FAILED, nr, Some(-13), &call([0, 0, 0, 0, flags, 7]))
            .text(WIRE_F_PATH, b"/etc/passwd")
            .text(WIRE_F_ARGV, b"x\0")
    };
    let told = r#","exe":"/etc/passwd","argv":["x"],"cwd":null,"gid":7,"path_from":"user","ret":-13}"#;
    assert!(lines(&[failed(libc::SYS_execveat, 0x1_0000)]).is_empty());
    assert_eq!(lines(&[failed(libc::SYS_execveat, 0x1000)]), [told]);
    // execve(2) has no flags: what lies there means nothing.
    assert_eq!(lines(&[failed(libc::SYS_execve, 0x1_0000)]), [told]);
}

#[test]
fn two_readings_that_differ_are_told() {
    let rename = |kind| {
        record(kind, libc::SYS_rename, Some(0), &call([0; 6]))
            .text(WIRE_F_PATH, b"/a")
            .text(WIRE_F_TO, b"/b")
    };
    let other = record(WIRE_ENTRY, libc::SYS_rename, None, &call([0; 6]))
        .text(WIRE_F_PATH, b"/a")
        .text(WIRE_F_TO, b"/z");
    let unread = record(WIRE_ENTRY, libc::SYS_rename, None, &call([0; 6]))
        .text(WIRE_F_PATH, b"/a")
        .field(WIRE_F_TO, wire::WIRE_FAULT, b"");
    let stale = record(WIRE_ENTRY, libc::SYS_unlink, None, &call([0; 6])).text(WIRE_F_PATH, b"/q");
    let same = r#","path":"/a","to":"/b","path_from":"user","ret":0}"#;
    let exit = || rename(WIRE_FILE_RENAME);
    assert_eq!(lines(&[rename(WIRE_ENTRY), exit()]), [same]);
    assert_eq!(lines(&[unread, exit()]), [same]);
    assert_eq!(lines(&[stale, exit()]), [same]);
    assert_eq!(lines(&[other, exit(), exit()]), [&same.replace("\"user\"", "\"user-raced\""), same]);
}

#[test]
fn a_descriptor_that_was_another_file_s_makes_the_path_doubtful() {
    let truncate = |kind, ret, file: u64| {
        record(kind, libc::SYS_ftruncate, ret, &call([5, 0, 0, 0, 0, 0]))
            .walked(WIRE_F_PATH, b"a\0")
            .field(WIRE_F_PATH_AT, 0, &file.to_ne_bytes())
    };
    let entry = |file| truncate(WIRE_ENTRY, None, file);
    let exit = |file| truncate(WIRE_FILE_TRUNCATE, Some(0), file);
    let sure = r#","path":"/a","size":0,"ret":0}"#;
    let doubtful = r#","path":"/a","size":0,"path_from":"user-raced","ret":0}"#;
    assert_eq!(lines(&[entry(7), exit(7), entry(7), exit(8), exit(8)]), [sure, doubtful, sure]);
    // Who could have changed it is gone by then.
    let alone = record(WIRE_FILE_TRUNCATE, libc::SYS_ftruncate, Some(0), &call([5, 0, 0, 0, 0, 0]))
        .walked(WIRE_F_PATH, b"a\0");
    assert_eq!(lines(&[entry(7), alone]), [doubtful]);
}

#[test]
fn calls_that_hang_have_an_end_in_memory_and_then_make_paths_doubtful() {
    let name = vec![b'n'; 4000];
    let mkdir = |kind, ret, tid: u32| {
        record(kind, libc::SYS_mkdir, ret, &call([0; 6]))
            .head(|head| head.tid = tid)
            .text(WIRE_F_PATH, &name)
    };
    let threads = (ENTRIES_WORDS_MAX * 8 / name.len()) as u32;
    let mut records: Vec<Built> = (1..=threads).map(|thread| mkdir(WIRE_ENTRY, None, thread)).collect();
    records.extend([1, 1, threads].map(|thread| mkdir(WIRE_FILE_MKDIR, Some(0), thread)));
    let from = lines(&records).into_iter().map(|line| line.contains("user-raced"));
    // The first was forgotten, once; the last was not.
    assert_eq!(from.collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn a_mount_s_names_are_read_twice() {
    let mount = |kind, ret, target: &[u8], source: &[u8]| {
        record(kind, libc::SYS_mount, ret, &call([0; 6]))
            .text(WIRE_F_PATH, target)
            .text(WIRE_F_SOURCE, source)
    };
    let exit = || mount(WIRE_MOUNT_MOUNT, Some(0), b"/m", b"s");
    let from = |entry| {
        let line = lines(&[entry, exit()]).remove(0);
        line.split_once("\"path_from\":").unwrap().1.to_owned()
    };
    assert_eq!(from(mount(WIRE_ENTRY, None, b"/m", b"s")), r#""user","ret":0}"#);
    assert_eq!(from(mount(WIRE_ENTRY, None, b"/n", b"s")), r#""user-raced","ret":0}"#);
    assert_eq!(from(mount(WIRE_ENTRY, None, b"/m", b"t")), r#""user-raced","ret":0}"#);
}

#[test]
fn a_root_is_named_as_it_was_before() {
    let entry = record(WIRE_ENTRY, libc::SYS_pivot_root, None, &call([0; 6]))
        .text(WIRE_F_PATH, b".")
        .walked(WIRE_F_BASE, b"rootfs\0run\0")
        .text(WIRE_F_TO, b"old")
        .walked(WIRE_F_TO_BASE, b"rootfs\0run\0");
    let exit = record(WIRE_MOUNT_PIVOT_ROOT, libc::SYS_pivot_root, Some(0), &call([0; 6]))
        .text(WIRE_F_PATH, b".")
        .walked(WIRE_F_BASE, b"")
        .text(WIRE_F_TO, b"old")
        .walked(WIRE_F_TO_BASE, b"");
    assert_eq!(
        lines(&[entry, exit]),
        [r#","path":"/run/rootfs","put_old":"/run/rootfs/old","path_from":"user","ret":0}"#]
    );
}

/// Where a relative name began is another place behind the call.
#[test]
fn a_root_whose_beginning_was_lost_is_not_named_by_what_the_call_made_of_it() {
    let chroot = |name| {
        record(WIRE_FS_CHROOT, libc::SYS_chroot, Some(0), &call([0; 6]))
            .text(WIRE_F_PATH, name)
            .walked(WIRE_F_BASE, b"now\0")
    };
    let began = record(WIRE_ENTRY, libc::SYS_chroot, None, &call([0; 6])).walked(WIRE_F_BASE, b"then\0");
    let path = |records: &[Built]| {
        let line = lines(records).remove(0);
        line.split_once("\"path\":").unwrap().1.split(',').next().unwrap().to_owned()
    };
    assert_eq!(path(&[began, chroot(b"sub")]), "\"/then/sub\"");
    assert_eq!(path(&[chroot(b"sub")]), "null");
    assert_eq!(path(&[chroot(b"/sub")]), "\"/sub\"");
}

#[test]
fn what_a_file_is_open_for_the_kernel_says() {
    let mode = |fmode: u32, flags: i32| {
        let file =
            wire_file { fmode, flags: flags as u32, mode: libc::S_IFREG, ..wire_file::new_zeroed() };
        let open = record(WIRE_FILE_OPEN, libc::SYS_openat2, Some(3), &file).walked(WIRE_F_PATH, b"a\0");
        let line = lines(&[open]).remove(0);
        line.split_once("\"mode\":").unwrap().1.split(',').next().unwrap().to_owned()
    };
    assert_eq!(mode(2, 0), "\"w\"", "the caller's memory could not be read, or is another's by now");
    assert_eq!(mode(3, libc::O_RDONLY), "\"rw\"");
    assert_eq!(mode(1, libc::O_RDWR), "\"r\"");
    assert_eq!(mode(0, libc::O_PATH), "\"path\"");
    assert_eq!(mode(0, 3), "\"rw\"");
}

#[test]
fn a_mount_by_the_new_calls_is_put_together() {
    let records = |made: u64, moved: u64, fstype: &[u8], path: &[u8]| {
        [
            record(WIRE_FSOPEN, libc::SYS_fsopen, Some(5), &call([0, 0, 0, 0, 0, 77]))
                .text(WIRE_F_FSTYPE, b"tmp.x"),
            record(WIRE_FSCONFIG, libc::SYS_fsconfig, Some(0), &call([5, 1, 0, 0, 0, 77]))
                .text(WIRE_F_KEY, b"source")
                .text(WIRE_F_VALUE, b"none"),
            // By another number: what is behind it counts.
            record(WIRE_FSCONFIG, libc::SYS_fsconfig, Some(0), &call([9, 1, 0, 0, 0, 77]))
                .text(WIRE_F_KEY, b"size")
                .text(WIRE_F_VALUE, b"1m")
                .walked(WIRE_F_CWD, b"w\0"),
            record(WIRE_FSMOUNT, libc::SYS_fsmount, Some(6), &call([5, 0, 3, 0, 77, made]))
                .text(WIRE_F_FSTYPE, b"tmpfs"),
            record(WIRE_MOVE_MOUNT, libc::SYS_move_mount, Some(0), &call([6, 0, 0, 0, 4, moved]))
                .text(WIRE_F_PATH, path)
                .text(WIRE_F_FSTYPE, fstype)
                .text(WIRE_F_TO, b"/mnt"),
        ]
    };
    let told = [concat!(
        r#","source":"none","target":"/mnt","cwd":"/w","fstype":"tmpfs","flags":["ro","nosuid"],"#,
        r#""options":"size=1m","path_from":"user","ret":0}"#
    )];
    // By the kernel's name of its type; and by its root as by its descriptor.
    assert_eq!(lines(&records(88, 88, b"tmpfs", b"")), told);
    assert_eq!(lines(&records(88, 88, b"tmpfs", b"./.")), told);
    // Another mount by the same descriptor, or one at the same address, has nothing of it.
    let unknown = [r#","source":null,"target":"/mnt","flags":[],"path_from":"user","ret":0}"#];
    assert_eq!(lines(&records(88, 89, b"tmpfs", b"")), unknown);
    assert_eq!(lines(&records(88, 88, b"overlay", b"")), unknown);
    assert_eq!(lines(&records(0, 0, b"tmpfs", b"")), unknown);
}

#[test]
fn what_move_mount_does_besides_moving_is_told() {
    let moved = |flags: u64| {
        let moved =
            record(WIRE_MOVE_MOUNT, libc::SYS_move_mount, Some(0), &call([3, 0, 4, 0, flags, 0]));
        lines(&[moved.text(WIRE_F_PATH, b"/a").text(WIRE_F_TO, b"/b")]).remove(0)
    };
    let told = |flags: &str| {
        format!(r#","source":"/a","target":"/b","flags":[{flags}],"path_from":"user","ret":0}}"#)
    };
    assert_eq!(moved(0), told(r#""move""#));
    assert_eq!(moved(0x200), told(r#""move","beneath""#));
    // It moves nothing: the target gets the source's peers.
    assert_eq!(moved(0x100), told(r#""set_group""#));
}

#[test]
fn a_connection_to_an_ipv4_address_in_ipv6_clothes_is_one_of_ipv4() {
    let mut net = wire_net::new_zeroed();
    (net.family, net.proto, net.sport) = (libc::AF_INET6 as u16, 6, 4000);
    let mut address = vec![10, 0, 1, 187, 0, 0, 0, 0];
    address.extend_from_slice(&"::ffff:192.0.2.7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    address.extend_from_slice(&[0; 4]);
    let connect =
        record(WIRE_CONNECT, libc::SYS_connect, Some(-115), &net).text(WIRE_F_ADDRESS, &address);
    assert_eq!(
        lines(&[connect]),
        [r#","proto":"tcp","family":"inet","sport":4000,"daddr":"192.0.2.7","dport":443,"ret":-115}"#]
    );
}

#[test]
fn a_root_that_is_not_the_process_s_alone_is_told() {
    let chroot = |apart: u64| {
        let record = record(WIRE_FS_CHROOT, libc::SYS_chroot, Some(0), &call([0; 6]));
        record.text(WIRE_F_PATH, b"/r").field(WIRE_F_VALUE, 0, &apart.to_ne_bytes())
    };
    let told = r#","path":"/r","apart":true,"path_from":"user","ret":0}"#;
    assert_eq!(lines(&[chroot(1), chroot(0)]), [told, &told.replace(r#""apart":true,"#, "")]);
}

#[test]
fn a_group_that_was_made_has_its_path_on_later_events() {
    let mut body = wire_cgroup::new_zeroed();
    body.id = 5;
    let made = record(WIRE_CGROUP_MKDIR, 0, None, &body).text(WIRE_F_PATH, b"/docker/x");
    let chroot =
        record(WIRE_FS_CHROOT, libc::SYS_chroot, Some(0), &call([0; 6])).text(WIRE_F_PATH, b"/r");
    let mut log = log();
    let mut decoder = Decoder::default();
    for record in [&chroot, &made, &chroot] {
        decoder.record(&aligned(&record.0), &mut log).unwrap();
    }
    let text = String::from_utf8(std::mem::take(log.writer().output())).unwrap();
    let cgroups: Vec<&str> =
        text.lines().skip(1).map(|line| line.split_once("\"cgroup\":").unwrap().1).collect();
    assert!(cgroups[0].starts_with("null,"));
    assert!(cgroups[1].starts_with("\"/docker/x\","));
}

#[test]
fn records_that_do_not_hold_together_are_refused() {
    let whole = record(WIRE_FILE_RENAME, libc::SYS_rename, Some(0), &call([0; 6]))
        .text(WIRE_F_PATH, b"/some/name")
        .walked(WIRE_F_BASE, b"c\0b\0")
        .text(WIRE_F_TO, b"other");
    let mut log = log();
    let mut decoder = Decoder::default();
    let mut refused = 0;
    for len in 0..whole.0.len() {
        refused += usize::from(decoder.record(&aligned(&whole.0[..len]), &mut log).is_err());
    }
    assert!(refused > size_of::<wire_head>());
    for at in 0..whole.0.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = whole.0.clone();
            bytes[at] = value;
            let _ = decoder.record(&aligned(&bytes), &mut log);
        }
    }
    let unknown = Built(whole.0.clone());
    let mut bytes = unknown.0;
    bytes[0] = 200;
    assert!(decoder.record(&aligned(&bytes), &mut log).is_err());
}

#[test]
fn bytes_that_are_not_counted_are_not_told() {
    let mut close = wire_net_close::new_zeroed();
    (close.net.family, close.net.proto, close.net.sport) = (libc::AF_INET as u16, 17, 40_000);
    (close.bytes_sent, close.bytes_received, close.duration_ns) = (3, 4, 5);
    let told = |counted: Counted, close: &wire_net_close| {
        lines_by(Decoder::new(counted), &[record(WIRE_NET_CLOSE, 0, None, close)]).remove(0)
    };
    close.net.socktype = libc::SOCK_DGRAM as u16;
    assert_eq!(
        told(Counted { sent: true, received: true }, &close),
        r#","proto":"udp","family":"inet","sport":40000,"bytes_sent":3,"bytes_received":4,"duration_ns":5}"#
    );
    assert_eq!(
        told(Counted::default(), &close),
        r#","proto":"udp","family":"inet","sport":40000,"duration_ns":5}"#
    );
    // A raw socket has no port: its protocol lies there.
    (close.net.socktype, close.net.proto, close.net.sport) = (libc::SOCK_RAW as u16, 253, 253);
    assert_eq!(
        told(Counted { sent: true, received: false }, &close),
        r#","proto":"253","family":"inet","bytes_sent":3,"duration_ns":5}"#
    );
    // TCP counts by itself.
    (close.net.socktype, close.net.proto, close.net.sport) = (libc::SOCK_STREAM as u16, 6, 4);
    (close.net.daddr[0], close.net.dport) = (127, 9);
    let told = told(Counted::default(), &close);
    assert!(told.ends_with(r#""dport":9,"bytes_sent":3,"bytes_received":4,"duration_ns":5}"#), "{told}");
}

#[test]
fn what_mount_setattr_sets_and_clears_is_named() {
    let words = |set: u64, cleared: u64, propagation: u64| {
        [set, cleared, propagation, 0].iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>()
    };
    let attr = |bytes: &[u8], at_flags: u64| {
        let built = record(WIRE_MOUNT_SETATTR, 442, Some(0), &call([0, 0, at_flags, 0, 32, 0]))
            .text(WIRE_F_PATH, b"/m")
            .text(WIRE_F_VALUE, bytes);
        let line = lines(&[built]).remove(0);
        line.split_once("\"flags\":[").unwrap().1.split_once(']').unwrap().0.to_owned()
    };
    assert_eq!(attr(&words(1, 8, 0), 0), r#""remount","bind","ro","exec""#);
    // MOUNT_ATTR__ATIME cleared and nothing set is relatime; MS_PRIVATE; AT_RECURSIVE.
    assert_eq!(attr(&words(0, 0x70, 1 << 18), 0x8000), r#""remount","bind","rec","relatime","private""#);
    assert_eq!(attr(b"short", 0), r#""remount","bind""#);
}

#[test]
fn a_mount_that_open_tree_attr_copies_has_the_attributes_that_it_is_given() {
    let words =
        |set: u64| [set, 0, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    let open = |flags: u64, ret: i64, set: u64| {
        record(WIRE_OPEN_TREE, 467, Some(ret), &call([0, 0, flags, 0, 32, 88]))
            .text(WIRE_F_PATH, b"/m")
            .text(WIRE_F_VALUE, &words(set))
    };
    let moved = record(WIRE_MOVE_MOUNT, libc::SYS_move_mount, Some(0), &call([6, 0, 0, 0, 4, 88]))
        .text(WIRE_F_PATH, b"")
        .text(WIRE_F_TO, b"/n");
    // OPEN_TREE_CLONE | AT_RECURSIVE
    assert_eq!(
        lines(&[open(0x8001, 6, 1 | 2), moved]),
        [concat!(
            r#","source":"/m","target":"/n","flags":["bind","rec","ro","nosuid"],"#,
            r#""path_from":"user","ret":0}"#
        )]
    );
    // Without a copy the mount itself is changed, by attributes that say something.
    assert_eq!(
        lines(&[open(0, 6, 1), open(0, 6, 0)]),
        [r#","source":null,"target":"/m","flags":["remount","bind","ro"],"path_from":"user","ret":6}"#]
    );
}

#[path = "cut_tests.rs"]
mod cut;
#[path = "ring_tests.rs"]
mod ring;
#[path = "stream_tests.rs"]
mod stream;
