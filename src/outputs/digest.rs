//! SHA-256 of what is read and written, as registries and layouts name blobs.

use std::io::{self, Read, Write};

use crate::registry::digest::Sum;

/// The digest of some bytes, as `sha256:…`.
pub(super) fn digest(from: &mut dyn Read) -> io::Result<String> {
    let (mut sum, mut buffer) = (Sum::new(), vec![0; 128 << 10]);
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(sum.finish());
        }
        sum.update(&buffer[..read]);
    }
}

/// A writer that sums up all that is written to it.
pub(super) struct Summed<W> {
    inner: W,
    sum: Sum,
}

impl<W: Write> Summed<W> {
    /// Nothing is written yet.
    pub fn new(inner: W) -> Self {
        Self { inner, sum: Sum::new() }
    }

    /// The writer, and the digest of all that was written.
    pub fn finish(self) -> (W, String) {
        (self.inner, self.sum.finish())
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
