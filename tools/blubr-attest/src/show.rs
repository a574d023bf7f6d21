//! Showing an attestation: to people, as JSON, or as a list for sha256sum -c.

mod sums;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use blubr_attestation::build::{BlubrBuild, Cited, File, Outcome, Recording, Status, Step, Taken};
use blubr_attestation::detail::{Detail as Moved, Entry, Filler, List, Table};
use blubr_attestation::path;
use blubr_attestation::trace::{Access, Counts, Direction, HostnameFrom, Network, Place, Touched};
use blubr_attestation::{Lists, Statement};
use blubr_cli::{Common, Exit, Failure, Output, printable, printable_json};
use blubr_envelope::{Kind, Opened};

use crate::assemble::{EXPLAINED, of_outside};
use crate::cli::Show;
use crate::detail::Detail;
use crate::opened::{self, Opener};

/// How many paths of a step are shown; the rest is counted.
const PATHS_SHOWN_MAX: usize = 8;
/// How many unexplained entries are shown; the rest is counted.
const UNEXPLAINED_SHOWN_MAX: usize = 20;
/// How many characters of an instruction are shown.
const TEXT_CHARS_MAX: usize = 100;

/// The lists that the page shows; those that it counts only are in `counts`.
const SHOWN: Lists = Lists::NETWORK.and(Lists::STEPS).and(Lists::UNEXPLAINED).and(Lists::EVIDENCE);

/// The tables of a detail that the page shows.
const SHOWN_TABLES: [Table; 5] = [
    Table::Network,
    Table::Steps(List::Network),
    Table::Steps(List::Writes),
    Table::Candidates(List::Writes),
    Table::Unattributed(List::Writes),
];

/// Carries out `blubr-attest show`.
pub fn run(args: &Show, common: &Common) -> Result<Exit, Failure> {
    let (name, opened, opener) = args.attestation.open()?.or_trouble()?;
    let detail = args.detail.as_deref().map(|path| (path, &opener));
    let bytes = if args.json {
        let bytes = json(&name, opened, detail)?;
        if std::io::stdout().is_terminal() { for_terminal(bytes) } else { bytes }
    } else if args.sha256sum {
        sums::list(&name, &opened, detail, std::io::stdout().is_terminal())?
    } else {
        page(&name, &opened, detail, common)?
    };
    let mut output = Output::create(None)?;
    output.write_all(&bytes).map_err(|error| Failure::io(output.name(), &error))?;
    output.commit()?;
    Ok(Exit::Done)
}

/// A detail file, and what opens it.
type From<'a> = Option<(&'a Path, &'a Opener)>;

/// The statement as it is; with a detail, every table in its place.
fn json(name: &str, opened: Opened, detail: From<'_>) -> Result<Vec<u8>, Failure> {
    let Some((path, opener)) = detail else {
        opened::statement(name, &opened, Lists::NONE)?;
        return Ok(opened.into_statement_bytes());
    };
    let mut statement = opened::statement(name, &opened, Lists::ALL)?;
    drop(opened);
    let mut filler = Filler::default();
    Detail::each_of(path, opener, &mut statement, |record, statement| filler.put(record, statement))?;
    blubr_attestation::write_whole(&statement).map_err(|error| Failure::new(error).at(name))
}

/// What says the same, and neither drives a terminal nor misleads who looks at it. Elsewhere the bytes are those that were
/// signed.
fn for_terminal(json: Vec<u8>) -> Vec<u8> {
    match std::str::from_utf8(&json).map(printable_json) {
        Ok(Cow::Owned(shown)) => shown.into_bytes(),
        _ => json,
    }
}

fn page(name: &str, opened: &Opened, detail: From<'_>, common: &Common) -> Result<Vec<u8>, Failure> {
    let mut statement = opened::statement(name, opened, SHOWN)?;
    let mut entries = Entries::default();
    if let Some((path, opener)) = detail {
        let mut filler = Filler::default();
        Detail::each_of(path, opener, &mut statement, |record, statement| match record.entry {
            Entry::File(file) => {
                entries.count(&file);
                Ok(())
            }
            _ if SHOWN_TABLES.contains(&record.table) => filler.put(record, statement),
            _ => Ok(()),
        })?;
    } else {
        each_file(name, opened.statement_bytes(), |file| entries.count(&file))?;
    }
    let build = &statement.predicate.blubr_build;
    let mut page = Page::new(build, entries, common.color.for_stdout());
    page.elsewhere = build.detail.as_ref().filter(|_| detail.is_none());
    Ok(page.whole(&statement, opened).into_bytes())
}

