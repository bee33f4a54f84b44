//! The process from its operator's view: probes, metrics, audit records, signals and commands.

#[cfg(target_os = "linux")]
mod aborted;
mod audit_output;
mod commands;
mod demo;
mod draining;
mod explain;
mod introspection;
mod jobs;
mod jobs_pages;
mod jobs_tls;
mod json;
mod keys_in_time;
mod log_output;
mod mint;
mod preflight;
mod quit;
mod reload;
mod revocation;
mod revocation_endpoint;
mod revocation_sources;
mod socket_files;
mod supervised;
mod top;

use crate::support::eventually;
use crate::support::gateway::{Setup, text};
use crate::support::issuer::{Issuer, JWKS, Reply};
use crate::support::keys;
use crate::support::metrics;
use crate::support::stage::Stage;
use crate::support::stub::{Gate, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::{self, Client, request_bytes};

#[test]
fn livez_needs_no_keys_and_readyz_stays_ready_once_they_came() {
    let gate = Gate::default();
    let issuer = Issuer::empty();
    let keys = Reply::Json(keys::key_set(&[keys::rsa().jwk()]));
    issuer.set(JWKS, Reply::Held(gate.clone(), Box::new(keys)));
    let upstream = Upstream::echo();
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", upstream.url())
        .start();
    issuer.wait_hits(JWKS, 1);
    assert_eq!(gateway.probe("/livez").status, 200);
    let readiness = gateway.probe("/readyz");
    assert_eq!((readiness.status, &*readiness.text()), (503, "waiting for keys of public-keys\n"));
    gate.open();
    gateway.wait_ready();
    assert_eq!(gateway.probe("/livez").status, 200);

    // Readiness is a one-way latch: losing the issuer later does not reset it.
    issuer.set(JWKS, Reply::Status(500, vec![], String::new()));
    // It is unknown whether this key exists.
    assert_eq!(gateway.get_as(&Token::user().signed("RS256", keys::other_rsa()), "/x").status, 503);
    assert_eq!(gateway.probe("/readyz").status, 200);
    assert_eq!(gateway.get_as(&Token::user(), "/x").status, 200, "A02: cached keys still verify");
}

#[test]
fn probes_are_only_on_the_health_listener() {
    let stage = Stage::plain(|setup| setup);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(stage.gateway.get(path, &[]).status, 401, "{path} on the data listener");
    }
    assert_ne!(stage.gateway.probe("/api/v1/tables").status, 200, "A30: the health listener never proxies");
    assert_eq!(stage.upstream.requests().len(), 0);
}

#[test]
fn readiness_does_not_wait_for_keys_of_the_upstream_itself() {
    // OpenMetadata is its own issuer and still starting.
    let gate = Gate::default();
    let held = gate.clone();
    let path = "/api/v1/system/config/jwks";
    let upstream = Upstream::scripted(move |exchange| {
        if exchange.request.head.target() == path {
            exchange.hold(&held);
            return exchange.reply(200, &[], keys::key_set(&[keys::rsa().jwk_openmetadata()]));
        }
        echo(exchange)
    });
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}{path}]", upstream.url()))
        .env("METAGATE_UPSTREAM__URL", upstream.url())
        .env("METAGATE_BACKEND", "openmetadata")
        .start();
    gateway.wait_ready();
    assert_eq!(gateway.get("/api/v1/tables", &[]).status, 401);
    let mut client = Client::connect(gateway.proxy);
    client.send(request_bytes("GET", "/api/v1/tables", &[("Authorization", &bearer(&Token::bot()))], b""));
    gate.open();
    assert_eq!(client.response().expect("a response").status, 200, "A32: held until the keys came");
}

