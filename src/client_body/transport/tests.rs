//! Clients that end their sending side while nothing is read from them, and long bodies.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::task::Waker;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::advance;

use super::*;
use crate::budget::unlimited_account;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// Whether a client has left that sent this and then ended its sending side. The first `read` bytes were read.
async fn has_left(framing: Framing, sent: &[u8], read: usize) -> bool {
    let (mut client, ours) = pair().await;
    client.write_all(&sent[read..]).await.unwrap();
    client.shutdown().await.unwrap();
    let account = unlimited_account(None);
    let transport = SharedTransport::new(Box::new(ours), sent[..read].into(), &account);
    let _body = transport.begin_body(framing, false);
    let arrived = Presence::Ending((sent.len() - read) as u64);
    while transport.lock().stream.presence() != arrived {
        yield_now().await;
    }
    let mut cx = Context::from_waker(Waker::noop());
    assert!(transport.lock().poll_disconnect(&mut cx).is_pending(), "the kernel is not asked at once");
    advance(PRESENCE_INTERVAL).await;
    let has_left = transport.lock().poll_disconnect(&mut cx).is_ready();
    advance(PRESENCE_INTERVAL).await;
    assert_eq!(transport.lock().poll_disconnect(&mut cx).is_ready(), has_left, "asked again");
    assert_eq!(transport.lock().unread(), &sent[..read], "nothing was read");
    has_left
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_client_that_ends_within_its_body_has_left() {
    for (framing, sent, expected) in [
        (Framing::Length(5), "hell", true),
        (Framing::Length(5), "hello", false),
        (Framing::Length(5), "helloGET", false),
        (Framing::Chunked, "", true),
        (Framing::Chunked, "5", true),
        (Framing::Chunked, "5\r\nhell", true),
        (Framing::Chunked, "5\r\nhello\r\n", true),
        (Framing::Chunked, "5\r\nhello\r\n0\r\n", true),
        (Framing::Chunked, "5\r\nhello\r\n0\r\nA: b\r\n", true),
        (Framing::Chunked, "5\r\nhello\r\n0\r\nA: b\r\n\r\n", false),
        (Framing::Chunked, "0\r\n\r\n", false),
        (Framing::Chunked, "0\r\n\r\nGET / HTTP/1.1\r\n", false),
        (Framing::Chunked, "5\r\nhello!", true),
    ] {
        assert_eq!(has_left(framing, sent.as_bytes(), 0).await, expected, "{framing:?} {sent:?}");
    }
    // Wherever reading has stopped.
    let whole = b"3;a=b\r\nabc\r\n0\r\nA: b\r\n\r\n";
    for read in 0..whole.len() {
        assert!(!has_left(Framing::Chunked, whole, read).await, "{read}");
        assert!(has_left(Framing::Chunked, &whole[..whole.len() - 1], read).await, "{read}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_reset_after_the_whole_body_is_noticed() {
    let (mut client, ours) = pair().await;
    client.write_all(b"0\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let account = unlimited_account(None);
    let transport = SharedTransport::new(Box::new(ours), BytesMut::new(), &account);
    let _body = transport.begin_body(Framing::Chunked, false);
    let presence = || transport.lock().stream.presence();
    while presence() != Presence::Ending(5) {
        yield_now().await;
    }
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(transport.lock().poll_disconnect(&mut cx).is_pending());
        advance(PRESENCE_INTERVAL).await;
    }
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    while presence() != Presence::Gone {
        yield_now().await;
    }
    advance(PRESENCE_INTERVAL).await;
    assert!(transport.lock().poll_disconnect(&mut cx).is_ready());
}

/// A transport with the body of a request, and its client.
fn body_of(
    framing: Framing,
    account: &Arc<Connection>,
) -> (tokio::io::DuplexStream, SharedTransport, Http1Body) {
    let (client, ours) = tokio::io::duplex(1 << 20);
    let transport = SharedTransport::new(Box::new(ours), BytesMut::new(), account);
    let body = transport.begin_body(framing, false);
    (client, transport, body)
}

fn next_piece(body: &mut Http1Body) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    // The first may only let other tasks run.
    for _ in 0..2 {
        if let Poll::Ready(data) = body.poll(&mut cx) {
            return data.map_or(0, |data| data.unwrap().len());
        }
    }
    0
}

#[tokio::test]
async fn long_bodies_are_read_in_long_pieces_until_little_arrives() {
    let account = unlimited_account(None);
    let (mut client, transport, mut body) = body_of(Framing::Length(1 << 20), &account);
    let long = LONG_BODY_READ;
    let mut left = 1 << 20;
    for (arriving, pieces) in [
        (long + READ_BYTES, &[READ_BYTES, long][..]),
        // The client has to wait for room in its own buffer, and goes on.
        (long - 1, &[long - 1]),
        (long / 4, &[long / 4]),
        (2 * long, &[long, long]),
        // A client that sends little at a time.
        (1, &[1]),
        (1, &[1]),
        (1, &[1]),
        (1, &[1]),
    ] {
        client.write_all(&vec![b'x'; arriving]).await.unwrap();
        for expected in pieces {
            assert_eq!(next_piece(&mut body), *expected, "of {arriving}");
        }
        assert_eq!(next_piece(&mut body), 0, "of {arriving}");
        assert_eq!(transport.lock().buffer.capacity(), 0, "what waits has no buffer");
        left -= arriving;
    }
    assert_eq!(transport.lock().read_bytes, READ_BYTES);
    // The next head is read into a small buffer, too.
    client.write_all(&vec![b'x'; left]).await.unwrap();
    while !body.is_done() {
        assert!(next_piece(&mut body) > 0);
    }
    client.write_all(&[b'x'; 1000]).await.unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(transport.lock().poll_disconnect(&mut cx).is_pending());
    assert_eq!(transport.lock().unread().len(), 1000);
    assert_eq!(transport.lock().read_bytes, READ_BYTES);
}

#[tokio::test]
async fn long_bodies_pass_unchanged_however_they_are_split() {
    let sent: Vec<u8> = (0..2 << 20).map(|at: u32| (at % 251) as u8).collect();
    let account = unlimited_account(None);
    for piece in
        [4_093, READ_BYTES, LONG_BODY_READ - 1, LONG_BODY_READ, LONG_BODY_READ + 1, 64 * 1024, 200_003]
    {
        for framing in [Framing::Length(2 << 20), Framing::Chunked] {
            let (mut client, _transport, mut body) = body_of(framing, &account);
            let (sent, is_chunked) = (&sent, framing == Framing::Chunked);
            let sending = async move {
                for data in sent.chunks(piece) {
                    let line = if is_chunked { format!("{:x}\r\n", data.len()) } else { String::new() };
                    client.write_all(line.as_bytes()).await.unwrap();
                    client.write_all(data).await.unwrap();
                    client.write_all(if is_chunked { b"\r\n" } else { b"" }).await.unwrap();
                }
                client.write_all(if is_chunked { b"0\r\n\r\n" } else { b"" }).await.unwrap();
            };
            let reading = async {
                let mut received = Vec::new();
                while let Some(data) = std::future::poll_fn(|cx| body.poll(cx)).await {
                    // Written and dropped before more is read.
                    received.extend_from_slice(&data.unwrap());
                }
                received
            };
            let ((), received) = tokio::join!(sending, reading);
            assert!(received == *sent, "pieces of {piece}, {framing:?}");
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_kernel_buffers_more_only_of_a_trusted_clients_long_response() {
    for is_verified in [false, true] {
        let (mut client, ours) = pair().await;
        let socket = socket2::SockRef::from(&ours).try_clone().unwrap();
        ours.bound_unsent(UNSENT_BYTES).unwrap();
        let account = unlimited_account(Some([192, 0, 2, 1].into()));
        if is_verified {
            account.verified();
        }
        let transport = SharedTransport::new(Box::new(ours), BytesMut::new(), &account);
        let bound = || socket.tcp_notsent_lowat().unwrap();
        let long = if is_verified { LONG_RESPONSE_UNSENT_BYTES } else { UNSENT_BYTES };
        let (mut half, mut taken) = (vec![0; 1 << 19], vec![0; 1 << 19]);
        for (sent, expected) in [(1, UNSENT_BYTES), (2, long), (3, long)] {
            if sent == 1 {
                let _body = transport.begin_body(Framing::None, false);
                assert_eq!(bound(), UNSENT_BYTES, "before a response");
            }
            transport.lock().outgoing().data(std::mem::take(&mut half).into(), b"");
            let writing = std::future::poll_fn(|cx| transport.lock().poll_write(cx));
            let (written, read) =
                tokio::join!(writing, tokio::io::AsyncReadExt::read_exact(&mut client, &mut taken));
            written.unwrap();
            read.unwrap();
            half = vec![0; 1 << 19];
            assert_eq!(bound(), expected, "after {sent} halves, verified: {is_verified}");
        }
        let _body = transport.begin_body(Framing::None, false);
        assert_eq!(bound(), UNSENT_BYTES, "before the next response");
    }
}

/// However small its chunks are, and however fast they arrive.
#[tokio::test]
async fn a_fast_body_lets_other_tasks_run() {
    let chunks = 400_000;
    let (mut client, ours) = tokio::io::duplex(1 << 24);
    client.write_all(&b"1\r\nx\r\n".repeat(chunks)).await.unwrap();
    client.write_all(b"0\r\n\r\n").await.unwrap();
    let transport = SharedTransport::new(Box::new(ours), BytesMut::new(), &unlimited_account(None));
    let mut body = transport.begin_body(Framing::Chunked, false);
    let (mut read, mut since, mut waits) = (0, 0, 0);
    while let Some(data) = std::future::poll_fn(|cx| {
        let polled = body.poll(cx);
        if polled.is_pending() {
            (since, waits) = (0, waits + 1);
        }
        polled
    })
    .await
    {
        let length = data.unwrap().len();
        (read, since) = (read + length, since + length);
        assert!(since <= BURST / PIECE_COST + 1, "{since} chunks in a row");
    }
    assert_eq!(read, chunks);
    assert!(waits >= chunks * PIECE_COST / (BURST + LONG_BODY_READ), "{waits}");
}
