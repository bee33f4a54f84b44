//! The token endpoint (RFC 8693): a workload exchanges its own token for a longer one that only metagate accepts.
//!
//! The steps, each of which refuses:
//!
//! 1. A place among the requests in flight, and the head, as for every request.
//! 2. The request is a POST without a query and without credentials in its fields: the subject token is the only one.
//! 3. The limit on the rate of its client network, before anything is verified.
//! 4. A form of bounded size, within `limits.unverifiedTimeout` ([`TokenRequest`]).
//! 5. The subject token is verified, looked up in the revocation list and mapped ([`crate::admission`]), and its exchange
//!    entry must have `tokenLifetime`.
//! 6. A token is signed with the keys of `issuer`, which the backend does not know ([`crate::own_issuer`]).
//!
//! Nothing is forwarded, whatever the policy's mode, and no token gets into a record. Every refusal has the status, `code`
//! and `message` of its reason, and the members of RFC 6749 section 5.2.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio::time::timeout;

use super::graphql::read_ahead;
use super::refusal::broken_body;
use super::{ExchangeObserver, FailureSource, Gateway, LiveEnvironment, Peer, Received, Waited, take_place};
use crate::admission::{RequestHead, Via};
use crate::claims::IssuedKind;
use crate::client_body::ClientBody;
use crate::config::TokenEndpointConfig;
use crate::decision::{Denial, Reason};
use crate::diagnosis::Detail;
use crate::jose::UnverifiedToken;
use crate::message::field_name::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use crate::message::{Fields, Request, Response};
use crate::own_issuer::TokenIssuer;
use crate::rate_limiter::RateLimiter;
use crate::request::{Credentials, TokenError, TokenRequest, TokenRequestFault, TokenType};
use crate::respond::{self, ObservedBody};
use crate::upstream::stated_length;

/// The longest form without its token: names, types and what a client adds.
const FORM_BYTES: usize = 4096;
const FORM: &str = "application/x-www-form-urlencoded";

const QUERY: TokenRequestFault =
    TokenRequestFault::invalid("the path has a query; the parameters are read from the body only");
const NOT_A_FORM: TokenRequestFault = TokenRequestFault::invalid(
    "Content-Type is another one than application/x-www-form-urlencoded, or there is a Content-Encoding",
);
const CREDENTIALS: &str =
    "subject_token is the only credential that is read; leave out Authorization and client authentication";

/// The token endpoint of one configuration.
pub(super) struct TokenEndpoint {
    /// As clients write it.
    path: Box<str>,
    issuer: Arc<TokenIssuer>,
    rate: RateLimiter,
}

/// Why a token request is refused.
struct Refused {
    denial: Denial,
    /// What the client is told, if the reason alone does not say it.
    told: Option<(TokenError, &'static str)>,
}

/// A response with a token.
struct IssuedResponse {
    body: Bytes,
    fingerprint: Box<str>,
}

impl TokenEndpoint {
    /// The endpoint of a configuration. `prefix` is the path below which clients reach the installation.
    pub(super) fn new(config: &TokenEndpointConfig, prefix: &str, issuer: Arc<TokenIssuer>) -> Self {
        let path = format!("{prefix}{}", config.path).into();
        Self { path, issuer, rate: RateLimiter::new(config.rate, Instant::now()) }
    }

    /// Whether a request for this target is a token request. Every other way to write the path is another path, and is
    /// forwarded only as the routes and rules allow it.
    pub(super) fn is_at(&self, target: &Uri) -> bool {
        target.path() == &*self.path
    }
}

impl TokenEndpoint {
    /// Takes a permit of this client network.
    fn check_rate(&self, source: Option<IpAddr>) -> Result<(), Denial> {
        self.rate.try_take(&source.map(network), Instant::now()).map_err(|wait| {
            let detail = Detail::of(format_args!(
                "the token endpoint has answered too many requests of this network (issuer.tokenEndpoint), a permit in {}s",
                wait.seconds()
            ));
            let denial = Denial::new(Reason::RateLimited).with(detail.finish());
            Denial { retry_after: Some(wait.seconds()), ..denial }
        })
    }
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Self { denial, told: None }
    }
}

