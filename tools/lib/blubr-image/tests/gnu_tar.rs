//! Archives that GNU tar makes, in each of its formats: what it lists and what sha256sum says is what we read.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the oracle is a program that reads files")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use blubr_image::layer::{Entries, Entry, Kind};

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn tree(root: &Path) {
    let long = format!("{}/{}", "d".repeat(120), "e".repeat(90));
    fs::create_dir_all(root.join(&long)).unwrap();
    fs::write(root.join(&long).join("f".repeat(150)), "deep").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("block"), [1; 512]).unwrap();
    fs::write(root.join("more"), [2; 513]).unwrap();
    fs::write(root.join("sch\u{f6}n \n'\""), "name").unwrap();
    fs::set_permissions(root.join("more"), fs::Permissions::from_mode(0o4751)).unwrap();
    symlink("/nowhere/at/all", root.join("symlink")).unwrap();
    symlink("t".repeat(300), root.join("long-symlink")).unwrap();
    fs::hard_link(root.join("more"), root.join("more-2")).unwrap();
    let mut sparse = vec![0; 3 << 20];
    for (at, byte) in [(0, 1), (100_000, 2), (1 << 20, 3), ((3 << 20) - 1, 4)] {
        sparse[at] = byte;
    }
    fs::write(root.join("sparse-content"), &sparse).unwrap();
    // cp makes the holes.
    output(
        Command::new("cp")
            .arg("--sparse=always")
            .arg(root.join("sparse-content"))
            .arg(root.join("sparse")),
    );
    let mut many = Vec::new();
    for n in 0..200u8 {
        many.extend_from_slice(&[n; 4096]);
        many.extend_from_slice(&[0; 4096]);
    }
    fs::write(root.join("many-content"), &many).unwrap();
    output(
        Command::new("cp").arg("--sparse=always").arg(root.join("many-content")).arg(root.join("many")),
    );
}

/// What sha256sum says of each regular file.
fn sums(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let list = output(Command::new("find").current_dir(root).args([
        ".",
        "-type",
        "f",
        "-exec",
        "sha256sum",
        "-z",
        "{}",
        "+",
    ]));
    let lines = list.split(|byte| *byte == 0).filter(|line| !line.is_empty());
    lines.map(|line| (line[68..].to_vec(), String::from_utf8(line[..64].to_vec()).unwrap())).collect()
}

#[test]
fn every_format_reads_as_the_tree_that_it_was_made_of() {
    let folder = std::env::temp_dir().join(format!("blubr-gnu-tar.{}", std::process::id()));
    let root = folder.join("root");
    fs::create_dir_all(&root).unwrap();
    tree(&root);
    let sums = sums(&root);
    for format in [
        &["--format=gnu"][..],
        &["--format=pax"],
        &["--format=gnu", "-S"],
        &["--format=pax", "-S", "--sparse-version=0.0"],
        &["--format=pax", "-S", "--sparse-version=0.1"],
        &["--format=pax", "-S", "--sparse-version=1.0"],
        &["--format=pax", "-z"],
    ] {
        let archive =
            output(Command::new("tar").args(format).arg("-C").arg(&root).args(["-c", "-f", "-", "."]));
        let entries: Vec<Entry> =
            Entries::new(archive.as_slice(), None).unwrap().map(Result::unwrap).collect();
        let files: BTreeMap<Vec<u8>, String> = entries
            .iter()
            .filter_map(|entry| Some((entry.path.clone(), entry.sha256.as_ref()?.hex().to_owned())))
            .collect();
        // tar keeps one of two hard links as a file.
        let mut expected = sums.clone();
        let linked = entries.iter().find(|entry| entry.kind == Kind::Hardlink).unwrap();
        expected.remove(&linked.path).unwrap();
        assert_eq!(files, expected, "{format:?}");
        let target = fs::read_link(root.join("long-symlink")).unwrap();
        let found = entries.iter().find(|entry| entry.path == b"long-symlink").unwrap();
        assert_eq!(found.link.as_deref(), Some(target.as_os_str().as_bytes()));
        let more = entries
            .iter()
            .find(|entry| entry.kind == Kind::File && entry.path.starts_with(b"more"))
            .unwrap();
        assert_eq!((more.mode, more.size), (0o4751, 513));
    }
    fs::remove_dir_all(folder).unwrap();
}
