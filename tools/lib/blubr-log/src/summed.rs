//! Bytes that are summed as they pass, on the way in or out.

use std::io::{self, Read, Write};

use crate::chain::Chain;

/// Bytes that are read at a time where only their sum is wanted.
const CHUNK_BYTES: usize = 1 << 17;

/// A source or an output whose bytes are summed.
pub struct Summed<T> {
    inner: T,
    sum: Chain,
}

impl<T> Summed<T> {
    /// Nothing has passed yet.
    pub fn new(inner: T) -> Self {
        Self { inner, sum: Chain::new() }
    }

    /// What it is around, and the SHA-256 of what has passed, as sha256sum(1) prints it.
    pub fn end(self) -> (T, String) {
        (self.inner, self.sum.hex())
    }
}

impl<R: Read> Summed<R> {
    /// Reads what is left: the sum of all.
    ///
    /// # Errors
    /// What the source returns.
    pub fn of_all(mut self) -> io::Result<String> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match self.read(&mut chunk) {
                Ok(0) => return Ok(self.sum.hex()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(bytes)?;
        self.sum.update(bytes.get(..got).unwrap_or_default());
        Ok(got)
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// printf abc | sha256sum
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn what_passed_and_what_is_left_is_summed() {
        let mut source = Summed::new(&b"abc"[..]);
        let mut first = [0; 1];
        source.read_exact(&mut first).unwrap();
        assert_eq!(source.of_all().unwrap(), ABC);
        let mut output = Summed::new(Vec::new());
        output.write_all(b"abc").unwrap();
        assert_eq!(output.end(), (b"abc".to_vec(), ABC.to_owned()));
    }
}