#[test]
fn metrics_have_a_decision_for_public_requests_and_the_format_that_is_asked_for() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_AUTHORIZATION__PUBLIC", "[/open]"));
    let gateway = &stage.gateway;
    assert_eq!(gateway.get("/open", &[]).status, 200);
    let total = |labels: &[(&str, &str)]| gateway.metric("metagate_requests_total", labels);
    eventually("the request to be counted", || (total(&[("decision", "public")]) == 1.0).then_some(()));
    assert_eq!((total(&[]), total(&[("decision", "allow")])), (1.0, 0.0));
    assert_eq!(gateway.audit_of("/open")["decision"], "public");
    let page = gateway.probe("/metrics").text();
    for sample in [
        "metagate_requests_total{decision=\"deny\",reason=\"expired\",issuer=\"public-keys\",rule=\"\"} 0",
        "metagate_would_deny_total",
    ] {
        assert_eq!(page.contains(sample), sample.contains("expired"), "{sample}: {page}");
    }
    let accept = ("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let response = wire::get(gateway.health, "/metrics", &[accept]);
    assert_eq!(
        response.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(response.text().ends_with("# EOF\n"));
}

#[test]
fn metrics_count_requests_and_have_type_and_help() {
    let stage = Stage::plain(|setup| setup);
    let gateway = &stage.gateway;
    for index in 0..3 {
        gateway.get_as(&Token::bot(), &format!("/good/{index}"));
    }
    gateway.get("/none", &[]);
    gateway.get_with("abc", "/bad");
    let total = |labels: &[(&str, &str)]| gateway.metric("metagate_requests_total", labels);
    eventually("five requests to be counted", || (total(&[]) == 5.0).then_some(()));
    assert_eq!(total(&[("reason", "missing_token")]), 1.0);
    assert_eq!(total(&[("reason", "malformed_token")]), 1.0);
    assert_eq!(total(&[("decision", "deny")]), 2.0);
    assert_eq!(total(&[("decision", "allow")]), 3.0);
    assert!(gateway.metric("metagate_jwks_keys", &[]) >= 1.0);
    assert!(gateway.metric("metagate_jwks_fetches_total", &[]) >= 1.0);
    assert!(gateway.metric("metagate_jwks_last_success_timestamp_seconds", &[]) > 1.7e9);
    assert_eq!(gateway.metric("metagate_request_duration_seconds_count", &[]), 5.0);
    assert_eq!(gateway.metric("metagate_upstream_responses_total", &[("code", "200")]), 3.0);

    let response = gateway.probe("/metrics");
    let kind = response.header("content-type").expect("a content type");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let page = response.text();
    let types = metrics::announced(&page, "TYPE");
    let helps = metrics::announced(&page, "HELP");
    let labels = ["decision", "reason", "issuer", "rule"];
    for sample in metrics::parse(&page) {
        let base = |suffix: &str| sample.name.strip_suffix(suffix).unwrap_or(&sample.name).to_owned();
        let names = ["", "_total", "_bucket", "_sum", "_count", "_info"].map(base);
        for (word, announced) in [("TYPE", &types), ("HELP", &helps)] {
            assert!(
                names.iter().any(|name| announced.contains(&name.as_str())),
                "no {word} for {}",
                sample.name
            );
        }
        if sample.name == "metagate_requests_total" {
            for label in labels {
                assert!(sample.labels.iter().any(|(name, _)| name == label), "{label} on requests_total");
            }
        }
    }
}

#[test]
fn metric_labels_never_contain_client_input() {
    let stage = Stage::plain(|setup| setup);
    let token = Token::user().issuer("https://odd-issuer.test").claim("email", "odd-person@x.test".into());
    stage.gateway.get_as(&token, "/odd-path");
    stage.gateway.get_as(&token.clone().header("kid", "odd-kid".into()), "/odd-path");
    stage.gateway.get_as(&token.signed("RS256", keys::other_rsa()), "/odd-path");
    eventually("three requests to be counted", || {
        (stage.gateway.metric("metagate_requests_total", &[]) == 3.0).then_some(())
    });
    assert!(!stage.gateway.probe("/metrics").text().contains("odd-"));
}

#[test]
fn every_request_has_exactly_one_audit_record() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_BACKEND", "openmetadata"));
    let token = Token::bot();
    let bytes = token.encode();
    let response = stage.gateway.get_with(&bytes, "/api/v1/tables?access_token=abc");
    let record = stage.gateway.audit_of("/api/v1/tables");
    assert_eq!(record["status"], 200);
    assert_eq!(record["method"], "GET");
    assert_eq!(text(&record, "principal"), Some("ingestion-bot"));
    assert_eq!(text(&record, "kid"), Some("rsa-1"));
    assert_eq!(text(&record, "decision"), Some("allow"));
    let id = &record["request_id"];
    assert_eq!(
        id.as_str(),
        stage.upstream.only_request().head.value("x-request-id"),
        "the upstream gets the id"
    );
    if let Some(answered) = response.header("x-request-id") {
        assert_eq!(id, answered);
    }
    let signing_input = &bytes[..bytes.rfind('.').expect("three parts")];
    let digest = keys::sha256_hex(signing_input.as_bytes());
    assert_eq!(text(&record, "token_fingerprint"), Some(&digest[..16]));
    assert_eq!(text(&record, "token_class"), Some("bot"));
    assert!(!record.to_string().contains("access_token"), "no query in the record: {record}");

    for index in 0..4 {
        stage.gateway.get(&format!("/api/{index}"), &[]);
    }
    eventually("five records", || (stage.gateway.audit().len() >= 5).then_some(()));
    assert_eq!(stage.gateway.audit().len(), 5, "one record per request");
}

