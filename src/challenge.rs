//! What a refused caller is told: status, message and challenge for every reason, in one table.
//!
//! RFC 6750 section 3 for `WWW-Authenticate`; the body is the one that OpenMetadata's and
//! DataHub's clients read. Its two top-level members are not a matter of taste: OpenMetadata's
//! Python client takes a failure whose body mentions "code" without a top-level `code` as success.

use std::borrow::Cow;

use http::StatusCode;

use crate::backend::Backend;
use crate::decision::{Denial, Reason};
use crate::trust::TrustedIssuer;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The status of the answer.
    pub status: StatusCode,
    /// The `message` of its body.
    pub message: &'static str,
    /// Its `WWW-Authenticate`.
    pub challenge: Challenge,
    /// Seconds in its `Retry-After`.
    pub retry_after: Option<u8>,
}

/// RFC 6750 sections 3 and 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// No `WWW-Authenticate`.
    None,
    /// The scheme and the realm alone: the request brought no bearer token at all.
    Bare,
    /// With this `error` code, and the message as `error_description`.
    Error(&'static str),
}

/// The table.
pub const fn row(reason: Reason) -> Row {
    const fn unauthorized(message: &'static str) -> Row {
        Row {
            status: StatusCode::UNAUTHORIZED,
            message,
            challenge: Challenge::Error("invalid_token"),
            retry_after: None,
        }
    }
    const fn no_token(message: &'static str) -> Row {
        Row { challenge: Challenge::Bare, ..unauthorized(message) }
    }
    const fn forbidden(message: &'static str) -> Row {
        Row {
            status: StatusCode::FORBIDDEN,
            message,
            challenge: Challenge::Error("insufficient_scope"),
            retry_after: None,
        }
    }
    const fn plain(status: StatusCode, message: &'static str) -> Row {
        Row { status, message, challenge: Challenge::None, retry_after: None }
    }
    const fn later(status: StatusCode, message: &'static str) -> Row {
        Row { retry_after: Some(1), ..plain(status, message) }
    }
    match reason {
        Reason::MissingToken => no_token("No Authorization header provided"),
        Reason::UnsupportedScheme => no_token("Authorization header must use the Bearer scheme"),
        Reason::MalformedToken => unauthorized("Token is malformed"),
        Reason::AlgorithmNotAllowed => unauthorized("Token algorithm is not allowed"),
        Reason::UntrustedIssuer => unauthorized("Token issuer is not trusted"),
        Reason::UnknownKey => unauthorized("Token signing key not found in the configured public keys"),
        Reason::InvalidSignature => unauthorized("Token signature is invalid"),
        Reason::Expired => unauthorized("Token has expired"),
        Reason::NotYetValid => unauthorized("Token is not valid yet"),
        Reason::MissingExpiry => unauthorized("Token must have an expiration time"),
        Reason::LifetimeTooLong => unauthorized("Token lifetime is longer than allowed"),
        Reason::WrongAudience => unauthorized("Token is not meant for this service"),
        Reason::MissingPrincipal => unauthorized("Token has none of the principal claims"),
        Reason::WrongDomain => unauthorized("Token principal is not in an allowed domain"),
        Reason::Revoked => unauthorized("Token has been revoked"),
        Reason::InsufficientPermissions => forbidden("Token lacks required role/permission"),
        Reason::ImpersonationDenied => forbidden("Only bot users can impersonate other users"),
        Reason::AmbiguousCredentials => Row {
            challenge: Challenge::Error("invalid_request"),
            ..plain(StatusCode::BAD_REQUEST, "Request carries more than one credential")
        },
        Reason::BadTarget => plain(StatusCode::BAD_REQUEST, "Request path is ambiguous or malformed"),
        Reason::MethodNotAllowed => plain(StatusCode::METHOD_NOT_ALLOWED, "Request method is not allowed"),
        Reason::TargetTooLong => plain(StatusCode::URI_TOO_LONG, "Request target is too long"),
        Reason::HeadTooLarge => {
            plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request head is too large")
        }
        Reason::RequestTimeout => plain(StatusCode::REQUEST_TIMEOUT, "Request did not arrive in time"),
        Reason::KeysUnavailable => {
            later(StatusCode::SERVICE_UNAVAILABLE, "Signing keys are not available, try again")
        }
        Reason::UpstreamUnreachable => plain(StatusCode::BAD_GATEWAY, "Backend is unreachable"),
        Reason::UpstreamTimeout => plain(StatusCode::GATEWAY_TIMEOUT, "Backend did not answer in time"),
        Reason::UpstreamProtocol => plain(StatusCode::BAD_GATEWAY, "Backend sent a broken answer"),
        Reason::Overloaded => later(StatusCode::SERVICE_UNAVAILABLE, "Too many connections"),
        Reason::RateLimited => later(StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
        Reason::PayloadTooLarge => {
            plain(StatusCode::PAYLOAD_TOO_LARGE, "Request body is larger than allowed")
        }
    }
}

/// The gRPC status that says the same (gRPC answers are HTTP 200 whatever happened).
pub const fn grpc_status(reason: Reason) -> &'static str {
    match row(reason).status {
        StatusCode::UNAUTHORIZED => "16",
        StatusCode::FORBIDDEN => "7",
        StatusCode::BAD_REQUEST | StatusCode::URI_TOO_LONG => "3",
        StatusCode::METHOD_NOT_ALLOWED => "12",
        StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        | StatusCode::TOO_MANY_REQUESTS => "8",
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "4",
        _ => "14",
    }
}

