//! Header sections and frames that a compliant client does not send. Each carries a valid token.

use crate::support::http2::{
    Arrived, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2Client, RST_STREAM,
    RawClient, frame, literals,
};
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::stub::Next;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;

/// The outcome of stream 1.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The stream, or the connection, ended with an error.
    Error,
    /// A response with this status, which is in HPACK's static table.
    Response(u16),
    /// A response with another status.
    Other,
}

fn outcome(arrived: &Arrived) -> Outcome {
    match (arrived.kind, arrived.payload.first()) {
        (RST_STREAM | GOAWAY, _) => Outcome::Error,
        (_, Some(0x88)) => Outcome::Response(200),
        (_, Some(0x8c)) => Outcome::Response(400),
        _ => Outcome::Other,
    }
}

/// A valid header section: `POST /frames` with a token.
fn good(token: &str) -> Vec<(String, String)> {
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/frames"),
        (":authority", "gateway.test"),
        ("authorization", token),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn head(fields: &[(String, String)]) -> Vec<u8> {
    literals(&fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>())
}

/// The valid header section with fields replaced in place, or appended if they are new.
fn with(token: &str, changes: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = good(token);
    for (name, value) in changes {
        match fields.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => *own = (*value).to_owned(),
            None => fields.push(((*name).to_owned(), (*value).to_owned())),
        }
    }
    head(&fields)
}

/// The valid header section with these fields appended, even if they exist already.
fn and(token: &str, more: &[(&str, &str)]) -> Vec<u8> {
    [head(&good(token)), literals(more)].concat()
}

fn without(token: &str, name: &str) -> Vec<u8> {
    head(&good(token).into_iter().filter(|(own, _)| own != name).collect::<Vec<_>>())
}

#[track_caller]
fn send(stage: &Stage, frames: &[u8]) -> Outcome {
    let mut client = RawClient::connect(stage.gateway.proxy);
    client.send(frames);
    let interesting = |arrived: &Arrived| {
        arrived.kind == GOAWAY || (arrived.stream == 1 && [RST_STREAM, HEADERS].contains(&arrived.kind))
    };
    client.find(interesting).map_or(Outcome::Error, |arrived| outcome(&arrived))
}

#[test]
fn malformed_h2_heads_are_not_forwarded() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let token = token.as_str();
    let cases = [
        ("S28 transfer-encoding", and(token, &[("transfer-encoding", "chunked")])),
        ("S29 CRLF in a value", and(token, &[("x", "a\r\nhost: evil")])),
        ("S29 LF in a value", and(token, &[("x", "a\nb")])),
        ("S29 NUL in a value", and(token, &[("x", "a\0b")])),
        ("S29 CRLF in a name", and(token, &[("x: a\r\ny", "b")])),
        ("S29 upper case", and(token, &[("X-Own", "b")])),
        ("S29 space in a name", and(token, &[("x y", "b")])),
        ("S29 empty name", and(token, &[("", "b")])),
        ("S30 CRLF in :path", with(token, &[(":path", "/ HTTP/1.1\r\nHost: evil")])),
        ("S30 space in :path", with(token, &[(":path", "/a b")])),
        ("S30 space in :method", with(token, &[(":method", "GET /admin")])),
        ("S30 CRLF in :authority", with(token, &[(":authority", "a\r\nx: y")])),
        ("S31 no slash", with(token, &[(":path", "frames")])),
        ("S31 empty :path", with(token, &[(":path", "")])),
        ("S31 absolute :path", with(token, &[(":path", "http://a/frames")])),
        ("S32 *", with(token, &[(":path", "*")])),
        ("S32 userinfo", with(token, &[(":authority", "u@a")])),
        ("S32 another host", and(token, &[("host", "other.test")])),
        ("S32 no authority", without(token, ":authority")),
        ("S32 scheme", with(token, &[(":scheme", "ftp")])),
        ("S33 :path twice", [literals(&[(":path", "/admin")]), head(&good(token))].concat()),
        ("S33 :authority twice", [literals(&[(":authority", "b")]), head(&good(token))].concat()),
        ("S33 pseudo after regular", and(token, &[(":path", "/admin")])),
        ("S33 unknown pseudo", [literals(&[(":x", "y")]), head(&good(token))].concat()),
        ("S33 :status", [literals(&[(":status", "200")]), head(&good(token))].concat()),
        ("S33 no :path", without(token, ":path")),
        ("S33 no :method", without(token, ":method")),
        ("S33 no :scheme", without(token, ":scheme")),
        ("S34 connection", and(token, &[("connection", "authorization")])),
        ("S34 keep-alive", and(token, &[("keep-alive", "timeout=5")])),
        ("S34 proxy-connection", and(token, &[("proxy-connection", "close")])),
        ("S34 upgrade", and(token, &[("upgrade", "websocket")])),
        ("S34 te", and(token, &[("te", "gzip")])),
        (
            "S35 CONNECT",
            literals(&[(":method", "CONNECT"), (":authority", "a:443"), ("authorization", token)]),
        ),
        (
            "S35 extended CONNECT",
            [literals(&[(":protocol", "websocket")]), with(token, &[(":method", "CONNECT")])].concat(),
        ),
        ("P20 TRACE", with(token, &[(":method", "TRACE")])),
        ("two tokens", and(token, &[("authorization", token)])),
        ("two lengths", and(token, &[("content-length", "0"), ("content-length", "0")])),
        ("I04 underscore", and(token, &[("content_length", "5")])),
        ("dot segments", with(token, &[(":path", "/a/../admin")])),
    ];
    for (name, block) in &cases {
        let outcome = send(&stage, &frame(HEADERS, END_HEADERS | END_STREAM, 1, block));
        assert_ne!(outcome, Outcome::Response(200), "{name}");
        // 405 is not in the static table.
        let method = name.starts_with("S35") || name.starts_with("P20");
        assert!(method || outcome != Outcome::Other, "{name}: neither 400 nor an error");
    }
    assert!(stage.upstream.requests().is_empty(), "{:#?}", stage.upstream.requests());
    let good = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head(&good(token)));
    assert_eq!(send(&stage, &good), Outcome::Response(200), "the valid header section");
}

