//! Asks OpenMetadata whether it still accepts the tokens of its bots (`authentication.revocations.introspect`).
//!
//! A bot's token that was replaced still verifies, and is listed nowhere: only OpenMetadata, which compares it with the stored
//! one, knows.
//!
//! 1. A token that was just verified is asked about, and its request waits for the answer, at most [`PATIENCE`].
//! 2. A later request that finds the answer older than [`INTERVAL`] has it renewed in the background, and does not wait.
//! 3. A token that OpenMetadata refuses (401) is revoked until it accepts it again (200). Any other answer, or none, changes
//!    nothing: the last answer is kept, and a token without one is let in, because OpenMetadata itself decides about every
//!    request that is forwarded. While it cannot be reached, or answers with 5xx, no request waits.
//!
//! Bounds: at most [`MAX_ASKED`] questions at the same time and [`MAX_TOKENS`] answers. No token is kept.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::backend::TokenClass;
use crate::budget::{Budget, Limits};
use crate::claims::VerifiedToken;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::revocation::{Revoked, RevokedBy};
use crate::upstream::{ProbeError, Reachability, Target, Upstream};

mod entry;

use entry::{Entry, Question};

/// How long the first request with a token waits.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How old an answer becomes.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// When a question without an answer is asked again, and for how long afterwards no request waits.
pub const RETRY: Duration = Duration::from_secs(5);
/// How many questions are asked at the same time.
pub const MAX_ASKED: usize = 16;
/// How many answers are kept.
pub const MAX_TOKENS: u64 = 10_000;

const NOTE: &str = "OpenMetadata no longer accepts it";

/// Why OpenMetadata does not say whether it accepts tokens.
struct Failure {
    at: Instant,
    cause: String,
    /// Whether it concerns every token. A status like 404 may be about one token only, so others are still waited for.
    is_outage: bool,
}

/// Asks, and keeps the answers.
pub struct Introspector {
    asker: Asker,
    answers: Cache<String, Arc<Entry>>,
    places: Arc<Semaphore>,
    /// `None` once OpenMetadata has said again whether it accepts a token.
    last_failure: Mutex<Option<Failure>>,
    refused: AtomicU64,
    metrics: Arc<Metrics>,
}

/// Sends the question.
struct Asker {
    upstream: Arc<Upstream>,
    budget: Arc<Budget>,
    path: PathAndQuery,
}

/// The answers at one moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct IntrospectionStatus {
    /// The tokens with an answer.
    pub tokens: u64,
    /// How often a request was refused because of one.
    pub refused: u64,
    /// Why OpenMetadata does not say whether it accepts tokens; `null` if it does. What only some tokens got, such as 404,
    /// stays for [`INTERVAL`].
    pub failure: Option<String>,
}

impl Introspector {
    /// The introspection of a configuration, if it is on. `target` is the backend.
    pub fn new(config: &Config, target: Target, metrics: &Arc<Metrics>) -> Option<Arc<Self>> {
        let path = config.revocations.introspection.clone()?;
        metrics.expect_introspections();
        // Its connections are not those of requests, so they have metrics and limits of their own.
        let own = Arc::<Metrics>::default();
        let upstream = Upstream::new(target, Reachability::new(own.clone()), own.clone());
        let budget = Budget::new(Limits::new(&config.limits, &config.token_cache), own);
        let answers = Cache::builder().max_capacity(MAX_TOKENS).eviction_policy(EvictionPolicy::lru());
        Some(Arc::new(Self {
            asker: Asker { upstream, budget, path },
            answers: answers.build(),
            places: Arc::new(Semaphore::new(MAX_ASKED)),
            last_failure: Mutex::default(),
            refused: AtomicU64::new(0),
            metrics: metrics.clone(),
        }))
    }

    /// Whether a token is asked about: it is a bot's of OpenMetadata, and forwarded as it is.
    fn concerns(token: &VerifiedToken) -> bool {
        token.is_backends_own() && token.class() == TokenClass::Bot && token.mapped_user().is_none()
    }

    /// Asks about a token that was just verified, and waits for the answer for a bounded time. `text` is the token.
    pub async fn first_answer(self: &Arc<Self>, token: &VerifiedToken, text: &str) {
        if !Self::concerns(token) {
            return;
        }
        let entry = self.entry(token);
        let answer =
            entry.first_answer(|| self.ask_if_due(&entry, text.as_bytes()), || !self.is_unreachable());
        // An answer that comes later counts for later requests.
        let _ = timeout(PATIENCE, answer).await;
    }

