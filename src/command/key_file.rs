//! Files with private keys and with tokens: made once, never overwritten.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{ConfigArguments, Failure, load};
use crate::config::Flags;

/// Makes a key file that only its owner can read. `next` is the command that makes another one.
pub(super) fn create(path: &Path, text: &str, next: &str) -> Result<(), Failure> {
    create_private(path, text, &format!("a key file is not overwritten; {next} makes the next one"))
}

/// Makes a file that only its owner can read. A file that cannot be written completely is removed again. `exists` is
/// what to do if there is one already.
pub(super) fn create_private(path: &Path, text: &str, exists: &str) -> Result<(), Failure> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
            Failure::Other(match error.kind() {
                ErrorKind::AlreadyExists => format!("{} exists, and {exists}", path.display()),
                ErrorKind::NotFound => format!(
                    "{} cannot be made: its directory does not exist; `mkdir -p -m 0700 {}` makes one that only you can read",
                    path.display(),
                    path.parent().unwrap_or(Path::new(".")).display()
                ),
                _ => format!("{} cannot be made: {error}", path.display()),
            })
        })?;
    write(&mut file, text, path).map_err(|error| {
        let _ = std::fs::remove_file(path);
        Failure::Other(format!("{} cannot be written: {error}", path.display()))
    })
}

fn write(file: &mut File, text: &str, path: &Path) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // The name survives a power failure once the directory is on the disk. Not every file system can do that.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Ok(directory) = File::open(parent.unwrap_or(Path::new("."))) {
        let _ = directory.sync_all();
    }
    Ok(())
}

/// The replacement of a key file.
#[derive(Debug, Args)]
pub(super) struct Rotation {
    #[command(flatten)]
    config: ConfigArguments,
    /// The file to make. Default: beside the file that signs now, with the next number.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Rotation {
    /// The key files that the configuration lists under this key, and the next one. `init` is the command that makes the
    /// first one.
    pub(super) fn files(&self, key: &str, init: &str) -> Result<(Vec<PathBuf>, PathBuf), Failure> {
        let loaded = load(&self.config, Flags::default())?;
        let files: Vec<PathBuf> =
            (0..).map_while(|at| Some(loaded.text_at(&format!("{key}[{at}]"))?.0.into())).collect();
        let Some(signing) = files.first() else {
            return Err(Failure::Other(format!(
                "{key} names no key to replace; make the first one with `{init}`"
            )));
        };
        let file = match &self.out {
            Some(file) => file.clone(),
            None => next_name(signing).ok_or_else(|| {
                Failure::Usage(format!(
                    "{} has no number that could be raised; use --out FILE",
                    signing.display()
                ))
            })?,
        };
        Ok((files, file))
    }
}

/// Paths as the items of a YAML list.
pub(super) fn yaml_list<'p>(files: impl IntoIterator<Item = &'p PathBuf>) -> String {
    files.into_iter().map(|file| yaml_path(file)).collect::<Vec<_>>().join(", ")
}

/// A path as an item of a YAML list.
pub(super) fn yaml_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    match text.starts_with(['/', '.']) && text.chars().all(is_plain) {
        true => text.into_owned(),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}

/// The name of the next key file: the last number in the name, raised until no such file exists. `None` if the name has
/// no number, or none is free.
fn next_name(path: &Path) -> Option<PathBuf> {
    /// More key files than anyone keeps.
    const TRIES: u64 = 1000;
    let name = path.file_name()?.to_str()?;
    let end = name.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = name.get(..end)?.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    let number: u64 = name.get(start..end)?.parse().ok()?;
    let named = |number| {
        path.with_file_name(format!(
            "{}{number}{}",
            name.get(..start).unwrap_or_default(),
            name.get(end..).unwrap_or_default()
        ))
    };
    (1..TRIES).filter_map(|more| number.checked_add(more)).map(named).find(|path| !path.exists())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_file_is_private_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1.pem");
        assert!(create(&path, "first", "`x`").is_ok());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(create(&path, "second", "`x`").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        // A link to a file that does not exist is not followed.
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), &link).unwrap();
        assert!(create(&link, "x", "`x`").is_err() && !directory.path().join("elsewhere").exists());
        let Err(Failure::Other(message)) = create(&directory.path().join("no/such/1.pem"), "x", "`x`") else {
            panic!("a key file in a directory that does not exist");
        };
        assert!(message.contains("does not exist; `mkdir -p -m 0700 "), "{message}");
    }

    #[test]
    fn the_next_name_has_the_next_free_number() {
        let directory = tempfile::tempdir().unwrap();
        let in_directory = |name: &str| directory.path().join(name);
        let next = |name: &str| next_name(&in_directory(name));
        assert_eq!(next("1.pem"), Some(in_directory("2.pem")));
        assert_eq!(next("mint-9.key.pem"), Some(in_directory("mint-10.key.pem")));
        assert_eq!(next("key.pem"), None);
        assert_eq!(next(&format!("{}.pem", u64::MAX)), None);
        for taken in ["2.pem", "3.pem"] {
            std::fs::write(in_directory(taken), "").unwrap();
        }
        assert_eq!(next("1.pem"), Some(in_directory("4.pem")));
    }

    #[test]
    fn paths_are_items_of_a_yaml_list() {
        for (path, item) in [
            ("/etc/metagate/mint/1.pem", "/etc/metagate/mint/1.pem"),
            ("1.pem", "'1.pem'"),
            ("/keys of/it's.pem", "'/keys of/it''s.pem'"),
            ("/a, b]", "'/a, b]'"),
        ] {
            assert_eq!(yaml_path(Path::new(path)), item);
        }
    }
}
