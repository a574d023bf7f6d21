//! ONBUILD triggers laid in where they are run: behind the FROM of a stage that begins from an image that has some.

use crate::check::check;
use crate::dialect::Dialect;
use crate::error::ParseError;
use crate::instruction::{Instruction, Origin};
use crate::limits::TRIGGERS_MAX;
use crate::parser::Dockerfile;

/// Cuts a trigger as engines do: by default rules, whatever the file that it comes from chose. `Err` says what is wrong.
pub(crate) fn cut_trigger(text: &str) -> Result<Instruction, String> {
    let file = Dockerfile::read_as(text.as_bytes(), Dialect::BuildKit).map_err(|e| e.what)?;
    let [trigger] = file.instructions.as_slice() else {
        return Err("it holds more than one instruction".to_owned());
    };
    if matches!(trigger.keyword.as_str(), "from" | "maintainer" | "onbuild") {
        return Err(format!("{} can't stand there", trigger.keyword.to_uppercase()));
    }
    check(trigger, false).map_err(|flaw| flaw.what)?;
    Ok(trigger.clone())
}

impl Dockerfile {
    /// The file with what its stages run beyond their own instructions: the ONBUILDs of the stage that they begin from, and
    /// those that `of_image` has for a stage's base image (texts, as in its config). A trigger that no engine takes is left
    /// out; a build that would have run it failed.
    ///
    /// # Errors
    /// When there are more than [`TRIGGERS_MAX`].
    pub fn with_triggers(&self, of_image: &dyn Fn(usize) -> Vec<String>) -> Result<Self, ParseError> {
        let mut laid =
            Self { instructions: Vec::with_capacity(self.instructions.len()), ..self.clone() };
        let mut count = 0;
        let first = self.stages.first().map_or(self.instructions.len(), |s| s.instructions.0);
        laid.instructions.extend(self.instructions.iter().take(first).cloned());
        for (at, base) in self.bases().into_iter().enumerate() {
            let [from, rest @ ..] = self.stage(at) else { continue };
            let begin = laid.instructions.len();
            laid.instructions.push(from.clone());
            let texts: Vec<(String, &Instruction, Origin)> = match base {
                Some(base) => {
                    let onbuilds = self.stage(base).iter().filter(|i| i.keyword == "onbuild");
                    onbuilds.map(|i| (i.onbuild_expression(), i, Origin::Stage)).collect()
                }
                None => of_image(at).into_iter().map(|text| (text, from, Origin::Base)).collect(),
            };
            count += texts.len();
            if count > TRIGGERS_MAX {
                let what = format!("its stages run more than {TRIGGERS_MAX} ONBUILD triggers");
                return Err(ParseError::new(from.lines.0, from.column, what, "run fewer"));
            }
            for (text, place, origin) in texts {
                let Ok(mut trigger) = cut_trigger(&text) else { continue };
                trigger.lines = place.lines;
                trigger.column = place.column;
                trigger.stage = Some(at);
                trigger.origin = origin;
                laid.instructions.push(trigger);
            }
            laid.instructions.extend(rest.iter().cloned());
            if let Some(stage) = laid.stages.get_mut(at) {
                stage.instructions = (begin, laid.instructions.len() - begin);
            }
        }
        Ok(laid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_are_laid_behind_their_from() {
        let text = "# escape=`\nARG A\nFROM one AS b\nONBUILD RUN a \\b\nONBUILD RUN <<E\nx\nE\nONBUILD NOSUCH\nFROM b\nRUN c\nFROM two\nRUN d\n";
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        let of_image = |stage: usize| match stage {
            2 => vec!["COPY . /src".to_owned(), "RUN make".to_owned()],
            _ => Vec::new(),
        };
        let laid = file.with_triggers(&of_image).unwrap();
        let seen: Vec<_> = laid
            .instructions
            .iter()
            .map(|i| (i.keyword.as_str(), i.stage, i.lines.0, i.origin))
            .collect();
        let file_of = |keyword, stage, line| (keyword, stage, line, Origin::File);
        assert_eq!(
            seen,
            [
                file_of("arg", None, 2),
                file_of("from", Some(0), 3),
                file_of("onbuild", Some(0), 4),
                file_of("onbuild", Some(0), 5),
                file_of("onbuild", Some(0), 8),
                file_of("from", Some(1), 9),
                ("run", Some(1), 4, Origin::Stage),
                ("run", Some(1), 5, Origin::Stage),
                file_of("run", Some(1), 10),
                file_of("from", Some(2), 11),
                ("copy", Some(2), 11, Origin::Base),
                ("run", Some(2), 11, Origin::Base),
                file_of("run", Some(2), 12),
            ]
        );
        assert_eq!(laid.stage(1).len(), 4);
        assert_eq!(laid.stages[2].instructions, (9, 4));
        assert_eq!(laid.instructions[6].args, ["a \\b"]);
        assert_eq!(laid.instructions[7].heredocs[0].body, "x\n");
        // Nothing of it: the same file.
        let plain = Dockerfile::parse(b"FROM a\nRUN b\n").unwrap();
        assert_eq!(plain.with_triggers(&|_| Vec::new()), Ok(plain));
    }

    #[test]
    fn too_many_are_refused() {
        let file = format!("FROM a AS b\n{}FROM b\n", "ONBUILD USER a\n".repeat(TRIGGERS_MAX + 1));
        let e = Dockerfile::parse(file.as_bytes()).unwrap().with_triggers(&|_| Vec::new()).unwrap_err();
        assert!(e.what.contains("ONBUILD"));
    }
}
