//! Checks whether other users of the machine can access a file.

use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The mode of a file, if every user of the machine can read or change it: its own bits allow it, and all of its parent
/// directories are searchable by everyone.
pub(super) fn open_mode(path: &Path) -> Option<u32> {
    let for_others = |metadata: &Metadata, bits: u32| metadata.permissions().mode() & bits != 0;
    let real = fs::canonicalize(path).ok()?;
    let metadata = fs::metadata(&real).ok()?;
    let reached =
        |directory: &Path| fs::metadata(directory).is_ok_and(|metadata| for_others(&metadata, 0o001));
    (for_others(&metadata, 0o006) && real.ancestors().skip(1).all(reached))
        .then(|| metadata.permissions().mode() & 0o7777)
}

/// A warning and advice about a file with a secret that other users can access.
pub(super) fn warning(path: &Path) -> Option<(String, &'static str)> {
    let mode = open_mode(path)?;
    let does = if mode & 0o004 != 0 { "read" } else { "change" };
    let message = format!("every user of this machine can {does} {} (mode {mode:04o})", path.display());
    Some((
        message,
        "chmod 640 it, or 600; in a Kubernetes volume set defaultMode: 0440, and fsGroup for the pod",
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_file_is_open_only_if_others_can_reach_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, "x").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        set(directory.path(), 0o755);
        for (mode, open) in [(0o644, true), (0o604, true), (0o602, true), (0o640, false), (0o600, false)] {
            set(&path, mode);
            assert_eq!(open_mode(&path), open.then_some(mode), "{mode:o}");
        }
        set(&path, 0o644);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(open_mode(&link), Some(0o644), "the mode of the file, not of the link");
        set(directory.path(), 0o700);
        assert_eq!(open_mode(&path), None, "others cannot reach it");
        assert_eq!(open_mode(&directory.path().join("none")), None);
    }
}
