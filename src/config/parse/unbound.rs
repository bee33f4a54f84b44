//! Warns about keys that verify tokens of other services, and about audiences that refuse the backend's own tokens. For
//! the simple list the advice is the whole block of issuer entries that replaces it.
//!
//! - Keys of the backend's own set sign tokens for the backend and for nothing else, and these tokens have no `aud`: they
//!   need no audience, and must not have one.
//! - Every other key may sign tokens for other services. Only an issuer entry with an audience excludes them.

use std::fmt::Write as _;

use url::Url;

use super::super::error::Origin;
use super::super::finding::FindingId;
use super::super::redaction::redacted;
use super::super::yaml_text::scalar;
use super::super::{KeySource, TrustEntry};
use super::issuer_names::SIMPLE_LIST;
use super::key_source::{Place, is_far_http, is_upstreams_own};
use super::own_tokens::{self, is_own_key_set};
use super::providers::Provider;
use super::section::Section;
use crate::claims::ClaimRules;

const NO_AUDIENCE: &str = "OpenMetadata's own tokens have no aud, so its bots and personal access tokens are refused (wrong_audience)";

/// Warns about an issuer entry without audiences, or with audiences that refuse the backend's own tokens.
pub(super) fn warn_of_entry(
    root: &Section<'_>,
    entry: &Section<'_>,
    rules: &ClaimRules,
    keys: &KeySource,
    is_upstreams_own: bool,
) {
    let own_issuer = own_tokens::issuers_with_key_set(root).any(|own| rules.binds(own));
    let (own_keys, other_keys) = match keys {
        KeySource::SharedSecret(_) => return,
        KeySource::ByKid(template) => return warn_of_signer(entry, rules, template),
        KeySource::Urls(urls) => (urls.iter().any(is_own_key_set), !urls.iter().all(is_own_key_set)),
        KeySource::Discovery(_) | KeySource::Inline(_) => (false, true),
    };
    let others = rules.issuers.len() > 1 || other_keys && !own_issuer;
    let path = entry.path("audiences");
    if rules.audiences.is_empty() {
        if others && !is_upstreams_own {
            let message = "any audience is accepted: a token that this issuer issued for another service is accepted too";
            let help = "write what its tokens for this service have in aud, usually a client ID: \
                        `audiences: [<client ID>]`; `metagate explain` shows the aud of a token";
            entry.report.warn(FindingId::AnyAudience, &path, message, help);
        }
    } else if own_keys || own_issuer {
        let help = match others {
            true => "give OpenMetadata's issuer and its key set an entry of their own, without `audiences`",
            false => {
                "leave `audiences` out of this entry: OpenMetadata signs with these keys only for itself"
            }
        };
        entry.report.warn(FindingId::BackendTokensRefused, &path, NO_AUDIENCE, help);
    }
}

/// Warns about keys of AWS's load balancers if no load balancer is named: they sign for the load balancers of all
/// accounts in the region, and an account can configure any issuer. Their tokens have no `aud`.
fn warn_of_signer(entry: &Section<'_>, rules: &ClaimRules, template: &Url) {
    let host = template.host_str().unwrap_or_default();
    let is_aws =
        [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"].iter().any(|end| host.ends_with(end));
    if is_aws && !rules.kinds.header.iter().any(|(name, _)| **name == *"signer") {
        let message = "any load balancer of any AWS account can sign these tokens";
        let help = "write the ARN of your own: `requireHeader: {signer: arn:aws:elasticloadbalancing:...}`";
        entry.report.warn(FindingId::AnySigner, &entry.path("requireHeader"), message, help);
    }
}

/// Warns about a simple list that accepts tokens issued for other services, or refuses the backend's own.
pub(super) fn warn_of_simple_list(root: &Section<'_>, place: &Place<'_>, trust: &[TrustEntry]) {
    let Some(list) = trust.iter().find(|entry| *entry.name == *SIMPLE_LIST) else { return };
    let KeySource::Urls(urls) = &list.keys else { return };
    let (own, others): (Vec<&Url>, Vec<&Url>) = urls.iter().partition(|url| is_own_key_set(url));
    let audiences = &list.rules.audiences;
    let section = root.section("authentication");
    // The upstream's own keys sign tokens for itself, whatever its product is.
    if audiences.is_empty() && is_upstreams_own(&list.keys, place) {
        return;
    }
    if others.is_empty() {
        if !audiences.is_empty() {
            let help =
                "leave authentication.audiences out: OpenMetadata signs with these keys only for itself";
            let path = section.path("audiences");
            section.report.warn(FindingId::BackendTokensRefused, &path, NO_AUDIENCE, help);
        }
        return;
    }
    let block = || Block { root, place, trust, audiences }.help(&own, &others);
    if audiences.is_empty() {
        let mut message =
            "every token that these keys sign is accepted, whatever its issuer and audience, also one \
                           that was issued for another service"
                .to_owned();
        for url in &others {
            if let Some(everyone) = Provider::of(url).everyone {
                let _ = write!(message, "; {}: {everyone}", redacted(url.as_str()));
            }
        }
        section.report.warn(FindingId::UnboundKeys, "authentication.publicKeyUrls", message, block());
    } else if !own.is_empty() {
        let path = section.path("audiences");
        section.report.warn(FindingId::BackendTokensRefused, &path, NO_AUDIENCE, block());
    }
}

/// The entries that replace the simple list.
struct Block<'a> {
    root: &'a Section<'a>,
    place: &'a Place<'a>,
    trust: &'a [TrustEntry],
    audiences: &'a [Box<str>],
}

