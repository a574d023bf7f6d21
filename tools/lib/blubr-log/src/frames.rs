//! zstd around a log: one frame up to each checkpoint, so that a file that was cut reads up to the last.

use std::io::{self, Read, Write};

use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation as _, OutBuffer};
use zstd::stream::read::Decoder;

/// First bytes of a zstd frame (RFC 8878 section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// log2 of the largest zstd window that is accepted, in bytes: 8 MiB, the most that `zstd -19` asks for. It bounds what a
/// hostile frame can make us allocate.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// zstd's level 1: 18 times smaller at more than a gigabyte a second; higher levels cost several times that.
const ZSTD_LEVEL: i32 = 1;

/// Compressed bytes handed on at a time.
const BUFFER_BYTES: usize = 1 << 17;

/// Compresses what is written. [`Compressed::seal`] ends a frame; what stands before it can be read whatever becomes of
/// the rest. Each frame ends with a checksum of its content.
pub struct Compressed<W: Write> {
    out: W,
    encoder: Encoder<'static>,
    buffer: Vec<u8>,
    /// Bytes of `buffer` in use.
    filled: usize,
    /// A frame is begun.
    open: bool,
    /// Bytes handed on.
    written: u64,
}

impl<W: Write> Compressed<W> {
    /// Nothing compressed yet.
    ///
    /// # Errors
    /// When zstd can't be set up.
    pub fn new(out: W) -> io::Result<Self> {
        let mut encoder = Encoder::new(ZSTD_LEVEL)?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Compressed {
            out,
            encoder,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            open: false,
            written: 0,
        })
    }

    /// Ends the frame, if one is begun, and flushes. The next write begins another.
    ///
    /// # Errors
    /// What the output returns.
    pub fn seal(&mut self) -> io::Result<()> {
        while self.open {
            let mut buffer = OutBuffer::around_pos(&mut self.buffer[..], self.filled);
            let left = self.encoder.finish(&mut buffer, true)?;
            self.filled = buffer.pos();
            self.hand_on()?;
            if left == 0 {
                self.encoder.reinit()?;
                self.open = false;
            }
        }
        self.out.flush()
    }

    /// Ends the frame and gives the output back.
    ///
    /// # Errors
    /// What the output returns.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal()?;
        Ok(self.out)
    }

    /// What is written to.
    pub fn get(&self) -> &W {
        &self.out
    }

    /// What is written to, for what is not a log's bytes.
    pub fn output(&mut self) -> &mut W {
        &mut self.out
    }

    /// Compressed bytes handed on so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    fn hand_on(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer[..self.filled])?;
        self.written += self.filled as u64;
        self.filled = 0;
        Ok(())
    }
}

impl<W: Write> Write for Compressed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            let mut input = InBuffer::around(bytes);
            let mut buffer = OutBuffer::around_pos(&mut self.buffer[..], self.filled);
            self.encoder.run(&mut input, &mut buffer)?;
            self.filled = buffer.pos();
            self.open = true;
            if self.filled == BUFFER_BYTES {
                self.hand_on()?;
            }
            if input.pos() > 0 {
                return Ok(input.pos());
            }
        }
    }

    /// What lies in an open frame waits for its end: frames cut short at each flush would be many times larger.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The bytes of a log, decompressed if their first four say that they are zstd's.
///
/// A compressed log that stops in the middle of a frame ends where its bytes do, like one that isn't compressed; but where that
/// leaves nothing, it is no empty one.
pub struct Plain<R: Read>(Bytes<R>);

