//! The closed set of reasons: one word for the log, the metrics and the audit record.

/// Why metagate answers a request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "crate::challenge says what each means to the caller")]
pub enum Reason {
    MissingToken,
    UnsupportedScheme,
    MalformedToken,
    AlgorithmNotAllowed,
    UntrustedIssuer,
    UnknownKey,
    InvalidSignature,
    Expired,
    NotYetValid,
    MissingExpiry,
    LifetimeTooLong,
    WrongAudience,
    MissingPrincipal,
    WrongDomain,
    Revoked,
    InsufficientPermissions,
    ImpersonationDenied,
    AmbiguousCredentials,
    BadTarget,
    MethodNotAllowed,
    TargetTooLong,
    HeadTooLarge,
    RequestTimeout,
    KeysUnavailable,
    UpstreamUnreachable,
    UpstreamTimeout,
    UpstreamProtocol,
    Overloaded,
    RateLimited,
    PayloadTooLarge,
}

impl Reason {
    /// Every reason, for tables and for metrics that start at zero.
    pub const ALL: [Self; 30] = [
        Self::MissingToken,
        Self::UnsupportedScheme,
        Self::MalformedToken,
        Self::AlgorithmNotAllowed,
        Self::UntrustedIssuer,
        Self::UnknownKey,
        Self::InvalidSignature,
        Self::Expired,
        Self::NotYetValid,
        Self::MissingExpiry,
        Self::LifetimeTooLong,
        Self::WrongAudience,
        Self::MissingPrincipal,
        Self::WrongDomain,
        Self::Revoked,
        Self::InsufficientPermissions,
        Self::ImpersonationDenied,
        Self::AmbiguousCredentials,
        Self::BadTarget,
        Self::MethodNotAllowed,
        Self::TargetTooLong,
        Self::HeadTooLarge,
        Self::RequestTimeout,
        Self::KeysUnavailable,
        Self::UpstreamUnreachable,
        Self::UpstreamTimeout,
        Self::UpstreamProtocol,
        Self::Overloaded,
        Self::RateLimited,
        Self::PayloadTooLarge,
    ];

    /// The word in logs, metrics and audit records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingToken => "missing_token",
            Self::UnsupportedScheme => "unsupported_scheme",
            Self::MalformedToken => "malformed_token",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::UntrustedIssuer => "untrusted_issuer",
            Self::UnknownKey => "unknown_key",
            Self::InvalidSignature => "invalid_signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::MissingExpiry => "missing_expiry",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::WrongAudience => "wrong_audience",
            Self::MissingPrincipal => "missing_principal",
            Self::WrongDomain => "wrong_domain",
            Self::Revoked => "revoked",
            Self::InsufficientPermissions => "insufficient_permissions",
            Self::ImpersonationDenied => "impersonation_denied",
            Self::AmbiguousCredentials => "ambiguous_credentials",
            Self::BadTarget => "bad_target",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::KeysUnavailable => "keys_unavailable",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::Overloaded => "overloaded",
            Self::RateLimited => "rate_limited",
            Self::PayloadTooLarge => "payload_too_large",
        }
    }

    /// Whether this is a judgement about who asks for what, which report mode only reports: not a
    /// request that cannot be forwarded in one meaning, not a failure of the gateway.
    pub const fn is_judgement(self) -> bool {
        match self {
            Self::MissingToken
            | Self::UnsupportedScheme
            | Self::MalformedToken
            | Self::AlgorithmNotAllowed
            | Self::UntrustedIssuer
            | Self::UnknownKey
            | Self::InvalidSignature
            | Self::Expired
            | Self::NotYetValid
            | Self::MissingExpiry
            | Self::LifetimeTooLong
            | Self::WrongAudience
            | Self::MissingPrincipal
            | Self::WrongDomain
            | Self::Revoked
            | Self::InsufficientPermissions
            | Self::ImpersonationDenied
            | Self::KeysUnavailable => true,
            Self::AmbiguousCredentials
            | Self::BadTarget
            | Self::MethodNotAllowed
            | Self::TargetTooLong
            | Self::HeadTooLarge
            | Self::RequestTimeout
            | Self::UpstreamUnreachable
            | Self::UpstreamTimeout
            | Self::UpstreamProtocol
            | Self::Overloaded
            | Self::RateLimited
            | Self::PayloadTooLarge => false,
        }
    }
}
