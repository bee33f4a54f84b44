//! How long a connection may do nothing, and how many there may be.

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

/// Sends the beginning of something and reads until the connection is closed.
fn closed_after(address: SocketAddr, beginning: &str) -> String {
    let mut client = Client::connect(address);
    client.send(beginning);
    client.rest()
}

#[test]
fn a_client_that_sends_no_whole_head_is_closed() {
    let stage = impatient();
    let address = stage.gateway.proxy;
    // The second looks like HTTP/2's preface, which a detecting server waits for without end.
    for beginning in ["", "PRI * HT", "GET / HTTP/1.1\r\nHost: a\r\n", "G"] {
        let response = closed_after(address, beginning);
        assert!(response.is_empty() || response.starts_with("HTTP/1.1 4"), "{beginning:?}: {response}");
    }
    assert!(stage.upstream.requests().is_empty());
}

#[test]
fn the_next_head_has_its_time_too() {
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
fn a_connection_may_wait_for_its_next_request_for_longer_than_a_head_may_take() {
    let stage = impatient();
    let address = stage.gateway.proxy;
    let token = bearer(&Token::user());
    let request = |path: &str| request_bytes("GET", path, &[("Authorization", &token)], b"");
    let mut client = Client::connect(address);
    client.send(request("/first"));
    assert_eq!(client.response().expect("a response").status, 200);
    // Another connection's end is the clock: a head's time has passed twice.
    closed_after(address, "");
    closed_after(address, "");
    client.send(request("/second"));
    assert_eq!(client.response().expect("the connection is still there").status, 200);
}

#[test]
fn one_connection_too_many_is_turned_away_and_the_others_are_served() {
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
fn a_client_that_stalls_in_its_body_is_not_the_backends_fault() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_UPSTREAM__IDLE_TIMEOUT", "300ms"));
    let mut client = Client::connect(stage.gateway.proxy);
    let token = bearer(&Token::user());
    client.send(format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: 100\r\n\r\nhalf"
    ));
    let response = client.response().expect("a response");
    assert_eq!(response.status, 408, "504 would have the client send it all again");
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(client.rest(), "");
}

#[test]
fn a_body_that_goes_on_after_the_answer_has_begun_is_no_slow_head() {
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
    let (status, head) = client.response_head().expect("the answer begins");
    let mut body = client.body_after(status, &head);
    assert_eq!(client.piece(&mut body).expect("a piece"), Some(b"early".to_vec()));
    client.send("two ");
    // Another connection's end is the clock: a head's time has passed twice.
    closed_after(address, "");
    closed_after(address, "");
    client.send("last");
    assert_eq!(client.piece(&mut body).expect("a piece"), Some(b"one two last".to_vec()));
}
