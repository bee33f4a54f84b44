//! Identity fields: the backend gets those of the token and never those of the client.

use serde_json::json;

use crate::support::gateway::text;
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::message::Head;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};

pub(super) fn backend(name: &'static str) -> Stage {
    Stage::plain(move |setup| setup.env("METAGATE_BACKEND", name))
}

/// Spellings of a field name that a lenient server might read as this name.
fn spellings(name: &str) -> Vec<String> {
    let mixed: String =
        name.chars().enumerate().map(|(i, c)| if i % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect();
    vec![
        name.to_owned(),
        name.to_ascii_uppercase(),
        mixed,
        name.replace('-', "_"),
        name.replacen('-', "_", 1),
        name.replace('-', "."),
        name.to_ascii_uppercase().replace('-', "_"),
        name.replace('-', "--"),
        name.replace('-', ""),
        name.replacen('-', "%", 1),
        format!("{name}~"),
    ]
}

/// Every value received under any spelling of the name.
pub(super) fn arrived<'a>(head: &'a Head, name: &str) -> Vec<&'a str> {
    let folded = |text: &str| text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "");
    head.headers.iter().filter(|(n, _)| folded(n) == folded(name)).map(|(_, value)| value.as_str()).collect()
}

#[track_caller]
fn forged(stage: &Stage, target: &str, token: &Token, names: &[&str]) -> Head {
    let token = bearer(token);
    let spellings: Vec<String> = names.iter().flat_map(|name| spellings(name)).collect();
    let mut fields: Vec<(&str, &str)> = spellings.iter().map(|name| (name.as_str(), "admin")).collect();
    fields.push(("Authorization", &token));
    let response = stage.gateway.get(target, &fields);
    assert_eq!(response.status, 200, "{}", response.text());
    stage.upstream.request_to(target).head
}

const STANDARD: [&str; 3] = ["x-forwarded-user", "x-forwarded-email", "x-forwarded-groups"];

#[test]
fn identity_fields_come_from_the_token_and_not_the_client() {
    let stage = backend("openmetadata");
    let token = Token::user().claim("roles", json!(["DataConsumer", "Data Steward"]));
    let head = forged(&stage, "/api/v1/tables", &token, &STANDARD);
    assert_eq!(arrived(&head, "x-forwarded-user"), ["ada"]);
    assert_eq!(arrived(&head, "x-forwarded-email"), ["ada@open-metadata.org"]);
    assert_eq!(arrived(&head, "x-forwarded-groups"), ["DataConsumer,Data Steward"]);
}

#[test]
fn missing_claims_set_no_identity_fields() {
    let stage = backend("datahub-gms");
    let token = Token::user().without("email").without("roles").without("preferred_username");
    let head = forged(&stage, "/entities", &token, &STANDARD);
    assert_eq!(arrived(&head, "x-forwarded-user"), ["ada"]);
    assert_eq!(arrived(&head, "x-forwarded-email"), Vec::<&str>::new());
    assert_eq!(arrived(&head, "x-forwarded-groups"), Vec::<&str>::new());
}

#[test]
fn public_route_forwards_no_identity_fields() {
    let stage = backend("openmetadata");
    for token in
        [Token::user(), Token::user().expires_in(-3600), Token::user().signed("RS256", keys::other_rsa())]
    {
        let head = forged(&stage, "/api/v1/system/version", &token, &STANDARD);
        for name in STANDARD {
            assert_eq!(arrived(&head, name), Vec::<&str>::new(), "{name}");
        }
    }
}

#[test]
fn connection_that_names_a_protected_field_is_refused() {
    let stage = backend("openmetadata");
    let token = bearer(&Token::user());
    let nominating = |value: &str| {
        let fields =
            [("Authorization", token.as_str()), ("X-Forwarded-User", "admin"), ("Connection", value)];
        (stage.gateway.get("/api/v1/x", &fields), stage.gateway.get("/api/v1/system/version", &fields[1..]))
    };
    for value in [
        "x-forwarded-user",
        "close, X-Forwarded-For",
        "Authorization",
        "Cookie",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "X_Impersonate_User",
        "x-auth-params-email",
    ] {
        let (protected, public) = nominating(value);
        assert_eq!((protected.status, public.status), (400, 400), "I05 {value}");
        assert_eq!(protected.header("connection"), Some("close"), "I05 {value}");
    }
    assert_eq!(stage.upstream.connections(), 0);
    let (protected, public) = nominating("close, x-private");
    assert_eq!((protected.status, public.status), (200, 200));
    let head = stage.upstream.request_to("/api/v1/x").head;
    assert_eq!(arrived(&head, "x-forwarded-user"), ["ada"]);
    let head = stage.upstream.request_to("/api/v1/system/version").head;
    assert_eq!(arrived(&head, "x-forwarded-user"), Vec::<&str>::new());
}

