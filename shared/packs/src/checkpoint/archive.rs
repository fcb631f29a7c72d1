//! Zip archives: a directory of named stretches. Everything about an entry is held against the file before anybody reads it.

use super::storages::{Backing, inflate};
use super::{Blob, Fault, limits};
use rawzip::{CompressionMethod, ErrorKind, RECOMMENDED_BUFFER_SIZE, ReaderAt, ZipLocator};
use std::collections::BTreeMap;
use std::io;

/// Bytes of a stored entry that are hashed at a time.
const CHUNK: u64 = 1 << 20;

/// A sound directory: each name once and plain, no entry encrypted, beyond the file, or overlapping another.
#[derive(Debug)]
pub(super) struct Archive {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    data: Backing,
    crc32: u32,
}

impl ReaderAt for Blob {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.len().saturating_sub(offset);
        let size = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let range = self.read_range(offset.min(self.len()), size as u64);
        let read = range.map_err(|fault| io::Error::other(fault.to_string()))?;
        bytes[..size].copy_from_slice(&read);
        Ok(size)
    }
}

impl Archive {
    pub(super) fn open(file: &Blob) -> Result<Self, Fault> {
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let located = ZipLocator::new().locate_in_reader(file.clone(), &mut buffer, file.len());
        let archive = located.map_err(|(_, error)| fault(&error))?;
        let mut entries = BTreeMap::new();
        let mut ranges = Vec::new();
        let mut records = archive.entries(&mut buffer);
        while let Some(record) = records.next_entry().map_err(|error| fault(&error))? {
            if ranges.len() >= limits::ENTRIES {
                return Err(Fault::Limit(format!("an archive of more than {} entries", limits::ENTRIES)));
            }
            let name = plain_name(record.file_path().as_bytes())?;
            let (flags, method) = (record.flags(), record.compression_method());
            if flags.is_encrypted() || flags.has_strong_encryption() || flags.is_masked() {
                return Err(Fault::entry(name, "is encrypted; unpack it with its password and pack it again without"));
            }
            let entry =
                archive.get_entry(record.wayfinder()).map_err(|error| Fault::entry(&name, error.to_string()))?;
            let (begin, end) = entry.compressed_data_range();
            let range = end.checked_sub(begin).and_then(|len| file.part(begin, len));
            let Some(data) = range else {
                return Err(Fault::Truncated {
                    missing: format!("entry {name:?} of the archive reaches beyond its end"),
                });
            };
            let size = record.uncompressed_size_hint();
            let data = match method {
                CompressionMethod::STORE if size == data.len() => Backing::Raw(data),
                CompressionMethod::STORE => {
                    return Err(Fault::entry(
                        name,
                        "is stored, but with two different sizes; download or copy the file again",
                    ));
                }
                CompressionMethod::DEFLATE if size > limits::INFLATED => {
                    return Err(Fault::Limit(format!("entry {name:?} that inflates to {size} bytes")));
                }
                CompressionMethod::DEFLATE => Backing::Deflated(data, size, name.as_str().into()),
                other => {
                    let how = other.name().map_or_else(|| other.as_u16().to_string(), str::to_owned);
                    return Err(Fault::entry(
                        name,
                        format!("is compressed as {how}; unpack and pack it again as deflate"),
                    ));
                }
            };
            ranges.push((record.local_header_offset(), end, name.clone()));
            let crc32 = record.crc32();
            if entries.insert(name.clone(), Entry { data, crc32 }).is_some() {
                return Err(Fault::entry(name, "is there twice, and which one counts nobody can say"));
            }
        }
        refuse_overlaps(&mut ranges)?;
        Ok(Self { entries })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Where an entry's bytes lie.
    pub(super) fn find(&self, name: &str) -> Option<&Backing> {
        self.entries.get(name).map(|entry| &entry.data)
    }

    /// The bytes of an entry for reading from its start: inflated in memory where it is deflated.
    pub(super) fn open_entry(&self, name: &str, limit: u64) -> Result<Blob, Fault> {
        let Some(data) = self.find(name) else {
            return Err(Fault::Truncated { missing: format!("the archive has no entry {name:?}") });
        };
        if data.len() > limit {
            return Err(Fault::Limit(format!("entry {name:?} of {} bytes", data.len())));
        }
        match data {
            Backing::Raw(blob) => Ok(blob.clone()),
            Backing::Deflated(blob, size, name) => inflate(blob, *size, name).map(|bytes| blob.beside(bytes)),
        }
    }

    pub(super) fn verify_checksums(&self) -> Result<(), Fault> {
        for (name, entry) in &self.entries {
            let mut hash = crc32fast::Hasher::new();
            match &entry.data {
                Backing::Raw(blob) => {
                    for at in (0..blob.len()).step_by(CHUNK as usize) {
                        hash.update(&blob.read_range(at, CHUNK.min(blob.len() - at))?);
                    }
                }
                Backing::Deflated(blob, size, name) => hash.update(&inflate(blob, *size, name)?),
            }
            let found = hash.finalize();
            if found != entry.crc32 {
                let why =
                    format!("has checksum {found:08x} where the archive says {:08x}; copy the file again", entry.crc32);
                return Err(Fault::entry(name, why));
            }
        }
        Ok(())
    }
}

/// A name that leads nowhere else. Nothing is ever unpacked to a folder here, but a file that tries is no checkpoint.
fn plain_name(bytes: &[u8]) -> Result<String, Fault> {
    let shown = || String::from_utf8_lossy(bytes).into_owned();
    let name = std::str::from_utf8(bytes).map_err(|_| Fault::entry(shown(), "has a name that is no UTF-8"))?;
    if bytes.is_empty() || bytes.len() > limits::NAME {
        return Err(Fault::entry(shown(), format!("has a name of {} bytes", bytes.len())));
    }
    let parts = || name.strip_suffix('/').unwrap_or(name).split('/');
    if name.contains(['\\', '\0']) || parts().any(|part| part == ".." || part.is_empty()) {
        return Err(Fault::entry(shown(), "has a name that leads out of the archive; the file is made to do harm"));
    }
    Ok(name.to_owned())
}

/// Two entries over the same bytes are how a small archive declares an endless content.
fn refuse_overlaps(ranges: &mut [(u64, u64, String)]) -> Result<(), Fault> {
    ranges.sort();
    for pair in ranges.windows(2) {
        if let [(_, end, first), (begin, _, second)] = pair
            && begin < end
        {
            return Err(Fault::entry(
                second,
                format!("overlaps entry {first:?}; the file is damaged or made to do harm"),
            ));
        }
    }
    Ok(())
}

fn fault(error: &rawzip::Error) -> Fault {
    match error.kind() {
        ErrorKind::MissingEndOfCentralDirectory | ErrorKind::Eof => {
            Fault::Truncated { missing: "the archive's directory, which comes last, is missing".to_owned() }
        }
        _ => Fault::malformed(format!("the archive's directory: {error}")),
    }
}
