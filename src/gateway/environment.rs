//! Connects admission to the running process: keys, cache, revocations and clock go in, and the exchange records what
//! admission finds out.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::graphql::read_graphql;
use super::rate_limits::FailureSource;
use super::{Gateway, ListenerKind, Peer};
use crate::admission::{Environment, Observer, Refresh};
use crate::bots::{Bot, BotFault};
use crate::claims::VerifiedToken;
use crate::client_body::ClientBody;
use crate::decision::{Caller, Denial, Permit};
use crate::diagnosis::SourceSummary;
use crate::exchange::{Exchange, RefusedToken};
use crate::jose::TokenSummary;
use crate::jwks::Unverified;
use crate::message::Fields;
use crate::numeric_date::NumericDate;
use crate::rate_limiter::Wait;
use crate::request::{Graphql, RequestFacts};
use crate::revocation::{Revoked, Unavailable};
use crate::token_cache::TokenDigest;
use crate::trust::KeyRing;
use crate::upstream::ReadAhead;

/// Keys, cache, revocations and clock of the process, for one request.
pub(super) struct LiveEnvironment<'a> {
    gateway: &'a Gateway,
    peer: &'a Peer,
    /// The client address, for its share of the requests that wait for keys.
    client: Option<IpAddr>,
    failures: FailureSource<'a>,
    /// The digest of the request's token.
    digest: Option<TokenDigest>,
    body: &'a mut ClientBody,
    /// How long the client may pause while its body is read.
    patience: Duration,
    /// What was read of the body.
    pub(super) ahead: ReadAhead,
    waited: &'a Waited,
}

/// How long a request has waited for keys or for its body, which is not metagate's own time.
#[derive(Debug, Default)]
pub(super) struct Waited(AtomicU64);

impl Waited {
    pub(super) fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    pub(super) async fn during<T>(&self, wait: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let result = wait.await;
        let waited = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(waited, Ordering::Relaxed);
        result
    }
}

impl<'a> LiveEnvironment<'a> {
    pub(super) fn new(
        gateway: &'a Gateway,
        peer: &'a Peer,
        client: Option<IpAddr>,
        failures: FailureSource<'a>,
        body: &'a mut ClientBody,
        patience: Duration,
        waited: &'a Waited,
    ) -> Self {
        let (digest, ahead) = (None, ReadAhead::default());
        Self { gateway, peer, client, failures, digest, body, patience, ahead, waited }
    }

    fn digest(&mut self, text: impl AsRef<[u8]>) -> TokenDigest {
        *self.digest.get_or_insert_with(|| TokenDigest::of(text))
    }
}

