//! mount.*, fs.chroot, ns.*: what later paths mean.

use blubr_tests::program::text_of;
use blubr_tests::require;
use blubr_tests::require::left_out;
use blubr_tests::workload::busybox_path;
use serde_json::{Value, json};
use std::process::Command;

use crate::programs::{compiled, results};
use crate::recording::{Monitor, command, script};

/// ENOSYS.
const NO_SUCH_CALL: i64 = -38;

#[test]
fn an_overlay_by_relative_names_and_symlinks_is_resolved() {
    require!(Root);
    let r = script(
        "mkdir -p layers/1 layers/2 l up work merged; ln -s ../layers/1 l/ONE; ln -s ../layers/2 l/TWO; \
         mount -t tmpfs none up; mkdir up/up up/work; \
         mount -n -i -t overlay -o lowerdir=l/ONE:l/TWO,upperdir=up/up,workdir=up/work overlay merged; \
         echo x > merged/new; sleep 1; umount merged; umount up",
    );
    let mounts = r.of("mount.mount");
    let overlay: Vec<_> = mounts.iter().filter(|e| e["target"] == r.path("merged")).collect();
    assert_eq!(overlay.len(), 1, "{mounts:#?}");
    let overlay = overlay[0];
    assert_eq!(overlay["fstype"], "overlay");
    assert_eq!(overlay["lower"], json!([r.path("layers/1"), r.path("layers/2")]));
    assert_eq!(overlay["upper"], r.path("up/up"));
    assert_eq!(overlay["work"], r.path("up/work"));
    let options = overlay["options"].as_str().unwrap();
    assert!(options.contains("lowerdir=l/ONE:l/TWO"), "{options}");
    assert_eq!(r.all("file.open", "merged/new").len(), 1);
    assert!(r.all("file.open", "up/up/new").is_empty(), "the container's own path is told");
    let umounts = r.of("mount.umount");
    // Others of this host unmount too.
    let targets: Vec<_> = umounts.iter().filter_map(|e| e["target"].as_str()).collect();
    let targets: Vec<_> = targets.into_iter().filter(|target| target.starts_with(&r.path(""))).collect();
    assert_eq!(targets, [r.path("merged"), r.path("up")]);
}

#[test]
fn a_bind_mount_names_its_source_and_flags() {
    require!(Root);
    let busybox = busybox_path();
    let r = script(&format!(
        "mkdir a b; {0} mount -o bind a b; {0} mount -o remount,ro,bind b; umount b",
        busybox.display()
    ));
    let mounts: Vec<_> =
        r.of("mount.mount").into_iter().filter(|e| e["target"] == r.path("b")).collect();
    assert_eq!(mounts.len(), 2, "{mounts:#?}");
    assert_eq!(mounts[0]["source"], "a");
    assert_eq!(mounts[0]["cwd"], r.folder.path().display().to_string());
    let flags = |at: usize| mounts[at]["flags"].as_array().unwrap().clone();
    assert!(flags(0).contains(&json!("bind")));
    assert!(flags(1).contains(&json!("remount")) && flags(1).contains(&json!("ro")));
}

#[test]
fn paths_after_chroot_are_the_container_s_and_the_root_is_named_as_before() {
    require!(Root);
    let busybox = busybox_path();
    let r = script(&format!(
        "mkdir -p root/bin root/tmp; cp {0} root/bin/busybox; {0} chroot root /bin/busybox touch /tmp/inside",
        busybox.display()
    ));
    let chroot = r.one("fs.chroot", "path", "root");
    assert_eq!((&chroot["ret"], &chroot["path_from"]), (&json!(0), &json!("user")));
    let opens: Vec<_> = r
        .of("file.open")
        .into_iter()
        .filter(|e| e["path"] == "/tmp/inside" && e["pid"] == chroot["pid"])
        .collect();
    assert_eq!(opens.len(), 1);
    assert_eq!(
        opens[0]["ino"],
        std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(r.path("root/tmp/inside")).unwrap())
    );
}

#[test]
fn paths_after_pivot_root_are_the_container_s() {
    require!(Root);
    let busybox = busybox_path();
    let r = script(&format!(
        "mkdir root; unshare -m sh -ec 'mount -t tmpfs none root; mkdir root/bin root/old root/tmp; \
         cp {} root/bin/busybox; cd root; pivot_root . old; \
         exec /bin/busybox chroot . /bin/busybox touch /tmp/pivoted'",
        busybox.display()
    ));
    let pivot = r.one("mount.pivot_root", "path", "root");
    assert_eq!(pivot["put_old"], r.path("root/old"));
    let open = r.of("file.open").into_iter().find(|e| e["path"] == "/tmp/pivoted").unwrap();
    assert_eq!(open["mntns"], pivot["mntns"]);
    let own = text_of(Command::new("stat").args(["-L", "-c", "%i", "/proc/self/ns/mnt"]));
    assert_ne!(pivot["mntns"].to_string(), own);
    let unshare = r
        .of("ns.unshare")
        .into_iter()
        .find(|e| {
            e["pid"] == r.of("process.exec").into_iter().find(|e| e["comm"] == "unshare").unwrap()["pid"]
        })
        .unwrap();
    assert_eq!(unshare["namespaces"], json!(["mnt"]));
}

