//! A recording from its first line to its trailer: probes in, command run, probes out.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Instant;

use blubr_cli::{Exit, Failure, say};
use blubr_log::{Header, Hook, LineMark, Part, SCHEMA, Time, Tool, Writer};
use blubr_probes::wire::WIRE_ARGV_MAX;

use crate::backend::{self, Loaded};
use crate::caps;
use crate::cgroup::{self, Cgroups};
use crate::command::Command;
use crate::copies::Copies;
use crate::decode::{DecodeError, Decoder};
use crate::drain::{Drain, clock_ns, monotonic_ns};
use crate::host;
use crate::log::{Clock, Log};
use crate::output::Output;
use crate::plan::{Plan, TOOL};
use crate::queue::{Queue, Tell};
use crate::ready;
use crate::rotation::{Listing, Rotation};
use crate::signals::Signals;
use crate::sink::{LogSink, Patient, Progress, Sinks};
use crate::spill::Spill;
use crate::stop::Stop;

/// Bytes of the command that the header holds, as of a program's arguments: with every byte escaped to six they fit a line.
const COMMAND_BYTES_MAX: usize = WIRE_ARGV_MAX as usize;
/// Readings of both clocks, of which the closest pair counts.
const CLOCK_READINGS: usize = 8;

/// Records what the plan says.
///
/// # Errors
/// When nothing, or not everything, could be recorded.
pub fn record(plan: &Plan) -> Result<Exit, Failure> {
    check_rights()?;
    // Before the command's process is made, which must not have the descriptor; and before signals are waited for: what is a FIFO
    // opens only when somebody reads it.
    let copies = plan.checkpoints_to.as_ref().map(Copies::open).transpose();
    let copies = copies.map_err(|f| f.exit(Exit::NotRecorded))?;
    let output = match (&plan.rotate, &plan.output) {
        (Some(rotate), Some(path)) => Output::create_part(path, rotate.keep),
        _ => Output::create(plan.output.as_deref()),
    };
    let output = output.map_err(|f| f.exit(Exit::NotRecorded))?;
    let signals = Signals::block();
    let command = match plan.command.is_empty() {
        true => Ok(None),
        false => Command::prepare(&plan.command, signals.before()).map(Some),
    };
    let begun = command.map_err(|e| not_recorded(&e)).and_then(|command| {
        begin(plan, command.as_ref(), &output, copies).map(|recording| (command, recording))
    });
    match begun {
        Ok((command, recording)) => run(plan, command, recording, output, &signals),
        Err(failure) => {
            output.discard();
            Err(failure)
        }
    }
}

fn not_recorded(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(error).exit(Exit::NotRecorded)
}

/// Names the capabilities that are missing; refuses where process ids would not be the kernel's.
fn check_rights() -> Result<(), Failure> {
    if !host::in_initial_pid_namespace() {
        let what = "this is not the initial pid namespace: processes could not be told apart";
        return Err(Failure::new(what).advise("run it on the host").exit(Exit::NotRecorded));
    }
    let missing = caps::missing().map_err(|e| not_recorded(&e))?;
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(|cap| format!("{} ({})", cap.name, cap.why)).collect();
    let what = format!("cannot record without {}", names.join(", "));
    Err(Failure::new(what).advise("run it as root, such as with sudo").exit(Exit::NotRecorded))
}

/// A recording under way.
struct Recording {
    loaded: Loaded,
    began_ns: u64,
    stop: Arc<Stop>,
    drain: JoinHandle<Result<Log<LogQueue>, DecodeError>>,
    listing: Arc<Listing>,
    /// Why the processes could not be listed for a part.
    not_listed: Option<backend::LoadError>,
}

type LogQueue = Queue<Sinks>;

impl Recording {
    /// What the draining thread asks of the main one. `false` when that thread has ended.
    fn look(&mut self) -> bool {
        if let Err(error) = self.listing.serve(|| self.loaded.list_processes()) {
            self.not_listed = Some(error);
        }
        !self.drain.is_finished()
    }
}

