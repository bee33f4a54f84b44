//! The token endpoint (RFC 8693): a workload exchanges its own token for a longer one that only metagate accepts.
//!
//! The steps, each of which refuses:
//!
//! 1. A place among the requests in flight, and the head, as for every request ([`super::form_endpoint`], also 2 to 4).
//! 2. The request is a POST without a query and without credentials in its fields: the subject token is the only one.
//! 3. The limit on the rate of its client network, before anything is verified.
//! 4. A form of bounded size, within `limits.unverifiedTimeout` ([`TokenRequest`]).
//! 5. The subject token is verified, looked up in the revocation list and mapped ([`crate::admission`]), and its exchange
//!    entry must have `tokenLifetime`.
//! 6. A token is signed with the keys of `issuer`, which the backend does not know ([`crate::own_issuer`]).
//!
//! Nothing is forwarded, whatever the policy's mode, and no token gets into a record. Every refusal has the status, `code`
//! and `message` of its reason, and the members of RFC 6749 section 5.2.

use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::form_endpoint::{FormEndpoint, FormWords, Refused};
use super::{ExchangeObserver, FailureSource, Gateway, LiveEnvironment, Peer, Received, Waited};
use crate::claims::IssuedKind;
use crate::client_body::ClientBody;
use crate::config::TokenEndpointConfig;
use crate::decision::{Denial, Reason};
use crate::jose::UnverifiedToken;
use crate::message::{Request, Response};
use crate::own_issuer::TokenIssuer;
use crate::request::{Credentials, TokenError, TokenRequest, TokenType};
use crate::respond::{self, ObservedBody};

const WORDS: FormWords = FormWords {
    name: "the token endpoint",
    key: "issuer.tokenEndpoint",
    credentials: "subject_token is the only credential that is read; leave out Authorization and client authentication",
};

/// The token endpoint of one configuration.
pub(super) struct TokenEndpoint {
    form: FormEndpoint,
    issuer: Arc<TokenIssuer>,
}

/// A response with a token.
struct IssuedResponse {
    body: Bytes,
    fingerprint: Box<str>,
}

impl TokenEndpoint {
    /// The endpoint of a configuration. `prefix` is the path below which clients reach the installation.
    pub(super) fn new(config: &TokenEndpointConfig, prefix: &str, issuer: Arc<TokenIssuer>) -> Self {
        let form = FormEndpoint::new(&WORDS, prefix, &config.path, config.rate);
        Self { form, issuer }
    }

    /// Whether a request for this target is a token request.
    pub(super) fn is_at(&self, target: &Uri) -> bool {
        self.form.is_at(target)
    }
}

impl Gateway {
    /// Serves a request to the token endpoint.
    pub(super) async fn serve_token_request(
        &self,
        endpoint: &TokenEndpoint,
        peer: &Peer,
        request: Request<ClientBody>,
    ) -> Response<ObservedBody> {
        let mut received = self.receive(peer, request);
        received.exchange.via_token_endpoint();
        // A refusal of gRPC has the status 200.
        received.format.grpc = false;
        let waited = Waited::default();
        match self.answer_token_request(endpoint, &mut received, peer, &waited).await {
            Ok(issued) => {
                let Received { mut exchange, head, body, format } = received;
                exchange.issued_token(&issued.fingerprint, waited.total());
                let close = self.discard_or_close(body, &head.headers, format.http2, peer);
                respond::issued(exchange, issued.body, close)
            }
            Err(refused) => {
                received.exchange.waited(waited.total());
                self.refuse_form(received, refused, peer)
            }
        }
    }

    async fn answer_token_request(
        &self,
        endpoint: &TokenEndpoint,
        received: &mut Received,
        peer: &Peer,
        waited: &Waited,
    ) -> Result<IssuedResponse, Refused> {
        let (form, source) = self.receive_form(&endpoint.form, received, peer, waited).await?;
        let request = TokenRequest::read(&form, endpoint.issuer.audience())?;
        drop(form);
        let Received { exchange, body, .. } = received;
        let failures = FailureSource::of(peer, source);
        let mut environment =
            LiveEnvironment::new(self, peer, source, failures, body, self.unverified_timeout, waited);
        let mut observer = ExchangeObserver::new(exchange, Some(peer), waited);
        let token =
            self.admission.admit_subject(&request.subject, source, &mut environment, &mut observer).await;
        let token = token.map_err(|denial| match request.subject {
            Credentials::Malformed(why) => {
                Refused { told: Some((TokenError::InvalidRequest, why)), ..denial.into() }
            }
            _ => denial.into(),
        })?;
        let grant = self.admission.authorizer.exchange.issue(&token);
        // Admission has checked it.
        let grant = grant.map_err(|_| Denial::new(Reason::NoMapping))?;
        let (issuer, now) = (&endpoint.issuer, (self.clock)());
        let issued = issuer
            .issue(IssuedKind::Exchanged, grant.subject, grant.lifetime, now, &grant.claims)
            .map_err(|fault| Denial::new(Reason::CredentialUnavailable).with(fault.to_string()))?;
        let text = issued.text.expose_secret();
        let fingerprint = self.usable_fingerprint(text)?;
        Ok(IssuedResponse { body: body_of(text, request.requested, issued.expires.since(now)), fingerprint })
    }

    /// The first digits of the fingerprint of an issued token, which must not be too long to be accepted.
    fn usable_fingerprint(&self, text: &str) -> Result<Box<str>, Denial> {
        let parsed = UnverifiedToken::parse(text, self.admission.authorizer.token_bytes);
        let parsed = parsed.map_err(|_| {
            let why = "the issued token would be longer than limits.tokenBytes: the jti, kid or claims of this one are too long";
            Denial::new(Reason::MalformedToken).with(why)
        })?;
        Ok(parsed.fingerprint().short().into())
    }
}

/// RFC 8693 section 2.2.1. There is no refresh token, and no scope.
fn body_of(token: &str, described_as: TokenType, expires_in: i64) -> Bytes {
    let body = json!({
        "access_token": token,
        "issued_token_type": described_as.as_str(),
        "token_type": "Bearer",
        "expires_in": expires_in,
    });
    body.to_string().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn rfc8693_section_2_2_1_members() {
        let body: serde_json::Value =
            serde_json::from_slice(&body_of("a.b.c", TokenType::AccessToken, 5)).unwrap();
        let kind = "urn:ietf:params:oauth:token-type:access_token";
        let expected = json!({"access_token": "a.b.c", "issued_token_type": kind, "token_type": "Bearer", "expires_in": 5});
        assert_eq!(body, expected);
    }
}
