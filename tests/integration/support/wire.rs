//! A client that sends raw bytes and parses responses strictly.

use std::fmt;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use super::DEADLINE;
use super::message::{Body, Head, Reader, broken};

#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    pub head: Head,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Response {
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.value(name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.text()))
    }
}

/// Why there is no complete response.
#[derive(Debug)]
pub enum NoResponse {
    /// The connection ended before the first byte of a response.
    Closed,
    /// It ended, or broke the framing, within a response.
    Cut(io::Error),
    /// Nothing arrived within the deadline.
    Silent,
}

impl fmt::Display for NoResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed without a response"),
            Self::Cut(error) => write!(f, "truncated response: {error}"),
            Self::Silent => f.write_str("no response within the deadline"),
        }
    }
}

impl From<io::Error> for NoResponse {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silent,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Cut(error),
        }
    }
}

/// A connection that sends raw bytes.
pub struct Client {
    socket: TcpStream,
    reader: Reader<TcpStream>,
}

impl Client {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect_timeout(&address, DEADLINE).expect("a connection"))
    }

    #[track_caller]
    pub fn of(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).expect("a read timeout");
        socket.set_write_timeout(Some(DEADLINE)).expect("a write timeout");
        socket.set_nodelay(true).expect("no delay");
        let reader = Reader::new(socket.try_clone().expect("a second handle"));
        Self { socket, reader }
    }

    /// Sends the bytes. A failed write is ignored: the gateway may already have responded and closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.socket.write_all(bytes.as_ref());
        self
    }

    /// The next final response; interim responses are skipped.
    pub fn response(&mut self) -> Result<Response, NoResponse> {
        self.response_to("GET")
    }

    pub fn response_to(&mut self, method: &str) -> Result<Response, NoResponse> {
        loop {
            let (status, head) = self.response_head()?;
            let mut body = head.body_of_response(status, method == "HEAD");
            let mut response = Response { status, head, ..Response::default() };
            while let Some(piece) = self.piece(&mut body)? {
                response.body.extend(piece);
            }
            response.trailers = body.take_trailers();
            if !(100..200).contains(&status) {
                return Ok(response);
            }
        }
    }

    /// Status and fields of the next response, without reading its body.
    pub fn response_head(&mut self) -> Result<(u16, Head), NoResponse> {
        let head = self.reader.head()?.ok_or(NoResponse::Closed)?;
        let status = head.word(1).parse().ok().filter(|_| head.start.starts_with("HTTP/1."));
        let status = status.ok_or_else(|| NoResponse::Cut(broken(&head.start)))?;
        if head.problems.is_empty() {
            Ok((status, head))
        } else {
            Err(NoResponse::Cut(broken(&head.problems.join("; "))))
        }
    }

    /// The body's framing, for reading it piece by piece.
    pub fn body_after(&self, status: u16, head: &Head) -> Body {
        head.body_of_response(status, false)
    }

    pub fn piece(&mut self, body: &mut Body) -> Result<Option<Vec<u8>>, NoResponse> {
        self.reader.body_piece(body).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => NoResponse::Silent,
            _ => NoResponse::Cut(error),
        })
    }

    /// Shuts down the sending side.
    pub fn half_close(&mut self) -> &mut Self {
        let _ = self.socket.shutdown(Shutdown::Write);
        self
    }

    /// Everything until the other side closes.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let mut body = Body::UntilClose;
        loop {
            match self.piece(&mut body) {
                Ok(Some(piece)) => rest.extend(piece),
                Err(NoResponse::Silent) => panic!("the connection stays open"),
                Ok(None) | Err(_) => return String::from_utf8_lossy(&rest).into_owned(),
            }
        }
    }
}

/// A request's bytes, with `Host` and Content-Length added.
pub fn request_bytes(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: gateway.test\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

/// Replaces the first occurrence of `from`.
pub fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|window| window == from) {
        Some(at) => [&bytes[..at], to, &bytes[at + from.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

/// Sends one request on its own connection.
#[track_caller]
pub fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let mut client = Client::connect(address);
    client.send(request_bytes(method, target, headers, body));
    client.response_to(method).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
}

#[track_caller]
pub fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Response {
    send(address, "GET", target, headers, b"")
}