/// One entry of the block.
struct Entry {
    name: String,
    issuer: String,
    urls: Vec<String>,
    /// A text with a placeholder, if only the reader knows the audience.
    audiences: Vec<String>,
}

impl Block<'_> {
    fn help(&self, own: &[&Url], others: &[&Url]) -> String {
        let section = self.root.section("authentication");
        let instead = match section.origin("publicKeyUrls") {
            Some(Origin::Environment(name)) => format!("unset {name}"),
            Some(Origin::Flag(name)) => format!("leave out {name}"),
            Some(place) => format!("remove the list in {place}"),
            None => "remove the list".to_owned(),
        };
        let audiences = match (self.audiences, section.origin("audiences")) {
            ([], _) | (_, None) => String::new(),
            (_, Some(place)) => format!(" and authentication.audiences in {place}"),
        };
        let write = match section.entries("issuers").is_empty() {
            true => "write this into the configuration file".to_owned(),
            false => "add these entries to authentication.issuers".to_owned(),
        };
        let mut text = "authentication:\n  issuers:".to_owned();
        for entry in self.entries(own, others) {
            let urls: Vec<_> = entry.urls.iter().map(|url| scalar(url)).collect();
            let _ = write!(text, "\n    - name: {}\n      issuer: {}", entry.name, scalar(&entry.issuer));
            let _ = write!(text, "\n      publicKeyUrls: [{}]", urls.join(", "));
            if !entry.audiences.is_empty() {
                let audiences: Vec<_> = entry.audiences.iter().map(|text| scalar(text)).collect();
                let _ = write!(text, "\n      audiences: [{}]", audiences.join(", "));
            }
        }
        let values = if text.contains('<') { ", with your values for <...>" } else { "" };
        format!("{instead}{audiences}, and {write}{values}:\n{text}")
    }

    /// An entry for each issuer that no entry binds yet.
    fn entries(&self, own: &[&Url], others: &[&Url]) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.own_entry(own).into_iter().collect();
        for url in others {
            let provider = Provider::of(url);
            if self.trust.iter().any(|entry| entry.rules.binds(&provider.issuer)) {
                continue;
            }
            let url = pasted(url);
            match entries.iter_mut().find(|entry| entry.issuer == provider.issuer) {
                Some(entry) => entry.urls.push(url),
                None => {
                    let name = self.unused(&provider.name, &entries);
                    let audiences = match self.audiences {
                        [] => vec![provider.audience.to_owned()],
                        known => known.iter().map(ToString::to_string).collect(),
                    };
                    entries.push(Entry { name, issuer: provider.issuer, urls: vec![url], audiences });
                }
            }
        }
        entries
    }

    /// The entry for the backend's own tokens. If the list does not have the backend's own key set, it is the upstream's.
    fn own_entry(&self, own: &[&Url]) -> Option<Entry> {
        let product = self.place.backend.preset().product.filter(|product| product.key_set.is_some());
        let issuer = match product {
            Some(product) => self.root.section(product.section).need_text(product.issuer_key),
            None => own_tokens::issuers_with_key_set(self.root).next()?,
        };
        if self.trust.iter().any(|entry| entry.rules.binds(issuer)) {
            return None;
        }
        let urls = match own {
            [] => vec![self.upstreams_key_set()?],
            urls => urls.iter().map(|url| pasted(url)).collect(),
        };
        let name = self.unused("openmetadata", &[]);
        Some(Entry { name, issuer: issuer.to_owned(), urls, audiences: Vec::new() })
    }

    fn upstreams_key_set(&self) -> Option<String> {
        let key_set = self.place.backend.preset().product?.key_set?;
        let base = self.place.backend.preset().base_path.map(|base| base.key);
        let base = base.map_or("/", |(section, key)| self.root.section(section).need_text(key));
        let mut url = self.place.upstream?.clone();
        let path = format!("{}{}", url.path().trim_end_matches('/'), base.trim_end_matches('/'));
        url.set_path(&format!("{path}{}", key_set.path));
        (url.scheme() != "unix" && !is_far_http(&url)).then(|| url.into())
    }

    /// A name that no entry has, and that is no issuer.
    fn unused(&self, name: &str, entries: &[Entry]) -> String {
        let taken = |name: &str| {
            name == SIMPLE_LIST
                || self.trust.iter().any(|entry| *entry.name == *name || entry.rules.binds(name))
                || entries.iter().any(|entry| entry.name == name)
        };
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        names.find(|name| !taken(name)).unwrap_or_default()
    }
}

/// A URL as advice shows it. A query may be a secret, so the reader fills it in.
fn pasted(url: &Url) -> String {
    match url.query() {
        None => url.as_str().to_owned(),
        Some(_) => {
            let mut url = url.clone();
            url.set_query(None);
            format!("{url}?<the query of this URL>")
        }
    }
}
