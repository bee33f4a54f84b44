//! What a request's head loses and gains on its way upstream.
//!
//! The order is the point: connection-specific fields go first, also those that `Connection`
//! names, so that a client cannot have ours removed; then every identity field and every look-alike
//! of one; then ours are set.

use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use ipnet::IpNet;

use crate::backend::{ActorField, Backend};
use crate::claims::VerifiedToken;
use crate::decision::{Caller, Permit, Reason};
use crate::policy::contains_address;
use crate::request::{Credentials, RequestFacts, is_cookie};

mod connection;
mod forwarded;
mod http2;
mod identity_value;
mod known_names;
mod request_source;
mod reserved;
mod upgrade;

pub use connection::remove_connection_fields;
pub use http2::{from_http2, understands_trailers};
pub use upgrade::{HandshakeFault, WEBSOCKET_VERSION, ask_for, asked_protocol, check_websocket, is_granted};

use known_names::{KnownNames, Reserved};
use request_source::RequestSource;
use reserved::{FAMILIES, NAMES};

/// The rules for heads on their way upstream.
#[derive(Clone, Debug)]
pub struct OutboundHead {
    backend: Backend,
    user: HeaderName,
    email: HeaderName,
    groups: HeaderName,
    actor: Option<(HeaderName, ActorField)>,
    authorization: Authorization,
    request_source: Option<RequestSource>,
    reserved: Vec<Box<str>>,
    known: KnownNames,
    trusted_proxies: Vec<IpNet>,
    trusts_unix_peers: bool,
}

/// What becomes of the `Authorization` field.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// It goes on, in the form that both backends read.
    Forward,
    /// It is removed.
    Strip,
}

