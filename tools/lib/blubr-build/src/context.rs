//! The clients of engines, what they read, and whether that is what an engine then wrote as a build's context.

use std::collections::HashMap;

use crate::build::{Ended, Moment, ProcessKey};
use crate::path::base;
use crate::process::Process;

/// Opens of one client that are remembered, by name: a context of so many files.
const OPENS_MAX: usize = 1 << 16;
/// Opens of all clients together.
const OPENS_TOTAL_MAX: usize = 1 << 18;
/// Clients that are remembered.
const CLIENTS_MAX: usize = 1 << 14;
/// Sockets of one client.
const SOCKETS_MAX: usize = 16;

/// A file that an engine wrote as part of a context.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ContextFile {
    pub(crate) made: u64,
    pub(crate) size: u64,
}

/// A process that connected to a Unix socket: it may have asked an engine for something.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) key: ProcessKey,
    pub(crate) parent: Option<ProcessKey>,
    pub(crate) argv: Vec<Vec<u8>>,
    /// As of [`Process`].
    pub(crate) argv_cut: bool,
    pub(crate) cwd: Option<Vec<u8>>,
    pub(crate) uid: u32,
    pub(crate) sockets: Vec<Vec<u8>>,
    pub(crate) began: Moment,
    pub(crate) connected: Moment,
    pub(crate) ended: Option<(Moment, Ended)>,
    pub(crate) of_command: bool,
    /// The first process of the container that it runs in.
    pub(crate) inside: Option<ProcessKey>,
    opens: HashMap<Vec<u8>, Vec<Opened>>,
    open_count: usize,
}

#[derive(Debug, Clone)]
struct Opened {
    path: Vec<u8>,
    size: u64,
    seq: u64,
}

impl Client {
    pub(crate) fn opened(&mut self, path: &[u8], size: u64, seq: u64) {
        if self.open_count >= OPENS_MAX {
            return;
        }
        self.open_count += 1;
        self.opens.entry(base(path).to_vec()).or_default().push(Opened {
            path: path.to_vec(),
            size,
            seq,
        });
    }

    /// It was there before the recording and never seen to connect: it may be anyone's client, or no one's.
    pub(crate) fn is_ghost(&self) -> bool {
        self.sockets.is_empty()
    }

    /// What its command line says of something, as [`blubr_dockerfile::asked`] reads it.
    pub(crate) fn says<T>(&self, of: impl FnOnce(&[&str]) -> T) -> T {
        let words: Vec<_> = self.argv.iter().map(|word| String::from_utf8_lossy(word)).collect();
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        of(&words)
    }

    /// Whether it asks for a build by what it was told to do. Never enough alone: it must also have reached an
    /// engine that then began steps.
    pub(crate) fn asks_for_build(&self) -> bool {
        says_build(&self.argv)
    }
}

/// Whether a command line of a client has the word for building.
pub(crate) fn says_build(argv: impl IntoIterator<Item = impl AsRef<[u8]>>) -> bool {
    // `docker buildx b`: a letter is a word for building behind that name only.
    let mut is_buildx = false;
    argv.into_iter().enumerate().any(|(at, word)| {
        let word = word.as_ref();
        let builds = matches!(word, b"build" | b"bud" | b"bake" | b"build-using-dockerfile");
        let says = at > 0 && (builds || is_buildx && word == b"b");
        is_buildx |= matches!(base(word), b"buildx" | b"docker-buildx");
        says
    })
}

/// All clients, the living and those that ended after an engine had done something.
#[derive(Default)]
pub(crate) struct Clients {
    all: HashMap<ProcessKey, Client>,
    engine_active: u64,
    open_total: usize,
}

impl Clients {
    pub(crate) fn get_mut(&mut self, key: ProcessKey) -> Option<&mut Client> {
        if self.all.is_empty() || self.open_total >= OPENS_TOTAL_MAX {
            return None;
        }
        let client = self.all.get_mut(&key)?;
        self.open_total += 1;
        Some(client)
    }

