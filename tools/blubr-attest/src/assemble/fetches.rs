//! What the engine may have to fetch for a step, by the Dockerfile and by what was asked of the client.

use std::collections::{BTreeMap, BTreeSet};

use blubr_dockerfile::{BuildOptions, Dockerfile, Instruction, Platform, StageNames, asked, evaluate};

use super::arguments;

/// Indices of instructions.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fetches {
    /// ADDs with a source that is, or may be, on another host.
    pub adds: BTreeSet<usize>,
    /// Instructions that take files from what is neither a stage nor a local context: an image.
    pub froms: BTreeSet<usize>,
}

impl Fetches {
    /// Of a Dockerfile, the client's arguments, and the architecture of the host that it ran on (as uname has it).
    pub fn of(dockerfile: &Dockerfile, argv: &[Vec<u8>], arch: &str) -> Self {
        let asked = Asked::of(argv);
        let evaluated = asked.build_args.as_ref().and_then(|build_args| {
            let options = BuildOptions {
                build_args: build_args.clone(),
                target: None,
                platform: None,
                host: Platform::linux_on(arch),
            };
            evaluate(dockerfile, &options).ok()
        });
        let names = StageNames::new(dockerfile);
        let mut found = Self::default();
        for (at, instruction) in dockerfile.instructions.iter().enumerate() {
            let known = evaluated.as_ref().and_then(|all| all.get(at)?.as_ref());
            let known = known.filter(|known| known.assumed.is_empty()).map(|known| &known.args[..]);
            if instruction.keyword == "add" && adds_remote(instruction, known) {
                found.adds.insert(at);
            }
            let below = instruction.stage.unwrap_or(0);
            let is_image = |name: &str| {
                names.source(name, below).is_none()
                    && !asked.contexts.iter().any(|context| context == name)
            };
            if instruction.stage.is_some() && instruction.sources().iter().any(|name| is_image(name)) {
                found.froms.insert(at);
            }
        }
        found
    }
}

/// What was asked of the client.
struct Asked {
    /// Its --build-arg, as far as [`arguments::told`].
    build_args: Option<BTreeMap<String, String>>,
    /// Names of contexts on this host.
    contexts: Vec<String>,
}

impl Asked {
    fn of(argv: &[Vec<u8>]) -> Self {
        let words: Vec<&str> =
            argv.iter().map(|word| std::str::from_utf8(word).unwrap_or_default()).collect();
        let contexts = asked::contexts(&words)
            .filter(|(_, of)| of.starts_with("oci-layout://") || !is_remote(of))
            .map(|(name, _)| name.to_owned())
            .collect();
        Self { build_args: arguments::told(argv), contexts }
    }
}

fn adds_remote(instruction: &Instruction, known: Option<&[String]>) -> bool {
    let sources = |words: &[String]| words.split_last().map_or_else(Vec::new, |(_, of)| of.to_vec());
    match known {
        Some(words) => sources(words).iter().any(|word| is_remote(word)),
        None => sources(&instruction.args).iter().any(|word| is_remote(word) || word.contains('$')),
    }
}

/// A URL, or a repository as ssh names it: `user@host:path`.
fn is_remote(source: &str) -> bool {
    let by_ssh = |source: &str| {
        let (user, rest) = source.split_once('@')?;
        (!user.is_empty() && !user.contains('/') && rest.contains(':')).then_some(())
    };
    source.contains("://") || by_ssh(source).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, argv: &[&str]) -> (usize, usize) {
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        let argv: Vec<Vec<u8>> = argv.iter().map(|word| word.as_bytes().to_vec()).collect();
        let found = Fetches::of(&file, &argv, "x86_64");
        (found.adds.len(), found.froms.len())
    }

    #[test]
    fn an_add_fetches_what_is_or_may_be_remote() {
        let build = ["docker", "build", "."];
        for remote in [
            "ADD https://a/b /x",
            "ARG URL=https://a/b\nADD $URL /x",
            "ENV URL=https://a/b\nADD a ${URL} /x/",
            "ADD git@github.com:moby/buildkit.git#v0.14.1 /x",
            "ADD [\"ssh://git@a/b\", \"/x\"]",
        ] {
            assert_eq!(of(&format!("FROM base\n{remote}\n"), &build), (1, 0), "{remote}");
        }
        for local in [
            "ADD a.tar /",
            "ARG VERSION=1\nADD app-$VERSION.tar /",
            "ADD a@b /x",
            "ADD ./user@host:x /x",
            "COPY https://a /x",
        ] {
            assert_eq!(of(&format!("FROM base\n{local}\n"), &build), (0, 0), "{local}");
        }
        let add = "FROM base\nARG A=x\nADD $A /x\n";
        assert_eq!(of(add, &["docker", "build", "--build-arg", "A=https://a/b", "."]), (1, 0));
        assert_eq!(of(add, &["docker", "build", "--build-arg=A=y", "."]), (0, 0));
        assert_eq!(of(add, &["buildctl", "build", "--opt", "build-arg:A=https://a/b"]), (1, 0));
        assert_eq!(of(add, &["buildctl", "build", "--opt=build-arg:A=y"]), (0, 0));
        // Of these the arguments don't tell what A is.
        for argv in [
            &["docker", "build", "--build-arg", "A", "."][..],
            &["docker", "compose", "build"],
            &["docker", "buildx", "bake"],
            &[],
        ] {
            assert_eq!(of(add, argv), (1, 0), "{argv:?}");
        }
    }

    #[test]
    fn what_is_no_stage_and_no_local_context_is_an_image() {
        let text = |from: &str| format!("FROM base AS One\nRUN x\nFROM base\n{from}\n");
        let build =
            ["docker", "build", "--build-context", "ctx=../c", "--build-context=far=https://a/b", "."];
        for image in [
            "COPY --from=docker.io/library/alpine:3 /x /x",
            "RUN --mount=type=bind,from=alpine,target=/a x",
            "COPY --from=1 /x /x",
            "COPY --from=$ONE /x /x",
            "COPY --from=far /x /x",
        ] {
            assert_eq!(of(&text(image), &build), (0, 1), "{image}");
        }
        for here in [
            "COPY --from=one /x /x",
            "COPY --from=0 /x /x",
            "COPY --from=ctx /x /x",
            "RUN --mount=type=bind,from=one,target=/a --mount=type=cache,target=/c x",
            "COPY x /x",
        ] {
            assert_eq!(of(&text(here), &build), (0, 0), "{here}");
        }
        let build = |opt: &'static str| ["buildctl", "build", "--opt", opt];
        let from = text("COPY --from=ctx /x /x");
        assert_eq!(of(&from, &build("context:ctx=local:c")), (0, 0));
        assert_eq!(of(&from, &build("context:ctx=docker-image://a/b")), (0, 1));
    }
}