/// The messages, where configuration has a say in them.
#[derive(Clone, Debug)]
pub struct Wording {
    expired: &'static str,
    missing_principal: Vec<Box<str>>,
}

impl Wording {
    /// The wording for `backend` and these issuer entries.
    pub fn new(backend: Backend, trust: &[TrustedIssuer]) -> Self {
        // OpenMetadata's web UI refreshes its session when a message contains `Expired token!`,
        // and logs the user out otherwise.
        let expired = match backend {
            Backend::OpenMetadata => "Expired token! Token has expired",
            Backend::Generic | Backend::DataHubGms | Backend::DataHubFrontend => row(Reason::Expired).message,
        };
        let missing_principal = trust.iter().map(missing_principal).collect();
        Self { expired, missing_principal }
    }

    /// The `message` for this refusal.
    pub fn message(&self, denial: &Denial) -> &str {
        match denial.reason {
            Reason::Expired => self.expired,
            Reason::MissingPrincipal => {
                let entry = denial.entry.and_then(|entry| self.missing_principal.get(entry));
                entry.map_or(row(denial.reason).message, |message| message)
            }
            reason => row(reason).message,
        }
    }
}

fn missing_principal(entry: &TrustedIssuer) -> Box<str> {
    let principal = &entry.rules.principal;
    let claims = match &principal.mapping {
        Some(mapping) => vec![&*mapping.username, &*mapping.email],
        None => principal.claims.iter().map(AsRef::as_ref).collect(),
    };
    format!("{} [{}]", row(Reason::MissingPrincipal).message, claims.join(", ")).into()
}

/// `{"code":401,"message":"..."}`
pub fn body(status: StatusCode, message: &str) -> String {
    format!(r#"{{"code":{},"message":{}}}"#, status.as_u16(), serde_json::Value::from(message))
}

/// The value of `WWW-Authenticate`.
pub fn www_authenticate(challenge: Challenge, message: &str) -> Option<Cow<'static, str>> {
    const REALM: &str = r#"Bearer realm="metagate""#;
    match challenge {
        Challenge::None => None,
        Challenge::Bare => Some(REALM.into()),
        Challenge::Error(error) => {
            // RFC 6750 section 3: printable ASCII without `"` and `\`.
            let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
            let description: String = message.chars().map(|c| if allowed(c) { c } else { '?' }).collect();
            Some(format!(r#"{REALM}, error="{error}", error_description="{description}""#).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_row_that_fits_its_status() {
        for reason in Reason::ALL {
            let row = row(reason);
            match row.status {
                StatusCode::UNAUTHORIZED => assert_ne!(row.challenge, Challenge::None, "{reason:?}"),
                StatusCode::FORBIDDEN => assert_eq!(row.challenge, Challenge::Error("insufficient_scope")),
                StatusCode::BAD_REQUEST => {}
                _ => assert_eq!(row.challenge, Challenge::None, "{reason:?}"),
            }
            let body: serde_json::Value = serde_json::from_str(&body(row.status, row.message)).unwrap();
            assert_eq!(body["code"], row.status.as_u16());
            assert_eq!(body["message"], row.message);
        }
    }

    #[test]
    fn the_body_is_the_one_of_the_documents() {
        assert_eq!(
            body(StatusCode::UNAUTHORIZED, "Token has expired"),
            r#"{"code":401,"message":"Token has expired"}"#
        );
    }

    #[test]
    fn challenges_follow_rfc_6750() {
        assert_eq!(www_authenticate(Challenge::Bare, "x").unwrap(), r#"Bearer realm="metagate""#);
        let bad = www_authenticate(Challenge::Error("invalid_token"), "Token \"x\" \u{e9}\n").unwrap();
        assert_eq!(
            bad,
            r#"Bearer realm="metagate", error="invalid_token", error_description="Token ?x? ??""#
        );
        assert_eq!(www_authenticate(Challenge::None, "x"), None);
    }
}