/// The fields that carry the identity.
#[derive(Clone, Debug)]
pub struct IdentityNames {
    /// For the principal.
    pub user: HeaderName,
    /// For the email address.
    pub email: HeaderName,
    /// For the roles.
    pub groups: HeaderName,
    /// Whether the field [`Preset::actor`](crate::backend::Preset::actor) is set.
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
        let configured = [user.as_str(), email.as_str(), groups.as_str()];
        let preset = backend.preset();
        // Also before a backend that has no such field: what stands behind it may, and would believe a
        // client's.
        let any_actor = || Backend::ALL.iter().find_map(|backend| backend.preset().actor);
        let actor = preset.actor.or_else(any_actor).filter(|_| datahub_actor);
        let known = NAMES.iter().chain(preset.identity.names).copied().chain(preset.granted.all());
        let own = known.chain(actor.map(|actor| actor.name));
        let own = own.map(in_one_spelling);
        let mut reserved: Vec<Box<str>> = configured.into_iter().map(in_one_spelling).chain(own).collect();
        reserved.sort_unstable();
        reserved.dedup();
        // The configured names in their own spelling: it is the one that is set.
        let spelled = configured.into_iter().chain(reserved.iter().map(AsRef::as_ref));
        let known = KnownNames::new(Reserved {
            names: spelled.collect(),
            families: FAMILIES.iter().chain(preset.identity.families).copied().collect(),
            harmless: preset.identity.harmless,
        });
        Self {
            backend,
            user,
            email,
            groups,
            actor: actor.map(|actor| (HeaderName::from_static(actor.name), actor)),
            authorization,
            request_source: preset.request_source.as_ref().map(RequestSource::new),
            known,
            reserved,
            trusted_proxies,
            trusts_unix_peers: false,
        }
    }

    /// Whether a field has another spelling of a name that is ours to set, or of a credential's.
    /// [`Self::rewrite`] removes such fields; another proxy that forwards the request itself may not.
    pub fn has_look_alikes(&self, fields: &HeaderMap) -> bool {
        fields.keys().any(|name| self.known.is_look_alike_of_identity(name.as_str()))
    }

    /// The fields that may carry an identity and whose names are on no list: only what their names
    /// begin with is known. [`Self::rewrite`] removes them; another proxy that forwards the request
    /// itself has to be told of each.
    pub fn unlisted<'f>(&self, fields: &'f HeaderMap) -> impl Iterator<Item = &'f str> {
        fields.keys().map(HeaderName::as_str).filter(|name| self.known.is_unlisted_identity(name))
    }

    /// Rewrites the head of a request that may go upstream. `Err` where a verified identity
    /// cannot be written into a field: the request then does not go at all.
    pub fn rewrite(
        &self,
        fields: &mut HeaderMap,
        facts: &RequestFacts,
        permit: &Permit,
        peer: impl Into<Option<IpAddr>>,
        tls: bool,
    ) -> Result<(), Reason> {
        let peer = peer.into();
        let nominated = connection::removable(fields);
        let trusted = self.is_trusted(peer);
        let granted = granted(self.backend, permit);
        let request_source = self.request_source_of(fields, permit.caller(), peer);
        let stays = |name: &HeaderName| {
            !nominated.contains(name) && self.known.goes_on(name.as_str(), granted, trusted)
        };
        retain(fields, stays);
        for name in granted {
            keep_first(fields, name);
        }
        if let Some(host) = &facts.target_host {
            fields.insert(HOST, host.clone());
        }
        if let Caller::Token(token) = permit.caller() {
            self.set_identity(fields, token)?;
        }
        if let Some((name, source)) = request_source {
            fields.insert(name, source);
        }
        self.set_authorization(fields, facts, permit);
        self.drop_session_cookies(fields, facts);
        forwarded::set(fields, peer, tls);
        Ok(())
    }

    /// What another proxy is to set that asked for the decision alone: the identity fields, those
    /// that the caller may send, and `Authorization`. What is not in there it is to remove. The request
    /// comes from `source`. `Err` as for [`Self::rewrite`].
    pub fn handed_over(
        &self,
        fields: &HeaderMap,
        facts: &RequestFacts,
        permit: &Permit,
        source: IpAddr,
    ) -> Result<HeaderMap, Reason> {
        let mut own = HeaderMap::with_capacity(8);
        if let Some(credentials) = fields.get(AUTHORIZATION) {
            own.insert(AUTHORIZATION, credentials.clone());
        }
        for name in granted(self.backend, permit) {
            if let Some(value) = fields.get(*name) {
                own.insert(*name, value.clone());
            }
        }
        if let Caller::Token(token) = permit.caller() {
            self.set_identity(&mut own, token)?;
        }
        if let Some((name, source)) = self.request_source_of(fields, permit.caller(), Some(source)) {
            own.insert(name, source);
        }
        self.set_authorization(&mut own, facts, permit);
        Ok(own)
    }

    /// The names of the fields that are ours to set, in lower case with `-`.
    pub fn reserved(&self) -> impl Iterator<Item = &str> {
        self.reserved.iter().map(AsRef::as_ref)
    }

    /// What the names of further fields begin with that no client may send, in lower case with `-`.
    pub fn reserved_families(&self) -> impl Iterator<Item = &'static str> {
        FAMILIES.iter().chain(self.backend.preset().identity.families).copied()
    }

    fn set_identity(&self, fields: &mut HeaderMap, token: &VerifiedToken) -> Result<(), Reason> {
        let set = |fields: &mut HeaderMap, name: &HeaderName, text: Option<HeaderValue>| match text {
            Some(value) => {
                fields.insert(name.clone(), value);
                Ok(())
            }
            None => Err(Reason::MalformedToken),
        };
        set(fields, &self.user, identity_value::text(token.principal()))?;
        if let Some(email) = token.email() {
            set(fields, &self.email, identity_value::text(email))?;
        }
        if !token.roles().is_empty() {
            set(fields, &self.groups, identity_value::list(token.roles()))?;
        }
        if let Some((name, actor)) = &self.actor {
            set(fields, name, identity_value::actor(token.principal(), actor))?;
        }
        Ok(())
    }

    fn set_authorization(&self, fields: &mut HeaderMap, facts: &RequestFacts, permit: &Permit) {
        match (&self.authorization, permit.caller()) {
            // DataHub's own services say who they are by this very field.
            (_, Caller::DatahubSystem) => {}
            (Authorization::Forward, _) => match &facts.credentials {
                Credentials::Bearer(token) => {
                    fields.insert(AUTHORIZATION, token.canonical_field());
                }
                // To DataHub's frontend an empty field is a credential (CVE-2023-25557).
                Credentials::Missing => {
                    fields.remove(AUTHORIZATION);
                }
                Credentials::Basic(_) | Credentials::OtherScheme | Credentials::Malformed => {}
            },
            (Authorization::Strip, _) => {
                fields.remove(AUTHORIZATION);
            }
        }
    }

    /// A backend that prefers its cookie to the token would serve somebody who was not judged.
    fn drop_session_cookies(&self, fields: &mut HeaderMap, facts: &RequestFacts) {
        let names = self.backend.quirks().session_cookies;
        if names.is_empty() || !facts.has_session_cookie || matches!(facts.credentials, Credentials::Missing)
        {
            return;
        }
        let kept: Vec<HeaderValue> = fields
            .get_all(COOKIE)
            .iter()
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
        fields.remove(COOKIE);
        for value in kept {
            fields.append(COOKIE, value);
        }
    }

    /// The same rules, for peers on a Unix socket, which have no address: believed, or not.
    pub fn trusting_unix_peers(mut self, trusted: bool) -> Self {
        self.trusts_unix_peers = trusted;
        self
    }

    fn is_trusted(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.trusts_unix_peers, |peer| contains_address(&self.trusted_proxies, peer))
    }

    /// The address a request comes from: the peer, or the last one in `X-Forwarded-For` that is
    /// not itself a trusted proxy.
    pub fn source_ip(&self, fields: &HeaderMap, peer: impl Into<Option<IpAddr>>) -> Option<IpAddr> {
        let peer = peer.into();
        if !self.is_trusted(peer) {
            return peer;
        }
        self.source_behind_peer(fields).or(peer)
    }

    /// The address a request comes from by a peer that is believed: the last one in
    /// `X-Forwarded-For` that is not a trusted proxy. `None` where it names none.
    pub fn source_behind_peer(&self, fields: &HeaderMap) -> Option<IpAddr> {
        forwarded::source(&self.trusted_proxies, fields)
    }
}

