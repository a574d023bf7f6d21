//! ARG and ENV down a stage: what the variables are worth at each instruction.

use std::collections::BTreeMap;

use crate::expand::{ExpandError, expand};
use crate::instruction::Instruction;

/// The variables at one place of a stage.
#[derive(Debug, Clone)]
pub struct Scope {
    escape: char,
    env: BTreeMap<String, String>,
    args: BTreeMap<String, String>,
    /// ARGs before the first FROM, which a stage sees once it names them.
    global: BTreeMap<String, String>,
    /// `--build-arg`, which outweighs a default.
    build_args: BTreeMap<String, String>,
}

impl Scope {
    /// A scope before the first instruction, with the file's escape character and the `--build-arg`s.
    #[must_use]
    pub fn new(escape: char, build_args: BTreeMap<String, String>) -> Self {
        Self { escape, env: BTreeMap::new(), args: BTreeMap::new(), global: BTreeMap::new(), build_args }
    }

    /// Begins a stage: its base image's ENV is set, the last stage's variables are forgotten.
    pub fn begin_stage(&mut self, base_env: &[(String, String)]) {
        self.args.clear();
        self.env = base_env.iter().cloned().collect();
    }

    /// The value of a variable here: ENV outweighs ARG.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.env.get(name).or_else(|| self.args.get(name)).map(String::as_str)
    }

    /// Replaces variables in a word.
    ///
    /// # Errors
    /// See [`ExpandError`].
    pub fn expand(&self, word: &str) -> Result<String, ExpandError> {
        expand(word, self.escape, &|name| self.get(name).map(str::to_owned))
    }

    /// The words of an instruction as the engines use them, and the scope moved on behind it. Variables in RUN, CMD,
    /// ENTRYPOINT, SHELL, HEALTHCHECK and ONBUILD are the shell's or a later build's affair: their words stay. All pairs of
    /// an ENV see the values from before it.
    ///
    /// # Errors
    /// See [`ExpandError`].
    pub fn step(&mut self, instruction: &Instruction) -> Result<Vec<String>, ExpandError> {
        match instruction.keyword.as_str() {
            "run" | "cmd" | "entrypoint" | "shell" | "healthcheck" | "onbuild" | "maintainer" => {
                Ok(instruction.args.clone())
            }
            "from" => {
                let global = &self.global;
                let first = |w: &String| expand(w, self.escape, &|name| global.get(name).cloned());
                let mut args = instruction.args.clone();
                if let Some(base) = args.first_mut() {
                    *base = first(base)?;
                }
                Ok(args)
            }
            "arg" => self.step_arg(instruction),
            "env" => {
                let words = self.expand_all(&instruction.args)?;
                for pair in words.chunks_exact(2) {
                    if let [name, value] = pair {
                        self.env.insert(name.clone(), value.clone());
                    }
                }
                Ok(words)
            }
            _ => self.expand_all(&instruction.args),
        }
    }

    fn expand_all(&self, words: &[String]) -> Result<Vec<String>, ExpandError> {
        words.iter().map(|w| self.expand(w)).collect()
    }

    fn step_arg(&mut self, instruction: &Instruction) -> Result<Vec<String>, ExpandError> {
        let mut words = Vec::with_capacity(instruction.args.len());
        for word in &instruction.args {
            let (name, default) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), None),
            };
            let global = instruction.stage.is_none();
            let value = match (self.build_args.get(name), default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) if global => {
                    Some(expand(default, self.escape, &|n| self.global.get(n).cloned())?)
                }
                (None, Some(default)) => Some(self.expand(default)?),
                (None, None) => self.global.get(name).filter(|_| !global).cloned(),
            };
            words.push(match &value {
                Some(value) => format!("{name}={value}"),
                None => name.to_owned(),
            });
            if let Some(value) = value {
                let scope = if global { &mut self.global } else { &mut self.args };
                scope.insert(name.to_owned(), value);
            }
        }
        Ok(words)
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
    fn env_outweighs_arg() {
        assert_eq!(walk("FROM a\nENV X=e\nARG X=a\nUSER $X", &[])[3], "user e");
    }
}