impl Environment for LiveEnvironment<'_> {
    fn now(&self) -> NumericDate {
        (self.gateway.clock)()
    }

    fn keys(&self) -> Arc<KeyRing> {
        self.gateway.keys.ring().clone()
    }

    fn cached(&mut self, text: &[u8], generation: u64, now: NumericDate) -> Option<Arc<VerifiedToken>> {
        let cache = &self.gateway.cache;
        let token = match cache.recent(text, generation, now) {
            Some(token) => token,
            None => {
                let token = cache.get(&self.digest(text), generation, now)?;
                cache.remember(text, &token, generation, now);
                token
            }
        };
        self.gateway.recorder.metrics.token_cache("hit");
        Some(token)
    }

    fn keep(&mut self, text: &str, token: &Arc<VerifiedToken>, generation: u64) {
        self.gateway.recorder.metrics.token_cache("miss");
        self.gateway.recorder.tokens.verified(token, self.now());
        let digest = self.digest(text);
        self.gateway.admission.head.prepare(token);
        self.gateway.cache.insert(digest, token.clone(), generation);
    }

    async fn turn(&mut self) {
        self.peer.named.first_turn(&self.peer.account).await;
    }

    async fn first_keys(&mut self, entry: usize) -> bool {
        self.waited.during(self.gateway.keys.wait_for(entry, self.client)).await
    }

    async fn newer_keys(&mut self, text: &str, entry: usize, generation: u64) -> Refresh {
        if !self.gateway.keys.want_key_of(entry, text) {
            return Refresh::Unchanged;
        }
        let digest = self.digest(text);
        let token = Unverified { entry, digest, generation, client: self.client };
        self.waited.during(self.gateway.keys.refresh_for_token(token)).await
    }

    fn sources(&self, entry: usize) -> Vec<SourceSummary> {
        self.gateway.keys.sources_of(entry)
    }

    fn revocation(&self, token: &VerifiedToken, text: &[u8]) -> Result<Option<Box<Revoked>>, Unavailable> {
        let listed = self.gateway.revocations.current().check(token, text)?;
        let introspector = self.gateway.introspector.as_ref();
        Ok(listed.or_else(|| introspector.and_then(|introspector| introspector.check(token, text))))
    }

    async fn introspect(&mut self, text: &str, token: &VerifiedToken) {
        if let Some(introspector) = &self.gateway.introspector {
            self.waited.during(introspector.first_answer(token, text)).await;
        }
    }

    fn bot(&self, token: &VerifiedToken) -> Result<Arc<Bot>, BotFault> {
        self.gateway.bots.find(token, self.now())
    }

    fn check_failures(&mut self) -> Result<(), Wait> {
        self.gateway.rate_limits.check_failures(self.failures, &self.gateway.recorder.metrics)
    }

    fn count_failure(&mut self) {
        self.gateway.rate_limits.count_failure(self.failures);
    }

    fn take_permit(&mut self, token: &VerifiedToken) -> Result<(), Wait> {
        self.gateway.rate_limits.take_permit(token, &self.gateway.recorder.metrics)
    }

    async fn graphql(&mut self, facts: &RequestFacts, headers: &Fields) -> Result<Graphql, Denial> {
        let limit = self.gateway.graphql_limit;
        let read = read_graphql(facts, headers, self.body, limit, self.patience);
        let (graphql, ahead) = self.waited.during(read).await?;
        self.ahead = ahead;
        Ok(graphql)
    }
}

/// Records in the exchange what admission finds out.
pub(super) struct ExchangeObserver<'a> {
    exchange: &'a mut Exchange,
    /// The peer, whose limits are relaxed once it has shown a verified token.
    peer: Option<&'a Peer>,
    waited: &'a Waited,
}

impl<'a> ExchangeObserver<'a> {
    pub(super) fn new(exchange: &'a mut Exchange, peer: Option<&'a Peer>, waited: &'a Waited) -> Self {
        Self { exchange, peer, waited }
    }
}

impl Observer for ExchangeObserver<'_> {
    fn verified(&mut self, token: &Arc<VerifiedToken>) {
        self.exchange.set_token(token.clone());
    }

    fn token_refused(&mut self, token: Option<TokenSummary>) {
        self.exchange.refused_token(match token {
            Some(TokenSummary { kid, fingerprint, subject }) => {
                RefusedToken { kid, fingerprint: Some(fingerprint), subject }
            }
            None => RefusedToken::default(),
        });
    }

    fn caller(&mut self, caller: &Caller) {
        let Some(peer) = self.peer else { return };
        match caller {
            // The connection has the requests of many clients, so one client's token says nothing about the next request.
            Caller::Token(_) | Caller::DatahubSystem if peer.listener_kind == ListenerKind::ForwardAuth => {
                peer.named.clear();
            }
            Caller::Token(_) | Caller::DatahubSystem => peer.verified(),
            Caller::Anonymous | Caller::SessionCookie => {}
        }
    }

    fn permitted(&mut self, permit: &Permit) {
        self.exchange.permitted(permit, self.waited.total());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_waiting_of_a_request_is_counted() {
        let waited = Waited::default();
        for seconds in [2, 3] {
            waited.during(tokio::time::sleep(Duration::from_secs(seconds))).await;
        }
        assert_eq!(waited.total().as_secs(), 5);
    }
}
