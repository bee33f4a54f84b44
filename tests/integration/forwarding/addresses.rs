//! A backend with several URLs, the `Host` that it gets, and how many connections to it there are.

use std::thread;

use super::faults::closed_port;
use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup, text};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::stub::{Gate, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::send;

/// A gateway in front of backends with these URLs. The issuer must outlive it.
fn in_front_of(urls: &[&str], adjust: impl FnOnce(Setup) -> Setup) -> (Gateway, Issuer) {
    let issuer = Issuer::of(keys::rsa());
    let setup = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}]", issuer.url(JWKS)))
        .env("METAGATE_UPSTREAM__URL", format!("[{}]", urls.join(", ")));
    let gateway = adjust(setup).start();
    gateway.wait_ready();
    (gateway, issuer)
}

fn host_of(url: &str) -> &str {
    url.trim_start_matches("http://")
}

fn is_up(gateway: &Gateway, url: &str) -> f64 {
    gateway.metric("metagate_upstream_address_up", &[("address", host_of(url))])
}

#[test]
fn a_request_goes_to_the_first_url_that_accepts_connections() {
    let (down, first, second) = (closed_port(), Upstream::echo(), Upstream::echo());
    let (gateway, _issuer) = in_front_of(&[&down, &first.url(), &second.url()], |setup| setup);
    for number in 0..3 {
        let response = send(
            gateway.proxy,
            "POST",
            &format!("/{number}"),
            &[("Authorization", &bearer(&Token::user()))],
            b"hi",
        );
        assert_eq!(response.status, 200);
    }
    assert_eq!((first.requests().len(), second.connections()), (3, 0), "it is no load balancer");
    assert_eq!((is_up(&gateway, &down), is_up(&gateway, &first.url())), (0.0, 1.0));
    assert_eq!(gateway.metric("metagate_upstream_up", &[]), 1.0, "the backend as a whole is reachable");
    let fails = |log: &serde_json::Value| {
        text(log, "message") == Some("an address of the backend fails; others are tried first")
            && text(log, "address") == Some(host_of(&down))
    };
    eventually("one warning", || (gateway.logs().iter().filter(|log| fails(log)).count() == 1).then_some(()));
    // The first ends, and the same client is served by the second.
    let url = first.url();
    drop(first);
    for number in 3..6 {
        assert_eq!(gateway.get_as(&Token::user(), &format!("/{number}")).status, 200, "{number}");
    }
    assert_eq!(second.requests().len(), 3);
    assert_eq!((is_up(&gateway, &url), is_up(&gateway, &second.url())), (0.0, 1.0));
}

#[test]
fn if_every_url_fails_the_record_says_why() {
    let (one, other) = (closed_port(), closed_port());
    let (gateway, _issuer) = in_front_of(&[&one, &other], |setup| setup);
    for path in ["/a", "/b"] {
        assert_eq!(gateway.get_as(&Token::user(), path).status, 502);
        let record = gateway.audit_of(path);
        assert!(
            text(&record, "detail").is_some_and(|text| text.starts_with("connection refused by")),
            "{record}"
        );
    }
    assert_eq!((is_up(&gateway, &one), is_up(&gateway, &other)), (0.0, 0.0));
    assert_eq!(gateway.metric("metagate_upstream_up", &[]), 0.0);
}

#[test]
fn check_asks_every_url() {
    let (up, down) = (Upstream::echo(), closed_port());
    let finished = Setup::command(&["check"])
        .env("METAGATE_UPSTREAM__URL", format!("[{}, {down}]", up.url()))
        .env("AUTHENTICATION_PUBLIC_KEYS", "[https://idp.invalid/jwks]")
        .finish();
    let output = format!("{}{}", finished.stdout, finished.stderr);
    assert!(output.contains(&format!("{}/ answers 200", up.url())), "{output}");
    assert!(output.contains(&format!("{down}/ does not answer")), "{output}");
}

#[test]
fn the_backend_gets_the_host_that_is_configured() {
    for (value, expected) in
        [("forward", None), ("upstream", None), ("gms.corp.example:8080", Some("gms.corp.example:8080"))]
    {
        let upstream = Upstream::echo();
        let url = upstream.url();
        let expected = match value {
            "forward" => "gateway.test",
            "upstream" => host_of(&url),
            _ => expected.unwrap_or_default(),
        };
        let stage = Stage::with(Issuer::of(keys::rsa()), upstream, |setup| {
            setup.env("METAGATE_UPSTREAM__HOST_HEADER", value)
        });
        assert_eq!(stage.gateway.get_as(&Token::user(), "/a").status, 200, "{value}");
        let request = stage.upstream.request_to("/a");
        assert_eq!(request.head.values("host"), [expected], "{value}");
        assert_eq!(request.head.values("x-forwarded-host"), ["gateway.test"], "{value}");
        // `check` asks in the same way.
        let finished = Setup::command(&["check"])
            .env("METAGATE_UPSTREAM__URL", &url)
            .env("METAGATE_UPSTREAM__HOST_HEADER", value)
            .env("AUTHENTICATION_PUBLIC_KEYS", "[https://idp.invalid/jwks]")
            .finish();
        assert!(finished.stdout.contains("answers 200"), "{}", finished.stdout);
        let probe = stage.upstream.request_to("/");
        let expected = if value == "forward" { host_of(&url) } else { expected };
        assert_eq!(probe.head.values("host"), [expected], "{value}");
    }
}

