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

/// A client's end, and what hyper would read from.
fn connection() -> (DuplexStream, StrictHttp1<DuplexStream>) {
    connection_with("")
}

fn connection_with(read: &str) -> (DuplexStream, StrictHttp1<DuplexStream>) {
    let (client, server) = duplex(1 << 20);
    let state = Arc::new(ConnectionState::new(unlimited_account(None)));
    (client, StrictHttp1::new(server, state, LIMITS, TIMES, read.into()))
}

/// hyper polls for the next head before an answer has ended and not again after it: the time
/// between requests must run all the same.
#[tokio::test(start_paused = true)]
async fn hyper_lets_the_time_between_requests_run() {
    use http_body_util::Empty;
    use hyper::service::service_fn;

    let (mut client, strict) = connection();
    let state = strict.state.clone();
    let service = service_fn(move |_: hyper::Request<hyper::body::Incoming>| {
        let state = state.clone();
        async move {
            tokio::time::sleep(10 * IDLE_TIMEOUT).await;
            state.is_answered();
            Ok::<_, std::convert::Infallible>(hyper::Response::new(Empty::<bytes::Bytes>::new()))
        }
    });
    let io = hyper_util::rt::TokioIo::new(strict);
    let mut http1 = hyper::server::conn::http1::Builder::new();
    let connection = tokio::spawn(http1.header_read_timeout(None).serve_connection(io, service));
    for _ in 0..2 {
        client.write_all(GET.as_bytes()).await.expect("room");
        let mut answer = [0; 1024];
        let len = client.read(&mut answer).await.expect("an answer");
        assert!(answer[..len].starts_with(b"HTTP/1.1 200 OK"));
    }
    let answered = Instant::now();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("an orderly end");
    assert!(answered.elapsed().abs_diff(IDLE_TIMEOUT) <= Duration::from_millis(5));
    connection.await.expect("no panic").expect("no error");
}

/// One read, as hyper does it: `None` where there is nothing.
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
async fn nothing_of_a_head_goes_on_before_its_end() {
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
async fn one_head_goes_on_at_a_time_with_its_body() {
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
async fn however_small_the_buffer_the_bytes_are_the_same() {
    let all = [GET, POST, "hello", GET, CHUNKED, "5\r\nhello\r\n0\r\n\r\n", GET].concat();
    for room in [1, 2, 3, 7, 50, 100] {
        let (mut client, mut strict) = connection();
        client.write_all(all.as_bytes()).await.expect("room");
        let mut read = Vec::new();
        while let Some(bytes) = read_now(&mut strict, room) {
            read.extend(bytes.expect("no error"));
            // Many reads in one go would be told to wait for their turn.
            tokio::task::yield_now().await;
        }
        assert_eq!(String::from_utf8_lossy(&read), all, "{room}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_comes_first() {
    let (mut client, mut strict) = connection_with("GET /a HT");
    assert_eq!(text(&mut strict), None);
    client.write_all(&GET.as_bytes()[9..]).await.expect("room");
    assert_eq!(text(&mut strict).as_deref(), Some(GET));
    let (_client, mut strict) = connection_with(GET);
    assert_eq!(text(&mut strict).as_deref(), Some(GET));
}

#[tokio::test(start_paused = true)]
async fn a_refused_head_is_replaced_and_nothing_after_it_is_read() {
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
async fn a_broken_body_is_an_error_after_what_was_good() {
    let (mut client, mut strict) = connection();
    client.write_all([CHUNKED, "5\r\nhelloX\r\n0\r\n\r\n", GET].concat().as_bytes()).await.expect("room");
    assert_eq!(text(&mut strict), Some(format!("{CHUNKED}5\r\nhello")));
    for _ in 0..2 {
        let error = read_now(&mut strict, 8192).expect("an answer").expect_err("a fault");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
    let (mut client, mut strict) = connection();
    client.write_all(CHUNKED.as_bytes()).await.expect("room");
    assert_eq!(text(&mut strict).as_deref(), Some(CHUNKED));
    client.write_all(b"x").await.expect("room");
    assert!(read_now(&mut strict, 8192).expect("an answer").is_err(), "not the end of the body");
}

#[tokio::test(start_paused = true)]
async fn time_runs_out_for_a_head_and_between_heads() {
    let step = Duration::from_secs(1);
    // Nothing was begun: the connection just ends.
    let (_client, mut strict) = connection();
    assert_eq!(text(&mut strict), None);
    tokio::time::advance(TIMES.head - step).await;
    assert_eq!(text(&mut strict), None);
    tokio::time::advance(step).await;
    assert_eq!(text(&mut strict).as_deref(), Some(""));
    assert_eq!(refusal(&strict), None);

    // A first head's time runs from the beginning.
    let (mut client, mut strict) = connection();
    assert_eq!(text(&mut strict), None);
    tokio::time::advance(TIMES.head - step).await;
    client.write_all(b"GET").await.expect("room");
    assert_eq!(text(&mut strict), None);
    tokio::time::advance(step).await;
    assert_eq!(text(&mut strict).expect("a placeholder").as_bytes(), PLACEHOLDER_HEAD);
    assert_eq!(refusal(&strict).expect("a reason").reason, Reason::RequestTimeout);

    // A later one's from its first byte; the idle time is another.
    let (mut client, mut strict) = connection();
    client.write_all(GET.as_bytes()).await.expect("room");
    assert!(text(&mut strict).is_some());
    assert_eq!(text(&mut strict), None);
    tokio::time::advance(10 * IDLE_TIMEOUT).await;
    assert_eq!(text(&mut strict), None, "its answer may take long");
    strict.state.is_answered();
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
    strict.state.is_answered();
    client.write_all(b"\r\n").await.expect("room");
    tokio::time::advance(IDLE_TIMEOUT - step).await;
    assert_eq!(text(&mut strict), None, "an empty line begins no head");
    tokio::time::advance(step).await;
    assert_eq!(text(&mut strict).as_deref(), Some(""));
    assert_eq!(refusal(&strict), None);
}

#[tokio::test(start_paused = true)]
async fn what_follows_an_upgrade_is_judged_when_that_was_not_granted() {
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
    let (mut client, mut strict) = connection();
    client.write_all([upgrade, "\u{81}\u{5}hello"].concat().as_bytes()).await.expect("room");
    assert_eq!(text(&mut strict).as_deref(), Some(upgrade));
    assert_eq!(text(&mut strict), None);
    client.write_all(b"more").await.expect("room");
    assert_eq!(text(&mut strict), None);
    assert_eq!(refusal(&strict), None);
    strict.state.becomes_tunnel();
    assert_eq!(text(&mut strict).as_deref(), Some("\u{81}\u{5}hellomore"));
    client.write_all(b"GET #\n").await.expect("room");
    assert_eq!(text(&mut strict).as_deref(), Some("GET #\n"));

    let (mut client, mut strict) = connection();
    client.write_all([upgrade, GET].concat().as_bytes()).await.expect("room");
    assert_eq!(text(&mut strict).as_deref(), Some(upgrade));
    assert_eq!(text(&mut strict), None);
    strict.state.is_answered();
    assert_eq!(text(&mut strict).as_deref(), Some(GET));
}

#[tokio::test(start_paused = true)]
async fn the_client_has_time_to_read_its_last_answer() {
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

    // A client that stays is left, and between two requests at once.
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
