//! A layer's bytes without their compression, which the first bytes tell.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

/// Windows up to this need as much memory (64 MiB); the strongest setting of the engines' encoder asks for half of it.
const ZSTD_WINDOW_LOG_MAX: u32 = 26;
const BUFFER_BYTES: usize = 64 << 10;

type Source<'a> = BufReader<Box<dyn Read + 'a>>;

/// A layer, decompressed while it is read, up to the end of what lies beneath.
pub struct Decompressed<'a>(Inner<'a>);

enum Inner<'a> {
    Raw(Source<'a>),
    Gzip(Option<Box<GzDecoder<Source<'a>>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Source<'a>>>),
}

impl<'a> Decompressed<'a> {
    /// Whether these first bytes are those of a compression that is understood.
    pub fn is_compressed(head: &[u8]) -> bool {
        // A zstd frame (RFC 8878, 3.1.1), or a skippable one (3.1.2).
        matches!(
            head,
            [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
        )
    }

    /// Reads `inner`, whose first bytes say how.
    pub fn new(inner: Box<dyn Read + 'a>) -> io::Result<Decompressed<'a>> {
        // A reader may give its first bytes one by one; four are needed to tell.
        let mut head = [0; 4];
        let mut inner = inner;
        let mut filled = 0;
        while filled < head.len() {
            match inner.read(&mut head[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let whole: Box<dyn Read + 'a> = Box::new(io::Cursor::new(head).take(filled as u64).chain(inner));
        let source = BufReader::with_capacity(BUFFER_BYTES, whole);
        let head = &head[..filled];
        Ok(Decompressed(match head.first() {
            Some(0x1f) if Self::is_compressed(head) => {
                Inner::Gzip(Some(Box::new(GzDecoder::new(source))))
            }
            Some(_) if Self::is_compressed(head) => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Inner::Zstd(Box::new(decoder))
            }
            _ => Inner::Raw(source),
        }))
    }
}

impl Read for Decompressed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Raw(source) => source.read(buffer),
            Inner::Zstd(decoder) => decoder.read(buffer),
            Inner::Gzip(slot) => loop {
                let Some(decoder) = slot else { return Ok(0) };
                let read = decoder.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
                *slot =
                    slot.take().map(|decoder| next_member(decoder.into_inner())).transpose()?.flatten();
            },
        }
    }
}

/// After a gzip member: one more, or the end, which may be padded with zeros.
fn next_member(mut source: Source<'_>) -> io::Result<Option<Box<GzDecoder<Source<'_>>>>> {
    match source.fill_buf()?.first() {
        None => return Ok(None),
        Some(0x1f) => return Ok(Some(Box::new(GzDecoder::new(source)))),
        Some(_) => {}
    }
    loop {
        let padding = source.fill_buf()?;
        if padding.is_empty() {
            return Ok(None);
        }
        if padding.iter().any(|&byte| byte != 0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "something that is not gzip follows the layer",
            ));
        }
        let len = padding.len();
        source.consume(len);
    }
}
