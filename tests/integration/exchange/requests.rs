//! What reaches the backend, the audit trail and the client.

use serde_json::{Value, json};

use super::{SPARK, Scene, minted, run_of_ci, workload};
use crate::support::gateway::Setup;
use crate::support::token::{Token, bearer, now, parts};
use crate::support::wire::{self, Client, request_bytes};

#[test]
fn a_workload_acts_as_its_user() {
    let scene = Scene::with("identity: {headers: {X-Tenant: tenant}}\n");
    let token = workload(SPARK)
        .claim("roles", json!(["Admin"]))
        .claim("groups", json!(["admins"]))
        .claim("email", json!("boss@corp.example"))
        .claim("tenant", json!("acme"));
    assert_eq!(scene.ask(&token), (200, json!({"name": "lineage-bot", "isBot": true, "roles": null})));
    let head = scene.sent("/api/v1/tables");
    assert_eq!(head.value("x-forwarded-user"), Some("lineage-bot"));
    assert_eq!(head.value("x-forwarded-email"), Some("lineage-bot@open-metadata.org"));
    assert_eq!((head.value("x-forwarded-groups"), head.value("x-tenant")), (None, None));
    let claims = minted(&head);
    assert_eq!(claims["iss"], "https://metagate.example/backend");
    assert_eq!(
        (&claims["sub"], &claims["email"]),
        (&json!("lineage-bot"), &json!("lineage-bot@open-metadata.org"))
    );
    for name in ["roles", "groups", "isBot", "tokenType", "sessionId", "tenant", "scope"] {
        assert!(!claims.contains_key(name), "{name}: {claims:?}");
    }
    let life = claims["exp"].as_i64().expect("a time") - now();
    assert!((240..=300).contains(&life), "{life}");
    let record = scene.gateway.audit_of("/api/v1/tables");
    for (name, value) in [
        ("decision", "allow"),
        ("principal", "lineage-bot"),
        ("subject", SPARK),
        ("issuer", "cluster"),
        ("exchange", "spark"),
        ("token_class", "user"),
    ] {
        assert_eq!(record[name], value, "{record}");
    }
    let mapped = scene.ask(&run_of_ci());
    assert_eq!(mapped.1["name"], "ingestion-bot");
    // OpenMetadata's own tokens are not affected.
    let user = Token::user().signed("RS256", crate::support::keys::spare_rsa());
    assert_eq!(scene.gateway.get_as(&user, "/api/v1/own").status, 200);
    let own = scene.gateway.audit_of("/api/v1/own");
    assert_eq!(own["principal"], "ada");
    assert!(own.get("exchange").is_none() && own.get("subject").is_none(), "{own}");
}

/// The minted token is kept: it is signed once, and OpenMetadata asks for the keys once.
#[test]
fn further_requests_use_the_same_credential() {
    let scene = Scene::plain();
    let token = workload(SPARK);
    let credential = |path: &str| {
        assert_eq!(scene.gateway.get_as(&token, path).status, 200);
        scene.sent(path).value("authorization").map(str::to_owned)
    };
    let first = credential("/api/v1/first");
    for path in ["/api/v1/second", "/api/v1/third"] {
        assert_eq!(credential(path), first);
    }
    // A renewed token of the same workload, too.
    let again = workload(SPARK).claim("jti", json!("another"));
    assert_eq!(scene.gateway.get_as(&again, "/api/v1/again").status, 200);
    assert_eq!(scene.sent("/api/v1/again").value("authorization").map(str::to_owned), first);
    assert_eq!(scene.backend.database.lock().expect("no poisoned lock").fetches, 1);
}

