//! What metagate issued one of its own tokens for ([`crate::own_issuer`]).

use crate::jose::{JsonObject, JsonValue};

/// The kind of a token that metagate issued to a client: the claim [`IssuedKind::CLAIM`]. A token of metagate's own
/// issuer without one of these kinds is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuedKind {
    /// The token of a bot.
    Bot,
    /// A token in exchange for a token of another issuer.
    Exchanged,
}

impl IssuedKind {
    /// The claim that names the kind.
    pub const CLAIM: &str = "tokenType";
    const ALL: [Self; 2] = [Self::Bot, Self::Exchanged];

    /// The value of the claim.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bot => "BOT",
            Self::Exchanged => "EXCHANGED",
        }
    }

    /// The kind that these claims name, exactly.
    pub(super) fn of(claims: &JsonObject) -> Option<Self> {
        let named = claims.get(Self::CLAIM).and_then(JsonValue::as_str)?;
        Self::ALL.into_iter().find(|kind| kind.as_str() == named)
    }
}