#[test]
fn without_keep_alive_every_request_gets_its_own_connection() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_UPSTREAM__KEEP_ALIVE", "0s"));
    for _ in 0..3 {
        assert_eq!(stage.gateway.get_as(&Token::user(), "/a").status, 200);
    }
    assert_eq!(stage.upstream.connections(), 3);
}

#[test]
fn connections_to_the_backend_are_bounded_over_all_workers() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::scripted(move |exchange| {
        if exchange.request.head.target() == "/held" {
            exchange.hold(&held);
        }
        echo(exchange).map(|_| Next::KeepOpen)
    });
    let stage = Stage::with(Issuer::of(keys::rsa()), upstream, |setup| {
        setup.env("METAGATE_UPSTREAM__MAX_CONNECTIONS", "1").env("METAGATE_WORKERS", "2")
    });
    let gateway = &stage.gateway;
    // Whichever worker serves it, one connection is enough, because an idle one makes room.
    for number in 0..6 {
        assert_eq!(gateway.get_as(&Token::user(), &format!("/{number}")).status, 200);
    }
    thread::scope(|scope| {
        let first = scope.spawn(|| gateway.get_as(&Token::user(), "/held").status);
        stage
            .upstream
            .wait_for("the request", |all| all.iter().find(|one| one.head.target() == "/held").map(drop));
        let response = gateway.get_as(&Token::user(), "/refused");
        assert_eq!(response.status, 503);
        assert!(response.header("retry-after").is_some());
        let record = gateway.audit_of("/refused");
        assert_eq!(text(&record, "reason"), Some("overloaded"), "{record}");
        assert!(
            text(&record, "detail").is_some_and(|text| text.contains("upstream.maxConnections")),
            "{record}"
        );
        assert_eq!(gateway.metric("metagate_upstream_connections_total", &[("result", "limited")]), 1.0);
        assert_eq!(gateway.metric("metagate_upstream_up", &[]), 1.0, "the backend is not unreachable");
        // Requests that wait are served once the first has ended.
        let waiting: Vec<_> =
            (0..4).map(|_| scope.spawn(|| gateway.get_as(&Token::user(), "/waiting").status)).collect();
        gate.open();
        assert_eq!(first.join().expect("a response"), 200);
        for request in waiting {
            assert_eq!(request.join().expect("a response"), 200);
        }
    });
}

/// A connection that became free while a request waited for one is a kept-alive connection like any other.
#[test]
fn a_get_on_a_connection_that_became_free_and_was_closed_is_sent_again() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::scripted(move |exchange| {
        match exchange.request.head.target() {
            "/held" => exchange.hold(&held),
            "/second" if exchange.request.connection == 0 => return Ok(Next::Close),
            _ => {}
        }
        echo(exchange).map(|_| Next::KeepOpen)
    });
    let stage = Stage::with(Issuer::of(keys::rsa()), upstream, |setup| {
        setup.env("METAGATE_UPSTREAM__MAX_CONNECTIONS", "1")
    });
    let gateway = &stage.gateway;
    thread::scope(|scope| {
        let first = scope.spawn(|| gateway.get_as(&Token::user(), "/held").status);
        stage
            .upstream
            .wait_for("the request", |all| all.iter().find(|one| one.head.target() == "/held").map(drop));
        let second = scope.spawn(|| gateway.get_as(&Token::user(), "/second").status);
        eventually("both requests", || {
            (gateway.metric("metagate_requests_in_flight", &[]) == 2.0).then_some(())
        });
        gate.open();
        assert_eq!(first.join().expect("a response"), 200);
        assert_eq!(second.join().expect("a response"), 200);
    });
}

/// A backend that closes idle connections early loses a POST that is just being written to one of them. Once metagate has
/// seen such a close, no connection is used after as long a time: here, of less than a second, none at all.
#[test]
fn the_idle_timeout_of_the_backend_is_learned_from_its_closes() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_LOG__LEVEL", "debug"));
    let token = bearer(&Token::user());
    let fields = [("Authorization", token.as_str())];
    let post = |path: &str| send(stage.gateway.proxy, "POST", path, &fields, b"{}").status;
    assert_eq!((post("/1"), post("/2")), (200, 200));
    assert_eq!(stage.upstream.connections(), 1, "nothing is known yet");
    stage.upstream.close_connections();
    eventually("the close to be noticed", || {
        let is_it = |log: &serde_json::Value| {
            text(log, "message") == Some("learned how long the backend keeps idle connections")
                && text(log, "limit") == Some("0s")
        };
        stage.gateway.logs().iter().any(is_it).then_some(())
    });
    for number in 3..6 {
        assert_eq!(post(&format!("/{number}")), 200);
        assert_eq!(stage.upstream.connections(), number - 1, "each has a connection of its own");
    }
}
