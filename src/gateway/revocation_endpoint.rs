//! The revocation endpoint (RFC 7009): the holder of a token revokes it.
//!
//! 1. The request is read as strictly as one to the token endpoint ([`super::form_endpoint`]). The token in the form is the
//!    only credential: its holder could use it, so its holder may end it.
//! 2. The token is verified like that of every other request. Routes, rules and its mapping are not asked, and neither is
//!    where a bot's request comes from: whoever finds a stolen token can revoke it.
//! 3. A token that verifies is entered into the store or the file ([`RevocationList::enter_token`]). Nothing is kept of
//!    one that does not.
//!
//! The response is 200 whatever the token was (section 2.2), so that it says nothing about tokens that somebody guesses. It is
//! 503 if the token may be valid and could not be entered (section 2.2.1), and sent only once the entry counts in this
//! process. Nothing is forwarded, whatever the policy's mode, and no token gets into a record.
//!
//! [`RevocationList::enter_token`]: crate::revocation_list::RevocationList::enter_token

use std::sync::Arc;

use http::Uri;

use super::form_endpoint::{FormEndpoint, FormWords, Refused};
use super::{ExchangeObserver, FailureSource, Gateway, LiveEnvironment, Peer, Received, Waited};
use crate::claims::VerifiedToken;
use crate::client_body::ClientBody;
use crate::config::RevocationEndpointConfig;
use crate::decision::{Denial, Reason};
use crate::message::{Fields, Request, Response};
use crate::request::{BearerToken, Credentials, RevocationRequest};
use crate::respond::{self, ObservedBody};
use crate::revocation::RevokedBy;

const WORDS: FormWords = FormWords {
    name: "the revocation endpoint",
    key: "authentication.revocations.endpoint",
    credentials: "token is the only credential that is read; leave out Authorization and client authentication",
};
/// What the list says about an entry.
const NOTE: &str = "revoked by its holder";

/// The revocation endpoint of one configuration.
pub(super) struct RevocationEndpoint {
    form: FormEndpoint,
}

/// What has happened to the token of a request.
enum Outcome {
    /// It is revoked in this process, and wherever else the list is read.
    Revoked(&'static str),
    /// It was invalid before.
    Invalid(Denial),
}

impl RevocationEndpoint {
    /// The endpoint of a configuration. `prefix` is the path below which clients reach the installation.
    pub(super) fn new(config: &RevocationEndpointConfig, prefix: &str) -> Self {
        Self { form: FormEndpoint::new(&WORDS, prefix, &config.path, config.rate) }
    }

    /// Whether a request for this target is one to the endpoint.
    pub(super) fn is_at(&self, target: &Uri) -> bool {
        self.form.is_at(target)
    }
}

impl Gateway {
    /// Serves a request to the revocation endpoint.
    pub(super) async fn serve_revocation(
        &self,
        endpoint: &RevocationEndpoint,
        peer: &Peer,
        request: Request<ClientBody>,
    ) -> Response<ObservedBody> {
        let mut received = self.receive(peer, request);
        received.exchange.via_revocation_endpoint();
        // A refusal of gRPC has the status 200.
        received.format.grpc = false;
        let waited = Waited::default();
        match self.revoke_token(endpoint, &mut received, peer, &waited).await {
            Ok(outcome) => {
                let Received { mut exchange, head, body, format } = received;
                match outcome {
                    Outcome::Revoked(detail) => exchange.revoked_token(detail, waited.total()),
                    Outcome::Invalid(denial) => {
                        exchange.waited(waited.total());
                        exchange.denied(denial);
                    }
                }
                let close = self.discard_or_close(body, &head.headers, format.http2, peer);
                respond::grant(exchange, Fields::new(), close)
            }
            Err(refused) => {
                received.exchange.waited(waited.total());
                self.refuse_form(received, refused, peer)
            }
        }
    }

    async fn revoke_token(
        &self,
        endpoint: &RevocationEndpoint,
        received: &mut Received,
        peer: &Peer,
        waited: &Waited,
    ) -> Result<Outcome, Refused> {
        let (form, source) = self.receive_form(&endpoint.form, received, peer, waited).await?;
        let request = RevocationRequest::read(&form)?;
        drop(form);
        let Received { exchange, body, .. } = received;
        let failures = FailureSource::of(peer, source);
        let mut environment =
            LiveEnvironment::new(self, peer, source, failures, body, self.unverified_timeout, waited);
        let mut observer = ExchangeObserver::new(exchange, None, waited);
        let verified = self.admission.verify_presented(&request.token, &mut environment, &mut observer).await;
        let token = match verified {
            Ok(token) => token,
            Err(denial) if denial.reason == Reason::NotYetValid => {
                let why = "the token is not valid yet, so it cannot be revoked yet";
                return Err(Denial::new(Reason::RevocationsUnavailable).with(why).into());
            }
            // It may be valid, or was not verified.
            Err(denial) if is_temporary(&denial) => return Err(denial.into()),
            Err(denial) => return Ok(Outcome::Invalid(denial)),
        };
        match &request.token {
            Credentials::Bearer(bearer) => Ok(waited.during(self.enter(&token, bearer)).await?),
            _ => Err(Denial::new(Reason::MissingToken).into()),
        }
    }

    /// Enters a verified token, unless it has been already.
    async fn enter(&self, token: &Arc<VerifiedToken>, bearer: &BearerToken) -> Result<Outcome, Denial> {
        let revoked = self.revocations.current().find(token, bearer.as_bytes());
        let is_final = |until| until >= token.valid_until();
        // An entry about more than this token may be removed again.
        if revoked.is_some_and(|entry| {
            entry.by == RevokedBy::Fingerprint && entry.until.is_none_or(|until| is_final(Some(until)))
        }) {
            return Ok(Outcome::Revoked("the token had been revoked before"));
        }
        match self.revocations.enter_token(token, bearer.as_str(), NOTE).await {
            Ok(()) => Ok(Outcome::Revoked("the token was revoked by its holder")),
            Err(why) => Err(Denial::new(Reason::RevocationsUnavailable).with(why.as_str())),
        }
    }
}

fn is_temporary(denial: &Denial) -> bool {
    let status = denial.reason.row().status;
    status.is_server_error() || denial.reason == Reason::RateLimited
}
