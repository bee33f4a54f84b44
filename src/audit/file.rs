//! The audit trail in a file that logrotate may rename.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Appends to a file, and opens its path again when asked to.
#[derive(Debug)]
pub struct AuditFile {
    path: PathBuf,
    file: File,
    /// Whether a line was written only in part, because the disk was full.
    is_torn: bool,
    reopen: Reopen,
}

/// Asks an [`AuditFile`] to open its path again. A clone is another handle to the same request.
#[derive(Clone, Debug, Default)]
pub struct Reopen(Arc<AtomicBool>);

impl Reopen {
    /// The file is opened again before the next line is written or the trail is flushed.
    pub fn request(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl AuditFile {
    /// Opens the file, or creates it so that only its owner and group can read it: it names people.
    pub fn open(path: &Path, reopen: Reopen) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: appending(path)?, is_torn: false, reopen })
    }

    fn reopen_if_requested(&mut self) {
        if !self.reopen.0.swap(false, Ordering::AcqRel) {
            return;
        }
        match appending(&self.path) {
            Ok(file) => {
                (self.file, self.is_torn) = (file, false);
                tracing::info!(file = %self.path.display(), "the audit file was opened again");
            }
            // The records still go to the file that was renamed, so none is lost.
            Err(error) => {
                tracing::error!(file = %self.path.display(), %error, "the audit file cannot be opened again; keeping the open one");
            }
        }
    }
}

fn appending(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

impl Write for AuditFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        let written = self.file.write(lines).map_err(named)?;
        if let Some(last) = lines.get(..written).and_then(<[u8]>::last) {
            self.is_torn = *last != b'\n';
        }
        Ok(written)
    }

    /// Whole lines: all of them go to the same file. They begin a line of their own, also after a write that failed in
    /// the middle of one.
    fn write_all(&mut self, mut lines: &[u8]) -> io::Result<()> {
        self.reopen_if_requested();
        if self.is_torn {
            self.write(b"\n")?;
        }
        while !lines.is_empty() {
            match self.write(lines) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => lines = lines.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.reopen_if_requested();
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_failure_names_the_file() {
        let mut file = AuditFile::open(Path::new("/dev/full"), Reopen::default()).unwrap();
        let error = file.write_all(b"a\n").unwrap_err();
        assert_eq!(error.to_string(), "/dev/full: No space left on device (os error 28)");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_renamed_file_gets_everything_until_it_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = (directory.path().join("audit.log"), directory.path().join("audit.log.1"));
        fs::write(&path, "before\n").unwrap();
        let reopen = Reopen::default();
        let mut file = AuditFile::open(&path, reopen.clone()).unwrap();
        file.write_all(b"a\n").unwrap();
        fs::rename(&path, &old).unwrap();
        file.write_all(b"b\n").unwrap();
        assert!(!path.exists());
        reopen.request();
        file.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "", "created without waiting for a record");
        file.write_all(b"c\n").unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "before\na\nb\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "c\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0, "for owner and group");
        // A directory that is gone leaves the open file in use.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        reopen.request();
        assert!(file.write_all(b"d\n").is_ok());
    }

    /// As on a disk that was full for a while.
    #[test]
    fn a_torn_line_gets_an_end_before_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let mut file = AuditFile::open(&path, Reopen::default()).unwrap();
        file.write_all(b"{\"a\":1}\n").unwrap();
        assert_eq!(file.write(b"{\"tor").unwrap(), 5);
        file.write_all(b"{\"b\":2}\n{\"c\":3}\n").unwrap();
        let written = fs::read_to_string(&path).unwrap();
        assert_eq!(written, "{\"a\":1}\n{\"tor\n{\"b\":2}\n{\"c\":3}\n");
    }
}
