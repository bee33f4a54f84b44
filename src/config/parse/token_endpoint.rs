//! Parses `issuer.tokenEndpoint`, and which entries of `exchange` it is for.

use std::sync::Arc;
use std::time::Duration;

use super::super::token_exchange::{ExchangeConfig, TokenEndpointConfig};
use super::super::{TrustEntry, settings, values};
use super::section::Section;
use crate::own_issuer::{ENTRY, TokenIssuer};
use crate::rate_limiter::RateLimit;
use crate::token_exchange::{ExchangeEntry, Issuance};

const MINUTE: Duration = Duration::from_secs(60);

/// The endpoint; `None` if no entry is for it, or if there is an error.
pub(super) fn token_endpoint(
    root: &Section<'_>,
    exchange: &ExchangeConfig,
    issuer: Option<&Arc<TokenIssuer>>,
) -> Option<TokenEndpointConfig> {
    let section = root.section("issuer").section("tokenEndpoint");
    let path = section.need("path", path);
    let rate = rate(&section);
    if !exchange.table.issues() {
        // A default that is written changes nothing.
        let is_default = |key: &&str| {
            settings::find(&section.path(key)).is_some_and(|known| section.text(key) == Some(known.default))
        };
        let given = ["path", "requestsPerMinute", "burst"].into_iter().find(|key| !is_default(key));
        if let Some(key) = given
            && !root.report.knows("exchange")
            && !section.in_error(key)
        {
            let help =
                "write `tokenLifetime: 6h` in the entries of exchange whose tokens may be exchanged there";
            section.error_with_help(key, "has no effect: no entry of exchange has tokenLifetime", help);
        }
        return None;
    }
    issuer?;
    Some(TokenEndpointConfig { path: path?, rate: rate? })
}

/// How long a token that is issued for one of this entry lives; `None` if none is, or if there is an error.
pub(super) fn issuance(
    root: &Section<'_>,
    section: &Section<'_>,
    entry: &ExchangeEntry,
    trust: &[TrustEntry],
) -> Option<Issuance> {
    section.text("tokenLifetime")?;
    let lifetime = section.read("tokenLifetime", values::duration)?;
    if *entry.issuer == *ENTRY {
        section.error(
            "tokenLifetime",
            "has no effect: tokens that metagate issued itself are not exchanged again",
        );
        return None;
    }
    let issuer = root.section("issuer");
    if !["url", "audience", "keyFiles"].into_iter().any(|key| issuer.has(key)) {
        section.error_with_help(
            "tokenLifetime",
            "there is no key to sign such tokens with: issuer is not set",
            "set issuer.url, issuer.audience and issuer.keyFiles (`metagate issuer init` makes a key)",
        );
        return None;
    }
    let issuers = trust.iter().find(|trusted| trusted.name == entry.issuer)?.rules.issuers.clone();
    Some(Issuance { entry: entry.user.entry.clone(), lifetime, issuers })
}

/// A path that has only one reading, and is not that of everything.
pub(super) fn path(text: &str) -> Result<Box<str>, String> {
    let is_plain = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    match text.strip_prefix('/') {
        Some(rest) if rest.split('/').all(is_plain) => Ok(text.into()),
        _ => Err(format!(
            "{} is not a path like /oauth2/token, of letters, digits, -, _, . and ~",
            values::quote(text)
        )),
    }
}

/// The limit of an endpoint on the requests of one client network.
pub(super) fn rate(section: &Section<'_>) -> Option<RateLimit> {
    let (count, burst) = (section.count("requestsPerMinute"), section.count("burst"));
    // The bounds of the keys are within those of a limit.
    RateLimit::new(count, MINUTE, burst)
}