fn each_file(name: &str, statement: &[u8], take: impl FnMut(File)) -> Result<bool, Failure> {
    blubr_attestation::each_file(statement, take).map_err(|error| Failure::new(error).at(name))
}

/// How many entries the new layers have.
#[derive(Default)]
struct Entries {
    all: usize,
    of_known_step: usize,
}

impl Entries {
    fn count(&mut self, file: &File) {
        self.all += 1;
        self.of_known_step += usize::from(file.step.is_some());
    }
}

struct Page<'a> {
    build: &'a BlubrBuild,
    entries: Entries,
    /// The detail that has the tables, where they are not here.
    elsewhere: Option<&'a Moved>,
    color: bool,
    out: String,
}

impl<'a> Page<'a> {
    fn new(build: &'a BlubrBuild, entries: Entries, color: bool) -> Self {
        Self { build, entries, elsewhere: None, color, out: String::new() }
    }

    fn whole(mut self, statement: &Statement, opened: &Opened) -> String {
        self.head(opened);
        self.steps();
        self.connections(&statement.predicate.monitor_log.network);
        self.unexplained();
        self.verdict();
        self.out
    }

    /// One line; everything in it may come from a hostile build.
    fn line(&mut self, text: impl AsRef<str>) {
        self.out.push_str(&printable(text.as_ref()));
        self.out.push('\n');
    }

