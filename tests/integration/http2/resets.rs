//! Requests that the client resets or causes to be reset have a budget, which well-behaved clients
//! do not exhaust.

use crate::support::eventually;
use crate::support::http2::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2Client, PING, RST_STREAM, RawClient, WINDOW_UPDATE,
    frame, literals,
};
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::stub::{Gate, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;

const ENHANCE_YOUR_CALM: u32 = 0xb;
const CANCEL: u32 = 8;
/// Far more than the budget.
const MANY: u32 = 1000;

fn request(stream: u32, path: &str, token: &str) -> Vec<u8> {
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "gateway.test"),
        ("authorization", token),
    ];
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &literals(&fields))
}

/// A backend that does not respond until the gate opens.
fn silent(gate: &Gate) -> Upstream {
    let held = gate.clone();
    Upstream::scripted(move |exchange| {
        exchange.hold(&held);
        Ok(Next::Close)
    })
}

/// Starts requests and ends each with these bytes until the connection is closed. Returns how many
/// reached the backend.
#[track_caller]
fn reset_each(end: impl Fn(u32) -> Vec<u8>) -> usize {
    let gate = Gate::default();
    let stage = Stage::with(Issuer::of(rsa()), silent(&gate), |setup| setup);
    let token = bearer(&Token::bot());
    let mut client = RawClient::connect(stage.gateway.proxy);
    let mut calm = None;
    for number in 0..MANY {
        let stream = 2 * number + 1;
        client.send(request(stream, &format!("/{number}"), &token));
        client.send(end(stream));
        // Either the PING is acknowledged, after all of that is processed, or the connection is
        // closed.
        client.send(frame(PING, 0, 0, b"metagate"));
        let arrived =
            client.find(|arrived| (arrived.kind == PING && arrived.flags == 1) || arrived.kind == GOAWAY);
        calm = arrived.filter(|arrived| arrived.kind == GOAWAY).and_then(|arrived| arrived.code());
        if calm.is_some() {
            break;
        }
    }
    assert_eq!(calm, Some(ENHANCE_YOUR_CALM));
    client.end();
    gate.open();
    // Other clients are served.
    let mut other = Http2Client::connect(stage.gateway.proxy);
    assert_eq!(other.send("GET", "/x", &[], b"").expect("a response").status, 401);
    stage.upstream.requests().len()
}

#[test]
fn client_that_resets_many_requests_is_disconnected() {
    let count = reset_each(|stream| frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    assert!(count <= 210, "{count} requests reached the backend");
}

#[test]
fn client_that_causes_many_resets_is_disconnected() {
    let count = reset_each(|stream| frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]));
    assert!(count <= 210, "{count} requests reached the backend");
}

#[test]
fn client_that_cancels_some_requests_stays_connected() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let mut client = RawClient::connect(stage.gateway.proxy);
    for number in 0..500 {
        let stream = 10 * number + 1;
        client.send(request(stream, "/cancelled", &token));
        client.send(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
        for answered in (stream + 2..stream + 10).step_by(2) {
            client.send(request(answered, "/x", &token));
            let ended = client.find(|arrived| arrived.stream == answered && arrived.flags & END_STREAM != 0);
            assert!(ended.is_some_and(|arrived| [DATA, HEADERS].contains(&arrived.kind)), "{answered}");
            client.send(frame(WINDOW_UPDATE, 0, 0, &1000_u32.to_be_bytes()));
            // A reset after the response does not count against the budget.
            client.send(frame(RST_STREAM, 0, answered, &CANCEL.to_be_bytes()));
        }
    }
    assert!(client.answers_ping());
    eventually("all of them to be recorded", || (stage.gateway.audit().len() >= 2500).then_some(()));
}
