//! Settings whose value is one of a closed set of words. Each enum is listed here once with its words; the table of
//! keys and the parser both use this list.

use super::output::AuditedDecision;
use super::token_exchange::{CredentialKind, ExchangeMode};
use super::values::quote;
use super::{ClientAuth, LogFormat, ProxyProtocol, TlsVersion, UpstreamAuthorization, UpstreamProtocol};
use crate::backend::Backend;
use crate::claims::NonExpiring;
use crate::mint::DatahubTokenType;
use crate::policy::{Effect, Mode, Unreadable};
use crate::request::{ForwardAuthDialect, OperationKind};

/// The words that one setting accepts.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// The accepted words.
    pub accepted: &'static [&'static str],
    /// Words of earlier versions, each with an error message.
    retired: &'static [(&'static str, &'static str)],
}

impl Words {
    /// Whether `text` is one of them.
    ///
    /// # Errors
    /// What is accepted instead.
    pub(super) fn check(self, text: &str) -> Result<(), String> {
        if self.accepted.contains(&text) {
            return Ok(());
        }
        if let Some((_, message)) = self.retired.iter().find(|(word, _)| *word == text) {
            return Err((*message).to_owned());
        }
        // Other YAML tools rewrite `off` without quotes.
        if matches!(text, "false" | "False") && self.accepted.contains(&"off") {
            return Err(format!(
                "{} is not accepted; some YAML tools rewrite off as false: write it in quotes, \"off\"",
                quote(text)
            ));
        }
        let hint =
            nearest(text, self.accepted.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
        let (accepted, hint) = (self.accepted.join(", "), hint.unwrap_or_default());
        Err(format!("{} is not accepted; write one of: {accepted}{hint}", quote(text)))
    }
}

/// An enum whose variants are written as words.
pub(super) trait Word: Copy + 'static {
    /// The words, in the order of [`Word::MEANINGS`].
    const WORDS: Words;
    /// Their variants.
    const MEANINGS: &'static [Self];

    /// Reads a word.
    ///
    /// # Errors
    /// What is accepted instead.
    fn from_word(text: &str) -> Result<Self, String> {
        let mut pairs = Self::WORDS.accepted.iter().zip(Self::MEANINGS);
        match pairs.find(|(word, _)| **word == text) {
            Some((_, meaning)) => Ok(*meaning),
            None => Err(Self::WORDS.check(text).err().unwrap_or_default()),
        }
    }
}

/// Implements [`Word`]; a variant without a word does not compile.
macro_rules! words {
    ($($name:ident { $($variant:ident: $word:expr),+ $(; retired: $old:literal => $message:literal)? })+) => {$(
        impl Word for $name {
            const WORDS: Words = Words { accepted: &[$($word),+], retired: &[$(($old, $message))?] };
            const MEANINGS: &'static [Self] = &[$(Self::$variant),+];
        }

        const _: fn($name) = |value| match value { $($name::$variant)|+ => () };
    )+};
}

words! {
    AuditedDecision {
        Allow: "allow", Public: "public", Preflight: "preflight", Deny: "deny", WouldDeny: "would_deny", Error: "error"
    }
    ClientAuth { Required: "required", Optional: "optional" }
    CredentialKind {
        Mint: "mint", MintOpenmetadata: "mintOpenmetadata", MintDatahub: "mintDatahub", TokenFile: "tokenFile"
    }
    DatahubTokenType { ServiceAccount: "serviceAccount", Session: "session" }
    Effect { Allow: "allow", Deny: "deny" }
    ExchangeMode { Required: "required", Optional: "optional" }
    Introspect { Off: "off", Bots: "bots" }
    LogFormat { Json: "json", Text: "text" }
    Mode { Enforce: "enforce", Report: "report" }
    NonExpiring { None: "none", Bots: "bots", AccessTokens: "accessTokens", Any: "any" }
    OperationKind {
        Query: OperationKind::Query.as_str(),
        Mutation: OperationKind::Mutation.as_str(),
        Subscription: OperationKind::Subscription.as_str()
    }
    ProxyProtocol { Off: "off", Require: "require" }
    RefusedKind { IdTokens: "idTokens", LogoutTokens: "logoutTokens" }
    ForwardAuthDialect { Forwarded: "forwarded", Original: "original", Request: "request" }
    TlsVersion { V12: "1.2", V13: "1.3" }
    Unreadable { Deny: "deny", Skip: "skip" }
    UpstreamAuthorization {
        Forward: "forward", Strip: "strip";
        retired: "datahubSystem" =>
            "`datahubSystem` would make every verified caller DataHub's system user: with authentication on, GMS ignores \
             the actor if that credential is present; write `forward`, and GMS verifies the token again"
    }
    UpstreamProtocol { Http1: "http1", Http2: "http2", Auto: "auto" }
}

/// Which tokens the backend is asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Introspect {
    /// None.
    #[default]
    Off,
    /// Tokens of its bots.
    Bots,
}

/// A kind of token that can be refused by its claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusedKind {
    /// OpenID Connect ID tokens.
    IdTokens,
    /// OpenID Connect back-channel logout tokens.
    LogoutTokens,
}

/// A backend's word is its own name.
impl Word for Backend {
    const WORDS: Words = Words { accepted: &Backend::NAMES, retired: &[] };
    const MEANINGS: &'static [Self] = &Self::ALL;
}

/// The known word most similar to `word`, if one is similar enough.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long words are not typos, and comparing them would be slow.
    let word: String = word.chars().take(100).collect::<String>().to_ascii_lowercase();
    let score = |known: &str| strsim::jaro_winkler(&word, &known.to_ascii_lowercase());
    let scored = known.into_iter().map(|known| (score(known), known)).filter(|(score, _)| *score > 0.8);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}
