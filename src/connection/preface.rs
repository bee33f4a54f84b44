//! Detects HTTP/2 with prior knowledge from the first bytes of a connection without TLS (RFC 9113 section 3.3).

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The first bytes of every HTTP/2 client (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Large enough to read most heads at once.
const BUFFER_BYTES: usize = 4096;

/// The first bytes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    pub(super) http2: bool,
    /// All bytes that were read.
    pub(super) read: BytesMut,
}

/// Reads until the bytes either are the HTTP/2 preface or differ from it. Returns `None` if the client closes the
/// connection before that. It has no timeout of its own: the caller bounds the time.
pub(super) async fn sniff<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<Beginning>> {
    let mut read = BytesMut::with_capacity(BUFFER_BYTES);
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(None);
        }
        if read.starts_with(PREFACE) {
            return Ok(Some(Beginning { http2: true, read }));
        }
        if !PREFACE.starts_with(&read[..]) {
            return Ok(Some(Beginning { http2: false, read }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    /// The result for a client that sends these pieces and then closes the connection.
    async fn beginning(pieces: &[&[u8]]) -> Option<Beginning> {
        let (mut client, mut server) = tokio::io::duplex(64 * 1024);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let sending = async move {
            for piece in pieces {
                client.write_all(&piece).await.expect("room");
                tokio::task::yield_now().await;
            }
        };
        let (_, beginning) = tokio::join!(sending, sniff(&mut server));
        beginning.expect("no error")
    }

    #[tokio::test]
    async fn the_preface_is_detected_in_any_two_pieces() {
        for cut in 0..=PREFACE.len() {
            let (one, other) = PREFACE.split_at(cut);
            let sniffed = beginning(&[one, other].map(|piece| piece)).await.expect("a beginning");
            assert!(sniffed.http2, "cut at {cut}");
            assert_eq!(&sniffed.read[..], PREFACE);
        }
    }

    #[tokio::test]
    async fn the_first_byte_that_differs_from_the_preface_selects_http1() {
        for bytes in [&b"G"[..], b"POST / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", b"PRI * HTTP/1"]
        {
            let sniffed = beginning(&[bytes]).await.expect("a beginning");
            assert_eq!(sniffed, Beginning { http2: false, read: BytesMut::from(bytes) });
        }
        assert_eq!(beginning(&[b"PRI * HT"]).await, None);
        assert_eq!(beginning(&[]).await, None);
    }
}
