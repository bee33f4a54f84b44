//! Classes of tokens, and the rules that depend on the class.

/// The kind of party that a token was issued to. A closed set, because it is a metric label and an audit field.
///
/// Only the backend's own tokens name their class (see [`crate::claims::OwnTokens`]); every other token is a
/// user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenClass {
    /// OpenMetadata: `isBot: true`, or `tokenType: BOT` if `isBot` is absent.
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
}

/// The form of token that a backend accepts from metagate ([`crate::mint`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenFormat {
    /// RS256 with a key of a URL in `publicKeyUrls`.
    OpenMetadata,
    /// HS256 with the key of DataHub's token service, version 1.
    DataHub,
}

/// Which tokens may lack `exp`, or have `exp: null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NonExpiring {
    /// No tokens.
    None,
    /// Tokens of the class [`TokenClass::Bot`], as OpenMetadata issues them.
    #[default]
    Bots,
    /// Long-lived tokens: of bots, personal access tokens and tokens of service accounts.
    AccessTokens,
    /// Any token except those of the class [`TokenClass::Session`], because a login must end.
    Any,
}

impl NonExpiring {
    pub(crate) fn allows(self, class: TokenClass) -> bool {
        match self {
            Self::None => false,
            Self::Bots => class == TokenClass::Bot,
            Self::AccessTokens => {
                matches!(class, TokenClass::Bot | TokenClass::PersonalAccess | TokenClass::ServiceAccount)
            }
            Self::Any => class != TokenClass::Session,
        }
    }
}

/// How the text of a claim becomes the principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PrincipalStyle {
    /// Unchanged: `Ada@example.org` and `ada@example.com` are two different principals.
    #[default]
    AsIs,
    /// The part before `@`, in lower case.
    LocalPart,
}
