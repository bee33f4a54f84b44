//! A collector that is away, slow, or does not want the spans. No request notices.

use serde_json::Value;

use super::collector::{Collector, Reply};
use super::{SENT, traced};
use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup, text};
use crate::support::https::HttpsServer;
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::stub::Gate;
use crate::support::token::Token;
use crate::support::upstream::Upstream;

#[track_caller]
fn count(gateway: &Gateway, result: &str) -> f64 {
    gateway.metric("metagate_spans_total", &[("result", result)])
}

#[track_caller]
fn wait_for(gateway: &Gateway, result: &str, expected: f64) {
    eventually(result, || (count(gateway, result) == expected).then_some(()));
}

fn warnings(gateway: &Gateway, message: &str) -> usize {
    gateway
        .logs()
        .iter()
        .filter(|log| text(log, "message").is_some_and(|own| own.starts_with(message)))
        .count()
}

#[test]
fn the_backends_failure_is_an_error_and_says_why() {
    let collector = Collector::start();
    let upstream = Upstream::scripted(|exchange| {
        exchange.read_body()?;
        let status = if exchange.request.head.target() == "/404" { 404 } else { 500 };
        exchange.reply(status, &[], b"")
    });
    let stage = traced(&collector, upstream, |setup| setup);
    for (path, kind, server_status) in [("/404", "404", 0), ("/500", "500", 2)] {
        stage.gateway.get_as(&Token::user(), path);
        let server = collector.span(path);
        let client = collector.child_of(&server);
        assert_eq!((server.status_code(), client.status_code()), (server_status, 2), "{path}");
        assert_eq!(client.attribute("error.type").as_deref(), Some(kind));
        let expected = (server_status == 2).then_some(kind);
        assert_eq!(server.attribute("error.type").as_deref(), expected, "{path}");
    }
}

