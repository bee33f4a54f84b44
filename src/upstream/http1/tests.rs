use std::future::poll_fn;

use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::read_buffer::{FIRST_READ, MAX_READ, MAX_UNVERIFIED_READ};
use super::*;
use crate::client_body::LONG_BODY_READ;
use crate::http1::RequestFraming;
use crate::test_support::fields;
use crate::upstream::{ReadAhead, RequestProgress, Rest};

/// More than the socket takes while the backend reads nothing.
const LARGE: usize = 4 * 1024 * 1024;

fn connection() -> (Box<Http1Connection>, UnixStream) {
    let (ours, backend) = UnixStream::pair().expect("a pair");
    (Http1Connection::new(Stream::Unix(ours)), backend)
}

fn body(bytes: Bytes) -> RequestBody {
    RequestBody::Stream {
        ahead: ReadAhead { bytes, ended: true },
        incoming: Rest::none(),
        progress: RequestProgress::new(false, None),
        limit: u64::MAX,
        last: None,
    }
}

fn begin(connection: &mut Http1Connection, method: Method, framing: RequestFraming, body: RequestBody) {
    let target = Uri::from_static("/a").path_and_query().expect("a path").clone();
    let headers = fields(&[("host", "a")]);
    let head = HeadWriter { method: &method, prefix: "", target: &target, headers: &headers, framing };
    connection.begin(&head, body);
}

fn get(connection: &mut Http1Connection) {
    begin(connection, Method::GET, RequestFraming::Unstated, RequestBody::Empty);
}

fn put_large(connection: &mut Http1Connection) {
    let large = body(vec![b'x'; LARGE].into());
    begin(connection, Method::PUT, RequestFraming::Length(LARGE as u64), large);
}

async fn head(connection: &mut Http1Connection) -> Result<Response<()>, HeadError> {
    poll_fn(|cx| connection.poll_head(cx, None)).await
}

/// The body, and its trailers.
async fn rest(connection: &mut Http1Connection) -> io::Result<(Vec<u8>, Option<HeaderMap>)> {
    let (mut data, mut trailers) = (Vec::new(), None);
    while !connection.is_ended() {
        match poll_fn(|cx| connection.poll_frame(cx)).await.transpose()?.map(Frame::into_data) {
            Some(Ok(piece)) => data.extend(piece),
            Some(Err(frame)) => trailers = frame.into_trailers().ok(),
            None => {}
        }
    }
    Ok((data, trailers))
}

#[tokio::test]
async fn a_connection_is_reused_only_after_a_whole_response_that_keeps_it_alive() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const CHUNKS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n";
    for (method, response, data, reusable) in [
        (Method::GET, OK.to_owned(), "ok", true),
        (Method::GET, format!("HTTP/1.1 103 Early Hints\r\n\r\n{OK}"), "ok", true),
        (Method::GET, format!("{OK}H"), "ok", false),
        (Method::GET, OK.replace("OK", "OK\r\nConnection: close"), "ok", false),
        (Method::GET, OK.replace("1.1", "1.0"), "ok", false),
        (Method::GET, format!("{CHUNKS}\r\n"), "ok", true),
        (Method::GET, format!("{CHUNKS}\r\n\r\n"), "ok", false),
        (Method::GET, format!("{CHUNKS}A: b\r\n\r\n"), "ok", true),
        (Method::GET, "HTTP/1.1 200 OK\r\n\r\nok".to_owned(), "ok", false),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), "", true),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\nok".to_owned(), "", false),
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n".to_owned(), "", true),
        (Method::HEAD, OK.to_owned(), "", false),
    ] {
        let (mut connection, mut backend) = connection();
        begin(&mut connection, method, RequestFraming::Unstated, RequestBody::Empty);
        backend.write_all(response.as_bytes()).await.expect("a response");
        backend.shutdown().await.expect("its end");
        head(&mut connection).await.unwrap_or_else(|error| panic!("{response:?}: {error}"));
        let (read, trailers) = rest(&mut connection).await.expect("a body");
        assert_eq!(read, data.as_bytes(), "{response:?}");
        assert_eq!(trailers.is_some(), response.contains("A: b"), "{response:?}");
        assert_eq!(connection.is_reusable(), reusable, "{response:?}");
    }
}

#[tokio::test]
async fn requests_follow_one_another_on_a_connection() {
    let (mut connection, mut backend) = connection();
    for (framing, sent, expected) in [
        (RequestFraming::Length(5), "hello", "content-length: 5\r\n\r\nhello"),
        (RequestFraming::Chunked, "hello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        (RequestFraming::Chunked, "", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ] {
        begin(&mut connection, Method::POST, framing, body(sent.into()));
        backend.write_all(b"HTTP/1.1 201 Made\r\ncontent-length: 0\r\n\r\n").await.expect("a response");
        let response = head(&mut connection).await.expect("a head");
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.reason(), b"Made");
        assert!(connection.is_ended() && connection.is_reusable());
        connection.release_buffers();
        let expected = format!("POST /a HTTP/1.1\r\nhost: a\r\n{expected}");
        let mut read = vec![0; expected.len() + 1];
        // One write, so one read.
        let count = backend.read(&mut read).await.expect("the request");
        assert_eq!(String::from_utf8_lossy(&read[..count]), expected);
    }
}

