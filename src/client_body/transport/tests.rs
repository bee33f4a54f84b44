//! Clients that end their sending side while nothing is read from them.

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
