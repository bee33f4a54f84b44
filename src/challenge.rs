//! The texts of a refusal: its body, its `WWW-Authenticate`, and the messages that depend on the configuration.
//!
//! `WWW-Authenticate` follows RFC 6750 section 3. The body has the form that OpenMetadata's and DataHub's clients
//! expect. Both top-level members are required: OpenMetadata's Python client treats a failure as success if the
//! body mentions "code" but has no top-level `code`.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::backend::Backend;
use crate::claims::ClaimPath;
use crate::decision::{Challenge, Denial, Reason};
use crate::request::TokenError;
use crate::trust::TrustedIssuer;

/// The texts of every refusal. They are made once for a configuration, because a client without a token can ask for them
/// as often as it likes.
#[derive(Clone, Debug)]
pub struct Wording {
    /// In the order of [`Reason::ALL`].
    reasons: [Texts; Reason::ALL.len()],
    /// For [`Reason::MissingPrincipal`], in the order of the issuer entries.
    missing_principal: Vec<Texts>,
}

/// The texts of one refusal.
#[derive(Clone, Debug)]
pub struct Texts {
    /// What is wrong.
    pub message: Box<str>,
    /// See [`body`].
    pub body: Bytes,
    /// The value of `WWW-Authenticate`, if there is one.
    pub challenge: Option<HeaderValue>,
}

impl Texts {
    fn new(reason: Reason, message: &str) -> Self {
        let row = reason.row();
        let challenge = www_authenticate(row.challenge, message);
        Self {
            message: message.into(),
            body: body(row.status, message).into(),
            // Of printable ASCII only.
            challenge: challenge.and_then(|challenge| HeaderValue::try_from(challenge).ok()),
        }
    }
}

impl Texts {
    /// The same for a client of the token endpoint: the body has the members of RFC 6749 section 5.2, too. `why` is what is
    /// wrong with the request, if the reason alone does not say it.
    #[must_use]
    pub fn of_token_request(&self, status: StatusCode, error: TokenError, why: Option<&str>) -> Self {
        let message = why.unwrap_or(&self.message);
        let body = json!({
            "code": status.as_u16(), "message": message, "error": error.as_str(), "error_description": message,
        });
        Self { message: message.into(), body: body.to_string().into(), challenge: self.challenge.clone() }
    }
}

impl Wording {
    /// The wording for `backend` and these issuer entries.
    pub fn new(backend: Backend, trust: &[TrustedIssuer]) -> Self {
        let expired = backend.preset().expired_message.unwrap_or(Reason::Expired.row().message);
        let message = |reason: Reason| if reason == Reason::Expired { expired } else { reason.row().message };
        Self {
            reasons: Reason::ALL.map(|reason| Texts::new(reason, message(reason))),
            missing_principal: trust.iter().map(missing_principal).collect(),
        }
    }

    /// The texts for this refusal.
    pub fn texts(&self, denial: &Denial) -> &Texts {
        let [first, ..] = &self.reasons;
        let of_entry = match (denial.reason, denial.entry) {
            (Reason::MissingPrincipal, Some(entry)) => self.missing_principal.get(entry),
            _ => None,
        };
        // Every reason has its place.
        of_entry.or_else(|| self.reasons.get(denial.reason as usize)).unwrap_or(first)
    }

    /// The `message` for this refusal.
    pub fn message(&self, denial: &Denial) -> &str {
        &self.texts(denial).message
    }
}

fn missing_principal(entry: &TrustedIssuer) -> Texts {
    let principal = &entry.rules.principal;
    let claims = match &principal.mapping {
        Some(mapping) => vec![mapping.username.as_str(), mapping.email.as_str()],
        None => principal.claims.iter().map(ClaimPath::as_str).collect(),
    };
    let message = format!("{} [{}]", Reason::MissingPrincipal.row().message, claims.join(", "));
    Texts::new(Reason::MissingPrincipal, &message)
}

/// `{"code":401,"message":"..."}`
pub fn body(status: StatusCode, message: &str) -> String {
    format!(r#"{{"code":{},"message":{}}}"#, status.as_u16(), serde_json::Value::from(message))
}

/// The value of `WWW-Authenticate`.
fn www_authenticate(challenge: Challenge, message: &str) -> Option<String> {
    const REALM: &str = r#"Bearer realm="metagate""#;
    match challenge {
        Challenge::None => None,
        Challenge::Bare => Some(REALM.into()),
        Challenge::Error(error) => {
            // RFC 6750 section 3: printable ASCII without `"` and `\`.
            let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
            let description: String = message.chars().map(|c| if allowed(c) { c } else { '?' }).collect();
            Some(format!(r#"{REALM}, error="{error}", error_description="{description}""#))
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
    fn each_reason_has_its_own_texts() {
        let wording = Wording::new(Backend::OpenMetadata, &[]);
        for reason in Reason::ALL {
            let (row, texts) = (reason.row(), wording.texts(&Denial::new(reason)));
            let expired = Backend::OpenMetadata.preset().expired_message.unwrap();
            let message = if reason == Reason::Expired { expired } else { row.message };
            assert_eq!(&*texts.message, message);
            assert_eq!(texts.body, body(row.status, message));
            let challenge = www_authenticate(row.challenge, message);
            assert_eq!(texts.challenge.as_ref().map(|value| value.to_str().unwrap()), challenge.as_deref());
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
    fn rfc6749_section_5_2_members() {
        let wording = Wording::new(Backend::Generic, &[]);
        let texts = wording.texts(&Denial::new(Reason::Expired));
        let read = |texts: Texts| serde_json::from_slice::<serde_json::Value>(&texts.body).unwrap();
        let body = read(texts.of_token_request(StatusCode::UNAUTHORIZED, TokenError::InvalidRequest, None));
        let message = "Token has expired";
        assert_eq!(
            body,
            json!({"code": 401, "message": message, "error": "invalid_request", "error_description": message})
        );
        let body =
            read(texts.of_token_request(StatusCode::BAD_REQUEST, TokenError::InvalidTarget, Some("why")));
        assert_eq!(
            body,
            json!({"code": 400, "message": "why", "error": "invalid_target", "error_description": "why"})
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