#[test]
fn refused_h2_head_gets_a_response_and_a_record() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    for (path, recorded) in [("#", "#"), ("/a#b", "/a#b"), ("?a", ""), ("/a?b#c", "/a"), ("/\\1", "/\\1")] {
        let head = with(&token, &[(":path", path)]);
        assert_eq!(
            send(&stage, &frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)),
            Outcome::Response(400),
            "{path}"
        );
        let record = stage.gateway.audit_of(recorded);
        assert_eq!((&record["status"], &record["method"]), (&400.into(), &"POST".into()), "{path}");
    }
    for name in ["x\"y", "X-Upper", "x y"] {
        let head = and(&token, &[(name, "x")]);
        assert_eq!(
            send(&stage, &frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)),
            Outcome::Response(400),
            "{name}"
        );
    }
    assert!(stage.upstream.requests().is_empty(), "{:#?}", stage.upstream.requests());

    // The body is discarded; other streams and the connection continue.
    let mut client = RawClient::connect(stage.gateway.proxy);
    let refused = [
        frame(HEADERS, END_HEADERS, 1, &with(&token, &[(":path", "/refused#")])),
        frame(DATA, 0, 1, b"a body"),
        frame(HEADERS, END_HEADERS, 3, &with(&token, &[(":path", "/also#refused"), (":method", "HEAD")])),
        frame(HEADERS, END_HEADERS | END_STREAM, 5, &head(&good(&token))),
    ];
    client.send(refused.concat());
    let responses: std::collections::HashMap<u32, Arrived> =
        std::iter::from_fn(|| client.find(|arrived| arrived.kind == HEADERS))
            .take(3)
            .map(|arrived| (arrived.stream, arrived))
            .collect();
    assert_eq!([1, 3, 5].map(|stream| outcome(&responses[&stream])), [400, 400, 200].map(Outcome::Response));
    assert_eq!(responses[&3].flags & END_STREAM, END_STREAM, "the response to HEAD has no body");
    assert!(client.answers_ping());
}

#[test]
fn content_length_mismatch_never_completes_a_request() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    for (length, body) in
        [("0", &b"GET /admin HTTP/1.1\r\n\r\n"[..]), ("5", b"hello world"), ("50", b"hello")]
    {
        let head = and(&token, &[("content-length", length)]);
        let frames = [frame(HEADERS, END_HEADERS, 1, &head), frame(DATA, END_STREAM, 1, body)].concat();
        assert_eq!(send(&stage, &frames), Outcome::Error, "S27 {length}");
    }
    // In pieces, waiting for each to be processed.
    for (length, pieces) in
        [("0", &[&b""[..], b"x"][..]), ("5", &[b"hello", b"", b" world"]), ("5", &[b"he", b"llo", b"!"])]
    {
        let mut client = RawClient::connect(stage.gateway.proxy);
        client.send(frame(HEADERS, END_HEADERS, 1, &and(&token, &[("content-length", length)])));
        for piece in pieces {
            assert!(client.answers_ping(), "{length}");
            client.send(frame(DATA, 0, 1, piece));
        }
        let reset = client.find(|arrived| arrived.stream == 1).expect("a frame");
        assert_eq!((reset.kind, reset.code()), (RST_STREAM, Some(1)), "S27 {length} in pieces: {reset:?}");
    }
    let head = and(&token, &[("content-length", "5")]);
    let ended = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head);
    assert_ne!(send(&stage, &ended), Outcome::Response(200), "S27: there is no body");
    let whole = |request: &crate::support::stub::Received| request.complete;
    assert!(!stage.upstream.requests().iter().any(whole), "S27 {:#?}", stage.upstream.requests());
}

