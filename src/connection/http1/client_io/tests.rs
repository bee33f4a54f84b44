#![allow(clippy::indexing_slicing, reason = "tests")]

use std::future::{Pending, pending};
use std::task::Waker;

use http_body::Frame;
use http_body_util::{BodyExt as _, Empty};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::advance;

use super::*;
use crate::budget::unlimited_account;
use crate::config::Discard;
use crate::connection::settings::IDLE_TIMEOUT;
use crate::decision::Reason;
use crate::request::HeadLimits;

mod writing;

const LIMITS: ReadLimits = ReadLimits {
    head: HeadLimits { bytes: 16 * 1024, target: 8192, fields: 10 },
    discard: Discard { bytes: 1 << 20, timeout: Duration::from_secs(30) },
};
const TIMES: Times = Times {
    head: Duration::from_secs(10),
    stall: Duration::from_secs(300),
    unverified: Duration::from_secs(15),
};
const STEP: Duration = Duration::from_secs(1);

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
const CHUNKED: &str = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The client's end of a connection, and ours.
fn connection() -> (DuplexStream, ClientIo) {
    connection_of(1 << 20, None)
}

/// A connection of which the kernel would hold `bytes`.
fn connection_of(bytes: usize, address: Option<[u8; 4]>) -> (DuplexStream, ClientIo) {
    let (client, ours) = duplex(bytes);
    let account = unlimited_account(address.map(Into::into));
    (client, ClientIo::new(Box::new(ours), BytesMut::new(), &account, LIMITS, TIMES))
}

/// What is known now of the next head; `None` while it is awaited.
fn next(io: &mut ClientIo, draining: &mut Option<Pin<&mut Pending<()>>>) -> Option<Next> {
    let mut next = std::pin::pin!(io.next_head(draining));
    match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(next) => Some(next),
        Poll::Pending => None,
    }
}

async fn next_head(io: &mut ClientIo) -> Next {
    let mut never = std::pin::pin!(pending());
    io.next_head(&mut Some(never.as_mut())).await
}

async fn request(io: &mut ClientIo) -> (Request<ClientBody>, ResponseTerms) {
    match next_head(io).await {
        Next::Request(request, terms) => (request, terms),
        Next::Refused(head) => panic!("refused: {:?}", head.denial().reason),
        Next::End => panic!("the end"),
    }
}

async fn refusal(io: &mut ClientIo) -> Reason {
    match next_head(io).await {
        Next::Refused(head) => head.denial().reason,
        Next::Request(request, _) => panic!("{:?}", request.head),
        Next::End => panic!("the end"),
    }
}

/// A request as text: its request line without version, its fields, and its body, or how that ends.
async fn described(io: &mut ClientIo) -> String {
    let (request, _) = request(io).await;
    let mut text = format!("{} {}", request.head.method, request.head.uri);
    for field in request.head.headers.iter() {
        text += &format!(" {}={:?}", field.name(), field.value().to_str().expect("text"));
    }
    match request.body.collect().await {
        Ok(body) => text += &format!(" [{}]", String::from_utf8_lossy(&body.to_bytes())),
        Err(error) => text += &format!(" {:?}", error.kind()),
    }
    text
}

#[tokio::test(start_paused = true)]
async fn messages_read_alike_however_they_are_split() {
    let chunks = "5;x=\"y\"\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n";
    let all = ["\r\n", GET, POST, "hello", CHUNKED, chunks, GET].concat();
    let expected = [
        "GET /a host=\"a\" []",
        "POST /b host=\"a\" content-length=\"5\" [hello]",
        "POST /c host=\"a\" transfer-encoding=\"chunked\" [hello world]",
        "GET /a host=\"a\" []",
    ];
    for split in 0..all.len() {
        let (mut client, mut io) = connection();
        client.write_all(&all.as_bytes()[..split]).await.expect("room");
        let reading = tokio::spawn(async move {
            let mut texts = Vec::new();
            for _ in 0..expected.len() {
                texts.push(described(&mut io).await);
            }
            texts
        });
        tokio::task::yield_now().await;
        client.write_all(&all.as_bytes()[split..]).await.expect("room");
        assert_eq!(reading.await.expect("no panic"), expected, "split at {split}");
    }
}

