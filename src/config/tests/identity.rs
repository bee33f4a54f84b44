//! The fields about the caller, and where the roles are.

use super::*;
use crate::claims::{RolesClaim, RolesForm};

fn loaded(text: &str) -> Case {
    file(text).with(&[UPSTREAM, KEYS_URL])
}

#[test]
fn each_field_can_be_off() {
    for off in ["off", "false", "False", "no", "null", "~", "'off'", ""] {
        let fields = loaded(&format!("identity: {{groups: {off}, user: X-User}}")).config().identity;
        assert!(fields.groups.is_none() && fields.email.is_some(), "{off}");
        assert_eq!(fields.user.unwrap(), "x-user");
    }
    let loaded_null = loaded("identity: {groups: ~}").loaded();
    for printed in [print(&loaded_null), print_set(&loaded_null)] {
        assert!(printed.contains("  groups: off  # from "), "{printed}");
    }
    let variable = [UPSTREAM, KEYS_URL, ("METAGATE_IDENTITY__EMAIL", "off")];
    assert!(environment(&variable).config().identity.email.is_none());
    for word in ["true", "on", "yes", "none", "disabled", "1"] {
        let errors = loaded(&format!("identity: {{groups: {word}}}")).errors().join("\n");
        assert!(errors.contains("is not the name of a field; write one, or off"), "{word}: {errors}");
    }
}

#[test]
fn further_fields_carry_claims() {
    let text =
        "identity: {headers: {X-Tenant: tenant_id, X-Org: ['org.\"a.b\"', /org/c]}, groupsMaxBytes: 4KiB}";
    let fields = loaded(text).config().identity;
    let named: Vec<_> = fields
        .headers
        .iter()
        .map(|(name, paths)| (name.as_str(), paths.iter().map(|path| path.as_str()).collect::<Vec<_>>()))
        .collect();
    assert_eq!(named, [("x-org", vec!["org.\"a.b\"", "/org/c"]), ("x-tenant", vec!["tenant_id"])]);
    assert_eq!(fields.groups_max_bytes, 4096);
    assert_eq!(loaded("").config().identity.groups_max_bytes, 2048);
    for (headers, message) in [
        ("{Cookie: a}", "`cookie` already has another meaning"),
        ("{x_forwarded_user: a}", "`x_forwarded_user` is also identity.user"),
        ("{X-Forwarded-Groups-Truncated: a}", "is also identity.groups"),
        ("{X-A: a, x_a: b}", "is also identity.headers"),
        ("{X A: a}", "is not a header name"),
        ("{X-A: 'a.\"b'}", "is not a claim path: a quote is not closed"),
        ("{X-A: []}", "`X-A` has no claim"),
        ("{X-A: }", "has no values"),
    ] {
        let errors = loaded(&format!("identity: {{headers: {headers}}}")).errors().join("\n");
        assert!(errors.contains(message), "{headers}: {errors}");
    }
    let both = "identity: {headers: {X_Token: a}}\nauthentication: {tokenHeaders: [X-Token]}";
    assert!(loaded(both).errors().join("\n").contains("`x_token` already has another meaning"));
}

#[test]
fn roles_have_one_form_which_belongs_to_the_claim() {
    let texts = |member: Option<&str>, separator: Option<&str>| RolesForm::Texts {
        member: member.map(Into::into),
        separator: separator.map(Into::into),
    };
    for (authentication, entry, path, form) in [
        ("", "", "roles", texts(None, None)),
        ("rolesSeparator: ','", "", "roles", texts(None, Some(","))),
        ("rolesSeparator: ' ', rolesMember: name", "", "roles", texts(Some("name"), Some(" "))),
        ("rolesSeparator: ','", "rolesClaim: a", "a", texts(None, None)),
        ("rolesSeparator: ','", "rolesFromKeys: true", "roles", RolesForm::Keys),
        ("rolesFromKeys: true, rolesClaim: b", "", "b", RolesForm::Keys),
        ("rolesFromKeys: true, rolesClaim: b", "rolesFromKeys: false", "b", texts(None, None)),
        ("rolesFromKeys: true, rolesClaim: b", "rolesMember: m", "b", texts(Some("m"), None)),
    ] {
        let comma = if authentication.is_empty() { "" } else { ", " };
        let entry = format!("{{name: a, issuer: https://a, audiences: [x], {entry}}}");
        let text = format!("authentication: {{{authentication}{comma}issuers: [{entry}]}}");
        let config = file(&text).with(&[UPSTREAM]).config();
        let found = &config.trust[0].rules.roles_claim;
        assert_eq!(*found, RolesClaim { path: path.into(), form }, "{text}");
    }
    let both = loaded("authentication: {rolesFromKeys: true, rolesMember: a}").errors().join("\n");
    assert!(both.contains("is set together with rolesMember or rolesSeparator"), "{both}");
}

#[test]
fn broken_claim_paths_are_errors_wherever_a_claim_is_named() {
    for text in [
        "authentication: {rolesClaim: 'a.\"b'}",
        "authentication: {principalClaims: ['a.\"b']}",
        "authentication: {principalClaimsMapping: ['username:a.\"b', 'email:email']}",
        "authorization: {rules: [{name: a, require: {claims: {/a~2: [b]}}}]}",
    ] {
        let errors = loaded(text).errors().join("\n");
        assert!(errors.contains("is not a claim path"), "{text}: {errors}");
    }
}
