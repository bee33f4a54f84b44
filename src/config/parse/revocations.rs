//! Parses `authentication.revocations` and reads the list.

use std::time::SystemTime;

use super::super::error::{ConfigError, Origin};
use super::super::finding::FindingId;
use super::super::revocations::{RevocationFile, Version};
use super::super::secret::Purpose;
use super::super::{TrustEntry, values};
use super::issuer_names::names_of_issuers;
use super::section::Section;

/// Reads the list. A list that cannot be read is an error, because running without it would accept revoked tokens.
pub(super) fn revocations(root: &Section<'_>, trust: &[TrustEntry]) -> Option<(RevocationFile, Version)> {
    const KEY: &str = "file";
    let salt = root.section("datahub").secret("tokenServiceSalt", Purpose::Salt);
    let section = root.section("authentication").section("revocations");
    let file = RevocationFile::new(section.file(KEY)?, salt, names_of_issuers(trust));
    let fault = match file.read(SystemTime::now().into()) {
        Ok(version) => {
            warn_of_unknown_issuers(&section, &file, &version);
            return Some((file, version));
        }
        Err(fault) => fault,
    };
    if fault.problems.is_empty() {
        section.error(KEY, fault.to_string());
    }
    for problem in fault.problems {
        let origin =
            Origin::File { path: file.path().to_owned(), line: problem.at.line, column: problem.at.column };
        let error = ConfigError::new(section.path(KEY), Some(origin), problem.message);
        section.report.errors.borrow_mut().push(error);
    }
    None
}

/// Warns about entries for unknown issuers, because they revoke nothing.
fn warn_of_unknown_issuers(section: &Section<'_>, file: &RevocationFile, version: &Version) {
    for name in file.unknown_issuers(version) {
        let message = format!(
            "{} is neither the name nor the issuer of an entry: its entries in the list revoke nothing",
            values::quote(name)
        );
        let help = "write the name of an entry of authentication.issuers, or its iss; `public-keys` is the simple list";
        section.report.warn(FindingId::RevocationIssuer, &section.path("file"), message, help);
    }
}
