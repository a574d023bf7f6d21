//! The steps: one for each instruction, with its status and why we say so.

use blubr_attestation::build::{Candidate, Evidence, Origin, Status, Step, StepCounts};
use blubr_build::{Build, Engine, RunKind, StepRun, Tie};
use blubr_dockerfile::{Dockerfile as Parsed, Instruction};
use blubr_log::Time;

use super::doing::Doing;
use super::facts::Dockerfile;
use super::history::Alignment;
use super::reuse::Reuse;
use super::slots::{Slot, Slots};
use crate::picture::Picture;
use crate::prior::{self, Prior};

/// How many events are named as evidence of one kind at most.
const SEQS_MAX: usize = 8;

/// Why of a step that has no event nothing more is known.
const LATE: &str = "no event of the log belongs to it: the build had begun when the recording did, and it may have been carried out before";

/// What the steps are made of.
pub struct Makings<'a> {
    pub build: &'a Build,
    pub dockerfile: &'a Dockerfile,
    pub picture: Option<&'a Picture>,
    pub slots: &'a Slots,
    pub alignment: &'a Alignment,
    pub reuse: &'a Reuse,
    /// The build had begun when the recording did.
    pub late: bool,
    /// Events of its time were lost.
    pub lost: bool,
    /// Layers that were there before, by diff_id.
    pub inherited: &'a [String],
    /// New layers that hold nothing, by diff_id.
    pub empty: &'a [String],
    /// Layers that were there before and hold nothing, by diff_id.
    pub hollow: &'a [String],
    /// Earlier attestations, verified.
    pub priors: &'a [Prior],
}

/// What other places call the step of an instruction (its index).
pub fn id(dockerfile: &Parsed, at: usize) -> String {
    let Some(instruction) = dockerfile.instructions.get(at) else { return "-".to_owned() };
    let line = instruction.lines.0;
    let Some(stage) = instruction.stage else { return format!("-.{line}") };
    if instruction.origin != blubr_dockerfile::Origin::Base {
        return format!("{stage}.{line}");
    }
    // They have no line but the FROM's: counted from there.
    let from = dockerfile.stages.get(stage).map_or(at, |stage| stage.instructions.0);
    format!("{stage}.{line}+{}", at.saturating_sub(from))
}

/// A step's status and the reasons.
struct Judged {
    status: Status,
    evidence: Vec<Evidence>,
}

