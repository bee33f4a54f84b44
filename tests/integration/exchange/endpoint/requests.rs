//! Token requests and their responses.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{ENDPOINT, FORM, GRANT, JWT, Jobs, MAIN, claims, form, post, run};
use crate::support::gateway::{Setup, text};
use crate::support::http2::Http2Client;
use crate::support::token::{bearer, now};
use crate::support::wire::{self, Client, request_bytes};

#[test]
fn a_job_gets_a_longer_token_and_acts_with_it() {
    let jobs = Jobs::start();
    let response = jobs.request(&run());
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(
        (response.header("pragma"), response.header("content-type")),
        (Some("no-cache"), Some("application/json"))
    );
    let body = response.json();
    let kind = "urn:ietf:params:oauth:token-type:access_token";
    assert_eq!((&body["token_type"], &body["issued_token_type"]), (&json!("Bearer"), &json!(kind)));
    assert_eq!(body["expires_in"], 6 * 3600);
    let names: Vec<_> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, ["access_token", "expires_in", "issued_token_type", "token_type"]);
    let token = body["access_token"].as_str().expect("a token");
    let own = claims(token);
    assert_eq!((&own["iss"], &own["aud"]), (&json!("https://metagate.example"), &json!("metagate-jobs")));
    assert_eq!(
        (&own["sub"], &own["exchange"], &own["tokenType"]),
        (&json!(MAIN), &json!("nightly-ci"), &json!("EXCHANGED"))
    );
    let life = own["exp"].as_i64().expect("a time") - now();
    assert!((6 * 3600 - 10..=6 * 3600).contains(&life), "{life}");
    let user = json!({"name": "ingestion-bot", "isBot": true, "roles": null});
    assert_eq!(jobs.ask(token, "/api/v1/tables"), (200, user.clone()));
    // The job's own token is exchanged in the request itself, as before.
    assert_eq!(jobs.ask(&run().encode(), "/api/v1/own"), (200, user));

    let [record] = &jobs.records(1)[..] else { panic!("one record") };
    for (name, value) in [
        ("decision", "allow"),
        ("path", ENDPOINT),
        ("method", "POST"),
        ("principal", "ingestion-bot"),
        ("subject", MAIN),
        ("issuer", "github"),
        ("exchange", "nightly-ci"),
        ("kid", "rsa-1"),
    ] {
        assert_eq!(text(record, name), Some(value), "{record}");
    }
    let used = jobs.gateway.audit_of("/api/v1/tables");
    for name in ["principal", "subject", "issuer", "exchange"] {
        assert_eq!(used[name], record[name], "{used}");
    }
    assert_eq!(used["token_fingerprint"], record["issued_token_fingerprint"]);
    assert_ne!(used["token_fingerprint"], record["token_fingerprint"]);
    assert!(used.get("issued_token_fingerprint").is_none());
    // It is one request to the backend each, and none for the endpoint.
    assert_eq!(jobs.backend.upstream.requests().len(), 2);
    assert_eq!(jobs.gateway.metric("metagate_upstream_responses_total", &[("code", "200")]), 2.0);
    let labels = [("decision", "allow"), ("issuer", "github")];
    assert_eq!(jobs.gateway.metric("metagate_requests_total", &labels), 3.0);
}

