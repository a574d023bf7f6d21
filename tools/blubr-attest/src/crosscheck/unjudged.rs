//! Why attributes of entries can't be held against the record, where something may be missing from it.

use blubr_attestation::build::Recording;
use blubr_log::NotCovered;

use crate::assemble_parts::{First, Gathered};

/// The filter whose arguments are known.
const FILTER: &str = "blubr-filter";
/// Why nothing that is missing from a log says anything, where a filter does not keep all of a build.
pub const FILTERED: &str = "the log was filtered by more than its build";
/// What a filter keeps that picks a build, and nothing else.
const OF_A_BUILD: [&str; 4] = ["--build", "--dockerfile", "--dockerfile-sha256", "--shared"];

/// Why none can be judged; `None` if they can.
pub(super) fn why(first: &First, gathered: &Gathered) -> Option<String> {
    let given = &gathered.given;
    let said = match gathered.recording {
        Recording::Lossy => "events were lost",
        Recording::Cut if gathered.late => "the log begins after the build did",
        Recording::Cut => "the log ends before the build does",
        Recording::Complete if given.left_out => "the build changed more names than are kept",
        Recording::Complete if given.mounts => "a step mounted or unmounted something itself",
        Recording::Complete if gathered.has_rings => {
            "the build had a ring, which opens and closes files otherwise"
        }
        Recording::Complete
            if !first.header.filters.iter().all(|one| keeps_a_build(&one.tool, &one.args)) =>
        {
            FILTERED
        }
        Recording::Complete => {
            let missing = first.header.not_covered.iter().find(|one| hides_changes(one))?;
            return Some(format!("the record does not hold {}", missing.what));
        }
    };
    Some(said.to_owned())
}

/// Whether all events of a build, and of who touched it, pass a filter with these arguments.
pub fn keeps_a_build(tool: &str, args: &[String]) -> bool {
    let mut flags = args.iter().filter(|arg| arg.starts_with('-'));
    tool == FILTER && flags.all(|flag| OF_A_BUILD.contains(&flag.split('=').next().unwrap_or(flag)))
}

/// Whether something that a recorder could not see may have changed a file's attributes. What a ring alone can hide
/// counts where there is one.
fn hides_changes(missing: &NotCovered) -> bool {
    let what = missing.what.as_str();
    if what.contains(" by io_uring") {
        return false;
    }
    what.starts_with("file")
        || what.starts_with("net.connect and every other event")
        || ["process.fork, ", "process.exec", "process.exit", "cgroup, "]
            .iter()
            .any(|one| what.starts_with(one))
        || matches!(what, "io_uring" | "i386" | "x32")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_by_type_may_have_taken_a_change_away() {
        let keeps = |tool: &str, args: &[&str]| {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            keeps_a_build(tool, &args)
        };
        for kept in [
            &["--build"][..],
            &["--build", "2", "--dockerfile=f", "--dockerfile-sha256=ab", "--shared=1,2"],
        ] {
            assert!(keeps(FILTER, kept), "{kept:?}");
        }
        for cut in [&["--build", "--type=net.*"][..], &["--build", "--step=3"], &["--cgroup=/x"]] {
            assert!(!keeps(FILTER, cut), "{cut:?}");
        }
        // Of another tool nothing is known.
        assert!(!keeps("grep", &["--build"]));
    }

    #[test]
    fn a_probe_that_is_missing_may_have_seen_a_change() {
        let missing = |what: &str| NotCovered { what: what.to_owned(), why: String::new() };
        for what in [
            "file.close, and paths as they were at a call's entry",
            "net.connect and every other event of a system call, but for file.close",
            "process.exit, and file.close at a process's end",
            "i386",
        ] {
            assert!(hides_changes(&missing(what)), "{what}");
        }
        // As the recorder names what it sees on no host.
        for what in [
            "file.close by io_uring",
            "mmap",
            "net.tls",
            "process.fork",
            "net.connect by other sockets",
            "opens by other calls",
            "program interpreter",
            "descriptors that others change",
        ] {
            assert!(!hides_changes(&missing(what)), "{what}");
        }
    }
}
