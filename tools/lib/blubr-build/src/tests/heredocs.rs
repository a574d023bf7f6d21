//! Inline files of buildah's COPY.

use crate::tests::{Log, Who};

const BUILDAH: Who = Who(20, 5, 0, 1, 1);

/// buildah, with a tree.
fn begun() -> Log {
    let mut log = Log::new();
    log.exec(BUILDAH, &["buildah", "build", "."]);
    let mount = r#""source":"overlay","target":"/s/overlay/1/merged","fstype":"overlay","flags":[],"lower":["/s/overlay/0/diff"],"upper":"/s/overlay/1/diff","work":"/s/overlay/1/work","ret":0"#;
    log.add(BUILDAH, "mount.mount", mount);
    log
}

/// The directories that a COPY's helper, which entered `/var/tmp`, is said to have read from.
fn contexts(log: &mut Log) -> Vec<String> {
    let helper = Who(21, 20, 0, 1, 21);
    log.fork(BUILDAH, helper);
    log.add(helper, "fs.chroot", r#""path":"/var/tmp","ret":0"#);
    log.end(helper);
    let helper = Who(22, 20, 0, 1, 22);
    log.fork(BUILDAH, helper);
    log.add(helper, "fs.chroot", r#""path":"/s/overlay/1/merged","ret":0"#);
    log.add(helper, "file.open", r#""path":"/one","mode":"w","create":true,"ret":3"#);
    log.end(helper);
    log.end(BUILDAH);
    let builds = log.builds();
    let contexts = &builds.builds[0].contexts;
    contexts.iter().map(|context| String::from_utf8_lossy(&context.dir).into_owned()).collect()
}

fn makes(log: &mut Log, who: Who, dir: &str) {
    log.add(who, "file.mkdir", &format!(r#""path":"{dir}","mode":"0700","path_from":"user","ret":0"#));
}

#[test]
fn of_the_folder_for_temporary_files_only_what_buildah_made_is_the_context() {
    let mut log = begun();
    makes(&mut log, BUILDAH, "/var/tmp/buildah-heredoc1");
    makes(&mut log, BUILDAH, "/var/tmp/buildah-heredoc2");
    makes(&mut log, BUILDAH, "/tmp/buildah-heredoc3");
    assert_eq!(contexts(&mut log), ["/var/tmp/buildah-heredoc1", "/var/tmp/buildah-heredoc2"]);
}

#[test]
fn what_is_anothers_or_gone_is_none() {
    let mut log = begun();
    makes(&mut log, Who(30, 5, 0, 1, 1), "/var/tmp/buildah-heredoc1");
    makes(&mut log, BUILDAH, "/var/tmp/buildah-heredoc2");
    let gone = r#""path":"/var/tmp/buildah-heredoc2","directory":true,"path_from":"user","ret":0"#;
    log.add(BUILDAH, "file.unlink", gone);
    assert_eq!(contexts(&mut log), ["/var/tmp"]);
}
