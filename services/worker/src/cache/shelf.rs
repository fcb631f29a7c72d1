//! The cache's folder, which all workers of a host may share: whole files, files half fetched, and who may remove what.
//!
//! `<digest>.file` is whole; `<digest>.part` is on its way and becomes the other by a rename. The locks are the system's (`flock`)
//! and on the files themselves, so they go with the file through the rename and are released when a process dies, however it dies:
//!
//! - who **fetches** holds the part exclusively; others that want the file ask until the part is free, and then find the file;
//! - who **uses** a file holds it shared, from before it is looked at until the networks are loaded and longer;
//! - who **makes room** removes only what it can lock exclusively at once: what nobody uses and nobody fetches.
//!
//! A lock counts only if the name still leads to the locked file: the one who held it before may have renamed or removed it.

use domain::Digest;
use std::collections::HashSet;
use std::fs::{File, FileTimes, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long what a dead process has fetched of a file waits for somebody to go on.
const PART_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Pause of one that waits for another's fetch.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The folder and its limit.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
    limit: u64,
}

/// A whole file that nobody removes while this lives.
#[derive(Debug)]
pub(super) struct Kept(File);

/// A file that this process alone fetches.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    /// Where its bytes go.
    pub(super) path: PathBuf,
}

/// What tells, without reading it, that a file is the one that was read before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// How making room ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Room {
    /// Bytes that the folder will hold.
    pub(super) bytes: u64,
    /// Whether that is within the limit.
    pub(super) fits: bool,
}