enum Bytes<R: Read> {
    Plain(io::Chain<io::Cursor<Vec<u8>>, R>),
    /// And whether anything has come out of it yet.
    Zstd(Box<Decoder<'static, Buffered<R>>>, bool),
    /// A compressed log that stopped in the middle of a frame.
    Cut,
}

type Buffered<R> = io::BufReader<io::Chain<io::Cursor<Vec<u8>>, R>>;

impl<R: Read> Plain<R> {
    /// Looks at the first bytes.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn new(mut source: R) -> io::Result<Self> {
        let mut magic = Vec::with_capacity(ZSTD_MAGIC.len());
        source.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut magic)?;
        let compressed = magic == ZSTD_MAGIC;
        let whole = io::Cursor::new(magic).chain(source);
        if !compressed {
            return Ok(Plain(Bytes::Plain(whole)));
        }
        let mut decoder = Decoder::with_buffer(io::BufReader::new(whole))?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Ok(Plain(Bytes::Zstd(Box::new(decoder), false)))
    }
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Bytes::Plain(plain) => plain.read(out),
            Bytes::Zstd(decoder, begun) => match decoder.read(out) {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && *begun => {
                    self.0 = Bytes::Cut;
                    Ok(0)
                }
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    let what =
                        "it was cut off within its first zstd frame: copy it whole, or record again";
                    Err(io::Error::new(io::ErrorKind::InvalidData, what))
                }
                Ok(read) => {
                    *begun |= read > 0;
                    Ok(read)
                }
                // zstd's own errors carry no code of the system's.
                Err(e) if e.kind() == io::ErrorKind::Other && e.raw_os_error().is_none() => {
                    let what = format!(
                        "its zstd frame is damaged, or asks for more than 8 MiB of window (compress with -19 at most): {e}"
                    );
                    Err(io::Error::new(io::ErrorKind::InvalidData, what))
                }
                other => other,
            },
            Bytes::Cut => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(parts: &[&[u8]]) -> Vec<u8> {
        let mut out = Compressed::new(Vec::new()).unwrap();
        for part in parts {
            out.write_all(part).unwrap();
            out.seal().unwrap();
        }
        out.finish().unwrap()
    }

    fn plain(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Plain::new(bytes)?.read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn each_seal_ends_a_frame_that_zstd_reads_alone() {
        let frames = packed(&[b"one\n", b"", &[b'x'; 1 << 20]]);
        let mut rest = &frames[..];
        let mut sizes = Vec::new();
        while !rest.is_empty() {
            let size = zstd::zstd_safe::find_frame_compressed_size(rest).unwrap();
            sizes.push(zstd::stream::decode_all(&rest[..size]).unwrap().len());
            rest = &rest[size..];
        }
        assert_eq!(sizes, [4, 1 << 20], "an empty frame is none");
        assert_eq!(plain(&frames).unwrap().len(), 4 + (1 << 20));
    }

    #[test]
    fn what_hardly_compresses_goes_through_too() {
        let mut state = 1u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(3_000_001)
        .collect();
        assert!(plain(&packed(&[&noise, &noise])).unwrap() == [&noise[..], &noise[..]].concat());
    }

    #[test]
    fn a_cut_anywhere_gives_the_frames_before_it() {
        let (one, two) = (vec![b'a'; 5000], b"0123456789abcdefghij".repeat(7));
        let first = packed(&[&one]).len();
        let whole = packed(&[&one, &two]);
        for end in first..whole.len() {
            let read = plain(&whole[..end]).unwrap_or_else(|e| panic!("cut at {end}: {e}"));
            assert!(read.starts_with(&one), "cut at {end}");
        }
        // Of what stops before its first frame gives anything it is not said that there is nothing in it.
        let mut told = 0;
        for end in ZSTD_MAGIC.len()..first {
            match plain(&whole[..end]) {
                Ok(read) => assert!(!read.is_empty() && one.starts_with(&read), "cut at {end}"),
                Err(e) => {
                    assert!(e.to_string().contains("cut off within its first zstd frame"), "{e}");
                    told += 1;
                }
            }
        }
        assert!(told > 0);
    }

    #[test]
    fn a_changed_byte_never_gives_other_content() {
        let text = b"0123456789abcdefghij".repeat(50);
        let whole = packed(&[&text]);
        for at in ZSTD_MAGIC.len()..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            // A bit of the header that means nothing may change; a frame that seems to go on is cut.
            let harmless = |read: Vec<u8>| text.starts_with(&read);
            assert!(plain(&changed).map_or(true, harmless), "byte {at}");
        }
    }

    #[test]
    fn a_window_that_is_too_large_is_refused_with_advice() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(b"bomb").unwrap();
        encoder.flush().unwrap();
        let bomb = encoder.finish().unwrap();
        let told = plain(&bomb).unwrap_err().to_string();
        assert!(told.contains("8 MiB of window"), "{told}");
    }
}
