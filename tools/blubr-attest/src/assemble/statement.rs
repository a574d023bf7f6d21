//! The parts put together: the same log, Dockerfile and image give the same statement.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use blubr_attestation::build::{self as says, BlubrBuild, Completeness, Unattributed};
use blubr_attestation::path;
use blubr_attestation::statement::{
    BUILD_TYPE, MONITOR_TYPE, Metadata, Monitor, MonitoredProcess, PREDICATE_TYPE, Predicate,
    STATEMENT_TYPE, Statement, TracePolicy,
};
use blubr_attestation::trace::{
    Access, AccessAnnotations, FileAccess, MonitorLog, Network, Place, Process, Touched,
};
use blubr_attestation::{ResourceDescriptor, build::Context};
use blubr_build::Build;
use blubr_log::Source;

use super::checks;
use super::contradicted;
use super::facts::Dockerfile;
use super::fetches::Fetches;
use super::first::First;
use super::gather::Gathered;
use super::history::Alignment;
use super::judge;
use super::reuse::Reuse;
use super::slots::{Slot, Slots};
use super::steps::{self, Listed, Makings};
use crate::crosscheck::{Crossed, Unchecked};
use crate::picture::Picture;
use crate::prior::Prior;

/// What a statement is made of.
pub struct Parts<'a> {
    pub first: &'a First,
    pub build: &'a Build,
    pub dockerfile: Option<&'a Dockerfile>,
    pub context: Option<Context>,
    pub picture: Option<&'a Picture>,
    pub slots: &'a Slots,
    pub gathered: Gathered,
    pub alignment: Alignment,
    pub reuse: &'a Reuse,
    /// As [`judge::is_made_anew`].
    pub anew: bool,
    pub crossed: Option<Crossed>,
    pub priors: &'a [Prior],
}

/// Puts the parts together.
pub fn make(parts: Parts<'_>) -> Statement {
    let (first, build) = (parts.first, parts.build);
    let ids = ids(parts.dockerfile);
    let host = first.header.host.machine_id_hash.as_deref().unwrap_or("unknown");
    let event = format!("urn:blubr:build:{}:{}", first.header.host.boot_id, build.client);
    let began = build.began.time.to_string();
    let ended = build.ended.map(|ended| ended.time.to_string());
    let subject = parts.picture.map(subjects).unwrap_or_default();
    let (blubr_build, monitor_log) = blubr_build(parts, &ids);
    Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject,
        predicate_type: PREDICATE_TYPE.to_owned(),
        predicate: Predicate {
            monitor: Monitor {
                kind: MONITOR_TYPE.to_owned(),
                config_source: None,
                trace_policy: Some(policy(first)),
            },
            monitored_process: MonitoredProcess {
                host_id: format!("urn:blubr:host:{host}"),
                kind: BUILD_TYPE.to_owned(),
                event,
            },
            monitor_log,
            metadata: Metadata { build_started_on: Some(began), build_finished_on: ended },
            blubr_build,
        },
    }
}

fn ids(dockerfile: Option<&Dockerfile>) -> BTreeMap<usize, String> {
    let Some(Dockerfile { parsed, .. }) = dockerfile else { return BTreeMap::new() };
    (0..parsed.instructions.len()).map(|at| (at, steps::id(parsed, at))).collect()
}

fn step_of(slot: Slot, ids: &BTreeMap<usize, String>) -> Option<String> {
    match slot {
        Slot::Step(at) => ids.get(&at).cloned(),
        Slot::Candidate(_) | Slot::None | Slot::Shared => None,
    }
}

