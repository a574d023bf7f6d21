//! Records a build of the corpus, has it filtered and attested, and judges what the attestation says: by the fixture's
//! expectations, and by the log's own control groups, which no tool of ours has made.

mod made;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bins;
use crate::builders::{Named, Ready, Way};
use crate::corpus::{BASE, Case};
use crate::lossy;
use crate::program::{describe, run, stdout_of};
use crate::record::record;
use crate::workload::Context;

/// Of a thousand events of containers, so many must be tied to their step.
const TIED_PER_THOUSAND_MIN: u64 = 999;

/// One build that was recorded and attested.
#[derive(Debug)]
pub struct Attested {
    /// The context that it was built from.
    pub context: Context,
    /// The recording, of the whole host.
    pub log: PathBuf,
    /// The statement.
    pub statement: PathBuf,
    /// The image's name with its engine.
    pub tag: String,
    /// What blubr-diff finds between statement and image.
    pub differs: Option<String>,
    /// What would be said falsely had events been lost.
    pub overstated: Vec<String>,
}

/// Builds a case and takes it through the tools; what it makes lies in `folder`.
///
/// # Panics
/// When something fails that must not.
#[must_use]
pub fn attest(case: &Case, ready: &Ready, folder: &Path) -> Attested {
    if let Some(base) = case.base() {
        ready.hand_over(base.path());
        drop(stdout_of(&mut ready.build_base(base.path(), BASE)));
    }
    let context = case.context();
    let tag = format!("blubr-corpus-{}", case.name);
    let options = case.options(folder, ready.host_address());
    [context.path(), folder].iter().for_each(|folder| ready.hand_over(folder));
    let before = case.words("before");
    if !before.is_empty() {
        drop(stdout_of(&mut ready.build(context.path(), &tag, &before, true)));
    }
    let log = folder.join("build.ndjson");
    drop(record(&log, &ready.build(context.path(), &tag, &options, !before.is_empty())));
    let (filtered, statement) = (folder.join("filtered.ndjson"), folder.join("statement.json"));
    filter(&log, &filtered);
    let image = ready.image(&tag, folder);
    state(&filtered, &context.file("Dockerfile"), &image, &statement);
    let differs = differs(&statement, &image);
    let overstated = overstated(&log, &context.file("Dockerfile"), &image, &tag);
    Attested { context, log, statement, tag, differs, overstated }
}

/// Has a log's build filtered into a file.
///
/// # Panics
/// When that fails.
pub fn filter(log: &Path, out: &Path) {
    drop(stdout_of(bins::command("blubr-filter").arg("--build").arg("-o").arg(out).arg(log)));
}

/// Has a filtered log attested into a file.
///
/// # Panics
/// When that fails.
pub fn state(filtered: &Path, dockerfile: &Path, image: &Named, out: &Path) {
    let mut attest = attesting(filtered, dockerfile, image, out);
    let output = run(&mut attest);
    assert!(output.status.success(), "{}", describe(&attest, &output));
}

fn attesting(log: &Path, dockerfile: &Path, image: &Named, out: &Path) -> Command {
    let mut attest = bins::command("blubr-attest");
    attest.arg("--dockerfile").arg(dockerfile);
    attest.args(["--image", &image.reference, "-o"]).arg(out).arg(log);
    if let Some(host) = &image.host {
        attest.env("DOCKER_HOST", host);
    }
    attest
}

/// What the statement of a recording says that lacks some of its events (`name` decides which) and the one of the whole does not.
///
/// # Panics
/// When blubr-attest does something else than to attest the recording, or to say why not.
#[must_use]
pub fn overstated(log: &Path, dockerfile: &Path, image: &Named, name: &str) -> Vec<String> {
    let folder =
        tempfile::Builder::new().prefix("blubr-lossy.").tempdir_in("/var/tmp").expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let (whole, thin, lossy) = (file("whole.json"), file("thin.ndjson"), file("lossy.json"));
    let mut attest = attesting(log, dockerfile, image, &whole);
    if !run(&mut attest).status.success() || lossy::is_flawed(&lossy::statement(&whole)) {
        return Vec::new();
    }
    let text = std::fs::read_to_string(log).expect("the log is UTF-8");
    std::fs::write(&thin, lossy::thinned(&text, name)).expect("the folder is writable");
    let mut attest = attesting(&thin, dockerfile, image, &lossy);
    let output = run(&mut attest);
    match output.status.code() {
        Some(0) => {
            let found = lossy::overstated(&lossy::statement(&whole), &lossy::statement(&lossy));
            found.into_iter().map(|what| format!("where events were lost: {what}")).collect()
        }
        // What is left may hold no build, and what is open be more than a statement takes.
        Some(1) => Vec::new(),
        Some(2) if String::from_utf8_lossy(&output.stderr).contains("--detail-to") => Vec::new(),
        _ => panic!("{}", describe(&attest, &output)),
    }
}

