//! Writing responses.

use http::header::HeaderValue;

use super::*;
use crate::message::{Fields, Response};

/// A body of frames that are all ready. It never says that it ends with the next.
struct Frames {
    frames: std::vec::IntoIter<io::Result<Frame<Bytes>>>,
    length: Option<u64>,
    knows_its_end: bool,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.frames.next())
    }

    fn is_end_stream(&self) -> bool {
        self.knows_its_end && self.frames.len() == 0
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.length.map_or_else(http_body::SizeHint::new, http_body::SizeHint::with_exact)
    }
}

fn frames(texts: &[&'static str], length: Option<u64>, knows_its_end: bool) -> Frames {
    let frames: Vec<_> =
        texts.iter().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))).collect();
    Frames { frames: frames.into_iter(), length, knows_its_end }
}

/// A 200 with this body.
fn of<B>(body: B) -> Response<B> {
    Response::new(http::StatusCode::OK, Fields::new(), body)
}

/// What the client of `request` gets for a response, and whether the connection stays open.
async fn written(request_head: &str, mut response: Response<Frames>) -> (String, io::Result<bool>) {
    let (mut client, mut io) = connection();
    client.write_all(request_head.as_bytes()).await.expect("room");
    let (_, mut terms) = request(&mut io).await;
    response.headers_mut().insert("date", HeaderValue::from_static("now"));
    let writer = BodyWriter::begin(io.transport.lock().outgoing().text(), &response, &mut terms);
    let result = io.write(response.into_body(), writer, STEP).await.map(|()| !terms.closes);
    drop(io);
    let mut got = String::new();
    client.read_to_string(&mut got).await.expect("text");
    (got, result)
}

