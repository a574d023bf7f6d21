//! What a client's command line asks of a build: docker, podman and buildah spell it alike (`--target NAME`), buildctl passes
//! it to its frontend (`--opt target=NAME`).

use crate::Dockerfile;

/// The values of an option in the order of the words: `--NAME VALUE` or `--NAME=VALUE`. `option`: with its dashes.
pub fn values<'w>(words: &'w [&'w str], option: &'w str) -> impl Iterator<Item = &'w str> {
    words.iter().enumerate().filter_map(move |(at, word)| match word.strip_prefix(option)? {
        "" => words.get(at + 1).copied(),
        rest => rest.strip_prefix('='),
    })
}

/// The build arguments that are given: names, and values where they are told (else the client's environment has them).
pub fn build_args<'w>(words: &'w [&'w str]) -> impl Iterator<Item = (&'w str, Option<&'w str>)> {
    let direct = values(words, "--build-arg");
    let all =
        direct.chain(values(words, "--opt").filter_map(|option| option.strip_prefix("build-arg:")));
    all.map(|text| text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value))))
}

/// The name of the stage that is asked for; of several the last counts.
#[must_use]
pub fn target<'w>(words: &'w [&'w str]) -> Option<&'w str> {
    let direct = values(words, "--target");
    let all = direct.chain(values(words, "--opt").filter_map(|option| option.strip_prefix("target=")));
    all.last().filter(|name| !name.is_empty())
}

/// Whether all layers of the image are to become one: the base's too by buildah's `--squash` and podman's `--squash-all`, where
/// podman's `--squash` leaves those. (What was made shows which.)
#[must_use]
pub fn squashes(words: &[&str]) -> bool {
    ["--squash", "--squash-all"].into_iter().any(|option| is_set(words, option))
}

/// Whether a switch is on; of several the last counts. (Values as Go's `strconv.ParseBool` reads them.)
fn is_set(words: &[&str], option: &str) -> bool {
    let mut given = words.iter().rev().filter_map(|word| match word.strip_prefix(option)? {
        "" => Some(true),
        rest => Some(matches!(rest.strip_prefix('=')?, "1" | "t" | "T" | "TRUE" | "true" | "True")),
    });
    given.next().unwrap_or(false)
}

/// The Dockerfile that is asked for; of buildctl's its name within what is sent as `dockerfile`.
#[must_use]
pub fn file<'w>(words: &'w [&'w str]) -> Option<&'w str> {
    let short = values(words, "-f").chain(values(words, "--file"));
    short.chain(values(words, "--opt").filter_map(|option| option.strip_prefix("filename="))).last()
}

/// The contexts that are given a name: each with where it is.
pub fn contexts<'w>(words: &'w [&'w str]) -> impl Iterator<Item = (&'w str, &'w str)> {
    let direct = values(words, "--build-context");
    let all = direct.chain(values(words, "--opt").filter_map(|option| option.strip_prefix("context:")));
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
        assert_eq!(file(&["docker", "build", "--filename", "x"]), None);
    }

    #[test]
    fn who_squashes() {
        assert!(squashes(&["buildah", "build", "--layers", "--squash", "."]));
        assert!(squashes(&["podman", "build", "--squash-all=true", "."]));
        assert!(squashes(&["buildah", "build", "--squash=false", "--squash=1", "."]));
        assert!(!squashes(&["podman", "build", "--squash-all=false", "-t", "squash", "."]));
        assert!(!squashes(&["buildah", "build", "--squash", "--squash=false", "--squashed", "."]));
    }

    #[test]
    fn a_stage_by_name_by_number_or_the_last() {
        let file = Dockerfile::parse(b"FROM a AS one\nFROM b AS two\nFROM c\n").unwrap();
        let targets = [None, Some("ONE"), Some("1"), Some("2"), Some("3")].map(|name| file.target(name));
        assert_eq!(targets, [Some(2), Some(0), Some(1), Some(2), None]);
    }
}
