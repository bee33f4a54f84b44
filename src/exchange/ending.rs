//! How a permitted exchange ends.

use std::borrow::Cow;

use super::Exchange;
use crate::revocation::RevokedBy;

impl Exchange {
    /// Records that the whole response was sent.
    pub fn completed(&mut self) {
        self.complete = true;
    }

    /// Records that a streamed response or a tunnel was cut off because its token was revoked.
    pub fn ended_by_revocation(&mut self, by: RevokedBy) {
        self.ended = Some(Cow::Borrowed(match by {
            RevokedBy::Id => "ended: the jti of its token was revoked",
            RevokedBy::Fingerprint => "ended: the fingerprint of its token was revoked",
            RevokedBy::Subject => "ended: the subject of its token was revoked",
            RevokedBy::Key => "ended: the key of its token was revoked",
            RevokedBy::DatahubTokenHash => "ended: the DataHub token hash of its token was revoked",
        }));
    }

    /// Records why the backend failed.
    pub fn set_cause(&mut self, cause: Cow<'static, str>) {
        self.ended = Some(cause);
    }
}
