//! The issuers that take part in the exchange.

use super::super::super::token_exchange::ExchangeMode;
use super::super::super::words::Word as _;
use super::super::super::{TrustEntry, values};
use super::super::section::Section;
use crate::claims::is_foreign_audience;
use crate::own_issuer::ENTRY;
use crate::token_exchange::ExchangeIssuer;

/// The issuers that take part, and what becomes of their tokens that no entry takes.
///
/// By default they are refused: those of an issuer that an entry names, and of a Kubernetes cluster if there is any entry.
/// Those that metagate issues itself are always refused.
pub(super) fn taking_part(
    root: &Section<'_>,
    exchange: &[Section<'_>],
    trust: &[TrustEntry],
) -> Vec<ExchangeIssuer> {
    let mut issuers = Vec::new();
    // The backend does not know our own tokens, so they are never forwarded.
    if trust.iter().any(|entry| *entry.name == *ENTRY && entry.rules.kinds.own) {
        issuers.push(ExchangeIssuer { name: ENTRY.into(), is_required: true });
    }
    for section in root.section("authentication").entries("issuers") {
        let mode = section.read("exchange", ExchangeMode::from_word);
        let Some(entry) = trust.iter().find(|entry| section.text("name") == Some(&*entry.name)) else {
            continue;
        };
        let is_named = exchange.iter().any(|one| one.section("from").text("issuer") == Some(&*entry.name));
        let is_cluster = !exchange.is_empty() && section.has("kubernetes");
        let is_required = match mode {
            Some(mode) => mode == ExchangeMode::Required,
            None => is_named || is_cluster,
        };
        if is_named || is_required {
            issuers.push(ExchangeIssuer { name: entry.name.clone(), is_required });
        }
    }
    issuers
}

/// Adapts the rules for the tokens of these issuers: an audience of another service refuses them. If all of them must be
/// exchanged, they are those of workloads, which need no user name and no address of an allowed domain.
pub(super) fn adapt(root: &Section<'_>, issuers: &[ExchangeIssuer], trust: &mut [TrustEntry]) {
    for section in root.section("authentication").entries("issuers") {
        let name = section.text("name");
        let Some(issuer) = issuers.iter().find(|issuer| name == Some(&*issuer.name)) else { continue };
        let Some(entry) = trust.iter_mut().find(|entry| entry.name == issuer.name) else { continue };
        let rules = &mut entry.rules;
        if let Some(foreign) =
            rules.audiences.iter().find(|audience| is_foreign_audience(audience, &rules.issuers))
            && !section.in_error("audiences")
        {
            let message = format!(
                "{} is the audience of another service: its tokens are not made for metagate, and give access there",
                values::quote(foreign)
            );
            let help =
                "write an audience of your own, like `audiences: [metagate]`, and request tokens for it";
            section.error_with_help("audiences", message, help);
        }
        rules.refuses_foreign_audiences = true;
        if issuer.is_required {
            rules.domain = None;
            rules.principal.mapping = None;
            if !section.has("principalClaims") {
                rules.principal.claims = vec!["sub".into()];
            }
        }
    }
}
