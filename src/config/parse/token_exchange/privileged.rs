//! Users that a workload should not act as.

use super::super::super::values;
use super::super::section::Section;
use crate::backend::Backend;

/// Administrators that the products create themselves.
const ADMINISTRATORS: [&str; 2] = ["admin", "datahub"];

/// Whether the entry may name this user. An administrator needs `privileged: true`; DataHub's system user, which can
/// decrypt secrets, is always refused.
pub(super) fn check_user(root: &Section<'_>, section: &Section<'_>, user: &str) -> bool {
    let target = section.section("as");
    // The backend may take the user's name from the address.
    let address = target.text("email").and_then(|email| email.split('@').next());
    let names = || [Some(user), address].into_iter().flatten();
    let datahub = root.section("datahub");
    let reserved = Backend::ALL.into_iter().filter_map(|backend| backend.preset().actor);
    let reserved = reserved.flat_map(|field| field.reserved).copied();
    let is_any = |list: &[&str]| names().any(|name| list.iter().any(|one| one.eq_ignore_ascii_case(name)));
    let system: Vec<&str> = reserved
        .filter(|name| !ADMINISTRATORS.contains(name))
        .chain(datahub.text("systemClientId"))
        .collect();
    if is_any(&system) {
        target.error("user", "is DataHub's system user, which can do everything; no workload can act as it");
        return false;
    }
    let is_privileged = section.read("privileged", values::boolean).unwrap_or(false);
    let configured = [datahub.texts("administrators"), root.section("openmetadata").texts("adminPrincipals")];
    let administrators = ADMINISTRATORS.into_iter().chain(configured.iter().flatten().map(AsRef::as_ref));
    let administrators: Vec<&str> =
        administrators.map(|name| name.split('@').next().unwrap_or(name)).collect();
    if is_any(&administrators) && !is_privileged {
        let message = format!("{} is an administrator of the backend", values::quote(user));
        let help =
            "name a user with fewer rights, or write `privileged: true` if this workload really needs them";
        target.error_with_help("user", message, help);
        return false;
    }
    true
}
