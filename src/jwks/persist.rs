//! The last good key sets on disk, so that metagate can restart while an issuer is down.
//!
//! Each source has one file with mode 0600, which contains the source's URL and the time of the fetch. A file that
//! another user could have written is not used.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::digest::{hex, sha256};
use crate::random;

/// How much larger a file may be than its document: escapes within the document, and the source's URL.
const ENVELOPE_FACTOR: u64 = 2;
const ENVELOPE_BYTES: u64 = 4096;

/// The file with the last good document of one source.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
    source: String,
    max_bytes: u64,
    queue: Arc<Mutex<Queue>>,
}

/// The next write.
#[derive(Debug, Default)]
struct Queue {
    waiting: Option<(Arc<str>, SystemTime)>,
    writing: bool,
    failed: bool,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    version: u32,
    source: String,
    fetched_at: u64,
    document: String,
}

/// A document and when it was fetched.
#[derive(Debug)]
pub struct Stored {
    pub document: String,
    pub fetched_at: SystemTime,
}

impl Store {
    /// A file in `directory`, named by the digest of `source`.
    pub fn new(directory: &Path, source: &str, max_bytes: u64) -> Self {
        let name = hex(&sha256(source.as_bytes())[..16]);
        let path = directory.join(format!("{name}.json"));
        Self { path, source: source.to_owned(), max_bytes, queue: Arc::default() }
    }

    /// Reads the file, if it exists, belongs to this user or root, and is younger than `max_age`. After an error the
    /// caller continues without it.
    pub fn read(&self, max_age: Duration, now: SystemTime) -> io::Result<Option<Stored>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let metadata = file.metadata()?;
        if metadata.mode() & 0o022 != 0 {
            return Err(invalid("others may write to it"));
        }
        // In a directory that other users can write to, they can plant a file. Root can do so anyway.
        if metadata.uid() != 0 && metadata.uid() != self.own_id()? {
            return Err(invalid("it belongs to another user"));
        }
        let limit = self.max_bytes.saturating_mul(ENVELOPE_FACTOR).saturating_add(ENVELOPE_BYTES);
        let mut text = String::new();
        file.take(limit).read_to_string(&mut text)?;
        let envelope: Envelope =
            serde_json::from_str(&text).map_err(|_| invalid("it is not a file that metagate wrote"))?;
        if envelope.version != 1 || envelope.source != self.source {
            return Err(invalid("it is for another source or version"));
        }
        let fetched_at = UNIX_EPOCH
            .checked_add(Duration::from_secs(envelope.fetched_at))
            .ok_or_else(|| invalid("its fetch time is out of range"))?;
        // If the time is in the future, the clock was wrong then or is wrong now.
        let fresh = now.duration_since(fetched_at).is_ok_and(|age| age < max_age);
        Ok(fresh.then_some(Stored { document: envelope.document, fetched_at }))
    }

    /// The user ID that this file system gives our files.
    fn own_id(&self) -> io::Result<u32> {
        let (path, file) = self.temporary()?;
        let id = file.metadata().map(|metadata| metadata.uid());
        fs::remove_file(path)?;
        id
    }

    /// Creates a temporary file next to the target, with a name that no other process uses.
    fn temporary(&self) -> io::Result<(PathBuf, File)> {
        let path = self.path.with_extension(format!("{:016x}.tmp", random::bits()));
        // `create_new` follows no symbolic link and overwrites no existing file.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((path, file))
    }

    /// Writes a temporary file and renames it, so that no reader sees a partial file.
    pub fn write(&self, document: &str, fetched_at: SystemTime) -> io::Result<()> {
        let since_epoch = fetched_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let envelope = Envelope {
            version: 1,
            source: self.source.clone(),
            fetched_at: since_epoch.as_secs(),
            document: document.to_owned(),
        };
        let text = serde_json::to_vec(&envelope)?;
        let (temporary, mut file) = self.temporary()?;
        let written = file.write_all(&text).and_then(|()| file.sync_all());
        let moved = written.and_then(|()| fs::rename(&temporary, &self.path));
        if moved.is_err() {
            // The file may not exist; only the first error matters.
            let _ = fs::remove_file(&temporary);
        }
        moved
    }

    /// Writes on a blocking thread, one write at a time. If several documents wait for a slow disk, only the last
    /// one is written.
    pub fn write_soon(&self, document: Arc<str>, fetched_at: SystemTime, name: &str) {
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.waiting = Some((document, fetched_at));
            if std::mem::replace(&mut queue.writing, true) {
                return;
            }
        }
        let (store, name) = (self.clone(), name.to_owned());
        tokio::task::spawn_blocking(move || store.write_waiting(&name));
    }

    fn write_waiting(&self, name: &str) {
        loop {
            let next = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                queue.writing = queue.waiting.is_some();
                queue.waiting.take()
            };
            let Some((document, fetched_at)) = next else { return };
            let written = self.write(&document, fetched_at);
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = &written
                && !queue.failed
            {
                tracing::warn!(source = name, %error, "the copy in cacheDir cannot be written");
            }
            queue.failed = written.is_err();
        }
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_document_comes_back_with_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), "https://a.example/jwks", 1024);
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert!(store.read(DAY, now).unwrap().is_none());
        store.write("{\"keys\":[]}", now).unwrap();
        store.write("{\"keys\":[1]}", now).unwrap();
        let stored = store.read(DAY, now + DAY / 2).unwrap().unwrap();
        assert_eq!((&*stored.document, stored.fetched_at), ("{\"keys\":[1]}", now));
        let files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn files_that_are_too_old_or_from_the_future_are_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), "https://a.example/jwks", 1024);
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        store.write("{}", now).unwrap();
        assert!(store.read(DAY, now + DAY).unwrap().is_none());
        assert!(store.read(DAY, now - Duration::from_secs(1)).unwrap().is_none());
    }

    #[test]
    fn a_fetch_time_out_of_range_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), "https://a.example/jwks", 1024);
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        store.write("{}", now).unwrap();
        let written = fs::read_to_string(&store.path).unwrap();
        for (time, is_error) in [(u64::MAX, true), (u64::MAX / 2, false)] {
            fs::write(&store.path, written.replace("1800000000", &time.to_string())).unwrap();
            let read = store.read(DAY, now);
            assert_eq!(read.is_err(), is_error, "{time}");
            assert!(!matches!(read, Ok(Some(_))), "{time}");
        }
    }

    #[test]
    fn files_of_another_source_or_with_wrong_mode_or_content_are_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), "https://a.example/jwks", 1024);
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        store.write("{}", now).unwrap();
        // The file of another source under this name.
        let other = Store::new(directory.path(), "https://b.example/jwks", 1024);
        fs::copy(&store.path, &other.path).unwrap();
        assert!(other.read(DAY, now).is_err());
        fs::set_permissions(&store.path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(store.read(DAY, now).is_err());
        fs::set_permissions(&store.path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&store.path, "{\"version\":1").unwrap();
        assert!(store.read(DAY, now).is_err());
    }

    #[test]
    fn a_write_replaces_a_symbolic_link_and_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), "https://a.example/jwks", 1024);
        let elsewhere = directory.path().join("elsewhere");
        fs::write(&elsewhere, "precious").unwrap();
        symlink(&elsewhere, &store.path).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        store.write("{}", now).unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "precious");
        assert!(store.read(DAY, now).unwrap().is_some());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn the_last_of_many_writes_wins() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), "https://a.example/jwks", 1024);
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for number in 0..200 {
            store.write_soon(format!("{number}").into(), now, "a");
        }
        while store.queue.lock().unwrap().writing {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.read(DAY, now).unwrap().unwrap().document, "199");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
