//! The texts of a refusal: its body, its `WWW-Authenticate`, and the messages that depend on the configuration.
//!
//! `WWW-Authenticate` follows RFC 6750 section 3. The body has the form that OpenMetadata's and DataHub's clients
//! expect. Both top-level members are required: OpenMetadata's Python client treats a failure as success if the
//! body mentions "code" but has no top-level `code`.

use std::borrow::Cow;

use http::StatusCode;

use crate::backend::Backend;
use crate::decision::{Challenge, Denial, Reason};
use crate::trust::TrustedIssuer;

/// The messages that depend on the configuration.
#[derive(Clone, Debug)]
pub struct Wording {
    expired: &'static str,
    missing_principal: Vec<Box<str>>,
}

impl Wording {
    /// The wording for `backend` and these issuer entries.
    pub fn new(backend: Backend, trust: &[TrustedIssuer]) -> Self {
        let expired = backend.preset().expired_message.unwrap_or(Reason::Expired.row().message);
        let missing_principal = trust.iter().map(missing_principal).collect();
        Self { expired, missing_principal }
    }

    /// The `message` for this refusal.
    pub fn message(&self, denial: &Denial) -> &str {
        match denial.reason {
            Reason::Expired => self.expired,
            Reason::MissingPrincipal => {
                let entry = denial.entry.and_then(|entry| self.missing_principal.get(entry));
                entry.map_or(denial.reason.row().message, |message| message)
            }
            reason => reason.row().message,
        }
    }
}

fn missing_principal(entry: &TrustedIssuer) -> Box<str> {
    let principal = &entry.rules.principal;
    let claims = match &principal.mapping {
        Some(mapping) => vec![&*mapping.username, &*mapping.email],
        None => principal.claims.iter().map(AsRef::as_ref).collect(),
    };
    format!("{} [{}]", Reason::MissingPrincipal.row().message, claims.join(", ")).into()
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
    fn every_body_is_json_with_its_status() {
        for reason in Reason::ALL {
            let row = reason.row();
            let body: serde_json::Value = serde_json::from_str(&body(row.status, row.message)).unwrap();
            assert_eq!(body["code"], row.status.as_u16());
            assert_eq!(body["message"], row.message);
        }
    }

    #[test]
    fn the_body_has_code_and_message() {
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
