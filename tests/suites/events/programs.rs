//! Small programs in fixtures/programs that make calls which no common program makes: compiled, run, and what they said.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use blubr_tests::program::{describe, run};
use blubr_tests::require::made_before;

/// A program, in a folder of its own unless it was made beforehand.
pub struct Program {
    _folder: Option<tempfile::TempDir>,
    pub path: PathBuf,
}

fn source(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/programs").join(name)
}

#[track_caller]
fn must(command: &mut Command) {
    let output = run(command);
    assert!(output.status.success(), "{}", describe(command, &output));
}

/// Compiles `name`.c.
#[track_caller]
pub fn compiled(name: &str) -> Program {
    if let Some(path) = made_before(name) {
        return Program { _folder: None, path };
    }
    let folder = crate::recording::folder();
    let path = folder.path().join(name);
    must(Command::new("cc").arg("-O1").arg("-o").arg(&path).arg(source(&format!("{name}.c"))));
    Program { _folder: Some(folder), path }
}

/// Assembles `name`.s into a 32-bit program.
#[track_caller]
pub fn assembled(name: &str) -> Program {
    if let Some(path) = made_before(name) {
        return Program { _folder: None, path };
    }
    let folder = crate::recording::folder();
    let (path, object) = (folder.path().join(name), folder.path().join("o"));
    must(Command::new("as").arg("--32").arg("-o").arg(&object).arg(source(&format!("{name}.s"))));
    must(Command::new("ld").args(["-m", "elf_i386", "-o"]).arg(&path).arg(&object));
    Program { _folder: Some(folder), path }
}

/// What each call returned, by the program's own word for it, of lines `word result`; of one word all results.
pub fn results(text: &str) -> BTreeMap<&str, Vec<i64>> {
    let mut all: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (word, result) in text.lines().filter_map(|line| line.rsplit_once(' ')) {
        all.entry(word).or_default().extend(result.parse::<i64>().ok());
    }
    all
}
