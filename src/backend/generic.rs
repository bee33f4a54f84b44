//! Any HTTP service.

use super::{GrantedFields, IdentityFields, Preset, PrincipalStyle};
use crate::request::BackendQuirks;

/// Nothing is special about it. The others begin with this and say what they have.
pub(super) const PRESET: Preset = Preset {
    name: "generic",
    product: None,
    routes: &[],
    base_path: None,
    quirks: BackendQuirks { session_cookies: &[], rewrites: &[], impersonation: None },
    identity: IdentityFields { names: &[], families: &[], harmless: &[] },
    granted: GrantedFields::NONE,
    actor: None,
    request_source: None,
    has_system_credential: false,
    impersonation: None,
    principal_style: PrincipalStyle::AsIs,
    expired_message: None,
};