#[tokio::test]
async fn an_early_response_is_read_and_ends_the_connection() {
    let (mut connection, mut backend) = connection();
    put_large(&mut connection);
    backend
        .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        .await
        .expect("a response");
    assert_eq!(head(&mut connection).await.expect("a head").status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(rest(&mut connection).await.expect("a body").0, b"no");
    assert!(!connection.is_reusable());
    drop(connection);
    let mut received = Vec::new();
    backend.read_to_end(&mut received).await.expect("the end");
    assert!(received.len() < LARGE, "the backend must not take it for a whole request");
}

#[tokio::test]
async fn the_request_is_written_while_its_response_is_read() {
    let (mut connection, mut backend) = connection();
    put_large(&mut connection);
    backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await.expect("half a response");
    head(&mut connection).await.expect("a head");
    let reading = async {
        let mut left = LARGE;
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            left = left.saturating_sub(backend.read(&mut buffer).await.expect("a part of the request"));
        }
        backend.write_all(b"k").await.expect("the rest of the response");
    };
    let (read, ()) = tokio::join!(rest(&mut connection), reading);
    assert_eq!(read.expect("a body").0, b"ok");
    assert!(connection.is_reusable(), "both were whole");
}

#[tokio::test]
async fn the_response_of_a_backend_that_stops_reading_is_relayed() {
    let (mut connection, mut backend) = connection();
    put_large(&mut connection);
    let refusing = async {
        backend.read_exact(&mut [0; 100]).await.expect("the beginning of the request");
        backend
            .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
            .await
            .expect("a response");
        drop(backend);
    };
    let (response, ()) = tokio::join!(head(&mut connection), refusing);
    assert_eq!(response.expect("a head").status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(rest(&mut connection).await.expect("a body").0, b"no");
    assert!(!connection.is_reusable());
}

#[tokio::test]
async fn a_request_of_which_nothing_was_written_comes_back_whole() {
    let (mut connection, backend) = connection();
    drop(backend);
    let progress = RequestProgress::new(false, None);
    let mut sent = body("hello".into());
    if let RequestBody::Stream { progress: of_body, .. } = &mut sent {
        *of_body = progress.clone();
    }
    begin(&mut connection, Method::POST, RequestFraming::Length(5), sent);
    assert!(matches!(head(&mut connection).await, Err(HeadError::Unsent)));
    let unsent = connection.take_unsent();
    assert_eq!((progress.bytes(), progress.is_sent()), (0, false));
    let unsent = unsent.collect().await.expect("a body");
    assert_eq!(unsent.to_bytes(), "hello");
    assert_eq!((progress.bytes(), progress.is_sent()), (5, true));
}

#[tokio::test]
async fn a_connection_that_closes_is_told_apart_from_a_response_that_is_cut_off() {
    for (bytes, closed) in [
        ("", true),
        ("H", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", false),
        ("HTTP/1.1 100 Continue\r\n\r\n", false),
    ] {
        let (mut connection, mut backend) = connection();
        get(&mut connection);
        backend.write_all(bytes.as_bytes()).await.expect("a part of a response");
        backend.shutdown().await.expect("its end");
        let error = head(&mut connection).await.expect_err("no response");
        assert_eq!(matches!(error, HeadError::Closed), closed, "{bytes:?}: {error:?}");
        assert!(!connection.is_reusable());
    }
}

#[tokio::test]
async fn a_body_that_is_cut_off_or_malformed_is_an_error() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
    ] {
        let (mut connection, mut backend) = connection();
        get(&mut connection);
        backend.write_all(response.as_bytes()).await.expect("a response");
        backend.shutdown().await.expect("its end");
        head(&mut connection).await.expect("a head");
        assert!(rest(&mut connection).await.is_err(), "{response:?}");
        assert!(!connection.is_ended() && !connection.is_reusable());
    }
}

#[tokio::test]
async fn bytes_after_a_101_belong_to_the_new_protocol() {
    let (mut connection, mut backend) = connection();
    get(&mut connection);
    backend
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\n\r\nearly")
        .await
        .expect("a response");
    assert_eq!(head(&mut connection).await.expect("a head").status(), StatusCode::SWITCHING_PROTOCOLS);
    assert!(connection.is_switched() && !connection.is_reusable());
    let mut switched = connection.into_switched().expect("a stream");
    let mut early = [0; 5];
    switched.read_exact(&mut early).await.expect("the early bytes");
    assert_eq!(&early, b"early");
}

