//! Rewrites the head of a request on its way upstream.
//!
//! The order of the steps is the security property ([`OutboundHead::rewrite`]):
//!
//! 1. Remove connection-specific fields, including those that `Connection` names. This comes first so that a
//!    client cannot have our own fields removed.
//! 2. Remove every identity field and every look-alike of one, except what the [`Permit`] grants.
//! 3. Set our own fields: `Host`, the verified identity, `Authorization` and `X-Forwarded-*`.
//!
//! After that, every identity field of the request comes from a verified token, or is one that the caller may
//! send ([`crate::backend::GrantedFields`]).
//!
//! Not done here: parsing credentials ([`crate::request`]) and verifying the identity ([`crate::trust`]).

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::backend::{ActorField, Backend};
use crate::claims::FieldRules;
use crate::decision::{Caller, Permit, Reason};
use crate::message::field_name::{AUTHORIZATION, COOKIE, HOST};
use crate::message::{Fields, NewName};
use crate::policy::contains_address;
use crate::request::{Credentials, PathPrefix, RequestFacts, TokenFields, is_cookie};

mod authorization;
mod connection;
mod forwarded;
mod http2;
mod identity;
mod known;
mod known_names;
mod request_source;
mod reserved;
mod upgrade;

pub use authorization::{Authorization, remove_fields_with};
pub use connection::{NOT_ABOUT_CONNECTION, list_members, remove_connection_fields};
pub use http2::{from_http2, understands_trailers};
pub use identity::cut_mark;
pub use known::KnownFacts;
pub use upgrade::{
    HandshakeFault, WEBSOCKET_VERSION, check_websocket, is_granted, requested_protocol, set_upgrade,
};

use authorization::remove_token;
use known::{Identity, Source};
use known_names::{KnownNames, Reserved};
use request_source::RequestSource;
use reserved::{FAMILIES, NAMES};

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// The rules for rewriting heads.
#[derive(Clone, Debug)]
pub struct OutboundHead {
    backend: Backend,
    user: Option<NewName>,
    email: Option<NewName>,
    groups: Option<NewName>,
    groups_cut: Option<NewName>,
    actor: Option<(NewName, ActorField)>,
    field_rules: Arc<FieldRules>,
    authorization: Authorization,
    token_fields: TokenFields,
    request_source: Option<RequestSource>,
    reserved: Vec<Box<str>>,
    known: KnownNames,
    trusted_proxies: Vec<IpNet>,
    trusts_unix_peers: bool,
    prefix: Option<Box<PathPrefix>>,
    /// New for every change of the rules.
    identity: Identity,
}

/// The names of the fields that carry the verified identity. One that is off is not set.
#[derive(Clone, Debug)]
pub struct IdentityNames {
    /// For the principal.
    pub user: Option<HeaderName>,
    /// For the email address.
    pub email: Option<HeaderName>,
    /// For the roles.
    pub groups: Option<HeaderName>,
    /// Whether to set the field [`Preset::actor`](crate::backend::Preset::actor).
    pub datahub_actor: bool,
}

impl OutboundHead {
    /// Rules from the configuration.
    pub fn new(
        backend: Backend,
        names: IdentityNames,
        authorization: Authorization,
        trusted_proxies: Vec<IpNet>,
    ) -> Self {
        let IdentityNames { user, email, groups, datahub_actor } = names;
        let mark = groups.as_ref().and_then(cut_mark);
        let names = [&user, &email, &groups, &mark];
        let configured: Vec<&str> = names.into_iter().flatten().map(HeaderName::as_str).collect();
        let preset = backend.preset();
        let actor = backend.actor_field().filter(|_| datahub_actor);
        let known = NAMES.iter().chain(preset.identity.names).copied().chain(preset.granted.all());
        let known = known.chain(actor.map(|actor| actor.name)).map(canonical_name);
        let mut reserved: Vec<Box<str>> =
            configured.iter().copied().map(canonical_name).chain(known).collect();
        reserved.sort_unstable();
        reserved.dedup();
        // The configured names as they are spelled in the configuration, because that spelling is set.
        let spelled = configured.into_iter().chain(reserved.iter().map(AsRef::as_ref));
        let known = KnownNames::new(Reserved {
            names: spelled.collect(),
            families: FAMILIES.iter().chain(preset.identity.families).copied().collect(),
            harmless: preset.identity.harmless,
        });
        Self {
            backend,
            user: user.map(NewName::from),
            email: email.map(NewName::from),
            groups_cut: mark.map(NewName::from),
            groups: groups.map(NewName::from),
            actor: actor.map(|actor| (actor.name.into(), actor)),
            field_rules: Arc::default(),
            authorization,
            token_fields: TokenFields::default(),
            request_source: preset.request_source.as_ref().map(RequestSource::new),
            known,
            reserved,
            trusted_proxies,
            trusts_unix_peers: false,
            prefix: None,
            identity: Identity::default(),
        }
    }