#[test]
fn mounts_that_were_there_before_are_told() {
    require!(Root);
    let r = Monitor::start().stop();
    let own: u64 =
        text_of(Command::new("stat").args(["-L", "-c", "%i", "/proc/self/ns/mnt"])).parse().unwrap();
    let told: Vec<_> = r
        .of("mount.exists")
        .into_iter()
        .filter(|e| e["mntns"] == own)
        .map(|e| (e["target"].as_str().unwrap().to_owned(), e["fstype"].as_str().unwrap().to_owned()))
        .collect();
    let expected = text_of(Command::new("findmnt").args(["-rn", "-o", "TARGET,FSTYPE", "/proc"]));
    let (target, fstype) = expected.split_once(' ').unwrap();
    assert!(told.contains(&(target.to_owned(), fstype.to_owned())), "{told:?}");
}

#[test]
fn a_namespace_that_is_entered_is_named() {
    require!(Root);
    let r = command(Command::new("nsenter").args([
        "--target",
        &std::process::id().to_string(),
        "--mount",
        "true",
    ]));
    let setns = r.of("ns.setns");
    assert!(setns.iter().any(|e| e["comm"] == "nsenter" && e["ret"] == 0), "{setns:#?}");
}

#[test]
fn a_mount_that_is_changed_or_refused_by_the_new_calls_is_told() {
    require!(Root, Compiler);
    let program = compiled("calls");
    let calls = program.path.display();
    let r = script(&format!(
        "mkdir m; mount -t tmpfs none m; {calls} mounts m > results; umount m; rmdir m"
    ));
    let mine: Vec<_> = r.of("mount.mount").into_iter().filter(|e| e["comm"] == "calls").collect();
    let said = std::fs::read_to_string(r.path("results")).unwrap();
    let said = results(&said);
    assert_eq!(mine.len(), 8, "{mine:#?}");
    assert_eq!(mine[0]["flags"], json!(["remount", "bind", "ro", "nosuid"]));
    assert_eq!(mine[1]["flags"], json!(["remount", "bind", "rw"]));
    assert_eq!((&mine[2]["flags"], &mine[2]["options"]), (&json!(["remount"]), &json!("size=2m")));
    let changes = [said["mount_setattr"][0], said["mount_setattr"][1], said["reconfigure"][0]];
    if changes[0] == NO_SUCH_CALL {
        left_out("changes by mount_setattr that are made: this kernel has no such call");
    }
    for (event, ret) in mine.iter().zip(changes) {
        assert_eq!((&event["target"], &event["ret"]), (&json!(r.path("m")), &json!(ret)));
        assert!(ret == 0 || ret == NO_SUCH_CALL && event["options"] != "size=2m", "{event:#?}");
    }
    for (event, call) in [(3, "fsopen"), (4, "create"), (5, "fsmount"), (6, "open_tree")] {
        assert_eq!(
            (&mine[event]["target"], &mine[event]["ret"]),
            (&json!(null), &json!(said[call][0])),
            "{call}"
        );
    }
    assert_eq!(mine[3]["fstype"], "no-such-fs");
    assert_eq!((&mine[4]["fstype"], &mine[4]["source"]), (&json!("ext4"), &json!("/no/such/device")));
    assert_eq!((&mine[6]["source"], &mine[6]["flags"]), (&json!(r.path("not-there")), &json!(["bind"])));
    // A copy has the attributes that it was made with, where the kernel has such a call and else where it was refused.
    assert_eq!((&mine[7]["source"], &mine[7]["flags"]), (&json!(r.path("m")), &json!(["bind", "ro"])));
    let copy = said["open_tree_attr"][0];
    let placed = said.get("move_mount").map(|moved| (json!(r.path("m")), json!(moved[0])));
    assert_eq!(placed.is_some(), copy >= 0);
    let placed = placed.unwrap_or((Value::Null, json!(copy)));
    assert_eq!((mine[7]["target"].clone(), mine[7]["ret"].clone()), placed);
}

#[test]
fn namespaces_that_a_child_is_born_into_are_told_as_its_own() {
    require!(Root, Compiler);
    let program = compiled("calls");
    let r = script(&format!(
        "{} born > results; {} namespaces",
        program.path.display(),
        program.path.display()
    ));
    let said = std::fs::read_to_string(r.path("results")).unwrap();
    let child = results(&said)["clone"][0];
    let unshare: Vec<_> = r.of("ns.unshare").into_iter().filter(|e| e["pid"] == child).collect();
    assert_eq!(unshare.len(), 1);
    assert_eq!(unshare[0]["namespaces"], json!(["uts", "ipc"]));
    let fork = r.of("process.fork").into_iter().find(|e| e["child_pid"] == child).unwrap();
    assert_eq!((&unshare[0]["ppid"], &unshare[0]["start"]), (&fork["pid"], &fork["child_start"]));
    // setns(fd, 0) of /proc/self/ns/uts
    let setns: Vec<_> = r.of("ns.setns").into_iter().filter(|e| e["comm"] == "calls").collect();
    assert_eq!((setns.len(), &setns[0]["namespaces"]), (1, &json!(["uts"])));
}
