//! Providers whose tokens arrive in `Authorization`.

use serde_json::{Value, json};

use super::pages::{Recipe, Written};
use crate::support::gateway::{Setup, text};
use crate::support::issuer::Reply;
use crate::support::keys::{key_set, other_rsa, rsa, spare_rsa};
use crate::support::token::{Token, bearer, now};

fn keys() -> Reply {
    Reply::Json(key_set(&[rsa().jwk()]))
}

fn token(claims: Value) -> Token {
    Token::of(claims).claim("iat", json!(now() - 5)).claim("exp", json!(now() + 600))
}

/// The head that goes upstream for an accepted token.
#[track_caller]
fn sent(recipe: &Recipe, token: &Token, path: &str) -> crate::support::message::Head {
    assert_eq!(recipe.outcome("GET", path, &[("Authorization", &bearer(token))]).0, 200, "{path}");
    recipe.upstream.request_to(path).head
}

/// Only a token with the role may delete, and no token with a fault is accepted.
#[track_caller]
fn check_rule(recipe: &Recipe, admin: &Token, other: &Token) {
    let delete =
        |token: &Token, path: &str| recipe.outcome("DELETE", path, &[("Authorization", &bearer(token))]);
    assert_eq!(delete(admin, "/api/v1/tables/1").0, 200);
    let (status, reason, detail) = delete(other, "/api/v1/tables/2");
    assert_eq!((status, &*reason), (403, "insufficient_permissions"), "{detail}");
    let bot = Token::bot().signed("RS256", spare_rsa());
    assert_eq!(
        recipe.outcome("GET", "/api/v1/bot", &[("Authorization", &bearer(&bot))]).0,
        200,
        "OpenMetadata's own"
    );
    for (at, (token, reason)) in [
        (admin.clone().claim("aud", json!("another")), "wrong_audience"),
        (admin.clone().expires_in(-600), "expired"),
        (admin.clone().issuer("https://evil.example"), "untrusted_issuer"),
        (admin.clone().signed("RS256", other_rsa()).header("kid", json!(rsa().kid)), "invalid_signature"),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(delete(token, &format!("/api/v1/tables/bad/{at}")).1, *reason);
    }
}

#[test]
fn keycloak_client_roles() {
    let issuer = "https://keycloak.example.com/realms/data";
    let recipe = Written::of("keycloak-client-roles.md")
        .serve(&format!("{issuer}/protocol/openid-connect/certs"), keys())
        .start();
    let of = |roles: Value| {
        token(json!({
            "iss": issuer, "aud": ["openmetadata.web", "account"], "azp": "openmetadata.web", "typ": "Bearer",
            "sub": "6f6c1e6e-7d0f-4a3c-9a77-0f3a5c0f1a11", "preferred_username": "ada",
            "organization": {"id": "acme", "name": "Acme"},
            "realm_access": {"roles": ["Admin"]},
            "resource_access": {"openmetadata": {"roles": ["Admin"]}, "openmetadata.web": {"roles": roles}}
        }))
    };
    let (admin, other) = (of(json!(["Admin", "Steward"])), of(json!(["Steward"])));
    let head = sent(&recipe, &admin, "/api/v1/tables");
    assert_eq!(head.value("x-forwarded-groups"), Some("Admin,Steward"));
    assert_eq!(head.value("x-tenant"), Some("acme"));
    check_rule(&recipe, &admin, &other);
    // A client's own copies of the field never go on, whether the token has the claim or not.
    let without = other.without("organization");
    for (at, (token, tenant)) in [(&admin, &["acme"][..]), (&without, &[])].into_iter().enumerate() {
        let path = format!("/api/v1/forged/{at}");
        let own = bearer(token);
        let fields =
            [("Authorization", &*own), ("X-Tenant", "evil"), ("X_Tenant", "evil"), ("x-tenant", "evil")];
        assert_eq!(recipe.outcome("GET", &path, &fields).0, 200);
        let head = recipe.upstream.request_to(&path).head;
        assert_eq!(head.values("x-tenant"), tenant);
        assert!(head.values("x_tenant").is_empty());
    }
}

#[test]
fn keycloak_roles_by_a_json_pointer() {
    let issuer = "https://keycloak.example.com/realms/data";
    let recipe = Written::of("keycloak-client-roles.md")
        .serve(&format!("{issuer}/protocol/openid-connect/certs"), keys())
        .replace("resource_access.\"openmetadata.web\".roles", "/resource_access/openmetadata.web/roles")
        .start();
    let token = token(json!({"iss": issuer, "aud": "openmetadata.web", "preferred_username": "ada",
        "resource_access": {"openmetadata.web": {"roles": ["Admin"]}}}));
    assert_eq!(sent(&recipe, &token, "/api/v1/tables").value("x-forwarded-groups"), Some("Admin"));
}