#[test]
fn request_is_complete_when_its_stream_ends() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    for (length, body) in [("0", ""), ("5", "hello")] {
        let mut client = RawClient::connect(stage.gateway.proxy);
        let path = format!("/{length}");
        let mut fields = good(&token);
        fields[2].1.clone_from(&path);
        fields.push(("content-length".to_owned(), length.to_owned()));
        client.send(frame(HEADERS, END_HEADERS, 1, &head(&fields)));
        if !body.is_empty() {
            client.send(frame(DATA, 0, 1, body.as_bytes()));
        }
        assert!(client.answers_ping());
        client.send(frame(DATA, 0, 1, b""));
        client.send(frame(DATA, END_STREAM, 1, b""));
        let response = client.find(|arrived| arrived.kind == HEADERS).expect("a response");
        assert_eq!(outcome(&response), Outcome::Response(200), "{length}");
        let request = stage.upstream.request_to(&path);
        assert_eq!((request.body.as_slice(), request.complete), (body.as_bytes(), true));
        assert_eq!(request.head.value("content-length"), Some(length));
    }
}

#[test]
fn h2_request_trailers_are_dropped() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let trailers =
        literals(&[("x-forwarded-user", "admin"), ("content-length", "5"), ("authorization", "Bearer x")]);
    let frames = [
        frame(HEADERS, END_HEADERS, 1, &head(&good(&token))),
        frame(DATA, 0, 1, b"hi"),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers),
    ];
    assert_eq!(send(&stage, &frames.concat()), Outcome::Response(200), "S19");
    let request = stage.upstream.request_to("/frames");
    assert_eq!((request.body.as_slice(), request.trailers), (&b"hi"[..], vec![]));
}

#[test]
fn h2_heads_over_the_limits_are_refused() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_LIMITS__HEADER_BYTES", "16KiB"));
    let token = bearer(&Token::bot());
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let large = "x".repeat(20_000);
    let response = client.send("GET", "/large", &[("authorization", &token), ("x", &large)], b"");
    assert!(response.is_err() || response.is_ok_and(|response| response.status == 431), "S41");
    // The HPACK bomb: a thousand one-byte references to a field of four thousand bytes.
    let value = "y".repeat(4000);
    let mut bomb = and(&token, &[]);
    bomb.push(0x40);
    bomb.extend(&literals(&[("x-bomb", &value)])[1..]);
    bomb.extend([0xbe; 1000]);
    let outcome = send(&stage, &frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb));
    assert_ne!(outcome, Outcome::Response(200), "S41");
    assert!(stage.upstream.requests().is_empty(), "S41");

    let stage = Stage::plain(|setup| setup);
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let names: Vec<String> = (0..100).map(|number| format!("x-{number}")).collect();
    let fields = |count: usize| -> Vec<(&str, &str)> {
        let token = ("authorization", token.as_str());
        names.iter().take(count - 1).map(|name| (name.as_str(), "y")).chain([token]).collect()
    };
    assert_eq!(client.send("GET", "/100", &fields(100), b"").expect("a response").status, 200);
    let response = client.send("GET", "/101", &fields(101), b"").expect("a response");
    assert_eq!(response.text(), r#"{"code":431,"message":"Request head is too large"}"#);
    let record = stage.gateway.audit_of("/101");
    assert_eq!(
        (&record["status"], &record["reason"], &record["method"]),
        (&431.into(), &"head_too_large".into(), &"GET".into())
    );
    let target = format!("/{}", "x".repeat(8191));
    assert_eq!(client.send("GET", &target, &fields(2), b"").expect("a response").status, 200);
    let response = client.send("GET", &format!("{target}y"), &fields(2), b"").expect("a response");
    assert_eq!(response.status, 414, "as over HTTP/1");
    let large = "x".repeat(17 * 1024);
    let fields = [("authorization", token.as_str()), ("x", &large)];
    assert_eq!(
        client.send("GET", "/17", &fields, b"").expect("a response").status,
        200,
        "64KiB is the limit"
    );
}

#[test]
fn client_with_a_closed_window_is_disconnected() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.read_body()?;
        exchange.reply(200, &[], vec![b'x'; 1_000_000])?;
        Ok(Next::KeepOpen)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| {
        setup.env("METAGATE_UPSTREAM__IDLE_TIMEOUT", "300ms")
    });
    let token = bearer(&Token::bot());
    let mut client = RawClient::with_settings(stage.gateway.proxy, &[(4, 0)]);
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head(&good(&token))));
    let goaway = client.find(|arrived| arrived.kind == GOAWAY).expect("GOAWAY");
    assert_eq!(goaway.code(), Some(0), "S42");
    drop(client);
    assert_eq!(stage.gateway.audit_of("/frames")["complete"], false);
}

#[test]
fn continuation_frames_make_one_head() {
    let stage = Stage::plain(|setup| setup);
    let block = head(&good(&bearer(&Token::bot())));
    let (one, other) = block.split_at(20);
    let frames = [frame(HEADERS, END_STREAM, 1, one), frame(CONTINUATION, END_HEADERS, 1, other)].concat();
    assert_eq!(send(&stage, &frames), Outcome::Response(200));
    // No other frame may come between them.
    let frames = [
        frame(HEADERS, END_STREAM, 1, one),
        frame(DATA, 0, 1, b"x"),
        frame(CONTINUATION, END_HEADERS, 1, other),
    ];
    assert_eq!(send(&stage, &frames.concat()), Outcome::Error);
}
