//! What a client's command line asks of a build: docker, podman and buildah spell it alike (`--target NAME`), buildctl passes
//! it to its frontend (`--opt target=NAME`).

mod options;

use std::collections::BTreeMap;

use crate::Dockerfile;
use crate::gotext::parse_bool;
use options::{options, others};

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

/// What a switch is set to: of several of its name the last counts, and a value that is no answer is none.
fn switched(words: &[&str], switch: &str) -> Option<bool> {
    let all = options(words);
    let (_, value) = all.iter().rfind(|(name, _)| *name == switch)?;
    Some(value.is_none_or(|value| parse_bool(value) == Some(true)))
}

/// Whether all layers of the image are to become one: the base's too by buildah's `--squash` and podman's `--squash-all`, where
/// podman's `--squash` leaves those. (What was made shows which.)
#[must_use]
pub fn squashes(words: &[&str]) -> bool {
    ["squash", "squash-all"].into_iter().any(|switch| switched(words, switch) == Some(true))
}

/// Whether the classic builder is to remove each step's container, as it does unless it is told not to.
#[must_use]
pub fn clears_up(words: &[&str]) -> bool {
    switched(words, "rm").unwrap_or(true)
}

/// Whether something else is asked for than one image that the engine keeps: then a build may leave several results, or none.
#[must_use]
pub fn other_results(words: &[&str]) -> bool {
    let is_other =
        |name: &str| matches!(name, "o" | "output" | "call" | "check" | "print" | "metadata-file");
    options(words).iter().any(|(name, _)| is_other(name)) || told_by(words) == Some(ToldBy::Files)
}

/// Whether two command lines ask for the same, whatever the image is to be called.
#[must_use]
pub fn asks_for_the_same(one: &[&str], other: &[&str]) -> bool {
    let unnamed = |words| {
        let is_name = |name: &str| matches!(name, "t" | "tag");
        options(words).into_iter().filter(move |(name, _)| !is_name(name))
    };
    unnamed(one).eq(unnamed(other)) && others(one) == others(other)
}

/// Where a client has from what it is to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldBy {
    /// Its command line: `docker build`, `buildah bud`.
    Words,
    /// Files of its own, the command line besides: `docker buildx bake`, `docker compose build`.
    Files,
}

/// Where the client of a command line has from what it is to build; `None` where that has no word for building.
#[must_use]
pub fn told_by(words: &[&str]) -> Option<ToldBy> {
    let others = others(words);
    let (program, commands) = others.split_first()?;
    if name_of(program) == "docker-compose" {
        return Some(ToldBy::Files);
    }
    // What follows the first of them are contexts or targets.
    commands.iter().find_map(|word| match *word {
        "build" | "bud" | "b" | "build-using-dockerfile" => Some(ToldBy::Words),
        "bake" | "compose" => Some(ToldBy::Files),
        _ => None,
    })
}

/// Whether a client is one whose options are known.
fn is_known(words: &[&str]) -> bool {
    let known = ["docker", "docker-buildx", "buildx", "podman", "podman-remote", "buildah", "buildctl"];
    words.first().is_some_and(|program| known.contains(&name_of(program)))
}

/// A program's name, without what buildah and podman put behind their own where they begin again in a user namespace
/// (`MaybeReexecUsingUserNamespace` in containers/storage, pkg/unshare).
fn name_of(program: &str) -> &str {
    let name = program.rsplit_once('/').map_or(program, |(_, name)| name);
    name.strip_suffix("-in-a-user-namespace").unwrap_or(name)
}

