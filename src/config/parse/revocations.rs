//! `authentication.revocations`: which tokens are refused although they verify.

use std::collections::BTreeSet;

use super::super::error::{ConfigError, Origin};
use super::super::revocations::{RevocationFile, Version};
use super::super::secret::Purpose;
use super::super::{TrustEntry, values};
use super::Section;
use super::policy::is_known_issuer;

/// The list, read once. A list that cannot be read is an error: to go on without it would let in
/// what somebody has revoked.
pub(super) fn revocations(root: &Section<'_>, trust: &[TrustEntry]) -> Option<(RevocationFile, Version)> {
    const KEY: &str = "file";
    let salt = root.section("datahub").secret("tokenServiceSalt", Purpose::Salt);
    let section = root.section("authentication").section("revocations");
    let file = RevocationFile::new(section.file(KEY)?, salt);
    let fault = match file.read() {
        Ok(version) => {
            warn_of_unknown_issuers(&section, &version, trust);
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

/// An entry for an issuer that nobody is revokes nothing, which its author does not expect.
fn warn_of_unknown_issuers(section: &Section<'_>, version: &Version, trust: &[TrustEntry]) {
    let unknown: BTreeSet<_> = version.list.issuers().filter(|name| !is_known_issuer(name, trust)).collect();
    for name in unknown {
        let message = format!(
            "no issuer entry has the name or the issuer {}: what the list says of it revokes nothing",
            values::quote(name)
        );
        let help = "write the name of an entry of authentication.issuers, or its iss";
        section.report.warn(&section.path("file"), message, help);
    }
}
