//! The demo's files: its configuration, its key for minted tokens and its list of revoked tokens, in a directory that
//! only this user can read.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::super::Failure;
use super::super::key_file::create;
use crate::digest::hex;
use crate::mint::PrivateKey;

/// The directory. It is removed with everything in it when this is dropped.
pub(super) struct Files {
    directory: PathBuf,
}

impl Files {
    /// Makes the directory, with the key for minted tokens and a list that revokes the token with this `jti`.
    pub(super) fn make(revoked: &str) -> Result<Self, Failure> {
        let name: String = random()?.chars().take(16).collect();
        let directory = std::env::temp_dir().join(format!("metagate-demo-{name}"));
        let made = DirBuilder::new().mode(0o700).create(&directory);
        made.map_err(|error| Failure::Other(format!("{} cannot be made: {error}", directory.display())))?;
        let files = Self { directory };
        create(&files.mint_key(), &PrivateKey::generate()?.to_pem()?, "another demo")?;
        create(&files.revocations(), &format!("- {{jti: {revoked}, note: laptop lost}}\n"), "another demo")?;
        Ok(files)
    }

    pub(super) fn write_configuration(&self, text: &str) -> Result<(), Failure> {
        create(&self.configuration(), text, "another demo")
    }

    pub(super) fn configuration(&self) -> PathBuf {
        self.directory.join("metagate.yaml")
    }

    pub(super) fn mint_key(&self) -> PathBuf {
        self.directory.join("mint.pem")
    }

    pub(super) fn revocations(&self) -> PathBuf {
        self.directory.join("revocations.yaml")
    }

    #[cfg(test)]
    fn path(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Nothing else can be done about an error; the next start makes another directory.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A quoted YAML scalar.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "''"))
}

/// 64 random hex digits.
pub(super) fn random() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|error| Failure::Other(format!("cannot make demo keys: {error}")))?;
    Ok(hex(&bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_are_private_and_go_with_the_demo() {
        let files = Files::make("stolen").ok().unwrap();
        let directory = files.path().to_owned();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&files.mint_key())), (0o700, 0o600));
        drop(files);
        assert!(!directory.exists());
    }
}