const OLD: &str = "GET /a HTTP/1.0\r\n\r\n";
const OLD_KEPT: &str = "GET /a HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n";
const CLOSING: &str = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const HEAD: &str = "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn responses_are_framed_for_the_version_and_the_method() {
    let texts = ["hel", "", "lo"];
    for (request, length, expected, stays) in [
        (GET, Some(5), "HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 5\r\n\r\nhello", true),
        (
            GET,
            None,
            "HTTP/1.1 200 OK\r\ndate: now\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            true,
        ),
        (
            CLOSING,
            Some(5),
            "HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
            false,
        ),
        (OLD, None, "HTTP/1.1 200 OK\r\ndate: now\r\nconnection: close\r\n\r\nhello", false),
        (OLD_KEPT, None, "HTTP/1.1 200 OK\r\ndate: now\r\nconnection: close\r\n\r\nhello", false),
        (
            OLD_KEPT,
            Some(5),
            "HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\nhello",
            true,
        ),
        (HEAD, None, "HTTP/1.1 200 OK\r\ndate: now\r\n\r\n", true),
    ] {
        for knows_its_end in [true, false] {
            let body =
                if request == HEAD { frames(&[], None, true) } else { frames(&texts, length, knows_its_end) };
            let (got, result) = written(request, of(body)).await;
            assert_eq!((&*got, result.expect("written")), (expected, stays), "{request:?} {knows_its_end}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn responses_without_a_body_have_no_framing_of_one() {
    for status in [204, 304] {
        let status = status.try_into().expect("a status");
        let response = Response::new(status, Fields::new(), frames(&[], Some(0), true));
        let (got, result) = written(GET, response).await;
        assert!(result.expect("written"));
        assert!(!got.contains("content-length") && !got.contains("transfer"), "{got}");
    }
    // A response to HEAD keeps the length of the body that it does not have.
    let mut response = of(frames(&[], Some(0), true));
    response.headers_mut().insert("content-length", HeaderValue::from_static("7"));
    let (got, _) = written(HEAD, response).await;
    assert_eq!(got, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ndate: now\r\n\r\n");
    let (got, _) = written(GET, of(frames(&[], Some(0), true))).await;
    assert!(got.contains("content-length: 0\r\n"), "{got}");
}

#[tokio::test(start_paused = true)]
async fn a_body_cut_short_never_looks_complete() {
    for (length, knows_its_end) in [(Some(9), true), (Some(9), false), (Some(3), true)] {
        let (got, result) = written(GET, of(frames(&["hello"], length, knows_its_end))).await;
        assert!(result.is_err(), "{length:?}");
        assert!(!got.ends_with("hello") || length == Some(9));
    }
    let broken = vec![Ok(Frame::data("hello".into())), Err(io::ErrorKind::TimedOut.into())];
    let body = Frames { frames: broken.into_iter(), length: None, knows_its_end: false };
    let (got, result) = written(GET, of(body)).await;
    assert!(result.is_err());
    assert!(got.ends_with("5\r\nhello\r\n"), "no last chunk: {got:?}");
    // Without any data, its head still tells the client that the request was answered.
    let broken = vec![Err(io::ErrorKind::TimedOut.into())];
    let body = Frames { frames: broken.into_iter(), length: Some(5), knows_its_end: false };
    let (got, result) = written(GET, of(body)).await;
    assert!(result.is_err());
    assert!(got.ends_with("content-length: 5\r\n\r\n"), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn only_announced_trailers_are_sent() {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("a", HeaderValue::from_static("1"));
    trailers.insert("b", HeaderValue::from_static("2"));
    for (announced, expected) in [(Some("x, A"), "0\r\na: 1\r\n\r\n"), (None, "0\r\n\r\n")] {
        let all = vec![Ok(Frame::data("hi".into())), Ok(Frame::trailers(trailers.clone()))];
        let mut response = of(Frames { frames: all.into_iter(), length: None, knows_its_end: true });
        if let Some(announced) = announced {
            response.headers_mut().insert("trailer", HeaderValue::from_static(announced));
        }
        let (got, result) = written(GET, response).await;
        assert!(result.expect("written"));
        assert!(got.ends_with(&format!("2\r\nhi\r\n{expected}")), "{got:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_has_a_bounded_time_from_its_last_read() {
    let (mut client, mut io) = connection_of(64, None);
    client.write_all(GET.as_bytes()).await.expect("room");
    let (_, mut terms) = request(&mut io).await;
    let response = of(frames(&["x".repeat(1000).leak()], Some(1000), true));
    let writer = BodyWriter::begin(io.transport.lock().outgoing().text(), &response, &mut terms);
    let reading = tokio::spawn(async move {
        for _ in 0..3 {
            tokio::time::sleep(STEP / 2).await;
            client.read_exact(&mut [0; 32]).await.expect("bytes");
        }
        pending::<DuplexStream>().await
    });
    let begun = Instant::now();
    let error = io.write(response.into_body(), writer, STEP).await.expect_err("a timeout");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(begun.elapsed().abs_diff(STEP * 5 / 2) <= Duration::from_millis(5), "{:?}", begun.elapsed());
    reading.abort();
}

#[tokio::test(start_paused = true)]
async fn closing_lingers_until_the_client_has_read_the_last_response() {
    let (mut client, mut io) = connection();
    client.write_all(b"GET /a#b").await.expect("room");
    refusal(&mut io).await;
    let closing = tokio::spawn(async move {
        let begun = Instant::now();
        io.close(true).await.expect("no error");
        begun.elapsed()
    });
    let mut end = [0; 1];
    assert_eq!(client.read(&mut end).await.expect("no reset"), 0, "our direction has ended");
    client.write_all(&[b'x'; 100_000]).await.expect("it is read");
    drop(client);
    assert_eq!(closing.await.expect("no panic"), Duration::ZERO);

    // A client that does not close has a bounded time; between two requests, none.
    for (is_refused, time) in [(true, QUIET_TIME), (false, Duration::ZERO)] {
        let (mut client, mut io) = connection();
        client.write_all(GET.as_bytes()).await.expect("room");
        request(&mut io).await;
        let begun = Instant::now();
        io.close(is_refused).await.expect("no error");
        // The timer's grain is a millisecond.
        assert!(begun.elapsed().abs_diff(time) <= Duration::from_millis(2), "{is_refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_the_backend_is_silent_is_noticed() {
    let (mut client, mut io) = connection();
    client.write_all(GET.as_bytes()).await.expect("room");
    let (_, mut terms) = request(&mut io).await;
    let response = of(Empty::<Bytes>::new().map_err(|never| match never {}));
    let writer = BodyWriter::begin(io.transport.lock().outgoing().text(), &response, &mut terms);
    let silent = Silent;
    drop(client);
    assert!(io.write(silent, writer, STEP).await.is_err());
}

/// A body that never continues.
struct Silent;

impl Body for Silent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Pending
    }
}
