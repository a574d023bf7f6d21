//! The corpus of builds: what lies in `fixtures/builds/`, made ready to be built, and what must be found of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::program::stdout_of;
use crate::require::debian_base;
use crate::web::Web;
use crate::workload::{Context, fixture};

/// The name that Dockerfiles of the corpus use for a base made by their `base.Dockerfile`.
pub const BASE: &str = "blubr-base";

/// One build of the corpus.
#[derive(Debug)]
pub struct Case {
    /// Its folder's name.
    pub name: String,
    expect: Value,
}

impl Case {
    /// Reads a fixture.
    ///
    /// # Panics
    /// When there is none of that name, or its `expect.json` is no JSON object.
    #[must_use]
    pub fn read(name: &str) -> Self {
        let file = fixture(name).join("expect.json");
        let text = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let expect: Value =
            serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(expect.is_object(), "{}: not an object", file.display());
        Self { name: name.to_owned(), expect }
    }

    /// All builds of the corpus, by name: each fixture that says which markers it leaves.
    ///
    /// # Panics
    /// When the fixtures cannot be read.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let folder = fixture("");
        let entries = std::fs::read_dir(folder).expect("the fixtures are there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("the fixtures can be read").file_name())
            .filter_map(|name| name.into_string().ok())
            .filter(|name| fixture(name).join("expect.json").is_file())
            .collect();
        names.sort();
        names.iter().map(|name| Self::read(name)).filter(|case| case.has("markers")).collect()
    }

    /// Whether `expect.json` has the key.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.expect.get(key).is_some_and(|value| *value != Value::Bool(false))
    }

    /// A list of numbers.
    #[must_use]
    pub fn numbers(&self, key: &str) -> Vec<u64> {
        self.list(key).iter().filter_map(Value::as_u64).collect()
    }

    /// A list of words.
    #[must_use]
    pub fn words(&self, key: &str) -> Vec<String> {
        self.list(key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// A list of whatever it is.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<Value> {
        self.expect.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// First and last line of steps, by the first.
    #[must_use]
    pub fn lines(&self) -> BTreeMap<u64, Vec<u64>> {
        let object = self.expect.get("lines").and_then(Value::as_object);
        let pair = |(first, lines): (&String, &Value)| {
            let lines = lines.as_array()?.iter().filter_map(Value::as_u64).collect();
            Some((first.parse().ok()?, lines))
        };
        object.into_iter().flatten().filter_map(pair).collect()
    }

    /// Its context, ready to be built: programs compiled, `context.sh` run.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn context(&self) -> Context {
        let context = Context::of_fixture(&self.name);
        let folder = context.path();
        let entries = std::fs::read_dir(folder).expect("the context can be read");
        let files: Vec<PathBuf> =
            entries.map(|entry| entry.expect("the context can be read").path()).collect();
        for source in files.iter().filter(|file| file.extension().is_some_and(|ext| ext == "c")) {
            let program = source.with_extension("");
            drop(stdout_of(Command::new("cc").args(["-static", "-O1", "-o"]).arg(&program).arg(source)));
            std::fs::remove_file(source).expect("the context is ours");
        }
        let script = folder.join("context.sh");
        if script.is_file() {
            drop(stdout_of(Command::new("sh").arg("context.sh").current_dir(folder)));
            std::fs::remove_file(script).expect("the context is ours");
        }
        if folder.join("base.Dockerfile").is_file() {
            std::fs::remove_file(folder.join("base.Dockerfile")).expect("the context is ours");
        }
        context
    }

    /// The context of its base, where it has one of its own.
    ///
    /// # Panics
    /// When a Debian that it needs cannot be put there.
    #[must_use]
    pub fn base(&self) -> Option<Context> {
        let text = std::fs::read_to_string(fixture(&self.name).join("base.Dockerfile")).ok()?;
        let context = Context::of_dockerfile(&text);
        if self.words("needs").iter().any(|need| need == "debian") {
            let tar = debian_base().expect("make test-all has made it");
            std::fs::copy(tar, context.file("debian.tar")).expect("the context is writable");
        }
        Some(context)
    }

    /// The build's own options. `folder` is for what they name; `host` is the address under which its steps reach the
    /// host's loopback.
    ///
    /// # Panics
    /// When a secret cannot be written.
    #[must_use]
    pub fn options(&self, folder: &Path, host: &str) -> Vec<String> {
        let mut options = self.words("args");
        if self.has("feed") {
            options.extend(["--build-arg".to_owned(), format!("FEED={}", Web::shared().url_at(host))]);
        }
        if let Some(id) = self.expect.get("secret").and_then(Value::as_str) {
            let file = folder.join("secret");
            std::fs::write(&file, "hush\n").expect("the folder is writable");
            options.extend(["--secret".to_owned(), format!("id={id},src={}", file.display())]);
        }
        options
    }
}