/// Every refusal: its status, the `error` of the RFCs, and the reason in the audit trail.
#[test]
fn refusals_have_the_members_of_both() {
    let jobs = Jobs::start();
    let token = run().encode();
    let usual = form(&token);
    let authorization = bearer(&run());
    let json = ("Content-Type", "application/json");
    let bad = "bad_token_request";
    type Case<'c> = (&'c str, &'c str, &'c [(&'c str, &'c str)], String, u16, &'c str, &'c str);
    let cases: [Case<'_>; 15] = [
        ("POST", ENDPOINT, &[FORM], String::new(), 400, "invalid_request", bad),
        (
            "POST",
            ENDPOINT,
            &[FORM],
            format!("grant_type=client_credentials&{JWT}"),
            400,
            "unsupported_grant_type",
            bad,
        ),
        ("POST", ENDPOINT, &[FORM], format!("{usual}&subject_token={token}"), 400, "invalid_request", bad),
        ("POST", ENDPOINT, &[FORM], format!("{usual}&scope=all"), 400, "invalid_scope", bad),
        ("POST", ENDPOINT, &[FORM], format!("{usual}&audience=openmetadata"), 400, "invalid_target", bad),
        ("POST", ENDPOINT, &[FORM], format!("{usual}&actor_token={token}"), 400, "invalid_request", bad),
        ("POST", ENDPOINT, &[json], "{}".to_owned(), 400, "invalid_request", bad),
        ("POST", ENDPOINT, &[], usual.clone(), 400, "invalid_request", bad),
        ("POST", "/oauth2/token?x=1", &[FORM], usual.clone(), 400, "invalid_request", bad),
        (
            "POST",
            ENDPOINT,
            &[FORM, ("Authorization", &authorization)],
            usual.clone(),
            400,
            "invalid_request",
            "ambiguous_credentials",
        ),
        (
            "POST",
            ENDPOINT,
            &[FORM, ("Authorization", "Basic YTpi")],
            usual.clone(),
            400,
            "invalid_request",
            "ambiguous_credentials",
        ),
        ("POST", ENDPOINT, &[FORM], form("a.b"), 401, "invalid_request", "malformed_token"),
        ("POST", ENDPOINT, &[FORM], form("a%20b.c"), 401, "invalid_request", "malformed_token"),
        (
            "POST",
            ENDPOINT,
            &[FORM],
            format!("x={}", "x".repeat(21_000)),
            413,
            "invalid_request",
            "payload_too_large",
        ),
        (
            "GET",
            ENDPOINT,
            &[("Authorization", &authorization)],
            String::new(),
            405,
            "invalid_request",
            "method_not_allowed",
        ),
    ];
    for (at, (method, target, fields, body, status, error, reason)) in cases.into_iter().enumerate() {
        let response = wire::send(jobs.gateway.proxy, method, target, fields, body.as_bytes());
        let told = response.json();
        assert_eq!((response.status, &told["error"]), (status, &json!(error)), "{at}: {told}");
        assert_eq!((&told["code"], &told["error_description"]), (&json!(status), &told["message"]), "{at}");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{at}");
        assert_eq!(response.header("allow"), (status == 405).then_some("POST"), "{at}");
        let records = jobs.records(at + 1);
        assert_eq!(text(&records[at], "reason"), Some(reason), "{at}: {}", records[at]);
        assert_eq!(records[at]["status"], status, "{at}");
    }
    assert!(jobs.backend.upstream.requests().is_empty());
    assert_eq!(jobs.gateway.metric("metagate_requests_total", &[("reason", bad)]), 9.0);
}

#[test]
fn other_types_and_http2() {
    let jobs = Jobs::start();
    let kinds = [
        ("id_token", "", "access_token"),
        ("access_token", "&audience=metagate-jobs", "access_token"),
        ("jwt", "&requested_token_type=urn:ietf:params:oauth:token-type:jwt&client_id=ci&scope=", "jwt"),
    ];
    let mut http2 = Http2Client::connect(jobs.gateway.proxy);
    for (kind, more, described) in kinds {
        let token = run().encode();
        let form = format!(
            "{GRANT}&subject_token_type=urn:ietf:params:oauth:token-type:{kind}&subject_token={token}{more}"
        );
        let response = post(&jobs.gateway, &form);
        assert_eq!(response.status, 200, "{}", response.text());
        let expected = format!("urn:ietf:params:oauth:token-type:{described}");
        assert_eq!(response.json()["issued_token_type"], expected);
        let (response, mut sending) = http2.open("POST", ENDPOINT, &[FORM], false);
        // In two frames.
        let (first, second) = form.split_at(100);
        sending.send_data(Bytes::from(first.to_owned()), false).expect("a stream");
        sending.send_data(Bytes::from(second.to_owned()), true).expect("a stream");
        let body = http2.wait(async {
            let response = response.await.expect("a response");
            assert_eq!(response.status(), 200);
            let mut body = response.into_body();
            let mut whole = Vec::new();
            while let Some(data) = body.data().await {
                whole.extend(data.expect("data"));
            }
            whole
        });
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(jobs.ask(body["access_token"].as_str().expect("a token"), "/api/v1/tables").0, 200);
    }
    assert_eq!(jobs.records(6).len(), 6);
    // gRPC is refused like everything else that is no form, and not with its 200.
    let refused =
        http2.send("POST", ENDPOINT, &[("content-type", "application/grpc")], b"x").expect("a response");
    assert_eq!(refused.status, 400);
}

