//! Pick one build out of a log.