impl From<TokenRequestFault> for Refused {
    fn from(fault: TokenRequestFault) -> Self {
        let denial = Denial::new(Reason::BadTokenRequest).with(fault.why);
        Self { told: Some((fault.error, fault.why)), ..denial.into() }
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
                self.refuse_token_request(received, refused, peer)
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
        let Received { exchange, head, body, .. } = received;
        let source = self.admission.head.source_ip(&head.headers, peer.address);
        exchange.set_source(source);
        take_place(exchange, peer, source)?;
        self.check_token_request(&RequestHead {
            method: &head.method,
            target: &head.uri,
            version: head.version,
            headers: &head.headers,
            source,
            content_length: None,
            via: Via::Proxy,
            token_fields: self.token_fields(peer),
        })?;
        endpoint.check_rate(source)?;
        if !is_form(&head.headers) {
            return Err(NOT_A_FORM.into());
        }
        let most = self.admission.authorizer.token_bytes.saturating_add(FORM_BYTES);
        if let Some(place) = exchange.place() {
            place.forwards(most);
        }
        let form = waited.during(self.read_form(body, most, stated_length(&head.headers))).await?;
        let request = TokenRequest::read(&form, endpoint.issuer.audience())?;
        drop(form);
        let failures = FailureSource::of(peer, source);
        let mut environment =
            LiveEnvironment::new(self, source, failures, body, self.unverified_timeout, waited);
        let mut observer = ExchangeObserver::new(exchange, Some(&peer.account), waited);
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

    /// Checks everything that the head says.
    fn check_token_request(&self, head: &RequestHead<'_>) -> Result<(), Refused> {
        let facts = self.admission.facts(head).map_err(|fault| self.admission.refused_head(fault, head))?;
        if facts.method != Method::POST {
            return Err(Denial::new(Reason::MethodNotAllowed)
                .with("the token endpoint takes only POST")
                .into());
        }
        if facts.path.path_and_query().query().is_some() {
            return Err(QUERY.into());
        }
        match facts.credentials {
            Credentials::Missing => Ok(()),
            Credentials::Bearer(_)
            | Credentials::Basic(_)
            | Credentials::OtherScheme(_)
            | Credentials::Malformed(_) => Err(Refused {
                told: Some((TokenError::InvalidRequest, CREDENTIALS)),
                ..Denial::new(Reason::AmbiguousCredentials).with(CREDENTIALS).into()
            }),
        }
    }

    /// Reads the form, of at most `most` bytes. All of it must arrive within the time for unverified clients.
    async fn read_form(
        &self,
        body: &mut ClientBody,
        most: usize,
        stated: Option<u64>,
    ) -> Result<Bytes, Denial> {
        let too_long = || {
            let detail =
                Detail::of(format_args!("the form is longer than limits.tokenBytes and {FORM_BYTES} bytes"));
            Denial::new(Reason::PayloadTooLarge).with(detail.finish())
        };
        if stated.is_some_and(|stated| stated > most as u64) {
            return Err(too_long());
        }
        let patience = self.unverified_timeout;
        let read = timeout(patience, read_ahead(body, most, patience)).await.map_err(|_| {
            Denial::new(Reason::RequestTimeout)
                .with("the form did not arrive within limits.unverifiedTimeout")
        })?;
        let ahead = read.map_err(|received| broken_body(received, stated))?;
        if ahead.ended && ahead.bytes.len() <= most { Ok(ahead.bytes) } else { Err(too_long()) }
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

    fn refuse_token_request(
        &self,
        received: Received,
        refused: Refused,
        peer: &Peer,
    ) -> Response<ObservedBody> {
        let Refused { denial, told } = refused;
        let status = denial.reason.row().status;
        let error = told.map_or_else(|| error_of(denial.reason), |(error, _)| error);
        let texts = self.wording.texts(&denial);
        let texts = texts.of_token_request(status, error, told.map(|(_, why)| why));
        let mut response = self.refuse_with(received, denial, &texts, peer);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

/// The value of `error`. RFC 8693 section 2.2.2: a subject token that is invalid, or not acceptable by policy, is an invalid
/// request.
fn error_of(reason: Reason) -> TokenError {
    match reason.row().status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => TokenError::TemporarilyUnavailable,
        _ => TokenError::InvalidRequest,
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

/// The network whose requests are counted together: an address, or a /64 of IPv6, as for the shares of `limits`.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Whether the body is a form, by the one `Content-Type` that says so (RFC 9110 section 8.3). Parameters like `charset` mean
/// nothing for it.
fn is_form(headers: &Fields) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE);
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let name = only.to_str().ok().and_then(|text| text.split(';').next()).unwrap_or_default();
    name.trim_matches([' ', '\t']).eq_ignore_ascii_case(FORM) && !headers.contains_key(CONTENT_ENCODING)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::test_support::fields;

    #[test]
    fn a_network_is_an_address_or_a_64() {
        let same = |one: &str, other: &str| network(one.parse().unwrap()) == network(other.parse().unwrap());
        assert!(same("192.0.2.1", "192.0.2.1") && !same("192.0.2.1", "192.0.2.2"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(same("2001:db8::1", "2001:db8::ffff:2") && !same("2001:db8::1", "2001:db8:0:1::1"));
    }

    #[test]
    fn only_a_form_is_a_form() {
        for (lines, expected) in [
            (&[("content-type", FORM)][..], true),
            (&[("content-type", "Application/X-WWW-Form-Urlencoded ; charset=UTF-8")], true),
            (&[("content-type", "application/json")], false),
            (&[("content-type", "multipart/form-data; boundary=x")], false),
            (&[("content-type", FORM), ("content-type", FORM)], false),
            (&[("content-type", FORM), ("content-encoding", "gzip")], false),
            (&[], false),
        ] {
            assert_eq!(is_form(&fields(lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn rfc8693_section_2_2_1_members() {
        let body: serde_json::Value =
            serde_json::from_slice(&body_of("a.b.c", TokenType::AccessToken, 5)).unwrap();
        let kind = "urn:ietf:params:oauth:token-type:access_token";
        let expected = json!({"access_token": "a.b.c", "issued_token_type": kind, "token_type": "Bearer", "expires_in": 5});
        assert_eq!(body, expected);
    }
}