#[test]
fn datahub_identity_fields_of_clients_are_removed() {
    let names = [
        "x-datahub-actor",
        "x-datahub-delegated-for",
        "x-datahub-delegated-for-id",
        "x-datahub-delegated-for-type",
        "x-datahubloginsource",
        "x-datahub-impersonated-urn",
        "x-datahub-of-a-later-release",
    ];
    let stage = backend("datahub-gms");
    let sent = [&names[..], &["x-datahub-request-source"]].concat();
    let head = forged(&stage, "/aspects", &Token::user(), &sent);
    for name in names {
        assert_eq!(arrived(&head, name), Vec::<&str>::new(), "I01 {name}");
    }
    assert_eq!(arrived(&head, "x-datahub-request-source"), ["SDK"], "set by the gateway");
    // Other fields of DataHub's own clients are forwarded: see the recorded requests.
    let head = forged(&stage, "/config", &Token::user(), &names);
    assert_eq!(arrived(&head, "x-datahub-actor"), Vec::<&str>::new(), "on a public route");
}

#[test]
fn request_source_is_accepted_only_from_frontend_peers() {
    let claimed = |peers: &str| {
        let config = format!(
            "backend: datahub-gms\ndatahub: {{frontendPeers: {peers}}}\nauthentication: {{publicKeyUrls: [ISSUER/jwks]}}"
        );
        let stage = Stage::configured(Issuer::of(keys::rsa()), &config);
        let token = bearer(&Token::user());
        let fields = [("Authorization", token.as_str()), ("X-DataHub-Request-Source", "BROWSER")];
        assert_eq!(stage.gateway.get("/api/graphql", &fields).status, 200);
        let head = stage.upstream.request_to("/api/graphql").head;
        arrived(&head, "x-datahub-request-source").join(",")
    };
    assert_eq!(claimed("[127.0.0.1, \"::1\"]"), "BROWSER");
    assert_eq!(claimed("[192.0.2.0/24]"), "SDK");
}

#[test]
fn identity_fields_of_other_gateways_are_removed() {
    let names = [
        "x-goog-authenticated-user-email",
        "cf-access-authenticated-user-email",
        "x-amzn-oidc-identity",
        "x-ms-client-principal-name",
        "x-auth-request-roles",
        "x-user",
        "x-remote-user",
        "remote-user",
        "x-forwarded-client-cert",
        "client-cert",
        "proxy",
    ];
    for backend_name in ["generic", "openmetadata"] {
        let stage = backend(backend_name);
        for name in names {
            let target = format!("/api/v1/{name}");
            let head = forged(&stage, &target, &Token::user(), &[name]);
            assert_eq!(arrived(&head, name), Vec::<&str>::new(), "{backend_name} {name}");
        }
    }
}

#[test]
fn datahub_actor_is_set_if_configured_and_never_to_a_system_user() {
    let config = "backend: datahub-gms\nidentity: {datahubActor: true}\nauthentication: {publicKeyUrls: [ISSUER/jwks], principalClaims: [sub]}";
    let stage = Stage::configured(Issuer::of(keys::rsa()), config);
    let head = forged(&stage, "/aspects", &Token::user(), &["x-datahub-actor"]);
    assert_eq!(arrived(&head, "x-datahub-actor"), ["urn:li:corpuser:ada"]);
    for (name, target) in [("datahub", "/one"), ("__datahub_system", "/two"), ("DataHub", "/three")] {
        let response = stage.gateway.get_as(&Token::user().claim("sub", json!(name)), target);
        assert_eq!(response.status, 403, "{name}");
        assert_eq!(text(&stage.gateway.audit_of(target), "reason"), Some("insufficient_permissions"));
    }
    assert_eq!(stage.upstream.requests().len(), 1);
}

#[test]
fn identity_field_names_are_configurable() {
    let config = "identity: {user: X-Who, email: X-Mail, groups: X-Roles}\nauthentication: {publicKeyUrls: [ISSUER/jwks], principalClaims: [sub]}";
    let stage = Stage::configured(Issuer::of(keys::rsa()), config);
    let head = forged(&stage, "/x", &Token::user(), &["x-who", "x-mail", "x-roles"]);
    assert_eq!(arrived(&head, "x-who"), ["ada"]);
    assert_eq!(arrived(&head, "x-mail"), ["ada@open-metadata.org"]);
    assert_eq!(arrived(&head, "x-roles"), ["DataConsumer"]);
}

