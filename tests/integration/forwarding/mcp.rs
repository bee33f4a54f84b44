//! Sessions of an MCP client with two MCP servers, as `tests/real/mcp/run --trace` recorded them: streamable HTTP and
//! server-sent events. The requests arrive unchanged, and each event reaches the client before the server sends the next.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::recorded::{Recorded, arrived};
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::message::Body;
use crate::support::stage::Stage;
use crate::support::stub::{Exchange, Gate, Next};
use crate::support::token::Token;
use crate::support::upstream::Upstream;
use crate::support::wire::{Client, NoResponse};

const TRACE: &str = include_str!("../../data/mcp-exchanges.jsonl");
/// Requests, and events in their responses, of each server.
const SESSIONS: [(&str, usize, usize); 2] = [("mcp-server-datahub", 5, 4), ("mcp-server-openmetadata", 6, 5)];

/// Fields that the gateway adds: a trace has no date.
const OURS: [&str; 2] = ["date", "x-request-id"];

/// What the server answered to one request.
#[derive(Clone, Default)]
struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    is_chunked: bool,
    pieces: Vec<String>,
    /// Whether the stream was ended properly, or by the end of the session.
    is_complete: bool,
    /// After each piece, whether the client has it.
    delivered: Vec<Gate>,
}

impl Answer {
    fn read(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).expect("a recorded exchange");
        let response = &value["response"];
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let list = |value: &Value| value.as_array().expect("a list").clone();
        let pieces: Vec<_> = list(&response["pieces"]).iter().map(text).collect();
        Self {
            status: response["status"].as_u64().and_then(|status| status.try_into().ok()).expect("a status"),
            fields: list(&response["headers"]).iter().map(|it| (text(&it[0]), text(&it[1]))).collect(),
            is_chunked: response["framing"] == "chunked",
            delivered: pieces.iter().map(|_| Gate::default()).collect(),
            pieces,
            is_complete: response["complete"] == true,
        }
    }

    /// The fields that are not about the connection, with lower-case names.
    fn end_to_end<'a>(fields: impl Iterator<Item = &'a (String, String)>) -> Vec<(String, String)> {
        fields
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .filter(|(name, _)| {
                !["connection", "transfer-encoding", "content-length"].contains(&name.as_str())
            })
            .collect()
    }
}

/// Sends the answer piece by piece, each only once the client has the one before.
fn respond(exchange: &mut Exchange, answer: &Mutex<Answer>) -> io::Result<Next> {
    exchange.read_body()?;
    let answer = answer.lock().expect("no poisoned lock").clone();
    let mut head = format!("HTTP/1.1 {} Recorded\r\n", answer.status);
    for (name, value) in &answer.fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    exchange.send(head + "\r\n")?;
    for (piece, delivered) in answer.pieces.iter().zip(&answer.delivered) {
        if answer.is_chunked {
            exchange.send(format!("{:x}\r\n{piece}\r\n", piece.len()))?;
        } else {
            exchange.send(piece)?;
        }
        exchange.hold(delivered);
    }
    if !answer.is_complete {
        return Ok(Next::Close);
    }
    if answer.is_chunked {
        exchange.send("0\r\n\r\n")?;
    }
    Ok(Next::KeepOpen)
}

/// Reads as much of a body as the piece has.
fn read_piece(client: &mut Client, body: &mut Body, piece: &str) -> Result<(), NoResponse> {
    let mut read = Vec::new();
    while read.len() < piece.len() {
        read.extend(client.piece(body)?.expect("the rest of an event"));
    }
    assert_eq!(String::from_utf8_lossy(&read), piece);
    Ok(())
}

#[track_caller]
fn check_response(client: &mut Client, answer: &Answer, what: &str) {
    let (status, head) = client.response_head().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(status, answer.status, "{what}");
    let arrived = Answer::end_to_end(head.headers.iter());
    let arrived: Vec<_> = arrived.into_iter().filter(|(name, _)| !OURS.contains(&name.as_str())).collect();
    assert_eq!(arrived, Answer::end_to_end(answer.fields.iter()), "{what}");
    let mut body = client.body_after(status, &head);
    for (piece, delivered) in answer.pieces.iter().zip(&answer.delivered) {
        read_piece(client, &mut body, piece).unwrap_or_else(|error| panic!("{what}: {error}"));
        delivered.open();
    }
    match client.piece(&mut body) {
        Ok(None) => assert!(answer.is_complete, "{what}: the stream ended as if it was complete"),
        Err(NoResponse::Cut(_)) => assert!(!answer.is_complete, "{what}: the stream was cut"),
        other => panic!("{what}: {other:?} after the last event"),
    }
}

#[test]
fn recorded_mcp_sessions_pass_event_by_event() {
    let token = Token::bot().encode();
    let current: Arc<Mutex<Answer>> = Arc::default();
    let answer = Arc::clone(&current);
    let upstream = Upstream::scripted(move |exchange| respond(exchange, &answer));
    let stage = Stage::with(Issuer::of(keys::rsa()), upstream, |setup| setup);
    let mut seen = SESSIONS.map(|(server, _, _)| (server, 0, 0));
    for line in TRACE.lines() {
        let recorded = Recorded::read(line, &token);
        let answer = Answer::read(line);
        *current.lock().expect("no poisoned lock") = answer.clone();
        let server =
            seen.iter_mut().find(|(server, _, _)| recorded.client == *server).expect("a known server");
        server.1 += 1;
        server.2 += answer.pieces.iter().filter(|piece| piece.starts_with("event: ")).count();
        let what = format!("{} {} {}", recorded.client, recorded.method, recorded.target);
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(recorded.bytes());
        check_response(&mut client, &answer, &what);
        let request = stage.upstream.request_to(&recorded.target);
        assert_eq!(request.head.problems, Vec::<String>::new(), "{what}");
        assert_eq!(request.body, recorded.body, "{what}");
        assert_eq!(arrived(&request), recorded.end_to_end(), "{what}");
    }
    assert_eq!(seen, SESSIONS, "requests and events of each session");
}