fn blubr_build(mut parts: Parts<'_>, ids: &BTreeMap<usize, String>) -> (BlubrBuild, MonitorLog) {
    let empty = parts.crossed.as_ref().map(|crossed| crossed.empty.clone()).unwrap_or_default();
    let hollow = parts.crossed.as_ref().map(|crossed| crossed.hollow.clone()).unwrap_or_default();
    let (files, unexplained, inherited, unchecked) = crossed(parts.crossed.take(), ids);
    let mut log = MonitorLog::default();
    // Each slot's lists are made once and then moved to their place: they are what a long build's memory goes to.
    let mut lists = BTreeMap::new();
    for (slot, doing) in std::mem::take(&mut parts.gathered.doing) {
        let step = step_of(slot, ids);
        let shared = doing.shared;
        let listed = Listed::of(doing);
        let mark = |one: &Process| Process { step: step.clone(), ..one.clone() };
        log.process.extend(listed.processes.iter().map(mark));
        log.network
            .extend(listed.network.iter().map(|one| Network { step: step.clone(), ..one.clone() }));
        accesses(&listed, step.as_deref(), shared, files.as_deref(), &mut log.file_access);
        lists.insert(slot, listed);
    }
    let lists = RefCell::new(lists);
    let listed = |slot: Slot| lists.borrow_mut().remove(&slot);
    let (mut all, mut candidates) = (Vec::new(), Vec::new());
    if let Some(dockerfile) = parts.dockerfile {
        let makings = Makings {
            build: parts.build,
            dockerfile,
            picture: parts.picture,
            slots: parts.slots,
            alignment: &parts.alignment,
            reuse: parts.reuse,
            late: parts.gathered.late,
            lost: parts.gathered.lost.all > 0,
            inherited: &inherited,
            empty: &empty,
            hollow: &hollow,
            priors: parts.priors,
        };
        all = makings.steps(&listed);
        candidates = makings.candidates(&listed);
    }
    let mut rest = listed(Slot::None).unwrap_or_default();
    rest.add(listed(Slot::Shared).unwrap_or_default());
    log.process.extend(parts.gathered.engine.processes.iter().cloned());
    log.process.sort_by_key(|one| one.seq);
    log.network.sort_by_key(|one| one.seq);
    log.file_access.sort_by(|one, other| {
        (&one.uri, &one.annotations.step).cmp(&(&other.uri, &other.annotations.step))
    });
    let mut made = BlubrBuild {
        build: which(parts.first, parts.build),
        dockerfile: parts.dockerfile.map(|file| says::Dockerfile {
            path: file.path.clone(),
            sha256: file.sha256.clone(),
            lines: file.lines,
            taken: parts.gathered.taken,
        }),
        context: parts.context.take(),
        image: parts.picture.map(|picture| image(picture, parts.dockerfile)),
        log: self::log(parts.first),
        detail: None,
        completeness: Completeness {
            recording: parts.gathered.recording,
            late: parts.gathered.late && parts.gathered.recording == says::Recording::Cut,
            lost: parts.gathered.lost.all,
            lost_outside: parts.gathered.lost.outside,
            from_event: parts.gathered.interval.0,
            to_event: parts.gathered.interval.1,
            hooks_missing: parts
                .first
                .header
                .not_covered
                .iter()
                .map(|one| format!("{}: {}", one.what, one.why))
                .collect(),
            steps: steps::count(&all),
        },
        steps: all,
        candidates,
        unattributed: Unattributed {
            processes: rest.processes,
            network: rest.network,
            reads: rest.reads,
            writes: rest.writes,
            counts: rest.counts,
        },
        files,
        inherited,
        unexplained,
        checks: Vec::new(),
        redactions: says::Redactions::default(),
    };
    let arch = &parts.first.header.host.arch;
    let fetches = parts.dockerfile.map(|file| Fetches::of(&file.parsed, parts.build.all_argv(), arch));
    let seen = checks::Seen {
        gathered: &parts.gathered,
        anew: parts.anew,
        doubt: parts.picture.map(|picture| judge::doubt(picture, parts.build)).unwrap_or_default(),
        unchecked: &unchecked,
        fetches: &fetches.unwrap_or_default(),
        untied: parts.slots.untied(parts.build).map(|run| run.first_seq).collect(),
    };
    made.checks = checks::checks(&made, &seen);
    let id = |at| ids.get(&at).cloned().unwrap_or_default();
    contradicted::doubt(&mut made.checks, &parts.alignment.contradicted, id);
    (made, log)
}

type Against = (Option<Vec<says::File>>, Option<Vec<says::Unexplained>>, Vec<String>, Unchecked);

fn crossed(crossed: Option<Crossed>, ids: &BTreeMap<usize, String>) -> Against {
    let Some(crossed) = crossed else { return (None, None, Vec::new(), Unchecked::default()) };
    let named = |slot: Option<Slot>| slot.and_then(|slot| step_of(slot, ids));
    let files = crossed.files.map(|files| {
        files.into_iter().map(|one| says::File { step: named(one.slot), ..one.file }).collect()
    });
    let unexplained = crossed.unexplained.map(|list| {
        list.into_iter().map(|one| says::Unexplained { step: named(one.slot), ..one.what }).collect()
    });
    (files, unexplained, crossed.inherited, crossed.unchecked)
}

/// Adds the paths of one slot as ResourceDescriptors, reads and writes of a path as one. Both lists are in the order of their
/// places and paths.
fn accesses(
    listed: &Listed,
    step: Option<&str>,
    shared: bool,
    files: Option<&[says::File]>,
    all: &mut Vec<FileAccess>,
) {
    // The image shows what the last writer left.
    let last = |file: &&says::File| step.is_some() && !file.hidden && file.step.as_deref() == step;
    let digests: BTreeMap<&str, &str> = files
        .unwrap_or_default()
        .iter()
        .filter(last)
        .filter_map(|file| file.path.as_deref().zip(file.sha256.as_deref()))
        .collect();
    let bytes =
        |one: &Touched| path::bytes(one.path.as_deref(), one.path_b64.as_deref()).unwrap_or_default();
    let (mut reads, mut writes) = (listed.reads.iter().peekable(), listed.writes.iter().peekable());
    loop {
        let order = match (reads.peek(), writes.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(read), Some(write)) => (read.place, bytes(read)).cmp(&(write.place, bytes(write))),
        };
        let read = if order.is_le() { reads.next() } else { None };
        let write = if order.is_ge() { writes.next() } else { None };
        let Some(touched) = write.or(read) else { return };
        let mut access: Vec<Access> =
            read.into_iter().chain(write).flat_map(|one| one.access.iter().copied()).collect();
        access.sort_unstable();
        access.dedup();
        let digest = write
            .filter(|write| write.place == Place::Container && !write.path_truncated)
            .and_then(|write| digests.get(write.path.as_deref()?))
            .map(|digest| ("sha256".to_owned(), (*digest).to_owned()));
        all.push(FileAccess {
            name: touched.path.clone(),
            uri: path::uri(&bytes(touched)),
            digest: digest.into_iter().collect(),
            annotations: AccessAnnotations {
                access,
                place: touched.place,
                path_truncated: touched.path_truncated,
                step: step.map(str::to_owned),
                shared,
            },
        });
    }
}

