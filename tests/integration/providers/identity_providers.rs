//! The identity providers, each with its key set format, its token format and lookalikes of its
//! tokens.

use serde_json::{Value, json};

use super::{Provider, certificate, jwk, merged, refused, user};
use crate::support::keys::{encryption_rsa, p256, rsa, spare_rsa};
use crate::support::token::{Token, now};

const TENANT: &str = "7f2c1f0a-1111-4222-8333-444455556666";
const OTHER_TENANT: &str = "99999999-1111-4222-8333-444455556666";

fn sig(more: Value) -> Value {
    merged(json!({"use": "sig"}), more)
}

/// A token with the header members that nearly every provider sets.
fn token(kid: &str, claims: Value) -> Token {
    let times = json!({"iat": now() - 5, "exp": now() + 3600});
    Token::of(merged(times, claims)).signed("RS256", rsa()).header("kid", json!(kid))
}

#[test]
fn okta() {
    let issuer = "https://acme.okta.com/oauth2/default";
    let keys = [
        jwk(rsa(), "sAkr8WzB1VZzRLYnWZ3mJZQ8NRa-5o9xSl3FnNQ0bD8", sig(json!({"alg": "RS256"}))),
        jwk(spare_rsa(), "9xV0N4cGzJd1mQwS6b7tTn2yE5uKf3hRo8pLiZaXcMk", sig(json!({"alg": "RS256"}))),
    ];
    let kid = "sAkr8WzB1VZzRLYnWZ3mJZQ8NRa-5o9xSl3FnNQ0bD8";
    let id = token(
        kid,
        json!({
            "sub": "00u1a2b3c4D5E6f7G8h9", "name": "Ada Lovelace", "email": "ada@acme.example", "ver": 1,
            "iss": issuer, "aud": "0oa1b2c3d4E5F6g7H8i9", "jti": "ID.AbC-1", "amr": ["pwd", "mfa"],
            "idp": "00o1a2b3c4D5E6f7G8h9", "nonce": "n-0S6", "preferred_username": "ada@acme.example",
            "auth_time": now() - 60, "at_hash": "QAkYlAU5gBKQO9zAvlzCng", "groups": ["Everyone", "Data"]
        }),
    )
    .without_header("typ");
    let access = token(
        kid,
        json!({
            "ver": 1, "jti": "AT.AbC-2", "iss": issuer, "aud": "api://default", "cid": "0oa1b2c3d4E5F6g7H8i9",
            "uid": "00u1a2b3c4D5E6f7G8h9", "scp": ["openid", "profile"], "auth_time": now() - 60,
            "sub": "ada@acme.example", "groups": ["Data"]
        }),
    )
    .without_header("typ");
    let mut bad = refused(&id, "RS256", rsa(), kid, true);
    bad.push(("another org", id.clone().issuer("https://evil.okta.com/oauth2/default"), "untrusted_issuer"));
    bad.push((
        "another server of the org",
        access.clone().issuer("https://acme.okta.com/oauth2/aus1"),
        "untrusted_issuer",
    ));
    bad.push(("of the org server", access.clone().issuer("https://acme.okta.com"), "untrusted_issuer"));
    Provider::new("okta").keys_at("https://acme.okta.com/oauth2/default/v1/keys", &keys).check(
        &[
            ("an ID token", id, user("ada@acme.example", "Everyone,Data")),
            ("an access token", access, user("ada@acme.example", "Data")),
        ],
        &bad,
    );
}

fn azure_keys() -> Vec<Value> {
    let cloud = |key| {
        let issuer = "https://login.microsoftonline.com/{tenantid}/v2.0";
        merged(
            certificate(key),
            json!({"use": "sig", "cloud_instance_name": "microsoftonline.com", "issuer": issuer}),
        )
    };
    vec![
        jwk(rsa(), "L1KfKFI_jnXbwWc22xZxw1sUHH0", cloud(rsa())),
        jwk(spare_rsa(), "T1St-dLTvyWRgxB_676u8krXS-I", cloud(spare_rsa())),
    ]
}

