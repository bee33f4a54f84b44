//! What the endpoints have in common that read a form with a token: the token endpoint and the revocation endpoint.
//!
//! 1. A place among the requests in flight, and the head, as for every request.
//! 2. The request is a POST without a query and without credentials in its fields: the token in the form is the only one.
//! 3. The limit on the rate of its client network, before anything is verified.
//! 4. A form of bounded size, within `limits.unverifiedTimeout`.
//!
//! Every refusal has the status, `code` and `message` of its reason, and the members of RFC 6749 section 5.2.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri};
use tokio::time::timeout;

use super::graphql::read_ahead;
use super::refusal::broken_body;
use super::{Gateway, Peer, Received, Waited, take_place};
use crate::admission::{RequestHead, Via};
use crate::client_body::ClientBody;
use crate::decision::{Denial, Reason};
use crate::diagnosis::Detail;
use crate::message::field_name::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use crate::message::{Fields, Response};
use crate::rate_limiter::{RateLimit, RateLimiter};
use crate::request::{Credentials, TokenError, TokenRequestFault};
use crate::respond::ObservedBody;
use crate::upstream::stated_length;

/// The longest form without its token: names, types and what a client adds.
const FORM_BYTES: usize = 4096;
const FORM: &str = "application/x-www-form-urlencoded";

const QUERY: TokenRequestFault =
    TokenRequestFault::invalid("the path has a query; the parameters are read from the body only");
const NOT_A_FORM: TokenRequestFault = TokenRequestFault::invalid(
    "Content-Type is another one than application/x-www-form-urlencoded, or there is a Content-Encoding",
);

/// The path of an endpoint, and its limit.
pub(super) struct FormEndpoint {
    words: &'static FormWords,
    /// As clients write it.
    path: Box<str>,
    rate: RateLimiter,
}

/// What differs between the refusals of endpoints.
pub(super) struct FormWords {
    /// The name, as in `the token endpoint`.
    pub(super) name: &'static str,
    /// The key that configures it.
    pub(super) key: &'static str,
    /// What is wrong with further credentials.
    pub(super) credentials: &'static str,
}

/// Why a request with a form is refused.
pub(super) struct Refused {
    pub(super) denial: Denial,
    /// What the client is told, if the reason alone does not say it.
    pub(super) told: Option<(TokenError, &'static str)>,
}

impl FormEndpoint {
    /// An endpoint. `prefix` is the path below which clients reach the installation.
    pub(super) fn new(words: &'static FormWords, prefix: &str, path: &str, rate: RateLimit) -> Self {
        Self { words, path: format!("{prefix}{path}").into(), rate: RateLimiter::new(rate, Instant::now()) }
    }

    /// Whether a request for this target is one to the endpoint. Every other way to write the path is another path, and is
    /// forwarded only as the routes and rules allow it.
    pub(super) fn is_at(&self, target: &Uri) -> bool {
        target.path() == &*self.path
    }

    /// Takes a permit of this client network.
    fn check_rate(&self, source: Option<IpAddr>) -> Result<(), Denial> {
        self.rate.try_take(&source.map(network), Instant::now()).map_err(|wait| {
            let (name, key, seconds) = (self.words.name, self.words.key, wait.seconds());
            let detail = Detail::of(format_args!(
                "{name} has answered too many requests of this network ({key}), a permit in {seconds}s"
            ));
            let denial = Denial::new(Reason::RateLimited).with(detail.finish());
            Denial { retry_after: Some(seconds), ..denial }
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
    /// The form of a request, and the client address.
    pub(super) async fn receive_form(
        &self,
        endpoint: &FormEndpoint,
        received: &mut Received,
        peer: &Peer,
        waited: &Waited,
    ) -> Result<(Bytes, Option<IpAddr>), Refused> {
        let Received { exchange, head, body, .. } = received;
        let source = self.admission.head.source_ip(&head.headers, peer.address);
        exchange.set_source(source);
        let place = take_place(exchange, peer, source);
        peer.named.first_turn(&peer.account).await;
        place?;
        let request_head = RequestHead {
            method: &head.method,
            target: &head.uri,
            version: head.version,
            headers: &head.headers,
            source,
            content_length: None,
            via: Via::Proxy,
            token_fields: self.token_fields(peer),
        };
        self.check_form_head(endpoint.words, &request_head)?;
        endpoint.check_rate(source)?;
        if !is_form(&head.headers) {
            return Err(NOT_A_FORM.into());
        }
        let most = self.admission.authorizer.token_bytes.saturating_add(FORM_BYTES);
        if let Some(place) = exchange.place() {
            place.forwards(most);
        }
        let form = waited.during(self.read_form(body, most, stated_length(&head.headers))).await?;
        Ok((form, source))
    }

    /// Checks everything that the head says.
    fn check_form_head(&self, words: &'static FormWords, head: &RequestHead<'_>) -> Result<(), Refused> {
        let facts = self.admission.facts(head).map_err(|fault| self.admission.refused_head(fault, head))?;
        if facts.method != Method::POST {
            let detail = Detail::of(format_args!("{} takes only POST", words.name));
            return Err(Denial::new(Reason::MethodNotAllowed).with(detail.finish()).into());
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
                told: Some((TokenError::InvalidRequest, words.credentials)),
                ..Denial::new(Reason::AmbiguousCredentials).with(words.credentials).into()
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

    /// The response to a refused request of an endpoint.
    pub(super) fn refuse_form(
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
}
