//! strace as the judge: what it saw of a workload, the log has too, in the same order.

use std::process::Command;

use blubr_tests::require;

use crate::recording::command;

/// What `strace -y` prints of a call that returned a descriptor: `... = 3</path>`.
fn opened(line: &str) -> Option<(u64, String)> {
    let (pid, rest) = line.split_once(' ')?;
    let (_, result) = rest.rsplit_once(" = ")?;
    let path = result.split_once('<')?.1.strip_suffix('>')?;
    Some((pid.parse().ok()?, path.to_owned()))
}

#[test]
fn every_open_that_strace_saw_is_there_in_order() {
    require!(Root);
    let workload = "mkdir -p a/b; for i in 1 2 3; do echo $i > a/b/$i; cat a/b/$i; done; ls -R a; grep -r 2 a; \
                    tar cf t.tar a; mkdir x; tar xf t.tar -C x; rm -r a x; cat a/b/1 || true";
    let r = command(
        Command::new("strace")
            .args([
                "-f",
                "-y",
                "-qq",
                "-s",
                "4096",
                "-e",
                "trace=open,openat,creat,openat2",
                "-o",
                "strace.out",
            ])
            .args(["sh", "-c", workload]),
    );
    let text = std::fs::read_to_string(r.folder.path().join("strace.out")).unwrap();
    let mut seen: Vec<(u64, String)> = text.lines().filter_map(opened).collect();
    assert!(seen.len() > 100, "{}", seen.len());
    let pids: std::collections::BTreeSet<u64> = seen.iter().map(|(pid, _)| *pid).collect();
    let mut told: Vec<(u64, String)> = r
        .of("file.open")
        .into_iter()
        .filter(|e| e["ret"].as_i64().unwrap() >= 0)
        .map(|e| (e["tid"].as_u64().unwrap(), e["path"].as_str().unwrap_or_default().to_owned()))
        .filter(|(pid, _)| pids.contains(pid))
        .collect();
    // By process, in the order of each: strace prints processes in an order of its own.
    seen.sort_by_key(|(pid, _)| *pid);
    told.sort_by_key(|(pid, _)| *pid);
    // strace opens /proc/self/fd and its own output in the child before the program begins: it doesn't trace those.
    let mut rest = told.iter();
    for one in &seen {
        assert!(rest.any(|other| other == one), "{one:?} is missing or out of order");
    }
}
