//! The flags as they are meant: all is decided before work starts.

use std::path::{Path, PathBuf};

use blubr_build::is_shared_argument;
use blubr_cli::{Common, Failure};
use blubr_log::Filter;
use clap::Parser as _;

use crate::TOOL;
use crate::cli::{Command, Flags, Format, Selectors, Verify};
use crate::dockerfile::Told;
use crate::select::{self, Chosen, Selector};

/// What to do.
pub(crate) enum Plan {
    Filter(Filtering),
    List(Listing),
    Verify(Verify),
}

/// A log to be filtered.
pub(crate) struct Filtering {
    pub(crate) log: Option<PathBuf>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) format: Format,
    pub(crate) what: What,
    pub(crate) common: Common,
}

/// The selection, and how the header of what it makes spells it.
pub(crate) struct What {
    /// Which build, where one is asked for: a number, or the one that is meant.
    pub(crate) build: Option<Option<u32>>,
    /// The Dockerfile of that build, where it is given.
    pub(crate) dockerfile: Option<Box<Told>>,
    /// Of which line of it the step is, where only one is asked for.
    pub(crate) step: Option<usize>,
    /// The other selectors, which see an event once.
    pub(crate) streaming: Vec<Box<dyn Selector>>,
    pub(crate) args: Vec<String>,
}

/// The builds of a log to be listed.
pub(crate) struct Listing {
    pub(crate) log: Option<PathBuf>,
    pub(crate) common: Common,
}

enum BuildWord {
    Pick(Option<u32>),
    List,
    Log(PathBuf),
}

impl Plan {
    pub(crate) fn new(flags: Flags) -> Result<Self, Failure> {
        let Flags { command, mut selectors, output, format, mut log, common } = flags;
        if let Some(Command::Verify(verify)) = command {
            return Ok(Plan::Verify(verify));
        }
        match selectors.build.as_deref().map(build_word) {
            Some(BuildWord::List) => {
                let others = usize::from(selectors.dockerfile.is_some())
                    + selectors.types.len()
                    + selectors.cgroup.len()
                    + selectors.pid_tree.len();
                if others > 0 || output.is_some() || format != Format::default() {
                    return Err(Failure::new(
                        "--build list goes with no other selector, no --output and no --format",
                    ));
                }
                return Ok(Plan::List(Listing { log, common }));
            }
            Some(BuildWord::Log(word)) => {
                if log.is_some() {
                    let what = format!("--build takes a number or `list`, not `{}`", word.display());
                    return Err(Failure::new(what).advise("see --help"));
                }
                log = Some(word);
                selectors.build = Some(String::new());
            }
            Some(BuildWord::Pick(_)) | None => {}
        }
        if selectors.dockerfile_sha256.is_some() {
            return Err(Failure::new("--dockerfile-sha256 stands in headers only"));
        }
        // A Dockerfile is one build's: the one that is meant.
        if selectors.dockerfile.is_some() {
            selectors.build.get_or_insert_default();
        }
        for pattern in select::unknown_types(&selectors.types)? {
            common.note(
                TOOL,
                format_args!("--type `{pattern}`: no type of event in blubr.log(5) is called so"),
            );
        }
        let told = selectors.dockerfile.as_deref().map(Told::read).transpose()?;
        let what = What::new(&selectors, told)?;
        Ok(Plan::Filter(Filtering { log, output, format, what, common }))
    }
}

fn build_word(word: &str) -> BuildWord {
    match word {
        "" => BuildWord::Pick(None),
        "list" => BuildWord::List,
        word => word.parse().map_or_else(|_| BuildWord::Log(word.into()), |n| BuildWord::Pick(Some(n))),
    }
}

impl What {
    /// Puts the chosen build in front of the other selectors.
    pub(crate) fn choose(&mut self, chosen: Chosen) {
        self.args.extend(chosen.shared.clone());
        self.streaming.insert(0, Box::new(chosen));
    }