/// Attaches the probes, writes what is there already, and starts to drain.
fn begin(
    plan: &Plan,
    command: Option<&Command>,
    output: &Output,
    copies: Option<Copies>,
) -> Result<Recording, Failure> {
    let options = backend::Options {
        own_pid: std::process::id(),
        command_pid: command.map(|command| command.pid),
        ring_bytes: plan.ring_bytes,
        no_failed: plan.no_failed,
        without: plan.without_probes.clone(),
        only_called: plan.without_typed_loads,
        by_perf: plan.by_perf,
    };
    let refused = |e: backend::LoadError| {
        not_recorded(&e).advise("blubr-record --check says what this host lacks")
    };
    let (mut loaded, ring, losses) = backend::load(&options).map_err(refused)?;
    let mountinfo = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let (layout, tree) = cgroup::layout(&mountinfo);
    let began_ns = monotonic_ns();
    loaded.attach(tree.as_deref()).map_err(refused)?;

    let clock = read_clocks();
    let header = Header {
        started: clock.time(monotonic_ns()),
        part: output.part().map(|number| Part { number, previous: None, events: 0 }),
        ..header(plan, command, &loaded, layout)
    };
    let place = |e: io::Error| Failure::io(output.name(), &e).exit(Exit::NotRecorded);
    let progress = Arc::new(Progress::default());
    let queue = queue(plan, output, copies, Arc::clone(&progress));
    let queue = queue.map_err(|e| e.exit(Exit::NotRecorded))?;
    let mut writer = Writer::new(queue, &header).map_err(place)?;
    writer.at_marks(|queue, mark, line| queue.mark(mark, line));
    let log = Log::new(writer, clock, Cgroups::new(tree));
    let listing = Arc::new(Listing::default());
    let rotation = plan.rotate.map(|rotate| Rotation {
        header,
        bytes: rotate.bytes,
        progress,
        listing: Arc::clone(&listing),
        ended: 0,
    });
    let mut drain = Drain::new(ring, losses, Decoder::new(loaded.counted()), log, rotation);
    loaded.list_processes().map_err(refused)?;
    drain.write_existing().map_err(|e| not_recorded(&e).at(output.name()))?;

    let stop = Arc::new(Stop::new().map_err(|e| not_recorded(&e))?);
    let told = Arc::clone(&stop);
    let thread = std::thread::Builder::new().name("drain".to_owned()).spawn(move || {
        drop_caps(caps::DRAIN);
        drain.run(&told)
    });
    let drain = thread.map_err(|e| not_recorded(&e))?;
    drop_caps(if plan.rotate.is_some() { caps::MAIN_PARTS } else { caps::MAIN });
    Ok(Recording { loaded, began_ns, stop, drain, listing, not_listed: None })
}

