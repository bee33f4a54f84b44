//! The environment of a request whose token was verified before.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use metagate::admission::{Environment, Refresh, Snapshot};
use metagate::claims::VerifiedToken;
use metagate::decision::Denial;
use metagate::message::Fields;
use metagate::numeric_date::NumericDate;
use metagate::request::{Graphql, RequestFacts};
use metagate::revocation::{Revoked, Unavailable};
use metagate::token_cache::{TokenCache, TokenDigest};
use metagate::trust::KeyRing;

/// Polls a future that does not wait.
pub fn poll_once<T>(future: impl Future<Output = T>) -> T {
    let Poll::Ready(output) = pin!(future).poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it waits")
    };
    output
}

/// A token cache in front of a [`Snapshot`], as the proxy has it.
pub struct Cached<'a> {
    pub inner: Snapshot<'a>,
    pub cache: TokenCache,
    pub hits: u64,
}

impl Environment for Cached<'_> {
    fn now(&self) -> NumericDate {
        self.inner.now()
    }

    fn keys(&self) -> Arc<KeyRing> {
        self.inner.keys()
    }

    fn cached(&mut self, text: &[u8], generation: u64, now: NumericDate) -> Option<Arc<VerifiedToken>> {
        let token = self.cache.get(&TokenDigest::of(text), generation, now)?;
        self.hits += 1;
        Some(token)
    }

    fn keep(&mut self, text: &str, token: &Arc<VerifiedToken>, generation: u64) {
        self.cache.insert(TokenDigest::of(text), token.clone(), generation);
    }

    async fn first_keys(&mut self, entry: usize) -> bool {
        self.inner.first_keys(entry).await
    }

    async fn newer_keys(&mut self, text: &str, entry: usize, generation: u64) -> Refresh {
        self.inner.newer_keys(text, entry, generation).await
    }

    fn revocation(&self, token: &VerifiedToken, text: &[u8]) -> Result<Option<Box<Revoked>>, Unavailable> {
        self.inner.revocation(token, text)
    }

    async fn graphql(&mut self, facts: &RequestFacts, headers: &Fields) -> Result<Graphql, Denial> {
        self.inner.graphql(facts, headers).await
    }
}
