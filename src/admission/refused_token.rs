//! Tokens that are refused, and waiting for keys that may verify them.

use super::{Admission, Environment, MAX_REFRESHES, Observer, Refresh, Step, refused};
use crate::decision::{Denial, Reason};
use crate::diagnosis::{self, Detail};
use crate::jose::{JoseFault, TokenSummary, UnverifiedToken};
use crate::numeric_date::NumericDate;
use crate::trust::{KeyRing, TokenFault, TrustedIssuer};

/// A token that was refused, and everything that is recorded about it. The token itself is not kept while its request
/// waits for keys.
pub(super) struct RefusedToken {
    pub(super) failure: TokenFailure,
    /// `None` if it could not be parsed.
    pub(super) summary: Option<TokenSummary>,
    detail: Detail,
}

impl RefusedToken {
    pub(super) fn new(failure: TokenFailure, summary: Option<TokenSummary>, detail: Detail) -> Self {
        Self { failure, summary, detail }
    }

    /// A text that is not a token.
    pub(super) fn unparsed(text: &str, fault: JoseFault, max_bytes: usize) -> Self {
        let detail = diagnosis::unparsed(text, fault, max_bytes);
        Self::new(TokenFailure::Parse(fault.into()), None, detail)
    }

    /// The text for operators. About a missing key, it names the sources of the entry's keys as they are now, after the
    /// request has waited for them.
    pub(super) fn describe<E: Environment>(
        self,
        denial: Denial,
        trust: &[TrustedIssuer],
        environment: &E,
    ) -> Denial {
        let Self { failure, mut detail, .. } = self;
        if let TokenFailure::Entry(index, fault @ (TokenFault::UnknownKey | TokenFault::KeysUnavailable)) =
            failure
        {
            let keys = environment.keys();
            let count = keys.sets.get(index).and_then(Option::as_ref).map_or(0, |set| set.keys().len());
            let entry = trust.get(index).map_or("", |entry| &*entry.name);
            diagnosis::name_sources(&mut detail, &environment.sources(index), entry, count);
            if fault == TokenFault::UnknownKey && denial.reason == Reason::KeysUnavailable {
                detail.add(format_args!("; a source of keys cannot be reached, so the key may exist"));
            }
        }
        denial.with(detail.finish())
    }
}

impl Admission {
    /// What was wanted of a refused token, and what it has.
    pub(super) fn describe(
        &self,
        token: &UnverifiedToken<'_>,
        keys: &KeyRing,
        failure: &TokenFailure,
        now: NumericDate,
    ) -> Detail {
        let trust = &self.authorizer.trust;
        match failure {
            TokenFailure::Entry(index, fault) if let Some(entry) = trust.get(*index) => {
                let keys = keys.sets.get(*index).and_then(Option::as_deref);
                diagnosis::refused(token, entry, keys, *fault, now)
            }
            TokenFailure::Entry(..) | TokenFailure::Issuer(_) | TokenFailure::Parse(_) => {
                diagnosis::untrusted(token, trust)
            }
        }
    }

    /// Refuses a token; `denial` is the result of waiting for keys, if the request has waited.
    pub(super) fn refuse_token<E: Environment, O: Observer>(
        &self,
        mut token: RefusedToken,
        denial: Option<Denial>,
        environment: &E,
        observer: &mut O,
    ) -> Denial {
        let denial = denial.unwrap_or_else(|| token.failure.denial());
        observer.token_refused(token.summary.take());
        let step = token.failure.step();
        refused(observer, step, token.describe(denial, &self.authorizer.trust, environment))
    }
}

/// Why a token was refused, with the stage that refused it.
pub(super) enum TokenFailure {
    /// It is not a valid compact JWS.
    Parse(TokenFault),
    /// No issuer entry matches it.
    Issuer(TokenFault),
    /// The issuer entry with this index refused it.
    Entry(usize, TokenFault),
}

impl TokenFailure {
    pub(super) fn denial(&self) -> Denial {
        match self {
            Self::Parse(fault) | Self::Issuer(fault) => Denial::of_token(*fault, None),
            Self::Entry(entry, fault) => Denial::of_token(*fault, Some(*entry)),
        }
    }

    pub(super) fn step(&self) -> Step {
        match self {
            Self::Parse(_) => Step::Token,
            Self::Issuer(_) | Self::Entry(_, TokenFault::WrongHeader) => Step::Issuer,
            Self::Entry(_, TokenFault::Malformed(_)) => Step::Type,
            Self::Entry(_, TokenFault::InvalidSignature) => Step::Signature,
            Self::Entry(_, TokenFault::Claims(_)) => Step::Claims,
            Self::Entry(_, TokenFault::Revoked(_)) => Step::Revocation,
            Self::Entry(
                _,
                TokenFault::AlgorithmNotAllowed
                | TokenFault::WrongKeyAlgorithm
                | TokenFault::UntrustedIssuer
                | TokenFault::UnknownKey
                | TokenFault::KeysUnavailable,
            ) => Step::Key,
        }
    }
}

/// The waits for keys that one token has used up.
#[derive(Default)]
pub(super) struct Waits {
    first_keys: bool,
    refreshes: u8,
}

impl Waits {
    /// Waits for keys that may verify the token. `Ok` means that the token should be tried again.
    ///
    /// # Errors
    /// No other keys can be expected; the denial says why the token is refused.
    pub(super) async fn wait_for_keys<E: Environment>(
        &mut self,
        text: &str,
        failure: &TokenFailure,
        generation: u64,
        environment: &mut E,
    ) -> Result<(), Denial> {
        let TokenFailure::Entry(entry, fault) = *failure else { return Err(failure.denial()) };
        if fault == TokenFault::KeysUnavailable && !self.first_keys {
            self.first_keys = true;
            return if environment.first_keys(entry).await { Ok(()) } else { Err(failure.denial()) };
        }
        if !fault.may_be_outdated_keys() || self.refreshes >= MAX_REFRESHES {
            return Err(failure.denial());
        }
        self.refreshes += 1;
        match environment.newer_keys(text, entry, generation).await {
            Refresh::Changed => Ok(()),
            // The key may exist at the source that cannot be reached, so do not tell the client that its token is bad.
            Refresh::Unreachable if fault == TokenFault::UnknownKey => {
                Err(Denial::of_token(TokenFault::KeysUnavailable, Some(entry)))
            }
            Refresh::Unchanged | Refresh::Unreachable => Err(failure.denial()),
        }
    }
}
