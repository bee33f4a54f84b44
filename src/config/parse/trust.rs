//! Parses `authentication`: the trusted issuers and their keys.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use url::Url;

use super::super::finding::FindingId;
use super::super::secret::Purpose;
use super::super::words::Word;
use super::super::{KeyAccess, KeySource, PUBLISHED_KEY_ID, TrustEntry, values};
use super::issuer;
use super::issuer_names::{NamedEntry, SIMPLE_LIST, refuse_ambiguous_names};
use super::key_access::{self, key_access};
use super::key_source::{Place, is_upstreams_own, key_source, key_urls};
use super::kubernetes;
use super::own_tokens;
use super::roles;
use super::section::Section;
use super::token_kinds;
use super::unbound;
use crate::backend::{Backend, Product, SigningKey};
use crate::claims::{ClaimPath, ClaimRules, DomainRule, PrincipalMapping, PrincipalRules};
use crate::jose::{Algorithm, AlgorithmSet};

const INHERIT: &str = "leave the key out for authentication.principalClaims";
/// Providers that OpenMetadata knows.
const PROVIDERS: [&str; 11] = [
    "basic",
    "openmetadata",
    "no-auth",
    "azure",
    "auth0",
    "custom-oidc",
    "google",
    "okta",
    "aws-cognito",
    "ldap",
    "saml",
];

/// Settings of `authentication` that entries inherit.
struct Inherited {
    algorithms: AlgorithmSet,
    rules: ClaimRules,
    ca_file: Option<PathBuf>,
    proxy: Option<Url>,
    proxy_authorization: Option<HeaderValue>,
}

/// Parses all entries, those with issuers first.
pub(super) fn trust(root: &Section<'_>, place: &Place<'_>) -> Vec<TrustEntry> {
    let section = root.section("authentication");
    let inherited = inherited(root, &section, place.backend);
    let mut entries: Vec<NamedEntry<'_>> = Vec::new();
    for section in section.entries("issuers") {
        if let Some(entry) = issuer_entry(root, &section, &inherited, place) {
            entries.push(NamedEntry { section, name_key: "name", issuer_key: "issuer", entry });
        }
    }
    let mut any = !section.entries("issuers").is_empty() || issuer::is_given(root);
    for (product, signing_key) in
        Backend::products().filter_map(|product| Some((product, product.signing_key?)))
    {
        let (section, name_key) = (root.section(product.section), signing_key.key);
        let entry = signing_key_entry(&section, product, &signing_key, &inherited);
        any |= section.has_secret(name_key) || section.in_error(name_key);
        let named = |entry| NamedEntry { section, name_key, issuer_key: product.issuer_key, entry };
        entries.extend(entry.map(named));
    }
    refuse_ambiguous_names(&entries);
    let mut trust: Vec<_> = entries.into_iter().map(|named| named.entry).collect();
    trust.extend(simple_list(root, &section, inherited, place));
    unbound::warn_of_simple_list(root, place, &trust);
    own_tokens::warn_of_unknown_keys(root, place.backend, &trust);
    if trust.is_empty() && !any && !section.in_error("issuers") {
        section.missing(
            "publicKeyUrls",
            "no tokens are trusted: neither publicKeyUrls nor issuers is set",
            "set authentication.publicKeyUrls, authentication.issuers, AUTHENTICATION_PUBLIC_KEYS or --public-keys",
        );
    }
    trust
}