/// What blubr-diff finds between a statement and the image that it speaks of: nothing, for an honest build.
#[must_use]
pub fn differs(statement: &Path, image: &Named) -> Option<String> {
    let mut diff = bins::command("blubr-diff");
    diff.args(["--image", &image.reference]).arg(statement);
    if let Some(host) = &image.host {
        diff.env("DOCKER_HOST", host);
    }
    let output = run(&mut diff);
    (!output.status.success()).then(|| describe(&diff, &output))
}

/// The `blubr_build` of a statement.
fn says(statement: &Path) -> Value {
    let text = std::fs::read(statement).expect("the statement was written");
    let mut statement: Value = serde_json::from_slice(&text).expect("the statement is JSON");
    statement["predicate"]["blubr_build"].take()
}

/// What came of one build.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Events of its containers, by their control groups where they have some.
    pub events: u64,
    /// Of those, tied to one step.
    pub tied: u64,
    /// Of those, tied to one of several.
    pub candidates: u64,
    /// Of those, tied to none.
    pub unattributed: u64,
    /// Ties to a step that it cannot be.
    pub wrong: u64,
    /// Entries and writes that nothing explains; -1 where it was not checked.
    pub unexplained: i64,
    /// What else is not as it must be, in words.
    pub faults: Vec<String>,
    /// Events were lost, so that nothing is said.
    pub lossy: bool,
}

impl Row {
    /// Whether all is as it must be.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.lossy && self.wrong == 0 && self.unexplained == 0 && self.faults.is_empty()
    }

    /// The row as a line of the report, cut by tabs.
    #[must_use]
    pub fn line(&self, way: Way, case: &str) -> String {
        let verdict = if self.holds() { "ok" } else { "NO" };
        let numbers = [self.events, self.tied, self.candidates, self.unattributed, self.wrong]
            .map(|n| n.to_string());
        let unexplained =
            if self.unexplained < 0 { "unchecked".to_owned() } else { self.unexplained.to_string() };
        format!("{}\t{case}\t{}\t{unexplained}\t{verdict}", way.name(), numbers.join("\t"))
    }
}

/// Judges an attested build; `cgroup_parent` is what its steps' control groups lie in.
///
/// # Panics
/// When the log or the statement cannot be read.
#[must_use]
pub fn judge(case: &Case, way: Way, cgroup_parent: Option<&str>, log: &Path, statement: &Path) -> Row {
    let says = says(statement);
    let mut judge = Judge { case, way, says: &says, row: Row::default() };
    judge.row.lossy = says["completeness"]["recording"] != "complete";
    let groups = cgroup_parent.map(|parent| Groups::read(log, parent));
    judge.numbers(groups.as_ref());
    judge.statuses();
    judge.markers();
    judge.files();
    if way.is_buildah() && !way.has_layers() {
        let faults = made::faults(case, judge.steps());
        judge.row.wrong += u64::try_from(faults.len()).expect("a small number");
        judge.row.faults.extend(faults);
    }
    judge.network();
    if let Some(groups) = &groups {
        judge.groups(groups);
    }
    judge.row
}

/// The control groups of steps in a log.
struct Groups {
    /// Those in which a runtime has entered the step's tree; the program that it then runs is the step's first.
    entered: BTreeSet<u64>,
    /// Events of each from its first program on.
    events: BTreeMap<u64, u64>,
    /// The group of each event that is an exec.
    of_exec: BTreeMap<u64, u64>,
}

impl Groups {
    fn read(log: &Path, parent: &str) -> Self {
        let mut groups =
            Self { entered: BTreeSet::new(), events: BTreeMap::new(), of_exec: BTreeMap::new() };
        // buildah gives the steps the very group that is named, anew for each.
        let names = [format!("\"cgroup\":\"{parent}/"), format!("\"cgroup\":\"{parent}\"")];
        let file = std::fs::File::open(log).expect("the log was written");
        for line in BufReader::new(file).split(b'\n') {
            let line = line.expect("the log can be read");
            let text = String::from_utf8_lossy(&line);
            if !names.iter().any(|name| text.contains(name)) {
                continue;
            }
            let event: Value = serde_json::from_str(&text).expect("a line is JSON");
            let (Some(group), Some(seq)) = (event["cgroup_id"].as_u64(), event["seq"].as_u64()) else {
                continue;
            };
            let done = event["ret"].as_i64().unwrap_or(0) >= 0;
            if event["type"] == "mount.pivot_root" && done {
                groups.entered.insert(group);
            }
            if event["type"] == "process.exec" && done && groups.entered.contains(&group) {
                groups.of_exec.insert(seq, group);
                groups.events.entry(group).or_default();
            }
            if let Some(count) = groups.events.get_mut(&group) {
                *count += 1;
            }
        }
        groups
    }
}