/// The connection goes on after a response, also if the form was in chunks or the client waited for 100 (Continue).
#[test]
fn connections_stay_open() {
    let jobs = Jobs::start();
    let usual = form(&run().encode());
    let mut client = Client::connect(jobs.gateway.proxy);
    client.send(request_bytes("POST", ENDPOINT, &[FORM], usual.as_bytes()));
    assert_eq!(client.response().expect("a response").status, 200);
    let (first, second) = usual.split_at(50);
    client.send(format!(
        "POST {ENDPOINT} HTTP/1.1\r\nHost: gateway.test\r\n{}: {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
        FORM.0,
        FORM.1,
        first.len(),
        second.len()
    ));
    assert_eq!(client.response().expect("a response").status, 200);
    let waiting = request_bytes("POST", ENDPOINT, &[FORM, ("Expect", "100-continue")], usual.as_bytes());
    let (head, body) = waiting.split_at(waiting.len() - usual.len());
    client.send(head);
    assert_eq!(client.response_head().expect("an interim response").0, 100);
    client.send(body);
    assert_eq!(client.response().expect("a response").status, 200);
    client.send(request_bytes("POST", ENDPOINT, &[FORM], b"grant_type=x"));
    assert_eq!(client.response().expect("a response").status, 400);
    client.send(request_bytes("POST", ENDPOINT, &[FORM], usual.as_bytes()));
    assert_eq!(client.response().expect("a response").status, 200);
}

/// Only the exact path is the endpoint's, and without an entry with `tokenLifetime` none is.
#[test]
fn other_paths_are_the_backends() {
    let jobs = Jobs::start();
    let usual = form(&run().encode());
    for (at, path) in
        ["/oauth2/token/", "/oauth2//token", "/oauth2/%74oken", "/oauth2/token;x=1", "/Oauth2/token"]
            .into_iter()
            .enumerate()
    {
        let response = wire::send(jobs.gateway.proxy, "POST", path, &[FORM], usual.as_bytes());
        assert_eq!(response.status, 401, "{path}: {}", response.text());
        assert_eq!(text(&jobs.gateway.audit_of(path), "reason"), Some("missing_token"), "{path}");
        let own = bearer(&run());
        let fields = [FORM, ("Authorization", &*own)];
        assert_eq!(wire::send(jobs.gateway.proxy, "POST", path, &fields, b"x=1").status, 200, "{path}");
        assert_eq!(jobs.backend.upstream.requests().len(), at + 1);
    }
    jobs.reload("    tokenLifetime: 6h\n", "");
    let own = bearer(&run());
    let fields = [FORM, ("Authorization", &*own)];
    assert_eq!(wire::send(jobs.gateway.proxy, "POST", ENDPOINT, &fields, b"x=1").status, 200);
    assert_eq!(jobs.backend.upstream.request_to(ENDPOINT).body, b"x=1");
}

#[test]
fn the_path_is_below_the_prefix() {
    let jobs = Jobs::with(", tokenEndpoint: {path: /sts}", "stripPrefix: /catalog\n");
    let usual = form(&run().encode());
    let status = |path: &str| wire::send(jobs.gateway.proxy, "POST", path, &[FORM], usual.as_bytes()).status;
    assert_eq!((status("/catalog/sts"), status("/sts"), status("/catalog/oauth2/token")), (200, 404, 401));
    assert_eq!(status("http://gateway.test/catalog/sts"), 200, "in absolute-form");
}

/// Nothing is forwarded from here, so there is nothing to report.
#[test]
fn report_mode_refuses_too() {
    let jobs = Jobs::with("", "authorization: {mode: report, public: [POST /oauth2/token]}\n");
    assert_eq!(jobs.request(&run().expires_in(-60)).status, 401);
    assert_eq!(jobs.request(&run().claim("ref", json!("refs/heads/other"))).status, 403);
    assert_eq!(jobs.request(&run()).status, 200);
    let decisions: Vec<_> = jobs.records(3).iter().map(|record| record["decision"].clone()).collect();
    assert_eq!(decisions, ["deny", "deny", "allow"]);
    assert!(jobs.backend.upstream.requests().is_empty());
}

