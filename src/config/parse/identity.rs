//! Parses `identity`: the request fields that tell the backend who the caller is.

use http::HeaderName;

use super::super::{IdentityFields, values};
use super::section::Section;
use super::{datahub_actor, frontend_peers};
use crate::backend::Backend;
use crate::claims::ClaimPath;
use crate::outbound_head::cut_mark;
use crate::request::{TokenFields, are_look_alikes};

/// Fields that have another meaning in requests.
const NOT_FOR_IDENTITY: [&str; 19] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-request-id",
    "traceparent",
];

pub(super) fn identity(
    root: &Section<'_>,
    backend: Backend,
    token_fields: &TokenFields,
    listener_token_fields: &[Option<TokenFields>],
) -> Option<IdentityFields> {
    let section = root.section("identity");
    let datahub_actor = datahub_actor::is_set(&section, backend);
    let datahub_frontend_peers = frontend_peers(&root.section("datahub"), backend);
    let [user, email, groups] =
        ["user", "email", "groups"].map(|name| section.need(name, values::identity_header));
    let (user, email, groups) = (user?, email?, groups?);
    let mark = groups.as_ref().and_then(cut_mark);
    let mut taken: Vec<(String, HeaderName)> = Vec::new();
    for (key, field) in [("user", &user), ("email", &email), ("groups", &groups), ("groups", &mark)] {
        if let Some(field) = field {
            take(&section, key, field, &mut taken);
        }
    }
    let headers: Vec<_> =
        section.text_lists("headers").into_iter().filter_map(|entry| header(&section, entry)).collect();
    for (field, _) in &headers {
        let all_fields = listener_token_fields.iter().flatten().chain([token_fields]);
        let is_of_token =
            all_fields.flat_map(TokenFields::others).any(|other| are_look_alikes(other, field.as_str()));
        if is_of_token || backend.preset().granted.all().any(|other| are_look_alikes(other, field.as_str())) {
            section.error("headers", format!("`{field}` already has another meaning"));
        }
        take(&section, "headers", field, &mut taken);
    }
    let groups_max_bytes = section.size("groupsMaxBytes");
    Some(IdentityFields {
        user,
        email,
        groups,
        groups_max_bytes,
        headers,
        datahub_actor,
        datahub_frontend_peers,
    })
}

/// One field of `identity.headers`.
fn header(
    section: &Section<'_>,
    (name, claims): (&str, Vec<Box<str>>),
) -> Option<(HeaderName, Vec<ClaimPath>)> {
    let field = values::header_name(name).map_err(|message| section.error("headers", message)).ok()?;
    if claims.is_empty() {
        section.error("headers", format!("`{name}` has no claim"));
    }
    let mut paths = Vec::new();
    for claim in &claims {
        match values::claim_path(claim) {
            Ok(path) => paths.push(path),
            Err(message) => section.error("headers", message),
        }
    }
    Some((field, paths))
}

/// Refuses a name that has another meaning, or that another field has.
fn take(section: &Section<'_>, key: &str, field: &HeaderName, taken: &mut Vec<(String, HeaderName)>) {
    if NOT_FOR_IDENTITY.iter().any(|reserved| are_look_alikes(reserved, field.as_str())) {
        section.error(key, format!("`{field}` already has another meaning"));
    }
    if let Some((other, _)) = taken.iter().find(|(_, other)| are_look_alikes(other.as_str(), field.as_str()))
    {
        section.error(key, format!("`{field}` is also identity.{other}"));
    }
    taken.push((key.to_owned(), field.clone()));
}