const TENANT: &str = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555";

fn azure(roles_claim: &str) -> Recipe {
    Written::of("azure-roles-and-groups.md")
        .serve(&format!("{TENANT}/discovery/v2.0/keys"), keys())
        .replace("rolesClaim: roles ", &format!("rolesClaim: {roles_claim} "))
        .start()
}

fn azure_token(more: Value) -> Token {
    let own = token(json!({
        "iss": format!("{TENANT}/v2.0"), "aud": "66666666-7777-8888-9999-000000000000", "ver": "2.0",
        "oid": "0a1b2c3d-0000-0000-0000-000000000001", "preferred_username": "ada@acme.example",
        "tid": "11111111-2222-3333-4444-555555555555", "sub": "pairwise"
    }));
    more.as_object()
        .expect("claims")
        .iter()
        .fold(own, |token, (name, value)| token.claim(name, value.clone()))
}

#[test]
fn azure_app_roles() {
    let recipe = azure("roles");
    let admin = azure_token(json!({"roles": ["Metadata.Admin"]}));
    assert_eq!(sent(&recipe, &admin, "/api/v1/tables").value("x-forwarded-groups"), Some("Metadata.Admin"));
    check_rule(&recipe, &admin, &azure_token(json!({})));
}

#[test]
fn azure_groups_that_are_not_in_the_token() {
    let recipe = azure("groups");
    let graph = "https://graph.microsoft.com/v1.0/users/x/getMemberObjects";
    for (at, token) in [
        azure_token(
            json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": graph}}}),
        ),
        azure_token(json!({"hasgroups": true})),
    ]
    .iter()
    .enumerate()
    {
        let path = format!("/api/v1/overage/{at}");
        let (status, _, detail) = recipe.outcome("DELETE", &path, &[("Authorization", &bearer(token))]);
        assert_eq!(status, 403);
        assert!(detail.contains("only says where the roles are (_claim_names)"), "{detail}");
    }
}

#[test]
fn azure_with_many_groups() {
    let recipe = azure("groups");
    let groups: Vec<String> = (0..190).map(|at| format!("0a1b2c3d-4e5f-6071-8293-{at:012}")).collect();
    let many = azure_token(json!({"groups": groups}));
    let own = bearer(&many);
    let forged = [("Authorization", &*own), ("X-Forwarded-Groups-Truncated", "false")];
    assert_eq!(recipe.outcome("GET", "/api/v1/many", &forged).0, 200);
    let head = recipe.upstream.request_to("/api/v1/many").head;
    let sent_groups = head.value("x-forwarded-groups").expect("groups");
    assert!(sent_groups.len() <= 2048 && sent_groups.len() > 1900, "{}", sent_groups.len());
    assert!(sent_groups.split(',').all(|group| group.len() == 36), "whole groups");
    assert_eq!(head.values("x-forwarded-groups-truncated"), ["true"]);
    let few = bearer(&azure_token(json!({"groups": ["a"]})));
    let forged = [("Authorization", &*few), ("X-Forwarded-Groups-Truncated", "true")];
    assert_eq!(recipe.outcome("GET", "/api/v1/few", &forged).0, 200);
    assert!(recipe.upstream.request_to("/api/v1/few").head.values("x-forwarded-groups-truncated").is_empty());
    // Rules see all of them.
    let last = groups.last().expect("one");
    let strict = Written::of("azure-roles-and-groups.md")
        .serve(&format!("{TENANT}/discovery/v2.0/keys"), keys())
        .replace("rolesClaim: roles ", "rolesClaim: groups ")
        .replace("Metadata.Admin", last)
        .start();
    assert_eq!(strict.outcome("DELETE", "/api/v1/tables/x", &[("Authorization", &own)]).0, 200);
}

#[test]
fn okta_groups() {
    let issuer = "https://acme.okta.com/oauth2/default";
    let written = || Written::of("okta.md").serve(&format!("{issuer}/v1/keys"), keys());
    let of = |groups: Value| {
        token(json!({"iss": issuer, "aud": "0oa1b2c3d4E5F6g7H8i9", "sub": "00u1", "groups": groups,
            "preferred_username": "ada@acme.example", "ver": 1}))
    };
    let recipe = written().start();
    let admin = of(json!(["Everyone", "metadata-admins"]));
    assert_eq!(
        sent(&recipe, &admin, "/api/v1/a").value("x-forwarded-groups"),
        Some("Everyone,metadata-admins")
    );
    check_rule(&recipe, &admin, &of(json!(["Everyone"])));
    let one_text = of(json!("Everyone, metadata-admins"));
    assert_eq!(recipe.outcome("DELETE", "/api/v1/b", &[("Authorization", &bearer(&one_text))]).0, 403);
    let separated =
        written().replace("rolesClaim: groups", "rolesClaim: groups\n      rolesSeparator: \",\"").start();
    assert_eq!(separated.outcome("DELETE", "/api/v1/c", &[("Authorization", &bearer(&one_text))]).0, 200);
}

