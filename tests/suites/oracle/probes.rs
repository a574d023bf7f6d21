//! Each probe in turn left out: the oracle must notice, and the log must say that it was blind.

use std::io::Write as _;
use std::process::{Command, Stdio};

use blubr_tests::require;
use serde_json::Value;

use crate::run::{Outcome, both, folder};
use crate::workloads::Program;

/// What a probe's absence cannot change in a log here, and why.
const UNSEEN: [(&str, &str); 2] = [
    (
        "blubr_cgroup_rename",
        "only groups of version 1 are renamed (cgroup1_rename), and the log names those of version 2",
    ),
    (
        "blubr_cgroup_rmdir",
        "has the recorder forget the paths of removed groups after a while: of memory, not of the log",
    ),
];

/// Who notices the absence of which probes.
struct Judge {
    probes: &'static [&'static str],
    /// Runs its workload under a recorder with these flags; gives the log and what is wrong with it.
    verdict: fn(&[&str]) -> Verdict,
}

type Verdict = (Vec<Value>, Vec<String>);

const JUDGES: [Judge; 6] = [
    Judge {
        probes: &[
            "blubr_sys_exit",
            "blubr_sys_enter",
            "blubr_fork",
            "blubr_exec",
            "blubr_exit",
            "blubr_prepare_exec",
        ],
        verdict: calls,
    },
    Judge { probes: &["blubr_tcp_state"], verdict: connections },
    Judge {
        probes: &["blubr_socket_release", "blubr_socket_sent", "blubr_socket_received"],
        verdict: datagrams,
    },
    Judge { probes: &["blubr_signal"], verdict: signals },
    Judge { probes: &["blubr_cgroup_mkdir"], verdict: groups },
    Judge { probes: &["blubr_ring_submit", "blubr_ring_complete"], verdict: rings },
];

#[test]
fn the_absence_of_any_probe_is_noticed() {
    require!(Root, Strace, Compiler);
    let mut judged: Vec<String> = UNSEEN.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut attached = Vec::new();
    for judge in &JUDGES {
        let (lines, wrong) = (judge.verdict)(&[]);
        assert!(wrong.is_empty(), "with every probe: {wrong:#?}");
        attached = hooks(&lines);
        for probe in judge.probes {
            let (lines, wrong) = (judge.verdict)(&["--without-probe", probe]);
            assert!(!wrong.is_empty(), "nobody noticed that {probe} was missing");
            assert!(!hooks(&lines).iter().any(|name| name == probe), "{probe} is in the header");
            let said = lines[0]["not_covered"].as_array().unwrap().iter().any(|one| {
                one["why"].as_str().unwrap().ends_with("left out as asked (--without-probe)")
            });
            assert!(said, "the header does not say that {probe} was left out");
            judged.push((*probe).to_owned());
        }
    }
    let mut told = String::new();
    for (name, why) in UNSEEN {
        told += &format!("oracle: {name} is not judged: {why}\n");
    }
    std::io::stderr().write_all(told.as_bytes()).unwrap();
    judged.sort();
    attached.sort();
    assert_eq!(judged, attached, "a probe without a judge");
}

#[test]
fn a_probe_that_there_is_not_is_refused() {
    require!(Root);
    let output = blubr_tests::program::run(blubr_tests::bins::command("blubr-record").args([
        "--without-probe",
        "blubr_none",
        "--",
        "true",
    ]));
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--without-probe blubr_none: there is no such probe"), "{said}");
}

fn hooks(lines: &[Value]) -> Vec<String> {
    let hooks = lines[0]["hooks"].as_array().unwrap();
    hooks.iter().map(|hook| hook["name"].as_str().unwrap().to_owned()).collect()
}

fn of<'l>(lines: &'l [Value], kind: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

fn calls(flags: &[&str]) -> Verdict {
    let program = Program::compiled("every.c");
    let outcome = both("processes", folder(), flags, Command::new(program.path()).arg("processes"));
    (outcome.lines, outcome.differences)
}

/// Of each connection that strace saw accepted there is the end, too, by either side.
fn connections(flags: &[&str]) -> Verdict {
    let program = Program::compiled("every.c");
    let Outcome { lines, mut differences, .. } =
        both("sockets", folder(), flags, Command::new(program.path()).arg("sockets"));
    let mut accepted = of(&lines, "net.accept");
    accepted.retain(|accept| accept["ret"].as_i64() >= Some(0));
    differences.extend(accepted.is_empty().then(|| "nothing was accepted".to_owned()));
    for accept in accepted {
        let ends = of(&lines, "net.close").into_iter().filter(|close| {
            let same = close["sport"] == accept["sport"] && close["dport"] == accept["dport"];
            let turned = close["sport"] == accept["dport"] && close["dport"] == accept["sport"];
            same || turned
        });
        let count = ends.count();
        if count != 2 {
            differences.push(format!("{count} ends are told of {accept}"));
        }
    }
    (lines, differences)
}

