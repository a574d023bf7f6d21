//! A recording as a full ring would have left it: events taken away, and said to be lost. What is attested of it may tell
//! less than of the whole, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Numbers that look random, and are the same for the same text (Steele, Lea and Flood's SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn of(text: &str) -> Self {
        let sum = Sha256::digest(text.as_bytes());
        Numbers(sum.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// One below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end.max(1) as u64).unwrap_or(0)
    }
}

/// Which events are gone: a few, some of all, all of one kind, or most of a stretch.
fn gone(events: &[(usize, String)], name: &str) -> BTreeSet<usize> {
    let mut numbers = Numbers::of(name);
    let all = |part: usize, numbers: &mut Numbers| -> BTreeSet<usize> {
        events.iter().filter(|_| numbers.below(part) == 0).map(|(line, _)| *line).collect()
    };
    match numbers.below(5) {
        0 => (0..=numbers.below(3)).map(|_| events[numbers.below(events.len())].0).collect(),
        1 => {
            let part = [5, 20, 100, 1000][numbers.below(4)];
            all(part, &mut numbers)
        }
        2 => {
            let kinds: BTreeSet<&str> = events.iter().map(|(_, kind)| kind.as_str()).collect();
            let kind = kinds.iter().nth(numbers.below(kinds.len())).copied().unwrap_or_default();
            events.iter().filter(|(_, of)| of == kind).map(|(line, _)| *line).collect()
        }
        _ => {
            let (from, many) = (numbers.below(events.len()), [5, 30, 200, 1000][numbers.below(4)]);
            let stretch = events.iter().skip(from).take(many);
            stretch.filter(|_| numbers.below(4) > 0).map(|(line, _)| *line).collect()
        }
    }
}

/// The log without some of its events, of which `lost` lines tell; `name` decides which. Numbers, counts and chain are those of a
/// recorder that had never seen them.
///
/// # Panics
/// When it is no log.
#[must_use]
pub fn thinned(log: &str, name: &str) -> String {
    let lines: Vec<(&str, Value)> =
        log.lines().map(|line| (line, serde_json::from_str(line).expect("a line is JSON"))).collect();
    let kind = |value: &Value| value["type"].as_str().unwrap_or_default().to_owned();
    let happened = lines
        .iter()
        .enumerate()
        .filter(|(_, (line, value))| line.starts_with("{\"seq\":") && !kind(value).ends_with(".exists"));
    let events: Vec<(usize, String)> = happened.map(|(at, (_, value))| (at, kind(value))).collect();
    let gone = gone(&events, name);
    let mut out = Thinned::default();
    for (at, (line, value)) in lines.iter().enumerate() {
        let of_kind = kind(value);
        match of_kind.as_str() {
            "header" => out.put(line),
            "checkpoint" => out.checkpoint(),
            "trailer" => out.trailer(value.clone()),
            _ if gone.contains(&at) => out.lose(of_kind, value),
            _ => out.event(of_kind, line, value),
        }
    }
    out.text
}

#[derive(Default)]
struct Thinned {
    text: String,
    events: u64,
    by_type: BTreeMap<String, u64>,
    lost: u64,
    /// What is gone since the last line about it, by type, and between which times.
    missing: BTreeMap<String, u64>,
    times: (String, String),
    latest: String,
}

