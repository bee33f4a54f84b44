//! How an exchange that was let through ends.

use super::Exchange;
use crate::revocation::RevokedBy;

impl Exchange {
    /// Notes that the answer went out to its end.
    pub fn completed(&mut self) {
        self.complete = true;
    }

    /// Notes that a running answer or tunnel was ended, because its token was revoked.
    pub fn ended_by_revocation(&mut self, by: RevokedBy) {
        self.ended = Some(match by {
            RevokedBy::Id => "ended: the jti of its token was revoked",
            RevokedBy::Fingerprint => "ended: the fingerprint of its token was revoked",
            RevokedBy::Subject => "ended: the subject of its token was revoked",
            RevokedBy::Key => "ended: the key of its token was revoked",
            RevokedBy::DatahubTokenHash => "ended: the DataHub token hash of its token was revoked",
        });
    }
}
