//! What a filter says in its arguments of steps that the builds it left out shared.

use std::collections::HashSet;

use blubr_log::Header;

use crate::finder::TRACES_MAX;

/// With what a filter says in its header's arguments that steps are shared.
const SHARED: &str = "--shared=";

/// What filters have put down of steps that the builds which they left out shared (see [`shared_argument`]).
pub(crate) fn shared_before(header: &Header) -> HashSet<u64> {
    let args = header.filters.iter().flat_map(|filter| &filter.args);
    let lists = args.filter_map(|arg| arg.strip_prefix(SHARED));
    lists.flat_map(|list| list.split(',').filter_map(|seq| seq.parse().ok())).take(TRACES_MAX).collect()
}

/// What a filter that passes on one build alone must put down in its arguments: without the other builds nothing
/// would tell any more that they shared steps with it. `None` where no step is shared.
pub fn shared_argument(build: &crate::Build) -> Option<String> {
    let seqs: Vec<String> =
        build.runs.iter().filter(|run| run.shared).map(|run| run.first_seq.to_string()).collect();
    (!seqs.is_empty()).then(|| format!("{SHARED}{}", seqs.join(",")))
}

/// Whether an argument of a filter is one of [`shared_argument`], not of the command line.
pub fn is_shared_argument(argument: &str) -> bool {
    argument.starts_with(SHARED)
}
