//! The page's steps: each with its status, what it did, and what an earlier attestation shows of it.

use blubr_attestation::build::{Cited, Origin, Status, Step};
use blubr_attestation::trace::{Access, Counts, Place, Touched};

use super::connections::connection;
use super::page::{Page, shown};

/// How many paths of a step are shown; the rest is counted.
const PATHS_SHOWN_MAX: usize = 8;
/// How many characters of an instruction are shown.
const TEXT_CHARS_MAX: usize = 100;

impl Page<'_> {
    pub(super) fn steps(&mut self) {
        self.title("Steps");
        if self.build.steps.is_empty() {
            self.line("  none: no Dockerfile was given");
        }
        for step in &self.build.steps {
            self.step(step);
        }
        for candidate in &self.build.candidates {
            self.line(format!("  one of the steps {}:", candidate.steps.join(", ")));
            self.did(&candidate.counts, &candidate.writes);
        }
        let rest = &self.build.unattributed;
        if rest.counts.processes + rest.counts.network + rest.counts.writes > 0 {
            self.line("  belonging to no step:");
            self.did(&rest.counts, &rest.writes);
            let shared = rest.writes.iter().filter(|touched| touched.shared).count();
            if shared > 0 {
                let what = "of these changes another build of the same time has too, or may have";
                self.line(format!("{:14}{shared} {what}", ""));
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let lines = match step.lines {
            Some([first, last]) if first == last => format!("line {first}"),
            Some([first, last]) => format!("lines {first}-{last}"),
            None => match step.origin {
                Origin::OnBuild => "ONBUILD".to_owned(),
                _ => "inherited".to_owned(),
            },
        };
        let status = match step.status {
            Status::Observed => "observed",
            Status::Cached => "cached",
            Status::Daemon => "engine",
            Status::NotObserved => "NOT SEEN",
            Status::Candidates => "one of several",
        };
        self.line(format!("  {lines:<11} {status:<14} {}", one_line(&step.text)));
        for cited in step.evidence.iter().filter_map(|one| one.prior.as_deref()) {
            self.line(format!("{:14}{}", "", citation(cited)));
        }
        self.did(&step.counts, &step.writes);
        for one in &step.network {
            self.line(format!("{:14}{}", "", connection(one)));
        }
    }

    fn did(&mut self, counts: &Counts, writes: &[Touched]) {
        let mut parts = Vec::new();
        for (count, one, many) in [
            (counts.processes, "program run", "programs run"),
            (counts.reads, "path read", "paths read"),
            (counts.writes, "path changed", "paths changed"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {}", if count == 1 { one } else { many }));
            }
        }
        if let Some(detail) = self.elsewhere {
            // The lists are not here, which is not to say that they are empty.
            match counts.network {
                0 => {}
                1 => parts.push("1 connection or look-up".to_owned()),
                count => parts.push(format!("{count} connections or look-ups")),
            }
            if !parts.is_empty() {
                self.line(format!("{:14}{}: in {}", "", parts.join(", "), detail.name));
            }
            return;
        }
        if !parts.is_empty() {
            self.line(format!("{:14}{}", "", parts.join(", ")));
        }
        // What lies on a mount (/dev/null, caches) is no part of the image.
        let lasting: Vec<&Touched> = writes.iter().filter(|touched| !touched.mounted).collect();
        for touched in lasting.iter().take(PATHS_SHOWN_MAX) {
            let name = shown(touched.path.as_deref(), touched.path_b64.as_deref());
            let verb = verb(touched);
            let place = if touched.place == Place::Host { ", on the host" } else { "" };
            self.line(format!("{:14}{verb} {name}{place}", ""));
        }
        let more = lasting.len().saturating_sub(PATHS_SHOWN_MAX);
        if more > 0 {
            self.line(format!("{:14}... and {more} more (--json shows all)", ""));
        }
    }
}

/// What an earlier attestation shows of a cached step.
fn citation(cited: &Cited) -> String {
    let what = match (cited.status, &cited.step) {
        (_, None) => "base of equal content".to_owned(),
        (Some(Status::Cached), Some(step)) => format!("layer of equal content cached in step {step}"),
        (_, Some(step)) => format!("layer of equal content seen in step {step}"),
    };
    let further = cited
        .cites
        .as_ref()
        .map_or(String::new(), |cites| format!(", which cites envelope {}", cites.envelope_sha256));
    format!("{what} of envelope {}, signed by {}{further}", cited.envelope_sha256, cited.signed_by)
}

/// What was done to a path, in a word or two.
fn verb(touched: &Touched) -> &'static str {
    let has = |one| touched.access.contains(&one);
    let made = has(Access::Write) || has(Access::Create) || has(Access::RenameTo);
    let removed = has(Access::Delete) || has(Access::RenameFrom);
    match (made, removed) {
        (true, true) => match touched.gone {
            Some(true) => "wrote and removed",
            Some(false) => "replaced",
            None => "wrote or removed",
        },
        (false, true) => "removed",
        (true, false) => "wrote",
        (false, false) => "changed",
    }
}

/// An instruction's text on one line, cut where it is long.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "\\").collect();
    let joined = words.join(" ");
    if joined.chars().count() <= TEXT_CHARS_MAX {
        return joined;
    }
    joined.chars().take(TEXT_CHARS_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use blubr_attestation::build::BlubrBuild;

    use super::super::page::Entries;
    use super::*;

    #[test]
    fn paths_of_the_host_are_marked_and_those_on_mounts_neither_shown_nor_counted() {
        let build = BlubrBuild::default();
        let path = |at: usize| Some(format!("/p{at}"));
        let mut writes: Vec<Touched> = (0..PATHS_SHOWN_MAX + 2)
            .map(|at| Touched { path: path(at), access: vec![Access::Write], ..Touched::default() })
            .collect();
        writes[0].place = Place::Host;
        writes[1].mounted = true;
        let mut page = Page::new(&build, Entries::default(), false);
        page.did(&Counts::default(), &writes);
        assert!(page.out.contains("wrote /p0, on the host\n"), "{}", page.out);
        assert!(!page.out.contains("/p1\n") && page.out.contains("wrote /p8\n"), "{}", page.out);
        assert!(page.out.contains("... and 1 more"), "{}", page.out);
    }

    #[test]
    fn what_was_taken_away_and_given_again_is_not_said_to_be_removed() {
        let said = |access: &[Access], gone| {
            verb(&Touched { access: access.to_vec(), gone, ..Touched::default() })
        };
        let both = [Access::Create, Access::RenameFrom];
        assert_eq!(said(&both, Some(true)), "wrote and removed");
        assert_eq!(said(&both, Some(false)), "replaced");
        // An attestation that doesn't say which was last.
        assert_eq!(said(&both, None), "wrote or removed");
        assert_eq!(said(&both[..1], None), "wrote");
        assert_eq!(said(&[Access::Delete], Some(true)), "removed");
        assert_eq!(said(&[Access::Attributes], None), "changed");
    }

    #[test]
    fn long_instructions_are_cut_and_put_on_one_line() {
        assert_eq!(one_line("RUN a && \\\n    b"), "RUN a && b");
        assert_eq!(one_line(&"é".repeat(200)).chars().count(), TEXT_CHARS_MAX);
    }
}
