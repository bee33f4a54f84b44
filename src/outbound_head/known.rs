//! What is kept with a field section that was received before ([`Section`]): the facts about its fields, and the fields
//! that are sent upstream in their place.
//!
//! Both depend on nothing but the section, the rules for heads, and what is compared here.

use std::net::IpAddr;
use std::sync::Arc;

use super::OutboundHead;
use crate::claims::VerifiedToken;
use crate::decision::{Caller, Permit};
use crate::message::{Derived, Fields, Section};
use crate::request::{Credentials, FieldFacts, RequestFacts};

/// Tells the rules of one configuration from those of others, as long as both exist.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity(Arc<u8>);

impl Identity {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The facts about the fields of a section that passed all checks.
pub struct KnownFacts {
    rules: Identity,
    facts: FieldFacts,
}

impl KnownFacts {
    /// The facts.
    pub fn facts(&self) -> &FieldFacts {
        &self.facts
    }
}

/// The fields that were sent upstream for a section.
pub(super) struct KnownFields {
    rules: Identity,
    token: Arc<VerifiedToken>,
    peer: Option<IpAddr>,
    tls: bool,
    fields: Fields,
}

impl OutboundHead {
    /// The facts about a section's fields, if they were kept under these rules.
    pub fn known_facts(&self, section: &Section) -> Option<Arc<KnownFacts>> {
        section.get::<KnownFacts>(Derived::Facts).filter(|known| known.rules.is(&self.identity))
    }

    /// Keeps the facts of a request that has this section, a target without an authority, and passed all checks.
    pub fn keep_facts(&self, section: &Section, facts: &RequestFacts) {
        let known = KnownFacts { rules: self.identity.clone(), facts: facts.of_fields() };
        section.keep(Derived::Facts, known);
    }

    /// Replaces the fields by those that were sent for the same section with the same token and peer. `false` if there
    /// are none.
    pub(super) fn repeat(&self, headers: &mut Fields, source: &Source<'_>) -> bool {
        let known = source.section.get::<KnownFields>(Derived::Outbound);
        let known = known.filter(|known| known.is_by(&self.identity, source));
        let known = known.filter(|known| (known.peer, known.tls) == (source.peer, source.tls));
        if let Some(known) = &known {
            *headers = known.fields.clone();
        }
        known.is_some()
    }

    /// Keeps the fields for [`Self::repeat`]. What is kept for another peer stays: two peers would replace each other's
    /// with each request.
    pub(super) fn keep_fields(&self, headers: &Fields, source: &Source<'_>) {
        let known = source.section.get::<KnownFields>(Derived::Outbound);
        if known.is_none_or(|known| !known.is_by(&self.identity, source)) {
            let (rules, token) = (self.identity.clone(), source.token.clone());
            let Source { peer, tls, .. } = *source;
            let fields = headers.joined();
            source.section.keep(Derived::Outbound, KnownFields { rules, token, peer, tls, fields });
        }
    }
}

impl KnownFields {
    fn is_by(&self, rules: &Identity, source: &Source<'_>) -> bool {
        self.rules.is(rules) && Arc::ptr_eq(&self.token, source.token)
    }
}

/// What the fields that are sent upstream depend on, besides the rules.
pub(super) struct Source<'a> {
    pub(super) section: Arc<Section>,
    pub(super) token: &'a Arc<VerifiedToken>,
    pub(super) peer: Option<IpAddr>,
    pub(super) tls: bool,
}

impl<'a> Source<'a> {
    /// `None` if they depend on more: on the target, on what the rules grant to this request, or on which field the token
    /// is read from.
    pub(super) fn of(
        headers: &Fields,
        facts: &RequestFacts,
        permit: &'a Permit,
        peer: Option<IpAddr>,
        tls: bool,
    ) -> Option<Self> {
        let Caller::Token(token) = permit.caller() else { return None };
        let is_usual = matches!(&facts.credentials, Credentials::Bearer(token) if token.is_canonical());
        let is_plain = is_usual && facts.target_host.is_none() && !permit.impersonates();
        let section = headers.section().filter(|_| is_plain)?.clone();
        Some(Self { section, token, peer, tls })
    }
}
