//! Which HTTP a client speaks in the clear, told by its first bytes (RFC 9113 section 3.3).

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What an HTTP/2 client says first (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Most heads come in one piece, which is then read at once.
const BUFFER_BYTES: usize = 4096;

/// What a connection begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    /// Whether it is HTTP/2.
    pub(super) http2: bool,
    /// What was read of it.
    pub(super) read: BytesMut,
}

/// Reads until it is clear whether these bytes are HTTP/2's preface; nothing where the client ends
/// before. Takes as long as the client likes: the caller bounds the time.
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

    /// What is made of these pieces, one after the other, and then the end.
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
    async fn the_preface_is_known_however_it_is_cut() {
        for cut in 0..=PREFACE.len() {
            let (one, other) = PREFACE.split_at(cut);
            let sniffed = beginning(&[one, other].map(|piece| piece)).await.expect("a beginning");
            assert!(sniffed.http2, "cut at {cut}");
            assert_eq!(&sniffed.read[..], PREFACE);
        }
    }

    #[tokio::test]
    async fn anything_else_is_http1_at_the_first_byte_that_differs() {
        for bytes in [&b"G"[..], b"POST / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", b"PRI * HTTP/1"]
        {
            let sniffed = beginning(&[bytes]).await.expect("a beginning");
            assert_eq!(sniffed, Beginning { http2: false, read: BytesMut::from(bytes) });
        }
        assert_eq!(beginning(&[b"PRI * HT"]).await, None);
        assert_eq!(beginning(&[]).await, None);
    }
}
