//! What kind of party a token speaks for.

use serde_json::{Map, Value};

use super::lookup;

/// What kind of party a token speaks for. A closed set: it is a metric label and an audit field.
///
/// Only the backend's own tokens say what class they are of (see [`super::OwnTokens`]); every other is a
/// user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenClass {
    /// OpenMetadata: `isBot: true`, or `tokenType: BOT` where `isBot` is absent.
    Bot,
    /// OpenMetadata `tokenType: PERSONAL_ACCESS`, DataHub `type: PERSONAL`.
    PersonalAccess,
    /// DataHub `type: SESSION`: a login of its web UI.
    Session,
    /// DataHub `type: SERVICE_ACCOUNT`.
    ServiceAccount,
    /// Everything else: an identity provider's token, OpenMetadata `tokenType: OM_USER`.
    User,
}

impl TokenClass {
    /// Every class.
    pub const ALL: [Self; 5] =
        [Self::Bot, Self::PersonalAccess, Self::Session, Self::ServiceAccount, Self::User];

    /// The word in rules (`tokenType`), logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::PersonalAccess => "personal_access",
            Self::Session => "session",
            Self::ServiceAccount => "service_account",
            Self::User => "user",
        }
    }

    pub(super) fn of(claims: &Map<String, Value>) -> Self {
        // DataHub's tokens are told by `actorType`; a bare `type` means other things elsewhere.
        if claims.contains_key("actorType") {
            return match claims.get("type").and_then(Value::as_str) {
                Some("PERSONAL") => Self::PersonalAccess,
                Some("SESSION") => Self::Session,
                Some("SERVICE_ACCOUNT") => Self::ServiceAccount,
                _ => Self::User,
            };
        }
        // A value that is no boolean is not an absent one: it makes nobody a bot.
        let is_bot = match lookup(claims, "isBot") {
            None | Some(Value::Null) => None,
            Some(value) => Some(*value == Value::Bool(true)),
        };
        let token_type = lookup(claims, "tokenType").and_then(Value::as_str);
        match (is_bot, token_type) {
            (Some(true), _) | (None, Some("BOT")) => Self::Bot,
            (_, Some("PERSONAL_ACCESS")) => Self::PersonalAccess,
            _ => Self::User,
        }
    }
}
