//! Parses where the roles are, and in which form: `rolesClaim`, `rolesSeparator`, `rolesMember` and `rolesFromKeys`.

use super::super::values;
use super::section::Section;
use crate::claims::{RolesClaim, RolesForm};

/// The settings of `authentication`, where `rolesClaim` and `rolesFromKeys` have a default.
pub(super) fn of_all(section: &Section<'_>) -> RolesClaim {
    section.require("rolesClaim");
    section.require("rolesFromKeys");
    of_entry(section, &RolesClaim::default())
}

/// The settings of an issuer entry, with `inherited` for what it does not set. The form belongs to the claim: an entry
/// with a claim or a form of its own inherits no form.
pub(super) fn of_entry(section: &Section<'_>, inherited: &RolesClaim) -> RolesClaim {
    let path = section.read("rolesClaim", values::claim_path);
    let [member, separator] = ["rolesMember", "rolesSeparator"].map(|key| section.read(key, text));
    let from_keys = section.read("rolesFromKeys", values::boolean);
    let is_texts = member.is_some() || separator.is_some();
    if is_texts && from_keys == Some(true) {
        let message = "is set together with rolesMember or rolesSeparator, which are about texts";
        section.error("rolesFromKeys", message);
    }
    let form = match from_keys {
        Some(true) => RolesForm::Keys,
        None if path.is_none() && !is_texts => inherited.form.clone(),
        Some(false) | None => RolesForm::Texts { member, separator },
    };
    RolesClaim { path: path.unwrap_or_else(|| inherited.path.clone()), form }
}

fn text(text: &str) -> Result<Box<str>, String> {
    Ok(text.into())
}
