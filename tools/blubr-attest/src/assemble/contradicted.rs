//! Where the image's history says something else than the Dockerfile: then that is not the file that was built, whatever its size
//! and time, and its instructions are not those that were carried out.

use std::collections::BTreeMap;

use blubr_attestation::build::{Check, Outcome};
use blubr_dockerfile::{Instruction, Origin};

use super::written::Written;

/// Lines that are named at most; a count.
const NAMED_MAX: usize = 3;
/// Characters of a line that are shown.
const LINE_CHARS_MAX: usize = 200;

/// Whether a line of the history that has the keyword of a COPY, ADD or WORKDIR can't be its. Where variables, quotes or the
/// directory that something is relative to decide it isn't said. (RUN's line is looked for by its text.)
pub fn contradicts(instruction: &Instruction, line: &Written<'_>) -> bool {
    // What came with the base is taken from the history itself.
    if !instruction.heredocs.is_empty() || instruction.origin == Origin::Base {
        return false;
    }
    let words = || line.text.split_whitespace().skip(1).skip_while(|word| word.starts_with("--"));
    let args = instruction.args.as_slice();
    match instruction.keyword.as_str() {
        "copy" | "add" if line.is_marked => is_elsewhere(args, &words().collect::<Vec<_>>()),
        "copy" | "add" => are_others(args, &words().collect::<Vec<_>>()),
        "workdir" => {
            let words: Vec<&str> = words().collect();
            let (Some(wanted), [said]) = (args.first(), words.as_slice()) else { return false };
            is_plain(wanted) && is_plain(said) && !may_be(wanted, said)
        }
        _ => false,
    }
}

/// BuildKit writes sources and destination as they stand in the file, variables replaced (dispatchCopy in its
/// frontend/dockerfile/dockerfile2llb/convert.go).
fn are_others(args: &[String], said: &[&str]) -> bool {
    let (Some((dest, sources)), Some((said_dest, said_sources))) =
        (args.split_last(), said.split_last())
    else {
        return false;
    };
    // The words up to the first that isn't sure stand where they stood, and so do those from the last one on.
    let mut ahead = sources.iter().take_while(|word| is_plain(word)).zip(said_sources);
    let mut behind =
        sources.iter().rev().take_while(|word| is_plain(word)).zip(said_sources.iter().rev());
    let other = |(wanted, said): (&String, &&str)| wanted != said;
    if !is_plain(dest) {
        // Of how many words it is in the line isn't known, so that nothing is counted from there.
        return ahead.any(other);
    }
    let all_sure = sources.iter().all(|word| is_plain(word));
    !may_be(dest, said_dest)
        || ahead.any(other)
        || behind.any(other)
        || all_sure && sources.len() != said_sources.len()
}

/// The classic builder and buildah write sums for the sources, and behind `in` the destination: buildah as it stands in the file.
fn is_elsewhere(args: &[String], said: &[&str]) -> bool {
    let (Some(dest), [.., before, said]) = (args.last(), said) else { return false };
    *before == "in" && is_plain(dest) && is_plain(said) && !may_be(dest, said)
}

/// Whether a path of the file may be what a line has for it.
fn may_be(wanted: &str, said: &str) -> bool {
    let (wanted_parts, said_parts) = (parts(wanted), parts(said));
    if wanted.starts_with('/') == said.starts_with('/') {
        return wanted_parts == said_parts;
    }
    // Relative to what WORKDIR says.
    !wanted.starts_with('/')
}

/// The parts of a path, without those that lead nowhere.
fn parts(path: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if found.last().is_some_and(|last| *last != "..") => _ = found.pop(),
            ".." if path.starts_with('/') => {}
            part => found.push(part),
        }
    }
    found
}

/// Whether a word stands for itself.
fn is_plain(word: &str) -> bool {
    !word.is_empty()
        && !word.contains(|c: char| c.is_whitespace() || matches!(c, '$' | '\\' | '"' | '\'' | '`'))
}

/// What was read as the build opened it isn't taken for the file that was built where the history says otherwise.
pub fn doubt(
    checks: &mut [Check],
    contradicted: &BTreeMap<usize, String>,
    id: impl Fn(usize) -> String,
) {
    if contradicted.is_empty() {
        return;
    }
    let passed = |one: &&mut Check| one.id == "dockerfile-unchanged" && one.result == Outcome::Pass;
    for check in checks.iter_mut().filter(passed) {
        check.result = Outcome::Unknown;
        check.evidence.extend(contradicted.iter().take(NAMED_MAX).map(|(at, line)| {
            let line: String = line.chars().take(LINE_CHARS_MAX).collect();
            format!("the image's history has {line:?} where the file has step {}", id(*at))
        }));
    }
}

#[cfg(test)]
mod tests {
    use blubr_dockerfile::Dockerfile;