impl Makings<'_> {
    /// One step for each instruction.
    pub fn steps(&self, doing: &dyn Fn(Slot) -> Option<Listed>) -> Vec<Step> {
        let instructions = self.dockerfile.parsed.instructions.iter().enumerate();
        instructions.map(|(at, instruction)| self.step(at, instruction, doing)).collect()
    }

    fn step(
        &self,
        at: usize,
        instruction: &Instruction,
        doing: &dyn Fn(Slot) -> Option<Listed>,
    ) -> Step {
        let slot = Slot::Step(at);
        let mut judged = self.judge(at, instruction);
        if judged.status == Status::Cached {
            judged.evidence.extend(self.cited(at, instruction));
        }
        let mut did = doing(slot).unwrap_or_default();
        let id = id(&self.dockerfile.parsed, at);
        did.mark(&id);
        let stage = instruction.stage.and_then(|stage| self.dockerfile.parsed.stages.get(stage));
        let runs: Vec<&StepRun> = self.slots.runs(self.build, slot).map(|(run, _)| run).collect();
        let line = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Step {
            id,
            stage: instruction.stage.and_then(|stage| u32::try_from(stage).ok()),
            stage_name: stage.and_then(|stage| stage.name.clone()),
            lines: (instruction.origin != blubr_dockerfile::Origin::Base)
                .then(|| [line(instruction.lines.0), line(instruction.lines.1)]),
            platform: stage.and_then(|stage| stage.platform.clone()),
            origin: match instruction.origin {
                blubr_dockerfile::Origin::File => Origin::Dockerfile,
                blubr_dockerfile::Origin::Stage | blubr_dockerfile::Origin::Base => Origin::OnBuild,
            },
            instruction: instruction.keyword.to_uppercase(),
            text: instruction.text.clone(),
            status: judged.status,
            evidence: judged.evidence,
            diff_id: self.diff_id(at),
            began: runs.iter().map(|run| run.began.time).min().map(|time| time.to_string()),
            ended: runs
                .iter()
                .filter_map(|run| run.ended)
                .map(|ended| ended.time)
                .max()
                .map(|time| time.to_string()),
            processes: did.processes,
            network: did.network,
            reads: did.reads,
            writes: did.writes,
            counts: did.counts,
        }
    }

    /// What may be one of several steps.
    pub fn candidates(&self, doing: &dyn Fn(Slot) -> Option<Listed>) -> Vec<Candidate> {
        let one = |(index, several): (usize, &Vec<usize>)| {
            let slot = Slot::Candidate(index);
            let did = doing(slot).unwrap_or_default();
            let runs: Vec<(&StepRun, &Tie)> = self.slots.runs(self.build, slot).collect();
            Candidate {
                steps: several.iter().map(|at| id(&self.dockerfile.parsed, *at)).collect(),
                evidence: evidence_of_all(&runs),
                began: runs.first().map(|(run, _)| run.began.time.to_string()),
                ended: runs.first().and_then(|(run, _)| run.ended).map(|ended| ended.time.to_string()),
                processes: did.processes,
                network: did.network,
                reads: did.reads,
                writes: did.writes,
                counts: did.counts,
            }
        };
        self.slots.candidates.iter().enumerate().map(one).collect()
    }

    fn judge(&self, at: usize, instruction: &Instruction) -> Judged {
        let runs: Vec<(&StepRun, &Tie)> = self.slots.runs(self.build, Slot::Step(at)).collect();
        if !runs.is_empty() {
            let ran = runs.iter().any(|(run, _)| run.kind == RunKind::Run);
            let evidence = evidence_of_all(&runs);
            return Judged { status: if ran { Status::Observed } else { Status::Daemon }, evidence };
        }
        if self.slots.candidates.iter().any(|several| several.contains(&at)) {
            let detail = "the record holds what this step, or one of this or another build, did: see `candidates`";
            return say(Status::Candidates, "candidates", detail.to_owned());
        }
        if let Some(stage) = instruction.stage
            && !self.alignment.needed.is_empty()
            && !self.alignment.needed.contains(&stage)
        {
            return say(
                Status::NotObserved,
                "stage",
                "the stage that is built doesn't need this one".to_owned(),
            );
        }
        match instruction.keyword.as_str() {
            "from" => self.from(instruction),
            "run" | "copy" | "add" => self.cached(at),
            "workdir" => match self.cached(at) {
                Judged { status: Status::NotObserved, .. } => self.workdir(at),
                judged => judged,
            },
            "volume" if self.build.engine == Engine::Buildah => say(
                Status::Daemon,
                "configuration",
                "sets the image's configuration; the engine may make the directory too, and no event is tied to it for that"
                    .to_owned(),
            ),
            _ => say(
                Status::Daemon,
                "configuration",
                "sets the image's configuration only: the engine runs and writes nothing for it"
                    .to_owned(),
            ),
        }
    }

    /// A base that was there before the build, a stage of this file, or nothing at all.
    fn from(&self, instruction: &Instruction) -> Judged {
        let stage = instruction.stage.and_then(|stage| self.dockerfile.parsed.stages.get(stage));
        let Some(stage) = stage else {
            return say(Status::NotObserved, "none", "nothing in the record".to_owned());
        };
        if stage.base.eq_ignore_ascii_case("scratch") {
            return say(Status::Daemon, "empty-base", "FROM scratch begins with nothing".to_owned());
        }
        let number = instruction.stage.unwrap_or(0);
        if self.dockerfile.bases.get(number).copied().flatten().is_some() {
            return say(
                Status::Daemon,
                "stage-base",
                "begins from another stage of this file".to_owned(),
            );
        }
        // The stage's lowest step stands on directories that nothing in the log made.
        let mine = |run: &&StepRun| {
            let slot = self.slots.of(run.id);
            matches!(slot, Slot::Step(at) if self.dockerfile.parsed.instructions.get(at).is_some_and(|one| one.stage == Some(number)))
        };
        let lowest = self.build.runs.iter().filter(mine).min_by_key(|run| run.below.len());
        if let Some(run) = lowest {
            let made: Vec<&[u8]> = self
                .build
                .runs
                .iter()
                .map(|one| one.upper.as_slice())
                .chain(self.build.layers.iter().map(|layer| layer.dir.as_slice()))
                .collect();
            let older = run.lowers.iter().filter(|lower| !made.contains(&lower.as_slice())).count();
            if older > 0 && !self.late && !self.lost {
                let detail = format!(
                    "the stage's first step stands on {older} directories that nothing in this build made"
                );
                return Judged {
                    status: Status::Cached,
                    evidence: vec![Evidence {
                        kind: "lower".into(),
                        detail,
                        seq: vec![run.first_seq],
                        prior: None,
                    }],
                };
            }
        }
        let why = match (self.late, self.lost) {
            (true, _) => LATE,
            (_, true) => "events were lost, and the base may have been made in this build",
            _ => "the record doesn't show where the base came from",
        };
        say(Status::NotObserved, "none", why.to_owned())
    }

    /// What earlier attestations show of a cached step. It was not seen here all the same.
    fn cited(&self, at: usize, instruction: &Instruction) -> Vec<Evidence> {
        let began = self.build.began.time;
        let earlier = self.priors.iter().filter(|prior| prior.ended_before(began));
        if instruction.keyword == "from" {
            // Only what the target begins from: of other stages the image keeps no layers in their order.
            let is_lowest = instruction.stage.is_some()
                && instruction.stage == self.alignment.stages.first().copied();
            let below = self.alignment.lines.values().filter_map(|line| line.layer).min();
            let layers = self.picture.map(|picture| picture.image.layers.as_slice()).unwrap_or_default();
            let base = layers
                .get(..below.unwrap_or(layers.len()))
                .filter(|_| is_lowest && self.alignment.whole);
            let base: Vec<&str> =
                base.unwrap_or_default().iter().map(|layer| layer.diff_id.as_str()).collect();
            return earlier.filter_map(|prior| prior.cite_base(&base)).collect();
        }
        match self.diff_id(at) {
            Some(layer) if !self.empty.contains(&layer) && !self.hollow.contains(&layer) => {
                prior::cite(earlier, &layer, &instruction.text)
            }
            _ => Vec::new(),
        }
    }

    /// An instruction that no run is tied to: from the cache, if its layer is older than the build and can be.
    fn cached(&self, at: usize) -> Judged {
        if self.late {
            return say(Status::NotObserved, "none", LATE.to_owned());
        }
        let line = self.alignment.lines.get(&at);
        let created = line.and_then(|line| line.created.as_deref());
        if let Some(text) = created
            && let Some(began) = self.reuse.before(text)
        {
            let was_there = self.diff_id(at).is_none_or(|layer| self.inherited.contains(&layer));
            if !self.reuse.allows(at) || !was_there {
                let detail = format!(
                    "no event of the log belongs to it, and it stands, or its layer does, where nothing can come from the cache, \
                     though the image's history says that it was made at {text}"
                );
                return say(Status::NotObserved, "none", detail);
            }
            let detail = format!("the image's history says that it was made at {text}, and {began}");
            return say(Status::Cached, "history", detail);
        }
        let detail = if self.picture.is_none() {
            "no event of the log belongs to it, and without an image nothing tells whether it came from the cache"
        } else {
            "no event of the log belongs to it, and nothing shows that it came from the cache"
        };
        say(Status::NotObserved, "none", detail.to_owned())
    }

    /// A WORKDIR whose directory was there leaves nothing, in the log and in the image; in buildah's case others don't either.
    fn workdir(&self, at: usize) -> Judged {
        let detail = match (self.layer(at), self.diff_id(at)) {
            (None, _) if self.alignment.lines.contains_key(&at) => {
                "the image's history gives it no layer"
            }
            (Some(_), Some(layer)) if self.empty.contains(&layer) => "its layer holds nothing",
            _ => return self.cached(at),
        };
        // buildah may have made it in a tree that is another step's too.
        let why = match self.build.engine {
            Engine::Buildah => ", and no event is tied to it",
            _ => ": the directory was there",
        };
        say(Status::Daemon, "nothing-left", format!("{detail}{why}"))
    }

    fn layer(&self, at: usize) -> Option<usize> {
        self.alignment.lines.get(&at).and_then(|line| line.layer)
    }

    fn diff_id(&self, at: usize) -> Option<String> {
        let layers = &self.picture?.image.layers;
        layers.get(self.layer(at)?).map(|layer| layer.diff_id.to_string())
    }
}

