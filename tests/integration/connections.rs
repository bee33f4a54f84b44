//! Connection timeouts and the connection limit.

use std::net::SocketAddr;

use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::stub::Next;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;
use crate::support::wire::{Client, request_bytes};

fn impatient() -> Stage {
    Stage::plain(|setup| setup.env("METAGATE_LIMITS__HEADER_READ_TIMEOUT", "300ms"))
}

/// Sends the beginning of a message and reads until the connection is closed.
fn closed_after(address: SocketAddr, beginning: &str) -> String {
    let mut client = Client::connect(address);
    client.send(beginning);
    client.rest()
}

#[test]
fn incomplete_request_head_times_out() {
    let stage = impatient();
    let address = stage.gateway.proxy;
    // The second begins like the HTTP/2 preface, which a protocol-detecting server could wait for
    // forever.
    for beginning in ["", "PRI * HT", "GET / HTTP/1.1\r\nHost: a\r\n", "G"] {
        let response = closed_after(address, beginning);
        assert!(response.is_empty() || response.starts_with("HTTP/1.1 4"), "{beginning:?}: {response}");
    }
    assert!(stage.upstream.requests().is_empty());
}

#[test]
fn header_timeout_applies_to_every_request() {
    let stage = impatient();
    let mut client = Client::connect(stage.gateway.proxy);
    let token = bearer(&Token::user());
    client.send(request_bytes("GET", "/first", &[("Authorization", &token)], b""));
    assert_eq!(client.response().expect("a response").status, 200);
    client.send("GET /second HTTP/1.1\r\nHost: a\r\n");
    client.rest();
    assert_eq!(stage.upstream.requests().len(), 1);
}

#[test]
fn idle_timeout_is_longer_than_the_header_timeout() {
    let stage = impatient();
    let address = stage.gateway.proxy;
    let token = bearer(&Token::user());
    let request = |path: &str| request_bytes("GET", path, &[("Authorization", &token)], b"");
    let mut client = Client::connect(address);
    client.send(request("/first"));
    assert_eq!(client.response().expect("a response").status, 200);
    // The end of another connection shows that the header timeout has passed twice.
    closed_after(address, "");
    closed_after(address, "");
    client.send(request("/second"));
    assert_eq!(client.response().expect("the connection is still open").status, 200);
}

#[test]
fn connection_over_the_limit_is_refused_and_others_are_served() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_LIMITS__CONNECTIONS", "2"));
    let address = stage.gateway.proxy;
    let token = bearer(&Token::user());
    let mut open: Vec<Client> = (0..2).map(|_| Client::connect(address)).collect();
    for client in &mut open {
        client.send(request_bytes("GET", "/x", &[("Authorization", &token)], b""));
        assert_eq!(client.response().expect("a response").status, 200);
    }
    let response = Client::connect(address).response().expect("a response");
    assert_eq!(response.status, 503);
    assert_eq!(response.text(), r#"{"code":503,"message":"Too many connections"}"#);
    assert_eq!(response.header("retry-after"), Some("1"));
    open[0].send(request_bytes("GET", "/y", &[("Authorization", &token)], b""));
    assert_eq!(open[0].response().expect("a response").status, 200);
}

#[test]
fn stalled_request_body_is_408() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_UPSTREAM__IDLE_TIMEOUT", "300ms"));
    let mut client = Client::connect(stage.gateway.proxy);
    let token = bearer(&Token::user());
    client.send(format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: 100\r\n\r\nhalf"
    ));
    let response = client.response().expect("a response");
    assert_eq!(response.status, 408, "504 would make the client retry");
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(client.rest(), "");
}

#[test]
fn header_timeout_ignores_a_body_sent_after_the_response_began() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")?;
        let body = exchange.read_body()?;
        exchange.send(format!("{:x}\r\n", body.len()))?;
        exchange.send(body)?;
        exchange.send("\r\n0\r\n\r\n")?;
        Ok(Next::KeepOpen)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| {
        setup.env("METAGATE_LIMITS__HEADER_READ_TIMEOUT", "300ms")
    });
    let address = stage.gateway.proxy;
    let token = bearer(&Token::user());
    let mut client = Client::connect(address);
    client.send(format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: 12\r\n\r\none "
    ));
    let (status, head) = client.response_head().expect("the response begins");
    let mut body = client.body_after(status, &head);
    assert_eq!(client.piece(&mut body).expect("a piece"), Some(b"early".to_vec()));
    client.send("two ");
    // The end of another connection shows that the header timeout has passed twice.
    closed_after(address, "");
    closed_after(address, "");
    client.send("last");
    assert_eq!(client.piece(&mut body).expect("a piece"), Some(b"one two last".to_vec()));
}