    use super::*;

    fn of(text: &str) -> Instruction {
        let file = Dockerfile::parse(format!("FROM scratch\n{text}\n").as_bytes()).unwrap();
        file.instructions[1].clone()
    }

    #[test]
    fn a_line_of_another_copy_contradicts_the_file() {
        for (text, line) in [
            ("COPY b /b", "COPY a /a # buildkit"),
            ("COPY b /a", "COPY a /a # buildkit"),
            ("COPY a /b", "COPY a /a # buildkit"),
            ("COPY a b /d/", "COPY a /d/ # buildkit"),
            ("COPY --chown=1:2 a /b", "COPY --chown=1:2 a /a # buildkit"),
            ("COPY $X b /d/", "COPY x a /d/ # buildkit"),
            ("COPY a $X /d/", "COPY b x /d/ # buildkit"),
            ("COPY [\"b\", \"/b\"]", "COPY a /b # buildkit"),
            ("COPY [\"b\", \"/d d/\"]", "COPY a /d d/ # buildkit"),
            ("ADD https://x.test/a /a", "ADD https://x.test/b /a # buildkit"),
            ("COPY a /b", "/bin/sh -c #(nop) COPY file:0123 in /a "),
            ("COPY --chown=3:4 a /b", "/bin/sh -c #(nop) COPY --chown=3:4file:01 in /a "),
            ("WORKDIR /x", "WORKDIR /y"),
            ("WORKDIR /x", "/bin/sh -c #(nop) WORKDIR /y"),
        ] {
            assert!(contradicts(&of(text), &Written::of(line, &[])), "{text}: {line}");
        }
    }

    #[test]
    fn a_line_that_may_be_the_file_s_does_not() {
        for (text, line) in [
            ("COPY a /a", "COPY a /a # buildkit"),
            ("COPY --chown=3:4 --from=x dir/sub/../b /m", "COPY --chown=3:4 dir/sub/../b /m # buildkit"),
            ("COPY --chown=3:4 dir/a /owned", "COPY dir/a /owned # buildkit"),
            ("COPY note ${WHERE:-/else}/m14", "COPY note /else/m14 # buildkit"),
            ("COPY $X /d/", "COPY a b /d/ # buildkit"),
            ("COPY \"a b\" /d/", "COPY a b /d/ # buildkit"),
            ("COPY [\"a b\", \"/d/\"]", "COPY a b /d/ # buildkit"),
            ("COPY [\"a\", \"/d d/\"]", "COPY a /d d/ # buildkit"),
            ("COPY [\"a b\", \"c\", \"/d d/\"]", "COPY a b c /d d/ # buildkit"),
            ("COPY a b $X", "COPY a b /d d/ # buildkit"),
            ("COPY a .", "COPY a . # buildkit"),
            ("COPY a b", "COPY a /work/b # buildkit"),
            ("COPY <<X /a\nb\nX", "COPY <<X /a # buildkit"),
            ("COPY a /a", "/bin/sh -c #(nop) COPY file:0123 in /a "),
            ("COPY a b", "/bin/sh -c #(nop) COPY file:0123 in /work/b "),
            ("COPY note ${WHERE:-/else}/m14", "/bin/sh -c #(nop) COPY file:66 in ${WHERE:-/else}/m14 "),
            ("COPY a $X", "/bin/sh -c #(nop) COPY file:0123 in /b "),
            ("WORKDIR ../other", "WORKDIR /srv/app/other"),
            ("WORKDIR ../other", "/bin/sh -c #(nop) WORKDIR ../other"),
            ("WORKDIR /x/./y/../z/", "WORKDIR /x/z"),
            ("WORKDIR /work-$KEPT", "WORKDIR /work-changed"),
            ("RUN a", "RUN /bin/sh -c b # buildkit"),
        ] {
            assert!(!contradicts(&of(text), &Written::of(line, &[])), "{text}: {line}");
        }
    }

    #[test]
    fn what_is_contradicted_is_not_unchanged() {
        let check = |id: &str, result| Check { id: id.to_owned(), result, ..Check::default() };
        let mut checks = vec![
            check("recording-complete", Outcome::Pass),
            check("dockerfile-unchanged", Outcome::Pass),
        ];
        doubt(&mut checks, &BTreeMap::new(), |_| String::new());
        assert_eq!(checks[1].result, Outcome::Pass);
        let line = "COPY a /a".to_owned();
        doubt(&mut checks, &[(1, line)].into(), |at| format!("0.{at}"));
        assert_eq!(checks[0].result, Outcome::Pass);
        assert_eq!(checks[1].result, Outcome::Unknown);
        let said = "the image's history has \"COPY a /a\" where the file has step 0.1";
        assert_eq!(checks[1].evidence, [said]);
    }
}
