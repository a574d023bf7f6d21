//! What the command lines of the five tools share.
