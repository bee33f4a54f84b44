//! Changes a list file in one step: a reader sees the old list or the new one, and never a part of one.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::random;

/// More than a list may have.
const MAX_BYTES: u64 = 65 * 1024 * 1024;
/// How often a change is tried again because another program changed the file in the meantime.
const ATTEMPTS: usize = 10;

/// Why a list file could not be read or replaced.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ListFileError(String);

/// The text of a file; `None` if it does not exist.
///
/// # Errors
/// It cannot be read, or is not UTF-8 text.
pub fn read(path: &Path) -> Result<Option<String>, ListFileError> {
    Ok(read_with_metadata(path)?.map(|(text, _)| text))
}

fn read_with_metadata(path: &Path) -> Result<Option<(String, Metadata)>, ListFileError> {
    let failed = |error: io::Error| ListFileError(format!("{} cannot be read: {error}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(Some((text, metadata)))
}

/// Replaces the text of a file by what `edit` makes of it; `None` leaves it as it is. The file keeps its mode and its
/// owner. A missing file is created, and has no text before. It blocks.
///
/// # Errors
/// That of `edit`, or the file cannot be replaced. Then it is as it was.
pub fn change<T, E: From<ListFileError>>(
    path: &Path,
    edit: impl Fn(&str) -> Result<(Option<String>, T), E>,
) -> Result<T, E> {
    // A symlink stays one: the file that it names is replaced.
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => path.to_owned(),
        Err(error) => {
            return Err(ListFileError(format!("{} cannot be found: {error}", path.display())).into());
        }
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let failed = |error: io::Error| {
        ListFileError(format!(
            "{} cannot be replaced: {error}; nothing was changed. A mounted ConfigMap or Secret is changed where it \
             comes from",
            path.display()
        ))
    };
    // Changes by this command at the same time wait for each other. Not every file system has locks; see below.
    let lock = File::open(&directory).map_err(failed)?;
    let _ = lock.lock();
    for _ in 0..ATTEMPTS {
        let (text, before) = read_with_metadata(&path)?.unzip();
        let (new, result) = edit(text.as_deref().unwrap_or_default())?;
        let Some(new) = new else { return Ok(result) };
        let temporary = Temporary::create(&directory, &path, before.as_ref()).map_err(failed)?;
        temporary.fill(&new).map_err(failed)?;
        // Somebody may have edited it by hand since it was read.
        if stamp(fs::metadata(&path).ok().as_ref()) == stamp(before.as_ref()) {
            temporary.rename(&path).map_err(failed)?;
            // The rename survives a power failure once the directory is on the disk.
            let _ = lock.sync_all();
            return Ok(result);
        }
    }
    Err(ListFileError(format!("{} changes all the time; nothing was changed", path.display())).into())
}

/// What differs between two versions of a file.
fn stamp(metadata: Option<&Metadata>) -> Option<(u64, u64, i64, i64)> {
    metadata.map(|file| (file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}

/// A file that is deleted unless it is renamed.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn create(directory: &Path, target: &Path, before: Option<&Metadata>) -> io::Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // A new file gets the mode that the umask leaves, like that of any editor.
        let mode = if before.is_some() { 0o600 } else { 0o666 };
        let path = directory.join(format!(".{name}.{:016x}.tmp", random::bits()));
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        let temporary = Self { path, file };
        if let Some(before) = before {
            let own = temporary.file.metadata()?;
            if (own.uid(), own.gid()) != (before.uid(), before.gid()) {
                // Otherwise the process might not be able to read it any more.
                fchown(&temporary.file, Some(before.uid()), Some(before.gid())).map_err(|error| {
                    io::Error::new(error.kind(), format!("its owner cannot be kept: {error}"))
                })?;
            }
            temporary.file.set_permissions(before.permissions())?;
        }
        Ok(temporary)
    }

    fn fill(&self, text: &str) -> io::Result<()> {
        (&self.file).write_all(text.as_bytes())?;
        self.file.sync_all()
    }

    fn rename(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::thread;

    use super::*;

    fn append(path: &Path, line: &str) {
        change::<_, ListFileError>(path, |text| Ok((Some(format!("{text}{line}\n")), ()))).unwrap();
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_through_its_symlink() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("list"), directory.path().join("link"));
        append(&file, "a");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("list", &link).unwrap();
        let inode = fs::metadata(&file).unwrap().ino();
        append(&link, "b");
        assert_eq!(fs::read_to_string(&file).unwrap(), "a\nb\n");
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
        assert!(metadata.ino() != inode && link.is_symlink(), "a new file in place of the old one");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn a_failed_change_leaves_the_file_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("list");
        append(&file, "a");
        assert!(change::<(), _>(&file, |_| Err(ListFileError(String::new()))).is_err());
        assert!(change::<_, ListFileError>(&file, |_| Ok((None, ()))).is_ok());
        assert_eq!(fs::read_to_string(&file).unwrap(), "a\n");
        let new = |_: &str| Ok::<_, ListFileError>((Some(String::new()), ()));
        assert!(change(&directory.path().join("none/list"), new).is_err());
        symlink("nowhere", directory.path().join("dangling")).unwrap();
        assert!(change(&directory.path().join("dangling"), new).is_err());
    }

    #[test]
    fn no_change_is_lost_among_many() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("list");
        thread::scope(|scope| {
            for number in 0..4 {
                let file = &file;
                scope.spawn(move || (0..8).for_each(|_| append(file, &number.to_string())));
            }
        });
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 32);
    }

    /// As if somebody saved the file in an editor, which takes no lock.
    #[test]
    fn a_change_by_hand_in_the_meantime_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("list");
        append(&file, "a");
        let edited = std::cell::Cell::new(false);
        let edit = |text: &str| {
            if !edited.replace(true) {
                fs::write(&file, "by hand\n").unwrap();
            }
            Ok::<_, ListFileError>((Some(format!("{text}b\n")), ()))
        };
        assert!(change(&file, edit).is_ok());
        assert_eq!(fs::read_to_string(&file).unwrap(), "by hand\nb\n");
    }
}
