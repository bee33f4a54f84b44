//! How a tunnel ends without either side closing it: shutdown, token expiry, silence, a lost peer.

use std::time::Instant;

use super::{authorized, read, rest, stage, tunnel};
use crate::support::eventually;
use crate::support::token::{Token, bearer};
use crate::support::wire::Client;

/// A masked text frame, as a client sends it.
const HELLO: &[u8] = b"\x81\x85\0\0\0\0hello";

fn close(code: u16) -> Vec<u8> {
    [&[0x88, 2][..], &code.to_be_bytes()].concat()
}

fn masked_close(code: u16) -> Vec<u8> {
    [&[0x88, 0x82, 0, 0, 0, 0][..], &code.to_be_bytes()].concat()
}

#[test]
fn draining_sends_close_only_between_websocket_frames() {
    let mut stage = stage(|setup| setup.env("METAGATE_SHUTDOWN__DRAIN_TIMEOUT", "60s"));
    let head = authorized("/socket", &Token::user());
    let (mut idle, mut within) = (tunnel(&stage, &head), tunnel(&stage, &head));
    idle.send(HELLO);
    assert_eq!(read(&mut idle, HELLO.len()), HELLO);
    // The second frame here lacks its payload, so nothing may be inserted.
    within.send([HELLO, &HELLO[..6]].concat());
    let echoed = HELLO.len() + 6;
    assert_eq!(read(&mut within, echoed).len(), echoed);
    stage.gateway.terminate();
    assert_eq!(rest(&mut idle), close(1001));
    assert_eq!(rest(&mut within), b"", "within a frame the connection is only closed");
    assert_eq!(stage.gateway.wait_exit(), Some(0), "before the drain timeout");
    let closed = [HELLO, &masked_close(1001)].concat();
    eventually("the Close frame upstream", || stage.upstream.raw(0).ends_with(&closed).then_some(()));
    assert!(
        stage.upstream.raw(1).ends_with(&[HELLO, &HELLO[..6]].concat()),
        "nothing inserted within a frame"
    );
    let records = stage.gateway.audit();
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| record["status"] == 101 && record["complete"] == false));
}

#[test]
fn token_expiry_ends_its_tunnel_if_configured() {
    let strict = stage(|setup| {
        setup
            .env("METAGATE_UPSTREAM__CLOSE_ON_TOKEN_EXPIRY", "true")
            .env("METAGATE_AUTHENTICATION__LEEWAY", "0s")
    });
    let lax = stage(|setup| setup.env("METAGATE_AUTHENTICATION__LEEWAY", "0s"));
    let token = Token::user().expires_in(2);
    let mut kept = tunnel(&lax, &authorized("/socket", &token));
    let mut ended = tunnel(&strict, &authorized("/socket", &token));
    let mut lasting = tunnel(&strict, &authorized("/socket", &Token::bot()));
    assert_eq!(rest(&mut ended), close(1008));
    for client in [&mut kept, &mut lasting] {
        client.send(HELLO);
        assert_eq!(read(client, HELLO.len()), HELLO);
    }
    assert_eq!(strict.gateway.audit_of("/socket")["complete"], false);
}

#[test]
fn token_expiry_ends_its_stream_if_configured() {
    use crate::support::issuer::Issuer;
    use crate::support::keys::rsa;
    use crate::support::stage::Stage;
    use crate::support::stub::{Gate, Next};
    use crate::support::upstream::Upstream;
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::scripted(move |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")?;
        exchange.hold(&held);
        Ok(Next::Close)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| {
        setup
            .env("METAGATE_UPSTREAM__CLOSE_ON_TOKEN_EXPIRY", "true")
            .env("METAGATE_AUTHENTICATION__LEEWAY", "0s")
    });
    let mut client = Client::connect(stage.gateway.proxy);
    let token = bearer(&Token::user().expires_in(2));
    client.send(format!("GET /events HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n"));
    let response = rest(&mut client);
    assert!(response.ends_with(b"2\r\nhi\r\n"), "no last chunk: {}", String::from_utf8_lossy(&response));
    assert_eq!(stage.gateway.audit_of("/events")["complete"], false);
    gate.open();
}

#[test]
fn idle_tunnel_times_out() {
    let stage = stage(|setup| setup.env("METAGATE_UPSTREAM__IDLE_TIMEOUT", "300ms"));
    let mut client = tunnel(&stage, &authorized("/socket", &Token::user()));
    let mut moving = tunnel(&stage, &authorized("/moving", &Token::user()));
    let started = Instant::now();
    // An active tunnel stays open.
    while started.elapsed().as_millis() < 700 {
        moving.send(HELLO);
        assert_eq!(read(&mut moving, HELLO.len()), HELLO);
    }
    assert_eq!(rest(&mut client), b"", "cut");
    assert_eq!(stage.gateway.audit_of("/socket")["complete"], false);
    moving.send(HELLO);
    assert_eq!(read(&mut moving, HELLO.len()), HELLO);
}

#[test]
fn lost_client_or_backend_ends_the_tunnel() {
    let stage = stage(|setup| setup);
    let mut client = tunnel(&stage, &authorized("/client", &Token::user()));
    client.send(HELLO);
    assert_eq!(read(&mut client, HELLO.len()), HELLO);
    drop(client);
    assert_eq!(stage.gateway.audit_of("/client")["status"], 101);

    let mut client = tunnel(&stage, &authorized("/backend", &Token::user()));
    stage.upstream.close_connections();
    assert_eq!(rest(&mut client), b"");
    client.half_close();
    assert_eq!(stage.gateway.audit_of("/backend")["status"], 101);
}
