//! Parses `identity.datahubActor`: whether the caller is named in DataHub's own field.

use super::super::finding::FindingId;
use super::super::values;
use super::section::Section;
use crate::backend::Backend;

const KEY: &str = "datahubActor";

/// Whether it is on. If so, warns about its risk.
pub(super) fn is_set(identity: &Section<'_>, backend: Backend) -> bool {
    let on = identity.boolean(KEY);
    if let Some(field) = backend.actor_field().filter(|_| on) {
        let (message, help) = field.warning;
        identity.report.warn(FindingId::DatahubActor, &identity.path(KEY), message, help);
    }
    on
}

/// The principals that it never names, in lower case; empty if it is off.
pub(super) fn reserved(root: &Section<'_>, backend: Backend) -> Vec<Box<str>> {
    let datahub = root.section("datahub");
    let administrators = datahub.need_list("administrators", |name| Ok(Box::<str>::from(name)));
    let on = root.section("identity").text(KEY).is_some_and(|text| values::boolean(text) == Ok(true));
    let Some(field) = backend.actor_field().filter(|_| on) else {
        if !administrators.is_empty() {
            let message = "has no effect without identity.datahubActor";
            datahub.report.warn(FindingId::NoEffect, "datahub.administrators", message, "leave it out");
        }
        return Vec::new();
    };
    let system = datahub.need_text("systemClientId");
    let built_in = field.reserved.iter().copied();
    let names = built_in.chain([system]).chain(administrators.iter().map(AsRef::as_ref));
    let mut reserved: Vec<Box<str>> = names.map(|name| name.to_lowercase().into()).collect();
    reserved.sort_unstable();
    reserved.dedup();
    reserved
}
