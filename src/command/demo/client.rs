//! The demo's own client: sends a request byte for byte, as curl does with `--path-as-is`.
//!
//! A client library would tidy what the demo shows: dot segments, two `Authorization` fields, a target that is too long.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest response that is read.
const MOST: u64 = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Sends a request on a connection of its own. `None`: there was no HTTP response.
pub(super) async fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> Option<Received> {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in fields {
        request += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    request += "\r\n";
    request += body;
    let mut response = Vec::new();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        // An early refusal may end the connection while the request is still being sent.
        let _ = stream.write_all(request.as_bytes()).await;
        (&mut stream).take(MOST).read_to_end(&mut response).await
    };
    // What arrived counts, also if the connection was then reset.
    let _ = timeout(PATIENCE, exchange).await;
    parse(&response)
}

fn parse(response: &[u8]) -> Option<Received> {
    let text = String::from_utf8_lossy(response);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Received { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_head_is_a_response() {
        let received = Received { status: 401, body: "{}".to_owned() };
        assert_eq!(parse(b"HTTP/1.1 401 Unauthorized\r\nA: b\r\n\r\n{}"), Some(received));
        for broken in [&b""[..], b"HTTP/1.1 401 Unauthorized\r\n", b"HTTP/1.1 4", b"SSH-2.0\r\n\r\n"] {
            assert_eq!(parse(broken), None);
        }
    }
}
