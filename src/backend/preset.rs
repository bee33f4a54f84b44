//! The types of a preset.

use super::{Identification, PresetRow, PrincipalStyle, Product, TokenFormat};
use crate::request::BackendQuirks;

/// The special behaviour of one backend. The generic preset has none.
///
/// Names of request fields are in lower case with `-`.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The word in the configuration.
    pub name: &'static str,
    /// The product that the backend is a part of.
    pub product: Option<&'static Product>,
    /// The backend's routes, in order. The first row that matches a request decides; without one the request
    /// is protected.
    pub routes: &'static [PresetRow],
    /// The path that the backend can be served under.
    pub base_path: Option<BasePath>,
    /// The longest target of a request by default, in bytes: its clients may send long ones.
    pub target_bytes: usize,
    /// What the parsing of a request depends on. Session cookies are removed from a request with a bearer
    /// token, because the backend would use the cookie and not the token that was verified.
    pub quirks: BackendQuirks,
    /// The fields that the backend trusts to identify the caller.
    pub identity: IdentityFields,
    /// The identity fields that some callers may send.
    pub granted: GrantedFields,
    /// The field that can name the caller to the backend.
    pub actor: Option<ActorField>,
    /// The field that says whether a browser or a program sends the request.
    pub request_source: Option<RequestSourceField>,
    /// Whether the backend's own services authenticate with a system credential, and may send the fields in
    /// [`GrantedFields::system`].
    pub has_system_credential: bool,
    /// How a bot acts as another user.
    pub impersonation: Option<ImpersonationField>,
    /// How a claim becomes the name of one of the backend's users.
    pub principal_style: PrincipalStyle,
    /// The form of token that can be minted for it.
    pub token_format: Option<TokenFormat>,
    /// How the backend tells which product it is.
    pub identification: Option<Identification>,
    /// The path at which a token of one of its bots is answered with 200 if the backend still accepts it, and with 401 if not.
    pub bot_introspection: Option<&'static str>,
    /// Whether the backend serves protected resource metadata (RFC 9728) itself, on public routes.
    pub has_resource_metadata: bool,
    /// The backend's own message for an expired token, if its clients depend on it.
    pub expired_message: Option<&'static str>,
}

/// The path that a backend can be served under, a prefix of all its routes.
#[derive(Clone, Copy, Debug)]
pub struct BasePath {
    /// The section and the key of the configuration.
    pub key: (&'static str, &'static str),
    /// The path of the API.
    pub api: &'static str,
    /// The beginning of API paths in the backend's documentation.
    pub documented_api: &'static str,
}

/// Request fields that a backend trusts, so clients must not send them.
#[derive(Clone, Copy, Debug)]
pub struct IdentityFields {
    /// Names. [`crate::outbound_head`] removes these fields in every spelling, except [`GrantedFields`].
    pub names: &'static [&'static str],
    /// Prefixes of the names of further such fields. They are removed in every spelling, except `harmless`
    /// and [`GrantedFields`].
    pub families: &'static [&'static str],
    /// Fields with these prefixes that every client may send, in exactly this spelling.
    pub harmless: &'static [&'static str],
}

/// Identity fields that certain callers may send, in exactly this spelling. They are removed from the requests
/// of all other callers.
#[derive(Clone, Copy, Debug)]
pub struct GrantedFields {
    /// The holder of a verified token.
    pub token: &'static [&'static str],
    /// A bot that may act as another user and asks to.
    pub impersonator: &'static [&'static str],
    /// The backend's own services, identified by the system credential.
    pub system: &'static [&'static str],
}

impl GrantedFields {
    /// No caller may send any.
    pub const NONE: Self = Self { token: &[], impersonator: &[], system: &[] };

    /// Every field that some caller may send.
    pub fn all(&self) -> impl Iterator<Item = &'static str> {
        [self.token, self.impersonator, self.system].into_iter().flatten().copied()
    }
}

/// The field that names the caller to a backend.
#[derive(Clone, Copy, Debug)]
pub struct ActorField {
    /// The field name.
    pub name: &'static str,
    /// The prefix of the principal in the value.
    pub prefix: &'static str,
    /// Characters of the principal that are percent-encoded, in addition to those that are not valid in a field
    /// value.
    pub encoded: &'static [u8],
    /// The backend's own principals, which the field must never name, in lower case.
    pub reserved: &'static [&'static str],
    /// The risk of using it, and what to do about it.
    pub warning: (&'static str, &'static str),
}

/// The field that says whether a browser or a program sends a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestSourceField {
    /// The field name.
    pub name: &'static str,
    /// The value for a browser.
    pub browser: &'static str,
    /// The value for a program.
    pub program: &'static str,
    /// Whether the backend has a frontend that forwards requests of browsers and sets this field itself.
    pub has_frontend: bool,
}

/// How a bot acts as another user.
#[derive(Clone, Copy, Debug)]
pub struct ImpersonationField {
    /// Parts of paths, in lower case, where credentials are issued and changed. Impersonation is refused there.
    pub identity_endpoints: &'static [&'static str],
    /// The risk of allowing it, and what to do about it.
    pub warning: (&'static str, &'static str),
}