#[test]
fn azure_v2() {
    let kid = "L1KfKFI_jnXbwWc22xZxw1sUHH0";
    let issuer = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
    let good = token(
        kid,
        json!({
            "aud": "2d4d2d4d-aaaa-4bbb-8ccc-ddddeeeeffff", "iss": issuer(TENANT), "nbf": now() - 5,
            "aio": "AXQAi/8TAAAA", "name": "Ada Lovelace", "nonce": "123", "oid": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
            "preferred_username": "ada@acme.example", "rh": "0.AXkA", "roles": ["Data.Admin"],
            "sub": "I5KwbQm7Cq8Vqvl_4dV1R5g", "tid": TENANT, "uti": "JR_Vp", "ver": "2.0"
        }),
    );
    let mut bad = refused(&good, "RS256", rsa(), kid, true);
    let of = |tenant: &str| good.clone().issuer(&issuer(tenant)).claim("tid", json!(tenant));
    // Correctly signed: all tenants share the keys.
    bad.push(("another tenant, by the same key", of(OTHER_TENANT), "untrusted_issuer"));
    bad.push(("private accounts", of("9188040d-6c67-4c5b-b112-36a304b66dad"), "untrusted_issuer"));
    bad.push((
        "the tenant's v1",
        good.clone().issuer(&format!("https://sts.windows.net/{TENANT}/")),
        "untrusted_issuer",
    ));
    let email = good.clone().without("preferred_username").claim("email", json!("admin@acme.example"));
    bad.push(("nothing but an email", email, "missing_principal"));
    let graph = good.clone().claim("aud", json!("00000003-0000-0000-c000-000000000000"));
    bad.push(("for Graph", graph, "wrong_audience"));
    let url = format!("https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys");
    Provider::new("azure-v2")
        .keys_at(&url, &azure_keys())
        .check(&[("an ID token", good, user("ada@acme.example", "Data.Admin"))], &bad);
}

#[test]
fn azure_v1() {
    let kid = "L1KfKFI_jnXbwWc22xZxw1sUHH0";
    let issuer = |tenant: &str| format!("https://sts.windows.net/{tenant}/");
    let good = token(
        kid,
        json!({
            "aud": "api://openmetadata", "iss": issuer(TENANT), "nbf": now() - 5, "acr": "1", "aio": "AUQAu",
            "amr": ["pwd"], "appid": "2d4d2d4d-aaaa-4bbb-8ccc-ddddeeeeffff", "appidacr": "0", "ipaddr": "192.0.2.7",
            "name": "Ada Lovelace", "oid": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "scp": "user_impersonation",
            "sub": "JZ5LkIvY", "tid": TENANT, "unique_name": "ada@acme.example", "upn": "ada@acme.example",
            "uti": "x", "ver": "1.0"
        }),
    )
    .header("x5t", json!(kid));
    let application =
        good.clone().without("upn").without("unique_name").without("scp").claim("roles", json!(["Ingest"]));
    let mut bad = refused(&good, "RS256", rsa(), kid, true);
    let other = good.clone().issuer(&issuer(OTHER_TENANT)).claim("tid", json!(OTHER_TENANT));
    bad.push(("another tenant, by the same key", other, "untrusted_issuer"));
    let url = format!("https://login.microsoftonline.com/{TENANT}/discovery/keys");
    let keys = [
        jwk(rsa(), kid, sig(certificate(rsa()))),
        jwk(spare_rsa(), "T1St-dLTvyWRgxB_676u8krXS-I", sig(certificate(spare_rsa()))),
    ];
    Provider::new("azure-v1").keys_at(&url, &keys).check(
        &[
            ("a user's access token", good, user("ada@acme.example", "")),
            ("an application's", application, user("2d4d2d4d-aaaa-4bbb-8ccc-ddddeeeeffff", "Ingest")),
        ],
        &bad,
    );
}

#[test]
fn google() {
    let kid = "6a8ba5652a7044121d4fedac8f14d14c54e4895b";
    let good = token(
        kid,
        json!({
            "iss": "https://accounts.google.com", "azp": "1234567890-abc.apps.googleusercontent.com",
            "aud": "1234567890-abc.apps.googleusercontent.com", "sub": "110169484474386276334",
            "hd": "acme.example", "email": "ada@acme.example", "email_verified": true,
            "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q", "nonce": "0394852", "name": "Ada Lovelace", "picture": "https://lh3.example/a",
            "given_name": "Ada", "family_name": "Lovelace"
        }),
    );
    let mut bad = refused(&good, "RS256", rsa(), kid, true);
    let private = good.clone().without("hd");
    bad.push(("a private account with an address of the domain", private, "insufficient_permissions"));
    bad.push((
        "another Workspace",
        good.clone().claim("hd", json!("evil.example")),
        "insufficient_permissions",
    ));
    bad.push((
        "an unproven address",
        good.clone().claim("email_verified", json!(false)),
        "insufficient_permissions",
    ));
    let keys = [
        jwk(rsa(), kid, sig(json!({"alg": "RS256"}))),
        jwk(spare_rsa(), "e0b1c5f2a6d94873bc1e5d7f902a4c6835be91d7", sig(json!({"alg": "RS256"}))),
    ];
    Provider::new("google").keys_at("https://www.googleapis.com/oauth2/v3/certs", &keys).check(
        &[
            ("an ID token", good.clone(), user("ada@acme.example", "")),
            ("the issuer's old form", good.issuer("accounts.google.com"), user("ada@acme.example", "")),
        ],
        &bad,
    );
}