fn subjects(picture: &Picture) -> Vec<ResourceDescriptor> {
    let one =
        |kind: &str, digest: &blubr_image::Digest, media_type: Option<String>| ResourceDescriptor {
            name: Some(picture.reference.clone()),
            uri: None,
            digest: [(digest.algorithm().name().to_owned(), digest.hex().to_owned())].into(),
            media_type,
            annotations: [("kind".to_owned(), kind.to_owned())].into(),
        };
    let manifest = picture
        .image
        .manifest
        .as_ref()
        .map(|manifest| one("manifest", &manifest.digest, Some(manifest.media_type.clone())));
    manifest.into_iter().chain([one("config", &picture.image.config_digest, None)]).collect()
}

fn image(picture: &Picture, dockerfile: Option<&Dockerfile>) -> says::Image {
    let image = &picture.image;
    let config = &image.config;
    let mut platform = format!("{}/{}", config.os, config.architecture);
    if let Some(variant) = &config.variant {
        platform = format!("{platform}/{variant}");
    }
    let stages = dockerfile.into_iter().flat_map(|file| file.parsed.stages.iter().zip(&file.bases));
    let mut seen = HashSet::new();
    let images = stages.filter(|(_, of_file)| of_file.is_none()).map(|(stage, _)| &stage.base);
    let base: Vec<String> = images.filter(|base| seen.insert(*base)).cloned().collect();
    says::Image {
        reference: picture.reference.clone(),
        manifest_digest: image.manifest.as_ref().map(|manifest| manifest.digest.to_string()),
        config_digest: image.config_digest.to_string(),
        diff_ids: image.layers.iter().map(|layer| layer.diff_id.to_string()).collect(),
        tags: image.tags.clone(),
        platform: Some(platform),
        created: image.created().map(str::to_owned),
        base,
    }
}

fn which(first: &First, build: &Build) -> says::Build {
    let status = |ended: blubr_build::Ended| {
        // As a shell has it: 128 and the signal's number.
        let code = ended.code.or_else(|| ended.signal.map(|signal| signal.saturating_add(128)))?;
        i32::try_from(code).ok()
    };
    says::Build {
        number: build.number,
        engine: build.engine.name().to_owned(),
        client: build.client.to_string(),
        argv: build.argv.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect(),
        argv_truncated: build.argv_cut,
        exit: build.exit.and_then(status),
        command_exit: first.command_exit(),
        began: Some(build.began.time.to_string()),
        ended: build.ended.map(|ended| ended.time.to_string()),
    }
}

fn policy(first: &First) -> TracePolicy {
    let header = &first.header;
    TracePolicy {
        tool: format!("{} {}", header.tool.name, header.tool.version),
        backend: header.backend.clone(),
        kernel: header.host.kernel.clone(),
        hooks: header.hooks.iter().map(|hook| format!("{} at {}", hook.name, hook.attach)).collect(),
        not_covered: header.not_covered.iter().map(|one| format!("{}: {}", one.what, one.why)).collect(),
        scope: header.scope.clone(),
    }
}

fn log(first: &First) -> says::Log {
    let summary = &first.summary;
    let filter =
        |one: &blubr_log::Filter| says::Filter { tool: one.tool.clone(), args: one.args.clone() };
    says::Log {
        schema: first.header.schema.clone(),
        sha256: summary.sha256.clone(),
        events: summary.events,
        first: steps::text(first.first),
        last: steps::text(first.last),
        complete: summary.cut.is_none(),
        cut_at: summary.cut.as_ref().map(|cut| cut.events),
        filters: first.header.filters.iter().map(filter).collect(),
        sources: summary.trailer.iter().flat_map(|trailer| &trailer.sources).map(source).collect(),
    }
}

fn source(one: &Source) -> says::Source {
    says::Source {
        sha256: one.sha256.clone(),
        events: one.events,
        passed: one.passed,
        lost: one.lost,
        complete: one.complete,
        cut_at: one.cut_at,
        exit: one.exit,
        sources: one.sources.iter().map(source).collect(),
    }
}