fn inherited(root: &Section<'_>, section: &Section<'_>, backend: Backend) -> Inherited {
    let algorithms: AlgorithmSet = section.need_list("algorithms", values::algorithm).into_iter().collect();
    if algorithms.is_empty() {
        section.missing("algorithms", "is an empty list: no token could be verified", "leave the key out");
    }
    if let Some(provider) = section.text("provider").filter(|provider| !PROVIDERS.contains(provider)) {
        let message = format!("{} is not a provider that OpenMetadata knows", values::quote(provider));
        section.report.warn(
            FindingId::UnknownProvider,
            "authentication.provider",
            message,
            "only `saml` has an effect: it opens OpenMetadata's SAML servlets",
        );
    }
    let style = backend.preset().principal_style;
    let claims = section.need_list("principalClaims", values::claim_path);
    if claims.is_empty() {
        section.missing(
            "principalClaims",
            "is an empty list: no token could have a principal",
            "leave the key out",
        );
    }
    let rules = ClaimRules {
        issuers: Vec::new(),
        own_tokens: own_tokens::of_known_issuers(root),
        kinds: token_kinds::of_all(section),
        audiences: Vec::new(),
        refuses_foreign_audiences: false,
        non_expiring: section.word("allowNonExpiring"),
        max_lifetime: section.read("maxLifetime", values::duration),
        leeway: section.need_value("leeway", leeway),
        principal: PrincipalRules { claims, mapping: mapping(section), style },
        roles_claim: roles::of_all(section),
        domain: domain(root, section),
    };
    let proxy = section.read("proxy", |text| values::url(text, &["http", "https"]));
    let proxy_authorization = key_access::proxy_authorization(section);
    Inherited { algorithms, rules, ca_file: section.file("caFile"), proxy, proxy_authorization }
}

fn text(text: &str) -> Result<Box<str>, String> {
    Ok(text.into())
}

/// A text that is not a placeholder.
fn filled_in(text: &str) -> Result<Box<str>, String> {
    values::filled_in(text).map(|()| text.into())
}

fn leeway(text: &str) -> Result<Duration, String> {
    let leeway = values::duration(text)?;
    if leeway.subsec_nanos() > 0 {
        return Err(format!("{} is not a number of whole seconds", values::quote(text)));
    }
    Ok(leeway)
}

/// `[username:x, email:y]`: exactly these two, as in OpenMetadata.
fn mapping(section: &Section<'_>) -> Option<PrincipalMapping> {
    let items = section.need_list("principalClaimsMapping", text);
    if items.is_empty() {
        return None;
    }
    let (mut username, mut email): (Option<ClaimPath>, Option<ClaimPath>) = (None, None);
    for (index, item) in items.iter().enumerate() {
        let (key, claim) = item.split_once(':').map_or(("", ""), |(key, claim)| (key.trim(), claim.trim()));
        let slot = match key {
            "username" => &mut username,
            "email" => &mut email,
            _ => {
                let message = format!(
                    "item {}: {} is neither username:<claim> nor email:<claim>",
                    index + 1,
                    values::quote(item)
                );
                section.error("principalClaimsMapping", message);
                return None;
            }
        };
        let path = values::claim_path(claim);
        if let Err(message) = &path {
            section.error("principalClaimsMapping", format!("item {}: {message}", index + 1));
            return None;
        }
        if claim.is_empty() || path.is_ok_and(|path| slot.replace(path).is_some()) {
            let message = format!("item {}: `{key}` needs one claim, given once", index + 1);
            section.error("principalClaimsMapping", message);
            return None;
        }
    }
    match (username, email) {
        (Some(username), Some(email)) => Some(PrincipalMapping { username, email }),
        _ => {
            let help = "write [username:preferred_username, email:email], or [] for none";
            section.error_with_help("principalClaimsMapping", "needs both username and email", help);
            None
        }
    }
}

fn domain(root: &Section<'_>, section: &Section<'_>) -> Option<DomainRule> {
    let openmetadata = root.section("openmetadata");
    if openmetadata.is_given("keyId") && openmetadata.text("keyId") == Some(PUBLISHED_KEY_ID) {
        openmetadata.report.warn(
            FindingId::PublishedKey,
            "openmetadata.keyId",
            "this is the key id that OpenMetadata ships: its private key is public, so anyone can create \
             tokens for any user",
            "create your own key pair for OpenMetadata, with another JWT_KEY_ID",
        );
    }
    section.boolean("enforcePrincipalDomain").then(|| DomainRule {
        principal_domain: section.need_text("principalDomain").into(),
        allowed: section.need_list("allowedDomains", text),
        own_issuer: openmetadata.need_text("issuer").into(),
        own_key_id: openmetadata.need_text("keyId").into(),
    })
}

