//! WebDataset: tar archives in which the files of one sample lie side by side, named `KEY.what.ext`.
//!
//! Times are 0 and owners nobody, so that equal samples give equal shards. A shard that was cut off is resumed by cutting it to the
//! length it had after its last whole sample.

use crate::ExportError;
use std::io::Write;

/// The two empty records at the end of an archive.
const END: u64 = 1024;

/// An archive that is being written.
#[derive(Debug)]
pub struct Shard<W: Write> {
    out: W,
    bytes: u64,
    samples: u64,
}

/// `text` as a key: what would cut a name in two is replaced.
pub fn safe_key(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' }).take(80).collect()
}

impl<W: Write> Shard<W> {
    /// An empty one.
    pub const fn new(out: W) -> Self {
        Self::resume(out, 0, 0)
    }

    /// One that goes on behind `samples` whole samples of `bytes` bytes, which `out` has.
    pub const fn resume(out: W, bytes: u64, samples: u64) -> Self {
        Self { out, bytes, samples }
    }

    /// Length without the end mark: where to cut if the next sample is not finished.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whole samples in it.
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Length it would have, end mark included, with one more sample of files of these sizes.
    pub fn with(&self, sizes: impl IntoIterator<Item = usize>) -> u64 {
        let padded = sizes.into_iter().map(|size| 512 + (size as u64).next_multiple_of(512));
        self.bytes + padded.sum::<u64>() + END
    }

    /// Adds the files of one sample: `("source.png", bytes)`, ...
    ///
    /// # Errors
    /// When the key has a dot or a slash in it, or the writer refuses.
    pub fn push(&mut self, key: &str, files: &[(&str, &[u8])]) -> Result<(), ExportError> {
        if key.is_empty() || safe_key(key) != key {
            return Err(ExportError::Key(key.to_owned()));
        }
        for (suffix, bytes) in files {
            self.file(&format!("{key}.{suffix}"), bytes).map_err(ExportError::write("a shard"))?;
        }
        self.samples += 1;
        Ok(())
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(bytes)?;
        // the library's builder would write the end mark when it is dropped half-way, behind which readers stop
        let padding = bytes.len().next_multiple_of(512) - bytes.len();
        self.out.write_all(&[0; 512][..padding])?;
        self.bytes += (512 + bytes.len() + padding) as u64;
        Ok(())
    }

    /// The writer underneath, for bringing what was written to disk.
    pub const fn writer(&mut self) -> &mut W {
        &mut self.out
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn finish(mut self) -> Result<W, ExportError> {
        let ended = self.out.write_all(&[0; END as usize]).and_then(|()| self.out.flush());
        ended.map_err(ExportError::write("a shard"))?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read as _;

    fn read(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(archive);
        let entry = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            assert_eq!((entry.header().mtime().unwrap(), entry.header().uid().unwrap()), (0, 0));
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (name, bytes)
        };
        archive.entries().unwrap().map(entry).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_its_length_was_foretold(
            samples in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 1..8), cut in 0_usize..8,
        ) {
            let mut shard = Shard::new(Vec::new());
            let mut mark = (0, 0);
            for (no, bytes) in samples.iter().enumerate() {
                if no == cut % samples.len() {
                    mark = (shard.bytes(), shard.samples());
                }
                let foretold = shard.with([bytes.len(), 3]);
                shard.push(&format!("{no:06}"), &[("source.png", bytes), ("json", b"{}\n")]).unwrap();
                prop_assert_eq!(shard.bytes() + 1024, foretold);
            }
            let whole = shard.finish().unwrap();
            let expected: Vec<_> = samples.iter().enumerate().flat_map(|(no, bytes)| {
                [(format!("{no:06}.source.png"), bytes.clone()), (format!("{no:06}.json"), b"{}\n".to_vec())]
            }).collect();
            prop_assert_eq!(&read(&whole), &expected);

            // cut off in the middle of a sample, and gone on with
            let mut shard = Shard::resume(whole[..mark.0 as usize].to_vec(), mark.0, mark.1);
            for (no, bytes) in samples.iter().enumerate().skip(mark.1 as usize) {
                shard.push(&format!("{no:06}"), &[("source.png", bytes), ("json", b"{}\n")]).unwrap();
            }
            prop_assert_eq!(shard.finish().unwrap(), whole);
        }
    }

    #[test]
    fn a_key_that_readers_would_cut_is_refused() {
        let mut shard = Shard::new(Vec::new());
        for key in ["a.b", "a/b", "", "ä"] {
            assert!(matches!(shard.push(key, &[]), Err(ExportError::Key(_))), "{key}");
            assert!(key.is_empty() || shard.push(&safe_key(key), &[]).is_ok());
        }
    }
}