    /// Why a token is revoked, if OpenMetadata refused it. Has an old answer renewed.
    pub fn check(self: &Arc<Self>, token: &VerifiedToken, text: &[u8]) -> Option<Box<Revoked>> {
        if !Self::concerns(token) {
            return None;
        }
        let entry = self.entry(token);
        self.ask_if_due(&entry, text);
        if entry.active() != Some(false) {
            return None;
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        Some(Box::new(Revoked {
            by: RevokedBy::Fingerprint,
            value: token.fingerprint().short().into(),
            until: None,
            note: Some(NOTE.into()),
        }))
    }

    /// The answers.
    pub fn status(&self) -> IntrospectionStatus {
        self.answers.run_pending_tasks();
        let last_failure = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        IntrospectionStatus {
            tokens: self.answers.entry_count(),
            refused: self.refused.load(Ordering::Relaxed),
            failure: last_failure.as_ref().map(|failure| failure.cause.clone()),
        }
    }

    fn entry(&self, token: &VerifiedToken) -> Arc<Entry> {
        self.answers.get_with_by_ref(token.fingerprint().full(), Arc::default)
    }

    /// Whether OpenMetadata could not be asked a moment ago.
    fn is_unreachable(&self) -> bool {
        let last_failure = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        last_failure.as_ref().is_some_and(|failure| failure.is_outage && failure.at.elapsed() < RETRY)
    }

    /// Asks in the background, if it is time and there is a place. Otherwise the next request tries again.
    fn ask_if_due(self: &Arc<Self>, entry: &Arc<Entry>, text: &[u8]) {
        let Some(question) = entry.begin(Instant::now()) else { return };
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            self.metrics.introspection("postponed");
            return;
        };
        let Ok(mut authorization) = HeaderValue::from_bytes(&[b"Bearer ".as_slice(), text].concat()) else {
            return;
        };
        authorization.set_sensitive(true);
        let this = self.clone();
        tokio::spawn(async move {
            let _place = place;
            this.ask(&question, authorization).await;
        });
    }

    async fn ask(&self, question: &Question, authorization: HeaderValue) {
        let answer = self.asker.ask(authorization).await;
        let (result, active) = match &answer {
            Ok(StatusCode::OK) => ("active", Some(true)),
            Ok(StatusCode::UNAUTHORIZED) => ("inactive", Some(false)),
            Ok(_) | Err(_) => ("failed", None),
        };
        self.metrics.introspection(result);
        question.answer(active, Instant::now());
        match answer {
            Err(error) => self.failed(error.cause, true),
            Ok(_) if active.is_some() => self.recovered(),
            Ok(status) => self.failed(format!("it answered {status}"), status.is_server_error()),
        }
    }

    /// Logs one line for each change of state, not for each question.
    fn failed(&self, cause: String, is_outage: bool) {
        let mut last_failure = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        if last_failure.is_none() {
            tracing::warn!(
                cause,
                "OpenMetadata does not say whether bot tokens are current; keeping the last answers"
            );
        }
        *last_failure = Some(Failure { at: Instant::now(), cause, is_outage });
    }

    fn recovered(&self) {
        let mut last_failure = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        // What concerns some tokens only is over once none of them has failed for a while.
        let is_over = |failure: &mut Failure| failure.is_outage || failure.at.elapsed() >= INTERVAL;
        if last_failure.take_if(is_over).is_some() {
            tracing::info!("OpenMetadata says again whether bot tokens are current");
        }
    }
}

impl std::fmt::Debug for Introspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspector").field("tokens", &self.answers.entry_count()).finish_non_exhaustive()
    }
}

impl Asker {
    /// The status with which OpenMetadata answers this token.
    async fn ask(&self, authorization: HeaderValue) -> Result<StatusCode, ProbeError> {
        let none = |_| ProbeError { cause: "limits allow no connection".to_owned(), is_absent: false };
        let connection = self.budget.connect(None).map_err(none)?;
        let account = connection.account().clone();
        let response = self.upstream.probe(self.path.clone(), Some(authorization), account).await?;
        Ok(response.status)
    }
}

#[cfg(test)]
mod tests;
