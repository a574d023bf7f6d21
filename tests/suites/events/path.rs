//! Paths that the kernel resolved: from a file up to the process's root, over mounts, whatever the names are. The judge is the
//! kernel's own answer, the links in /proc/self/fd. Both ways in which the probes read memory must agree with it.

use blubr_tests::require;
use serde_json::Value;

use crate::recording::{Recording, script_under, script_with};

/// Opens each file for writing and has the kernel say its path: around the bytes that a name may have within its dentry (32 or
/// 40 with its NUL), below mounts of several kinds, in a root of its own, and after the name is gone.
const SCRIPT: &str = r#"
tell() { exec 3> "$1"; readlink /proc/self/fd/3 >> "$said"; exec 3>&-; }
said=$PWD/said
for n in 1 6 7 8 9 15 16 23 24 30 31 32 33 38 39 40 41 63 64 100 255; do
  name=$(printf "%${n}s" "" | tr ' ' n); tell "$name"
done
deep=.
for n in $(seq 40); do deep=$deep/d$n; done
mkdir -p "$deep"; tell "$deep/leaf"
mkdir -p mounted/here bound up/low up/high up/work up/all other
mount -t tmpfs none mounted/here; mkdir -p mounted/here/x/y; tell mounted/here/x/y/f; tell mounted/here/top
mkdir mounted/here/again; mount -t tmpfs none mounted/here/again; tell mounted/here/again/f
mount --bind mounted/here/x bound; tell bound/y/g
touch single other/file; mount --bind other/file single; tell single
mount -t overlay none -o lowerdir=up/low,upperdir=up/high,workdir=up/work up/all; mkdir up/all/dir; tell up/all/dir/f
exec 4> gone; rm gone; readlink /proc/self/fd/4 >> "$said"; : > /proc/self/fd/4; exec 4>&-
mv "$deep/leaf" "$deep/a-name-that-is-longer-than-what-fits-into-a-dentry"
tell "$deep/a-name-that-is-longer-than-what-fits-into-a-dentry"
mv "$deep/a-name-that-is-longer-than-what-fits-into-a-dentry" "$deep/short"; tell "$deep/short"
umount up/all single bound mounted/here/again mounted/here
"#;

#[track_caller]
fn told(r: &Recording) -> usize {
    let opened: Vec<&Value> =
        r.of("file.open").into_iter().filter(|open| open.get("path_from").is_none()).collect();
    let said = std::fs::read_to_string(r.path("said")).unwrap();
    for path in said.lines() {
        // d_path says so of a name that is gone (fs/d_path.c); the event of the open came before.
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let of_it = opened.iter().filter(|open| open["path"] == path && open["mode"] == "w");
        assert!(of_it.count() >= 1, "no file.open of {path}");
    }
    said.lines().count()
}

#[test]
fn a_path_is_what_the_kernel_itself_says() {
    require!(Root);
    assert_eq!(told(&script_with(&[], SCRIPT)), 31);
}

#[test]
fn a_kernel_without_typed_loads_tells_the_same() {
    require!(Root);
    assert_eq!(told(&script_with(&["--without-typed-loads"], SCRIPT)), 31);
}

#[test]
fn a_kernel_that_preempts_probes_tells_the_same() {
    require!(Root);
    let r = script_under(&TRACEFS, &["--by-perf"], SCRIPT);
    assert_eq!(told(&r), 31);
    let hooks = r.lines[0]["hooks"].as_array().unwrap();
    let by_perf =
        hooks.iter().filter(|hook| hook["attach"].as_str().unwrap().starts_with("tracepoint/"));
    // There are none among the probes for kernels before 5.17, which have no bpf_loop.
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap();
    let has_loops = symbols.lines().any(|line| line.split_whitespace().nth(2) == Some("bpf_loop"));
    assert_eq!(by_perf.count(), if has_loops { 3 } else { 0 }, "{hooks:?}");
}

/// Has a program see tracefs, whether or not it is mounted.
const TRACEFS: [&str; 5] =
    ["unshare", "-m", "sh", "-c", "mount -t tracefs none /sys/kernel/tracing; exec \"$0\" \"$@\""];

/// A file that is renamed from a short to a long name and back, for ever, while another process opens it: every path that is
/// told is one of the two, whole.
#[test]
fn a_rename_meanwhile_makes_no_name_that_never_was() {
    require!(Root);
    let long = "l".repeat(120);
    let r = script_with(
        &[],
        &format!(
            "mkdir short; : > short/f; exec 3< short/f
             (i=0; while [ $i -lt 100 ]; do mv short {long}; mv {long} mid-{0}; mv mid-{0} short; i=$((i+1)); done; : > done) &
             while [ ! -e done ]; do : < /proc/self/fd/3; done; wait",
            "m".repeat(25)
        ),
    );
    let names = ["short/f".to_owned(), format!("{long}/f"), format!("mid-{}/f", "m".repeat(25))];
    let names = names.map(|name| r.path(&name));
    let opens = r.of("file.open").into_iter();
    let opens: Vec<&str> = opens
        .filter(|open| open.get("path_from").is_none())
        .filter_map(|open| open["path"].as_str())
        .filter(|path| path.starts_with(&r.path("")) && path.ends_with("/f"))
        .collect();
    assert!(opens.len() > 20, "{}", opens.len());
    assert!(opens.iter().all(|path| names.iter().any(|name| name == path)), "{opens:#?}");
}