/// What went through a program's sockets, by its own words.
fn datagrams(flags: &[&str]) -> Verdict {
    let program = Program::compiled("flows.c");
    let (lines, said) = recorded_with_output(flags, &Command::new(program.path()));
    let mut wrong = Vec::new();
    let mut ends = of(&lines, "net.close");
    ends.retain(|end| end["comm"] == "program" && end["proto"] != "tcp");
    // Two servers beside the lines: what these receive is not the program's to tell.
    let (mut sent, mut received) = (0, 0);
    for line in said.lines().map(|line| line.split(' ').collect::<Vec<_>>()) {
        sent += line[2].parse::<u64>().unwrap();
        received += line[3].parse::<u64>().unwrap();
        let sport = line[1].parse::<u64>().ok().filter(|port| *port > 0);
        if !ends.iter().any(|end| end["sport"].as_u64() == sport) {
            wrong.push(format!("no end is told of {line:?}"));
        }
    }
    for (key, bytes) in [("bytes_sent", sent), ("bytes_received", received)] {
        let told = ends.iter().map(|end| end[key].as_u64()).sum::<Option<u64>>();
        if told != Some(bytes) {
            wrong.push(format!("{told:?} {key} are told, {bytes} went through"));
        }
    }
    (lines, wrong)
}

/// A signal to the recorder, which is strace's parent.
fn signals(flags: &[&str]) -> Verdict {
    let kill = "read -r _ _ _ recorder _ < /proc/$PPID/stat; kill -URG $recorder";
    let Outcome { lines, mut differences, .. } =
        both("signal", folder(), flags, Command::new("sh").args(["-ec", kill]));
    let told = of(&lines, "watch.kill").into_iter().filter(|e| e["comm"] == "sh").count();
    differences.extend((told != 1).then(|| format!("{told} signals are told")));
    (lines, differences)
}

/// Records a command without strace: what is asked here it does not see.
fn recorded(flags: &[&str], command: &Command) -> Vec<Value> {
    recorded_with_output(flags, command).0
}

/// The same, and what the command wrote to its standard output, which becomes the recorder's standard error.
fn recorded_with_output(flags: &[&str], command: &Command) -> (Vec<Value>, String) {
    let folder = folder();
    let log = folder.path().join("log.ndjson");
    let mut recorder = blubr_tests::bins::command("blubr-record");
    recorder.args(flags).arg("--quiet").arg("-o").arg(&log).arg("--");
    recorder.arg(command.get_program()).args(command.get_args()).current_dir(folder.path());
    let output = recorder.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&log).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines, String::from_utf8(output.stderr).unwrap())
}

/// A group that is there for a moment: the process in it knows its name from /proc.
fn groups(flags: &[&str]) -> Verdict {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let tree = mounts.lines().find(|line| line.contains(" - cgroup2 ")).unwrap();
    let tree = tree.split(' ').nth(4).unwrap();
    // The recorder is held meanwhile: it can't look into the tree while the group is there.
    let script = "read -r _ _ _ recorder _ < /proc/$$/stat; g=$0/blubr-oracle.$$; kill -STOP $recorder; mkdir $g; \
                  (read -r self _ < /proc/self/stat; echo $self > $g/cgroup.procs; exec /bin/true); \
                  rmdir $g; kill -CONT $recorder";
    let lines = recorded(flags, Command::new("sh").args(["-ec", script, tree]));
    let named = of(&lines, "process.exec").into_iter().filter(|e| {
        e["argv"][0] == "/bin/true"
            && e["cgroup"].as_str().is_some_and(|path| path.contains("/blubr-oracle."))
    });
    let wrong = (named.count() != 1).then(|| "the group of a process is not named".to_owned());
    (lines, wrong.into_iter().collect())
}

/// What a program asked of a ring, by its own words.
fn rings(flags: &[&str]) -> Verdict {
    let program = Program::compiled("ring.c");
    let words = "open f 1 , mkdir d , rename f g , unlink g , rmdir d";
    let lines = recorded(flags, Command::new(program.path()).args(words.split(' ')));
    let mut wrong = Vec::new();
    for kind in ["file.open", "file.mkdir", "file.rename", "file.unlink"] {
        let told = of(&lines, kind).into_iter().filter(|e| e["via"] == "io_uring").count();
        let asked = if kind == "file.unlink" { 2 } else { 1 };
        if told != asked {
            wrong.push(format!("{told} {kind} of a ring are told, {asked} were asked"));
        }
    }
    (lines, wrong)
}