impl Thinned {
    fn put(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn sum(&self) -> String {
        let digest = Sha256::digest(self.text.as_bytes());
        digest.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes all");
            hex
        })
    }

    fn lose(&mut self, kind: String, event: &Value) {
        let time = event["time"].as_str().expect("an event has a time");
        if self.missing.is_empty() {
            let before = if self.latest.is_empty() { time } else { &self.latest };
            self.times = (before.to_owned(), time.to_owned());
        }
        let (after, before) = (&mut self.times.0, &mut self.times.1);
        if time < after.as_str() {
            *after = time.to_owned();
        }
        if time > before.as_str() {
            *before = time.to_owned();
        }
        *self.missing.entry(kind).or_default() += 1;
    }

    fn tell(&mut self) {
        let by_type = std::mem::take(&mut self.missing);
        if by_type.is_empty() {
            return;
        }
        let lost: u64 = by_type.values().sum();
        self.lost += lost;
        let (after, before) = &self.times;
        let by_type = serde_json::to_string(&by_type).expect("it is JSON");
        let line = format!(
            r#"{{"type":"lost","after":"{after}","before":"{before}","lost":{lost},"by_type":{by_type}}}"#
        );
        self.put(&line);
    }

    fn event(&mut self, kind: String, line: &str, event: &Value) {
        // A ring that was full is counted when there is room again.
        if self.missing.values().sum::<u64>() > 20 {
            self.tell();
        }
        self.events += 1;
        *self.by_type.entry(kind).or_default() += 1;
        let (_, rest) = line.split_once(',').expect("an event has more than its number");
        let line = format!("{{\"seq\":{},{rest}", self.events);
        self.put(&line);
        let time = event["time"].as_str().unwrap_or_default();
        if time > self.latest.as_str() {
            time.clone_into(&mut self.latest);
        }
    }

    fn checkpoint(&mut self) {
        self.tell();
        let (events, lost, sum) = (self.events, self.lost, self.sum());
        self.put(&format!(
            r#"{{"type":"checkpoint","events":{events},"lost":{lost},"sha256":"{sum}"}}"#
        ));
    }

    fn trailer(&mut self, old: Value) {
        self.tell();
        let (by_type, lost, sum) = (&self.by_type, self.lost, self.sum());
        let by_type = serde_json::to_string(by_type).expect("it is JSON");
        let exit =
            if old["exit"].is_null() { String::new() } else { format!(r#","exit":{}"#, old["exit"]) };
        let line = format!(
            r#"{{"type":"trailer","events":{by_type},"lost":{lost},"ended":{}{exit},"sha256":"{sum}"}}"#,
            old["ended"]
        );
        self.put(&line);
    }
}

/// What a statement says of a build, as far as another of the same can be held against it.
struct Said {
    status: BTreeMap<String, String>,
    layers: BTreeMap<String, String>,
    /// By process the steps that it is of.
    processes: BTreeMap<String, BTreeSet<String>>,
    /// By process, path and list.
    touched: BTreeMap<(String, String, &'static str), BTreeSet<String>>,
    files: BTreeMap<(String, String), String>,
    checks: BTreeMap<String, String>,
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

impl Said {
    fn of(statement: &Value) -> Said {
        let build = &statement["predicate"]["blubr_build"];
        let mut said = Said {
            status: BTreeMap::new(),
            layers: BTreeMap::new(),
            processes: BTreeMap::new(),
            touched: BTreeMap::new(),
            files: BTreeMap::new(),
            checks: BTreeMap::new(),
        };
        for step in list(&build["steps"]) {
            let id = text(&step["id"]);
            said.status.insert(id.clone(), text(&step["status"]));
            if !step["diff_id"].is_null() {
                said.layers.insert(id.clone(), text(&step["diff_id"]));
            }
            for process in list(&step["processes"]) {
                said.processes.entry(text(&process["id"])).or_default().insert(id.clone());
            }
            for of in ["reads", "writes"] {
                for one in list(&step[of]) {
                    let key = (text(&one["process"]), format!("{}{}", one["path"], one["path_b64"]), of);
                    said.touched.entry(key).or_default().insert(id.clone());
                }
            }
        }
        for file in list(&build["files"]).filter(|file| !file["step"].is_null()) {
            let key = (text(&file["layer"]), format!("{}{}", file["path"], file["path_b64"]));
            said.files.insert(key, text(&file["step"]));
        }
        for check in list(&build["checks"]) {
            said.checks.insert(text(&check["id"]), text(&check["result"]));
        }
        said
    }
}

/// What the statement of a lossy recording says that the one of the whole does not.
#[must_use]
pub fn overstated(whole: &Value, lossy: &Value) -> Vec<String> {
    let (whole, lossy) = (Said::of(whole), Said::of(lossy));
    let mut found = Vec::new();
    let none = BTreeSet::new();
    for (process, steps) in &lossy.processes {
        if !steps.is_subset(whole.processes.get(process).unwrap_or(&none)) {
            found.push(format!("process {process} is of {steps:?}"));
        }
    }
    let mut of_process: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let all = whole.touched.iter().map(|((process, ..), steps)| (process, steps));
    for (process, steps) in whole.processes.iter().chain(all) {
        of_process.entry(process).or_default().extend(steps.iter().map(String::as_str));
    }
    for (key, steps) in &lossy.touched {
        // Of each path a list has one process: where its event is gone that is another, of which the whole need not tell.
        let Some(known) = of_process.get(key.0.as_str()) else { continue };
        if !steps.iter().all(|step| known.contains(step.as_str())) {
            found.push(format!("{key:?} is of {steps:?}"));
        }
    }
    for (step, status) in &lossy.status {
        let was = whole.status.get(step).map(String::as_str);
        // What buildah found in its cache it had copied anew to look for it.
        let is_less = matches!(status.as_str(), "candidates" | "not-observed")
            || status == "cached" && was == Some("daemon");
        if was != Some(status) && !is_less && !(status == "observed" && was == Some("candidates")) {
            found.push(format!("{step} is {status}, was {was:?}"));
        }
    }
    for (of, now, was) in
        [("layer", &lossy.layers, &whole.layers), ("check", &lossy.checks, &whole.checks)]
    {
        for (key, value) in now {
            // These are about what is missing; and an image that lacks what a step wrote has all that is known of.
            let is_less = value == "unknown"
                || matches!(key.as_str(), "recording-complete" | "steps-observed")
                || key == "image-explained" && value == "pass";
            if was.get(key) != Some(value) && !is_less {
                found.push(format!("{of} {key} is {value}, was {:?}", was.get(key)));
            }
        }
    }
    for (file, step) in &lossy.files {
        if whole.files.get(file) != Some(step) {
            found.push(format!("{file:?} is of {step}, was of {:?}", whole.files.get(file)));
        }
    }
    found
}

/// Whether a statement is of a recording that lost events, or that ended too early.
#[must_use]
pub fn is_flawed(statement: &Value) -> bool {
    statement["predicate"]["blubr_build"]["completeness"]["recording"] != json!("complete")
}

/// The statement in a file.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn statement(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("it is there")).expect("it is JSON")
}