fn issuer_entry(
    root: &Section<'_>,
    entry: &Section<'_>,
    inherited: &Inherited,
    place: &Place<'_>,
) -> Option<TrustEntry> {
    if entry.text("name").is_none() {
        entry.missing(
            "name",
            "an issuer entry needs a name",
            "write `name: okta`: logs, metrics and rules use it",
        );
    }
    let name = entry.read("name", values::name);
    let cluster = kubernetes::cluster(entry);
    let own_issuer = || cluster.iter().flat_map(|cluster| cluster.issuer.clone()).collect();
    let issuers = entry.list("issuer", filled_in).unwrap_or_else(own_issuer);
    if issuers.is_empty() && !entry.has("kubernetes") {
        entry.missing(
            "issuer",
            "an issuer entry needs an issuer",
            "write the exact value of its tokens' iss",
        );
    }
    let keys = match &cluster {
        Some(cluster) => Some(KeySource::Urls(vec![cluster.keys.clone()])),
        None if entry.has("kubernetes") => None,
        None => key_source(entry, &issuers, place),
    };
    let access = access(entry, keys.as_ref(), inherited);
    let algorithms = entry_algorithms(entry, inherited);
    let rules = entry_rules(entry, issuers, inherited);
    let keys = keys?;
    let upstreams_own = is_upstreams_own(&keys, place);
    unbound::warn_of_entry(root, entry, &rules, &keys, upstreams_own);
    let optional = entry.read("optional", values::boolean);
    Some(TrustEntry {
        name: name?,
        optional: optional.unwrap_or(upstreams_own),
        algorithms,
        rules,
        ca_file: match &cluster {
            Some(cluster) => cluster.ca_file.clone(),
            None => entry.file("caFile").or_else(|| inherited.ca_file.clone()),
        },
        proxy: entry
            .read("proxy", |text| values::url(text, &["http", "https"]))
            .or_else(|| inherited.proxy.clone()),
        access: cluster.map_or(access, |cluster| cluster.access),
        keys,
    })
}

/// The credentials for fetching an entry's keys. Those of the inherited proxy are not for another one.
fn access(entry: &Section<'_>, keys: Option<&KeySource>, inherited: &Inherited) -> KeyAccess {
    let mut access = key_access(entry, keys);
    if !entry.has("proxy") {
        access.proxy_authorization = inherited.proxy_authorization.clone();
    }
    access
}

/// How the claims of an entry's tokens are validated.
fn entry_rules(entry: &Section<'_>, issuers: Vec<Box<str>>, inherited: &Inherited) -> ClaimRules {
    let claims: Option<Vec<ClaimPath>> = entry.list("principalClaims", values::claim_path);
    if claims.as_ref().is_some_and(Vec::is_empty) {
        entry.missing("principalClaims", "is an empty list: no token could have a principal", INHERIT);
    }
    let audiences: Option<Vec<Box<str>>> = entry.list("audiences", filled_in);
    if audiences.as_ref().is_some_and(Vec::is_empty) {
        let help = "name what the issuer puts into aud: `audiences: [<client id>]`";
        entry.missing(
            "audiences",
            "is an empty list: tokens issued for any other service would be accepted",
            help,
        );
    }
    let mut rules = inherited.rules.clone();
    rules.issuers = issuers;
    rules.own_tokens = own_tokens::of_entry(entry, &inherited.rules.own_tokens);
    rules.kinds = token_kinds::of_entry(entry, &inherited.rules.kinds);
    rules.audiences = audiences.unwrap_or_default();
    rules.non_expiring = entry.read("allowNonExpiring", Word::from_word).unwrap_or(rules.non_expiring);
    rules.max_lifetime = entry.read("maxLifetime", values::duration).or(rules.max_lifetime);
    rules.leeway = entry.read("leeway", leeway).unwrap_or(rules.leeway);
    rules.roles_claim = roles::of_entry(entry, &rules.roles_claim);
    if let Some(claims) = claims {
        // The mapping takes precedence over the claims, so inheriting it would override the entry's own claims.
        rules.principal = PrincipalRules { claims, mapping: None, style: rules.principal.style };
    }
    rules
}

