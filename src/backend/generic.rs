//! The preset for any HTTP service.

use super::{GrantedFields, IdentityFields, Preset, PrincipalStyle};
use crate::request::BackendQuirks;

/// A preset without any special behaviour. The other presets start from it.
pub(super) const PRESET: Preset = Preset {
    name: "generic",
    product: None,
    routes: &[],
    base_path: None,
    target_bytes: 8 * 1024,
    quirks: BackendQuirks { session_cookies: &[], rewrites: &[], impersonation: None },
    identity: IdentityFields { names: &[], families: &[], harmless: &[] },
    granted: GrantedFields::NONE,
    actor: None,
    request_source: None,
    has_system_credential: false,
    impersonation: None,
    principal_style: PrincipalStyle::AsIs,
    token_format: None,
    identification: None,
    bot_introspection: None,
    has_resource_metadata: false,
    expired_message: None,
};
