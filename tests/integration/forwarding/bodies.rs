//! Bodies stream in both directions without buffering.

use crate::support::http2::Http2Client;
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::stub::{Gate, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;
use crate::support::wire::{self, Client, request_bytes};

#[test]
fn response_body_is_streamed() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::scripted(move |exchange| {
        exchange.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        exchange.send("d\r\ndata: first\n\n\r\n")?;
        exchange.hold(&held);
        exchange.send("e\r\ndata: second\n\n\r\n0\r\n\r\n")?;
        Ok(Next::KeepOpen)
    });
    let stage = Stage::with(Issuer::of(keys::rsa()), upstream, |setup| setup);
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(request_bytes("GET", "/events", &[("Authorization", &bearer(&Token::bot()))], b""));
    let (status, head) = client.response_head().expect("a head");
    assert_eq!((status, head.value("content-type")), (200, Some("text/event-stream")));
    let mut body = client.body_after(status, &head);
    let mut read = Vec::new();
    while read.len() < 13 {
        read.extend(client.piece(&mut body).expect("the first event").expect("more"));
    }
    assert_eq!(read, b"data: first\n\n");
    gate.open();
    while let Some(piece) = client.piece(&mut body).expect("the rest") {
        read.extend(piece);
    }
    assert_eq!(read, b"data: first\n\ndata: second\n\n");
}

#[test]
fn request_body_is_streamed() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let head = format!(
        "POST /chunks HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!("{head}5\r\nhello\r\n"));
    stage.upstream.wait_for("the first chunk", |all| (all.first()?.body == b"hello").then_some(()));
    assert!(!stage.upstream.only_request().complete);
    client.send("6\r\n world\r\n0\r\n\r\n");
    assert_eq!(client.response().expect("a response").status, 200);
    let request = stage.upstream.only_request();
    assert_eq!((request.body.as_slice(), request.complete), (b"hello world".as_slice(), true));
    assert_eq!(request.head.values("transfer-encoding"), ["chunked"]);

    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "PUT /length HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: 8\r\n\r\nhalf"
    ));
    stage.upstream.wait_for("half of it", |all| (all.get(1)?.body == b"half").then_some(()));
    client.send("done");
    assert_eq!(client.response().expect("a response").status, 200);
    assert_eq!(stage.upstream.request_to("/length").head.value("content-length"), Some("8"));
}

#[test]
fn large_bodies_pass_completely() {
    let stage = Stage::with(
        Issuer::of(keys::rsa()),
        Upstream::scripted(|exchange| {
            let body = exchange.read_body()?;
            exchange.reply(200, &[], body)
        }),
        |setup| setup,
    );
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    let bytes = request_bytes("PUT", "/large", &[("Authorization", &token)], &body);
    client.send(bytes);
    let response = client.response().expect("a response");
    assert_eq!(response.status, 200);
    assert!(response.body == body, "{} bytes came back", response.body.len());
}

#[test]
fn early_response_is_forwarded_before_the_request_ends() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.reply(409, &[("Connection", "close")], "early")?;
        Ok(Next::Close)
    });
    let stage = Stage::with(Issuer::of(keys::rsa()), upstream, |setup| setup);
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "POST /early HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: 1000000\r\n\r\nbeginning"
    ));
    let response = client.response().expect("the early response");
    assert_eq!((response.status, response.text().as_str()), (409, "early"), "S23");
    // Neither the client's nor the upstream's connection is reused.
    assert_eq!(wire::get(stage.gateway.proxy, "/next", &[("Authorization", &token)]).status, 409);
    assert_eq!(stage.upstream.connections(), 2);
}

