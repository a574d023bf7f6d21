//! The kinds of events that a log is filled with, one kind a log.

use crate::log::{CLIENT, DAEMON, Log, RUNTIME, STEP, STRANGER, Who};

/// Events of one kind.
pub struct Kind {
    /// What it is called.
    pub name: &'static str,
    /// Writes the next of them, `n` of which have been written; for some it takes several events.
    pub write: fn(&mut Log, u64),
}

const fn kind(name: &'static str, write: fn(&mut Log, u64)) -> Kind {
    Kind { name, write }
}

/// A path of nearly 4,096 bytes (PATH_MAX), every component a letter but the first.
fn deep(n: u64) -> String {
    format!("/{n}{}", "/a".repeat(2_000))
}

/// A process of the step's that is made for the event alone.
fn child(n: u64) -> Who {
    Who(1_000_000 + n, 411, 0, 41, 41)
}

/// A layer of a store without mounts.
fn whole(log: &mut Log, who: Who, n: u64) {
    log.add(who, "file.mkdir", &format!(r#""path":"/v/vfs/dir/{n}","mode":"0755","ret":0"#));
}

fn opened(log: &mut Log, who: Who, path: &str, mode: &str) {
    let create = if mode == "r" { "" } else { r#""create":true,"# };
    log.add(
        who,
        "file.open",
        &format!(r#""path":"{path}","mode":"{mode}",{create}"size":{},"ret":3"#, 7),
    );
}

/// A step, and the layer that the classic builder registers from it: a file that a helper writes.
fn registered(log: &mut Log, n: u64) {
    let (step, layer) = (1_000 + 2 * n, 1_001 + 2 * n);
    let filled = |log: &mut Log, by: u64, dir: &str| {
        let helper = Who(1_000_000 + by, 10, 0, 1, 1);
        log.fork(DAEMON, helper);
        log.add(helper, "fs.chroot", &format!(r#""path":"{dir}","ret":0"#));
        opened(log, helper, "/f", "w");
        log.add(helper, "file.close", r#""path":"/f","dev":"0:45","ino":7,"size":7"#);
        log.exit(helper);
    };
    log.overlay(step, &[40]);
    filled(log, step, &format!("/s/overlay2/{step}/merged"));
    opened(log, DAEMON, &format!("/s/overlay2/{step}/diff/f"), "r");
    log.umount(step);
    let own = format!(r#""path":"/s/overlay2/l/N{n}","target":"../{layer}/diff","ret":0"#);
    log.add(DAEMON, "file.symlink", &own);
    filled(log, layer, &format!("/s/overlay2/{layer}/diff"));
}

fn bind(log: &mut Log, who: Who, source: &str, target: &str) {
    let own = format!(r#""source":"{source}","target":"{target}","flags":["bind"],"ret":0"#);
    log.add(who, "mount.mount", &own);
}

fn end_of(n: u64) -> String {
    let [.., a, b, c] = n.to_be_bytes();
    format!(
        r#""proto":"tcp","family":"inet","saddr":"10.0.0.1","sport":{},"daddr":"10.{a}.{b}.{c}","dport":{}"#,
        1024 + n % 60_000,
        1 + n % 65_000
    )
}

/// Every kind.
pub const KINDS: &[Kind] = &[
    // ---- what a step does to files
    kind("writes", |log, n| opened(log, STEP, &format!("/w/{n}"), "w")),
    kind("reads", |log, n| opened(log, STEP, &format!("/r/{n}"), "r")),
    kind("deep-writes", |log, n| opened(log, STEP, &deep(n), "w")),
    kind("deep-reads", |log, n| opened(log, STEP, &deep(n), "r")),
    kind("paths-of-other-roots", |log, n| {
        let own = format!(r#""path":"/o/{n}","mode":"r","path_from":"outside","ret":3"#);
        log.add(STEP, "file.open", &own);
    }),
    kind("not-found", |log, n| {
        log.add(STEP, "file.open", &format!(r#""path":"/n/{n}","mode":"r","ret":-2"#));
    }),
    kind("closes", |log, n| {
        let own = format!(r#""path":"/c/{n}","dev":"0:45","ino":{n},"size":{n}"#);
        log.add(STEP, "file.close", &own);
    }),
    kind("mkdirs", |log, n| {
        log.add(STEP, "file.mkdir", &format!(r#""path":"/m/{n}","mode":"0755","ret":0"#));
    }),
    kind("nested-mkdirs", |log, n| {
        let own = format!(r#""path":"{}","mode":"0755","ret":0"#, "/d".repeat(1 + (n % 2_000) as usize));
        log.add(STEP, "file.mkdir", &own);
    }),
    kind("mknods", |log, n| {
        let own = format!(r#""path":"/k/{n}","kind":"char","mode":"0600","rdev":"0:0","ret":0"#);
        log.add(STEP, "file.mknod", &own);
    }),
    kind("unlinks", |log, n| {
        log.add(STEP, "file.unlink", &format!(r#""path":"/u/{n}","path_from":"user","ret":0"#));
    }),
    kind("deep-unlinks", |log, n| {
        let own = format!(r#""path":"{}","path_from":"user","ret":0"#, deep(n));
        log.add(STEP, "file.unlink", &own);
    }),
    kind("renames", |log, n| {
        let own = format!(r#""path":"/a/{n}","to":"/b/{n}","path_from":"user","ret":0"#);
        log.add(STEP, "file.rename", &own);
    }),
    kind("renames-to-and-fro", |log, n| {
        let (from, to) = if n % 2 == 0 { ("/a", "/b") } else { ("/b", "/a") };
        let own = format!(r#""path":"{from}","to":"{to}","path_from":"user","ret":0"#);
        log.add(STEP, "file.rename", &own);
    }),
    kind("renames-on-and-on", |log, n| {
        let own = format!(r#""path":"/a{n}","to":"/a{}","path_from":"user","ret":0"#, n + 1);
        log.add(STEP, "file.rename", &own);
    }),
    kind("renames-and-files", |log, n| match n % 1_000 {
        0 => {
            let own = format!(r#""path":"/a{0}","to":"/a{1}","ret":0"#, n / 1_000, n / 1_000 + 1);
            log.add(STEP, "file.rename", &own);
        }
        _ => opened(log, STEP, &format!("/a{}/{n}", n / 1_000), "w"),
    }),
    kind("files-then-renames", |log, n| {
        if n % 2 == 0 {
            return opened(log, STEP, &format!("/a0{}/{n}", "/x".repeat(100)), "w");
        }
        let (from, to) = if n % 4 == 1 { ("/a0", "/a1") } else { ("/a1", "/a0") };
        // What is followed a thousand times and no more, for most of the files.
        if n % 1_000 < 4 {
            let own = format!(r#""path":"{from}","to":"{to}","path_from":"user","ret":0"#);
            log.add(STEP, "file.rename", &own);
        } else {
            opened(log, STEP, &format!("/a1/{n}"), "w");
        }
    }),
    kind("exchanges", |log, n| {
        let own = format!(r#""path":"/e/{n}","to":"/f/{n}","exchange":true,"ret":0"#);
        log.add(STEP, "file.rename", &own);
    }),
    kind("links", |log, n| {
        log.add(STEP, "file.link", &format!(r#""path":"/l","to":"/l/{n}","ret":0"#));
    }),
    kind("links-of-links", |log, n| {
        log.add(STEP, "file.link", &format!(r#""path":"/l{n}","to":"/l{}","ret":0"#, n + 1));
    }),
    kind("symlinks", |log, n| {
        log.add(STEP, "file.symlink", &format!(r#""path":"/s/{n}","target":"/t/{n}","ret":0"#));
    }),
    kind("symlink-chain", |log, n| {
        let own = format!(r#""path":"/s{}","target":"s{n}/..//./s{n}","ret":0"#, n + 1);
        log.add(STEP, "file.symlink", &own);
    }),
    kind("deep-symlinks", |log, n| {
        let own = format!(r#""path":"/s/{n}","target":"{}","ret":0"#, deep(n));
        log.add(STEP, "file.symlink", &own);
    }),
    kind("chmods", |log, n| {
        let own = format!(r#""path":"/h/{n}","mode":"0640","path_from":"user","ret":0"#);
        log.add(STEP, "file.chmod", &own);
    }),
    kind("chmods-of-one", |log, n| {
        let own = format!(r#""path":"/h","mode":"{:04o}","path_from":"user","ret":0"#, n % 0o7777);
        log.add(STEP, "file.chmod", &own);
    }),
    kind("chowns", |log, n| {
        let own = format!(r#""path":"/o","owner":{n},"group":{n},"path_from":"user","ret":0"#);
        log.add(STEP, "file.chown", &own);
    }),
    kind("truncates", |log, n| {
        let own = format!(r#""path":"/t","size":{n},"path_from":"user","ret":0"#);
        log.add(STEP, "file.truncate", &own);
    }),
    kind("setxattrs", |log, n| {
        let own = format!(r#""path":"/x","name":"user.{n}","value":"{n}","path_from":"user","ret":0"#);
        log.add(STEP, "file.setxattr", &own);
    }),
    kind("long-setxattrs", |log, n| {
        let value = "v".repeat(4_000);
        let own =
            format!(r#""path":"/x/{n}","name":"user.{n}","value":"{value}","path_from":"user","ret":0"#);
        log.add(STEP, "file.setxattr", &own);
    }),
    kind("utimes", |log, n| {
        let time = blubr_log::Time(n);
        let own = format!(r#""path":"/y/{n}","mtime":"{time}","path_from":"user","ret":0"#);
        log.add(STEP, "file.utimes", &own);
    }),
    // ---- its programs
    kind("forks", |log, n| {
        log.fork(STEP, child(n));
        log.exit(child(n));
    }),
    kind("forks-without-end", |log, n| log.fork(STEP, child(n))),
    kind("forks-of-forks", |log, n| {
        let parent = if n == 0 { STEP } else { child(n - 1) };
        log.fork(parent, child(n));
        if n > 0 {
            log.exit(parent);
        }
    }),
    kind("programs", |log, n| log.exec(STEP, &format!(r#""a","{n}""#))),
    kind("programs-of-children", |log, n| {
        log.fork(STEP, child(n));
        log.exec(child(n), &format!(r#""a","{n}""#));
        log.exit(child(n));
    }),
    kind("long-arguments", |log, n| log.exec(STEP, &format!(r#""a","{n}","{}""#, "b".repeat(4_000)))),
    kind("many-arguments", |log, n| {
        let own = format!("\"{n}\"{}", r#","""#.repeat(1_000));
        log.exec(STEP, &own);
    }),
    kind("failing-programs", |log, n| {
        let own = format!(r#""exe":"/no/{n}","argv":["{n}"],"cwd":"/","gid":0,"ret":-2"#);
        log.add(STEP, "process.exec", &own);
    }),
    kind("processes-of-no-parent", |log, n| {
        opened(log, Who(1_000_000 + n, 411, 0, 41, 41), "/x", "r");
    }),
    kind("programs-that-were-there", |log, n| {
        let own = r#""exe":"/bin/x","argv":["x"],"cwd":"/""#;
        log.add(Who(1_000_000 + n, 1, 0, 1, 1), "process.exists", own);
        log.exit(Who(1_000_000 + n, 1, 0, 1, 1));
    }),
    // ---- its network
    kind("connects", |log, n| {
        log.add(STEP, "net.connect", &format!("{},\"ret\":0", end_of(n)));
    }),
    kind("connects-and-closes", |log, n| {
        log.add(STEP, "net.connect", &format!("{},\"ret\":0", end_of(n)));
        let own = format!("{},\"bytes_sent\":{n},\"bytes_received\":{n}", end_of(n));
        log.add(STEP, "net.close", &own);
    }),
    kind("failing-connects", |log, n| {
        log.add(STEP, "net.connect", &format!("{},\"ret\":-111", end_of(n)));
    }),
    kind("accepts", |log, n| {
        log.add(STEP, "net.accept", &format!("{},\"ret\":5", end_of(n)));
    }),
    kind("binds", |log, n| {
        let own = format!(
            r#""proto":"udp","family":"inet","saddr":"10.0.0.1","sport":{},"ret":0"#,
            n % 65_000
        );
        log.add(STEP, "net.bind", &own);
    }),
    kind("listens", |log, n| {
        let own = format!(
            r#""proto":"tcp","family":"inet","saddr":"10.0.0.1","sport":{},"ret":0"#,
            n % 65_000
        );
        log.add(STEP, "net.listen", &own);
    }),
    kind("sends", |log, n| {
        let own = end_of(n).replace("tcp", "udp");
        log.add(STEP, "net.send", &format!("{own},\"ret\":5"));
    }),
    kind("questions", |log, n| {
        log.add(STEP, "net.dns", &format!(r#""qname":"h{n}.example","qtype":"A","server":"10.0.0.53""#));
    }),
    kind("answers", |log, n| {
        let [.., a, b, c] = n.to_be_bytes();
        let own = format!(
            r#""qname":"h{n}.example","qtype":"A","server":"10.0.0.53","from":"10.0.0.53","rcode":0,"answers":[{{"name":"h{n}.example","address":"10.{a}.{b}.{c}","ttl":60}}]"#
        );
        log.add(STEP, "net.dns", &own);
    }),
    kind("long-answers", |log, n| {
        let [.., a, b, c] = n.to_be_bytes();
        let name = "x".repeat(250);
        let own = format!(
            r#""qname":"{n}{name}","qtype":"A","from":"10.0.0.53","rcode":0,"answers":[{{"name":"{name}","address":"10.{a}.{b}.{c}","ttl":60}}]"#
        );
        log.add(STEP, "net.dns", &own);
        log.add(STEP, "net.connect", &format!("{},\"ret\":0", end_of(n)));
    }),
    kind("tls-names", |log, n| {
        log.add(STEP, "net.tls", &format!("{},\"sni\":\"h{n}.example\"", end_of(n)));
    }),
    kind("tls-names-of-one", |log, n| {
        if n == 0 {
            log.add(STEP, "net.connect", &format!("{},\"ret\":0", end_of(0)));
        }
        log.add(STEP, "net.tls", &format!("{},\"sni\":\"h{n}.example\"", end_of(0)));
    }),
    kind("http-hosts", |log, n| {
        let own = format!("{},\"method\":\"GET\",\"host\":\"h{n}.example\"", end_of(n));
        log.add(STEP, "net.http", &own);
    }),
    kind("unix-connects", |log, n| {
        log.add(STEP, "unix.connect", &format!(r#""path":"/u/{n}","ret":0"#));
    }),
    // ---- its mounts, roots and namespaces
    kind("mounts", |log, n| {
        let own = format!(r#""source":"tmpfs","target":"/mnt/{n}","fstype":"tmpfs","flags":[],"ret":0"#);
        log.add(STEP, "mount.mount", &own);
    }),
    kind("mounts-and-writes", |log, n| {
        let own = format!(r#""source":"tmpfs","target":"/mnt/{n}","fstype":"tmpfs","flags":[],"ret":0"#);
        log.add(STEP, "mount.mount", &own);
        opened(log, STEP, &format!("/mnt/{n}/x"), "w");
    }),
    kind("deep-mounts", |log, n| {
        let own =
            format!(r#""source":"{0}","target":"{0}","fstype":"tmpfs","flags":[],"ret":0"#, deep(n));
        log.add(STEP, "mount.mount", &own);
    }),
    kind("binds-of-a-step", |log, n| bind(log, STEP, &format!("/a/{n}"), &format!("/b/{n}"))),
    kind("umounts", |log, n| {
        log.add(STEP, "mount.umount", &format!(r#""target":"/mnt/{n}","flags":[],"ret":0"#));
    }),
    kind("overlays-of-a-step", |log, n| {
        let own = format!(
            r#""source":"overlay","target":"/o/{n}","fstype":"overlay","flags":[],"lower":["/l/{n}"],"upper":"/v/overlay2/{n}/diff","work":"/w/{n}","ret":0"#
        );
        log.add(STEP, "mount.mount", &own);
    }),
    kind("chroots", |log, n| {
        log.add(STEP, "fs.chroot", &format!(r#""path":"/c{n}","ret":0"#));
        opened(log, STEP, "/x", "w");
    }),
    kind("pivots", |log, n| {
        log.add(STEP, "mount.pivot_root", &format!(r#""path":"/p{n}","put_old":".","ret":0"#));
    }),
    kind("unshares", |log, n| {
        log.add(Who(411, 410, 0, 41, 100 + n), "ns.unshare", r#""namespaces":["mnt"],"ret":0"#);
    }),
    kind("setns", |log, n| {
        log.add(Who(411, 410, 0, 41, 100 + n), "ns.setns", r#""namespaces":["mnt"],"ret":0"#);
    }),
    kind("threads-astray", |log, n| {
        let own = r#""namespaces":["mnt"],"ret":0"#;
        log.add_by(Who(411, 410, 0, 41, 100 + n), 2_000_000 + n, "ns.unshare", own);
    }),
    // ---- what is watched
    kind("watches", |log, n| match n % 6 {
        0 => log.add(STEP, "watch.bpf", r#""command":"prog_load","ret":0"#),
        1 => log.add(STEP, "watch.ptrace", &format!(r#""request":"attach","target":{n},"ret":0"#)),
        2 => log.add(STEP, "watch.module", &format!(r#""action":"load","path":"/m{n}","ret":0"#)),
        3 => log.add(STEP, "watch.kill", &format!(r#""signal":9,"target":{n}"#)),
        4 => log.add(STEP, "watch.iouring", &format!(r#""entries":{n},"flags":[],"ret":3"#)),
        _ => log.add(STEP, "watch.socket", r#""family":"packet","socktype":"raw","ret":3"#),
    }),
    // ---- what a container's runtime does
    kind("containers-in-one-tree", |log, n| {
        let (runtime, one) = (Who(430, 10, 0, 1, 43), Who(1_000_000 + n, 430, 0, 43, 43));
        if n == 0 {
            log.overlay(43, &[40]);
            bind(log, DAEMON, "/s/overlay2/43/merged", "/x/43/rootfs");
            log.fork(DAEMON, runtime);
            for at in 0..4_000 {
                let own = format!(
                    r#""source":"tmpfs","target":"/x/43/rootfs/mnt/{at}","fstype":"tmpfs","flags":[],"ret":0"#
                );
                log.add(runtime, "mount.mount", &own);
            }
        }
        log.fork(runtime, one);
        log.add(one, "fs.chroot", r#""path":"/x/43/rootfs","ret":0"#);
        log.exec(one, r#""x""#);
        log.exit(one);
    }),
    kind("containers-of-many-groups", |log, n| {
        let one = Who(1_000_000 + n, 410, 0, 100 + n, 100 + n);
        log.fork(RUNTIME, one);
        log.add(one, "mount.pivot_root", r#""path":"/x/41/rootfs","put_old":".","ret":0"#);
        log.exec(one, r#""x""#);
        log.exit(one);
    }),
    kind("living-programs", |log, n| {
        log.fork(STEP, child(n));
        log.exec(child(n), &format!(r#""{n}"{}"#, r#","""#.repeat(200)));
    }),
    kind("files-named-only", |log, n| {
        let own = format!(r#""path":"/x/{n}","mode":"path","ret":{n}"#);
        log.add(RUNTIME, "file.open", &own);
    }),
    // ---- what an engine does
    kind("overlays", |log, n| log.overlay(100 + n, &[40])),
    kind("overlays-of-many-lowers", |log, n| {
        let lowers: Vec<u64> = (0..100).map(|at| 10_000_000 + n * 100 + at).collect();
        log.overlay(100 + n, &lowers);
    }),
    kind("overlays-on-overlays", |log, n| {
        let lowers: Vec<u64> = (0..n.min(100)).map(|at| 99 + n - at).collect();
        log.overlay(100 + n, &lowers);
    }),
    kind("overlays-again", |log, n| {
        let own = format!(
            r#""source":"overlay","target":"/again/{n}","fstype":"overlay","flags":[],"lower":["/s/overlay2/40/diff"],"upper":"/s/overlay2/41/diff","work":"/s/overlay2/41/work","ret":0"#
        );
        log.add(DAEMON, "mount.mount", &own);
    }),
    kind("views", |log, n| {
        let own = format!(
            r#""source":"overlay","target":"/view/{n}","fstype":"overlay","flags":[],"lower":["/s/overlay2/41/diff"],"ret":0"#
        );
        log.add(DAEMON, "mount.mount", &own);
    }),
    kind("binds-of-an-engine", |log, n| bind(log, DAEMON, &format!("/a/{n}"), &format!("/b/{n}"))),
    kind("binds-of-a-tree", |log, n| bind(log, DAEMON, "/s/overlay2/41/merged", &format!("/b/{n}"))),
    kind("binds-of-binds", |log, n| bind(log, DAEMON, &format!("/b{n}"), &format!("/b{}", n + 1))),
    kind("mounts-of-an-engine", |log, n| {
        let own = format!(
            r#""source":"tmpfs","target":"/x/41/rootfs/{n}","fstype":"tmpfs","flags":[],"ret":0"#
        );
        log.add(Who(10, 1, 0, 1, 41), "mount.mount", &own);
    }),
    kind("deep-mounts-of-an-engine", |log, n| {
        let own = format!(
            r#""source":"{1}","target":"/x/41/rootfs/{n}{0}","fstype":"tmpfs","flags":[],"ret":0"#,
            "/a".repeat(1_900),
            deep(n)
        );
        log.add(Who(10, 1, 0, 1, 41), "mount.mount", &own);
    }),
    kind("layers", |log, n| {
        let own = format!(r#""path":"/s/overlay2/l/N{n}","target":"../{}/diff","ret":0"#, 100 + n);
        log.add(DAEMON, "file.symlink", &own);
    }),
    kind("snapshots", |log, n| {
        let own = format!(r#""path":"/s/snapshots/new-{n}/fs","mode":"0700","ret":0"#);
        log.add(DAEMON, "file.mkdir", &own);
        let own = format!(r#""path":"/s/snapshots/new-{n}","to":"/s/snapshots/{}","ret":0"#, 100 + n);
        log.add(DAEMON, "file.rename", &own);
    }),
    kind("copies", |log, n| {
        opened(log, DAEMON, &format!("/s/overlay2/40/diff/{n}"), "r");
        opened(log, DAEMON, &format!("/s/overlay2/41/diff/{n}"), "w");
        let own = format!(r#""path":"/s/overlay2/41/diff/{n}","dev":"0:45","ino":{n},"size":7"#);
        log.add(DAEMON, "file.close", &own);
    }),
    kind("contexts", |log, n| {
        // Each with a file that the client has read.
        let own = format!(r#""path":"/s/snapshots/new-{n}/fs","mode":"0700","ret":0"#);
        log.add(DAEMON, "file.mkdir", &own);
        opened(log, CLIENT, &format!("/home/f{n}"), "r");
        opened(log, DAEMON, &format!("/s/snapshots/new-{n}/fs/f{n}"), "w");
        let own = format!(r#""path":"/s/snapshots/new-{n}/fs/f{n}","dev":"0:45","ino":{n},"size":7"#);
        log.add(DAEMON, "file.close", &own);
    }),
    kind("one-context", |log, n| {
        if n == 0 {
            let own = r#""path":"/s/snapshots/new-1/fs","mode":"0700","ret":0"#;
            log.add(DAEMON, "file.mkdir", own);
        }
        opened(log, CLIENT, &format!("/home/f{n}"), "r");
        opened(log, DAEMON, &format!("/s/snapshots/new-1/fs/f{n}"), "w");
        let own = format!(r#""path":"/s/snapshots/new-1/fs/f{n}","dev":"0:45","ino":{n},"size":7"#);
        log.add(DAEMON, "file.close", &own);
    }),
    kind("registered-layers", |log, n| {
        // As the classic builder: a helper unpacks what was read of a step into a layer of its own.
        let helper = Who(1_000_000 + n, 10, 0, 1, 1);
        let own = format!(r#""path":"/s/overlay2/l/N{n}","target":"../{}/diff","ret":0"#, 100 + n);
        log.add(DAEMON, "file.symlink", &own);
        opened(log, DAEMON, &format!("/s/overlay2/41/diff/{n}"), "r");
        log.fork(DAEMON, helper);
        log.add(helper, "fs.chroot", &format!(r#""path":"/s/overlay2/{}/diff","ret":0"#, 100 + n));
        opened(log, helper, &format!("/{n}"), "w");
        log.exit(helper);
    }),
    kind("layers-of-any-step", |log, n| {
        // Each is like one step as well as like another, but for the order.
        registered(log, n);
    }),
    kind("layers-thrown-away", |log, n| {
        registered(log, n);
        if n % 2 == 0 {
            let own = format!(
                r#""path":"/s/overlay2/{}/diff","directory":true,"path_from":"user","ret":0"#,
                1_001 + 2 * n
            );
            log.add(DAEMON, "file.unlink", &own);
        }
    }),
    kind("whole-trees-of-strangers", |log, n| {
        let one = if n % 2 == 0 { STRANGER } else { STEP };
        whole(log, one, n);
        log.add(one, "file.chmod", &format!(r#""path":"/v/vfs/dir/{n}","mode":"0755","ret":0"#));
    }),
    kind("whole-trees-listed", |log, n| match n {
        0..1_000 => whole(log, DAEMON, n),
        _ => opened(log, DAEMON, &format!("{}/vfs/dir/x", deep(n)), "r"),
    }),
    kind("whole-trees-copied", |log, n| {
        whole(log, DAEMON, n);
        opened(log, DAEMON, &format!("/v/vfs/dir/{}", n / 2), "r");
        let own = format!(r#""path":"/v/vfs/dir/{n}","owner":0,"group":0,"ret":0"#);
        log.add(DAEMON, "file.chown", &own);
        opened(log, DAEMON, &format!("/v/vfs/dir/{n}/f"), "w");
    }),
    kind("whole-trees-registered", |log, n| {
        whole(log, DAEMON, n);
        let helper = Who(1_000_000 + n, 10, 0, 1, 1);
        log.fork(DAEMON, helper);
        log.add(helper, "fs.chroot", &format!(r#""path":"/v/vfs/dir/{n}","ret":0"#));
        opened(log, helper, "/f", "w");
        log.exit(helper);
        opened(log, DAEMON, &format!("/v/vfs/dir/{n}"), "r");
    }),
    kind("notes-of-whole-trees", |log, n| {
        opened(log, STRANGER, &format!("{}/vfs-layers/x", deep(n)), "r");
    }),
    kind("merged-layers", |log, n| {
        let own = format!(r#""path":"/s/overlay2/40/diff/{n}","to":"/s/overlay2/41/diff/{n}","ret":0"#);
        log.add(DAEMON, "file.link", &own);
    }),
    kind("stored-images", |log, n| {
        let own = format!(r#""path":"/s/tmp{n}","to":"/s/imagedb/content/sha256/{n:064x}","ret":0"#);
        log.add(DAEMON, "file.rename", &own);
    }),
    kind("removals", |log, n| {
        let own = format!(r#""path":"/s/overlay2/{n}","directory":true,"path_from":"user","ret":0"#);
        log.add(DAEMON, "file.unlink", &own);
    }),
    kind("helpers", |log, n| {
        let helper = Who(1_000_000 + n, 10, 0, 1, 1);
        log.fork(DAEMON, helper);
        log.add(helper, "fs.chroot", r#""path":"/s/overlay2/41/merged","ret":0"#);
        opened(log, helper, &format!("/{n}"), "w");
        log.exit(helper);
    }),
    kind("steps", |log, n| {
        let at = 1_000 + n;
        let (runtime, step) = (Who(at * 10, 10, 0, 1, 1), Who(at * 10 + 1, at * 10, 0, at, at));
        log.step(at, runtime, step, &[at - 1, 40]);
        log.step_ends(at, step);
        log.exit(runtime);
    }),
    kind("steps-beside", |log, n| {
        // Of other stages, none on another.
        let at = 1_000 + n;
        let (runtime, step) = (Who(at * 10, 10, 0, 1, 1), Who(at * 10 + 1, at * 10, 0, at, at));
        log.step(at, runtime, step, &[40]);
        log.step_ends(at, step);
        log.exit(runtime);
    }),
    // ---- clients and engines
    kind("clients", |log, n| {
        let one = Who(1_000_000 + n, 5, 1000, 1, 1);
        log.exec(one, r#""docker","build",".""#);
        log.add(one, "unix.connect", r#""path":"/run/docker.sock","ret":0"#);
        log.exit(one);
    }),
    kind("clients-that-stay", |log, n| {
        let one = Who(1_000_000 + n, 5, 1000, 1, 1);
        log.exec(one, r#""docker","build",".""#);
        log.add(one, "unix.connect", r#""path":"/run/docker.sock","ret":0"#);
    }),
    kind("clients-and-steps", |log, n| {
        let at = 1_000 + n;
        let one = Who(10_000_000 + n, 5, 1000, 1, 1);
        log.exec(one, r#""docker","build",".""#);
        log.add(one, "unix.connect", r#""path":"/run/docker.sock","ret":0"#);
        let (runtime, step) = (Who(at * 10, 10, 0, 1, 1), Who(at * 10 + 1, at * 10, 0, at, at));
        log.step(at, runtime, step, &[40]);
        log.step_ends(at, step);
        log.exit(runtime);
        log.exit(one);
    }),
    kind("reads-of-a-client", |log, n| opened(log, CLIENT, &format!("/home/{n}"), "r")),
    kind("connects-of-a-client", |log, n| {
        log.add(CLIENT, "unix.connect", &format!(r#""path":"/run/{n}.sock","ret":0"#));
    }),
    kind("engines", |log, n| {
        let one = Who(1_000_000 + n, 1, 0, 1, 1);
        let own = format!(
            r#""source":"overlay","target":"/e{n}/merged","fstype":"overlay","flags":[],"lower":["/l"],"upper":"/e/overlay2/{n}/diff","work":"/w","ret":0"#
        );
        log.add(one, "mount.mount", &own);
        log.exit(one);
    }),
    kind("builders-of-their-own", |log, n| {
        let one = Who(1_000_000 + n, 1, 0, 1, 1);
        log.exec(one, r#""buildah","build",".""#);
        let own = format!(
            r#""source":"overlay","target":"/e{n}/merged","fstype":"overlay","flags":[],"lower":["/l"],"upper":"/e/overlay/{n}/diff","work":"/w","ret":0"#
        );
        log.add(one, "mount.mount", &own);
        log.exit(one);
    }),
    // ---- strangers
    kind("groups", |log, n| opened(log, Who(30, 5, 0, 1_000 + n, 1), "/x", "r")),
    kind("namespaces", |log, n| opened(log, Who(30, 5, 0, 1, 1_000 + n), "/x", "r")),
    kind("strangers", |log, n| {
        let one = Who(1_000_000 + n, 5, 0, 1, 1);
        opened(log, one, &format!("/s/overlay2/41/diff/{n}"), "w");
        log.exit(one);
    }),
    kind("a-stranger", |log, n| opened(log, STRANGER, &format!("/s/overlay2/41/diff/{n}"), "w")),
    kind("deep-writes-of-a-stranger", |log, n| {
        opened(log, STRANGER, &format!("/s/overlay2/41/diff{}", deep(n)), "w");
    }),
    kind("entered", |log, n| {
        let one = Who(1_000_000 + n, 5, 0, 41, 41);
        log.exec(one, r#""sh""#);
        opened(log, one, &format!("/x/41/rootfs/{n}"), "w");
        log.exit(one);
    }),
    kind("elsewhere", |log, n| opened(log, STRANGER, &format!("/elsewhere/{n}"), "w")),
];