fn entry_algorithms(entry: &Section<'_>, inherited: &Inherited) -> AlgorithmSet {
    let shared = entry.has_secret("sharedSecret");
    let read = |text: &str| match (shared, text) {
        (true, "HS256") => Ok(Algorithm::HS256),
        (true, _) => {
            Err(format!("{} cannot be verified with a shared secret, only HS256", values::quote(text)))
        }
        (false, _) => values::algorithm(text),
    };
    match entry.list("algorithms", read) {
        Some(algorithms) if algorithms.is_empty() => {
            entry.missing("algorithms", "is an empty list: no token could be verified", "leave the key out");
            AlgorithmSet::default()
        }
        Some(algorithms) => algorithms.into_iter().collect(),
        None if shared => [Algorithm::HS256].into_iter().collect(),
        None => inherited.algorithms,
    }
}

/// The entry for a product's own tokens that are signed with a shared secret.
fn signing_key_entry(
    section: &Section<'_>,
    product: &Product,
    signing_key: &SigningKey,
    inherited: &Inherited,
) -> Option<TrustEntry> {
    let secret = section.secret(signing_key.key, Purpose::SigningKey)?;
    let mut rules = inherited.rules.clone();
    rules.issuers = vec![section.need_text(product.issuer_key).into()];
    rules.non_expiring = signing_key.non_expiring;
    let claims = signing_key.principal_claims.iter().map(|claim| (*claim).into()).collect();
    rules.principal = PrincipalRules { claims, mapping: None, style: rules.principal.style };
    Some(TrustEntry {
        name: signing_key.entry.into(),
        keys: KeySource::SharedSecret(secret),
        algorithms: [Algorithm::HS256].into_iter().collect(),
        rules,
        optional: false,
        ca_file: None,
        proxy: None,
        access: KeyAccess::default(),
    })
}

fn simple_list(
    root: &Section<'_>,
    section: &Section<'_>,
    inherited: Inherited,
    place: &Place<'_>,
) -> Option<TrustEntry> {
    let urls = key_urls(section, place).filter(|urls| !urls.is_empty());
    let algorithms = match section.read("tokenValidationAlgorithm", values::algorithm) {
        Some(algorithm) if inherited.algorithms.contains(algorithm) => [algorithm].into_iter().collect(),
        Some(algorithm) => {
            let message = format!("{algorithm} is not in authentication.algorithms, so nothing is left");
            section.error("tokenValidationAlgorithm", message);
            return None;
        }
        None => inherited.algorithms,
    };
    if urls.is_none() && section.is_given("audiences") {
        let message = "has no effect without authentication.publicKeyUrls: it does not bind issuer entries";
        section.report.warn(
            FindingId::NoEffect,
            "authentication.audiences",
            message,
            "give each issuer entry its own `audiences`",
        );
    }
    let urls = urls?;
    let mut rules = inherited.rules;
    rules.own_tokens = own_tokens::of_simple_list(root, &urls);
    let keys = KeySource::Urls(urls);
    rules.audiences = section.need_list("audiences", filled_in);
    Some(TrustEntry {
        name: SIMPLE_LIST.into(),
        optional: is_upstreams_own(&keys, place),
        keys,
        algorithms,
        rules,
        ca_file: inherited.ca_file,
        proxy: inherited.proxy,
        access: KeyAccess { proxy_authorization: inherited.proxy_authorization, ..KeyAccess::default() },
    })
}
