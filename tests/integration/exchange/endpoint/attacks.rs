//! Attacks on the exchange at the endpoint, and on issued tokens.

use serde_json::{Value, json};

use super::super::openmetadata;
use super::{ENDPOINT, FORM, Jobs, MAIN, claims, form, own, post, run};
use crate::support::gateway::text;
use crate::support::keys::{encryption_rsa, other_p256, other_rsa, rsa, spare_rsa, third_rsa};
use crate::support::token::{Token, now, parts};
use crate::support::wire;

/// None of these gets a token.
#[test]
fn tokens_that_are_not_meant_are_refused() {
    let jobs = Jobs::with(", tokenEndpoint: {requestsPerMinute: 60000, burst: 1000}", "");
    let issued = jobs.issued(&run());
    let minted = {
        assert_eq!(jobs.ask(&issued, "/api/v1/tables").0, 200);
        let head = jobs.backend.upstream.request_to("/api/v1/tables").head;
        head.value("authorization").expect("a credential").trim_start_matches("Bearer ").to_owned()
    };
    let bot = own(
        &issued,
        json!({
            "iss": "https://metagate.example", "aud": "metagate-jobs", "sub": "nightly", "jti": "b1",
            "iat": now() - 5, "exp": now() + 3600, "tokenType": "BOT"
        }),
    );
    let of_other = run().issuer("https://other.example").signed("RS256", other_rsa());
    let no_mapping = (403, "no_mapping");
    let cases: Vec<(&str, String, (u16, &str))> = vec![
        ("another repository", run().claim("repository_id", json!("4567890")).encode(), no_mapping),
        ("a pull request", run().claim("ref", json!("refs/pull/1/merge")).encode(), no_mapping),
        ("a number for a text", run().claim("repository_id", json!(456_789)).encode(), no_mapping),
        ("without the claim", run().without("ref").encode(), no_mapping),
        ("the same job of another issuer", of_other.encode(), no_mapping),
        (
            "of another issuer that names this one",
            run().signed("RS256", other_rsa()).encode(),
            (401, "unknown_key"),
        ),
        ("signed by nobody", run().signed("RS256", encryption_rsa()).encode(), (401, "unknown_key")),
        (
            "an entry that is only inline",
            run().claim("sub", json!("inline-only")).without("ref").encode(),
            no_mapping,
        ),
        (
            "for GitHub's own audience",
            run().claim("aud", json!("https://github.com/acme")).encode(),
            (401, "wrong_audience"),
        ),
        (
            "for AWS, too",
            run().claim("aud", json!(["metagate", "sts.amazonaws.com"])).encode(),
            (401, "wrong_audience"),
        ),
        (
            "for its issuer, too",
            run().claim("aud", json!(["https://github.example", "metagate"])).encode(),
            (401, "wrong_audience"),
        ),
        ("after its job", run().expires_in(-31).encode(), (401, "expired")),
        ("without an end", run().without("exp").encode(), (401, "missing_expiry")),
        ("not yet", run().claim("iat", json!(now() + 90)).encode(), (401, "not_yet_valid")),
        ("without a subject", run().without("sub").encode(), (401, "missing_principal")),
        ("an issued token", issued.clone(), no_mapping),
        ("a token of a bot that is not listed", bot.encode(), (401, "revoked")),
        ("a minted token", minted, (401, "untrusted_issuer")),
        ("the backend's own token", Token::user().signed("RS256", spare_rsa()).encode(), no_mapping),
    ];
    for (at, (what, token, (status, reason))) in cases.into_iter().enumerate() {
        let response = post(&jobs.gateway, &form(&token));
        assert_eq!(
            (response.status, &response.json()["error"]),
            (status, &json!("invalid_request")),
            "{what}"
        );
        let records = jobs.records(at + 2);
        assert_eq!(text(&records[at + 1], "reason"), Some(reason), "{what}: {}", records[at + 1]);
        assert!(records[at + 1].get("issued_token_fingerprint").is_none(), "{what}");
    }
    assert_eq!(jobs.backend.upstream.requests().len(), 1);
}