#[test]
fn auth0() {
    let kid = "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg";
    let api = "https://openmetadata.acme.example";
    let good = token(
        kid,
        json!({
            "iss": "https://acme.eu.auth0.com/", "sub": "auth0|64f0c1", "aud": [api, "https://acme.eu.auth0.com/userinfo"],
            "azp": "my_client_id", "scope": "openid profile email", "permissions": ["read:data"],
            "https://openmetadata.acme.example/email": "ada@acme.example",
            "https://openmetadata.acme.example/roles": ["Admin", "Steward"]
        }),
    );
    let machine = token(
        kid,
        json!({
            "iss": "https://acme.eu.auth0.com/", "sub": "my_client_id@clients", "aud": api, "azp": "my_client_id",
            "gty": "client-credentials"
        }),
    )
    .header("typ", json!("at+jwt"));
    let mut bad = refused(&good, "RS256", rsa(), kid, true);
    bad.push(("another tenant", good.clone().issuer("https://evil.eu.auth0.com/"), "untrusted_issuer"));
    bad.push((
        "only for userinfo",
        good.clone().claim("aud", json!("https://acme.eu.auth0.com/userinfo")),
        "wrong_audience",
    ));
    let members = |key| sig(merged(certificate(key), json!({"alg": "RS256"})));
    let keys = [jwk(rsa(), kid, members(rsa())), jwk(spare_rsa(), "Qk1234", members(spare_rsa()))];
    Provider::new("auth0").keys_at("https://acme.eu.auth0.com/.well-known/jwks.json", &keys).check(
        &[
            ("an access token", good, user("ada@acme.example", "Admin,Steward")),
            ("a machine's", machine, user("my_client_id@clients", "")),
        ],
        &bad,
    );
}

const POOL: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI";
const ID_KID: &str = "1234example=";
const ACCESS_KID: &str = "5678example=";

/// The first key signs ID tokens, the second access tokens.
fn cognito(name: &'static str) -> Provider {
    let keys = [
        jwk(rsa(), ID_KID, sig(json!({"alg": "RS256"}))),
        jwk(spare_rsa(), ACCESS_KID, sig(json!({"alg": "RS256"}))),
    ];
    Provider::new(name).keys_at(&format!("{POOL}/.well-known/jwks.json"), &keys)
}

fn cognito_id() -> Token {
    token(
        ID_KID,
        json!({
            "sub": "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", "cognito:groups": ["admins"], "email_verified": true,
            "iss": POOL, "cognito:username": "ada", "origin_jti": "o-1", "aud": "1h57kf5cpq17m0eml12EXAMPLE",
            "event_id": "e-1", "token_use": "id", "auth_time": now() - 5, "jti": "j-1", "email": "ada@acme.example"
        }),
    )
    .without_header("typ")
}

fn cognito_access() -> Token {
    token(
        ACCESS_KID,
        json!({
            "sub": "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", "cognito:groups": ["admins"], "iss": POOL,
            "client_id": "1h57kf5cpq17m0eml12EXAMPLE", "origin_jti": "o-1", "event_id": "e-1", "token_use": "access",
            "scope": "openid email", "auth_time": now() - 5, "jti": "j-2", "username": "ada"
        }),
    )
    .signed("RS256", spare_rsa())
    .header("kid", json!(ACCESS_KID))
    .without_header("typ")
}

#[test]
fn cognito_id_tokens() {
    let mut bad = refused(&cognito_id(), "RS256", rsa(), ID_KID, true);
    bad.push(("an access token", cognito_access(), "wrong_audience"));
    bad.push(("another pool", cognito_id().issuer(&POOL.replace("AbC", "XyZ")), "untrusted_issuer"));
    bad.push(("the other key's kid", cognito_id().header("kid", json!(ACCESS_KID)), "invalid_signature"));
    cognito("cognito-id").check(&[("an ID token", cognito_id(), user("ada", "admins"))], &bad);
}

#[test]
fn cognito_access_tokens() {
    let mut bad = refused(&cognito_access(), "RS256", spare_rsa(), ACCESS_KID, false);
    let other = cognito_access().claim("client_id", json!("2another"));
    bad.push(("another client of the pool", other, "insufficient_permissions"));
    bad.push(("no client", cognito_access().without("client_id"), "insufficient_permissions"));
    bad.push(("an ID token", cognito_id().claim("username", json!("ada")), "insufficient_permissions"));
    bad.push(("another pool", cognito_access().issuer(&POOL.replace("AbC", "XyZ")), "untrusted_issuer"));
    cognito("cognito-access").check(&[("an access token", cognito_access(), user("ada", "admins"))], &bad);
}

