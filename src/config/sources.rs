//! The sources of a configuration: which files are read, the environment and the flags.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::error::Origin;

/// The file that is read if it exists and no other is named.
pub(super) const DEFAULT_FILE: &str = "/etc/metagate/config.yaml";
/// The environment variable that names files and directories, separated by `:`.
pub(super) const FILE_VARIABLE: &str = "METAGATE_CONFIG";
/// The maximum number of files of a directory. Each has a limit of its own.
const MAX_FILES: usize = 1000;

/// The sources of a configuration.
#[derive(Clone, Default)]
pub struct Sources {
    /// The files and directories that `--config` names. Later ones win.
    pub files: Vec<PathBuf>,
    /// The environment variables.
    pub environment: Vec<(String, String)>,
    /// The command-line flags.
    pub flags: Flags,
}

/// Settings that have a command-line flag.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<String>,
    /// `--upstream`
    pub upstream: Option<String>,
    /// `--public-keys`, any number of times.
    pub public_keys: Vec<String>,
    /// `--backend`
    pub backend: Option<String>,
}

/// A file or directory that is part of the configuration.
pub(super) struct Chosen {
    pub(super) path: PathBuf,
    /// Whether it must exist.
    pub(super) required: bool,
    /// What names it.
    pub(super) origin: Origin,
}

impl fmt::Debug for Sources {
    /// Omits the values of the environment, because some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Sources")
            .field("files", &self.files)
            .field("environment", &names)
            .field("flags", &self.flags)
            .finish()
    }
}

impl Sources {
    /// The sources of this process. Bytes of the environment that are not UTF-8 become U+FFFD, which
    /// [`load`](super::load()) refuses in every value that it reads.
    pub fn from_process(files: Vec<PathBuf>, flags: Flags) -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Self { files, environment, flags }
    }

    /// The files to read, whether they exist or not: those of a directory are its files at this moment. Blocks.
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for Chosen { path, .. } in self.chosen() {
            match files_of(&path) {
                Some(Ok(files)) => paths.extend(files),
                // An unreadable directory is watched as if it were a file, and reading it fails.
                Some(Err(_)) | None => paths.push(path),
            }
        }
        paths
    }

    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let mut found = self.environment.iter().rev().filter(|(variable, _)| variable == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The files and directories to read, in order.
    pub(super) fn chosen(&self) -> Vec<Chosen> {
        let variable = self.variable(FILE_VARIABLE).unwrap_or_default();
        let by_variable = variable.split(':').filter(|path| !path.is_empty());
        let named = |path: PathBuf, origin| Chosen { path, required: true, origin };
        let flag = || Origin::Flag("--config".to_owned());
        let mut chosen: Vec<Chosen> = self.files.iter().map(|path| named(path.clone(), flag())).collect();
        if chosen.is_empty() {
            let origin = || Origin::Environment(FILE_VARIABLE.to_owned());
            chosen.extend(by_variable.map(|path| named(path.into(), origin())));
        }
        if chosen.is_empty() {
            let path = PathBuf::from(DEFAULT_FILE);
            let origin = Origin::WholeFile(path.clone());
            chosen.push(Chosen { path, required: false, origin });
        }
        chosen
    }
}

/// The configuration files of a directory, in the order of their names; `None` if `path` is no directory.
pub(super) fn files_of(path: &Path) -> Option<io::Result<Vec<PathBuf>>> {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()).then(|| list(path))
}

/// Files whose names begin with a dot are left out: editors and Kubernetes use them for other things.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if yaml && !hidden && !path.is_dir() {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(io::Error::new(ErrorKind::QuotaExceeded, format!("more than {MAX_FILES} files")));
        }
    }
    files.sort_unstable();
    Ok(files)
}