impl Shelf {
    pub(super) fn new(folder: PathBuf, limit: u64) -> Self {
        Self { folder, limit }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Where the whole file lies.
    pub(super) fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}.file"))
    }

    /// The whole file, if it is here, kept from now on. Its time of last use is now.
    pub(super) fn take(&self, digest: Digest) -> io::Result<Option<Kept>> {
        let path = self.path(digest);
        loop {
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            // Waits only for one that is just renaming or removing it.
            file.lock_shared()?;
            if leads_to(&path, &file)? {
                // Best effort: a folder of another user's is used all the same.
                let _ = file.set_times(FileTimes::new().set_accessed(SystemTime::now()));
                return Ok(Some(Kept(file)));
            }
        }
    }

    /// The part of a file to fetch, with what an earlier try left in it. Waits while another process fetches it.
    pub(super) fn begin(&self, digest: Digest) -> io::Result<Part> {
        std::fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("{digest}.part"));
        loop {
            let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
            // Asked again and again: who waited for the lock itself would go on waiting after the rename, for as long as the
            // file is in use.
            match file.try_lock() {
                Ok(()) if leads_to(&path, &file)? => return Ok(Part { file, path }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => std::thread::sleep(ASK_AGAIN),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Makes a part that is whole and verified the file.
    pub(super) fn finish(&self, digest: Digest, part: Part) -> io::Result<Kept> {
        let path = self.path(digest);
        std::fs::rename(&part.path, &path)?;
        part.file.lock_shared()?;
        // The change of the lock lets go for a moment, in which another may have made room.
        if leads_to(&path, &part.file)? {
            return Ok(Kept(part.file));
        }
        self.take(digest)?.ok_or_else(|| io::Error::other("another process removed a file as soon as it was fetched"))
    }

    /// Removes what nobody uses, the files unused for longest first, until `incoming` more bytes fit within the limit; parts that
    /// nobody went on with for a day in any case. Spares the files `wanted`.
    pub(super) fn make_room(&self, incoming: u64, wanted: &HashSet<Digest>) -> io::Result<Room> {
        std::fs::create_dir_all(&self.folder)?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some((digest, kind)) = name.split_once('.').and_then(|(hex, kind)| Some((hex.parse().ok()?, kind)))
            else {
                continue;
            };
            // Another process may remove it at any time.
            let Ok(meta) = entry.metadata() else { continue };
            let used = match kind {
                "file" => meta.accessed().or_else(|_| meta.modified())?,
                "part" => meta.modified()?,
                // Beside each file, by versions that locked so.
                "lock" => SystemTime::UNIX_EPOCH,
                _ => continue,
            };
            let old = kind != "file" && used.elapsed().is_ok_and(|age| age > PART_KEPT);
            let spared = !old && wanted.contains::<Digest>(&digest);
            found.push((!old, used, meta.len(), spared, entry.path()));
        }
        found.sort();
        let mut bytes = found.iter().map(|(_, _, bytes, ..)| bytes).sum::<u64>().saturating_add(incoming);
        for (young, _, length, spared, path) in found {
            if young && bytes <= self.limit {
                break;
            }
            if !spared && remove_unused(&path)? {
                bytes -= length;
            }
        }
        Ok(Room { bytes, fits: bytes <= self.limit })
    }
}

impl Kept {
    /// For reading it.
    pub(super) fn file(&self) -> &File {
        &self.0
    }

    /// For whoever keeps it longer.
    pub(super) fn into_file(self) -> File {
        self.0
    }

    pub(super) fn stamp(&self) -> io::Result<Stamp> {
        let meta = self.0.metadata()?;
        let changed = (meta.mtime(), meta.mtime_nsec());
        Ok(Stamp { device: meta.dev(), inode: meta.ino(), bytes: meta.len(), changed })
    }
}

impl Part {
    /// Gives up a part that is not needed; what was fetched of it goes.
    pub(super) fn discard(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// Whether `path` is the name of `file` still.
fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    let locked = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (locked.dev(), locked.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a file unless somebody holds it; whether it is gone.
fn remove_unused(path: &Path) -> io::Result<bool> {
    // For writing, because network file systems lock exclusively only what may be written.
    let file = match OpenOptions::new().read(true).append(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        // Another user's, who makes room for it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        other => other?,
    };
    match file.try_lock() {
        Ok(()) if leads_to(path, &file)? => std::fs::remove_file(path).map(|()| true),
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        shelf: Shelf,
        _folder: tempfile::TempDir,
    }

    impl Place {
        fn new(limit: u64) -> Self {
            let folder = tempfile::tempdir().unwrap();
            Self { shelf: Shelf::new(folder.path().to_owned(), limit), _folder: folder }
        }

        /// 100 bytes under a name, used or written `age` seconds ago.
        fn put(&self, name: &str, age: u64) {
            let path = self.shelf.folder.join(name);
            std::fs::write(&path, [0; 100]).unwrap();
            let then = SystemTime::now() - Duration::from_secs(age);
            let times = FileTimes::new().set_accessed(then).set_modified(then);
            OpenOptions::new().append(true).open(path).unwrap().set_times(times).unwrap();
        }

        fn names(&self) -> HashSet<String> {
            let entries = std::fs::read_dir(&self.shelf.folder).unwrap();
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
        }
    }

    fn digest(i: u8) -> Digest {
        Digest::of([i])
    }

    #[test]
    fn the_file_unused_for_longest_goes_first_and_the_wanted_and_the_used_stay() {
        let place = Place::new(350);
        (0..5).for_each(|i| place.put(&format!("{}.file", digest(i)), 1000 - u64::from(i)));
        let used = place.shelf.take(digest(1)).unwrap().expect("a file");
        place.put("notes.txt", 5000);
        let left = |gone: &[u8]| -> HashSet<String> {
            let files = (0..5).filter(|i| !gone.contains(i)).map(|i| format!("{}.file", digest(i)));
            files.chain(["notes.txt".to_owned()]).collect()
        };
        let room = place.shelf.make_room(0, &HashSet::from([digest(0)])).unwrap();
        assert_eq!((room, place.names()), (Room { bytes: 300, fits: true }, left(&[2, 3])));
        let room = place.shelf.make_room(200, &HashSet::from([digest(0)])).unwrap();
        assert_eq!((room, place.names()), (Room { bytes: 400, fits: false }, left(&[2, 3, 4])));
        drop(used);
        let room = place.shelf.make_room(200, &HashSet::from([digest(0)])).unwrap();
        assert_eq!((room, place.names()), (Room { bytes: 300, fits: true }, left(&[1, 2, 3, 4])));
    }

    #[test]
    fn what_dead_fetches_left_goes_after_a_day_and_a_running_one_stays() {
        let place = Place::new(u64::MAX);
        let day = PART_KEPT.as_secs() + 60;
        place.put(&format!("{}.part", digest(0)), day);
        place.put(&format!("{}.part", digest(1)), 60);
        place.put(&format!("{}.part", digest(2)), day);
        place.put(&format!("{}.lock", digest(3)), 60);
        place.put(&format!("{}.file", digest(3)), day);
        let running = place.shelf.begin(digest(2)).unwrap();
        place.shelf.make_room(0, &HashSet::from([digest(0)])).unwrap();
        let mut left = HashSet::from([1, 2].map(|i| format!("{}.part", digest(i))));
        left.insert(format!("{}.file", digest(3)));
        assert_eq!(place.names(), left);
        running.discard().unwrap();
    }

    #[test]
    fn a_fetch_is_waited_for_and_its_file_is_found_under_the_lock() {
        let place = Place::new(u64::MAX);
        let part = place.shelf.begin(digest(0)).unwrap();
        std::fs::write(&part.path, b"whole").unwrap();
        let shelf = place.shelf.clone();
        let waiting = std::thread::spawn(move || {
            let part = shelf.begin(digest(0)).unwrap();
            (part, shelf.take(digest(0)).unwrap().is_some())
        });
        std::thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished(), "two fetch one file");
        let kept = place.shelf.finish(digest(0), part).unwrap();
        assert_eq!(kept.stamp().unwrap().bytes, 5);
        let (own, found) = waiting.join().unwrap();
        assert!(found && own.path.exists(), "the second has a part of its own by now, and the file is there");
    }
}
