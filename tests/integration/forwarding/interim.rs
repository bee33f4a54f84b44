//! Interim responses of the backend (RFC 9110 section 15.2).

use std::future::poll_fn;

use crate::support::http2::{Http2Client, whole};
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::stub::{Exchange, Gate, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;
use crate::support::wire::Client;

const HINTS: &str =
    "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";

/// Sends hints, and the final response once the gate opens.
fn stage(gate: &Gate) -> Stage {
    let gate = gate.clone();
    let upstream = Upstream::scripted(move |exchange: &mut Exchange| {
        exchange.send(HINTS)?;
        exchange.hold(&gate);
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        Ok(Next::KeepOpen)
    });
    Stage::with(Issuer::of(rsa()), upstream, |setup| setup)
}

fn request(version: &str) -> String {
    format!("GET /x HTTP/{version}\r\nHost: a\r\nAuthorization: {}\r\n\r\n", bearer(&Token::bot()))
}

#[test]
fn early_hints_arrive_before_the_final_response() {
    let gate = Gate::default();
    let stage = stage(&gate);
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(request("1.1"));
    let (status, head) = client.response_head().expect("hints");
    assert_eq!((status, head.value("link")), (103, Some("</a.css>; rel=preload")));
    assert_eq!((head.value("x-hop"), head.value("connection")), (None, None));
    gate.open();
    let response = client.response().expect("a response");
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    // On the same connection, with requests pipelined behind it.
    client.send(request("1.1").repeat(5));
    for _ in 0..5 {
        assert_eq!(client.response().expect("a response").text(), "ok");
    }
}

#[test]
fn early_hints_that_arrive_with_the_final_response_are_forwarded() {
    let upstream = Upstream::scripted(|exchange: &mut Exchange| {
        exchange.send([HINTS, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"].concat())?;
        Ok(Next::KeepOpen)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| setup);
    let mut client = Client::connect(stage.gateway.proxy);
    for _ in 0..2 {
        client.send(request("1.1"));
        assert_eq!(client.response_head().expect("hints").0, 103);
        assert_eq!(client.response().expect("a response").text(), "ok");
    }
}

#[test]
fn http_1_0_client_gets_only_the_final_response() {
    let gate = Gate::default();
    gate.open();
    let stage = stage(&gate);
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(request("1.0"));
    assert_eq!(client.response_head().expect("a response").0, 200);
}

#[test]
fn early_hints_reach_http2_clients() {
    let gate = Gate::default();
    let stage = stage(&gate);
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let token = bearer(&Token::bot());
    for _ in 0..2 {
        let (mut response, _) = client.open("GET", "/x", &[("authorization", &token)], true);
        let hints =
            client.wait(poll_fn(|cx| response.poll_informational(cx))).expect("hints").expect("hints");
        let names: Vec<_> = hints.headers().keys().map(|name| name.as_str()).collect();
        assert_eq!((hints.status().as_u16(), names), (103, vec!["link"]));
        assert_eq!(hints.headers()["link"], "</a.css>; rel=preload");
        gate.open();
        let response = client.wait(async { whole(response.await?).await }).expect("a response");
        assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    }
    assert_eq!(stage.gateway.audit_of("/x")["complete"], true);
}

#[test]
fn http2_client_gets_a_bounded_number_of_interim_responses() {
    let upstream = Upstream::scripted(|exchange: &mut Exchange| {
        (0..500).try_for_each(|_| exchange.send(HINTS))?;
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        Ok(Next::KeepOpen)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| setup);
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let token = bearer(&Token::bot());
    let (mut response, _) = client.open("GET", "/x", &[("authorization", &token)], true);
    let mut count = 0;
    while let Some(hints) = client.wait(poll_fn(|cx| response.poll_informational(cx))) {
        assert_eq!(hints.expect("hints").status().as_u16(), 103);
        count += 1;
    }
    assert!((1..300).contains(&count), "{count}");
    assert_eq!(client.wait(async { whole(response.await?).await }).expect("a response").text(), "ok");
}