#[test]
fn request_trailers_cannot_set_identity_fields() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "POST /trailers HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nTE: trailers\r\nTrailer: X-Forwarded-User\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Forwarded-User: admin\r\nAuthorization: Bearer x\r\nContent-Length: 5\r\n\r\n"
    ));
    assert_eq!(client.response().expect("a response").status, 200);
    let request = stage.upstream.request_to("/trailers");
    assert_eq!(request.body, b"hi");
    for name in ["x-forwarded-user", "authorization", "content-length"] {
        let found = request.trailers.iter().find(|(trailer, _)| trailer.eq_ignore_ascii_case(name));
        assert_eq!(found, None, "S19 {name}");
    }
}

#[test]
fn authorization_in_a_trailer_is_ignored() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: {token}\r\n\r\n"
    ));
    assert_eq!(client.response().expect("a response").status, 401, "H14");
    assert_eq!(stage.upstream.requests().len(), 0);
}

#[test]
fn body_of_a_refused_request_is_not_parsed_as_a_request() {
    let stage = Stage::plain(|setup| setup);
    let good = bearer(&Token::bot());
    let smuggled =
        String::from_utf8(request_bytes("GET", "/smuggled", &[("Authorization", &good)], b"")).expect("text");
    let chunk = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
    for (name, framing, body) in [
        ("length", format!("Content-Length: {}\r\n", smuggled.len()), smuggled.clone()),
        ("chunks", "Transfer-Encoding: chunked\r\n".to_owned(), chunk),
        ("a length that is not reached", "Content-Length: 1000000\r\n".to_owned(), smuggled.clone()),
    ] {
        for authorization in ["", "Authorization: Bearer abc\r\n"] {
            let mut client = Client::connect(stage.gateway.proxy);
            client.send(format!("POST /refused HTTP/1.1\r\nHost: a\r\n{authorization}{framing}\r\n{body}"));
            assert_eq!(client.response().expect("a refusal").status, 401, "S10 {name}");
            let rest = client.half_close().rest();
            assert_eq!(rest, "", "S10 {name}: more than one response");
        }
    }
    assert_eq!(stage.upstream.requests().len(), 0);
}

#[test]
fn refused_upload_gets_no_100_continue() {
    let stage = Stage::plain(|setup| setup);
    let mut client = Client::connect(stage.gateway.proxy);
    client.send("PUT /large HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10000000\r\n\r\n");
    let (status, _) = client.response_head().expect("a head");
    assert_eq!(status, 401, "H17: not 100");
    assert_eq!(stage.upstream.requests().len(), 0);
}

#[test]
fn permitted_upload_gets_100_continue() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "PUT /upload HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    ));
    let (status, _) = client.response_head().expect("an interim response");
    assert_eq!(status, 100);
    client.send("body");
    assert_eq!(client.response().expect("a response").status, 200);
    assert_eq!(stage.upstream.request_to("/upload").body, b"body");
}

#[test]
fn get_with_a_chunked_body_keeps_it() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    for method in ["GET", "DELETE", "OPTIONS"] {
        let target = format!("/{method}");
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n"));
        client.send("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(client.response().expect("a response").status, 200);
        let request = stage.upstream.request_to(&target);
        assert_eq!((request.body.as_slice(), request.complete), (&b"hello"[..], true), "{method}");
        assert!(request.head.problems.is_empty(), "{:?}", request.head.problems);
    }
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let fields = [("authorization", token.as_str())];
    assert_eq!(client.send("GET", "/http2", &fields, b"hello").expect("a response").status, 200);
    assert_eq!(stage.upstream.request_to("/http2").body, b"hello");
}

#[test]
fn body_of_a_get_is_not_parsed_as_a_request() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let inner = request_bytes("GET", "/inner", &[("Authorization", &token)], b"");
    let response = wire::send(stage.gateway.proxy, "GET", "/outer", &[("Authorization", &token)], &inner);
    assert!([200, 400].contains(&response.status), "S11");
    for request in stage.upstream.requests() {
        assert_eq!(request.head.target(), "/outer");
        assert_eq!(stage.upstream.request_to("/outer").body, inner);
    }
}
