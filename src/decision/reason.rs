//! The closed set of refusal reasons: one table with everything that depends on a reason.
//!
//! No other code lists reasons or classifies them. A new classification becomes a column of the table.

use http::StatusCode;

macro_rules! reasons {
    ($($name:ident $word:literal: $row:expr;)+) => {
        /// Why metagate responds to a request itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the message says it; docs/troubleshooting.md has the causes")]
        pub enum Reason { $($name),+ }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: [Self; [$(Self::$name),+].len()] = [$(Self::$name),+];

            /// The word in logs, metrics and audit records.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// Everything else that depends on the reason.
            pub const fn row(self) -> &'static Row {
                match self { $(Self::$name => { const ROW: Row = $row; &ROW })+ }
            }
        }
    };
}

reasons! {
    MissingToken "missing_token": no_token("No Authorization header provided");
    UnsupportedScheme "unsupported_scheme": no_token("Authorization header must use the Bearer scheme");
    MalformedToken "malformed_token": not_genuine("Token is malformed");
    AlgorithmNotAllowed "algorithm_not_allowed": not_genuine("Token algorithm is not allowed");
    UntrustedIssuer "untrusted_issuer": not_genuine("Token issuer is not trusted");
    UnknownKey "unknown_key": not_genuine("Token signing key not found in the configured public keys");
    InvalidSignature "invalid_signature": not_genuine("Token signature is invalid");
    Expired "expired": invalid_token("Token has expired");
    NotYetValid "not_yet_valid": invalid_token("Token is not valid yet");
    MissingExpiry "missing_expiry": invalid_token("Token must have an expiration time");
    LifetimeTooLong "lifetime_too_long": invalid_token("Token lifetime is longer than allowed");
    WrongAudience "wrong_audience": invalid_token("Token is not meant for this service");
    MissingPrincipal "missing_principal": invalid_token("Token has none of the principal claims");
    WrongDomain "wrong_domain": invalid_token("Token principal is not in an allowed domain");
    Revoked "revoked": Row {
        connection: AfterRefusal::CloseIfForwarding,
        ..invalid_token("Token has been revoked")
    };
    InsufficientPermissions "insufficient_permissions": forbidden("Token lacks required role/permission");
    ImpersonationDenied "impersonation_denied": forbidden("Only bot users can impersonate other users");
    // Not about authorization: report mode must not forward such a token either.
    NoMapping "no_mapping": Row {
        kind: Kind::Request,
        ..forbidden("This identity is not mapped to a user of the backend")
    };
    AmbiguousCredentials "ambiguous_credentials": Row {
        challenge: Challenge::Error("invalid_request"),
        ..bad_request("Request carries more than one credential")
    };
    BadTokenRequest "bad_token_request": bad_request("Token request is not valid");
    // The end of the request is unknown.
    BadTarget "bad_target": Row {
        connection: AfterRefusal::Close,
        ..bad_request("Request path is ambiguous or malformed")
    };
    // After CONNECT a client may send bytes that are not HTTP.
    MethodNotAllowed "method_not_allowed": Row {
        connection: AfterRefusal::Close,
        ..request(StatusCode::METHOD_NOT_ALLOWED, GrpcStatus::Unimplemented, "Request method is not allowed")
    };
    OutsidePrefix "outside_prefix": request(StatusCode::NOT_FOUND, GrpcStatus::Unimplemented, "No such path");
    TargetTooLong "target_too_long":
        request(StatusCode::URI_TOO_LONG, GrpcStatus::InvalidArgument, "Request target is too long");
    HeadTooLarge "head_too_large":
        too_large(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request head is too large");
    // The client has stopped sending: do not wait for the rest of its body.
    RequestTimeout "request_timeout": Row {
        connection: AfterRefusal::Close,
        ..request(StatusCode::REQUEST_TIMEOUT, GrpcStatus::DeadlineExceeded, "Request did not arrive in time")
    };
    // About authorization: without keys the caller cannot be verified.
    KeysUnavailable "keys_unavailable": Row {
        kind: Kind::Authorization,
        retry_after: Some(1),
        ..failure(StatusCode::SERVICE_UNAVAILABLE, "Signing keys are not available, try again")
    };
    // About authorization: without the list a revoked token would be accepted.
    RevocationsUnavailable "revocations_unavailable": Row {
        kind: Kind::Authorization,
        retry_after: Some(1),
        ..failure(StatusCode::SERVICE_UNAVAILABLE, "The revocation list is not available, try again")
    };
    CredentialUnavailable "credential_unavailable": Row {
        retry_after: Some(1),
        ..failure(StatusCode::SERVICE_UNAVAILABLE, "The backend credential is not available, try again")
    };
    UpstreamUnreachable "upstream_unreachable": failure(StatusCode::BAD_GATEWAY, "Backend is unreachable");
    UpstreamTimeout "upstream_timeout": Row {
        grpc: GrpcStatus::DeadlineExceeded,
        ..failure(StatusCode::GATEWAY_TIMEOUT, "Backend did not answer in time")
    };
    UpstreamProtocol "upstream_protocol": failure(StatusCode::BAD_GATEWAY, "Backend sent a broken answer");
    Overloaded "overloaded": Row {
        retry_after: Some(1),
        ..failure(StatusCode::SERVICE_UNAVAILABLE, "Too many connections")
    };
    // The denial knows the exact wait.
    RateLimited "rate_limited": Row {
        retry_after: Some(1),
        ..request(StatusCode::TOO_MANY_REQUESTS, GrpcStatus::ResourceExhausted, "Too many requests")
    };
    PayloadTooLarge "payload_too_large": Row {
        connection: AfterRefusal::CloseIfForwarding,
        ..too_large(StatusCode::PAYLOAD_TOO_LARGE, "Request body is larger than allowed")
    };
}

impl Reason {
    /// Whether the reason is about authorization, which report mode only reports.
    pub const fn is_authorization(self) -> bool {
        matches!(self.row().kind, Kind::Authorization)
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What the reason is about.
    pub kind: Kind,
    /// The status of the response.
    pub status: StatusCode,
    /// The status of the response to a gRPC request, whose HTTP status is 200.
    pub grpc: GrpcStatus,
    /// The `message` of its body.
    pub message: &'static str,
    /// Its `WWW-Authenticate`.
    pub challenge: Challenge,
    /// Seconds in its `Retry-After`.
    pub retry_after: Option<u8>,
    /// Whether it counts against `limits.failures`: no trusted issuer made the token, as far as is known. Tokens that
    /// have expired, were revoked or lack a permission are genuine.
    pub is_failure: bool,
    /// What becomes of the connection.
    pub connection: AfterRefusal,
    /// The `decision` in audit records and metrics: `deny`, or `error` if metagate or the backend failed.
    pub decision: &'static str,
}

/// What a reason is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller's credentials or permissions. Report mode only reports these.
    Authorization,
    /// A request that must not be forwarded whatever the rules say: it is ambiguous, exceeds a limit, or has an identity
    /// that is not mapped to a user.
    Request,
    /// A failure of the gateway or of the backend.
    Failure,
}

/// RFC 6750 sections 3 and 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// No `WWW-Authenticate`.
    None,
    /// Only the scheme and the realm: the request has no bearer token.
    Bare,
    /// With this `error` code, and the message as `error_description`.
    Error(&'static str),
}

/// What becomes of an HTTP/1 connection after a refusal. Over HTTP/2 only the stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRefusal {
    /// It stays open if the rest of the request's body can be discarded.
    Keep,
    /// Likewise, but it closes if forwarding of the body has begun.
    CloseIfForwarding,
    /// It closes.
    Close,
}