/// What is the same in the header of every part.
fn header(plan: &Plan, command: Option<&Command>, loaded: &Loaded, layout: cgroup::Layout) -> Header {
    let (words, is_cut) = words(&plan.command, COMMAND_BYTES_MAX);
    Header {
        r#type: LineMark::Header.name().to_owned(),
        schema: SCHEMA.to_owned(),
        tool: Tool { name: TOOL.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        started: Time(0),
        host: host::host(layout),
        backend: "tracepoint".to_owned(),
        hooks: hooks(loaded),
        not_covered: host::not_covered(layout, loaded.refused(), plan.no_failed),
        scope: "host".to_owned(),
        command: command.map(|_| words),
        truncated: if is_cut { vec!["command".to_owned()] } else { Vec::new() },
        command_pid: command.map(|command| command.pid),
        part: None,
        filters: Vec::new(),
    }
}

/// The queue to the output, with what it needs when that stalls.
fn queue(
    plan: &Plan,
    output: &Output,
    copies: Option<Copies>,
    progress: Arc<Progress>,
) -> Result<LogQueue, Failure> {
    let spill = spill(plan)?;
    let place = |e: io::Error| Failure::io(output.name(), &e);
    let ending = Arc::new(AtomicBool::new(false));
    // Said also under --quiet: it is about what the log will lack.
    let tell: Tell = Arc::new(|what| say(TOOL, what));
    let file = output.writer().map_err(place)?;
    let patient = Patient::new(file, Arc::clone(&ending), Arc::clone(&tell));
    let sinks = Sinks {
        log: LogSink::new(patient, plan.compress).map_err(place)?,
        output: output.clone(),
        copies,
        not_copied: None,
        progress,
        pruned: Instant::now(),
        tell: Arc::clone(&tell),
    };
    let keep = if plan.rotate.is_some() { caps::WRITE_PARTS } else { caps::WRITE };
    Queue::new(sinks, spill, || drop_caps(keep), ending, tell).map_err(place)
}

fn spill(plan: &Plan) -> Result<Option<Spill>, Failure> {
    let Some(wanted) = &plan.spill else { return Ok(None) };
    match Spill::create(&wanted.folder, wanted.bytes_max) {
        Ok(spill) => Ok(Some(spill)),
        Err(error) => {
            let failure = Failure::io(wanted.folder.display(), &error)
                .advise("--spill DIR names another folder for what the log's reader does not take");
            if wanted.asked {
                return Err(failure);
            }
            plan.common.note(TOOL, failure);
            Ok(None)
        }
    }
}

/// Without a capability that is not there, dropping it can't fail; should it, we go on with what we have.
fn drop_caps(keep: &[caps::Cap]) {
    let _ = caps::drop_all_but(keep);
}

fn hooks(loaded: &Loaded) -> Vec<Hook> {
    let hook =
        |(name, at): &(&str, &str)| Hook { name: (*name).to_owned(), attach: backend::place(name, at) };
    loaded.attached().iter().map(hook).collect()
}

/// The first words of a command that have room, each with one byte behind it, and whether any was cut or left out.
fn words(command: &[OsString], bytes_max: usize) -> (Vec<String>, bool) {
    let (mut kept, mut left) = (Vec::new(), bytes_max);
    for word in command {
        let mut word = word.to_string_lossy().into_owned();
        if word.len() >= left {
            let end = (0..left).rev().find(|at| word.is_char_boundary(*at)).unwrap_or(0);
            word.truncate(end);
            if end > 0 {
                kept.push(word);
            }
            return (kept, true);
        }
        left -= word.len() + 1;
        kept.push(word);
    }
    (kept, false)
}

/// Both clocks, as close together as they can be read.
fn read_clocks() -> Clock {
    let mut best = (u64::MAX, Clock::new(0, 0));
    for _ in 0..CLOCK_READINGS {
        let before = monotonic_ns();
        let realtime = clock_ns(libc::CLOCK_REALTIME);
        let gap = monotonic_ns().saturating_sub(before);
        if gap < best.0 {
            best = (gap, Clock::new(realtime, before + gap / 2));
        }
    }
    best.1
}

/// Where nobody is told the log is none the worse, but who waits for it waits in vain, and must know why.
fn tell_ready() {
    let Some(socket) = std::env::var_os(ready::VARIABLE).filter(|name| !name.is_empty()) else { return };
    if let Err(error) = ready::tell(&socket) {
        let name = socket.to_string_lossy();
        let text = format!("{}: {name}: nobody is told that this records: {error}", ready::VARIABLE);
        say(TOOL, text);
    }
}

/// Runs the command, or waits for a signal; then ends the log.
fn run(
    plan: &Plan,
    command: Option<Command>,
    mut recording: Recording,
    output: Output,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let mut not_run = None;
    let exit = match command {
        None => {
            plan.common.note(TOOL, "recording; end it with SIGINT or SIGTERM");
            tell_ready();
            signals.until_stopped(|| recording.look());
            None
        }
        Some(mut command) => {
            not_run = command.start().err();
            let ended = signals.until_ended(&command, || {
                recording.look();
            });
            Some(ended.status())
        }
    };
    let Lost { events, missed } = end(recording, output, exit.map(i32::from))?;
    if events > 0 {
        let what = format!("{events} events were lost");
        let advice = if missed < events {
            "--ring-size holds more"
        } else {
            "the kernel passed the probes over; KERNELS in blubr-record(1) says where it does"
        };
        if plan.fail_on_loss {
            return Err(Failure::new(what).advise(advice).exit(Exit::NotRecorded));
        }
        plan.common.note(TOOL, format!("{what}: {advice}"));
    }
    match (not_run, exit) {
        (Some(error), Some(status)) => {
            let name = plan.command.first().map(|word| word.to_string_lossy().into_owned());
            let failure = Failure::new(error).at(name.unwrap_or_default());
            let exit = if status == 127 { Exit::NotFound } else { Exit::NotExecutable };
            Err(failure.exit(exit))
        }
        (_, Some(status)) => Ok(Exit::Command(status)),
        (_, None) => Ok(Exit::Done),
    }
}

/// How many events were lost, and of these how many because the kernel passed probes over.
struct Lost {
    events: u64,
    missed: u64,
}

/// Takes the probes out, drains what is left, writes the trailer.
fn end(recording: Recording, output: Output, exit: Option<i32>) -> Result<Lost, Failure> {
    let Recording { mut loaded, began_ns, stop, drain, not_listed, .. } = recording;
    let missed = loaded.missed();
    let passed_over = missed.values().sum();
    loaded.detach();
    let ended_ns = monotonic_ns();
    stop.ask();
    let name = output.name().to_owned();
    let failed = |e: &dyn std::fmt::Display| not_recorded(e).at(&name);
    let mut log = match drain.join() {
        Ok(drained) => drained.map_err(|e| failed(&e))?,
        Err(_) => return Err(failed(&"the draining thread panicked")),
    };
    if !missed.is_empty() {
        log.lost(missed, 0, began_ns, ended_ns).map_err(|e| failed(&e))?;
    }
    // The last before the trailer: whoever has the checkpoints has the end too.
    log.writer().checkpoint().map_err(|e| failed(&e))?;
    let lost = Lost { events: log.writer().lost_total(), missed: passed_over };
    let queue = log.finish(ended_ns, exit).map_err(|e| failed(&e))?;
    let sinks = queue.end().map_err(|e| failed(&e))?;
    output.commit().map_err(|e| failed(&e))?;
    if let Some(error) = sinks.not_copied {
        let what = format!("the log is whole, but not every checkpoint was copied: {error}");
        return Err(not_recorded(&what));
    }
    if let Some(error) = not_listed {
        let what = format!("the log is whole, but a part does not begin with the processes: {error}");
        return Err(not_recorded(&what));
    }
    Ok(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_cut_between_letters() {
        let cut = |command: &[&str], max| {
            let command: Vec<OsString> = command.iter().map(OsString::from).collect();
            words(&command, max)
        };
        let kept = |words: &[&str], cut| (words.iter().map(|word| (*word).to_owned()).collect(), cut);
        assert_eq!(cut(&["ab", "", "c"], 6), kept(&["ab", "", "c"], false));
        assert_eq!(cut(&["ab", "", "c"], 5), kept(&["ab", ""], true));
        assert_eq!(cut(&["ab", "cde"], 6), kept(&["ab", "cd"], true));
        // Two bytes each, of which one would have room.
        assert_eq!(cut(&["ab", "éé"], 7), kept(&["ab", "é"], true));
        assert_eq!(cut(&["ab", ""], 3), kept(&["ab"], true));
    }
}
