//! What a preset says.

use super::{PresetRow, PrincipalStyle, Product};
use crate::request::BackendQuirks;

/// What is special about one backend. The generic one has nothing of all this.
///
/// Names of request fields are in lower case with `-`.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The word in the configuration.
    pub name: &'static str,
    /// What it is a part of.
    pub product: Option<&'static Product>,
    /// What it makes of its routes, in order: the first row that matches a request decides, and one
    /// that none matches is protected.
    pub routes: &'static [PresetRow],
    /// The path that it can be served under.
    pub base_path: Option<BasePath>,
    /// What reading a request depends on. The cookies are dropped from a request that brings a bearer
    /// token: the backend would believe the cookie and not the token that was judged.
    pub quirks: BackendQuirks,
    /// Fields by which it believes who is asking.
    pub identity: IdentityFields,
    /// Those of them that some callers may send.
    pub granted: GrantedFields,
    /// The field by which it can be told who is asking.
    pub actor: Option<ActorField>,
    /// The field by which it is told whether a browser or a program is asking.
    pub request_source: Option<RequestSourceField>,
    /// Whether services of its own prove themselves by a system credential, and may send the fields
    /// [`GrantedFields::system`].
    pub has_system_credential: bool,
    /// How a bot acts as another user.
    pub impersonation: Option<ImpersonationField>,
    /// How a claim becomes the name of one of its users.
    pub principal_style: PrincipalStyle,
    /// What it says of a token that has expired, where its clients look at that.
    pub expired_message: Option<&'static str>,
}

/// The path that a backend can be served under; every route of it begins so.
#[derive(Clone, Copy, Debug)]
pub struct BasePath {
    /// The section and the key of the configuration.
    pub key: (&'static str, &'static str),
    /// What its API is below.
    pub api: &'static str,
    /// How paths of the API begin in its documents.
    pub documented_api: &'static str,
}

/// Request fields that a backend believes and that no client may therefore send.
#[derive(Clone, Copy, Debug)]
pub struct IdentityFields {
    /// By name. [`crate::outbound_head`] removes them in every spelling, but for [`GrantedFields`].
    pub names: &'static [&'static str],
    /// What the names of further such fields begin with. All that begin so are removed in every
    /// spelling, but for `harmless` and [`GrantedFields`].
    pub families: &'static [&'static str],
    /// Fields of these families that anybody may send, in this one spelling.
    pub harmless: &'static [&'static str],
}

/// Fields that such a caller may send as they stand, in this one spelling. They are removed from the
/// requests of every other one.
#[derive(Clone, Copy, Debug)]
pub struct GrantedFields {
    /// The holder of a verified token.
    pub token: &'static [&'static str],
    /// A bot that may act as another user, and asks to.
    pub impersonator: &'static [&'static str],
    /// The backend's own services, by their credential.
    pub system: &'static [&'static str],
}

impl GrantedFields {
    /// Nobody may send any.
    pub const NONE: Self = Self { token: &[], impersonator: &[], system: &[] };

    /// Everything that somebody may send.
    pub fn all(&self) -> impl Iterator<Item = &'static str> {
        [self.token, self.impersonator, self.system].into_iter().flatten().copied()
    }
}

/// The field by which a backend can be told who is asking.
#[derive(Clone, Copy, Debug)]
pub struct ActorField {
    /// Its name.
    pub name: &'static str,
    /// What stands before the principal in its value.
    pub prefix: &'static str,
    /// Characters of the principal that are percent-encoded besides those that no field value may have.
    pub encoded: &'static [u8],
    /// Principals that it never names, in lower case: the backend's own.
    pub reserved: &'static [&'static str],
    /// What is questionable about using it, and what to do.
    pub warning: (&'static str, &'static str),
}

/// The field by which a backend is told whether a browser or a program is asking.
#[derive(Clone, Copy, Debug)]
pub struct RequestSourceField {
    /// Its name.
    pub name: &'static str,
    /// Its value for a browser.
    pub browser: &'static str,
    /// Its value for a program.
    pub program: &'static str,
    /// Whether a frontend of its own asks for browsers and says so by this very field.
    pub has_frontend: bool,
}

/// How a bot acts as another user.
#[derive(Clone, Copy, Debug)]
pub struct ImpersonationField {
    /// Parts of paths, in lower case, under which credentials are made and changed: nobody is
    /// impersonated there.
    pub identity_endpoints: &'static [&'static str],
    /// What is questionable about allowing it, and what to do.
    pub warning: (&'static str, &'static str),
}
