//! Frame floods: the connection is closed, memory does not grow, and other clients are served.

use std::fs;

use crate::support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, RawClient, SETTINGS,
    WINDOW_UPDATE, frame, literals,
};
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};

const COUNT: usize = 100_000;
/// The most that a flood may add to the memory of the process.
const GROWTH_KIB: usize = 8 * 1024;

fn request(stream: u32, flags: u8, token: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/flood"),
        (":authority", "gateway.test"),
        ("authorization", token),
    ];
    frame(HEADERS, flags, stream, &literals(&fields))
}

/// The resident memory of the gateway.
fn resident_kib(stage: &Stage) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", stage.gateway.id())).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Sends until the connection is closed. Returns how many pieces were written.
#[track_caller]
fn flood(stage: &Stage, name: &str, beginning: &[u8], mut piece: impl FnMut(u32) -> Vec<u8>) -> usize {
    let before = resident_kib(stage);
    let mut client = RawClient::connect(stage.gateway.proxy);
    client.send(beginning);
    let sent = (0..COUNT).take_while(|number| client.send(piece(*number as u32))).count();
    let mut other = crate::support::http2::Http2Client::connect(stage.gateway.proxy);
    assert_eq!(
        other.send("GET", "/x", &[], b"").expect("a response").status,
        401,
        "{name}: other clients are served"
    );
    let codes = client.end();
    let growth = resident_kib(stage).saturating_sub(before);
    println!("{name}: closed by {sent} of {COUNT}, GOAWAY {codes:?}, {growth} KiB more");
    assert!(growth < GROWTH_KIB, "{name}: {growth} KiB more");
    sent
}

#[test]
fn floods_of_control_frames_end_the_connection() {
    let stage = Stage::plain(|setup| setup);
    // Pieces of a hundred frames: socket buffers would hide the effect of single ones.
    let hundred = |kind: u8, stream: u32, payload: &[u8]| frame(kind, 0, stream, payload).repeat(100);
    for (name, kind, stream, payload) in [
        ("S39 SETTINGS", SETTINGS, 0, &[][..]),
        ("S39 PING", PING, 0, &[0; 8]),
        ("S39 PRIORITY", PRIORITY, 1, &[0, 0, 0, 3, 1]),
        ("S39 WINDOW_UPDATE", WINDOW_UPDATE, 0, &[0, 0, 0, 0x01]),
        ("S39 unknown", 0xf0, 0, &[0; 8]),
    ] {
        let sent = flood(&stage, name, &[], |_| hundred(kind, stream, payload));
        assert!(sent < COUNT, "{name}");
    }
}

#[test]
fn rapid_reset_ends_the_connection() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let sent = flood(&stage, "S36 rapid reset", &[], |number| {
        let stream = number * 2 + 1;
        [
            request(stream, END_HEADERS | END_STREAM, &token),
            frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
        ]
        .concat()
    });
    assert!(sent < COUNT, "S36");
    println!("{} of them went upstream", stage.upstream.requests().len());
}

#[test]
fn floods_of_stream_errors_end_the_connection() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    for (name, offence) in [
        ("S37 WINDOW_UPDATE of 0", frame(WINDOW_UPDATE, 0, 1, &[0; 4])),
        ("S37 WINDOW_UPDATE that overflows", frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])),
        ("S37 DATA after the end", frame(DATA, 0, 1, b"x")),
        ("S37 PRIORITY on itself", frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 1])),
    ] {
        let sent = flood(&stage, name, &[], |number| {
            let stream = number * 2 + 1;
            let mut offence = offence.clone();
            offence[5..9].copy_from_slice(&stream.to_be_bytes());
            if name.contains("itself") {
                offence[9..13].copy_from_slice(&stream.to_be_bytes());
            }
            [request(stream, END_HEADERS | END_STREAM, &token), offence].concat()
        });
        assert!(sent < COUNT, "{name}");
    }
}

#[test]
fn endless_continuation_and_empty_data_end_the_connection() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let open = request(1, 0, &token);
    for (name, payload) in [("S38 empty CONTINUATION", 0), ("S38 large CONTINUATION", 16_000)] {
        let piece =
            frame(CONTINUATION, 0, 1, &literals(&[("x", &"y".repeat(payload))])[..payload.min(16_000)]);
        let sent = flood(&stage, name, &open, |_| piece.clone());
        assert!(sent < COUNT, "{name}");
    }
    let begun = request(1, END_HEADERS, &token);
    let sent = flood(&stage, "S40 empty DATA", &begun, |_| frame(DATA, 0, 1, &[]));
    assert!(sent < COUNT, "S40");
}