    fn title(&mut self, text: &str) {
        let text = if self.color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() };
        let _ = writeln!(self.out, "\n{text}");
    }

    fn row(&mut self, name: &str, text: impl AsRef<str>) {
        self.line(format!("  {name:<11} {}", text.as_ref()));
    }

    fn head(&mut self, opened: &Opened) {
        let build = self.build;
        let heading =
            build.image.as_ref().map_or("a build without an image", |image| image.reference.as_str());
        self.line(format!("Attestation of {heading}"));
        if let Some(image) = &build.image {
            if let Some(manifest) = &image.manifest_digest {
                self.row("manifest", manifest);
            }
            self.row("config", &image.config_digest);
        }
        let exit = build
            .build
            .exit
            .map_or("its end was not seen".to_owned(), |exit| format!("exit status {exit}"));
        let (began, ended) = (short(build.build.began.as_deref()), short(build.build.ended.as_deref()));
        self.row("built by", format!("{}, {began} to {ended} UTC, {exit}", build.build.engine));
        self.row("command", build.build.argv.join(" "));
        if let Some(dockerfile) = &build.dockerfile {
            let taken = match dockerfile.taken {
                Taken::UnchangedSinceOpen => "unchanged since the build opened it",
                Taken::Changed => "CHANGED since the build opened it",
                Taken::NotSeen => "the build was not seen to open it",
            };
            self.row("Dockerfile", format!("{} ({taken})", dockerfile.path));
            self.row("", format!("sha256 {}", dockerfile.sha256));
        }
        if let Some(context) = &build.context {
            let hash = context.digest.get("dirHash").map_or("", String::as_str);
            self.row("context", format!("{}, {} files, dirHash {hash}", context.path, context.files));
        }
        self.row("log", format!("sha256 {}, {} events", build.log.sha256, build.log.events));
        for source in &build.log.sources {
            self.row("", format!("filtered out of sha256 {}, {} events", source.sha256, source.events));
        }
        if let Some(detail) = &build.detail {
            let read = if self.elsewhere.is_some() { ", not read (--detail)" } else { "" };
            let records = detail.annotations.records;
            self.row("detail", format!("{}, {records} records{read}", detail.name));
            self.row("", format!("sha256 {}", detail.sha256()));
        }
        self.signed(opened);
    }

    fn signed(&mut self, opened: &Opened) {
        let text = match opened.envelope() {
            None => "by nobody".to_owned(),
            Some(envelope) => {
                let keys: Vec<&str> = envelope.signatures.iter().map(|one| one.keyid.as_str()).collect();
                format!("by {} (not verified here: blubr-attest verify --cert CERT)", keys.join(", "))
            }
        };
        self.row("signed", text);
        if opened.kind == Kind::Message {
            let to = if opened.encrypted_to.is_empty() {
                "opened by gpg".to_owned()
            } else {
                opened.encrypted_to.join(", ")
            };
            self.row("encrypted", format!("to {to}"));
        }
        if self.build.redactions.count > 0 {
            self.row("redacted", format!("{} secrets were taken out", self.build.redactions.count));
        }
    }

    fn steps(&mut self) {
        self.title("Steps");
        if self.build.steps.is_empty() {
            self.line("  none: no Dockerfile was given");
        }
        for step in &self.build.steps {
            self.step(step);
        }
        for candidate in &self.build.candidates {
            self.line(format!("  one of the steps {}:", candidate.steps.join(", ")));
            self.did(&candidate.counts, &candidate.writes);
        }
        let rest = &self.build.unattributed;
        if rest.counts.processes + rest.counts.network + rest.counts.writes > 0 {
            self.line("  belonging to no step:");
            self.did(&rest.counts, &rest.writes);
            let shared = rest.writes.iter().filter(|touched| touched.shared).count();
            if shared > 0 {
                let what = "of these changes another build of the same time has too, or may have";
                self.line(format!("{:14}{shared} {what}", ""));
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let lines = match step.lines {
            Some([first, last]) if first == last => format!("line {first}"),
            Some([first, last]) => format!("lines {first}-{last}"),
            None => match step.origin {
                blubr_attestation::build::Origin::OnBuild => "ONBUILD".to_owned(),
                _ => "inherited".to_owned(),
            },
        };
        let status = match step.status {
            Status::Observed => "observed",
            Status::Cached => "cached",
            Status::Daemon => "engine",
            Status::NotObserved => "NOT SEEN",
            Status::Candidates => "one of several",
        };
        self.line(format!("  {lines:<11} {status:<14} {}", one_line(&step.text)));
        for cited in step.evidence.iter().filter_map(|one| one.prior.as_deref()) {
            self.line(format!("{:14}{}", "", citation(cited)));
        }
        self.did(&step.counts, &step.writes);
        for one in &step.network {
            self.line(format!("{:14}{}", "", connection(one)));
        }
    }

    fn did(&mut self, counts: &Counts, writes: &[Touched]) {
        let mut parts = Vec::new();
        for (count, one, many) in [
            (counts.processes, "program run", "programs run"),
            (counts.reads, "path read", "paths read"),
            (counts.writes, "path changed", "paths changed"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {}", if count == 1 { one } else { many }));
            }
        }
        if let Some(detail) = self.elsewhere {
            // The lists are not here, which is not to say that they are empty.
            match counts.network {
                0 => {}
                1 => parts.push("1 connection or look-up".to_owned()),
                count => parts.push(format!("{count} connections or look-ups")),
            }
            if !parts.is_empty() {
                self.line(format!("{:14}{}: in {}", "", parts.join(", "), detail.name));
            }
            return;
        }
        if !parts.is_empty() {
            self.line(format!("{:14}{}", "", parts.join(", ")));
        }
        // What lies on a mount (/dev/null, caches) is no part of the image.
        let lasting: Vec<&Touched> = writes.iter().filter(|touched| !touched.mounted).collect();
        for touched in lasting.iter().take(PATHS_SHOWN_MAX) {
            let name = shown(touched.path.as_deref(), touched.path_b64.as_deref());
            let verb = verb(touched);
            let place = if touched.place == Place::Host { ", on the host" } else { "" };
            self.line(format!("{:14}{verb} {name}{place}", ""));
        }
        let more = lasting.len().saturating_sub(PATHS_SHOWN_MAX);
        if more > 0 {
            self.line(format!("{:14}... and {more} more (--json shows all)", ""));
        }
    }

    fn connections(&mut self, network: &[Network]) {
        self.title("Connections");
        if let Some(detail) = self.elsewhere {
            let count = detail.annotations.tables.get(Table::Network.name()).copied().unwrap_or(0);
            self.line(format!("  {count}: in {}", detail.name));
            return;
        }
        if network.is_empty() {
            self.line("  none recorded");
        }
        for one in network {
            let step = one.step.as_deref().map_or("no step".to_owned(), |step| self.lines_of(step));
            self.line(format!("  {step:<11} {}", connection(one)));
        }
    }

    fn lines_of(&self, id: &str) -> String {
        let step = self.build.steps.iter().find(|step| step.id == id);
        match step.and_then(|step| step.lines) {
            Some([first, _]) => format!("line {first}"),
            None => id.to_owned(),
        }
    }

    fn unexplained(&mut self) {
        self.title("Image against record");
        let Some(list) = &self.build.unexplained else {
            self.line("  not checked");
            return;
        };
        if let Some(detail) = self.elsewhere {
            let all = detail.annotations.tables.get(Table::Files.name()).copied().unwrap_or(0);
            self.line(format!("  {all} entries in new layers: in {}", detail.name));
        } else {
            let Entries { all, of_known_step } = self.entries;
            self.line(format!(
                "  {all} entries in new layers, of {of_known_step} of them the step is known"
            ));
        }
        if list.is_empty() {
            let all =
                self.build.checks.iter().any(|one| one.id == EXPLAINED && one.result == Outcome::Pass);
            self.line(if all {
                "  every entry is explained by an event, and every recorded write by the image"
            } else {
                "  nothing is known to be unexplained, and not all is explained: see image-explained"
            });
        }
        for one in list.iter().take(UNEXPLAINED_SHOWN_MAX) {
            let name = shown(one.path.as_deref(), one.path_b64.as_deref());
            let what = match one.what {
                blubr_attestation::build::What::EntryWithoutEvent => {
                    "in the image, and no event explains it"
                }
                blubr_attestation::build::What::WriteNotInImage => {
                    "written or taken away by a step, and the image does not show it"
                }
                blubr_attestation::build::What::ForeignWrite => {
                    "in the image, and written by a process that is no part of the build"
                }
                blubr_attestation::build::What::AttributeWithoutEvent => {
                    "in the image otherwise than any event left it"
                }
            };
            self.line(format!("  {name}: {what}{}", attribute(one)));
        }
        if list.len() > UNEXPLAINED_SHOWN_MAX {
            self.line(format!(
                "  ... and {} more (--json shows all)",
                list.len() - UNEXPLAINED_SHOWN_MAX
            ));
        }
    }

    fn verdict(&mut self) {
        self.title("Verdict");
        let completeness = &self.build.completeness;
        let recording = match completeness.recording {
            Recording::Complete => "complete: nothing was lost while the build ran".to_owned(),
            Recording::Lossy => {
                let outside = of_outside(completeness);
                format!("LOSSY: {} events were lost while the build ran{outside}", completeness.lost)
            }
            Recording::Cut if completeness.late => "CUT: the log begins after the build did".to_owned(),
            Recording::Cut => "CUT: the log ends before the build does, or was cut off".to_owned(),
        };
        self.row("recording", recording);
        // Each is `what: why`; the page has room for the what.
        let missing: Vec<&str> =
            completeness.hooks_missing.iter().map(|one| one.split(':').next().unwrap_or(one)).collect();
        self.row(
            "not covered",
            if missing.is_empty() { "nothing".to_owned() } else { missing.join(", ") },
        );
        let steps = &completeness.steps;
        self.row(
            "steps",
            format!(
                "{} observed, {} by the engine, {} cached, {} one of several, {} not seen",
                steps.observed, steps.daemon, steps.cached, steps.candidates, steps.not_observed
            ),
        );
        for check in &self.build.checks {
            let result = match check.result {
                Outcome::Pass => "pass",
                Outcome::Fail => "FAIL",
                Outcome::Unknown => "unknown",
            };
            let why = check.evidence.first().map_or("", String::as_str);
            self.line(format!("  {result:<11} {} ({}): {why}", check.id, check.scope));
        }
    }
}

/// What an earlier attestation shows of a cached step.
fn citation(cited: &Cited) -> String {
    let what = match (cited.status, &cited.step) {
        (_, None) => "base of equal content".to_owned(),
        (Some(Status::Cached), Some(step)) => format!("layer of equal content cached in step {step}"),
        (_, Some(step)) => format!("layer of equal content seen in step {step}"),
    };
    let further = cited
        .cites
        .as_ref()
        .map_or(String::new(), |cites| format!(", which cites envelope {}", cites.envelope_sha256));
    format!("{what} of envelope {}, signed by {}{further}", cited.envelope_sha256, cited.signed_by)
}

fn verb(touched: &Touched) -> &'static str {
    let has = |one| touched.access.contains(&one);
    let made = has(Access::Write) || has(Access::Create) || has(Access::RenameTo);
    let removed = has(Access::Delete) || has(Access::RenameFrom);
    match (made, removed) {
        (true, true) => match touched.gone {
            Some(true) => "wrote and removed",
            Some(false) => "replaced",
            None => "wrote or removed",
        },
        (false, true) => "removed",
        (true, false) => "wrote",
        (false, false) => "changed",
    }
}

