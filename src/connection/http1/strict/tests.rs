#![allow(clippy::indexing_slicing, reason = "tests")]

use std::task::Waker;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::linger::QUIET_TIME;
use super::*;
use crate::budget::unlimited_account;
use crate::config::Discard;
use crate::connection::settings::IDLE_TIMEOUT;
use crate::decision::{Denial, Reason};
use crate::request::HeadLimits;

const LIMITS: ReadLimits = ReadLimits {
    head: HeadLimits { bytes: 16 * 1024, fields: 10 },
    discard: Discard { bytes: 1 << 20, timeout: Duration::from_secs(30) },
};
const TIMES: Times = Times {
    head: Duration::from_secs(10),
    stall: Duration::from_secs(300),
    unverified: Duration::from_secs(15),
};

/// The client's end of a connection, and the stream that hyper would read from.
fn connection() -> (DuplexStream, StrictHttp1<DuplexStream>) {
    connection_with("")
}

fn connection_with(read: &str) -> (DuplexStream, StrictHttp1<DuplexStream>) {
    let (client, server) = duplex(1 << 20);
    let state = Arc::new(ConnectionState::new(unlimited_account(None)));
    (client, StrictHttp1::new(server, state, LIMITS, TIMES, read.into()))
}

/// hyper polls for the next head before a response has ended and not again after it. The idle timeout must run all
/// the same.
#[tokio::test(start_paused = true)]
async fn the_idle_timeout_runs_although_hyper_does_not_poll_again() {
    use http_body_util::Empty;
    use hyper::service::service_fn;

    let (mut client, strict) = connection();
    let state = strict.state.clone();
    let service = service_fn(move |_: hyper::Request<hyper::body::Incoming>| {
        let state = state.clone();
        async move {
            tokio::time::sleep(10 * IDLE_TIMEOUT).await;
            state.response_ends();
            Ok::<_, std::convert::Infallible>(hyper::Response::new(Empty::<bytes::Bytes>::new()))
        }
    });
    let io = hyper_util::rt::TokioIo::new(strict);
    let mut http1 = hyper::server::conn::http1::Builder::new();
    let connection = tokio::spawn(http1.header_read_timeout(None).serve_connection(io, service));
    for _ in 0..2 {
        client.write_all(GET.as_bytes()).await.expect("room");
        let mut response = [0; 1024];
        let len = client.read(&mut response).await.expect("a response");
        assert!(response[..len].starts_with(b"HTTP/1.1 200 OK"));
    }
    let response_read = Instant::now();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("an orderly end");
    assert!(response_read.elapsed().abs_diff(IDLE_TIMEOUT) <= Duration::from_millis(5));
    connection.await.expect("no panic").expect("no error");
}

/// One read, as hyper does it; `None` if it is pending.
fn read_now(strict: &mut StrictHttp1<DuplexStream>, room: usize) -> Option<io::Result<Vec<u8>>> {
    let mut bytes = vec![0; room];
    let mut buffer = ReadBuf::new(&mut bytes);
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(strict).poll_read(&mut cx, &mut buffer) {
        Poll::Ready(Ok(())) => Some(Ok(buffer.filled().to_vec())),
        Poll::Ready(Err(error)) => Some(Err(error)),
        Poll::Pending => None,
    }
}

fn text(strict: &mut StrictHttp1<DuplexStream>) -> Option<String> {
    read_now(strict, 8192).map(|read| String::from_utf8(read.expect("no error")).expect("text"))
}

