//! Attacks on the mapping, and on the two tokens of a request.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::gms::Gms;
use super::{SPARK, Scene, directory, issuer, minted, run_of_ci, workload};
use crate::support::gateway::{Setup, text};
use crate::support::keys::{DATAHUB_SECRET, encryption_rsa, other_rsa};
use crate::support::token::{Token, bearer, now, parts};

/// Every one of these is refused before the backend.
#[test]
fn tokens_that_are_not_meant_are_refused() {
    let scene = Scene::plain();
    let of_other =
        |subject: &str| workload(subject).issuer("https://other.example").signed("RS256", other_rsa());
    let no_mapping = (403, "no_mapping");
    let wrong_audience = (401, "wrong_audience");
    let cases: Vec<(&str, Token, (u16, &str))> = vec![
        ("another subject of the issuer", workload("system:serviceaccount:spark:other"), no_mapping),
        ("a subject that begins alike", workload(&format!("{SPARK}2")), no_mapping),
        ("a subject in another case", workload(&SPARK.to_uppercase()), no_mapping),
        ("the same subject of another issuer", of_other(SPARK), no_mapping),
        (
            "another issuer that names this one",
            workload(SPARK).signed("RS256", other_rsa()),
            (401, "unknown_key"),
        ),
        ("another branch", run_of_ci().claim("ref", json!("refs/heads/evil")), no_mapping),
        ("a pull request", run_of_ci().claim("ref", json!("refs/pull/1/merge")), no_mapping),
        ("another repository", run_of_ci().claim("repository_id", json!("4567890")), no_mapping),
        ("a number for a text", run_of_ci().claim("repository_id", json!(456_789)), no_mapping),
        ("a text for a boolean", run_of_ci().claim("protected", json!("true")), no_mapping),
        ("no such claim", run_of_ci().without("protected"), no_mapping),
        ("null", run_of_ci().claim("ref", json!(null)), no_mapping),
        ("for AWS", workload(SPARK).claim("aud", json!("sts.amazonaws.com")), wrong_audience),
        (
            "for AWS too",
            workload(SPARK).claim("aud", json!(["metagate", "sts.amazonaws.com"])),
            wrong_audience,
        ),
        (
            "for the API server too",
            workload(SPARK).claim("aud", json!(["https://kubernetes.default.svc", "metagate"])),
            wrong_audience,
        ),
        (
            "for its issuer too",
            workload(SPARK).claim("aud", json!(["metagate", "https://cluster.example"])),
            wrong_audience,
        ),
        ("replayed after its end", workload(SPARK).expires_in(-60), (401, "expired")),
        ("without an end", workload(SPARK).without("exp"), (401, "missing_expiry")),
        ("signed by nobody", workload(SPARK).signed("RS256", encryption_rsa()), (401, "unknown_key")),
    ];
    for (at, (what, token, (status, reason))) in cases.into_iter().enumerate() {
        assert_eq!(
            scene.refusal(&token, &format!("/api/v1/attack/{at}")),
            (status, reason.to_owned()),
            "{what}"
        );
    }
    assert_eq!(scene.ask(&workload(SPARK)).0, 200);
}

/// A token that was copied from a job that has ended.
#[test]
fn a_revoked_workload_gets_no_credential() {
    let files = directory();
    let list = files.path().join("revoked.yaml");
    std::fs::write(&list, format!("- jti: id-of-{SPARK}\n")).expect("a list");
    let more = format!("authorization: {{default: allow}}\n# {}\n", list.display());
    let (issuer, backend) = (issuer(), super::OpenMetadata::start());
    super::write_key(&files.path().join("1.pem"), crate::support::keys::third_rsa());
    let config = super::config(&issuer, &files, &more);
    let setup = Setup::run()
        .env("METAGATE_UPSTREAM__URL", backend.upstream.url())
        .env("METAGATE_AUTHENTICATION__REVOCATIONS__FILE", list.display().to_string());
    let gateway = setup.config(config).start();
    gateway.wait_ready();
    assert_eq!(gateway.get_as(&workload(SPARK), "/api/v1/revoked").status, 401);
    let record = gateway.audit_of("/api/v1/revoked");
    assert_eq!((text(&record, "reason"), text(&record, "subject")), (Some("revoked"), Some(SPARK)));
    // An identity that is not mapped either is still told that its token was revoked.
    assert!(backend.upstream.requests().is_empty());
}

