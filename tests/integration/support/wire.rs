//! A client that sends the bytes it is told to and reads answers strictly.

use std::fmt;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use super::DEADLINE;
use super::message::{Body, Head, Reader, broken};

/// One answer.
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

/// Why there is no whole answer.
#[derive(Debug)]
pub enum NoResponse {
    /// The connection ended before the first byte of an answer.
    Closed,
    /// It ended, or broke the framing, within an answer.
    Cut(io::Error),
    /// Nothing came within the deadline.
    Silent,
}

impl fmt::Display for NoResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed without an answer"),
            Self::Cut(error) => write!(f, "cut off within an answer: {error}"),
            Self::Silent => f.write_str("no answer in time"),
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

/// A connection that sends bytes as they are.
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

    /// Sends the bytes; an answer may already have closed the connection, which is no failure here.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.socket.write_all(bytes.as_ref());
        self
    }

    /// The next final answer; interim ones are passed over.
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

    /// Status and fields of the next answer, its body still on the wire.
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

    /// The framing that follows such a head; for reading a body piece by piece.
    pub fn body_after(&self, status: u16, head: &Head) -> Body {
        head.body_of_response(status, false)
    }

    pub fn piece(&mut self, body: &mut Body) -> Result<Option<Vec<u8>>, NoResponse> {
        self.reader.body_piece(body).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => NoResponse::Silent,
            _ => NoResponse::Cut(error),
        })
    }

    /// No more will be sent from here.
    pub fn half_close(&mut self) -> &mut Self {
        let _ = self.socket.shutdown(Shutdown::Write);
        self
    }

    /// All that still comes until the other side closes.
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

/// A request's bytes; `Host` and the framing of a body are added.
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

/// The same bytes with the first occurrence of some replaced.
pub fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|window| window == from) {
        Some(at) => [&bytes[..at], to, &bytes[at + from.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

/// One request over a connection of its own.
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
