//! `backendTokens`: which tokens of an entry are the backend's own, so that `isBot`, `tokenType` and `type`
//! count in them.

use url::Url;

use super::super::{KeySource, TrustEntry, values};
use super::section::Section;
use crate::backend::Backend;
use crate::claims::OwnTokens;
use crate::jose::KeyDialect;

const KEY: &str = "backendTokens";

/// What every entry goes by that says nothing: the values of `iss` in the tokens that the backends make
/// for themselves. An issuer entry binds them, so only an entry that is for the backend has them.
pub(super) fn of_known_issuers(root: &Section<'_>) -> OwnTokens {
    let openmetadata = root.section("openmetadata").need_text("issuer");
    let datahub = root.section("datahub").need_text("tokenServiceIssuer");
    let issuers = [openmetadata, datahub].into_iter().filter(|issuer| !issuer.is_empty());
    OwnTokens::Known(issuers.map(Into::into).collect())
}

/// What an issuer entry says.
pub(super) fn of_entry(entry: &Section<'_>, known: &OwnTokens) -> OwnTokens {
    said(entry).unwrap_or_else(|| known.clone())
}

/// What `authentication` says of the simple list. Nothing: the keys of OpenMetadata's own set are its
/// keys. If no URL is one of that set, they cannot be told from others, and its `iss` has to do.
pub(super) fn of_simple_list(root: &Section<'_>, urls: &[Url]) -> OwnTokens {
    let issuer = root.section("openmetadata").need_text("issuer");
    said(&root.section("authentication")).unwrap_or_else(|| match urls.iter().any(is_openmetadatas) {
        true => OwnTokens::Known(Vec::new()),
        false => OwnTokens::Known(vec![issuer.into()]),
    })
}

/// Warns of an OpenMetadata whose own keys are not known.
pub(super) fn warn_of_unknown_keys(root: &Section<'_>, backend: Backend, trust: &[TrustEntry]) {
    let issuer = root.section("openmetadata").need_text("issuer");
    let known =
        |entry: &TrustEntry| entry.rules.own_tokens == OwnTokens::All || entry.keys.has_openmetadatas_keys();
    if backend != Backend::OpenMetadata || trust.iter().any(known) || !known_only_by_issuer(trust, issuer) {
        return;
    }
    let message = format!(
        "none of these is known as OpenMetadata's own key set: a token of any of their keys that says iss {} and \
         isBot is taken for a bot's",
        values::quote(issuer)
    );
    let help = "add OpenMetadata's own set, http://<server>:8585/api/v1/system/config/jwks; if it has another URL, \
                give it an entry of authentication.issuers";
    root.report.warn("authentication.publicKeyUrls", message, help);
}

/// Whether tokens with this `iss` are judged by the simple list, and are its backend's own for nothing but
/// their `iss`.
pub(super) fn known_only_by_issuer(trust: &[TrustEntry], issuer: &str) -> bool {
    let names = |issuers: &[Box<str>]| issuers.iter().any(|own| **own == *issuer);
    let by_issuer = |entry: &TrustEntry| match &entry.rules.own_tokens {
        OwnTokens::Known(issuers) => entry.rules.issuers.is_empty() && names(issuers),
        OwnTokens::None | OwnTokens::All => false,
    };
    trust.iter().any(by_issuer) && !trust.iter().any(|entry| names(&entry.rules.issuers))
}

impl KeySource {
    /// Whether OpenMetadata's own key set is among its sources.
    pub fn has_openmetadatas_keys(&self) -> bool {
        match self {
            Self::Urls(urls) => urls.iter().any(is_openmetadatas),
            Self::Discovery(_) | Self::Inline(_) | Self::SharedSecret(_) => false,
        }
    }
}

fn is_openmetadatas(url: &Url) -> bool {
    url.scheme() != "file" && KeyDialect::of_path(url.path()) == KeyDialect::OpenMetadata
}

fn said(section: &Section<'_>) -> Option<OwnTokens> {
    let all = section.read(KEY, values::boolean)?;
    Some(if all { OwnTokens::All } else { OwnTokens::None })
}