/// The user is the one of the configuration, whatever the token says.
#[test]
fn no_claim_chooses_the_user() {
    let scene = Scene::plain();
    let mut token = workload(SPARK);
    for name in [
        "user",
        "email",
        "preferred_username",
        "username",
        "name",
        "as",
        "actorId",
        "upn",
        "impersonatedUser",
    ] {
        token = token.claim(name, json!("admin"));
    }
    let token = token
        .claim("act", json!({"sub": "admin"}))
        .claim("isBot", json!(true))
        .claim("tokenType", json!("BOT"));
    let own = bearer(&token);
    let fields = [
        ("Authorization", &*own),
        ("X-Forwarded-User", "admin"),
        ("X-DataHub-Actor", "urn:li:corpuser:admin"),
        ("X-Auth-Params-Email", "admin@open-metadata.org"),
    ];
    let response = scene.gateway.get("/api/v1/tables", &fields);
    let body: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(body["name"], "lineage-bot");
    let head = scene.sent("/api/v1/tables");
    assert_eq!(head.value("x-forwarded-user"), Some("lineage-bot"));
    assert!(!minted(&head).values().any(|value| value.to_string().contains("admin")));
    // It may not act as yet another user either.
    let fields = [("Authorization", &*own), ("X-Impersonate-User", "admin")];
    assert_eq!(scene.gateway.get("/api/v1/impersonated", &fields).status, 403);
}

/// It would be a login at the backend, and is none here.
#[test]
fn a_minted_token_is_refused_by_metagate_itself() {
    let scene = Scene::plain();
    assert_eq!(scene.ask(&workload(SPARK)).0, 200);
    let head = scene.sent("/api/v1/tables");
    let credential = head.value("authorization").expect("a credential");
    assert_eq!(scene.gateway.get("/api/v1/replayed", &[("Authorization", credential)]).status, 401);
    let record = scene.gateway.audit_of("/api/v1/replayed");
    assert_eq!(text(&record, "reason"), Some("untrusted_issuer"));
    assert_eq!(scene.backend.upstream.requests().len(), 1);
}

/// Both backends compare `exp` without tolerance.
#[test]
fn clocks_may_differ_by_half_a_minute() {
    let scene = Scene::plain();
    for (ahead, path) in [(30, "/api/v1/ahead"), (-30, "/api/v1/behind")] {
        scene.backend.change(|database| database.clock = ahead);
        assert_eq!(scene.gateway.get_as(&workload(SPARK), path).status, 200, "{ahead}");
        // The issuer's clock may differ from metagate's as well.
        let token = workload(&format!("{SPARK}{ahead}"))
            .claim("iat", json!(now() + ahead))
            .claim("nbf", json!(now() + ahead));
        assert_eq!(scene.refusal(&token, &format!("{path}/unmapped")).1, "no_mapping");
    }
}

/// In front of DataHub, with a model of GMS.
#[test]
fn datahub_takes_minted_tokens() {
    let (issuer, gms) = (issuer(), Gms::start());
    let config = |kind: &str| {
        format!(
            "backend: datahub-gms
authentication:
  issuers:
    - {{name: cluster, issuer: https://cluster.example, publicKeyUrls: ['{}'], audiences: [metagate]}}
mint: {{issuer: 'https://metagate.example/backend', datahub: {{signingKey: {DATAHUB_SECRET}, tokenType: {kind}}}}}
exchange:
  - name: spark
    from: {{issuer: cluster, subjects: ['{SPARK}']}}
    as: {{user: service_6f0c1c55-0b6e-4c7e-a7a5-0d8f5c1b2a3e}}
  - name: gone
    from: {{issuer: cluster, subjects: [gone]}}
    as: {{user: service_gone}}
",
            issuer.url("/cluster")
        )
    };
    for (kind, word) in [("serviceAccount", "SERVICE_ACCOUNT"), ("session", "SESSION")] {
        let setup = Setup::run().env("METAGATE_UPSTREAM__URL", gms.upstream.url());
        let gateway = setup.config(config(kind)).start();
        gateway.wait_ready();
        let path = format!("/openapi/v3/entity/{kind}");
        let response = gateway.get_as(&workload(SPARK), &path);
        assert_eq!(
            response.text(),
            r#"{"actor":"urn:li:corpuser:service_6f0c1c55-0b6e-4c7e-a7a5-0d8f5c1b2a3e"}"#
        );
        let head = gms.upstream.request_to(&path).head;
        let claims = minted(&head);
        assert_eq!((&claims["version"], &claims["type"]), (&json!("1"), &json!(word)));
        assert_ne!(claims["iss"], "datahub-metadata-service");
        // A user that does not exist is refused by the backend, and that is what the client sees.
        assert_eq!(gateway.get_as(&workload("gone"), "/openapi/v3/gone").status, 401);
        assert_eq!(gateway.get_as(&workload("other"), "/openapi/v3/other").status, 403);
        // A token that DataHub signs by itself is none of metagate's: it has no entry for it.
        assert_eq!(gateway.get_as(&Token::datahub(), "/openapi/v3/own").status, 401);
        let credential = head.value("authorization").expect("a credential").to_owned();
        assert_eq!(gateway.get("/openapi/v3/replayed", &[("Authorization", &credential)]).status, 401);
        for ahead in [30, -30] {
            gms.clock.store(ahead, Ordering::SeqCst);
            assert_eq!(gateway.get_as(&workload(SPARK), "/openapi/v3/clock").status, 200, "{ahead}");
        }
        gms.clock.store(0, Ordering::SeqCst);
        assert!(!gateway.stderr().concat().contains(parts(&credential).2));
    }
}