#[tokio::test(start_paused = true)]
async fn broken_bodies_are_errors_and_not_ends() {
    for (body, kind) in [
        ("5\r\nhelloX\r\n0\r\n\r\n", "InvalidData"),
        ("x", "InvalidData"),
        ("5\r\nhello\r\n", "UnexpectedEof"),
        ("5\r\nhello\r\n0\r\n", "UnexpectedEof"),
    ] {
        let (mut client, mut io) = connection();
        client.write_all([CHUNKED, body].concat().as_bytes()).await.expect("room");
        drop(client);
        assert!(described(&mut io).await.ends_with(kind), "{body:?}");
    }
    let (mut client, mut io) = connection();
    client.write_all([POST, "hell"].concat().as_bytes()).await.expect("room");
    drop(client);
    assert!(described(&mut io).await.ends_with("UnexpectedEof"));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_body_is_known_with_its_last_data() {
    for message in [[POST, "hello"].concat(), [CHUNKED, "5\r\nhello\r\n0\r\n\r\n"].concat()] {
        let (mut client, mut io) = connection();
        client.write_all(message.as_bytes()).await.expect("room");
        let (request, _) = request(&mut io).await;
        let mut body = request.body;
        assert!(!body.is_end_stream());
        let data = body.frame().await.expect("a frame").expect("data").into_data().expect("data");
        assert_eq!((&data[..], body.is_end_stream()), (&b"hello"[..], true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_head_ends_reading() {
    for (bad, reason) in [
        ("GET /a#b HTTP/1.1\r\n\r\n", Reason::BadTarget),
        ("HEAD /a HTTP/1.2\r\n\r\n", Reason::BadTarget),
        (&format!("GET /{} ", "x".repeat(8192)), Reason::TargetTooLong),
        (&format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(11)), Reason::HeadTooLarge),
    ] {
        let (mut client, mut io) = connection();
        client.write_all([GET, bad, GET].concat().as_bytes()).await.expect("room");
        request(&mut io).await;
        assert_eq!(refusal(&mut io).await, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn header_and_idle_timeouts_end_the_connection() {
    // No head has begun: the connection ends without a response.
    let (_client, mut io) = connection();
    let begun = Instant::now();
    assert!(matches!(next_head(&mut io).await, Next::End));
    assert_eq!(begun.elapsed(), TIMES.head);

    // The timeout of the first head runs from the beginning of the connection.
    let (mut client, mut io) = connection();
    advance(TIMES.head - STEP).await;
    let begun = Instant::now();
    client.write_all(b"GET").await.expect("room");
    assert_eq!(refusal(&mut io).await, Reason::RequestTimeout);
    assert_eq!(begun.elapsed(), STEP);

    // The timeout of a later head runs from its first byte; before that, the idle timeout runs.
    let (mut client, mut io) = connection();
    client.write_all(GET.as_bytes()).await.expect("room");
    request(&mut io).await;
    advance(10 * IDLE_TIMEOUT).await;
    io.account.request_ends();
    let sending = tokio::spawn(async move {
        tokio::time::sleep(IDLE_TIMEOUT - STEP).await;
        client.write_all(b"\r\nGET").await.expect("room");
        client
    });
    let begun = Instant::now();
    assert_eq!(refusal(&mut io).await, Reason::RequestTimeout);
    assert!(begun.elapsed().abs_diff(IDLE_TIMEOUT - STEP + TIMES.head) <= Duration::from_millis(5));
    drop(sending.await);

    // An empty line begins no head.
    let (mut client, mut io) = connection();
    client.write_all([GET, "\r\n"].concat().as_bytes()).await.expect("room");
    request(&mut io).await;
    io.account.request_ends();
    let begun = Instant::now();
    assert!(matches!(next_head(&mut io).await, Next::End));
    assert!(begun.elapsed().abs_diff(IDLE_TIMEOUT) <= Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_connection_between_two_requests_only() {
    let (mut client, mut io) = connection();
    assert!(matches!(next(&mut io, &mut None), Some(Next::End)));
    let (mut late, mut begun) = connection();
    late.write_all(b"GET").await.expect("room");
    assert!(next(&mut begun, &mut None).is_none(), "a head has begun");
    client.write_all(GET.as_bytes()).await.expect("room");
    assert!(matches!(next(&mut io, &mut None), Some(Next::Request(..))), "it has arrived already");
}

#[tokio::test(start_paused = true)]
async fn continue_is_sent_only_to_who_waits_for_it() {
    let expecting = POST.replace("Host", "Expect: 100-continue\r\nHost");
    for (head, sent, expected) in [
        (&*expecting, "", "HTTP/1.1 100 Continue\r\n\r\n"),
        (&*expecting, "h", ""),
        (POST, "", ""),
        (&*expecting.replace("/1.1", "/1.0"), "", ""),
    ] {
        let (mut client, mut io) = connection();
        client.write_all([head, sent].concat().as_bytes()).await.expect("room");
        let (request, _) = request(&mut io).await;
        let mut body = request.body;
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut body).poll_frame(&mut cx).is_ready(), !sent.is_empty());
        drop((io, body));
        let mut got = String::new();
        client.read_to_string(&mut got).await.expect("text");
        assert_eq!(got, expected, "{head:?} {sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_taken_back_reads_nothing_of_the_next_request() {
    let (mut client, mut io) = connection();
    client.write_all([POST, "he"].concat().as_bytes()).await.expect("room");
    let (first, _) = request(&mut io).await;
    let mut body = first.body;
    assert!(body.frame().await.expect("a frame").is_ok());
    client.write_all(["llo", POST, "world"].concat().as_bytes()).await.expect("room");
    assert!(io.discard().await);
    let (second, _) = request(&mut io).await;
    assert!(body.frame().await.expect("a frame").is_err());
    assert!(!body.is_end_stream());
    assert_eq!(second.body.collect().await.expect("a body").to_bytes(), "world");
}

#[tokio::test(start_paused = true)]
async fn discarding_is_bounded_in_bytes_and_time() {
    let huge = format!("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 2 << 20);
    let (mut client, mut io) = connection_of(4 << 20, None);
    client.write_all([huge.into_bytes(), vec![b'x'; 2 << 20]].concat().as_slice()).await.expect("room");
    request(&mut io).await;
    assert!(!io.discard().await, "too many bytes");
    let (mut client, mut io) = connection();
    client.write_all([POST, "he"].concat().as_bytes()).await.expect("room");
    request(&mut io).await;
    let begun = Instant::now();
    assert!(!io.discard().await, "a silent client");
    assert_eq!(begun.elapsed(), QUIET_TIME);
}
