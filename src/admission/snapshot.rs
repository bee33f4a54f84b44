//! An [`Environment`] without input and output.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Admission, Admitted, Environment, Observer, Refresh, RequestHead, Step, refused};
use crate::bots::{Bot, BotFault, Bots};
use crate::claims::VerifiedToken;
use crate::decision::{Caller, Denial, NextStep, Reason, Route};
use crate::diagnosis::SourceSummary;
use crate::message::Fields;
use crate::numeric_date::NumericDate;
use crate::request::{Credentials, Graphql, RequestFacts};
use crate::revocation::{RevocationLists, Revoked, Unavailable};
use crate::trust::KeyRing;

/// Fixed keys, revocations, time and body, with nothing to wait for. Commands, tests and fuzz targets use it to
/// admit requests.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// The time.
    pub now: NumericDate,
    /// The keys of all issuer entries.
    pub keys: Arc<KeyRing>,
    /// The indexes of the issuer entries with a key source that cannot be reached.
    pub unreachable: Vec<usize>,
    /// The sources of each issuer entry's keys, if they are known.
    pub sources: Vec<Vec<SourceSummary>>,
    /// The revocation lists.
    pub revocations: Option<&'a RevocationLists>,
    /// The allow-list of bots.
    pub bots: Option<&'a Bots>,
    /// The request's body.
    pub body: &'a [u8],
    /// The longest body that is read for rules about GraphQL, in bytes.
    pub graphql_bytes: usize,
}

impl Snapshot<'_> {
    /// A snapshot with keys and a time, without revocations, bots and a body.
    pub fn new(now: NumericDate, keys: Arc<KeyRing>) -> Self {
        Self {
            now,
            keys,
            unreachable: Vec::new(),
            sources: Vec::new(),
            revocations: None,
            bots: None,
            body: &[],
            graphql_bytes: 0,
        }
    }
}

impl Environment for Snapshot<'_> {
    fn now(&self) -> NumericDate {
        self.now
    }

    fn keys(&self) -> Arc<KeyRing> {
        self.keys.clone()
    }

    fn cached(&mut self, _: &[u8], _: u64, _: NumericDate) -> Option<Arc<VerifiedToken>> {
        None
    }

    fn keep(&mut self, _: &str, _: &Arc<VerifiedToken>, _: u64) {}

    async fn first_keys(&mut self, _: usize) -> bool {
        false
    }

    async fn newer_keys(&mut self, _: &str, entry: usize, _: u64) -> Refresh {
        if self.unreachable.contains(&entry) { Refresh::Unreachable } else { Refresh::Unchanged }
    }

    fn sources(&self, entry: usize) -> Vec<SourceSummary> {
        self.sources.get(entry).cloned().unwrap_or_default()
    }

    fn revocation(&self, token: &VerifiedToken, text: &[u8]) -> Result<Option<Box<Revoked>>, Unavailable> {
        self.revocations.map_or(Ok(None), |lists| lists.check(token, text))
    }

    fn bot(&self, token: &VerifiedToken) -> Result<Arc<Bot>, BotFault> {
        self.bots.ok_or(BotFault::NoList)?.find(token, self.now).cloned()
    }

    async fn graphql(&mut self, facts: &RequestFacts, headers: &Fields) -> Result<Graphql, Denial> {
        if self.body.len() > self.graphql_bytes {
            return Ok(Graphql::TOO_LONG);
        }
        Ok(Graphql::read(facts, headers, self.body))
    }
}

impl Admission {
    /// Takes only the credentials of a request through the steps, as on a route that needs a token, whatever its own
    /// route: not the rules, which are about requests.
    ///
    /// # Errors
    /// The denial from the first step that refuses the token.
    pub fn check_token_offline<O: Observer + Send>(
        &self,
        head: &RequestHead<'_>,
        snapshot: &mut Snapshot<'_>,
        observer: &mut O,
    ) -> Result<(), Denial> {
        let facts = self.facts(head);
        let facts =
            facts.map_err(|fault| refused(observer, Step::Request, self.refused_head(fault, head)))?;
        let caller = match self.authorizer.next_step(&facts, Route::Protected) {
            NextStep::Decide(caller) => caller
                .map_err(|denial| refused(observer, Step::Credentials, self.without_token(denial, head)))?,
            NextStep::Verify(token) => {
                Caller::Token(at_once(self.verify(token, head.source, snapshot, observer))?)
            }
        };
        observer.caller(&caller);
        self.authorizer.check_actor(&caller).map_err(|denial| refused(observer, Step::Rules, denial))
    }

    /// Takes the token of a token request through the steps that the token endpoint takes it through.
    ///
    /// # Errors
    /// As for [`Admission::admit_subject`].
    pub fn check_subject_offline<O: Observer + Send>(
        &self,
        head: &RequestHead<'_>,
        subject: &Credentials,
        snapshot: &mut Snapshot<'_>,
        observer: &mut O,
    ) -> Result<(), Denial> {
        let facts = self.facts(head);
        let facts =
            facts.map_err(|fault| refused(observer, Step::Request, self.refused_head(fault, head)))?;
        observer.facts(&facts);
        observer.route(&facts, self.authorizer.routed(&facts));
        at_once(self.admit_subject(subject, head.source, snapshot, observer)).map(drop)
    }

    /// Takes a request through all steps without an async runtime.
    ///
    /// # Errors
    /// As for [`Admission::admit`].
    pub fn admit_offline<O: Observer + Send>(
        &self,
        head: &RequestHead<'_>,
        snapshot: &mut Snapshot<'_>,
        observer: &mut O,
    ) -> Result<Admitted, Denial> {
        at_once(self.admit(head, snapshot, observer))
    }
}

fn at_once<T>(steps: impl Future<Output = Result<T, Denial>>) -> Result<T, Denial> {
    match pin!(steps).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        // A snapshot never waits.
        Poll::Pending => Err(Denial::new(Reason::KeysUnavailable)),
    }
}
