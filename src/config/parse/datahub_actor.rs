//! `identity.datahubActor`: telling GMS who is asking by `X-DataHub-Actor`.
//!
//! GMS reads that field only while its own authentication is off (`METADATA_SERVICE_AUTH_ENABLED=false`). It then
//! believes it from anybody, and takes a request without it for the system user's.

use super::super::values;
use super::section::Section;
use crate::backend::Backend;

const KEY: &str = "datahubActor";
/// The administrator that every DataHub has, and the system user.
const BUILT_IN: [&str; 2] = ["datahub", "__datahub_system"];

/// Whether it is on, and warns of what comes with it.
pub(super) fn is_set(identity: &Section<'_>, backend: Backend) -> bool {
    let on = identity.boolean(KEY);
    if on && backend == Backend::DataHubGms {
        let message = "only a GMS whose own authentication is off reads X-DataHub-Actor, and it believes whoever \
                       reaches it: a request without the field, on public and optional routes and in report mode, is \
                       the system user's";
        let help = "turn METADATA_SERVICE_AUTH_ENABLED on and leave this off; else let nothing but metagate reach GMS";
        identity.report.warn(&identity.path(KEY), message, help);
    } else if on {
        let message = format!("has no effect with backend {}", backend.as_str());
        identity.report.warn(&identity.path(KEY), message, "it is for backend: datahub-gms");
    }
    on
}

/// The principals that it never names, in lower case; none while it is off.
pub(super) fn reserved(root: &Section<'_>, backend: Backend) -> Vec<Box<str>> {
    let datahub = root.section("datahub");
    let administrators = datahub.need_list("administrators", |name| Ok(Box::<str>::from(name)));
    let on = root.section("identity").text(KEY).is_some_and(|text| values::boolean(text) == Ok(true));
    if !on || backend != Backend::DataHubGms {
        if !administrators.is_empty() {
            let message = "has no effect without identity.datahubActor";
            datahub.report.warn("datahub.administrators", message, "leave it out");
        }
        return Vec::new();
    }
    let system = datahub.need_text("systemClientId");
    let own = BUILT_IN.into_iter().chain([system]).chain(administrators.iter().map(AsRef::as_ref));
    let mut reserved: Vec<Box<str>> = own.map(|name| name.to_lowercase().into()).collect();
    reserved.sort_unstable();
    reserved.dedup();
    reserved
}
