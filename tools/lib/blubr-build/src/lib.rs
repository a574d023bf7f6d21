//! Whose event is this: the builds in a log, their containers and steps.