/// The reserved fields that may be sent all the same with this permit.
fn granted(backend: Backend, permit: &Permit) -> &'static [&'static str] {
    let granted = &backend.preset().granted;
    match permit.caller() {
        Caller::Token(_) if permit.impersonates() => granted.impersonator,
        Caller::Token(_) => granted.token,
        Caller::DatahubSystem => granted.system,
        Caller::Anonymous | Caller::SessionCookie => &[],
    }
}

/// Leaves one value where a client sent several: which of them counts, servers do not agree on.
fn keep_first(fields: &mut HeaderMap, name: &'static str) {
    let mut values = fields.get_all(name).iter();
    if let (Some(first), Some(_)) = (values.next(), values.next()) {
        let first = first.clone();
        fields.insert(name, first);
    }
}

/// Keeps some fields, and keeps their order, which `HeaderMap::remove` does not.
fn retain(fields: &mut HeaderMap, stays: impl Fn(&HeaderName) -> bool) {
    // Room for what will be set.
    let mut kept = HeaderMap::with_capacity(fields.len() + 8);
    let mut current = None;
    for (name, value) in std::mem::take(fields) {
        // A name stands before the first of its values only.
        if let Some(name) = name {
            current = stays(&name).then_some(name);
        }
        if let Some(name) = &current {
            kept.append(name.clone(), value);
        }
    }
    *fields = kept;
}

/// The spelling in which proxies are told of a name: lower case, with `-` for `_` and `.`.
fn in_one_spelling(name: &str) -> Box<str> {
    name.to_ascii_lowercase().replace(['_', '.'], "-").into()
}

#[cfg(test)]
mod tests;