#[test]
fn zitadel_roles() {
    let issuer = "https://acme.zitadel.cloud";
    let recipe = Written::of("zitadel.md").serve(&format!("{issuer}/oauth/v2/keys"), keys()).start();
    let of = |roles: Value| {
        token(json!({"iss": issuer, "aud": ["173456789012345678@data", "173456789012345678"], "sub": "1798",
            "preferred_username": "ada", "urn:zitadel:iam:org:project:roles": roles}))
    };
    let admin =
        of(json!({"admin": {"1700": "acme.zitadel.cloud"}, "reader": {"1700": "acme.zitadel.cloud"}}));
    assert_eq!(sent(&recipe, &admin, "/api/v1/a").value("x-forwarded-groups"), Some("admin,reader"));
    check_rule(&recipe, &admin, &of(json!({"reader": {"1700": "acme.zitadel.cloud"}, "admin": null})));
    let listed = of(json!(["admin"]));
    assert_eq!(recipe.outcome("DELETE", "/api/v1/b", &[("Authorization", &bearer(&listed))]).0, 403);
}

#[test]
fn explain_says_what_is_in_place_of_the_roles() {
    let config = |form: &str| {
        let keys = json!({"keys": [rsa().jwk()]}).to_string();
        format!(
            "upstream: {{url: 'http://127.0.0.1:9'}}\nauthentication:\n  issuers:\n    - name: idp\n      \
             issuer: https://idp.example\n      audiences: [x]\n      publicKeys: '{keys}'\n{form}"
        )
    };
    for (form, more, text_of) in [
        ("      rolesClaim: groups\n", json!({}), "roles [] (the token has no groups)"),
        (
            "      rolesClaim: groups\n",
            json!({"groups": {"a": true}}),
            "roles [] (groups is the map {...}, which has no roles)",
        ),
        (
            "      rolesClaim: groups\n",
            json!({"groups": 5}),
            "roles [] (groups is the number 5, which has no roles)",
        ),
        (
            "      rolesClaim: groups\n",
            json!({"_claim_names": {"groups": "a"}}),
            "only says where the roles are",
        ),
        (
            "      rolesFromKeys: true\n",
            json!({"roles": ["a"]}),
            "roles is the list [\"a\"], which has no roles",
        ),
        ("", json!({}), "roles [],"),
        ("", json!({"sub": 5}), "sub is not a string: sub is the number 5"),
        ("", json!({"nbf": null}), "nbf is not a NumericDate: nbf is null"),
        ("", json!({"iat": "now"}), "iat is not a NumericDate: iat is the text \"now\""),
    ] {
        let own = json!({"iss": "https://idp.example", "aud": "x", "sub": "ada"});
        let own = more
            .as_object()
            .expect("claims")
            .iter()
            .fold(token(own), |token, (name, value)| token.claim(name, value.clone()));
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), own.encode()).expect("a token");
        let path = file.path().to_str().expect("a path");
        let explained = Setup::command(&["explain", "--token-file", path]).config(config(form)).finish();
        assert!(explained.stdout.contains(text_of), "{more}: {} {}", explained.stdout, explained.stderr);
    }
}

#[test]
fn an_identity_field_that_is_off_is_not_set() {
    let issuer = "https://acme.okta.com/oauth2/default";
    let recipe = Written::of("okta.md")
        .serve(&format!("{issuer}/v1/keys"), keys())
        .replace("authorization:\n", "identity: {user: off, email: null, groups: false}\nauthorization:\n")
        .start();
    let own = bearer(&token(json!({"iss": issuer, "aud": "0oa1b2c3d4E5F6g7H8i9", "sub": "00u1",
        "email": "ada@acme.example", "groups": ["a"]})));
    let fields = [("Authorization", &*own), ("X-Forwarded-User", "evil"), ("X-Forwarded-Groups", "evil")];
    assert_eq!(recipe.outcome("GET", "/api/v1/a", &fields).0, 200);
    let head = recipe.upstream.request_to("/api/v1/a").head;
    for name in ["x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "false", "off"] {
        assert!(head.values(name).is_empty(), "{name}");
    }
    assert_eq!(text(&recipe.gateway.audit_of("/api/v1/a"), "principal"), Some("00u1"));
}
