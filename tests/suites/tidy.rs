//! House rules that a machine can check: arrows, first lines, names, licences, no forgotten test, no leaked path.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use blubr_tests::program::{stdout_of, text_of};

/// What each crate may need of ours: ARCHITECTURE.md draws the same arrows.
const ARROWS: &[(&str, &[&str])] = &[
    ("blubr-record", &["blubr-probes", "blubr-log", "blubr-cli"]),
    ("blubr-filter", &["blubr-build", "blubr-log", "blubr-cli"]),
    ("blubr-attest", &LIBRARIES),
    ("blubr-diff", &LIBRARIES),
    ("blubr-attach", &["blubr-oci", "blubr-attestation", "blubr-envelope", "blubr-log", "blubr-cli"]),
    ("blubr-build", &["blubr-log", "blubr-dockerfile"]),
    ("blubr-oci", &["blubr-image"]),
    ("blubr-log", &[]),
    ("blubr-dockerfile", &[]),
    ("blubr-image", &[]),
    ("blubr-attestation", &[]),
    ("blubr-envelope", &[]),
    ("blubr-cli", &[]),
    ("blubr-probes", &[]),
    ("blubr-tests", &["blubr-log"]),
];

const LIBRARIES: [&str; 8] = [
    "blubr-log",
    "blubr-build",
    "blubr-dockerfile",
    "blubr-image",
    "blubr-oci",
    "blubr-attestation",
    "blubr-envelope",
    "blubr-cli",
];

/// Names that say nothing of what is inside.
const BANNED_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "manager"];

/// The five tools.
const TOOLS: [&str; 5] = ["blubr-record", "blubr-filter", "blubr-attest", "blubr-diff", "blubr-attach"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file that git knows or would add, relative to the root.
fn files() -> Vec<String> {
    let list = text_of(Command::new("git").current_dir(root()).args([
        "ls-files",
        "-co",
        "--exclude-standard",
        "--deduplicate",
    ]));
    list.lines().filter(|file| root().join(file).is_file()).map(str::to_owned).collect()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn rust_files() -> Vec<String> {
    files().into_iter().filter(|file| file.ends_with(".rs")).collect()
}

/// What cargo itself says of each package here: name, licence, dependencies of ours.
fn packages() -> BTreeMap<String, serde_json::Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_slice(&stdout_of(&mut cargo)).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone();
    packages.into_iter().map(|package| (package["name"].as_str().unwrap().to_owned(), package)).collect()
}

#[test]
fn arrows_between_crates_are_those_of_the_architecture() {
    let packages = packages();
    let known: BTreeSet<_> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        packages.keys().cloned().collect::<BTreeSet<_>>(),
        known,
        "a crate without a row in ARROWS"
    );
    for (name, allowed) in ARROWS {
        for dependency in packages[*name]["dependencies"].as_array().unwrap() {
            let to = dependency["name"].as_str().unwrap();
            let test_only = dependency["kind"] == "dev";
            let new_arrow = to.starts_with("blubr-") && !test_only && !allowed.contains(&to);
            assert!(!new_arrow, "{name} -> {to}: not an arrow of ARCHITECTURE.md");
            assert!(!TOOLS.contains(&to), "{name} -> {to}: no crate needs a tool");
        }
    }
}

#[test]
fn each_arrow_stands_in_the_architecture() {
    let text = read("ARCHITECTURE.md");
    for (name, _) in ARROWS {
        assert!(text.contains(&format!("`{name}`")), "ARCHITECTURE.md does not name {name}");
    }
}

#[test]
fn licences_are_the_workspace_s_but_for_the_probes() {
    for (name, package) in packages() {
        let expected = if name == "blubr-probes" { "MIT OR GPL-2.0-only" } else { "Apache-2.0" };
        assert_eq!(package["license"], expected, "{name}");
    }
    for file in files().iter().filter(|file| file.starts_with("probes/")) {
        if file.ends_with(".c") || file.ends_with(".h") {
            let licence =
                read(file).lines().take(2).any(|line| line.contains("SPDX-License-Identifier:"));
            assert!(licence, "{file}: no SPDX-License-Identifier in its first two lines");
        }
    }
}

#[test]
fn each_rust_file_says_first_what_it_is_for() {
    for file in rust_files() {
        let text = read(&file);
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//! ") && first.len() > 8, "{file}: its first line is {first:?}");
    }
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    for file in files() {
        for part in Path::new(&file).components() {
            let name = part.as_os_str().to_string_lossy();
            let stem = name.split('.').next().unwrap();
            // blubr-cli's Common holds the flags that every tool has.
            let is_known = file == "tools/lib/blubr-cli/src/common.rs";
            assert!(is_known || !BANNED_NAMES.contains(&stem), "{file}: {stem}: name what is inside");
        }
    }
}

