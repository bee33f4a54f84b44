//! The fields that carry the verified identity.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::{Identity, OutboundHead};
use crate::claims::{FieldRules, VerifiedToken};
use crate::decision::Reason;
use crate::message::Fields;

/// The field that says that roles were left out of the field `groups`. `None` only if its name would be too long.
pub fn cut_mark(groups: &HeaderName) -> Option<HeaderName> {
    HeaderName::try_from(format!("{groups}-truncated")).ok()
}

impl OutboundHead {
    /// Sets these fields in addition, and bounds the roles. No client may send the fields.
    #[must_use]
    pub fn with_field_rules(mut self, rules: FieldRules) -> Self {
        for (name, _) in &rules.claims {
            self.reserve(name.as_str());
        }
        self.field_rules = Arc::new(rules);
        self.identity = Identity::default();
        self
    }

    /// Why the identity of a token cannot be sent: see [`Self::can_send`].
    pub const UNSENDABLE: &str =
        "the principal, email or roles of the token, or a claim of identity.headers, do not fit into a field";

    /// Whether the identity of this token can be written into fields. If not, [`Self::rewrite`] refuses the request.
    pub fn can_send(&self, token: &VerifiedToken) -> bool {
        let has_actor = self.actor.as_ref().is_none_or(|(_, actor)| token.actor_value(actor).is_some());
        has_actor && token.identity_values(&self.field_rules).is_some()
    }

    pub(super) fn set_identity(&self, headers: &mut Fields, token: &VerifiedToken) -> Result<(), Reason> {
        let values = token.identity_values(&self.field_rules).ok_or(Reason::MalformedToken)?;
        let fields = [
            (&self.user, Some(&values.user)),
            (&self.email, values.email.as_ref()),
            (&self.groups, values.groups.as_ref()),
        ];
        for (name, value) in fields {
            if let (Some(name), Some(value)) = (name, value) {
                headers.insert(name.clone(), value.clone());
            }
        }
        if values.groups_are_cut
            && let Some(name) = &self.groups_cut
        {
            headers.insert(name.clone(), HeaderValue::from_static("true"));
        }
        for ((name, _), value) in self.field_rules.claims.iter().zip(&values.claims) {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        if let Some((name, actor)) = &self.actor {
            headers.insert(name.clone(), token.actor_value(actor).ok_or(Reason::MalformedToken)?);
        }
        Ok(())
    }

    /// Makes the values that a token keeps for this configuration. A cache that weighs the token then counts them.
    pub fn prepare(&self, token: &VerifiedToken) {
        token.identity_values(&self.field_rules);
        if let Some((_, actor)) = &self.actor {
            token.actor_value(actor);
        }
    }
}
