//! Pick one build out of a log.

fn main() {}