fn say(status: Status, kind: &str, detail: String) -> Judged {
    let evidence = Evidence { kind: kind.to_owned(), detail, ..Evidence::default() };
    Judged { status, evidence: vec![evidence] }
}

/// Why runs are the step's: what is the same of several is said once, with the first events that show it.
fn evidence_of_all(runs: &[(&StepRun, &Tie)]) -> Vec<Evidence> {
    let mut all: Vec<Evidence> = Vec::new();
    for one in runs.iter().flat_map(|(run, tie)| evidence_of(run, tie)) {
        match all.iter_mut().find(|known| known.kind == one.kind && known.detail == one.detail) {
            Some(known) => {
                let room = SEQS_MAX.saturating_sub(known.seq.len());
                known.seq.extend(one.seq.into_iter().take(room));
            }
            None => all.push(one),
        }
    }
    all
}

/// Why a run is the step's, in sentences.
fn evidence_of(run: &StepRun, tie: &Tie) -> Vec<Evidence> {
    use blubr_build::TieEvidence as Tied;
    let mut found = Vec::new();
    for one in &tie.evidence {
        let (detail, seq) = match one {
            Tied::Text => (
                "the container's first program had the arguments that the engine makes of it",
                run.first_exec.as_ref().map(|exec| exec.seq),
            ),
            Tied::TextOfOtherShell => (
                "the container's first program had its text as last argument, behind a shell that the Dockerfile doesn't name",
                run.first_exec.as_ref().map(|exec| exec.seq),
            ),
            Tied::Order => (
                "it is the one that the order of steps leaves: each one's upper directory lies below the next, or they share one",
                Some(run.first_seq),
            ),
            Tied::Context => ("the engine copied from the build's context", Some(run.first_seq)),
            Tied::CopyFrom => ("the engine copied from another step's result", Some(run.first_seq)),
            Tied::Path => {
                ("the engine made the directory that it names, and nothing else", Some(run.first_seq))
            }
            Tied::Kind => (
                "no container ran, and it is one that the engine carries out itself",
                Some(run.first_seq),
            ),
            Tied::Base => ("a layer was unpacked, not made", Some(run.first_seq)),
        };
        found.push(Evidence {
            kind: one.name().to_owned(),
            detail: detail.to_owned(),
            seq: seq.into_iter().collect(),
            prior: None,
        });
    }
    for one in &run.evidence {
        use blubr_build::Evidence as Of;
        let detail = match one {
            Of::OnlyClient => "no other build's client could have asked for the step then",
            Of::Context => "the engine read its files from what this build's client had sent",
            Of::Chain => "another step of this build begins where it ended",
            Of::Elimination => "only one way to give the steps to the clients fits",
            Of::Itself => "the client made the mount and started the runtime itself",
            Of::Several => "another build was there at the same time, and nothing tells them apart",
        };
        let kind = one.name().to_owned();
        found.push(Evidence { kind, detail: detail.to_owned(), ..Evidence::default() });
    }
    found
}