/// Whether this engine leaves a changed file out of the step's layer, as it takes it for unchanged.
fn is_lost(way: Way, file: &Value) -> bool {
    way.compares() && way.has_layers() && file["lost"] == true
}

struct Judge<'a> {
    case: &'a Case,
    way: Way,
    says: &'a Value,
    row: Row,
}

impl<'a> Judge<'a> {
    fn fault(&mut self, what: String) {
        self.row.faults.push(what);
    }

    fn steps(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.says["steps"].as_array().into_iter().flatten()
    }

    fn numbers(&mut self, groups: Option<&Groups>) {
        let events = |one: &Value| one["counts"]["events"].as_u64().unwrap_or(0);
        self.row.tied = self.steps().map(events).sum();
        self.row.candidates = self.says["candidates"].as_array().into_iter().flatten().map(events).sum();
        self.row.unattributed = events(&self.says["unattributed"]);
        let said = self.row.tied + self.row.candidates + self.row.unattributed;
        self.row.events = groups.map_or(said, |groups| groups.events.values().sum());
        let unexplained = self.says["unexplained"].as_array().map(|list| self.beyond_losses(list));
        self.row.unexplained =
            unexplained.as_ref().map_or(-1, |list| i64::try_from(list.len()).expect("a small number"));
        if let Some(list) = unexplained.filter(|list| !list.is_empty()) {
            let some: Vec<String> = list.iter().take(8).map(|one| one.to_string()).collect();
            self.fault(format!("unexplained: {}", some.join(" ")));
        }
        if said != self.row.events {
            let all = self.row.events;
            self.fault(format!("{said} events of containers are said to be, and {all} are"));
        }
        // What the fixture knows to be one of two steps need not be tied to one.
        let known = if self.case.has("either") { self.row.candidates } else { 0 };
        if (self.row.tied + known) * 1000 < self.row.events * TIED_PER_THOUSAND_MIN {
            self.fault(format!("only {} of {} events are tied", self.row.tied, self.row.events));
        }
    }

