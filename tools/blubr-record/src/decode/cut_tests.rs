//! What was cut at a limit, and by which of its keys an event says so.

use blubr_log::{Body, LineKind, NameList, Reader};
use blubr_probes::wire::wire_exists;

use super::*;

/// Of each event that these records become its type, and the fields that it says were cut.
fn cut(records: &[Built]) -> Vec<(String, Vec<String>)> {
    let (mut log, mut decoder) = (log(), Decoder::default());
    for record in records {
        decoder.record(&aligned(&record.0), &mut log).unwrap();
    }
    let bytes = std::mem::take(log.writer().output());
    let mut reader = Reader::new(bytes.as_slice()).unwrap();
    let mut told = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        if let LineKind::Event(event) = &line.kind {
            let keys = event.tail.truncated.iter().flat_map(NameList::iter);
            let keys = keys.map(|key| String::from_utf8(key.to_vec()).unwrap());
            told.push((event.head.r#type.lossy().into_owned(), keys.collect()));
        }
    }
    told
}

/// A call of which each of these fields was cut.
fn all_cut(kind: wire_kind, nr: i64, fields: &[wire_field_id]) -> Built {
    fields.iter().fold(record(kind, nr, Some(0), &call([0; 6])), |built, id| match id {
        WIRE_F_EXE | WIRE_F_CWD => built.field(*id, wire::WIRE_WALKED | wire::WIRE_CUT, b"x\0"),
        _ => built.field(*id, wire::WIRE_CUT, b"/x"),
    })
}

#[test]
fn what_was_cut_is_named_by_a_key_of_its_event() {
    let names = [WIRE_F_PATH, WIRE_F_TO];
    let calls: [(wire_kind, i64, &[wire_field_id], &[&str]); 13] = [
        (WIRE_FILE_OPEN, libc::SYS_openat, &[WIRE_F_PATH], &["path"]),
        (WIRE_FILE_MKDIR, libc::SYS_mkdir, &[WIRE_F_PATH], &["path"]),
        (WIRE_FILE_RENAME, libc::SYS_rename, &names, &["path", "to"]),
        (WIRE_FILE_LINK, libc::SYS_link, &names, &["path", "to"]),
        (WIRE_FILE_SYMLINK, libc::SYS_symlink, &names, &["path", "target"]),
        (
            WIRE_FILE_SETXATTR,
            libc::SYS_setxattr,
            &[WIRE_F_PATH, WIRE_F_TO, WIRE_F_VALUE],
            &["path", "name", "value"],
        ),
        (WIRE_MOUNT_UMOUNT, libc::SYS_umount2, &[WIRE_F_PATH], &["target"]),
        (WIRE_MOUNT_PIVOT_ROOT, libc::SYS_pivot_root, &names, &["path", "put_old"]),
        (WIRE_FS_CHROOT, libc::SYS_chroot, &[WIRE_F_PATH], &["path"]),
        (
            WIRE_MOUNT_MOUNT,
            libc::SYS_mount,
            &[WIRE_F_SOURCE, WIRE_F_PATH, WIRE_F_CWD, WIRE_F_FSTYPE, WIRE_F_OPTIONS],
            &["target", "cwd", "source", "fstype", "options"],
        ),
        (WIRE_PROCESS_EXEC, 0, &[WIRE_F_EXE, WIRE_F_CWD, WIRE_F_ARGV], &["exe", "cwd", "argv"]),
        (
            WIRE_EXEC_FAILED,
            libc::SYS_execve,
            &[WIRE_F_PATH, WIRE_F_CWD, WIRE_F_ARGV],
            &["exe", "cwd", "argv"],
        ),
        (WIRE_WATCH_MODULE, libc::SYS_delete_module, &[WIRE_F_KEY], &["name"]),
    ];
    for (kind, nr, fields, keys) in calls {
        let (type_name, told) = cut(&[all_cut(kind, nr, fields)]).remove(0);
        assert_eq!(told, keys, "{type_name}");
        let doc = Body::TYPES.iter().find(|doc| doc.name == type_name).unwrap();
        let has = |key: &String| doc.keys.iter().any(|one| one.name == key.as_str());
        assert!(told.iter().all(has), "{type_name} has no such key: {told:?}");
        let whole = fields
            .iter()
            .fold(record(kind, nr, Some(0), &call([0; 6])), |built, id| built.text(*id, b"/x"));
        assert_eq!(cut(&[whole]), [(type_name, Vec::new())]);
    }
}

#[test]
fn a_file_whose_path_is_not_whole_leaves_the_list_of_a_process_not_whole() {
    let file = |flags| {
        let flags = wire::WIRE_WALKED | flags;
        record(WIRE_EXISTS_FILE, 0, None, &wire_file::new_zeroed()).field(WIRE_F_PATH, flags, b"f\0")
    };
    let mut body = wire_exists::new_zeroed();
    body.kthread = 1;
    let exists = record(WIRE_PROCESS_EXISTS, 0, None, &body);
    let told = |file| cut(&[file, exists.clone()]).remove(0).1;
    assert_eq!(told(file(0)), [""; 0]);
    assert_eq!(told(file(wire::WIRE_CUT)), ["open_for_writing"]);
}

#[test]
fn options_of_a_mount_that_find_no_room_are_not_left_out_in_silence() {
    let option = |len: usize| {
        record(WIRE_FSCONFIG, libc::SYS_fsconfig, Some(0), &call([5, 1, 0, 0, 0, 77]))
            .text(WIRE_F_KEY, b"lowerdir+")
            .text(WIRE_F_VALUE, &vec![b'l'; len])
    };
    let mount = |options: usize| {
        let mut records = vec![
            record(WIRE_FSOPEN, libc::SYS_fsopen, Some(5), &call([0, 0, 0, 0, 0, 77]))
                .text(WIRE_F_FSTYPE, b"x"),
        ];
        records.extend((0..options).map(|_| option(4000)));
        records.push(record(WIRE_FSMOUNT, libc::SYS_fsmount, Some(6), &call([5, 0, 0, 0, 77, 88])));
        let moved = record(WIRE_MOVE_MOUNT, libc::SYS_move_mount, Some(0), &call([6, 0, 0, 0, 4, 88]));
        records.push(moved.text(WIRE_F_PATH, b"").text(WIRE_F_FSTYPE, b"x").text(WIRE_F_TO, b"/mnt"));
        cut(&records)
    };
    assert_eq!(mount(16), [("mount.mount".to_owned(), Vec::new())]);
    assert_eq!(mount(17), [("mount.mount".to_owned(), vec!["options".to_owned()])]);
}