/// The other side's name, and whose word it is.
fn other_side(one: &Network) -> String {
    let Some(name) = &one.hostname else { return String::new() };
    let from = match one.hostname_from {
        Some(HostnameFrom::Sni) => " (its word in TLS)",
        Some(HostnameFrom::Http) => " (its word in HTTP)",
        Some(HostnameFrom::Dns) | None => "",
    };
    let lookup = one.lookup.as_ref().map_or(String::new(), |lookup| format!(" (looked up as {lookup})"));
    format!(" {name}{from}{lookup}")
}

/// What connect(2) returns for a socket that doesn't wait (errno.h).
const EINPROGRESS: i64 = -115;

fn connection(one: &Network) -> String {
    let name = other_side(one);
    let program = one.invoking_process.exe.as_deref().unwrap_or(&one.invoking_process.comm);
    let place = if one.loopback { ", this host itself" } else { "" };
    let bytes = match (one.bytes_sent, one.bytes_received) {
        (Some(sent), Some(received)) => format!(", {sent} bytes out, {received} in"),
        _ => String::new(),
    };
    let times = if one.count > 1 { format!(", {} times", one.count) } else { String::new() };
    let failed = if one.ret < 0 && one.ret != EINPROGRESS {
        format!(", failed (errno {})", -one.ret)
    } else {
        String::new()
    };
    if one.protocol == "dns" {
        return format!("looked up{name} at {}{times} ({program})", one.ip);
    }
    let ip = if one.ip.contains(':') { format!("[{}]", one.ip) } else { one.ip.clone() };
    // Who doesn't wait is told that the connection is begun; that bytes went over it says that it was made.
    let moved = [one.bytes_sent, one.bytes_received].iter().any(|bytes| bytes.is_some_and(|n| n > 0));
    let reached = match one.direction {
        Direction::Out if one.ret == EINPROGRESS && !moved => {
            format!("began to connect to {ip}:{}", one.port)
        }
        Direction::Out => format!("connected to {ip}:{}", one.port),
        // The port is the one that was asked for, our own.
        Direction::In => format!("was reached at port {} from {ip}", one.port),
    };
    format!("{reached}{name} {}{place}{bytes}{times}{failed} ({program})", one.protocol)
}