/// The client's token does not travel on, wherever it was copied to.
#[test]
fn no_field_has_the_clients_token() {
    let scene = Scene::plain();
    let token = workload(SPARK);
    let (text, own) = (token.encode(), bearer(&token));
    let cookie = format!("a=b; token={text}");
    let fields = [
        ("Authorization", &*own),
        ("X-Copy", &text),
        ("X-Copy", &own),
        ("Cookie", &cookie),
        ("Cookie", "kept=yes"),
        ("X-Amzn-Oidc-Accesstoken", &text),
        ("Authorization_", &own),
        ("X-Other", "kept"),
    ];
    assert_eq!(scene.gateway.get("/api/v1/copies", &fields).status, 200);
    let raw = scene.backend.upstream.raw(0);
    let raw = String::from_utf8_lossy(&raw);
    assert!(!raw.contains(&text) && !raw.contains(parts(&text).2), "{raw}");
    let head = scene.sent("/api/v1/copies");
    assert_eq!((head.value("x-other"), head.value("cookie")), (Some("kept"), Some("kept=yes")));

    let target = format!("/api/v1/copies?access_token={text}");
    let response = scene.gateway.get(&target, &[("Authorization", &own)]);
    assert_eq!(response.status, 400);
    assert_eq!(scene.backend.upstream.requests().len(), 1);
}

/// On a public route and in report mode a token is not verified, or is forwarded although it was refused.
#[test]
fn tokens_that_were_not_verified_do_not_go_on_either() {
    let scene = Scene::with("authorization: {mode: report, public: [GET /open]}\n");
    let expired = workload(SPARK).expires_in(-600);
    let unknown = workload(SPARK).signed("RS256", crate::support::keys::encryption_rsa());
    let leaked = {
        assert_eq!(scene.ask(&workload(SPARK)).0, 200);
        let head = scene.sent("/api/v1/tables");
        head.value("authorization").expect("a credential").to_owned()
    };
    let own = Token::user().signed("RS256", crate::support::keys::spare_rsa()).expires_in(-600);
    let get = |path: &str, value: &str| {
        scene.gateway.get(path, &[("Authorization", value), ("X-Copy", value)]);
        let head = scene.sent(path);
        (head.value("authorization").is_some(), head.value("x-copy").is_some())
    };
    for (at, value) in
        [&bearer(&workload(SPARK)), &bearer(&expired), &bearer(&unknown), &leaked].into_iter().enumerate()
    {
        assert_eq!(get(&format!("/open?{at}"), value), (false, false), "{at}");
    }
    for (at, value) in
        [&bearer(&expired), &bearer(&unknown), &leaked, "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYS0xIn0.e30"]
            .into_iter()
            .enumerate()
    {
        assert_eq!(get(&format!("/api/v1/reported/{at}"), value), (false, false), "{at}");
    }
    // Tokens of other issuers are reported and forwarded as before.
    assert_eq!(get("/api/v1/reported/own", &bearer(&own)), (true, true));
    // An identity without a user is refused in report mode too.
    assert_eq!(
        scene.refusal(&workload("system:serviceaccount:spark:other"), "/api/v1/unmapped").1,
        "no_mapping"
    );
}

/// Nothing that metagate writes has the minted token in it, and neither have the fields of a response.
#[test]
fn the_minted_token_does_not_come_back() {
    let scene = Scene::plain();
    let mut client = Client::connect(scene.gateway.proxy);
    let authorization = bearer(&workload(SPARK));
    client.send(request_bytes("GET", "/api/v1/echo", &[("Authorization", &authorization)], b""));
    // There is an interim response before it, which has the token, too.
    let (status, fields) = client.response_head().expect("a response");
    assert_eq!((status, fields.value("x-other")), (200, Some("kept")));
    assert_eq!((fields.value("x-seen"), fields.value("set-cookie")), (None, None));
    let head = scene.sent("/api/v1/echo");
    let token =
        head.value("authorization").expect("a credential").rsplit(' ').next().expect("a token").to_owned();
    let pages = [
        scene.gateway.probe("/metrics").text(),
        scene.gateway.ask_admin("GET", "/status", &[crate::support::gateway::DELIBERATE]).text(),
        scene.gateway.ask_admin("GET", "/refusals", &[crate::support::gateway::DELIBERATE]).text(),
        scene.gateway.stderr().concat(),
    ];
    for page in pages {
        assert!(!page.contains(&token) && !page.contains(parts(&token).2), "{page}");
    }
}