    /// Reserves one more name.
    fn reserve(&mut self, name: &str) {
        self.known.reserve(name);
        let canonical = canonical_name(name);
        if let Err(at) = self.reserved.binary_search(&canonical) {
            self.reserved.insert(at, canonical);
        }
    }

    /// The fields whose names are other spellings of a reserved name or of a credential's name.
    /// [`Self::rewrite`] removes such fields. Another proxy that forwards the request itself may not.
    pub fn look_alikes<'f>(&self, headers: &'f Fields) -> impl Iterator<Item = &'f str> {
        headers.iter().map(|field| field.name()).filter(|name| self.known.is_look_alike_of_identity(name))
    }

    /// The fields that may carry an identity but are not listed by name: only the prefix of the name is known.
    /// [`Self::rewrite`] removes them. Another proxy that forwards the request itself needs the name of each.
    pub fn unlisted<'f>(&self, headers: &'f Fields) -> impl Iterator<Item = &'f str> {
        headers.iter().map(|field| field.name()).filter(|name| self.known.is_unlisted_identity(name))
    }

    /// Rewrites the head of a permitted request.
    ///
    /// # Errors
    /// A verified identity cannot be written as a field value. The request must then be refused.
    pub fn rewrite(
        &self,
        headers: &mut Fields,
        facts: &RequestFacts,
        permit: &Permit,
        peer: impl Into<Option<IpAddr>>,
        tls: bool,
    ) -> Result<(), Reason> {
        let peer = peer.into();
        let source = Source::of(headers, facts, permit, peer, tls);
        if source.as_ref().is_some_and(|source| self.repeat(headers, source)) {
            return Ok(());
        }
        let nominated = connection::removable(headers);
        let trusted = self.is_trusted(peer);
        let granted = granted(self.backend, permit);
        let request_source = self.request_source_of(headers, permit.caller(), peer);
        headers.retain(|field| {
            let is_nominated = nominated.as_ref().is_some_and(|names| names.contains(field.name()));
            !is_nominated && self.known.is_forwarded(field, granted, trusted)
        });
        for name in granted {
            keep_first(headers, name);
        }
        if permit.withholds_token() {
            remove_token(headers, facts);
        }
        if let Some(host) = &facts.target_host {
            headers.insert(HOST, host);
        }
        if let Caller::Token(token) = permit.caller() {
            self.set_identity(headers, token)?;
        }
        if let Some((name, source)) = request_source {
            headers.insert(name, source);
        }
        self.set_authorization(headers, facts, permit);
        self.drop_session_cookies(headers, facts);
        forwarded::set(headers, peer, tls);
        self.set_prefix(headers);
        if let Some(source) = &source {
            self.keep_fields(headers, source);
        }
        Ok(())
    }

    /// The fields for another proxy that only asks for the decision: the identity fields, the fields that the
    /// caller may send, and `Authorization`. The proxy must set these and remove all other reserved fields. The
    /// request comes from `source`.
    ///
    /// # Errors
    /// As for [`Self::rewrite`].
    pub fn forward_auth_fields(
        &self,
        headers: &Fields,
        facts: &RequestFacts,
        permit: &Permit,
        source: IpAddr,
    ) -> Result<Fields, Reason> {
        let mut verified = Fields::new();
        if let Some(credentials) = headers.get_owned(AUTHORIZATION) {
            verified.insert(AUTHORIZATION, credentials);
        }
        for name in granted(self.backend, permit) {
            if let Some(value) = headers.get_owned(*name) {
                verified.insert(*name, value);
            }
        }
        if let Caller::Token(token) = permit.caller() {
            self.set_identity(&mut verified, token)?;
        }
        if let Some((name, source)) = self.request_source_of(headers, permit.caller(), Some(source)) {
            verified.insert(name, source);
        }
        self.set_authorization(&mut verified, facts, permit);
        self.set_prefix(&mut verified);
        Ok(verified)
    }

    /// Sets the path that is removed from every target before it is authorized and forwarded.
    #[must_use]
    pub fn with_prefix(mut self, prefix: Option<PathPrefix>) -> Self {
        self.prefix = prefix.map(Box::new);
        self.identity = Identity::default();
        self
    }

    /// The path that is removed from every target, if there is one.
    pub fn prefix(&self) -> Option<&PathPrefix> {
        self.prefix.as_deref()
    }

    /// Tells the backend the path that was removed, so that it can put it into links.
    fn set_prefix(&self, headers: &mut Fields) {
        if let Some(prefix) = &self.prefix {
            headers.insert(X_FORWARDED_PREFIX, prefix.field().clone());
        }
    }

    /// The names of the reserved fields, in lower case with `-`.
    pub fn reserved(&self) -> impl Iterator<Item = &str> {
        self.reserved.iter().map(AsRef::as_ref)
    }

    /// The prefixes of the names of further reserved fields, in lower case with `-`.
    pub fn reserved_families(&self) -> impl Iterator<Item = &'static str> {
        FAMILIES.iter().chain(self.backend.preset().identity.families).copied()
    }

    /// Removes session cookies if there are other credentials: a backend that prefers its cookie to the token
    /// would use an identity that was not verified.
    fn drop_session_cookies(&self, headers: &mut Fields, facts: &RequestFacts) {
        if !facts.has_session_cookie || matches!(facts.credentials, Credentials::Missing) {
            return;
        }
        let names = self.backend.quirks().session_cookies;
        let kept: Vec<HeaderValue> = headers
            .get_all(COOKIE)
            .filter_map(|value| {
                let kept: Vec<&[u8]> = value
                    .as_bytes()
                    .split(|byte| *byte == b';')
                    .filter(|cookie| !is_cookie(cookie, names))
                    .map(<[u8]>::trim_ascii)
                    .collect();
                if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok() }
            })
            .collect();
        headers.remove(COOKIE);
        for value in kept {
            headers.append(COOKIE, value);
        }
    }

    /// Sets whether peers on a Unix socket, which have no address, are trusted proxies.
    pub fn trusting_unix_peers(mut self, trusted: bool) -> Self {
        self.trusts_unix_peers = trusted;
        self.identity = Identity::default();
        self
    }

    fn is_trusted(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.trusts_unix_peers, |peer| contains_address(&self.trusted_proxies, peer))
    }

    /// The address a request comes from: the peer, or behind a trusted proxy the last address in
    /// `X-Forwarded-For` that is not itself a trusted proxy.
    pub fn source_ip(&self, headers: &Fields, peer: impl Into<Option<IpAddr>>) -> Option<IpAddr> {
        let peer = peer.into();
        if !self.is_trusted(peer) {
            return peer;
        }
        self.source_behind_peer(headers).or(peer)
    }

    /// The address that a trusted peer names: the last one in `X-Forwarded-For` that is not a trusted proxy.
    /// `None` if there is none.
    pub fn source_behind_peer(&self, headers: &Fields) -> Option<IpAddr> {
        forwarded::source(&self.trusted_proxies, headers)
    }
}

/// The reserved fields that the caller of this permit may send.
fn granted(backend: Backend, permit: &Permit) -> &'static [&'static str] {
    let granted = &backend.preset().granted;
    match permit.caller() {
        Caller::Token(_) if permit.impersonates() => granted.impersonator,
        Caller::Token(_) => granted.token,
        Caller::DatahubSystem => granted.system,
        Caller::Anonymous | Caller::SessionCookie => &[],
    }
}

/// Keeps only the first value of a field, because servers disagree about which of several counts.
fn keep_first(headers: &mut Fields, name: &'static str) {
    if headers.get_all(name).nth(1).is_some()
        && let Some(first) = headers.get_owned(name)
    {
        headers.insert(name, first);
    }
}

/// The canonical spelling of a name: lower case, with `-` for `_` and `.`.
fn canonical_name(name: &str) -> Box<str> {
    name.to_ascii_lowercase().replace(['_', '.'], "-").into()
}

#[cfg(test)]
mod tests;
