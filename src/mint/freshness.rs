//! When a minted token is used again, and when it is replaced.

use super::MintedToken;
use crate::numeric_date::NumericDate;

/// Whether a minted token can be used again at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// More than half of its life is left.
    Fresh,
    /// Still good, but a new one is due: the backends tolerate no clock difference.
    Due,
    /// It must not be used: it has ended, or would outlive the incoming token.
    Stale,
}

impl Freshness {
    /// The freshness of a token at `now`, for an incoming token that ends at `until` (never, if `None`).
    pub fn of(token: &MintedToken, now: NumericDate, until: Option<NumericDate>) -> Self {
        let left = token.expires.since(now);
        let life = token.expires.since(token.issued);
        // A clock that was set back makes a token look as if it were from the future.
        if left <= 0 || left > life || until.is_some_and(|until| token.expires > until) {
            Self::Stale
        } else if left.saturating_mul(2) <= life {
            Self::Due
        } else {
            Self::Fresh
        }
    }
}
