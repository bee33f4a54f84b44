//! Shutdown on real signals.

mod obeying;

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::eventually;
use crate::support::gateway::DELIBERATE;
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::stub::{Gate, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::{Client, NoResponse, request_bytes};

/// A backend that holds requests to `/held`.
fn holding(gate: &Gate) -> Upstream {
    let held = gate.clone();
    Upstream::scripted(move |exchange| {
        if exchange.request.head.target() == "/held" {
            exchange.hold(&held);
        }
        echo(exchange)
    })
}

fn ask(client: &mut Client, target: &str) {
    client.send(request_bytes("GET", target, &[("Authorization", &bearer(&Token::bot()))], b""));
}

#[test]
fn responses_while_draining_close_their_connection() {
    let gate = Gate::default();
    let mut stage = Stage::with(Issuer::of(keys::rsa()), holding(&gate), |setup| setup);
    let mut client = Client::connect(stage.gateway.proxy);
    ask(&mut client, "/before");
    let response = client.response().expect("a response");
    assert_eq!((response.status, response.header("connection")), (200, None));
    ask(&mut client, "/held");
    stage.upstream.wait_for("both requests", |all| (all.len() == 2).then_some(()));
    stage.gateway.terminate();
    eventually("the listener to close", || TcpStream::connect(stage.gateway.proxy).is_err().then_some(()));
    gate.open();
    let response = client.response().expect("the response to the running request");
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert_eq!(client.rest(), "");
    assert_eq!(stage.gateway.wait_exit(), Some(0), "A17");
}

#[test]
fn shutdown_delay_keeps_accepting_but_not_ready() {
    let mut stage = Stage::plain(|setup| setup.env("METAGATE_SHUTDOWN__DELAY", "2s"));
    let mut kept = Client::connect(stage.gateway.proxy);
    stage.gateway.terminate();
    eventually("/readyz to answer 503", || (stage.gateway.probe("/readyz").status == 503).then_some(()));
    // The delay has not passed yet.
    ask(&mut kept, "/kept");
    let response = kept.response().expect("a response");
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert_eq!(kept.rest(), "");
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/new").status, 200, "a new connection");
    let reload = stage.gateway.ask_admin("POST", "/reload", &[DELIBERATE]);
    assert_eq!((reload.status, stage.gateway.probe("/livez").status), (409, 200));
    assert_eq!(stage.gateway.ask_admin("GET", "/status", &[]).json()["draining"], true);
    assert_eq!(stage.gateway.wait_exit(), Some(0));
    assert!(TcpStream::connect(stage.gateway.proxy).is_err());
}

#[test]
fn second_signal_exits_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let gate = Gate::default();
        let held = gate.clone();
        let upstream = Upstream::scripted(move |exchange| {
            exchange.hold(&held);
            Ok(Next::Close)
        });
        let mut stage = Stage::with(Issuer::of(keys::rsa()), upstream, |setup| {
            setup.env("METAGATE_SHUTDOWN__DRAIN_TIMEOUT", "300s")
        });
        let mut client = Client::connect(stage.gateway.proxy);
        ask(&mut client, "/held");
        stage.upstream.wait_for("the request", |all| all.first().map(|_| ()));
        stage.gateway.signal(first);
        eventually("/readyz to answer 503", || (stage.gateway.probe("/readyz").status == 503).then_some(()));
        stage.gateway.signal(second);
        assert_eq!(stage.gateway.wait_exit(), Some(1), "long before drainTimeout");
        assert!(client.response().is_err());
        gate.open();
    }
}

#[test]
fn shutdown_under_load_truncates_no_response() {
    const CLIENTS: usize = 4;
    let mut stage = Stage::plain(|setup| setup);
    let (ending, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (ending, answered, proxy) = (&ending, &answered, stage.gateway.proxy);
            scope.spawn(move || {
                while let Ok(socket) = TcpStream::connect(proxy) {
                    let mut client = Client::of(socket);
                    ask(&mut client, "/load");
                    match client.response() {
                        Ok(response) => assert_eq!(response.status, 200),
                        // No longer accepted.
                        Err(NoResponse::Closed) => assert!(ending.load(Ordering::SeqCst)),
                        Err(error) => panic!("{error}"),
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        eventually("some responses", || (answered.load(Ordering::SeqCst) > 50).then_some(()));
        ending.store(true, Ordering::SeqCst);
        stage.gateway.terminate();
        assert_eq!(stage.gateway.wait_exit(), Some(0), "A17");
    });
}
