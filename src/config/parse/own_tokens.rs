//! Parses `backendTokens`: which tokens of an entry are the backend's own. Only in those do `isBot`, `tokenType` and
//! `type` count.

use url::Url;

use super::super::finding::FindingId;
use super::super::{KeySource, TrustEntry, values};
use super::section::Section;
use crate::backend::{Backend, Product, key_dialect_of};
use crate::claims::OwnTokens;
use crate::jose::KeyDialect;

const KEY: &str = "backendTokens";

/// The default for issuer entries: the values of `iss` in the backends' own tokens. An entry binds its issuers, so only
/// an entry for the backend has such tokens.
pub(super) fn of_known_issuers(root: &Section<'_>) -> OwnTokens {
    let issuers = Backend::products().map(|product| issuer(root, product));
    OwnTokens::Known(issuers.filter(|issuer| !issuer.is_empty()).map(Into::into).collect())
}

fn issuer<'a>(root: &Section<'a>, product: &Product) -> &'a str {
    root.section(product.section).need_text(product.issuer_key)
}

/// The setting of an issuer entry.
pub(super) fn of_entry(entry: &Section<'_>, known: &OwnTokens) -> OwnTokens {
    explicit(entry).unwrap_or_else(|| known.clone())
}

/// The setting for the simple list. By default a backend's own tokens are those verified by its own key set. If no URL
/// is that key set, its keys cannot be distinguished from others, and its `iss` identifies the tokens.
pub(super) fn of_simple_list(root: &Section<'_>, urls: &[Url]) -> OwnTokens {
    explicit(&root.section("authentication")).unwrap_or_else(|| match urls.iter().any(is_own_key_set) {
        true => OwnTokens::Known(Vec::new()),
        false => OwnTokens::Known(issuers_with_key_set(root).map(Into::into).collect()),
    })
}

/// The `iss` of the tokens that the backends' own key sets verify.
pub(super) fn issuers_with_key_set<'a>(root: &Section<'a>) -> impl Iterator<Item = &'a str> {
    Backend::products().filter(|product| product.key_set.is_some()).map(|product| issuer(root, product))
}

/// Warns if the backend publishes a key set and no URL is known as that set.
pub(super) fn warn_of_unknown_keys(root: &Section<'_>, backend: Backend, trust: &[TrustEntry]) {
    let Some(product) = backend.preset().product else { return };
    let Some(key_set) = product.key_set else { return };
    let issuer = issuer(root, product);
    let known =
        |entry: &TrustEntry| entry.rules.own_tokens == OwnTokens::All || entry.keys.has_backends_own_set();
    if trust.iter().any(known) || !known_only_by_issuer(trust, issuer) {
        return;
    }
    let name = product.name;
    let message = format!(
        "none of these is {name}'s own key set: a token signed by any of their keys, with iss {} and isBot, is \
         accepted as a bot's",
        values::quote(issuer)
    );
    let help = format!(
        "add {name}'s own set, {}; if it has another URL, give it an entry of authentication.issuers",
        key_set.url
    );
    root.report.warn(FindingId::BackendKeysMissing, "authentication.publicKeyUrls", message, help);
}

/// Whether tokens with this `iss` are verified by the simple list, and count as the backend's own only because of their
/// `iss`.
pub(super) fn known_only_by_issuer(trust: &[TrustEntry], issuer: &str) -> bool {
    let by_issuer = |entry: &TrustEntry| {
        entry.rules.issuers.is_empty() && entry.rules.own_tokens.are_known_by_issuer(issuer)
    };
    trust.iter().any(by_issuer) && !trust.iter().any(|entry| entry.rules.binds(issuer))
}

impl KeySource {
    /// Whether a backend's own key set is among its sources.
    pub fn has_backends_own_set(&self) -> bool {
        match self {
            Self::Urls(urls) => urls.iter().any(is_own_key_set),
            Self::Discovery(_) | Self::ByKid(_) | Self::Inline(_) | Self::SharedSecret(_) => false,
        }
    }
}

/// Whether a URL is a backend's own key set.
pub(super) fn is_own_key_set(url: &Url) -> bool {
    url.scheme() != "file" && key_dialect_of(url.path()) != KeyDialect::Standard
}

fn explicit(section: &Section<'_>) -> Option<OwnTokens> {
    let all = section.read(KEY, values::boolean)?;
    Some(if all { OwnTokens::All } else { OwnTokens::None })
}
