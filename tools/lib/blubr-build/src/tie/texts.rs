//! Which RUN gives a container's first program its arguments.

use std::collections::{BTreeMap, HashMap};

use blubr_dockerfile::{Dockerfile, default_shell};

use super::table::Fit;
use crate::build::{Engine, StepRun};

/// What an engine makes of each RUN of a Dockerfile: with thousands of steps it is made once, and found by the arguments.
pub(super) struct Texts {
    /// All that are RUNs.
    runs: Vec<usize>,
    /// Arguments of the first program, and of which instruction.
    commands: Vec<(Vec<String>, usize)>,
    by_argv: HashMap<Vec<Vec<u8>>, Vec<usize>>,
    /// By the last argument where the Dockerfile names no shell.
    by_text: HashMap<Vec<u8>, Vec<usize>>,
}

impl Texts {
    pub(super) fn new(dockerfile: &Dockerfile, engine: Engine) -> Self {
        use blubr_dockerfile::Engine as Of;
        let mine = |of: &Of| match engine {
            Engine::Classic => *of == Of::Classic,
            Engine::BuildKit => *of == Of::BuildKit,
            Engine::Buildah => matches!(of, Of::BuildahOci | Of::BuildahDocker),
        };
        let mut texts = Texts {
            runs: Vec::new(),
            commands: Vec::new(),
            by_argv: HashMap::new(),
            by_text: HashMap::new(),
        };
        let default = default_shell();
        let shells = dockerfile.shells();
        for ((at, instruction), shell) in dockerfile.instructions.iter().enumerate().zip(shells) {
            if instruction.keyword != "run" || instruction.stage.is_none() {
                continue;
            }
            texts.runs.push(at);
            for command in instruction.shell_commands(shell.unwrap_or(&default)) {
                if !command.engines.iter().any(mine) {
                    continue;
                }
                let argv: Vec<Vec<u8>> =
                    command.argv.iter().map(|word| word.as_bytes().to_vec()).collect();
                let text = argv.last().filter(|_| !instruction.json_form && shell.is_none());
                if let Some(text) = text {
                    texts.by_text.entry(text.clone()).or_default().push(at);
                }
                texts.by_argv.entry(argv).or_default().push(at);
                texts.commands.push((command.argv, at));
            }
        }
        texts
    }

    /// The RUNs that give this container's first program its arguments.
    pub(super) fn fits(&self, run: &StepRun) -> BTreeMap<usize, Fit> {
        // A container whose program was not seen to start may be any RUN.
        let Some(exec) = &run.first_exec else {
            return self.runs.iter().map(|at| (*at, Fit::Yes)).collect();
        };
        let of_text = exec.argv.last().and_then(|text| self.by_text.get(text)).into_iter().flatten();
        let mut fits: BTreeMap<usize, Fit> = of_text.map(|at| (*at, Fit::OtherShell)).collect();
        if exec.truncated {
            let same = |argv: &[String]| begins_as(&exec.argv, argv);
            fits.extend(
                self.commands.iter().filter(|(argv, _)| same(argv)).map(|(_, at)| (*at, Fit::Yes)),
            );
        } else {
            let same = self.by_argv.get(&exec.argv).into_iter().flatten();
            fits.extend(same.map(|at| (*at, Fit::Yes)));
        }
        fits
    }
}

/// Whether some RUN of the Dockerfile gives this container's first program its arguments.
pub(crate) fn can_give(dockerfile: &Dockerfile, engine: Engine, run: &StepRun) -> bool {
    !Texts::new(dockerfile, engine).fits(run).is_empty()
}

/// Whether arguments that were cut at the recorder's limit begin as these do.
fn begins_as(ran: &[Vec<u8>], made: &[String]) -> bool {
    let Some((last, whole)) = ran.split_last() else { return false };
    whole.len() < made.len()
        && whole.iter().zip(made).all(|(a, b)| a == b.as_bytes())
        && made[whole.len()].as_bytes().starts_with(last)
}
