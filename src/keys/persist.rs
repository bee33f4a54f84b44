//! The last good key sets on disk, so that a restart during an outage of the issuer still serves.
//!
//! One file per source, readable and writable by us alone, with the source's URL and the time of
//! the fetch inside. A file that others could have written is not believed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// What surrounds a document: the source's URL and escapes within the document.
const ENVELOPE_FACTOR: u64 = 2;
const ENVELOPE_BYTES: u64 = 4096;

/// Where one source's last good document is kept.
#[derive(Clone, Debug)]
pub(super) struct Store {
    path: PathBuf,
    source: String,
    max_bytes: u64,
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
pub(super) struct Stored {
    pub(super) document: String,
    pub(super) fetched_at: SystemTime,
}

impl Store {
    /// In `directory`, under a name made of the source's own.
    pub(super) fn new(directory: &Path, source: &str, max_bytes: u64) -> Self {
        let hash = digest(&SHA256, source.as_bytes());
        let name: String = hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { path: directory.join(format!("{name}.json")), source: source.to_owned(), max_bytes }
    }

    /// Reads it back, if it is there, is ours, and is no older than `max_age`. Any error is a
    /// reason to go on without it.
    pub(super) fn read(&self, max_age: Duration, now: SystemTime) -> io::Result<Option<Stored>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if file.metadata()?.permissions().mode() & 0o022 != 0 {
            return Err(invalid("others may write to it"));
        }
        let limit = self.max_bytes.saturating_mul(ENVELOPE_FACTOR).saturating_add(ENVELOPE_BYTES);
        let mut text = String::new();
        file.take(limit).read_to_string(&mut text)?;
        let envelope: Envelope =
            serde_json::from_str(&text).map_err(|_| invalid("it is not what was written"))?;
        if envelope.version != 1 || envelope.source != self.source {
            return Err(invalid("it is of another source or version"));
        }
        let fetched_at = UNIX_EPOCH + Duration::from_secs(envelope.fetched_at);
        // A time in the future is no age: the clock was wrong then or is now.
        let fresh = now.duration_since(fetched_at).is_ok_and(|age| age < max_age);
        Ok(fresh.then_some(Stored { document: envelope.document, fetched_at }))
    }

    /// Writes it beside its place and then moves it there, so that no reader sees half of it.
    pub(super) fn write(&self, document: &str, fetched_at: SystemTime) -> io::Result<()> {
        let since_epoch = fetched_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let envelope = Envelope {
            version: 1,
            source: self.source.clone(),
            fetched_at: since_epoch.as_secs(),
            document: document.to_owned(),
        };
        let beside = self.path.with_extension(format!("{}.tmp", std::process::id()));
        let written =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside).and_then(
                |mut file| {
                    file.write_all(&serde_json::to_vec(&envelope)?)?;
                    file.sync_all()
                },
            );
        let moved = written.and_then(|()| fs::rename(&beside, &self.path));
        if moved.is_err() {
            // It may not be there at all; what matters is the first error.
            let _ = fs::remove_file(&beside);
        }
        moved
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
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
    fn what_is_too_old_or_from_the_future_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), "https://a.example/jwks", 1024);
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        store.write("{}", now).unwrap();
        assert!(store.read(DAY, now + DAY).unwrap().is_none());
        assert!(store.read(DAY, now - Duration::from_secs(1)).unwrap().is_none());
    }

    #[test]
    fn what_is_not_ours_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), "https://a.example/jwks", 1024);
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        store.write("{}", now).unwrap();
        // Another source's file in this one's place.
        let other = Store::new(directory.path(), "https://b.example/jwks", 1024);
        fs::copy(&store.path, &other.path).unwrap();
        assert!(other.read(DAY, now).is_err());
        fs::set_permissions(&store.path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(store.read(DAY, now).is_err());
        fs::set_permissions(&store.path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&store.path, "{\"version\":1").unwrap();
        assert!(store.read(DAY, now).is_err());
    }
}
