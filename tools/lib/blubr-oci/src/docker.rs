//! The local Docker engine over its unix socket (Engine API: ImageInspect, ImageGet).

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use blubr_image::{Digest, Error, Image, Source};

use crate::spool::spool;
use crate::{Options, archive, files};

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// An engine that prepares an image of many GB says nothing meanwhile.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// A status line and headers longer than this are no answer of an engine, in bytes.
const HEAD_BYTES_MAX: u64 = 64 << 10;
/// What an engine tells about an image, in bytes; it is a few kB.
const INSPECT_BYTES_MAX: usize = 16 << 20;

/// An image of the engine, saved into a temporary file.
struct Engine {
    saved: Box<dyn Source>,
    id: Digest,
    tags: Vec<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspect {
    id: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
}

/// Asks the engine for the image called `name`, and saves it under the id that it answers: a build that meanwhile takes
/// the name over doesn't matter.
pub(crate) fn open(name: &str, options: &Options) -> Result<Box<dyn Source>, Error> {
    let host = options.docker_host.as_deref().unwrap_or(DEFAULT_HOST);
    let Some(socket) = host.strip_prefix("unix://") else {
        let host = host.escape_default();
        return Err(Error::Source(format!(
            "DOCKER_HOST is '{host}': only unix:// is spoken here; there `docker save -o app.tar NAME`, then archive:app.tar"
        )));
    };
    let place = format!("docker:{name}");
    let body = get(socket, &format!("/images/{}/json", encoded(name)), &place)?;
    let bytes = files::read_bounded(body, INSPECT_BYTES_MAX)
        .map_err(|error| Error::Io { what: place.clone(), error })?;
    let inspect: Inspect = serde_json::from_slice(&bytes)
        .map_err(|error| Error::Json { what: "the engine's answer", reason: error.to_string() })?;
    let id = Digest::parse(&inspect.id)?;
    let mut body = get(socket, &format!("/images/{id}/get"), &place)?;
    let file = spool(&mut body, options.spool_dir.as_deref(), &place)?;
    let saved = archive::source(file, place, None, options)?;
    Ok(Box::new(Engine { saved, id, tags: inspect.repo_tags.unwrap_or_default() }))
}

impl Source for Engine {
    fn image(&mut self) -> Result<Image, Error> {
        let mut image = self.saved.image()?;
        let is_id = |digest: Option<&Digest>| digest == Some(&self.id);
        if is_id(Some(&image.config_digest)) {
            // The classic store keeps no manifest; the one that newer engines save is made for the archive.
            image.manifest = None;
            image.index_digest = None;
            for layer in &mut image.layers {
                layer.blob = None;
            }
        } else if !is_id(image.manifest.as_ref().map(|facts| &facts.digest))
            && !is_id(image.index_digest.as_ref())
        {
            return Err(Error::Inconsistent {
                reason: format!(
                    "the engine calls the image {}, which is the digest neither of its config ({}) nor of a manifest that it gives",
                    self.id, image.config_digest
                ),
            });
        }
        image.engine_id = Some(self.id.clone());
        image.tags = self.tags.clone();
        Ok(image)
    }

    fn layer(&mut self, index: usize) -> Result<Box<dyn Read + '_>, Error> {
        self.saved.layer(index)
    }
}

/// The body of the answer to GET `path`. HTTP/1.0, so that the engine neither chunks nor keeps the connection; the path
/// has no version, so that any engine takes it.
fn get(socket: &str, path: &str, place: &str) -> Result<impl Read + use<>, Error> {
    let io = |error| Error::Io { what: format!("the Docker engine at {socket}"), error };
    let mut stream = UnixStream::connect(Path::new(socket)).map_err(|error| {
        Error::Source(format!(
            "{place}: no Docker engine answers at {socket}: {error}: start it, or set DOCKER_HOST=unix://SOCKET"
        ))
    })?;
    stream.set_read_timeout(Some(SILENCE_MAX)).map_err(io)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: docker\r\nUser-Agent: blubr\r\n\r\n").map_err(io)?;
    let mut reader = BufReader::new(stream);
    let (status, length) = head(&mut reader)
        .map_err(io)?
        .ok_or_else(|| Error::Source(format!("{place}: what listens at {socket} doesn't speak HTTP")))?;
    if status == 200 {
        return Ok(Whole { inner: reader, left: length });
    }
    const MESSAGE_BYTES_MAX: u64 = 4096;
    let mut message = Vec::new();
    let _ = reader.take(MESSAGE_BYTES_MAX).read_to_end(&mut message);
    let said = serde_json::from_slice::<serde_json::Value>(&message)
        .ok()
        .and_then(|json| Some(json.get("message")?.as_str()?.to_owned()))
        .unwrap_or_else(|| String::from_utf8_lossy(&message).trim().to_owned());
    Err(Error::Source(format!("{place}: the engine says {status}: {}", said.escape_default())))
}

/// Status and Content-Length; `None` when this is no HTTP.
fn head(reader: &mut impl BufRead) -> std::io::Result<Option<(u16, Option<u64>)>> {
    let mut reader = reader.take(HEAD_BYTES_MAX);
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let line_text = String::from_utf8_lossy(&line).into_owned();
    let Some(status) = line_text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok())
    else {
        return Ok(None);
    };
    let mut length = None;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&line);
        match text.trim().split_once(':') {
            Some((key, value)) if key.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().ok()
            }
            None if text.trim().is_empty() => return Ok(Some((status, length))),
            _ => {}
        }
    }
}

/// A body that must be as long as its head said.
struct Whole<R> {
    inner: R,
    left: Option<u64>,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Some(left) = &mut self.left else { return self.inner.read(buffer) };
        let want = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(&mut buffer[..want])?;
        *left -= read as u64;
        if read == 0 && want > 0 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                "the engine's answer is cut",
            ));
        }
        Ok(read)
    }
}

/// A name fit for a request line: all but what names of images are made of is percent-encoded.
fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/' | b':' | b'@' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_path_of_one_request() {
        assert_eq!(encoded("localhost:5000/a/b:1"), "localhost:5000/a/b:1");
        assert_eq!(encoded("a b\r\nX: y?z#%"), "a%20b%0D%0AX:%20y%3Fz%23%25");
    }

    #[test]
    fn heads_are_read_or_refused() {
        let read = |text: &str| head(&mut text.as_bytes()).unwrap();
        assert_eq!(
            read("HTTP/1.0 200 OK\r\nA: b\r\ncontent-LENGTH: 7\r\n\r\nbody"),
            Some((200, Some(7)))
        );
        assert_eq!(read("HTTP/1.1 404 Not Found\n\n"), Some((404, None)));
        for text in ["", "SSH-2.0-x\r\n", "HTTP/1.0 2x0 OK\r\n\r\n", "HTTP/1.0 200 OK\r\nA: b\r\n"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_cut_body_is_an_error() {
        let mut body = Whole { inner: &b"abc"[..], left: Some(4) };
        assert!(body.read_to_end(&mut Vec::new()).is_err());
        let mut bytes = Vec::new();
        Whole { inner: &b"abcd"[..], left: Some(3) }.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"abc");
    }
}
