//! The build arguments that a history puts in front of a command: `|2 A=1 B=x y /bin/sh -c ...`, quotes gone.

use std::collections::{BTreeMap, BTreeSet};

use blubr_dockerfile::fronts;

use crate::reverse::lossy;

/// Arguments that every engine takes without an ARG (BuildKit's and Docker's predefined ones).
pub const PREDEFINED: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Names and values.
type Pairs = Vec<(String, String)>;

/// Places where the arguments of a command may end, which are tried.
const ENDS_MAX: usize = 32;

/// What is known of build arguments: grows as the history is walked.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// Those declared so far, with the values that an ARG line gives.
    declared: BTreeMap<String, Option<String>>,
    /// Values from elsewhere: the command of the build, or lines that say where a value ends.
    values: BTreeMap<String, BTreeSet<String>>,
    /// Values with spaces that a line told of.
    told: BTreeSet<(String, String)>,
}

impl Arguments {
    /// Before the first line, with values that the build's command gave.
    pub fn given(given: &[(String, String)]) -> Self {
        let mut arguments = Self::default();
        for (name, value) in given {
            // The last of one name counts.
            arguments.values.insert(name.clone(), BTreeSet::from([value.clone()]));
        }
        arguments
    }

    /// Before the first line, with what the whole walk has told; `None` where that is no more than was known before it.
    pub fn again(self) -> Option<Self> {
        let mut values = self.values;
        let mut more = false;
        for (name, value) in self.told {
            more |= values.entry(name).or_default().insert(value);
        }
        more.then(|| Self { values, ..Self::default() })
    }

    /// An ARG line, with its value where it gives one.
    pub fn declare(&mut self, name: &str, value: Option<&str>) {
        self.declared.insert(name.to_owned(), value.map(str::to_owned));
    }

    /// Whether an ARG line before declared it.
    pub fn is_declared(&self, name: &str) -> bool {
        self.declared.contains_key(name)
    }

    /// The arguments in front of a command, the command behind them, and what is not known of that. `shell`: in force.
    pub fn split<'t>(&mut self, text: &'t str, shell: &[String]) -> (Pairs, &'t str, Vec<String>) {
        let nothing = (Vec::new(), text, Vec::new());
        let Some((count, rest)) = fronts::counted(text) else { return nothing };
        if count == 0 {
            return (Vec::new(), rest, Vec::new());
        }
        if let Some((pairs, command, sure)) = self.before_shell(rest, count, shell) {
            if sure {
                self.told.extend(pairs.iter().filter(|(_, value)| value.contains(' ')).cloned());
            }
            let remark = "where the build arguments' values end".to_owned();
            return (pairs, command, if sure { Vec::new() } else { vec![remark] });
        }
        if let Some((pairs, command)) = self.by_values(rest, count) {
            let remark = "whether the build arguments' values hold spaces";
            return (pairs, command, vec![remark.to_owned()]);
        }
        let remark = "where the build arguments in front of this command end";
        (Vec::new(), text, vec![remark.to_owned()])
    }

    /// Before a shell: the arguments, the command from the shell on, and whether there is no other reading.
    fn before_shell<'t>(
        &self,
        rest: &'t str,
        count: usize,
        shell: &[String],
    ) -> Option<(Pairs, &'t str, bool)> {
        let known = |name: &str| {
            let declared = self.declared.get(name).map(Option::as_deref);
            declared.or_else(|| PREDEFINED.contains(&name).then_some(None))
        };
        for shell in [shell.join(" "), "/bin/sh -c".to_owned()] {
            for (at, _) in rest.match_indices(&format!(" {shell} ")).take(ENDS_MAX) {
                let (Some(args), Some(command)) = (rest.get(..at), rest.get(at + 1..)) else { continue };
                let (pairs, sure) = lossy::pairs(args, known);
                // buildah counts words, not arguments.
                if pairs.len() == count || (!pairs.is_empty() && args.split(' ').count() == count) {
                    let sure = sure || lossy::has_one_reading(args, known, count);
                    return Some((pairs, command, sure));
                }
            }
        }
        None
    }

    /// Before an exec form, or with names that no ARG line declares: the values that are known, else up to the next space.
    fn by_values<'t>(&self, rest: &'t str, count: usize) -> Option<(Pairs, &'t str)> {
        let ends = |name: &str, text: &str| {
            let known = self.value_at(name, text).or_else(|| fronts::word(text));
            known.into_iter().collect()
        };
        let reading = fronts::readings(rest, count, &ends).pop()?;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Some((reading.arguments.into_iter().map(owned).collect(), reading.command))
    }

    /// The length of the one known value of a name that a text begins with; `None` also where several do.
    fn value_at(&self, name: &str, text: &str) -> Option<usize> {
        let fits = |value: &str| text.strip_prefix(value).is_some_and(|behind| behind.starts_with(' '));
        let mut fitting = match self.values.get(name) {
            Some(values) => values.iter().filter(|value| fits(value)).map(String::len).collect(),
            None => self
                .declared
                .get(name)
                .into_iter()
                .flatten()
                .filter(|v| fits(v))
                .map(String::len)
                .collect::<Vec<_>>(),
        };
        fitting.pop().filter(|_| fitting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(arguments: &mut Arguments, text: &str) -> (Vec<String>, String) {
        let (pairs, command, unknown) = arguments.split(text, &["/bin/sh".into(), "-c".into()]);
        assert!(!unknown.is_empty(), "an exec form never says where its values end");
        (pairs.into_iter().map(|(n, v)| format!("{n}|{v}")).collect(), command.to_owned())
    }

    #[test]
    fn an_exec_form_s_values_are_those_of_the_command() {
        let mut known = Arguments::given(&[("A".into(), "x y".into()), ("B".into(), "1".into())]);
        assert_eq!(
            exec(&mut known, "|2 A=x y B=1 /bin/busybox true"),
            (vec!["A|x y".into(), "B|1".into()], "/bin/busybox true".into())
        );
        // Words that were put behind a value are the command's, and no instruction's.
        assert_eq!(exec(&mut known, "|2 A=x y B=1 evil /bin/busybox true").1, "evil /bin/busybox true");
    }

    #[test]
    fn a_line_with_a_shell_tells_of_the_lines_before_it() {
        let mut first = Arguments::default();
        first.declare("A", Some("default"));
        assert_eq!(exec(&mut first, "|1 A=x y /bin/true").1, "y /bin/true");
        let shell = ["/bin/sh".to_owned(), "-c".to_owned()];
        assert_eq!(first.split("|1 A=x y /bin/sh -c true", &shell).2, Vec::<String>::new());
        let mut second = first.again().unwrap();
        second.declare("A", Some("default"));
        assert_eq!(exec(&mut second, "|1 A=x y /bin/true"), (vec!["A|x y".into()], "/bin/true".into()));
        assert!(second.again().is_none());
    }

    #[test]
    fn a_default_with_spaces_and_two_values_that_fit() {
        let mut known = Arguments::default();
        known.declare("A", Some("x y"));
        assert_eq!(exec(&mut known, "|1 A=x y /bin/true").1, "/bin/true");
        known.values.insert("A".into(), BTreeSet::from(["x".into(), "x y".into()]));
        assert_eq!(exec(&mut known, "|1 A=x y /bin/true").1, "y /bin/true");
        assert_eq!(exec(&mut known, "|2 A=x y"), (vec![], "|2 A=x y".into()));
    }
}