fn shown(path: Option<&str>, path_b64: Option<&str>) -> String {
    match path::bytes(path, path_b64) {
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        None => "?".to_owned(),
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "\\").collect();
    let joined = words.join(" ");
    if joined.chars().count() <= TEXT_CHARS_MAX {
        return joined;
    }
    joined.chars().take(TEXT_CHARS_MAX - 1).chain(['…']).collect()
}

fn short(time: Option<&str>) -> String {
    time.and_then(|time| time.get(..19)).map_or("?".to_owned(), |time| time.replace('T', " "))
}

/// Which attribute an unexplained entry is about, and the two sides.
fn attribute(one: &blubr_attestation::build::Unexplained) -> String {
    let Some(attribute) = &one.attribute else { return String::new() };
    let (image, recorded) = (one.image.as_deref().unwrap_or("none"), one.recorded.join(" or "));
    let recorded = if recorded.is_empty() { "none" } else { &recorded };
    format!(": {} {}, recorded {}", printable(attribute), printable(image), printable(recorded))
}

#[cfg(test)]
mod tests {
    use blubr_attestation::build::Check;

    use super::*;

    #[test]
    fn all_is_explained_only_where_the_check_passed() {
        for (result, all) in [(Outcome::Pass, true), (Outcome::Unknown, false)] {
            let check = Check { id: EXPLAINED.to_owned(), result, ..Check::default() };
            let build = BlubrBuild {
                unexplained: Some(Vec::new()),
                checks: vec![check],
                ..BlubrBuild::default()
            };
            let mut page = Page::new(&build, Entries::default(), false);
            page.unexplained();
            assert_eq!(page.out.contains("every entry is explained"), all, "{}", page.out);
            assert_eq!(page.out.contains("see image-explained"), !all, "{}", page.out);
        }
    }