#[test]
fn rules_see_the_user_without_roles() {
    let rules = "authorization:
  rules:
    - {name: admins, match: {paths: [/api/v1/admin/**]}, require: {anyRole: [Admin]}}
    - {name: bots, match: {paths: [/api/v1/bots/**]}, require: {principals: [lineage-bot], issuers: [cluster]}}
    - {name: account, match: {paths: [/api/v1/jobs/**]}, require: {claims: {sub: ['system:serviceaccount:spark:lineage']}}}
    - {name: people, match: {paths: [/api/v1/people/**]}, when: \"token.principal == claims.sub\"}
";
    let scene = Scene::with(rules);
    let token = workload(SPARK).claim("roles", json!(["Admin"]));
    for (path, status) in [
        ("/api/v1/admin/x", 403),
        ("/api/v1/bots/x", 200),
        ("/api/v1/jobs/x", 200),
        ("/api/v1/people/x", 403),
    ] {
        assert_eq!(scene.gateway.get_as(&token, path).status, status, "{path}");
    }
    let record = scene.gateway.audit_of("/api/v1/admin/x");
    assert_eq!(
        (&record["rule"], &record["principal"], &record["exchange"]),
        (&json!("admins"), &json!("lineage-bot"), &json!("spark"))
    );
}

#[test]
fn an_unmapped_identity_is_told_so_and_counted() {
    let scene = Scene::plain();
    let labels = [("reason", "no_mapping"), ("issuer", "cluster")];
    assert_eq!(scene.gateway.metric("metagate_requests_total", &labels), 0.0);
    let series = scene.gateway.probe("/metrics").text();
    for reason in ["no_mapping", "credential_unavailable"] {
        assert!(series.contains(&format!("reason=\"{reason}\"")), "{reason} does not exist from the start");
    }
    let token = workload("system:serviceaccount:spark:other");
    let response = scene.gateway.get_as(&token, "/api/v1/unmapped");
    let body: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(body, json!({"code": 403, "message": "This identity is not mapped to a user of the backend"}));
    let record = scene.gateway.audit_of("/api/v1/unmapped");
    let detail = record["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("system:serviceaccount:spark:other") && detail.contains("; spark: sub is none of"),
        "{detail}"
    );
    assert_eq!(
        (&record["issuer"], &record["principal"]),
        (&json!("cluster"), &json!("system:serviceaccount:spark:other"))
    );
    assert_eq!(scene.gateway.metric("metagate_requests_total", &labels), 1.0);
}

/// The head is the same over HTTP/1 with a body, and a request with one is forwarded with the credential.
#[test]
fn writes_go_on_with_their_body() {
    let scene = Scene::plain();
    let own = bearer(&workload(SPARK));
    let fields = [("Authorization", &*own), ("Content-Type", "application/json")];
    let response = wire::send(scene.gateway.proxy, "PUT", "/api/v1/tables", &fields, b"{\"name\":\"t\"}");
    assert_eq!(response.status, 200);
    let received = scene.backend.upstream.request_to("/api/v1/tables");
    assert_eq!((received.head.method(), &*received.body), ("PUT", &b"{\"name\":\"t\"}"[..]));
}

#[test]
fn explain_shows_the_user_and_the_claims_that_go_on() {
    let scene = Scene::plain();
    let file = scene.files.path().join("token");
    let explain = |token: &Token| {
        std::fs::write(&file, token.encode()).expect("a file");
        let arguments =
            ["explain", "--path", "/api/v1/tables", "--token-file", file.to_str().expect("a path")];
        let setup = Setup::command(&arguments).env("METAGATE_UPSTREAM__URL", scene.backend.upstream.url());
        setup.config(super::config(&scene.issuer, &scene.files, "")).finish()
    };
    let mapped = explain(&workload(SPARK));
    assert_eq!(mapped.code, Some(0), "{}", mapped.stderr);
    let line = mapped.stdout.lines().find(|line| line.contains("exchange: ")).expect("the step");
    for part in
        ["entry spark: acts as lineage-bot <lineage-bot@open-metadata.org>", "\"sub\":\"lineage-bot\""]
    {
        assert!(line.contains(part), "{line}");
    }
    assert!(!mapped.stdout.contains("eyJ"), "{}", mapped.stdout);
    let other = explain(&workload("system:serviceaccount:spark:other"));
    assert_eq!(other.code, Some(1));
    assert!(other.stdout.contains("FAILED exchange: no_mapping: "), "{}", other.stdout);
}