#[test]
fn only_configured_bots_may_impersonate() {
    let stage = Stage::plain(|setup| {
        setup
            .env("METAGATE_BACKEND", "openmetadata")
            .env("METAGATE_AUTHENTICATION__BACKEND_TOKENS", "true")
            .env("METAGATE_OPENMETADATA__IMPERSONATION__BOTS", "[Ingestion-Bot]")
    });
    let refused = |token: &Token, target: &str, detail: &str| {
        let fields = [("Authorization", &*bearer(token)), ("X-Impersonate-User", "ada")];
        assert_eq!(stage.gateway.get(target, &fields).status, 403, "{target}");
        let record = stage.gateway.audit_of(target);
        assert_eq!(text(&record, "reason"), Some("impersonation_denied"));
        assert_eq!(text(&record, "detail"), Some(detail));
    };
    let other = Token::bot().claim("email", json!("other-bot@open-metadata.org"));
    refused(
        &other,
        "/api/v1/other",
        "openmetadata.impersonation does not name this bot: it is \"other-bot\", named are [ingestion-bot]",
    );
    refused(
        &Token::bot().issuer("https://idp.test"),
        "/api/v1/idp",
        "it is not a token of openmetadata.issuer: iss is \"https://idp.test\", wanted \"open-metadata.org\"",
    );
    let endpoint = "/api/v1/users/security/token";
    refused(&Token::bot(), endpoint, "identity endpoints do not allow impersonation");
    assert_eq!(stage.upstream.requests().len(), 0);

    let bot = bearer(&Token::bot());
    let fields = [("Authorization", bot.as_str()), ("X-Impersonate-User", "ada")];
    assert_eq!(stage.gateway.get("/api/v1/bot", &fields).status, 200);
    let head = stage.upstream.request_to("/api/v1/bot").head;
    assert_eq!(arrived(&head, "x-impersonate-user"), ["ada"], "I02");

    let user = bearer(&Token::user());
    for name in spellings("x-impersonate-user") {
        let response = stage.gateway.get("/api/v1/user", &[("Authorization", &user), (&name, "admin")]);
        // Refused if OpenMetadata would read it, and otherwise at least removed.
        assert!([200, 403].contains(&response.status), "{name}: {}", response.status);
        let plain = name.eq_ignore_ascii_case("x-impersonate-user");
        assert!(!plain || response.status == 403, "{name}");
    }
    for request in stage.upstream.requests().iter().filter(|r| r.head.target() == "/api/v1/user") {
        assert_eq!(arrived(&request.head, "x-impersonate-user"), Vec::<&str>::new());
    }
}

#[test]
fn impersonation_is_refused_by_default() {
    let stage = backend("openmetadata");
    let fields = [("Authorization", &*bearer(&Token::bot())), ("X-Impersonate-User", "ada")];
    assert_eq!(stage.gateway.get("/api/v1/bot", &fields).status, 403);
    assert_eq!(stage.upstream.requests().len(), 0);
    let plain = stage.gateway.get("/api/v1/bot", &fields[..1]);
    assert_eq!(plain.status, 200, "the bot as itself");
}

#[test]
fn openmetadata_internal_fields_are_removed() {
    let names = ["x-auth-params-email", "userid", "remoteaddress", "sessionid", "x-om-introspect-auth"];
    let stage = backend("openmetadata");
    for target in ["/api/v1/tables", "/api/v1/system/version"] {
        let head = forged(&stage, target, &Token::user(), &names);
        for name in names {
            assert_eq!(arrived(&head, name), Vec::<&str>::new(), "I03 {target} {name}");
        }
    }
}

#[test]
fn persona_is_forwarded_only_with_a_verified_token() {
    let stage = backend("openmetadata");
    let token = bearer(&Token::user());
    let wish =
        [("X-OpenMetadata-Persona", "steward"), ("X_OpenMetadata_Persona", "x"), ("Authorization", &token)];
    for (target, expected) in [("/api/v1/personas", &["steward"][..]), ("/api/v1/system/version", &[])] {
        assert_eq!(stage.gateway.get(target, &wish).status, 200);
        let head = stage.upstream.request_to(target).head;
        assert_eq!(arrived(&head, "x-openmetadata-persona"), expected, "I02 {target}");
    }
}

#[test]
fn public_route_forwards_no_impersonation() {
    let stage = backend("openmetadata");
    let head = forged(&stage, "/api/v1/system/version", &Token::bot(), &["x-impersonate-user"]);
    assert_eq!(arrived(&head, "x-impersonate-user"), Vec::<&str>::new(), "I02");
}

#[test]
fn target_and_method_override_fields_are_removed() {
    let names =
        ["x-original-url", "x-rewrite-url", "x-http-method-override", "x-method-override", "x-http-method"];
    let stage = backend("generic");
    let head = forged(&stage, "/x", &Token::user(), &names);
    for name in names {
        assert_eq!(arrived(&head, name), Vec::<&str>::new(), "P16 {name}");
    }
}

#[test]
fn non_ascii_names_cannot_break_a_field() {
    let config = "authentication: {publicKeyUrls: [ISSUER/jwks], principalClaims: [sub]}";
    let stage = Stage::configured(Issuer::of(keys::rsa()), config);
    for (index, sub) in ["zoé", "名前", "a,b", "a\u{85}b", "a\u{2028}b", "x: y"].into_iter().enumerate() {
        let target = format!("/{index}");
        let token = Token::user().claim("sub", json!(sub)).claim("roles", json!([sub]));
        let response = stage.gateway.get_as(&token, &target);
        assert!([200, 401].contains(&response.status), "{sub:?}: {}", response.status);
        if response.status == 200 {
            let head = stage.upstream.request_to(&target).head;
            assert_eq!(head.problems, Vec::<String>::new(), "{sub:?}");
            let user = head.value("x-forwarded-user").expect("a user");
            assert!(user.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "I09 {sub:?}: {user:?}");
        }
    }
}