    fn new(selectors: &Selectors, dockerfile: Option<Told>) -> Result<Self, Failure> {
        let build = match selectors.build.as_deref().map(build_word) {
            None => None,
            Some(BuildWord::Pick(number)) => Some(number),
            Some(BuildWord::List | BuildWord::Log(_)) => {
                return Err(Failure::new("--build takes a number here"));
            }
        };
        let mut args = Vec::new();
        if let Some(number) = build {
            args.push("--build".to_owned());
            args.extend(number.map(|number| number.to_string()));
        }
        args.extend(dockerfile.iter().flat_map(|told| told.args()));
        args.extend(selectors.step.map(|line| format!("--step={line}")));
        let mut spell = |flag: &str, values: &[String]| {
            for value in values {
                args.push(format!("{flag}={value}"));
            }
        };
        spell("--type", &selectors.types);
        spell("--cgroup", &selectors.cgroup);
        spell("--pid-tree", &selectors.pid_tree);
        if args.is_empty() {
            return Err(
                Failure::new("nothing to select by").advise("--build, --type, --cgroup or --pid-tree")
            );
        }
        let step = selectors.step;
        Ok(What {
            build,
            dockerfile: dockerfile.map(Box::new),
            step,
            streaming: select::all(selectors)?,
            args,
        })
    }

    /// The selection that a header says was made.
    ///
    /// `dockerfile` is where the Dockerfile now is that the filter was given.
    pub(crate) fn recorded(filter: &Filter, dockerfile: Option<&Path>) -> Result<Self, Failure> {
        if filter.tool != TOOL {
            let what = format!("was filtered by `{}`, which this can't replay", filter.tool);
            return Err(Failure::new(what));
        }
        let args = filter.args.iter().map(String::as_str);
        let words = std::iter::once(TOOL).chain(args.filter(|arg| !is_shared_argument(arg)));
        let odd = || Failure::new("its header names a filter that this version doesn't know");
        let flags = Flags::try_parse_from(words).map_err(|_| odd())?;
        if flags.command.is_some()
            || flags.log.is_some()
            || flags.output.is_some()
            || flags.format != Format::default()
        {
            return Err(odd());
        }
        let named =
            (flags.selectors.dockerfile.as_deref(), flags.selectors.dockerfile_sha256.as_deref());
        let told = match named {
            (None, None) => None,
            (Some(path), Some(sha256)) => Some(Told::recorded(path, sha256, dockerfile)?),
            _ => return Err(odd()),
        };
        What::new(&flags.selectors, told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Result<Plan, Failure> {
        Plan::new(Flags::try_parse_from(std::iter::once(&TOOL).chain(words)).unwrap())
    }

    #[test]
    fn what_is_meant() {
        let Ok(Plan::Filter(filter)) = plan(&["--build", "x.ndjson", "--type", "net.*"]) else {
            panic!()
        };
        assert_eq!(filter.log, Some(PathBuf::from("x.ndjson")));
        assert_eq!(filter.what.build, Some(None));
        assert_eq!(filter.what.args, ["--build", "--type=net.*"]);
        assert!(matches!(plan(&["--build", "list", "x"]), Ok(Plan::List(_))));
        assert!(plan(&["--build", "one", "x"]).is_err());
        assert!(plan(&["x"]).is_err());
        assert!(plan(&["--type", "[", "x"]).is_err());
        assert!(plan(&["--pid-tree", "x"]).is_err());
        assert!(plan(&["--build", "list", "--type", "x"]).is_err());
    }

    #[test]
    fn what_the_header_says_is_read_back() {
        let Ok(Plan::Filter(filter)) = plan(&["--build", "3", "--cgroup=-x*", "--pid-tree", "7:9"])
        else {
            panic!()
        };
        let recorded = Filter { tool: TOOL.to_owned(), args: filter.what.args.clone() };
        let again = What::recorded(&recorded, None).unwrap();
        assert_eq!((again.build, again.args), (filter.what.build, filter.what.args));
        assert!(
            What::recorded(&Filter { tool: TOOL.to_owned(), args: vec!["-o".into(), "x".into()] }, None)
                .is_err()
        );
        assert!(What::recorded(&Filter { tool: "sed".to_owned(), args: vec![] }, None).is_err());
    }
}