/// The build arguments with their values; `None` where there may be more than the words tell: in files, in the client's
/// environment, or because the client is not known.
#[must_use]
pub fn all_build_args(words: &[&str]) -> Option<BTreeMap<String, String>> {
    let by_file = || options(words).iter().any(|(name, _)| *name == "build-arg-file");
    if !is_known(words) || told_by(words) != Some(ToldBy::Words) || by_file() {
        return None;
    }
    let pair = |(name, value): (&str, Option<&str>)| Some((name.to_owned(), value?.to_owned()));
    build_args(words).map(pair).collect()
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

    fn cut(line: &str) -> Vec<&str> {
        line.split(' ').collect()
    }

    #[test]
    fn who_clears_up() {
        for (line, wanted) in [
            ("docker build .", true),
            ("docker build --rm .", true),
            ("docker build --rm=false --rm=1 .", true),
            ("docker build --build-arg --rm=false --label --rm=0 .", true),
            ("docker build -- --rm=false", true),
            ("docker build --rmi=false .", true),
            ("docker build --rm=false .", false),
            ("docker build --rm --rm=F .", false),
            ("docker build --rm=perhaps .", false),
        ] {
            assert_eq!(clears_up(&cut(line)), wanted, "{line}");
        }
    }

    #[test]
    fn who_asks_for_other_results() {
        for (line, wanted) in [
            ("docker build -t bake .", false),
            ("docker build bake", false),
            ("docker build --label --check --build-arg --output=x -t -o .", false),
            ("docker build --outputs=x .", false),
            ("docker build -o x .", true),
            ("docker build -qox .", true),
            ("docker build --output=type=local,dest=x .", true),
            ("docker buildx build --metadata-file m .", true),
            ("docker build --check .", true),
            ("docker build --call=outline .", true),
            ("docker buildx build --print=outline .", true),
            ("docker buildx --builder build bake", true),
            ("docker compose build", true),
            ("buildctl build --output type=image", true),
        ] {
            assert_eq!(other_results(&cut(line)), wanted, "{line}");
        }
    }

    #[test]
    fn what_an_image_is_called_is_no_other_thing_to_ask_for() {
        let same =
            |line| asks_for_the_same(&cut("docker build -t one --tag=x --label -t ."), &cut(line));
        assert!(same("docker build --tag two --label -t .") && same("docker build -ttwo --label=-t ."));
        for other in ["docker build --label a .", "docker build --label -t x", "docker build -t one ."] {
            assert!(!same(other), "{other}");
        }
    }

    #[test]
    fn where_a_client_has_from_what_it_is_to_build() {
        for (line, wanted) in [
            ("docker build .", Some(ToldBy::Words)),
            ("/usr/bin/docker --context compose builder build bake", Some(ToldBy::Words)),
            ("cli-plugins/docker-buildx buildx --builder=x b .", Some(ToldBy::Words)),
            ("podman --root build image build .", Some(ToldBy::Words)),
            ("buildah-in-a-user-namespace bud compose", Some(ToldBy::Words)),
            ("buildctl --addr a build --opt b", Some(ToldBy::Words)),
            ("docker buildx bake build", Some(ToldBy::Files)),
            ("docker compose -f build build", Some(ToldBy::Files)),
            ("docker-compose build", Some(ToldBy::Files)),
            ("tool bake build", Some(ToldBy::Files)),
            ("docker ps -f build", None),
            ("build", None),
            ("", None),
        ] {
            assert_eq!(told_by(&cut(line)), wanted, "{line}");
        }
        assert_eq!(told_by(&[]), None);
    }

    #[test]
    fn build_args_are_all_where_nothing_else_can_give_one() {
        let given = |line: &'static str| all_build_args(&cut(line)).map(|all| all.len());
        assert_eq!(given("docker build ."), Some(0));
        assert_eq!(given("docker build --build-arg A=1 --build-arg=B= -t compose ."), Some(2));
        assert_eq!(given("docker build --label --build-arg-file=x ."), Some(0));
        for line in [
            "docker build --build-arg A .",
            "buildah build --build-arg-file x .",
            "buildah build --build-arg-file=x .",
            "docker buildx bake",
            "docker-compose build",
            "tool build .",
            "docker pull x",
        ] {
            assert_eq!(given(line), None, "{line}");
        }
    }

    #[test]
    fn a_stage_by_name_by_number_or_the_last() {
        let file = Dockerfile::parse(b"FROM a AS one\nFROM b AS two\nFROM c\n").unwrap();
        let targets = [None, Some("ONE"), Some("1"), Some("2"), Some("3")].map(|name| file.target(name));
        assert_eq!(targets, [Some(2), Some(0), Some(1), Some(2), None]);
    }
}
