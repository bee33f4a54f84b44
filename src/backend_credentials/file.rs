//! A token of a user in a file.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::HeaderValue;
use secrecy::zeroize::Zeroizing;

use crate::file_watch::{LastRead, Stamp};
use crate::sync::ArcSwap;

/// More than any token.
const MAX_BYTES: usize = 16 * 1024;

/// The value for `Authorization`, or why there is none.
type Credential = Result<HeaderValue, String>;

/// A file with a token, which is read again when it changes.
pub(super) struct CredentialFile {
    path: PathBuf,
    current: ArcSwap<Credential>,
    last_read: Mutex<Option<LastRead>>,
}

impl CredentialFile {
    pub(super) fn new(path: PathBuf) -> Self {
        let unread = Err("its file has not been read yet".to_owned());
        Self { path, current: ArcSwap::from_pointee(unread), last_read: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The token that the file had when it was last checked.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn current(&self) -> Result<HeaderValue, String> {
        self.current.load().as_ref().clone()
    }

    /// Reads the file if it may have changed. Blocks.
    pub(super) fn look(&self, now: Instant) {
        let mut last_read = self.last_read.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = self.read(&mut last_read, now) else { return };
        let before = self.current.load();
        if **before == found {
            return;
        }
        let file = self.path.display();
        match &found {
            Ok(_) => tracing::info!(%file, "the token of an exchange entry was read"),
            Err(cause) => {
                tracing::error!(%file, cause, "an exchange entry has no token; its requests are refused");
            }
        }
        self.current.store(Arc::new(found));
    }

    /// What the file has now; `None` if it has not changed.
    fn read(&self, last_read: &mut Option<LastRead>, now: Instant) -> Option<Credential> {
        let opened = File::open(&self.path).and_then(|file| Ok((Stamp::of(&file)?, file)));
        let (stamp, file) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                *last_read = None;
                return Some(Err(format!("its file cannot be read: {error}")));
            }
        };
        if last_read.as_ref().is_some_and(|last| last.holds(stamp, now)) {
            return None;
        }
        *last_read = Some(LastRead::new(last_read.as_ref(), stamp, now));
        let mut bytes = Zeroizing::new(Vec::new());
        match file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes) {
            Ok(_) => Some(credential(&bytes)),
            Err(error) => Some(Err(format!("its file cannot be read: {error}"))),
        }
    }
}

/// Exactly one token, with white space around it at most.
fn credential(bytes: &[u8]) -> Credential {
    let token = bytes.trim_ascii();
    let fault = |fault: &str| Err(format!("its file {fault}"));
    if token.is_empty() {
        return fault("is empty");
    }
    if bytes.len() > MAX_BYTES {
        return fault("is too long for a token");
    }
    if !token.iter().all(u8::is_ascii_graphic) {
        return fault("has something else than one token");
    }
    let value = Zeroizing::new([b"Bearer ", token].concat());
    match HeaderValue::from_bytes(&value) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Ok(value)
        }
        Err(_) => fault("has something else than one token"),
    }
}

impl fmt::Debug for CredentialFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

    use std::fs;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_changed_file_is_read_and_a_missing_one_leaves_no_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let (file, mut now) = (CredentialFile::new(path.clone()), Instant::now());
        let mut look = || {
            now += Duration::from_secs(1);
            file.look(now);
            file.current()
        };
        assert!(look().unwrap_err().contains("cannot be read"));
        fs::write(&path, "first-token\n").unwrap();
        assert_eq!(look().unwrap(), "Bearer first-token");
        assert_eq!(look().unwrap(), "Bearer first-token");
        // As a Secret is replaced: by another file under the same name.
        fs::write(directory.path().join("next"), "next-token").unwrap();
        fs::rename(directory.path().join("next"), &path).unwrap();
        let credential = look().unwrap();
        assert_eq!(credential, "Bearer next-token");
        assert!(credential.is_sensitive());
        assert!(!format!("{file:?} {credential:?}").contains("next-token"));
        fs::remove_file(&path).unwrap();
        assert!(look().is_err());
        fs::write(&path, "third-token").unwrap();
        assert_eq!(look().unwrap(), "Bearer third-token");
    }

    #[test]
    fn a_file_has_one_token() {
        for (content, fault) in [
            (&b""[..], "is empty"),
            (b" \n", "is empty"),
            (b"Bearer x", "has something else than one token"),
            (b"one\ntwo", "has something else than one token"),
            (b"x\0", "has something else than one token"),
            (b"\xff", "has something else than one token"),
            (&[b'x'; MAX_BYTES + 1], "is too long for a token"),
        ] {
            assert_eq!(credential(content), Err(format!("its file {fault}")));
        }
        assert_eq!(credential(b"\r\n a.b-c_d \n").unwrap(), "Bearer a.b-c_d");
    }
}