#[tokio::test]
async fn an_exchange_that_is_dropped_closes_its_connection() {
    let (mut connection, mut backend) = connection();
    get(&mut connection);
    let waiting = tokio::time::timeout(std::time::Duration::ZERO, head(&mut connection)).await;
    assert!(waiting.is_err(), "the backend has not responded");
    let pool = std::sync::Arc::<super::super::pool::Http1Pool>::default();
    pool.check_in(connection, std::time::Duration::from_secs(9));
    assert!(pool.check_out(Instant::now()).is_none(), "a connection in an exchange is not kept");
    let mut request = String::new();
    backend.read_to_string(&mut request).await.expect("the end");
    assert!(request.starts_with("GET /a HTTP/1.1\r\n"));
}

#[tokio::test]
async fn the_read_buffer_is_bounded_however_fast_the_backend_sends() {
    let (mut connection, mut backend) = connection();
    for (is_verified, bounds) in [
        (false, FIRST_READ + 1..=MAX_UNVERIFIED_READ),
        (true, MAX_UNVERIFIED_READ + 1..=MAX_READ),
        (false, FIRST_READ + 1..=MAX_UNVERIFIED_READ),
    ] {
        connection.serve(is_verified);
        let largest = largest_piece(&mut connection, &mut backend, 1 << 20).await;
        assert!(bounds.contains(&largest), "{largest}, verified: {is_verified}");
        assert!(connection.is_reusable());
    }
}

#[tokio::test]
async fn only_a_verified_clients_long_response_is_read_in_longer_pieces() {
    let (mut connection, mut backend) = connection();
    for (is_verified, bounds) in
        [(true, MAX_READ + 1..=LONG_BODY_READ), (false, FIRST_READ + 1..=MAX_UNVERIFIED_READ)]
    {
        connection.serve(is_verified);
        let largest = largest_piece(&mut connection, &mut backend, LARGE).await;
        assert!(bounds.contains(&largest), "{largest}, verified: {is_verified}");
    }
    // The next response begins anew.
    connection.serve(true);
    assert!(largest_piece(&mut connection, &mut backend, 1 << 20).await <= MAX_READ);
}

#[tokio::test]
async fn long_bodies_pass_unchanged_however_they_are_split() {
    let sent: Vec<u8> = (0..3 << 20).map(|at: u32| (at % 251) as u8).collect();
    for piece in [4_093, FIRST_READ, MAX_READ - 1, MAX_READ + 1, LONG_BODY_READ, 64 * 1024, 200_003] {
        for is_chunked in [false, true] {
            let (mut connection, mut backend) = connection();
            connection.serve(true);
            get(&mut connection);
            let sending = async {
                let framing =
                    if is_chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 3145728" };
                let mut message = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").into_bytes();
                for data in sent.chunks(piece) {
                    let line = if is_chunked { format!("{:x}\r\n", data.len()) } else { String::new() };
                    message.extend([line.as_bytes(), data, if is_chunked { b"\r\n" } else { b"" }].concat());
                    backend.write_all(&message).await?;
                    message.clear();
                }
                backend.write_all(if is_chunked { b"0\r\n\r\n" } else { b"" }).await
            };
            let reading = async {
                head(&mut connection).await.expect("a head");
                rest(&mut connection).await.expect("a whole body").0
            };
            let (result, received) = tokio::join!(sending, reading);
            result.expect("the whole response");
            assert!(received == sent, "pieces of {piece}, chunked: {is_chunked}");
        }
    }
}

/// The largest piece of a response of this length that the backend sends as fast as it is read.
async fn largest_piece(connection: &mut Http1Connection, backend: &mut UnixStream, length: usize) -> usize {
    get(connection);
    let sending = async {
        backend.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes()).await?;
        backend.write_all(&vec![b'x'; length]).await
    };
    let reading = async {
        head(connection).await.expect("a head");
        let (mut left, mut largest) = (length, 0);
        while left > 0 {
            let frame = poll_fn(|cx| connection.poll_frame(cx)).await.expect("more").expect("a frame");
            let piece = frame.into_data().expect("data");
            (left, largest) = (left - piece.len(), largest.max(piece.len()));
        }
        largest
    };
    let (sent, largest) = tokio::join!(sending, reading);
    sent.expect("the whole response");
    largest
}

#[tokio::test]
async fn a_fast_backend_lets_other_tasks_run() {
    const CHUNK: usize = 16 * 1024;
    let (mut connection, mut backend) = connection();
    get(&mut connection);
    backend.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.expect("a head");
    head(&mut connection).await.expect("a head");
    let chunk = [b"4000\r\n", &[b'x'; CHUNK][..], b"\r\n"].concat();
    connection.read.bytes = BytesMut::from(&*chunk.repeat(40));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    for pause in 0..2 {
        for _ in 0..BURST / CHUNK {
            assert!(connection.poll_frame(&mut cx).is_ready(), "after {pause} pauses");
        }
        assert!(connection.poll_frame(&mut cx).is_pending(), "the {pause}th pause");
    }
}