#[test]
fn keycloak() {
    let (kid, enc) =
        ("FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE", "sP0NmJ6dVgq9sOtlS2ZT5Z0yT7j2gDRl8G1fWcV9bXw");
    let realm = "https://sso.acme.example/realms/data";
    let good = Token::keycloak(realm).header("kid", json!(kid));
    let mut bad = refused(&good, "RS256", rsa(), kid, true);
    bad.push((
        "another realm",
        good.clone().issuer("https://sso.acme.example/realms/master"),
        "untrusted_issuer",
    ));
    bad.push(("no audience mapper", good.clone().claim("aud", json!("account")), "wrong_audience"));
    let by_enc = |alg: &str, kid: &str| good.clone().signed(alg, encryption_rsa()).header("kid", json!(kid));
    bad.push(("the encryption key", by_enc("RS256", enc), "unknown_key"));
    bad.push(("the encryption key under the other kid", by_enc("RS256", kid), "invalid_signature"));
    bad.push((
        "the encryption key without a kid",
        by_enc("RS256", "").without_header("kid"),
        "invalid_signature",
    ));
    bad.push(("the encryption key's own alg", by_enc("RSA-OAEP", enc), "algorithm_not_allowed"));
    bad.push(("a refresh token", good.clone().header("alg", json!("HS512")), "algorithm_not_allowed"));
    let members = |key, usage, alg| {
        let thumbprint =
            json!({"use": usage, "alg": alg, "x5t#S256": "qcSxxWxUPBJMK5DMx8bX9BdC5Gz2GtN8kqGNrwvQO1c"});
        merged(certificate(key), thumbprint)
    };
    let keys = [
        jwk(encryption_rsa(), enc, members(encryption_rsa(), "enc", "RSA-OAEP")),
        jwk(rsa(), kid, members(rsa(), "sig", "RS256")),
    ];
    Provider::new("keycloak").keys_at(&format!("{realm}/protocol/openid-connect/certs"), &keys).check(
        &[
            ("an access token", good.clone(), user("ada", "Admin,offline_access")),
            ("without realm roles", good.without("realm_access"), user("ada", "")),
        ],
        &bad,
    );
}

#[test]
fn onelogin() {
    let kid = "JRcO4nxs5jgc8YdN7I2hLO4V_ql1bdoiMXmcYgHm4Hs";
    let good = token(
        kid,
        json!({
            "sub": "30499876", "email": "ada@acme.example", "preferred_username": "ada", "name": "Ada Lovelace",
            "updated_at": now() - 86400, "given_name": "Ada", "family_name": "Lovelace", "groups": ["Data", "All"],
            "at_hash": "ugoWkJdNcOcrVGVUWiQHFA", "sid": "f8a1", "aud": "f0e1d2c3-b4a5-4678-9abc-def012345678",
            "iss": "https://acme.onelogin.com/oidc/2"
        }),
    );
    let mut bad = refused(&good, "RS256", rsa(), kid, true);
    bad.push((
        "another account",
        good.clone().issuer("https://evil.onelogin.com/oidc/2"),
        "untrusted_issuer",
    ));
    Provider::new("onelogin")
        .keys_at("https://acme.onelogin.com/oidc/2/certs", &[jwk(rsa(), kid, sig(json!({})))])
        .check(
            &[
                ("an ID token", good.clone(), user("ada", "Data,All")),
                ("one group as a text", good.claim("groups", json!("Data")), user("ada", "Data")),
            ],
            &bad,
        );
}

#[test]
fn any_other_provider_by_discovery() {
    let provider = Provider::new("oidc");
    let base = provider.issuer.url("");
    let provider = provider.replace("https://id.acme.example", &base);
    let document = json!({
        "issuer": base, "jwks_uri": format!("{base}/keys"), "authorization_endpoint": format!("{base}/auth"),
        "id_token_signing_alg_values_supported": ["ES256"]
    });
    let reply = crate::support::issuer::Reply::Json(document.to_string());
    provider.issuer.set("/.well-known/openid-configuration", reply);
    // An encryption key, a key of an unknown type, and the signing key.
    let keys = [
        jwk(encryption_rsa(), "enc-1", json!({"use": "enc", "alg": "RSA-OAEP-256"})),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "pq-1", "pub": "AAAA"}),
        p256().jwk_with(json!({"alg": "ES256"})),
    ];
    provider.issuer.publish("/keys", &keys);
    let good =
        token("", json!({"iss": base, "sub": "u-1", "aud": ["openmetadata"], "email": "ada@acme.example"}))
            .signed("ES256", p256());
    let mut bad = refused(&good, "ES256", p256(), p256().kid, true);
    let by_enc = good.clone().signed("RS256", encryption_rsa()).header("kid", json!("enc-1"));
    bad.push(("the encryption key", by_enc, "unknown_key"));
    provider.check(&[("an ID token", good, user("ada@acme.example", ""))], &bad);
}