    pub(crate) fn connected(
        &mut self,
        key: ProcessKey,
        process: &Process,
        path: &[u8],
        now: Moment,
        of_command: bool,
        inside: Option<ProcessKey>,
    ) {
        let Some(client) = self.meet(key, process, now) else { return };
        if client.is_ghost() {
            client.connected = now;
        }
        client.inside = inside;
        client.of_command |= of_command;
        if client.sockets.len() < SOCKETS_MAX && !client.sockets.iter().any(|known| known == path) {
            client.sockets.push(path.to_vec());
        }
    }

    /// A process that was there before the recording, with the command line of a client that builds: it may have
    /// connected before.
    pub(crate) fn existed(&mut self, key: ProcessKey, process: &Process, now: Moment) {
        if says_build(&process.argv) {
            self.meet(key, process, now);
        }
    }

    /// A process runs another program: what it was before is no sign of what it is.
    pub(crate) fn execed(&mut self, key: ProcessKey) {
        if self.all.get(&key).is_some_and(Client::is_ghost) {
            self.all.remove(&key);
        }
    }

    fn meet(&mut self, key: ProcessKey, process: &Process, now: Moment) -> Option<&mut Client> {
        if !self.all.contains_key(&key) && self.all.len() >= CLIENTS_MAX {
            return None;
        }
        Some(self.all.entry(key).or_insert_with(|| Client {
            key,
            parent: process.parent,
            argv: process.argv.clone(),
            argv_cut: process.argv_cut,
            cwd: process.cwd.clone(),
            uid: process.uid,
            inside: None,
            sockets: Vec::new(),
            began: process.began,
            connected: now,
            ended: None,
            of_command: false,
            opens: HashMap::new(),
            open_count: 0,
        }))
    }

    pub(crate) fn engine_active(&mut self, now: Moment) {
        self.engine_active = now.seq;
    }

    pub(crate) fn ended(&mut self, key: ProcessKey, now: Moment, ended: Ended) {
        let Some(client) = self.all.get_mut(&key) else { return };
        if client.connected.seq > self.engine_active {
            // No engine did anything while it was there.
            let count = client.open_count;
            self.open_total = self.open_total.saturating_sub(count);
            self.all.remove(&key);
            return;
        }
        client.ended = Some((now, ended));
        // Nothing that an engine writes from now on can be matched with it.
        self.open_total = self.open_total.saturating_sub(client.open_count);
        client.opens = HashMap::new();
    }

    /// Who, of the living, read a file of this name and size between the two events.
    pub(crate) fn vote(
        &self,
        name: &[u8],
        size: u64,
        after: u64,
        before: u64,
        votes: &mut HashMap<ProcessKey, u64>,
    ) {
        for client in self.all.values().filter(|client| client.ended.is_none()) {
            let Some(opens) = client.opens.get(base(name)) else { continue };
            let read = opens.iter().any(|open| {
                open.size == size
                    && open.seq > after
                    && open.seq < before
                    && open.path.strip_suffix(name).is_some_and(|dir| dir.ends_with(b"/"))
            });
            if read {
                *votes.entry(client.key).or_default() += 1;
            }
        }
    }

    /// All that are left, in the order in which they began.
    pub(crate) fn into_sorted(self) -> Vec<Client> {
        let mut clients: Vec<Client> = self.all.into_values().collect();
        clients.sort_by_key(|client| (client.began, client.key));
        clients
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_for_building() {
        let says = |line: &str| says_build(line.split(' '));
        for line in [
            "docker build .",
            "/usr/bin/docker --context x buildx build .",
            "docker buildx --builder x b .",
            "/usr/libexec/docker/cli-plugins/docker-buildx buildx b .",
            "/opt/buildx b",
            "docker buildx bake",
            "podman build-using-dockerfile .",
            "buildah bud .",
        ] {
            assert!(says(line), "{line}");
        }
        for line in ["build", "docker ps", "docker run x b", "b buildx", "docker b buildx", "buildx ls"]
        {
            assert!(!says(line), "{line}");
        }
    }
}
