//! The revocation file, watched for changes.

use std::sync::PoisonError;
use std::time::{Instant, SystemTime};

use super::source::SourceState;
use crate::config::{Checked, FileState, ReadList, RevocationFile, Version};
use crate::sync::Mutex;

/// The list of a file.
#[derive(Debug)]
pub(super) struct FileList {
    pub(super) state: SourceState,
    file: RevocationFile,
    pub(super) seen: Mutex<Seen>,
}

#[derive(Debug)]
pub(super) struct Seen {
    pub(super) version: Option<Version>,
    file: FileState,
}

impl FileList {
    /// The list as loaded with the configuration.
    pub(super) fn new(file: RevocationFile, version: Version) -> Self {
        let name = file.path().display().to_string();
        let state = SourceState::new(
            "authentication.revocations.file",
            "file".to_owned(),
            name,
            file.format().clone(),
        );
        state.has_grown(ReadList { list: version.list.clone(), next_end: None }, SystemTime::now());
        Self { state, file, seen: Mutex::new(Seen { version: Some(version), file: FileState::default() }) }
    }

    /// Checks the file once.
    pub(super) fn look(&self, clock: impl Fn() -> Instant, now: SystemTime) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { version, file } = &mut *seen;
        match self.file.check(version.as_ref(), file, clock, now.into()) {
            Ok(Checked::NotRead) => self.state.was_checked(now),
            Ok(Checked::Unchanged) => self.state.is_unchanged(now),
            Ok(Checked::Changed(new)) => {
                self.state.has_list(ReadList { list: new.list.clone(), next_end: None }, now);
                *version = Some(new);
            }
            Err(fault) => self.state.failed(fault.to_string(), now),
        }
    }
}
