//! What a Dockerfile may ask of us at most: each limit with its unit and where it comes from.

/// Bytes of a whole Dockerfile. BuildKit refuses to load more (`dockerui`, its `ReadFile` limit is of this order); real
/// files are a thousand times smaller.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of one line without its newline: Go's `bufio.MaxScanTokenSize - 1`, beyond which every engine refuses the file.
pub const LINE_BYTES_MAX: usize = 64 * 1024 - 1;

/// Instructions of one file, so that a file of one-letter lines stays small in memory.
pub const INSTRUCTIONS_MAX: usize = 50_000;

/// Heredocs that one instruction may open: more than the longest line of a file can name without continuations.
pub const HEREDOCS_MAX: usize = 100_000;

/// ONBUILD triggers that all stages of a file may run together.
pub const TRIGGERS_MAX: usize = 10_000;

/// How deep `${a:-${b:-...}}` may be nested, so that a thread's stack of 2 MiB is enough without optimisation.
pub const EXPANSION_DEPTH_MAX: usize = 256;

/// Elements of a pattern (`${a##*/}`) times characters of the value that it is held against.
pub const PATTERN_STEPS_MAX: usize = 1 << 25;

/// Bytes that replacing variables in one word may give. A chain of ENV lines, each using the one before twice, doubles at
/// every line.
pub const EXPANSION_BYTES_MAX: usize = 1024 * 1024;