#[test]
fn no_test_file_is_forgotten() {
    let manifest = read("tests/Cargo.toml");
    for file in files() {
        let Some(suite) = file.strip_prefix("tests/suites/") else { continue };
        if !suite.ends_with(".rs") {
            continue;
        }
        let registered = manifest.contains(&format!("path = \"suites/{suite}\""));
        let module = Path::new(suite).file_stem().unwrap().to_string_lossy().into_owned();
        let folder = Path::new(suite).parent().filter(|folder| folder.components().count() > 0);
        let declared = folder.is_some_and(|folder| {
            let parents = [folder.join("main.rs"), folder.join("mod.rs"), folder.with_extension("rs")];
            parents.iter().any(|parent| {
                let text = std::fs::read_to_string(root().join("tests/suites").join(parent));
                text.is_ok_and(|text| text.lines().any(|line| line.trim() == format!("mod {module};")))
            })
        });
        assert!(
            registered || declared,
            "{file}: neither a [[test]] of tests/Cargo.toml nor a module of one"
        );
    }
}

#[test]
fn no_test_is_switched_off() {
    for file in rust_files() {
        let text = read(&file);
        assert!(!text.contains(concat!("#[", "ignore")), "{file}: an ignored test");
        assert!(!text.contains(concat!("#[", "allow(")), "{file}: use #[expect(lint, reason = ...)]");
    }
}

#[test]
fn nothing_names_the_machine_that_it_was_written_on() {
    let home = std::env::var("HOME").unwrap_or_default();
    let here = root().display().to_string();
    for file in files() {
        let Ok(bytes) = std::fs::read(root().join(&file)) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        for path in [here.as_str(), home.as_str()] {
            let leaks = path.len() > "/root".len() && text.contains(path);
            assert!(!leaks, "{file}: names {path}");
        }
    }
}

#[test]
fn each_tool_has_its_rooms() {
    for tool in TOOLS {
        for room in ["main.rs", "lib.rs", "cli.rs", "plan.rs"] {
            let file = format!("tools/{tool}/src/{room}");
            assert!(root().join(&file).is_file(), "{file} is missing");
        }
        let code = read(&format!("tools/{tool}/src/main.rs"));
        assert!(
            code.lines().count() <= 20,
            "tools/{tool}/src/main.rs: a tool is its library; main only calls it"
        );
    }
}

#[test]
fn unsafe_code_is_where_it_may_be() {
    for file in rust_files() {
        let has = read(&file).lines().any(|line| {
            let code = line.split("//").next().unwrap();
            ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| code.contains(word))
        });
        let allowed = file.starts_with("tools/blubr-record/") || file == "tests/suites/tidy.rs";
        assert!(!has || allowed, "{file}: unsafe code");
    }
}

#[test]
fn each_tool_and_format_has_a_page() {
    for page in TOOLS
        .map(|tool| format!("{tool}.1"))
        .iter()
        .map(String::as_str)
        .chain(["blubr.log.5", "blubr.attestation.5"])
    {
        let source = format!("man/{page}.in");
        assert!(root().join(&source).is_file(), "{source} is missing");
        let text = read(&source);
        if page.ends_with(".1") {
            assert!(
                text.contains("\n@OPTIONS@\n"),
                "{source}: its options are not taken from the flags"
            );
            for section in ["NAME", "DESCRIPTION", "EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
                let has = text
                    .lines()
                    .any(|line| line.trim_start_matches(".SH ").trim_matches('"') == section);
                assert!(has, "{source}: no section {section}");
            }
        }
    }
}

#[test]
fn each_event_has_its_row_in_the_manual() {
    let generator = blubr_tests::bins::path("blubr-log-events");
    let table = text_of(&mut Command::new(generator));
    for event in blubr_log::Body::TYPES {
        assert!(
            table.lines().any(|line| line == format!(".SS {}", event.name)),
            "{}: no row",
            event.name
        );
        assert!(!event.doc.trim().is_empty(), "{}: says nothing", event.name);
        for key in event.keys {
            assert!(!key.doc.trim().is_empty(), "{}: {} says nothing", event.name, key.name);
        }
    }
    assert!(read("man/blubr.log.5.in").lines().any(|line| line == "@EVENTS@"));
}

/// The keys that a file of blubr-attestation gives its structs: each field's name, or what it is renamed to.
fn keys(file: &str) -> BTreeSet<String> {
    let (mut keys, mut renamed) = (BTreeSet::new(), None);
    let text = read(file);
    for line in text.lines() {
        let between = |from: &str, to: &str| Some(line.split_once(from)?.1.split_once(to)?.0.to_owned());
        renamed = between("rename = \"", "\"").or(renamed);
        if let Some(field) = line.strip_prefix("    pub ").and_then(|rest| rest.split_once(": ")) {
            keys.insert(renamed.take().unwrap_or_else(|| field.0.to_owned()));
        } else if line == "}" {
            renamed = None;
        }
    }
    keys
}

#[test]
fn each_key_of_the_attestation_stands_in_the_manual() {
    let page = read("man/blubr.attestation.5.in");
    let words: BTreeSet<&str> =
        page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').collect();
    for file in ["build", "trace"].map(|name| format!("tools/lib/blubr-attestation/src/{name}.rs")) {
        let keys = keys(&file);
        assert!(keys.len() > 30, "{file}: {keys:?}");
        for key in keys {
            assert!(words.contains(key.as_str()), "blubr.attestation(5) does not name {key} ({file})");
        }
    }
}

#[test]
fn each_library_says_what_it_must_never_know() {
    for library in LIBRARIES {
        let file = format!("tools/lib/{library}/README.md");
        assert!(root().join(&file).is_file(), "{file} is missing");
        let text = read(&file);
        assert!(text.contains("never") || text.contains("Never"), "{file}: what must it never know?");
    }
}