    #[test]
    fn of_a_removal_that_the_image_does_not_show_it_is_not_said_that_it_was_written() {
        let what = blubr_attestation::build::What::WriteNotInImage;
        let one = blubr_attestation::build::Unexplained {
            what,
            path: Some("/k".into()),
            ..Default::default()
        };
        let build = BlubrBuild { unexplained: Some(vec![one]), ..BlubrBuild::default() };
        let mut page = Page::new(&build, Entries::default(), false);
        page.unexplained();
        let said = "  /k: written or taken away by a step, and the image does not show it\n";
        assert!(page.out.contains(said), "{}", page.out);
    }

    #[test]
    fn paths_of_the_host_are_marked_and_those_on_mounts_neither_shown_nor_counted() {
        let build = BlubrBuild::default();
        let path = |at: usize| Some(format!("/p{at}"));
        let mut writes: Vec<Touched> = (0..PATHS_SHOWN_MAX + 2)
            .map(|at| Touched { path: path(at), access: vec![Access::Write], ..Touched::default() })
            .collect();
        writes[0].place = Place::Host;
        writes[1].mounted = true;
        let mut page = Page::new(&build, Entries::default(), false);
        page.did(&Counts::default(), &writes);
        assert!(page.out.contains("wrote /p0, on the host\n"), "{}", page.out);
        assert!(!page.out.contains("/p1\n") && page.out.contains("wrote /p8\n"), "{}", page.out);
        assert!(page.out.contains("... and 1 more"), "{}", page.out);
    }

    #[test]
    fn what_was_taken_away_and_given_again_is_not_said_to_be_removed() {
        let said = |access: &[Access], gone| {
            verb(&Touched { access: access.to_vec(), gone, ..Touched::default() })
        };
        let both = [Access::Create, Access::RenameFrom];
        assert_eq!(said(&both, Some(true)), "wrote and removed");
        assert_eq!(said(&both, Some(false)), "replaced");
        // An attestation that doesn't say which was last.
        assert_eq!(said(&both, None), "wrote or removed");
        assert_eq!(said(&both[..1], None), "wrote");
        assert_eq!(said(&[Access::Delete], Some(true)), "removed");
        assert_eq!(said(&[Access::Attributes], None), "changed");
    }

    #[test]
    fn who_was_reached_and_by_whom_is_told_apart_from_who_was_only_asked() {
        let said = |direction, ip: &str| {
            let ip = ip.to_owned();
            let protocol = "tcp".to_owned();
            connection(&Network { ip, port: 80, protocol, direction, count: 2, ..Network::default() })
        };
        let begun = Network { ip: "::1".to_owned(), port: 80, ret: EINPROGRESS, ..Network::default() };
        assert!(connection(&begun).starts_with("began to connect to [::1]:80 "));
        let made = Network { bytes_sent: Some(1), bytes_received: Some(0), ..begun };
        assert!(connection(&made).starts_with("connected to [::1]:80 , 1 bytes out, 0 in"));
        assert_eq!(said(Direction::Out, "::1"), "connected to [::1]:80 tcp, 2 times ()");
        assert_eq!(
            said(Direction::In, "10.0.0.9"),
            "was reached at port 80 from 10.0.0.9 tcp, 2 times ()"
        );
    }

    #[test]
    fn long_instructions_are_cut_and_put_on_one_line() {
        assert_eq!(one_line("RUN a && \\\n    b"), "RUN a && b");
        assert_eq!(one_line(&"é".repeat(200)).chars().count(), TEXT_CHARS_MAX);
    }
}
