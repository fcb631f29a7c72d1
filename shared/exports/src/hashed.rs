//! A writer that knows what went through it: documents name other files by length and digest.

use domain::Digest;
use sha2::{Digest as _, Sha256};
use std::io::{self, Write};

/// What went through a [`Hashed`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Written {
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// How many.
    pub bytes: u64,
}

impl Written {
    /// Of bytes at hand.
    pub fn of(bytes: &[u8]) -> Self {
        Self { sha256: Digest::of(bytes), bytes: bytes.len() as u64 }
    }
}

/// Passes bytes on, and counts and hashes them.
#[derive(Debug)]
pub struct Hashed<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W> Hashed<W> {
    /// In front of `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    /// The writer, and what went to it.
    pub fn finish(self) -> (W, Written) {
        (self.inner, Written { sha256: Digest::from_bytes(self.hash.finalize().into()), bytes: self.bytes })
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        self.hash.update(&bytes[..taken]);
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes three bytes at a time, as a pipe may.
    struct Slow(Vec<u8>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(3);
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_the_writer_took_is_what_is_told() {
        let mut hashed = Hashed::new(Slow(Vec::new()));
        hashed.write_all(b"counterfactual").unwrap();
        let (slow, written) = hashed.finish();
        assert_eq!(slow.0, b"counterfactual");
        assert_eq!(written, Written::of(b"counterfactual"));
    }
}