#[test]
fn a_backend_that_is_away_is_an_error_of_both_spans() {
    let collector = Collector::start();
    let issuer = Issuer::of(rsa());
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}/jwks]", issuer.url("")))
        .env("METAGATE_UPSTREAM__URL", format!("http://{closed}"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_BSP_SCHEDULE_DELAY", "10")
        .start();
    gateway.wait_ready();
    assert_eq!(gateway.get_as(&Token::user(), "/away").status, 502);
    let server = collector.span("/away");
    let client = collector.child_of(&server);
    for span in [&server, &client] {
        assert_eq!(span.status_code(), 2);
        assert_eq!(span.attribute("error.type").as_deref(), Some("upstream_unreachable"));
    }
    assert_eq!(client.attribute("http.response.status_code"), None);
}

#[test]
fn spans_wait_for_a_collector_that_is_unavailable() {
    let collector = Collector::replying(|number| match number {
        0 => Reply::Status(503, &[("Retry-After", "0")]),
        1 => Reply::Status(429, &[("Retry-After", "0")]),
        _ => Reply::Accept,
    });
    let stage = traced(&collector, Upstream::echo(), |setup| setup);
    assert_eq!(stage.gateway.get_as(&Token::user(), "/later").status, 200);
    collector.span("/later");
    wait_for(&stage.gateway, "exported", 2.0);
    let received = collector.requests();
    assert_eq!(received.len(), 3);
    assert!(received.iter().all(|request| request.body == received[0].body), "the same spans each time");
    // Printed after the metric was set.
    eventually("the log", || (warnings(&stage.gateway, "spans are sent again") == 1).then_some(()));
    assert_eq!(warnings(&stage.gateway, "spans cannot be sent"), 1, "once");
    assert_eq!((count(&stage.gateway, "failed"), count(&stage.gateway, "rejected")), (0.0, 0.0));
}

#[test]
fn spans_that_the_collector_refuses_are_counted_and_not_sent_again() {
    let collector = Collector::replying(|number| match number {
        0 => Reply::Status(400, &[]),
        // Of two spans.
        _ => Reply::Partial(1, "one\nwas bad"),
    });
    let stage = traced(&collector, Upstream::echo(), |setup| setup);
    stage.gateway.get_as(&Token::user(), "/refused");
    wait_for(&stage.gateway, "rejected", 2.0);
    stage.gateway.get_as(&Token::user(), "/partly");
    wait_for(&stage.gateway, "rejected", 3.0);
    assert_eq!(count(&stage.gateway, "exported"), 1.0);
    assert_eq!(collector.requests().len(), 2);
    let cause = eventually("the log", || {
        let logs = stage.gateway.logs();
        let is_it = |log: &&Value| text(log, "message") == Some("the collector did not accept all spans");
        logs.iter().find(is_it).and_then(|log| text(log, "cause").map(str::to_owned))
    });
    assert_eq!(cause, "one\\nwas bad");
}

#[test]
fn responses_that_are_not_otlp_are_not_retried() {
    let collector = Collector::replying(|number| match number {
        0 => Reply::Status(500, &[]),
        1 => Reply::Other("text/html; charset=utf-8", b"<p>Please log in"),
        // Some collectors return nothing that can be read.
        _ => Reply::Other("application/octet-stream", b"\xff\xff\xff"),
    });
    let stage = traced(&collector, Upstream::echo(), |setup| setup);
    for (number, (rejected, exported)) in [(2.0, 0.0), (4.0, 0.0), (4.0, 2.0)].into_iter().enumerate() {
        assert_eq!(stage.gateway.get_as(&Token::user(), &format!("/{number}")).status, 200);
        wait_for(&stage.gateway, "rejected", rejected);
        wait_for(&stage.gateway, "exported", exported);
    }
    assert_eq!(collector.requests().len(), 3);
    // Of the two failures in a row; the cause is that of the first.
    eventually("the log", || (warnings(&stage.gateway, "spans are sent again") == 1).then_some(()));
    assert_eq!(warnings(&stage.gateway, "spans cannot be sent"), 1);
}

#[test]
fn a_slow_collector_costs_spans_and_no_request() {
    let gate = Gate::default();
    let held = gate.clone();
    let collector = Collector::replying(move |_| Reply::Hold(held.clone()));
    let stage = traced(&collector, Upstream::echo(), |setup| {
        setup.env("OTEL_BSP_MAX_QUEUE_SIZE", "8").env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    });
    stage.gateway.get_as(&Token::user(), "/first");
    eventually("the first batch", || (!collector.requests().is_empty()).then_some(()));
    for number in 0..20 {
        assert_eq!(stage.gateway.get_as(&Token::user(), &format!("/{number}")).status, 200);
    }
    // Four requests fit into the queue.
    wait_for(&stage.gateway, "queue_full", 32.0);
    assert_eq!(count(&stage.gateway, "exported"), 0.0);
    gate.open();
    wait_for(&stage.gateway, "exported", 10.0);
    assert_eq!(collector.spans().len(), 10);
}

#[test]
fn a_collector_that_is_away_is_one_warning() {
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let stage = Stage::plain(|setup| {
        setup
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{closed}"))
            .env("OTEL_BSP_SCHEDULE_DELAY", "1")
    });
    for number in 0..10 {
        assert_eq!(stage.gateway.get_as(&Token::user(), &format!("/{number}")).status, 200);
    }
    eventually("the warning", || (warnings(&stage.gateway, "spans cannot be sent") == 1).then_some(()));
    // The end does not wait for the next attempt.
    let mut gateway = stage.gateway;
    gateway.terminate();
    assert_eq!(gateway.wait_exit(), Some(0));
    assert_eq!(warnings(&gateway, "spans cannot be sent"), 1);
}

#[test]
fn spans_that_wait_are_sent_before_the_process_ends() {
    let collector = Collector::start();
    let mut stage =
        traced(&collector, Upstream::echo(), |setup| setup.env("OTEL_BSP_SCHEDULE_DELAY", "3600000"));
    assert_eq!(stage.gateway.get("/last", &[("traceparent", SENT)]).status, 401);
    stage.gateway.audit_of("/last");
    assert!(collector.requests().is_empty());
    stage.gateway.terminate();
    assert_eq!(stage.gateway.wait_exit(), Some(0));
    collector.span("/last");
}

#[test]
fn a_full_batch_does_not_wait() {
    let collector = Collector::start();
    let stage = traced(&collector, Upstream::echo(), |setup| {
        setup.env("OTEL_BSP_SCHEDULE_DELAY", "3600000").env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    });
    for path in ["/1", "/2"] {
        assert_eq!(stage.gateway.get_as(&Token::user(), path).status, 200);
    }
    collector.span("/2");
    assert_eq!(collector.requests().len(), 1);
}

#[test]
fn requests_to_the_collector_are_as_configured() {
    let collector = Collector::start();
    let stage = traced(&collector, Upstream::echo(), |setup| {
        setup
            .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b,authorization=Basic%20czNjcjN0")
            .env("OTEL_SERVICE_NAME", "gate")
            .env("HTTP_PROXY", "http://127.0.0.1:1")
    });
    stage.gateway.get_as(&Token::user(), "/compressed");
    collector.span("/compressed");
    let received = &collector.requests()[0];
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("x-tenant", "a b"),
        ("authorization", "Basic czNjcjN0"),
        ("user-agent", concat!("metagate/", env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(received.head.value(name), Some(value));
    }
    assert_eq!(received.head.start, "POST /v1/traces HTTP/1.1");
    assert_eq!(received.message.resource()["service.name"], "gate");
    assert!(stage.gateway.stderr().iter().all(|line| !line.contains("czNjcjN0")));
}

/// Certificates of both sides.
#[test]
fn the_collector_is_verified_and_gets_our_certificate() {
    let server = HttpsServer::start(true, |_| (200, String::new()));
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (certificate, key) = (file("client.pem", &server.client.0), file("key.pem", &server.client.1));
    let authority = file("ca.pem", &server.authority);
    let stage = |authority: &str| {
        Stage::plain(|setup| {
            setup
                .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", server.url("/otlp"))
                .env("OTEL_EXPORTER_OTLP_CERTIFICATE", authority)
                .env("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate.as_str())
                .env("OTEL_EXPORTER_OTLP_CLIENT_KEY", key.as_str())
                .env("OTEL_BSP_SCHEDULE_DELAY", "10")
        })
    };
    let unverified = stage("");
    unverified.gateway.get_as(&Token::user(), "/unverified");
    eventually("the warning", || (warnings(&unverified.gateway, "spans cannot be sent") == 1).then_some(()));
    assert_eq!(server.heads(), [""; 0]);
    let verified = stage(&authority);
    verified.gateway.get_as(&Token::user(), "/verified");
    let head = eventually("spans", || server.heads().into_iter().next());
    assert!(head.starts_with("POST /otlp HTTP/1.1\r\n"), "{head}");
}

#[test]
fn check_shows_where_spans_go_and_what_is_wrong() {
    let check = |name: &str, value: &str| {
        Setup::command(&["check", "--offline"])
            .env("AUTHENTICATION_PUBLIC_KEYS", "[http://127.0.0.1:1/jwks]")
            .env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:1")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:4318")
            .env(name, value)
            .finish()
    };
    let finished = check("OTEL_TRACES_SAMPLER", "sometimes");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    for expected in [
        "warning[otel-variable]: OTEL_TRACES_SAMPLER: is not a sampler that metagate has: \"sometimes\"",
        "info: spans are sent to https://127.0.0.1:4318/v1/traces as service \"metagate\"",
    ] {
        assert!(finished.stdout.contains(expected), "{}", finished.stdout);
    }
    let finished = check("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.stderr.contains("OTEL_EXPORTER_OTLP_PROTOCOL: spans cannot be sent by grpc"),
        "{}",
        finished.stderr
    );
    let finished = check("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem");
    assert_eq!(finished.code, Some(0), "a file that is not here");
    assert!(
        finished.stdout.contains("skipped: OTEL_EXPORTER_OTLP_CERTIFICATE: /nowhere.pem"),
        "{}",
        finished.stdout
    );
}