/// Neither a claim nor a parameter nor a field chooses the user, and no right of the job's token gets into the issued one.
#[test]
fn nothing_is_smuggled_into_an_issued_token() {
    let jobs = Jobs::start();
    let mut token = run();
    for name in [
        "user",
        "email",
        "preferred_username",
        "username",
        "as",
        "actorId",
        "upn",
        "exchange",
        "impersonatedUser",
    ] {
        token = token.claim(name, json!("admin"));
    }
    let token = token
        .claim("act", json!({"sub": "admin"}))
        .claim("may_act", json!({"sub": "admin"}))
        .claim("origin", json!({"iss": "https://other.example", "jti": "x"}))
        .claim("roles", json!(["Admin"]))
        .claim("groups", json!(["admins"]))
        .claim("scope", json!("admin"))
        .claim("isBot", json!(true))
        .claim("tokenType", json!("BOT"));
    let fields = [FORM, ("X-Forwarded-User", "admin"), ("X-DataHub-Actor", "urn:li:corpuser:admin")];
    let more = "&as=admin&user=admin&subject=admin&exchange=other&roles=Admin&client_id=admin";
    let body = format!("{}{more}", form(&token.encode()));
    let response = wire::send(jobs.gateway.proxy, "POST", ENDPOINT, &fields, body.as_bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    let issued = response.json()["access_token"].as_str().expect("a token").to_owned();
    let own = claims(&issued);
    assert!(!own.to_string().to_lowercase().contains("admin"), "{own}");
    let names: Vec<_> = own.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, ["aud", "exchange", "exp", "iat", "iss", "jti", "origin", "sub", "tokenType"]);
    assert_eq!(
        (&own["origin"]["iss"], &own["exchange"]),
        (&json!("https://github.example"), &json!("nightly-ci"))
    );
    assert_eq!(
        jobs.ask(&issued, "/api/v1/tables").1,
        json!({"name": "ingestion-bot", "isBot": true, "roles": null})
    );
    let head = jobs.backend.upstream.request_to("/api/v1/tables").head;
    assert_eq!(head.value("x-forwarded-user"), Some("ingestion-bot"));
    assert_eq!(head.value("x-forwarded-groups"), None);
    // It may not act as yet another user either, and does not reach the backend in a copy.
    let authorization = format!("Bearer {issued}");
    let fields = [("Authorization", &*authorization), ("X-Impersonate-User", "admin")];
    assert_eq!(jobs.gateway.get("/api/v1/impersonated", &fields).status, 403);
    let fields = [("Authorization", &*authorization), ("X-Copy", &issued), ("X-Other", "kept")];
    assert_eq!(jobs.gateway.get("/api/v1/copies", &fields).status, 200);
    let head = jobs.backend.upstream.request_to("/api/v1/copies").head;
    assert_eq!((head.value("x-copy"), head.value("x-other")), (None, Some("kept")));
    assert_ne!(head.value("authorization"), Some(&*authorization));
}

/// Its key is not listed there, and it does not name a user that the backend knows.
#[test]
fn an_issued_token_is_no_login_at_the_backend() {
    let jobs = Jobs::start();
    let issued = jobs.issued(&run());
    let direct = |token: &str| {
        let own = format!("Bearer {token}");
        wire::get(jobs.backend.upstream.address, "/api/v1/direct", &[("Authorization", &own)])
    };
    let response = direct(&issued);
    assert_eq!(
        (response.status, response.text().contains("no such key")),
        (401, true),
        "{}",
        response.text()
    );
    // The model takes what metagate sends.
    assert_eq!(jobs.ask(&issued, "/api/v1/tables").0, 200);
    let head = jobs.backend.upstream.request_to("/api/v1/tables").head;
    let minted = head.value("authorization").expect("a credential").to_owned();
    assert_eq!(direct(minted.trim_start_matches("Bearer ")).status, 200);
    // The public key is published nowhere.
    let published: Value = jobs.gateway.probe("/mint/jwks.json").json();
    let kid = openmetadata::object(parts(&issued).0).expect("a header")["kid"].clone();
    assert_eq!(published["keys"].as_array().expect("a list").len(), 1);
    assert_ne!(published["keys"][0]["kid"], kid);
    assert!(!published.to_string().contains("P-256"));
}

/// Tokens that look like issued ones; the last ones even have the right signature.
#[test]
fn forged_and_foreign_tokens_are_not_issued_ones() {
    let jobs = Jobs::start();
    let issued = jobs.issued(&run());
    let good = claims(&issued);
    let with = |more: Value| own(&issued, super::with(good.clone(), more));
    assert_eq!(jobs.ask(&with(json!({})).encode(), "/api/v1/good").0, 200, "as it is signed in this test");
    let no_mapping = (403, "no_mapping");
    let signed = |alg: &str, key: &'static crate::support::keys::Key| {
        let header = openmetadata::object(parts(&issued).0).expect("a header")["kid"].clone();
        with(json!({})).signed(alg, key).header("kid", header).header("typ", json!("at+jwt"))
    };
    let cases: Vec<(&str, Token, (u16, &str))> = vec![
        ("another key with its kid", signed("ES256", other_p256()), (401, "invalid_signature")),
        ("the job's issuer", signed("RS256", rsa()), (401, "algorithm_not_allowed")),
        ("the key for the backend", signed("RS256", third_rsa()), (401, "algorithm_not_allowed")),
        ("of another type", with(json!({})).header("typ", json!("JWT")), (401, "malformed_token")),
        ("without a type", with(json!({})).without_header("typ"), (401, "malformed_token")),
        ("after its end", with(json!({"exp": now() - 31})), (401, "expired")),
        ("without an end", with(json!({})).without("exp"), (401, "missing_expiry")),
        ("for the job's audience", with(json!({"aud": "metagate"})), (401, "wrong_audience")),
        (
            "for AWS, too",
            with(json!({"aud": ["metagate-jobs", "sts.amazonaws.com"]})),
            (401, "wrong_audience"),
        ),
        ("of no kind", with(json!({"tokenType": "OM_USER"})), (401, "malformed_token")),
        ("of another entry", with(json!({"exchange": "inline"})), no_mapping),
        ("of no entry", with(json!({"exchange": "admin"})), no_mapping),
        (
            "for another issuer's token",
            with(json!({"origin": origin(&good, json!({"iss": "https://other.example"}))})),
            no_mapping,
        ),
        (
            "for a pull request",
            with(
                json!({"origin": origin(&good, json!({"claims": {"repository_id": "456789", "ref": "refs/pull/1/merge"}}))}),
            ),
            no_mapping,
        ),
        ("without what it was issued for", with(json!({})).without("origin"), no_mapping),
    ];
    let before = jobs.backend.upstream.requests().len();
    for (at, (what, token, (status, reason))) in cases.into_iter().enumerate() {
        let refused = jobs.refusal(&token.encode(), &format!("/api/v1/forged/{at}"));
        assert_eq!(refused, (status, reason.to_owned()), "{what}");
    }
    assert_eq!(jobs.backend.upstream.requests().len(), before);
    // A job's issuer does not speak for metagate's.
    let claimed = run().claim("tokenType", json!("EXCHANGED")).claim("exchange", json!("nightly-ci"));
    let claimed = claimed.claim("origin", good["origin"].clone()).claim("ref", json!("refs/heads/evil"));
    assert_eq!(jobs.refusal(&claimed.encode(), "/api/v1/claimed"), (403, "no_mapping".to_owned()));
}