/// The gRPC status codes in use, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are gRPC's")]
pub enum GrpcStatus {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Unavailable = 14,
    Unauthenticated = 16,
}

const fn invalid_token(message: &'static str) -> Row {
    Row {
        kind: Kind::Authorization,
        challenge: Challenge::Error("invalid_token"),
        ..request(StatusCode::UNAUTHORIZED, GrpcStatus::Unauthenticated, message)
    }
}

const fn not_genuine(message: &'static str) -> Row {
    Row { is_failure: true, ..invalid_token(message) }
}

const fn no_token(message: &'static str) -> Row {
    Row { challenge: Challenge::Bare, ..invalid_token(message) }
}

const fn forbidden(message: &'static str) -> Row {
    Row {
        kind: Kind::Authorization,
        challenge: Challenge::Error("insufficient_scope"),
        ..request(StatusCode::FORBIDDEN, GrpcStatus::PermissionDenied, message)
    }
}

const fn request(status: StatusCode, grpc: GrpcStatus, message: &'static str) -> Row {
    Row {
        kind: Kind::Request,
        status,
        grpc,
        message,
        challenge: Challenge::None,
        retry_after: None,
        is_failure: false,
        connection: AfterRefusal::Keep,
        decision: "deny",
    }
}

const fn bad_request(message: &'static str) -> Row {
    request(StatusCode::BAD_REQUEST, GrpcStatus::InvalidArgument, message)
}

const fn too_large(status: StatusCode, message: &'static str) -> Row {
    request(status, GrpcStatus::ResourceExhausted, message)
}

const fn failure(status: StatusCode, message: &'static str) -> Row {
    Row { kind: Kind::Failure, decision: "error", ..request(status, GrpcStatus::Unavailable, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_row_agree() {
        for reason in Reason::ALL {
            let row = reason.row();
            match row.status {
                StatusCode::UNAUTHORIZED => {
                    // RFC 6750 section 3.1: no error code if the request has no bearer token.
                    let has_token = !matches!(reason, Reason::MissingToken | Reason::UnsupportedScheme);
                    let expected =
                        if has_token { Challenge::Error("invalid_token") } else { Challenge::Bare };
                    assert_eq!(row.challenge, expected, "{reason:?}");
                }
                StatusCode::FORBIDDEN => assert_eq!(row.challenge, Challenge::Error("insufficient_scope")),
                StatusCode::BAD_REQUEST => {}
                _ => assert_eq!(row.challenge, Challenge::None, "{reason:?}"),
            }
            let is_error = row.status.is_server_error();
            assert_eq!(row.decision, if is_error { "error" } else { "deny" }, "{reason:?}");
            assert!(row.kind != Kind::Failure || is_error, "{reason:?}");
            assert!(row.kind != Kind::Request || row.status.is_client_error(), "{reason:?}");
            for other in Reason::ALL.into_iter().filter(|other| other.row().status == row.status) {
                assert_eq!(other.row().grpc, row.grpc, "{reason:?} and {other:?}");
            }
        }
    }
}
