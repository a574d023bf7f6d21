//! ARG and ENV down a stage: what the variables are worth at each instruction.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::error::ParseError;
use crate::evaluate::EVALUATED_BYTES_MAX;
use crate::expand::expand;
use crate::instruction::Instruction;
use crate::limits::EXPANSION_BYTES_MAX;
use crate::step::{Stepper, error, expansion};
use crate::variables::{Assumed, Variables};

/// The variables at one place of a stage. They are replaced as [`evaluate`](crate::evaluate) does it, for lists of instructions
/// that are no file.
#[derive(Debug, Clone)]
pub struct Scope {
    escape: char,
    /// ARG and ENV: the last of a name counts.
    variables: Variables,
    /// What the image's ENV has.
    image: Variables,
    /// ARGs before the first FROM, which a stage sees once it names them.
    global: Variables,
    /// `--build-arg`, which outweighs a default.
    build_args: BTreeMap<String, String>,
    /// Bytes that replacing gave so far.
    spent: usize,
}

impl Scope {
    /// A scope before the first instruction, with the file's escape character and the `--build-arg`s.
    #[must_use]
    pub fn new(escape: char, build_args: BTreeMap<String, String>) -> Self {
        let none = Variables::default;
        Self { escape, variables: none(), image: none(), global: none(), build_args, spent: 0 }
    }

    /// Begins a stage: its base image's ENV is set, the last stage's variables are forgotten.
    pub fn begin_stage(&mut self, base_env: &[(String, String)]) {
        self.image = Variables::default();
        for (name, value) in base_env {
            self.image.set(name, value.clone(), Assumed::new());
        }
        self.variables = self.image.clone();
    }

    /// The words of an instruction as BuildKit uses them, and the scope moved on behind it. Variables in RUN, CMD,
    /// ENTRYPOINT, SHELL, HEALTHCHECK and ONBUILD are the shell's or a later build's affair: their words stay. All pairs of
    /// an ENV see the values from before it.
    ///
    /// # Errors
    /// What can't be replaced, or is nothing that the instruction takes once it is; and any instruction, once replacing has given
    /// more bytes than a whole file's may.
    pub fn step(&mut self, instruction: &Instruction) -> Result<Vec<String>, ParseError> {
        if self.spent > EVALUATED_BYTES_MAX {
            let what = format!("replacing variables gives more than {EVALUATED_BYTES_MAX} bytes");
            let advice = "let fewer variables hold one another";
            return Err(error(instruction, instruction.keyword_at, what, advice));
        }
        let words = self.replace(instruction);
        // A word that can't be replaced may be found out at its limit.
        let bytes = words.as_ref().map_or(EXPANSION_BYTES_MAX, |all| all.iter().map(String::len).sum());
        self.spent = self.spent.saturating_add(bytes);
        words
    }

    /// Bytes that replacing gave so far.
    #[must_use]
    pub fn spent(&self) -> usize {
        self.spent
    }

    fn replace(&mut self, instruction: &Instruction) -> Result<Vec<String>, ParseError> {
        let stepper = Stepper { escape: self.escape, build_args: &self.build_args };
        let (global, variables) = (&mut self.global, &mut self.variables);
        let evaluated = match instruction.keyword.as_str() {
            "from" => {
                let assumed = RefCell::default();
                let mut args = instruction.args.clone();
                if let Some(base) = args.first_mut() {
                    let replaced = expand(base, self.escape, &|name| global.get(name, &assumed));
                    *base = replaced.map_err(|e| expansion(instruction, instruction.arg_at(0), &e))?;
                }
                return Ok(args);
            }
            "arg" if instruction.stage.is_none() => stepper.arg(instruction, global, None),
            _ => stepper.step(instruction, variables, &mut self.image, global),
        };
        evaluated.map(|evaluated| evaluated.args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dockerfile;

    fn walk(file: &str, build_args: &[(&str, &str)]) -> Vec<String> {
        let file = Dockerfile::parse(file.as_bytes()).unwrap();
        let given = build_args.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let mut scope = Scope::new(file.escape, given);
        let mut seen = Vec::new();
        for i in &file.instructions {
            if i.keyword == "from" {
                scope.begin_stage(&[]);
            }
            seen.push(format!("{} {}", i.keyword, scope.step(i).unwrap().join(" ")));
        }
        seen
    }

    #[test]
    fn replacing_has_an_end() {
        let copy = format!("COPY {} /\n", "$A".repeat(4));
        let lines = EVALUATED_BYTES_MAX / (4 * 60_000) + 2;
        let text = format!("FROM a\nENV A={}\n{}", "x".repeat(60_000), copy.repeat(lines));
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        let mut scope = Scope::new(file.escape, BTreeMap::new());
        let refused = file.instructions.iter().filter(|i| scope.step(i).is_err()).count();
        assert!((1..=2).contains(&refused), "{refused}");
        assert!(scope.spent() < EVALUATED_BYTES_MAX + EXPANSION_BYTES_MAX);
    }

    #[test]
    fn down_a_file() {
        let file = "ARG V=1\nFROM a:$V\nARG V\nARG W=${V}x\nENV P=\"$W y\" Q=$P\nCOPY $Q ${P}/\nRUN $P\nFROM b\nUSER x$V\n";
        let want = [
            "arg V=1",
            "from a:1",
            "arg V=1",
            "arg W=1x",
            "env P 1x y Q ",
            "copy  1x y/",
            "run $P",
            "from b",
            "user x",
        ];
        assert_eq!(walk(file, &[]), want);
        assert_eq!(walk(file, &[("V", "2")])[1], "from a:2");
        assert_eq!(walk("FROM a\nARG X\nUSER $X", &[("X", "me")])[2], "user me");
    }

    #[test]
    fn the_last_of_arg_and_env_counts() {
        assert_eq!(walk("FROM a\nENV X=e\nARG X=a\nUSER $X", &[])[3], "user a");
        assert_eq!(walk("FROM a\nARG X=a\nENV X=e\nUSER $X", &[])[3], "user e");
        assert_eq!(walk("FROM a\nENV X=e\nARG X\nUSER $X", &[("X", "b")])[3], "user b");
    }

    #[test]
    fn words_are_as_the_whole_file_s_evaluation_has_them() {
        let text = "ARG V=1\nFROM a:$V AS b\nARG V\nARG W=${V}x\nENV P=\"$W y\" Q=$P V=2\nARG P\n\
            EXPOSE $V 8$V-90\nCOPY $Q ${P:-none}/ /d$V/\nVOLUME /$V /w$W\nRUN $P\nLABEL a=$W\nSTOPSIGNAL $V\n";
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        let host = crate::Platform::linux_on("x86_64");
        for given in [vec![], vec![("P", "given"), ("V", "3")]] {
            let build_args: BTreeMap<String, String> =
                given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            let options =
                crate::BuildOptions { build_args, target: None, platform: None, host: host.clone() };
            let whole = crate::evaluate(&file, &options).unwrap();
            let keywords = file.instructions.iter().map(|i| i.keyword.as_str());
            let whole = keywords.zip(whole.into_iter().flatten());
            let whole: Vec<String> =
                whole.map(|(keyword, one)| format!("{keyword} {}", one.args.join(" "))).collect();
            assert_eq!(walk(text, &given), whole);
        }
    }
}