fn origin(good: &Value, more: Value) -> Value {
    super::with(good["origin"].clone(), more)
}

/// Rules are about the user and the job's issuer, whichever of the two tokens is sent.
#[test]
fn an_exchange_does_not_evade_rules() {
    let rules = "authorization:
  rules:
    - {name: jobs-delete-nothing, match: {methods: [DELETE], issuers: [github]}, action: deny}
    - {name: admins, match: {paths: [/api/v1/admin/**]}, require: {anyRole: [Admin]}}
    - {name: ci, match: {paths: [/api/v1/ci/**]}, require: {issuers: [github], principals: [ingestion-bot]}}
    - {name: main, match: {paths: [/api/v1/main/**]}, require: {claims: {sub: ['repo:acme/docs@456789:ref:refs/heads/main']}}}
    - {name: metagates, match: {paths: [/api/v1/own/**]}, require: {issuers: [metagate]}}
";
    let jobs = Jobs::with("", rules);
    let job = run().claim("roles", json!(["Admin"]));
    let issued = jobs.issued(&job);
    for (token, what) in [(job.encode(), "the job's"), (issued, "the issued")] {
        let authorization = format!("Bearer {token}");
        let status = |method: &str, path: &str| {
            let fields = [("Authorization", &*authorization)];
            wire::send(jobs.gateway.proxy, method, path, &fields, b"").status
        };
        assert_eq!(status("DELETE", "/api/v1/tables/x"), 403, "{what}");
        assert_eq!(status("GET", "/api/v1/admin/x"), 403, "{what}");
        assert_eq!(status("GET", "/api/v1/ci/x"), 200, "{what}");
        assert_eq!(status("GET", "/api/v1/main/x"), 200, "{what}");
        assert_eq!(status("GET", "/api/v1/own/x"), 403, "{what}");
    }
    let record = jobs.gateway.audit_of("/api/v1/admin/x");
    assert_eq!((text(&record, "rule"), text(&record, "subject")), (Some("admins"), Some(MAIN)));
}

/// Clocks of the job's issuer, and of another replica, may differ by half a minute.
#[test]
fn clocks_may_differ_by_half_a_minute() {
    let jobs = Jobs::start();
    for ahead in [-25, 25] {
        let job = run().claim("iat", json!(now() + ahead)).claim("nbf", json!(now() + ahead));
        let issued = jobs.issued(&job);
        let shifted = |name: &str| json!(claims(&issued)[name].as_i64().expect("a time") + ahead);
        // As a replica whose clock differs would have issued it.
        let of_replica =
            own(&issued, claims(&issued)).claim("iat", shifted("iat")).claim("exp", shifted("exp"));
        assert_eq!(jobs.ask(&of_replica.encode(), "/api/v1/tables").0, 200, "{ahead}");
        for clock in [-30, 30] {
            jobs.backend.change(|database| database.clock = clock);
            assert_eq!(jobs.ask(&issued, "/api/v1/clock").0, 200, "{ahead} {clock}");
        }
        jobs.backend.change(|database| database.clock = 0);
    }
    // A job that has just ended, by the leeway.
    assert_eq!(jobs.request(&run().expires_in(-20)).status, 200);
    // An issued token that has just ended.
    let issued = jobs.issued(&run());
    let ended = own(&issued, claims(&issued)).claim("exp", json!(now() - 20));
    assert_eq!(jobs.gateway.get_with(&ended.encode(), "/api/v1/ended").status, 200);
}