/// Steps by status.
pub fn count(steps: &[Step]) -> StepCounts {
    let mut counts = StepCounts::default();
    for step in steps {
        match step.status {
            Status::Observed => counts.observed += 1,
            Status::Cached => counts.cached += 1,
            Status::Daemon => counts.daemon += 1,
            Status::NotObserved => counts.not_observed += 1,
            Status::Candidates => counts.candidates += 1,
        }
    }
    counts
}

/// What a slot did, as the statement lists it.
#[derive(Default)]
pub struct Listed {
    pub processes: Vec<blubr_attestation::trace::Process>,
    pub network: Vec<blubr_attestation::trace::Network>,
    pub reads: Vec<blubr_attestation::trace::Touched>,
    pub writes: Vec<blubr_attestation::trace::Touched>,
    pub counts: blubr_attestation::trace::Counts,
}

impl Listed {
    /// The lists of a slot.
    pub fn of(doing: Doing) -> Self {
        let (reads, writes) = (doing.reads(), doing.writes());
        let mut counts = doing.counts;
        counts.reads = reads.len() as u64;
        counts.writes = writes.len() as u64;
        Self { processes: doing.processes, network: doing.connections.all, reads, writes, counts }
    }

    /// Puts another slot's lists behind these.
    pub fn add(&mut self, other: Self) {
        self.processes.extend(other.processes);
        self.processes.sort_by_key(|one| one.seq);
        self.network.extend(other.network);
        self.network.sort_by_key(|one| one.seq);
        self.reads.extend(other.reads);
        self.writes.extend(other.writes);
        let (counts, more) = (&mut self.counts, other.counts);
        for (sum, more) in [
            (&mut counts.events, more.events),
            (&mut counts.processes, more.processes),
            (&mut counts.network, more.network),
            (&mut counts.reads, more.reads),
            (&mut counts.writes, more.writes),
            (&mut counts.left_out, more.left_out),
            (&mut counts.failed, more.failed),
            (&mut counts.bytes_sent, more.bytes_sent),
            (&mut counts.bytes_received, more.bytes_received),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    fn mark(&mut self, id: &str) {
        self.processes.iter_mut().for_each(|one| one.step = Some(id.to_owned()));
        self.network.iter_mut().for_each(|one| one.step = Some(id.to_owned()));
    }
}

/// A time of the log as text.
pub fn text(time: Option<Time>) -> Option<String> {
    time.map(|time| time.to_string())
}
