//! Errors of the validation of claims.

/// Why signed claims are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimsFault {
    /// A claim has a type or content that RFC 7519 does not allow; the text says which.
    Malformed(&'static str),
    /// `exp` has passed, by more than the leeway.
    Expired,
    /// `nbf` or `iat` is in the future, by more than the leeway.
    NotYetValid,
    /// `exp` is missing or null, and this token requires it.
    MissingExpiry,
    /// The token is valid for longer than `maxLifetime`.
    LifetimeTooLong,
    /// `iss` is not one of the entry's issuers.
    UntrustedIssuer,
    /// `aud` names none of the entry's audiences, or one that must not be among them.
    WrongAudience,
    /// None of the principal claims is present.
    MissingPrincipal,
    /// The principal's domain is not allowed.
    WrongDomain,
    /// The token claims to be a bot's. It would be accepted if it were one of the backend's own tokens.
    ForeignBot(BotPrivilege),
}

impl ClaimsFault {
    /// The text about [`Self::ForeignBot`].
    pub const FOREIGN_BOT: &'static str =
        "isBot and tokenType are ignored: it is not one of the backend's own tokens";
}

/// What the backend's own bot tokens may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BotPrivilege {
    /// `exp`.
    Expiry,
    /// The claims of the principal mapping.
    Mapping,
    /// An allowed domain.
    Domain,
}
