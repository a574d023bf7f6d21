//! What a client's command line asks of a build: docker, podman and buildah spell it alike (`--target NAME`), buildctl passes
//! it to its frontend (`--opt target=NAME`).

mod options;

use crate::Dockerfile;
use crate::gotext::parse_bool;
use options::options;

/// The values of options, in the order of the words. `names`: without their dashes.
fn values<'w>(words: &[&'w str], names: &[&str]) -> impl Iterator<Item = &'w str> {
    let given = options(words).into_iter();
    given.filter(|(name, _)| names.contains(name)).filter_map(|(_, value)| value)
}

/// What is passed to buildctl's frontend under names that begin with `prefix`: what stands behind it.
fn passed<'w>(words: &[&'w str], prefix: &str) -> impl Iterator<Item = &'w str> {
    values(words, &["opt"]).filter_map(move |option| option.strip_prefix(prefix))
}

/// The build arguments that are given: names, and values where they are told (else the client's environment has them).
pub fn build_args<'w>(words: &[&'w str]) -> impl Iterator<Item = (&'w str, Option<&'w str>)> {
    let all = values(words, &["build-arg"]).chain(passed(words, "build-arg:"));
    all.map(|text| text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value))))
}

/// The name of the stage that is asked for; of several the last counts.
#[must_use]
pub fn target<'w>(words: &[&'w str]) -> Option<&'w str> {
    let all = values(words, &["target"]).chain(passed(words, "target="));
    all.last().filter(|name| !name.is_empty())
}

/// Whether all layers of the image are to become one: the base's too by buildah's `--squash` and podman's `--squash-all`, where
/// podman's `--squash` leaves those. (What was made shows which.)
#[must_use]
pub fn squashes(words: &[&str]) -> bool {
    let all = options(words);
    // Of several of a name the last counts.
    ["squash", "squash-all"].into_iter().any(|switch| {
        let last = all.iter().rfind(|(name, _)| *name == switch);
        last.is_some_and(|(_, value)| value.is_none_or(|value| parse_bool(value) == Some(true)))
    })
}

/// The Dockerfile that is asked for; of buildctl's its name within what is sent as `dockerfile`.
#[must_use]
pub fn file<'w>(words: &[&'w str]) -> Option<&'w str> {
    values(words, &["f", "file"]).chain(passed(words, "filename=")).last()
}

/// The contexts that are given a name: each with where it is.
pub fn contexts<'w>(words: &[&'w str]) -> impl Iterator<Item = (&'w str, &'w str)> {
    let all = values(words, &["build-context"]).chain(passed(words, "context:"));
    all.filter_map(|text| text.split_once('='))
}

impl Dockerfile {
    /// The stage that is built where `name` is asked for, which may be its number too; `None` asks for the last one.
    #[must_use]
    pub fn target(&self, name: Option<&str>) -> Option<usize> {
        let last = self.stages.len().checked_sub(1)?;
        let Some(name) = name else { return Some(last) };
        self.stage_named(name, last + 1).or_else(|| name.parse().ok().filter(|stage| *stage <= last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_all_clients() {
        let words: Vec<&str> =
            "docker build --build-arg A=1 --build-arg=B=x=y --build-arg C --build-args D=2 --target one --target=two ."
                .split(' ')
                .collect();
        let wanted = [("A", Some("1")), ("B", Some("x=y")), ("C", None)];
        assert_eq!(build_args(&words).collect::<Vec<_>>(), wanted);
        assert_eq!(target(&words), Some("two"));
        let words: Vec<&str> =
            "buildctl build --opt target=three --opt=build-arg:A=1 --opt platform=x --build-arg"
                .split(' ')
                .collect();
        assert_eq!(build_args(&words).collect::<Vec<_>>(), [("A", Some("1"))]);
        assert_eq!(target(&words), Some("three"));
        assert_eq!(target(&["docker", "build", "--target="]), None);
        let words = ["docker", "build", "--build-arg", "--target=x", "--label", "--build-arg=B=1"];
        assert_eq!(target(&words), None);
        assert_eq!(build_args(&words).collect::<Vec<_>>(), [("--target", Some("x"))]);
    }

    #[test]
    fn files_and_contexts() {
        let docker =
            ["docker", "build", "-f", "a/b", "--build-context", "c=../d", "--build-context=e=f=g"];
        assert_eq!(file(&docker), Some("a/b"));
        assert_eq!(contexts(&docker).collect::<Vec<_>>(), [("c", "../d"), ("e", "f=g")]);
        let buildctl =
            ["buildctl", "build", "--opt", "filename=x", "--opt=context:c=local:d", "--local", "d=."];
        assert_eq!(file(&buildctl), Some("x"));
        assert_eq!(contexts(&buildctl).collect::<Vec<_>>(), [("c", "local:d")]);
        assert_eq!(file(&["docker", "build", "--file=x"]), Some("x"));
        assert_eq!(file(&["docker", "build", "--file=x", "-qfy"]), Some("y"));
        assert_eq!(file(&["docker", "build", "--filename", "x"]), None);
    }

    #[test]
    fn who_squashes() {
        assert!(squashes(&["buildah", "build", "--layers", "--squash", "."]));
        assert!(squashes(&["podman", "build", "--squash-all=true", "."]));
        assert!(squashes(&["buildah", "build", "--squash=false", "--squash=1", "."]));
        assert!(!squashes(&["podman", "build", "--squash-all=false", "-t", "squash", "."]));
        assert!(!squashes(&["buildah", "build", "--squash", "--squash=false", "--squashed", "."]));
        assert!(!squashes(&["buildah", "build", "--build-arg", "--squash", "."]));
        assert!(!squashes(&["buildah", "build", "--squash=perhaps", "."]));
    }

    #[test]
    fn a_stage_by_name_by_number_or_the_last() {
        let file = Dockerfile::parse(b"FROM a AS one\nFROM b AS two\nFROM c\n").unwrap();
        let targets = [None, Some("ONE"), Some("1"), Some("2"), Some("3")].map(|name| file.target(name));
        assert_eq!(targets, [Some(2), Some(0), Some(1), Some(2), None]);
    }
}
