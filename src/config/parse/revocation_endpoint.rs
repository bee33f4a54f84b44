//! Parses `authentication.revocations.endpoint`.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

use super::super::revocation_sources::RevocationEndpointConfig;
use super::super::{TokenEndpointConfig, settings, values};
use super::section::Section;
use super::token_endpoint::{path, rate};

/// Where entries would be written.
pub(super) enum Written<'a> {
    Store,
    File(&'a Path),
    Nowhere,
}

/// The endpoint; `None` if it is off, or if there is an error. `revocations` is the section around it.
pub(super) fn endpoint(
    revocations: &Section<'_>,
    written: Written<'_>,
    token_endpoint: Option<&TokenEndpointConfig>,
) -> Option<RevocationEndpointConfig> {
    const KEY: &str = "path";
    let section = revocations.section("endpoint");
    let rate = rate(&section);
    if section.text(KEY).is_none_or(str::is_empty) {
        // A default that is written changes nothing.
        let is_default = |key: &&str| {
            settings::find(&section.path(key)).is_some_and(|known| section.text(key) == Some(known.default))
        };
        if let Some(key) = ["requestsPerMinute", "burst"].into_iter().find(|key| !is_default(key))
            && !section.in_error(key)
        {
            let help = "write `path: /oauth2/revoke` beside it";
            section.error_with_help(key, "has no effect: there is no revocation endpoint without path", help);
        }
        return None;
    }
    let path = section.read(KEY, path)?;
    if token_endpoint.is_some_and(|other| other.path == path) {
        let message =
            format!("{} is the path of issuer.tokenEndpoint; accepted: another one", values::quote(&path));
        section.error(KEY, message);
        return None;
    }
    if let Some((message, help)) = unwritable(revocations, &written) {
        section.error_with_help(KEY, message, help);
        return None;
    }
    Some(RevocationEndpointConfig { path, rate: rate? })
}

/// Why no entry could be written, and what would help.
fn unwritable(revocations: &Section<'_>, written: &Written<'_>) -> Option<(String, &'static str)> {
    match written {
        Written::Store => None,
        Written::File(file) => {
            let why = cannot_replace(file)?;
            let key = revocations.path("file");
            let message = format!("would write to {key}, which cannot be replaced: {why}");
            Some((
                message,
                "put the file into a directory that this process may write to, or set authentication.revocations.store",
            ))
        }
        // Then the list itself is in error already.
        Written::Nowhere if revocations.in_error("file") || revocations.section("store").in_error("url") => {
            None
        }
        Written::Nowhere => Some((
            "has no list to write to: lists of urls are only read".to_owned(),
            "set authentication.revocations.store, or authentication.revocations.file",
        )),
    }
}

/// Why a file cannot be replaced by another one in its directory.
fn cannot_replace(file: &Path) -> Option<String> {
    let file = fs::canonicalize(file).ok()?;
    let directory = file.parent()?;
    let error = access(directory, Access::WRITE_OK | Access::EXEC_OK).err()?;
    Some(format!("the directory {}: {}", directory.display(), io::Error::from(error)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_in_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("list");
        fs::write(&file, "[]").unwrap();
        assert_eq!(cannot_replace(&file), None);
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o555)).unwrap();
        // Permissions do not bind root.
        if !rustix::process::geteuid().is_root() {
            let why = cannot_replace(&file).unwrap();
            assert!(why.contains(directory.path().to_str().unwrap()) && why.contains("denied"), "{why}");
        }
    }
}