/// Before anything is verified, and for each network on its own.
#[test]
fn requests_of_one_network_are_limited() {
    let jobs =
        Jobs::with(", tokenEndpoint: {requestsPerMinute: 1, burst: 2}", "trustedProxies: [127.0.0.1]\n");
    let forged = form(&run().signed("RS256", crate::support::keys::encryption_rsa()).encode());
    let usual = form(&run().encode());
    let from = |address: &str, form: &str| {
        let fields = [FORM, ("X-Forwarded-For", address)];
        wire::send(jobs.gateway.proxy, "POST", ENDPOINT, &fields, form.as_bytes())
    };
    assert_eq!(from("192.0.2.1", &forged).status, 401);
    assert_eq!(from("192.0.2.1", &usual).status, 200);
    let limited = from("192.0.2.1", &usual);
    assert_eq!((limited.status, &limited.json()["error"]), (429, &json!("temporarily_unavailable")));
    let wait: u64 = limited.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(from("192.0.2.2", &usual).status, 200);
    assert_eq!(from("2001:db8::1", &usual).status, 200);
    assert_eq!(from("2001:db8::2", &usual).status, 200);
    assert_eq!(from("2001:db8::3", &usual).status, 429);
    assert_eq!(text(&jobs.records(7)[2], "reason"), Some("rate_limited"));
}

/// A request waits for the first keys of an issuer, and for an unknown one, as every other does.
#[test]
fn a_rotated_key_of_the_issuer_is_fetched() {
    let jobs = Jobs::start();
    assert_eq!(jobs.request(&run()).status, 200);
    jobs._issuer.publish("/cluster", &[crate::support::keys::encryption_rsa().jwk()]);
    assert_eq!(jobs.request(&run().signed("RS256", crate::support::keys::encryption_rsa())).status, 200);
}

#[test]
fn explain_says_what_may_be_exchanged_and_what_was() {
    let jobs = Jobs::start();
    let issued = jobs.issued(&run());
    let explain = |token: &str| explain_request(&jobs, token, "GET", "/api/v1/tables");
    let explain_at = |token: &str, method: &str| explain_request(&jobs, token, method, ENDPOINT);
    let (code, step) = explain_at(&run().encode(), "POST");
    assert!(code == Some(0) && step.contains("entry nightly-ci"), "{step}");
    let (code, whole) = explain_all(&jobs, &run().encode(), "POST", ENDPOINT);
    assert!(
        code == Some(0) && whole.contains("allowed: a token is issued for it; nothing is forwarded"),
        "{whole}"
    );
    let (code, step) = explain_at(&issued, "POST");
    assert!(
        code == Some(1) && step.contains("FAILED exchange: no_mapping: a token that metagate issued"),
        "{step}"
    );
    assert_eq!(explain_at(&run().encode(), "GET").0, Some(1));
    let (code, step) = explain(&run().encode());
    assert!(
        code == Some(0) && step.contains("may be exchanged at the token endpoint for one that lives 6h"),
        "{step}"
    );
    let (code, step) = explain(&issued);
    assert!(code == Some(0) && step.contains("entry nightly-ci: acts as ingestion-bot"), "{step}");
    assert!(
        step.contains("issued at the token endpoint for a token of github") && step.contains("jti run-1"),
        "{step}"
    );
    let (code, step) = explain(&run().claim("sub", json!("inline-only")).without("ref").encode());
    assert!(code == Some(0) && !step.contains("token endpoint"), "{step}");
}

/// The exit code, and the step about the exchange or everything.
fn explain_request(jobs: &Jobs, token: &str, method: &str, path: &str) -> (Option<i32>, String) {
    let (code, whole) = explain_all(jobs, token, method, path);
    let step = whole.lines().find(|line| line.contains("exchange: ")).map(str::to_owned);
    (code, step.unwrap_or(whole))
}

fn explain_all(jobs: &Jobs, token: &str, method: &str, path: &str) -> (Option<i32>, String) {
    let file = jobs.files.path().join("token");
    std::fs::write(&file, token).expect("a file");
    let (file, config) = (file.display().to_string(), jobs.config_file().display().to_string());
    let arguments =
        ["explain", "--method", method, "--path", path, "--token-file", &file, "--config", &config];
    let setup = Setup::command(&arguments).env("METAGATE_UPSTREAM__URL", jobs.backend.upstream.url());
    let finished = setup.finish();
    assert!(!finished.stdout.contains("eyJ"), "{}", finished.stdout);
    (finished.code, finished.stdout)
}
