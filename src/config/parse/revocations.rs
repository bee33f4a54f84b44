//! `authentication.revocations`: which tokens are refused although they verify.

use super::super::error::{ConfigError, Origin};
use super::super::revocations::{RevocationFile, Version};
use super::Section;

/// The list, read once. A list that cannot be read is an error: to go on without it would let in
/// what somebody has revoked.
pub(super) fn revocations(root: &Section<'_>) -> Option<(RevocationFile, Version)> {
    const KEY: &str = "file";
    let salt = root.section("datahub").secret("tokenServiceSalt");
    let section = root.section("authentication").section("revocations");
    let file = RevocationFile::new(section.file(KEY)?, salt);
    let fault = match file.read() {
        Ok(version) => return Some((file, version)),
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
