//! file.*: what is opened, made, changed and removed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use blubr_tests::require;
use serde_json::{Value, json};

use crate::recording::{Monitor, script};

/// dev, ino and size as stat has them.
fn state(path: &str) -> (Value, Value, Value) {
    let meta = std::fs::metadata(path).unwrap();
    // glibc's encoding of st_dev.
    let (major, minor) =
        ((meta.dev() >> 8) & 0xfff, (meta.dev() & 0xff) | ((meta.dev() >> 12) & 0xfff00));
    (json!(format!("{major}:{minor}")), json!(meta.ino()), json!(meta.len()))
}

#[test]
fn a_file_that_is_written_is_opened_and_closed() {
    require!(Root);
    let r = script("echo hello > new; cat new > /dev/null; echo more >> new");
    let path = r.path("new");
    let (dev, ino, _) = state(&path);
    let opens = r.all("file.open", "new");
    assert_eq!(opens.len(), 3, "{opens:#?}");
    let first = opens[0];
    assert_eq!(
        (&first["mode"], &first["create"], &first["truncate"]),
        (&json!("w"), &json!(true), &json!(true))
    );
    assert_eq!((&first["dev"], &first["ino"], &first["size"]), (&dev, &ino, &json!(0)));
    assert!(first["ret"].as_i64().unwrap() >= 0 && first.get("path_from").is_none());
    assert_eq!((&opens[1]["mode"], opens[1].get("create")), (&json!("r"), None));
    assert_eq!(opens[1]["size"], 6);
    assert_eq!((&opens[2]["mode"], opens[2].get("truncate")), (&json!("w"), None));
    let closes = r.all("file.close", "new");
    let sizes: Vec<_> = closes.iter().map(|e| e["size"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [6, 11]);
    let last = closes[1];
    assert_eq!((&last["dev"], &last["ino"]), (&dev, &ino));
    let seconds = std::fs::metadata(&path).unwrap().mtime();
    let mtime = blubr_tests::program::text_of(std::process::Command::new("date").args([
        "-u",
        "+%FT%T",
        "-d",
        &format!("@{seconds}"),
    ]));
    assert!(last["mtime"].as_str().unwrap().starts_with(&mtime), "{mtime} {last}");
}

#[test]
fn an_open_that_makes_the_file_tells_its_bits() {
    require!(Root);
    let r = script(
        "umask 027; echo x > made; echo y >> made; rm made; umask 077; echo z > made
         mkdir low up work all; echo below > low/old
         mount -t overlay none -o lowerdir=low,upperdir=up,workdir=work all
         umask 002; echo new > all/new; echo more >> all/old; umount all",
    );
    let perms = |name: &str| -> Vec<Value> {
        r.all("file.open", name)
            .into_iter()
            .map(|e| e.get("perm").cloned().unwrap_or_default())
            .collect()
    };
    assert_eq!(perms("made"), [json!("0640"), Value::Null, json!("0600")]);
    assert_eq!(perms("all/new"), [json!("0664")]);
    assert_eq!(perms("all/old"), [Value::Null]);
}

#[test]
fn an_open_that_fails_is_told_with_its_errno() {
    require!(Root);
    let r = script("cat not-there 2>/dev/null || true; cd /; cat proc/nothing 2>/dev/null || true");
    let open = r.one("file.open", "path", "not-there");
    assert_eq!((&open["ret"], &open["path_from"], open.get("ino")), (&json!(-2), &json!("user"), None));
    let relative = r.of("file.open").into_iter().filter(|e| e["path"] == "/proc/nothing").count();
    assert_eq!(relative, 1);
}

#[test]
fn no_failed_leaves_them_out() {
    require!(Root);
    let folder = crate::recording::folder();
    let log = folder.path().join("log");
    let status = blubr_tests::bins::command("blubr-record")
        .arg("--no-failed")
        .arg("-o")
        .arg(&log)
        .args(["--", "sh", "-c", "cat /not-there 2>/dev/null; true"])
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(
        blubr_tests::program::jq("select(.ret != null and .ret < 0 and .ret != -115) | .type", &log),
        ""
    );
}

#[test]
fn a_symlink_is_opened_as_what_it_points_to() {
    require!(Root);
    let r = script("mkdir real; echo x > real/file; ln -s real alias; cat alias/file");
    let reads: Vec<_> =
        r.all("file.open", "real/file").into_iter().filter(|e| e["mode"] == "r").collect();
    assert_eq!(reads.len(), 1);
    assert!(r.all("file.open", "alias/file").is_empty());
}

#[test]
fn names_that_are_not_text_are_kept() {
    require!(Root);
    let monitor = Monitor::start();
    let path = monitor.path().join(OsStr::from_bytes(b"a\xff\nb"));
    std::fs::write(&path, "x").unwrap();
    std::fs::remove_file(&path).unwrap();
    let r = monitor.stop();
    let mut bytes = r.folder.path().as_os_str().as_bytes().to_vec();
    bytes.extend_from_slice(b"/a\xff\nb");
    let encoded =
        blubr_tests::program::run_on(std::process::Command::new("base64").arg("-w0"), &bytes).stdout;
    let encoded = String::from_utf8(encoded).unwrap();
    for kind in ["file.open", "file.close", "file.unlink"] {
        let found: Vec<_> = r.of(kind).into_iter().filter(|e| e["path_b64"] == encoded).collect();
        assert_eq!(found.len(), 1, "{kind}");
        assert_eq!(found[0]["path"], json!(null));
    }
}

#[test]
fn a_file_without_a_name_and_one_that_is_only_named() {
    require!(Root);
    let monitor = Monitor::start();
    let open = |flags: i32| {
        std::fs::OpenOptions::new()
            .read(true)
            .write(flags != O_PATH)
            .custom_flags(flags)
            .open(monitor.path())
            .unwrap();
    };
    const O_TMPFILE: i32 = 0o20_200_000;
    const O_PATH: i32 = 0o10_000_000;
    open(O_TMPFILE);
    open(O_PATH);
    let r = monitor.stop();
    let mine = |e: &&&Value| e["pid"] == std::process::id();
    let opens: Vec<_> = r.of("file.open").into_iter().filter(|e| mine(&e)).collect();
    assert!(opens.iter().any(|e| e["tmpfile"] == true && e["mode"] == "rw"), "{opens:#?}");
    assert!(
        opens.iter().any(|e| e["mode"] == "path" && e["path"] == r.folder.path().display().to_string())
    );
}

#[test]
fn names_are_made_changed_and_removed() {
    require!(Root);
    let r = script(
        "mkdir -m 0750 dir; mkfifo -m 0640 dir/fifo; mknod dir/null c 1 3; echo x > a; mv a dir/b; \
         ln dir/b c; ln -s nowhere/../b dir/link; cd dir; rm ../c fifo; cd ..; mkdir gone; rmdir gone",
    );
    let mkdir = r.one("file.mkdir", "path", "dir");
    assert_eq!(
        (&mkdir["mode"], &mkdir["ret"], &mkdir["path_from"]),
        (&json!("0750"), &json!(0), &json!("user"))
    );
    let fifo = r.one("file.mknod", "path", "dir/fifo");
    assert_eq!((&fifo["kind"], &fifo["mode"], fifo.get("rdev")), (&json!("fifo"), &json!("0640"), None));
    let null = r.one("file.mknod", "path", "dir/null");
    assert_eq!((&null["kind"], &null["rdev"]), (&json!("char"), &json!("1:3")));
    let rename = r.one("file.rename", "path", "a");
    assert_eq!((&rename["to"], rename.get("exchange")), (&json!(r.path("dir/b")), None));
    let link = r.one("file.link", "path", "dir/b");
    assert_eq!(link["to"], r.path("c"));
    let symlink = r.one("file.symlink", "path", "dir/link");
    assert_eq!(symlink["target"], "nowhere/../b");
    assert_eq!(r.one("file.unlink", "path", "c").get("directory"), None);
    r.one("file.unlink", "path", "dir/fifo");
    assert_eq!(r.one("file.unlink", "path", "gone")["directory"], true);
}

#[test]
fn what_a_file_is_can_be_changed() {
    require!(Root);
    let r = script(
        "echo x > f; chmod 4751 f; chown 12:34 f; chown 56 f; truncate -s 4096 f; touch -d 2020-02-03T04:05:06.7Z f; \
         fallocate -l 8192 f; /sbin/setcap cap_net_raw=ep f; /sbin/setcap -r f",
    );
    let chmod = r.one("file.chmod", "path", "f");
    assert_eq!((&chmod["mode"], &chmod["ret"]), (&json!("4751"), &json!(0)));
    let chowns = r.all("file.chown", "f");
    assert_eq!((&chowns[0]["owner"], &chowns[0]["group"]), (&json!(12), &json!(34)));
    assert_eq!((&chowns[1]["owner"], chowns[1].get("group")), (&json!(56), None));
    let sizes: Vec<_> =
        r.all("file.truncate", "f").iter().map(|e| e["size"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [4096, 8192]);
    let utimes = r.one("file.utimes", "path", "f");
    assert_eq!(utimes["mtime"], "2020-02-03T04:05:06.700000000Z");
    assert_eq!(utimes["atime"], utimes["mtime"]);
    let attributes = r.all("file.setxattr", "f");
    assert_eq!(attributes[0]["name"], "security.capability");
    // struct vfs_cap_data of revision 2, effective, with CAP_NET_RAW: include/uapi/linux/capability.h.
    let words: [u32; 5] = [0x0200_0001, 1 << 13, 0, 0, 0];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(
        attributes[0]["value"].as_str().map(str::as_bytes),
        Some(&bytes[..]),
        "{}",
        attributes[0]
    );
    let removed = attributes.last().unwrap();
    assert_eq!((&removed["name"], &removed["remove"]), (&json!("security.capability"), &json!(true)));
}

#[test]
fn a_value_that_is_cut_says_so() {
    require!(Root);
    // setxattr(2), which tells the value also where the file system has no room for it.
    let set = |name: &str, len: usize| {
        format!(
            "($p, $n, $v) = (\"f\", \"user.{name}\", \"v\" x {len}); syscall(188, $p, $n, $v, {len}, 0);"
        )
    };
    let r = script(&format!("echo x > f; perl -e '{} {}'", set("whole", 4096), set("long", 4097)));
    let told = r.all("file.setxattr", "f");
    let told: Vec<_> = told.iter().map(|e| (&e["name"], e["value"].as_str().unwrap().len())).collect();
    assert_eq!(told, [(&json!("user.whole"), 4096), (&json!("user.long"), 4096)]);
    let cut = r.all("file.setxattr", "f");
    assert_eq!(cut[0].get("truncated"), None);
    assert_eq!(cut[1]["truncated"], json!(["value"]));
}

#[test]
fn a_file_that_is_left_open_closes_with_its_process() {
    require!(Root);
    let r = script("sh -c 'exec > out 2> err; echo hello; echo oops >&2; exec /bin/true'");
    assert_eq!(r.one("file.close", "path", "out")["size"], 6);
    assert_eq!(r.one("file.close", "path", "err")["size"], 5);
}

#[test]
fn a_deep_path_keeps_its_tail() {
    require!(Root);
    let monitor = Monitor::start();
    // 40 names of 200 bytes: twice PATH_MAX, to be reached by steps only.
    let name = "d".repeat(200);
    let script =
        format!("i=0; while [ $i -lt 40 ]; do mkdir {name}; cd {name}; i=$((i+1)); done; echo x > leaf");
    let done =
        std::process::Command::new("bash").args(["-ec", &script]).current_dir(monitor.path()).status();
    assert!(done.unwrap().success());
    let r = monitor.stop();
    let leaf: Vec<_> = r
        .of("file.open")
        .into_iter()
        .filter(|e| e["path"].as_str().is_some_and(|path| path.ends_with("d/leaf")))
        .collect();
    assert_eq!(leaf.len(), 1);
    assert_eq!(leaf[0]["truncated"], json!(["path"]));
    assert!(leaf[0]["path"].as_str().unwrap().len() > 3500);
}

#[test]
fn the_newest_calls_are_told() {
    require!(Root, Compiler);
    let program = crate::programs::compiled("calls");
    let r = script(&format!("echo x > f; {} newer f > results", program.path.display()));
    let said = std::fs::read_to_string(r.path("results")).unwrap();
    let said = crate::programs::results(&said);
    // Kernels before 6.13 and 6.6 say ENOSYS: then that is told.
    let attribute = r.one("file.setxattr", "path", "f");
    assert_eq!((&attribute["name"], &attribute["value"]), (&json!("user.at"), &json!("v2")));
    assert_eq!(attribute["ret"], said["setxattrat"][0]);
    let chmod = r.one("file.chmod", "path", "f");
    assert_eq!((&chmod["mode"], &chmod["ret"]), (&json!("0604"), &json!(said["fchmodat2"][0])));
}

#[test]
fn a_file_that_another_descriptor_keeps_open_is_not_closed_by_an_exec() {
    require!(Root);
    // Perl's own descriptor is closed by the exec, standard output stays.
    let r = script("perl -e 'open(F, \">f\"); open(STDOUT, \">&F\"); exec \"/bin/true\"'");
    let closes = r.all("file.close", "f");
    assert_eq!(closes.len(), 1, "{closes:#?}");
    assert_eq!(closes[0]["comm"], "true");
}
