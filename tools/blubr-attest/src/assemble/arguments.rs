//! What the build arguments are worth at an instruction, as far as Dockerfile and client's arguments tell.

use std::collections::BTreeMap;

use blubr_dockerfile::{BuildOptions, Dockerfile, Platform, asked, evaluate, fronts};

/// The build arguments that the client was given; `None` where there may be more than its words tell.
pub fn told(argv: &[Vec<u8>]) -> Option<BTreeMap<String, String>> {
    let words: Result<Vec<&str>, _> = argv.iter().map(|word| std::str::from_utf8(word)).collect();
    asked::all_build_args(&words.ok()?)
}

/// Where names get values: the index of the ARG or ENV, whether it is an ARG, and the value where that is known.
type Places = Vec<(usize, bool, Option<String>)>;

/// The variables down the stages that a target is made of.
#[derive(Debug, Default)]
pub struct Arguments(BTreeMap<String, Places>);

impl Arguments {
    /// Of a Dockerfile and the client's arguments; `chain`: the instructions of those stages, in their order.
    pub fn new(dockerfile: &Dockerfile, argv: &[Vec<u8>], chain: &[usize]) -> Self {
        let words: Vec<&str> =
            argv.iter().map(|word| std::str::from_utf8(word).unwrap_or_default()).collect();
        let evaluated = told(argv).and_then(|build_args| {
            let options = BuildOptions {
                build_args,
                target: asked::target(&words).map(str::to_owned),
                platform: None,
                // What rests on it is noted as assumed.
                host: Platform::linux_on("x86_64"),
            };
            evaluate(dockerfile, &options).ok()
        });
        let mut all: BTreeMap<String, Places> = BTreeMap::new();
        for &at in chain {
            let Some(instruction) = dockerfile.instructions.get(at) else { continue };
            let known = evaluated.as_ref().and_then(|all| all.get(at)?.as_ref());
            let known = known.filter(|known| known.assumed.is_empty());
            let words = known.map_or(&instruction.args, |known| &known.args);
            let mut add = |name: &str, is_arg, value: &str| {
                let value = known.map(|_| value.to_owned());
                all.entry(name.to_owned()).or_default().push((at, is_arg, value));
            };
            match instruction.keyword.as_str() {
                "arg" => words.iter().for_each(|word| {
                    let (name, value) = word.split_once('=').unwrap_or((word, ""));
                    add(name, true, value);
                }),
                "env" => words.chunks_exact(2).for_each(|pair| {
                    if let [name, value] = pair {
                        add(name, false, value);
                    }
                }),
                _ => {}
            }
        }
        Self(all)
    }

    /// What may stand in front of the instruction at `at` as the value of a name; `None` where that is not known. (Triggers of a
    /// base image, and engines by themselves, bring arguments that no ARG here declares.)
    fn values(&self, name: &str, at: usize) -> Option<Vec<&str>> {
        let places = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        let last = |is_arg| {
            let before = places.iter().rev().filter(|place| place.0 < at);
            before.filter(|place| place.1 == is_arg).map(|place| place.2.as_deref()).next()
        };
        // BuildKit writes the ENV's value of that name.
        let mut values = vec![last(true)??];
        if let Some(variable) = last(false) {
            values.push(variable?);
            values.dedup();
        }
        Some(values)
    }

    /// Where the value of a name may end in a text, for the instruction at `at`. One that is not known is taken for one word.
    fn ends(&self, name: &str, text: &str, at: usize) -> Vec<usize> {
        match self.values(name, at) {
            None => fronts::word(text).into_iter().collect(),
            Some(values) => {
                let fits = values.into_iter().filter(|value| text.starts_with(value));
                fits.map(str::len).collect()
            }
        }
    }

    /// What may be the command behind `count` arguments, for the instruction at `at`, and whether there is no other reading.
    pub fn commands<'t>(&self, text: &'t str, count: usize, at: usize) -> (Vec<&'t str>, bool) {
        let readings = fronts::readings(text, count, &|name, text| self.ends(name, text, at));
        let is_known = |(name, _): &(&str, &str)| self.values(name, at).is_some();
        let sure = !readings.is_empty()
            && readings.iter().all(|reading| reading.arguments.iter().all(is_known));
        (readings.into_iter().map(|reading| reading.command).collect(), sure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands<'t>(file: &str, argv: &str, text: &'t str) -> (Vec<&'t str>, bool) {
        let file = Dockerfile::parse(file.as_bytes()).unwrap();
        let argv: Vec<Vec<u8>> = argv.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let chain: Vec<usize> = (0..file.instructions.len()).collect();
        let (count, rest) = fronts::counted(text).unwrap();
        Arguments::new(&file, &argv, &chain).commands(rest, count, chain.len())
    }

    #[test]
    fn values_are_those_of_the_file_and_the_command() {
        let file = "ARG G=g\nFROM scratch\nARG A=\"x y\" B\nARG G\nARG C=$A-1\n";
        for (argv, text, wanted) in [
            ("docker build .", "|1 A=x y make", vec!["make"]),
            ("docker build .", "|4 A=x y B= C=x y-1 G=g make", vec!["make"]),
            ("docker build .", "|1 A=x evil make", vec![]),
            ("docker build .", "|1 B=b make", vec![]),
            ("docker build --build-arg B=b .", "|1 B=b make", vec!["make"]),
            ("docker build --build-arg A=b .", "|1 A=b evil make", vec!["evil make"]),
        ] {
            assert_eq!(
                commands(file, argv, text),
                (wanted.clone(), !wanted.is_empty()),
                "{argv}: {text}"
            );
        }
    }

    #[test]
    fn a_word_that_is_no_text_may_say_anything() {
        let argv = |last: &[u8]| [b"docker".to_vec(), b"build".to_vec(), last.to_vec()];
        assert_eq!(told(&argv(b"--build-arg=A=b")).map(|all| all.len()), Some(1));
        assert_eq!(told(&argv(b"--build-arg=A=\xff")), None);
    }

    #[test]
    fn what_is_not_known_is_one_word() {
        let file = "FROM alpine\nARG A=a\nARG P=$PATH_OF_BASE\nARG TARGETARCH\n";
        for (argv, text, wanted) in [
            ("docker build --build-arg A .", "|1 A=z evil make", "evil make"),
            ("docker buildx bake", "|1 A=z make", "make"),
            ("docker build .", "|1 P=p make", "make"),
            ("docker build .", "|2 A=a TARGETARCH=riscv64 make", "make"),
            ("docker build .", "|1 http_proxy=http://p make", "make"),
            ("docker build .", "|1 OF_TRIGGER=t evil make", "evil make"),
        ] {
            assert_eq!(commands(file, argv, text), (vec![wanted], false), "{argv}: {text}");
        }
    }

    #[test]
    fn an_env_of_the_name_outweighs_it_and_one_of_another_stage_does_not() {
        let file = Dockerfile::parse(b"FROM scratch\nARG A=o\nFROM scratch\nARG A=a\nENV A=\"e f\"\n");
        let file = file.unwrap();
        let argv = [b"docker".to_vec(), b"build".to_vec()];
        let arguments = Arguments::new(&file, &argv, &[3, 4]);
        assert_eq!(arguments.values("A", 5), Some(vec!["a", "e f"]));
        assert_eq!(arguments.values("A", 4), Some(vec!["a"]));
        assert_eq!(arguments.values("A", 3), None);
    }
}