#[test]
fn response_request_id_is_always_a_plain_token() {
    let stage = Stage::plain(|setup| setup);
    for (path, id) in [("/a", "abc-123"), ("/b", "a b\tc"), ("/c", "<script>"), ("/d", &"x".repeat(1000))] {
        let response = stage.gateway.get(path, &[("X-Request-Id", id)]);
        let answered = response.header("x-request-id").expect("an id").to_owned();
        assert!(
            answered.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
            "{answered:?}"
        );
        assert!(!answered.is_empty() && answered.len() <= 128, "{answered:?}");
    }
}

/// A backend that answers requests for `/held` only once the gate opens.
fn holding(gate: &Gate) -> Upstream {
    let held = gate.clone();
    Upstream::scripted(move |exchange| {
        if exchange.request.head.target() == "/held" {
            exchange.hold(&held);
        }
        echo(exchange)
    })
}

#[test]
fn disconnected_client_leaves_exactly_one_record() {
    let gate = Gate::default();
    let upstream = holding(&gate);
    let stage = Stage::with(Issuer::of(keys::rsa()), upstream, |setup| setup);
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(request_bytes("GET", "/held", &[("Authorization", &bearer(&Token::bot()))], b""));
    stage.upstream.wait_for("the request", |all| all.first().map(|_| ()));
    drop(client);
    let record = stage.gateway.audit_of("/held");
    assert_eq!(text(&record, "principal"), Some("ingestion-bot@open-metadata.org"), "{record}");
    gate.open();
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/next").status, 200);
    stage.gateway.audit_of("/next");
    assert_eq!(stage.gateway.audit().len(), 2);
}

#[test]
fn sigterm_lets_running_requests_finish() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::scripted(move |exchange| {
        exchange.hold(&held);
        echo(exchange)
    });
    let mut stage = Stage::with(Issuer::of(keys::rsa()), upstream, |setup| setup);
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(request_bytes("GET", "/held", &[("Authorization", &bearer(&Token::bot()))], b""));
    stage.upstream.wait_for("the request", |all| all.first().map(|_| ()));

    stage.gateway.terminate();
    eventually("/readyz to answer 503", || (stage.gateway.probe("/readyz").status == 503).then_some(()));
    assert_eq!(stage.gateway.probe("/livez").status, 200, "still alive");
    gate.open();
    let response = client.response().expect("the response to the running request");
    assert_eq!(response.json()["target"], "/held");
    drop(client);
    assert_eq!(stage.gateway.wait_exit(), Some(0), "A17");
    assert_eq!(stage.gateway.audit().len(), 1, "its record is written before the exit");
}

#[test]
fn sigterm_exits_an_idle_process_at_once() {
    let mut stage = Stage::plain(|setup| setup);
    // An idle connection does not delay the exit.
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(request_bytes("GET", "/x", &[("Authorization", &bearer(&Token::bot()))], b""));
    assert_eq!(client.response().expect("a response").status, 200);
    stage.gateway.terminate();
    assert_eq!(stage.gateway.wait_exit(), Some(0));
    assert_eq!(client.rest(), "");
}

#[test]
fn drain_timeout_ends_running_requests() {
    let gate = Gate::default();
    let upstream = Upstream::scripted(move |exchange| {
        exchange.hold(&gate);
        Ok(Next::Close)
    });
    let mut stage = Stage::with(Issuer::of(keys::rsa()), upstream, |setup| {
        setup.env("METAGATE_SHUTDOWN__DRAIN_TIMEOUT", "1s")
    });
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(request_bytes("GET", "/held", &[("Authorization", &bearer(&Token::bot()))], b""));
    stage.upstream.wait_for("the request", |all| all.first().map(|_| ()));
    stage.gateway.terminate();
    assert!(stage.gateway.wait_exit().is_some(), "it exited by itself");
    assert!(client.response().is_err(), "the unfinished request was aborted");
}

#[test]
fn tokens_are_never_printed() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_LOG__LEVEL", "trace"));
    let good = Token::bot().encode();
    let bad = Token::user().signed("RS256", keys::other_rsa()).encode();
    for token in [&good, &bad] {
        stage.gateway.get_with(token, "/x");
        let field = format!("Bearer {token}");
        stage.gateway.get(&format!("/y?access_token={token}"), &[("X-Copy", &field), ("Cookie", &field)]);
        wire::send(stage.gateway.proxy, "POST", "/z", &[("Authorization", &field)], token.as_bytes());
        stage.gateway.get("/two", &[("Authorization", &field), ("Authorization", &field)]);
    }
    eventually("eight records", || (stage.gateway.audit().len() >= 8).then_some(()));
    stage.gateway.assert_no_token_in_output();
    let signature = good.rsplit('.').next().expect("three parts");
    let printed = format!("{:?}{:?}", stage.gateway.stderr(), stage.gateway.audit());
    assert!(!printed.contains(signature), "a signature was printed");
    assert!(!stage.gateway.logs().is_empty(), "the log is JSON");
}
