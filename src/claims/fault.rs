//! Why a claims set is not accepted.

/// Why signed claims do not let anybody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimsFault {
    /// A claim has a type or content that RFC 7519 does not give it.
    Malformed(&'static str),
    /// `exp` has passed, by more than the leeway.
    Expired,
    /// `nbf` or `iat` lies in the future, by more than the leeway.
    NotYetValid,
    /// There is no `exp` (or it is null) and this token may not come without.
    MissingExpiry,
    /// The token is valid for longer than `maxLifetime`.
    LifetimeTooLong,
    /// `iss` is not one of the entry's issuers.
    UntrustedIssuer,
    /// `aud` names none of the entry's audiences.
    WrongAudience,
    /// None of the principal claims is there.
    MissingPrincipal,
    /// The principal's domain is not allowed.
    WrongDomain,
    /// It says that it is a bot's, and would be good if it were one of the backend's own tokens.
    ForeignBot(BotPrivilege),
}

/// What a bot's token may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BotPrivilege {
    /// `exp`.
    Expiry,
    /// The claims of the principal mapping.
    Mapping,
    /// An allowed domain.
    Domain,
}