fn refusal(strict: &StrictHttp1<DuplexStream>) -> Option<Denial> {
    strict.state.take_refused().map(|head| head.denial())
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
const CHUNKED: &str = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn an_incomplete_head_is_held_back() {
    for end in 0..GET.len() {
        let (mut client, mut strict) = connection();
        client.write_all(&GET.as_bytes()[..end]).await.expect("room");
        assert_eq!(text(&mut strict), None, "{end}");
        client.write_all(&GET.as_bytes()[end..]).await.expect("room");
        assert_eq!(text(&mut strict).as_deref(), Some(GET), "{end}");
        assert_eq!(text(&mut strict), None, "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_read_yields_one_head_and_its_body() {
    let (mut client, mut strict) = connection();
    let chunks = "5;x=y\r\nhello\r\n0\r\n\r\n";
    let all = [GET, POST, "hello", GET, CHUNKED, chunks, "\r\n", POST, "hel"].concat();
    client.write_all(all.as_bytes()).await.expect("room");
    for expected in
        [GET, &format!("{POST}hello"), GET, &format!("{CHUNKED}{chunks}"), &format!("\r\n{POST}hel")]
    {
        assert_eq!(text(&mut strict).as_deref(), Some(expected));
    }
    assert_eq!(text(&mut strict), None);
    client.write_all(format!("lo{GET}").as_bytes()).await.expect("room");
    assert_eq!(text(&mut strict).as_deref(), Some("lo"));
    assert_eq!(text(&mut strict).as_deref(), Some(GET));
    drop(client);
    assert_eq!(text(&mut strict).as_deref(), Some(""), "the end");
}

#[tokio::test(start_paused = true)]
async fn small_read_buffers_yield_the_same_bytes() {
    let all = [GET, POST, "hello", GET, CHUNKED, "5\r\nhello\r\n0\r\n\r\n", GET].concat();
    for room in [1, 2, 3, 7, 50, 100] {
        let (mut client, mut strict) = connection();
        client.write_all(all.as_bytes()).await.expect("room");
        let mut read = Vec::new();
        while let Some(bytes) = read_now(&mut strict, room) {
            read.extend(bytes.expect("no error"));
            // Without it tokio's cooperative budget would make later reads pending.
            tokio::task::yield_now().await;
        }
        assert_eq!(String::from_utf8_lossy(&read), all, "{room}");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_were_already_read_come_first() {
    let (mut client, mut strict) = connection_with("GET /a HT");
    assert_eq!(text(&mut strict), None);
    client.write_all(&GET.as_bytes()[9..]).await.expect("room");
    assert_eq!(text(&mut strict).as_deref(), Some(GET));
    let (_client, mut strict) = connection_with(GET);
    assert_eq!(text(&mut strict).as_deref(), Some(GET));
}

#[tokio::test(start_paused = true)]
async fn a_placeholder_replaces_a_refused_head_and_ends_reading() {
    for (bad, reason, placeholder) in [
        ("GET /a#b HTTP/1.1\r\n\r\n", Reason::BadTarget, PLACEHOLDER_HEAD),
        ("HEAD /a HTTP/1.2\r\n\r\n", Reason::BadTarget, PLACEHOLDER_HEAD_OF_HEAD),
        (&format!("GET /{} ", "x".repeat(8192)), Reason::TargetTooLong, PLACEHOLDER_HEAD),
        (&format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(11)), Reason::HeadTooLarge, PLACEHOLDER_HEAD),
    ] {
        let (mut client, mut strict) = connection();
        client.write_all([GET, bad, GET].concat().as_bytes()).await.expect("room");
        assert_eq!(text(&mut strict).as_deref(), Some(GET));
        assert_eq!(refusal(&strict), None);
        assert_eq!(text(&mut strict).expect("a placeholder").as_bytes(), placeholder);
        assert_eq!(refusal(&strict).expect("a reason").reason, reason);
        client.write_all(GET.as_bytes()).await.expect("room");
        drop(client);
        assert_eq!(text(&mut strict), None, "neither a head nor the end");
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_body_framing_is_an_error_after_the_valid_bytes() {
    let (mut client, mut strict) = connection();
    client.write_all([CHUNKED, "5\r\nhelloX\r\n0\r\n\r\n", GET].concat().as_bytes()).await.expect("room");
    assert_eq!(text(&mut strict), Some(format!("{CHUNKED}5\r\nhello")));
    for _ in 0..2 {
        let error = read_now(&mut strict, 8192).expect("a result").expect_err("a fault");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
    let (mut client, mut strict) = connection();
    client.write_all(CHUNKED.as_bytes()).await.expect("room");
    assert_eq!(text(&mut strict).as_deref(), Some(CHUNKED));
    client.write_all(b"x").await.expect("room");
    assert!(read_now(&mut strict, 8192).expect("a result").is_err(), "not the end of the body");
}

#[tokio::test(start_paused = true)]
async fn header_and_idle_timeouts_end_the_connection() {
    let step = Duration::from_secs(1);
    // No head has begun: the connection ends without a response.
    let (_client, mut strict) = connection();
    assert_eq!(text(&mut strict), None);
    tokio::time::advance(TIMES.head - step).await;
    assert_eq!(text(&mut strict), None);
    tokio::time::advance(step).await;
    assert_eq!(text(&mut strict).as_deref(), Some(""));
    assert_eq!(refusal(&strict), None);

    // The timeout of the first head runs from the beginning of the connection.
    let (mut client, mut strict) = connection();
    assert_eq!(text(&mut strict), None);
    tokio::time::advance(TIMES.head - step).await;
    client.write_all(b"GET").await.expect("room");
    assert_eq!(text(&mut strict), None);
    tokio::time::advance(step).await;
    assert_eq!(text(&mut strict).expect("a placeholder").as_bytes(), PLACEHOLDER_HEAD);
    assert_eq!(refusal(&strict).expect("a reason").reason, Reason::RequestTimeout);

    // The timeout of a later head runs from its first byte; before that, the idle timeout runs.
    let (mut client, mut strict) = connection();
    client.write_all(GET.as_bytes()).await.expect("room");
    assert!(text(&mut strict).is_some());
    assert_eq!(text(&mut strict), None);
    tokio::time::advance(10 * IDLE_TIMEOUT).await;
    assert_eq!(text(&mut strict), None, "no timeout runs while a request is in progress");
    strict.state.response_ends();
    tokio::time::advance(IDLE_TIMEOUT - step).await;
    assert_eq!(text(&mut strict), None);
    client.write_all(b"\r\nGET").await.expect("room");
    assert_eq!(text(&mut strict), None);
    tokio::time::advance(TIMES.head - step).await;
    assert_eq!(text(&mut strict), None);
    tokio::time::advance(step).await;
    assert_eq!(text(&mut strict).expect("a placeholder").as_bytes(), PLACEHOLDER_HEAD);

    let (mut client, mut strict) = connection();
    client.write_all(GET.as_bytes()).await.expect("room");
    assert!(text(&mut strict).is_some());
    assert_eq!(text(&mut strict), None);
    strict.state.response_ends();
    client.write_all(b"\r\n").await.expect("room");
    tokio::time::advance(IDLE_TIMEOUT - step).await;
    assert_eq!(text(&mut strict), None, "an empty line begins no head");
    tokio::time::advance(step).await;
    assert_eq!(text(&mut strict).as_deref(), Some(""));
    assert_eq!(refusal(&strict), None);
}

#[tokio::test(start_paused = true)]
async fn bytes_after_an_upgrade_request_are_validated_only_if_it_is_refused() {
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
    let (mut client, mut strict) = connection();
    client.write_all([upgrade, "\u{81}\u{5}hello"].concat().as_bytes()).await.expect("room");
    assert_eq!(text(&mut strict).as_deref(), Some(upgrade));
    assert_eq!(text(&mut strict), None);
    client.write_all(b"more").await.expect("room");
    assert_eq!(text(&mut strict), None);
    assert_eq!(refusal(&strict), None);
    strict.state.start_tunnel();
    assert_eq!(text(&mut strict).as_deref(), Some("\u{81}\u{5}hellomore"));
    client.write_all(b"GET #\n").await.expect("room");
    assert_eq!(text(&mut strict).as_deref(), Some("GET #\n"));

    let (mut client, mut strict) = connection();
    client.write_all([upgrade, GET].concat().as_bytes()).await.expect("room");
    assert_eq!(text(&mut strict).as_deref(), Some(upgrade));
    assert_eq!(text(&mut strict), None);
    strict.state.response_ends();
    assert_eq!(text(&mut strict).as_deref(), Some(GET));
}

#[tokio::test(start_paused = true)]
async fn shutdown_lingers_until_the_client_has_read_the_last_response() {
    let (mut client, mut strict) = connection();
    client.write_all(b"GET /a#b").await.expect("room");
    assert!(text(&mut strict).is_some());
    let shutdown = tokio::spawn(async move {
        let begun = Instant::now();
        strict.shutdown().await.expect("no error");
        begun.elapsed()
    });
    let mut end = [0; 1];
    assert_eq!(client.read(&mut end).await.expect("no reset"), 0, "our direction has ended");
    client.write_all(&[b'x'; 100_000]).await.expect("it is read");
    drop(client);
    assert_eq!(shutdown.await.expect("no panic"), Duration::ZERO);

    // A client that does not close has a bounded time; between two requests, none.
    for (sent, time) in [("GET /a#b", QUIET_TIME), (GET, Duration::ZERO)] {
        let (mut client, mut strict) = connection();
        client.write_all(sent.as_bytes()).await.expect("room");
        assert!(text(&mut strict).is_some());
        let begun = Instant::now();
        strict.shutdown().await.expect("no error");
        // The timer's grain is a millisecond.
        assert!(begun.elapsed().abs_diff(time) <= Duration::from_millis(2), "{sent:?}");
    }
}