    /// What is unexplained without what this engine is known to leave out of the image: that must be among it.
    fn beyond_losses(&mut self, list: &'a [Value]) -> Vec<&'a Value> {
        let files = self.case.list("files");
        let lost: Vec<&Value> = files.iter().filter(|file| is_lost(self.way, file)).collect();
        let is_of = |one: &Value, file: &Value| {
            one["what"] == "write-not-in-image"
                && one["path"] == file["path"]
                && line_of_id(&one["step"]) == file["line"].as_u64()
        };
        for file in &lost {
            if !list.iter().any(|one| is_of(one, file)) {
                self.fault(format!("nothing is said of {file}, which the image does not have"));
            }
        }
        let undone = self.case.list("undone");
        let undone: Vec<&Value> = undone.iter().filter(|_| self.way.forgets_removals()).collect();
        let is_undone = |one: &Value, path: &Value| {
            let parts = path.as_str().and_then(|path| path.split_once('*'));
            one["what"] == "write-not-in-image"
                && one["path"]
                    .as_str()
                    .zip(parts)
                    .is_some_and(|(path, (begin, end))| path.starts_with(begin) && path.ends_with(end))
        };
        for path in &undone {
            if !list.iter().any(|one| is_undone(one, path)) {
                self.fault(format!("nothing is said of {path}, whose removal the image does not have"));
            }
        }
        let known = |one: &Value| {
            lost.iter().any(|file| is_of(one, file)) || undone.iter().any(|path| is_undone(one, path))
        };
        list.iter().filter(|one| !known(one)).collect()
    }

    fn statuses(&mut self) {
        let (cached, unneeded) = (self.case.numbers("cached"), self.case.numbers("unneeded"));
        let either: BTreeSet<u64> = self.case.list("either").iter().flat_map(numbers_of).collect();
        let lines = self.case.lines();
        for step in self.steps() {
            let line = line_of(step);
            let status = step["status"].as_str().unwrap_or_default().to_owned();
            let wanted: &[&str] = if unneeded.contains(&line) {
                // The classic builder builds what nobody needs.
                &["not-observed", "observed"]
            } else if either.contains(&line) {
                &["observed", "candidates"]
            } else if cached.contains(&line) && self.way.has_layers() {
                // buildah copies before it looks into its cache.
                let copies = self.way.is_buildah() && step["instruction"] != "RUN";
                if copies { &["cached", "daemon"] } else { &["cached"] }
            } else if step["instruction"] == "RUN" {
                &["observed"]
            } else if self.way.has_layers() {
                &["daemon", "cached"]
            } else {
                // Copies that follow upon each other into one tree are not told apart.
                &["daemon", "cached", "candidates"]
            };
            if !wanted.contains(&status.as_str()) {
                self.fault(format!("line {line}: {status}, not {}", wanted.join(" or ")));
            }
            if let Some(lines) = lines.get(&line)
                && numbers_of(&step["lines"]) != *lines
            {
                self.fault(format!("line {line}: {}, not {lines:?}", step["lines"]));
            }
        }
        for marker in self.case.numbers("markers") {
            if !self.steps().any(|step| line_of(step) == marker) {
                self.fault(format!("no step at line {marker}"));
            }
        }
    }

    /// A file `mN` is made by the step at line N and by no other; where steps are not told apart, by one of several with it.
    fn markers(&mut self) {
        let copies = self.case.numbers("copies");
        let mut found = BTreeSet::new();
        for step in self.steps().filter(|step| !copies.contains(&line_of(step))) {
            let line = line_of(step);
            for (path, marker) in made(step) {
                found.insert(marker);
                if marker != line {
                    self.row.wrong += 1;
                    self.fault(format!("{path} is said to be of line {line}"));
                }
            }
        }
        for candidate in self.says["candidates"].as_array().into_iter().flatten() {
            let steps = candidate["steps"].as_array().into_iter().flatten();
            let lines: BTreeSet<u64> = steps.filter_map(line_of_id).collect();
            for (path, marker) in made(candidate) {
                let copied = lines.iter().any(|line| copies.contains(line));
                if !lines.contains(&marker) && !copied {
                    self.row.wrong += 1;
                    self.fault(format!("{path} is said to be of one of the lines {lines:?}"));
                }
                // With layers the status of the line says whether that may be.
                found.insert(marker);
            }
        }
        for marker in self.case.numbers("markers") {
            if !found.contains(&marker) {
                self.fault(format!("no step is said to have made m{marker}"));
            }
        }
    }

    fn files(&mut self) {
        let files = self.says["files"].as_array().map(Vec::as_slice).unwrap_or_default();
        let wanted = self.case.list("files");
        for (nth, one) in wanted.iter().enumerate() {
            let is_same = |file: &&Value| {
                file["path"] == one["path"]
                    && (file["kind"] == one["kind"] || file["kind"] == "hardlink")
                    && (one["size"].is_null() || file["size"] == one["size"])
            };
            let of_line = |file: &&Value| line_of_id(&file["step"]) == one["line"].as_u64();
            if is_lost(self.way, one) {
                continue;
            }
            if self.way.has_layers() {
                if !files.iter().filter(is_same).any(|file| of_line(&file)) {
                    let path = &one["path"];
                    let there: Vec<String> = files
                        .iter()
                        .filter(|file| file["path"] == *path)
                        .map(|file| format!("{} {} {}", file["kind"], file["size"], file["step"]))
                        .collect();
                    self.row.wrong += u64::from(files.iter().any(|file| is_same(&file)));
                    self.fault(format!("files: {one}: there is {}", there.join(", ")));
                }
            } else {
                // One layer for all: the last writer counts.
                let later = wanted[nth + 1..].iter().any(|other| other["path"] == one["path"]);
                let again = numbers_of(&one["again"]);
                let last = again.iter().max().copied().or(one["flat"].as_u64()).or(one["line"].as_u64());
                let is_last = |file: &&Value| line_of_id(&file["step"]) == last;
                let other =
                    files.iter().filter(is_same).find(|file| !file["step"].is_null() && !is_last(file));
                if let Some(other) = other.filter(|_| !later && one["kind"] != "whiteout") {
                    self.row.wrong += 1;
                    self.fault(format!("files: {one}: it is said to be of {}", other["step"]));
                }
            }
        }
        let visible = |path: &String, hidden: bool| {
            files.iter().any(|file| {
                let at = file["path"].as_str().unwrap_or_default();
                let below = at.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/'));
                (at == path || below)
                    && !matches!(file["kind"].as_str(), Some("whiteout" | "opaque"))
                    && (hidden || file["hidden"] != true)
            })
        };
        let mut faults = Vec::new();
        for path in self.case.words("removed").iter().filter(|path| visible(path, false)) {
            faults.push(format!("{path} is said to be there"));
        }
        for path in self.case.words("absent").iter().filter(|path| visible(path, true)) {
            faults.push(format!("{path} is said to be in a layer"));
        }
        for path in self.case.words("triggered") {
            let of_trigger = |file: &&Value| file["step"].as_str().is_some_and(|id| id.contains('+'));
            let found = files.iter().filter(|file| file["path"] == path).any(|file| of_trigger(&file));
            if self.way.has_layers() && !found {
                faults.push(format!("{path} is not said to be a trigger's"));
            }
            let of_line = files
                .iter()
                .filter(|file| file["path"] == path)
                .find(|file| line_of_id(&file["step"]).is_some_and(|line| line > 1));
            if let Some(file) = of_line {
                self.row.wrong += 1;
                faults.push(format!("{path} is said to be of {}, and is a trigger's", file["step"]));
            }
            // Also where the image's file is not tied to who is said to have written it.
            let own = |step: &&Value| step["origin"] != "ONBUILD" && self.way.has_layers();
            for step in self.steps().filter(own).filter(|step| wrote(step, &path)) {
                self.row.wrong += 1;
                faults
                    .push(format!("{path} is said to be written by {}, and is a trigger's", step["id"]));
            }
        }
        self.row.faults.extend(faults);
    }

    fn network(&mut self) {
        let wanted = self.case.numbers("network");
        for step in self.steps() {
            let has = step["network"].as_array().is_some_and(|list| !list.is_empty());
            let line = line_of(step);
            if has != wanted.contains(&line) {
                self.fault(format!("line {line}: connections: {}", step["network"]));
            }
        }
    }

    /// Programs of one step are all of one control group, and no other step has that.
    fn groups(&mut self, groups: &Groups) {
        let mut owner: BTreeMap<u64, u64> = BTreeMap::new();
        for step in self.steps() {
            let line = line_of(step);
            for process in step["processes"].as_array().into_iter().flatten() {
                let seq = process["seq"].as_u64().unwrap_or(0);
                let Some(group) = groups.of_exec.get(&seq) else { continue };
                if *owner.entry(*group).or_insert(line) != line {
                    self.row.wrong += 1;
                    self.fault(format!(
                        "line {line}: {} is of another step's container",
                        process["argv"]
                    ));
                }
            }
        }
    }
}

fn numbers_of(value: &Value) -> Vec<u64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

fn line_of(step: &Value) -> u64 {
    step["lines"][0].as_u64().unwrap_or(0)
}

/// The markers that a step, or one of several, is said to have made, with their paths.
fn made(step: &Value) -> impl Iterator<Item = (&str, u64)> {
    step["writes"].as_array().into_iter().flatten().filter_map(|write| {
        let made = write["access"].as_array().is_some_and(|kinds| {
            let has = |kind: &str| kinds.iter().any(|one| one == kind);
            (has("create") || has("write")) && !has("delete")
        });
        let path = write["path"].as_str().filter(|_| made)?;
        Some((path, marker_of(path)?))
    })
}

/// Whether a step is said to have written there.
fn wrote(step: &Value, path: &str) -> bool {
    step["writes"].as_array().into_iter().flatten().any(|write| write["path"] == path)
}

/// The line in a step's name, `STAGE.LINE`.
fn line_of_id(id: &Value) -> Option<u64> {
    id.as_str()?.rsplit_once('.')?.1.parse().ok()
}

/// The N of a path that ends in `mN`, or `mN` and one letter.
fn marker_of(path: &str) -> Option<u64> {
    let base = path.rsplit('/').next()?;
    let base = base.strip_suffix(|c: char| c.is_ascii_lowercase()).unwrap_or(base);
    let digits =
        base.rsplit(|c: char| !c.is_ascii_digit()).next().filter(|digits| !digits.is_empty())?;
    let before = base.strip_suffix(digits)?.strip_suffix('m')?;
    // Names that programs make up at random end so too.
    let stands_alone = !before.ends_with(|c: char| c.is_ascii_alphanumeric());
    stands_alone.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_have_a_number() {
        for (path, wanted) in [
            ("/m5", Some(5)),
            ("/a/m12b", Some(12)),
            ("/quote\"m5", Some(5)),
            ("/m", None),
            ("/cache/pkgcache.bin.nc6Bm0", None),
            ("/f1", None),
            ("/etc/mtab", None),
            ("/m5/other", None),
        ] {
            assert_eq!(marker_of(path), wanted, "{path}");
        }
    }
}
