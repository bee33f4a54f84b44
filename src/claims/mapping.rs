//! The user of the backend that a verified token stands for ([`crate::token_exchange`]).

use std::sync::Arc;

use super::{TokenClass, VerifiedToken};

/// A user of the backend, and the entry of `exchange` that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedUser {
    /// The position of the entry.
    pub index: usize,
    /// The entry's name in the audit log.
    pub entry: Box<str>,
    /// The user's name, as the backend has it.
    pub user: Box<str>,
    /// The user's email address.
    pub email: Option<Box<str>>,
}

/// What the exchange makes of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mapping {
    /// Its caller is its own principal, and it is forwarded.
    #[default]
    None,
    /// No entry takes it, and its issuer's tokens are not forwarded.
    Missing,
    /// Its caller acts as this user. The token is not forwarded.
    User(Arc<MappedUser>),
}

impl VerifiedToken {
    /// The token of a caller that acts as another user. Then the principal and the email address are that user's, and
    /// nothing that the token grants goes with them: no role, and not the privileges of the backend's own tokens. Its
    /// issuer, subject, scopes and claims stay what they are.
    #[must_use]
    pub fn mapped(self, mapping: Mapping) -> Self {
        match mapping {
            Mapping::None => self,
            Mapping::Missing => Self { mapping, ..self },
            Mapping::User(user) => Self {
                principal: user.user.clone(),
                email: user.email.clone(),
                roles: Vec::new(),
                class: TokenClass::User,
                is_backends_own: false,
                mapping: Mapping::User(user),
                ..self
            },
        }
    }

    /// The token with roles that do not come from it, for metagate's own rules: those of a bot, from the allow-list
    /// ([`crate::bots`]). They are not sent to the backend, because the caller acts as another user.
    #[must_use]
    pub fn with_roles(self, roles: &[Box<str>]) -> Self {
        Self { roles: roles.to_vec(), ..self }
    }

    /// What the exchange makes of it.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The user that its caller acts as, if that is another than its own principal.
    pub fn mapped_user(&self) -> Option<&MappedUser> {
        match &self.mapping {
            Mapping::User(user) => Some(user),
            Mapping::None | Mapping::Missing => None,
        }
    }
}
