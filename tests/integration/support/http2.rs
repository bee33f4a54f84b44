//! HTTP/2 from both sides: a client that writes raw frames, a compliant client, and a scripted
//! server.

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::DEADLINE;

pub const DATA: u8 = 0x0;
pub const HEADERS: u8 = 0x1;
pub const PRIORITY: u8 = 0x2;
pub const RST_STREAM: u8 = 0x3;
pub const SETTINGS: u8 = 0x4;
pub const PING: u8 = 0x6;
pub const GOAWAY: u8 = 0x7;
pub const WINDOW_UPDATE: u8 = 0x8;
pub const CONTINUATION: u8 = 0x9;

pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
const ACK: u8 = 0x1;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame's bytes (RFC 9113 section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [.., high, middle, low] = payload.len().to_be_bytes();
    [&[high, middle, low, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// Fields as HPACK literals without indexing (RFC 7541 section 6.2.2), byte for byte.
pub fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name.as_bytes());
        text(&mut block, value.as_bytes());
    }
    block
}

fn text(block: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes.len();
    if rest < 127 {
        block.push(rest as u8);
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        block.push(rest as u8);
    }
    block.extend(bytes);
}

/// A frame sent by the server.
#[derive(Debug)]
pub struct Arrived {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Arrived {
    /// The error code of a RST_STREAM or GOAWAY.
    pub fn code(&self) -> Option<u32> {
        let code = match self.kind {
            RST_STREAM => self.payload.get(..4)?,
            GOAWAY => self.payload.get(4..8)?,
            _ => return None,
        };
        Some(u32::from_be_bytes(code.try_into().ok()?))
    }
}

/// A connection that sends frames as they are.
pub struct RawClient {
    socket: TcpStream,
}

impl RawClient {
    /// Sends the preface and empty SETTINGS.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::with_settings(address, &[])
    }

    #[track_caller]
    pub fn with_settings(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::of(TcpStream::connect_timeout(&address, DEADLINE).expect("a connection"));
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        client.send([PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat());
        client
    }

    /// Either side of a connection that nothing was read from or written to.
    #[track_caller]
    pub fn of(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).expect("a read timeout");
        socket.set_write_timeout(Some(DEADLINE)).expect("a write timeout");
        socket.set_nodelay(true).expect("no delay");
        Self { socket }
    }

    /// Reads this many bytes without parsing frames.
    #[track_caller]
    pub fn skip(&mut self, count: usize) {
        self.socket.read_exact(&mut vec![0; count]).expect("the bytes");
    }

    /// Returns whether everything was written.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(bytes.as_ref()).is_ok()
    }

    /// The next frame, or `None` when the connection has ended.
    #[track_caller]
    pub fn next(&mut self) -> Option<Arrived> {
        let mut head = [0; 9];
        if let Err(error) = self.socket.read_exact(&mut head) {
            let silent =
                [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut].contains(&error.kind());
            assert!(!silent, "the server neither sends anything nor closes");
            return None;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        Some(Arrived { kind: head[3], flags: head[4], stream, payload })
    }

    /// The first frame that matches.
    #[track_caller]
    pub fn find(&mut self, wanted: impl Fn(&Arrived) -> bool) -> Option<Arrived> {
        loop {
            let arrived = self.next()?;
            if wanted(&arrived) {
                return Some(arrived);
            }
        }
    }

    /// Whether a PING is acknowledged: the connection is alive and has processed everything before
    /// it.
    #[track_caller]
    pub fn answers_ping(&mut self) -> bool {
        self.send(frame(PING, 0, 0, b"metagate"));
        self.find(|arrived| arrived.kind == PING && arrived.flags == ACK && arrived.payload == b"metagate")
            .is_some()
    }

    /// Reads until the connection ends and returns the error codes of its GOAWAY frames.
    #[track_caller]
    pub fn end(&mut self) -> Vec<u32> {
        let mut codes = Vec::new();
        while let Some(arrived) = self.next() {
            if arrived.kind == GOAWAY {
                codes.extend(arrived.code());
            }
        }
        codes
    }
}

/// A complete response.
#[derive(Debug)]
pub struct Http2Response {
    pub status: u16,
    pub fields: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Http2Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.to_str().ok()
    }
}

/// A compliant client, over cleartext with prior knowledge (RFC 9113 section 3.3).
pub struct Http2Client {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

impl Http2Client {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let runtime = runtime();
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
            let (sender, connection) = h2::client::handshake(stream).await.expect("a handshake");
            tokio::spawn(connection);
            sender.ready().await.expect("a connection that accepts requests")
        });
        Self { runtime, sender }
    }

    /// Runs something on the client's runtime, within the deadline.
    #[track_caller]
    pub fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { timeout(DEADLINE, what).await }).expect("a result before the deadline")
    }

    /// Starts a request; its body may follow.
    #[track_caller]
    pub fn open(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        ends: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut request = Request::builder().method(method).uri(format!("http://gateway.test{path}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        self.sender.send_request(request, ends).expect("a stream")
    }

    /// Sends a request and reads the whole response.
    #[track_caller]
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &'static [u8],
    ) -> Result<Http2Response, h2::Error> {
        let (response, mut sending) = self.open(method, path, fields, body.is_empty());
        if !body.is_empty() {
            // A refusal may have ended the stream already.
            let _ = sending.send_data(Bytes::from_static(body), true);
        }
        self.wait(async { whole(response.await?).await })
    }
}

/// Reads a response to its end.
pub async fn whole(response: Response<RecvStream>) -> Result<Http2Response, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        body.extend(piece);
    }
    let trailers = stream.trailers().await?;
    Ok(Http2Response { status: head.status.as_u16(), fields: head.headers, body, trailers })
}

/// A request handed to a script.
pub struct Http2Request {
    pub connection: usize,
    pub request: Request<RecvStream>,
    pub respond: h2::server::SendResponse<Bytes>,
}

type Script = dyn Fn(Http2Request) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// The connections and requests that a stub received.
#[derive(Default)]
struct Seen {
    heads: Vec<(http::request::Parts, usize)>,
    connections: usize,
}

/// A compliant cleartext server that responds by script.
pub struct Http2Stub {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _runtime: Runtime,
}

/// How a stub handles its connections.
#[derive(Clone, Copy, Default)]
pub struct StubOptions {
    pub max_streams: Option<u32>,
    /// Sends GOAWAY after this many requests on a connection.
    pub requests: Option<usize>,
}

impl Http2Stub {
    pub fn start<F>(options: StubOptions, script: impl Fn(Http2Request) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = runtime();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::<Mutex<Seen>>::default();
        let noting = seen.clone();
        let script: Arc<Script> = Arc::new(move |request| Box::pin(script(request)));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (noting, script) = (noting.clone(), script.clone());
                tokio::spawn(serve(stream, options, noting, script));
            }
        });
        Self { address, seen, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.seen.lock().expect("no poisoned lock").connections
    }

    /// The head of the last request with that path.
    #[track_caller]
    pub fn head_of(&self, path: &str) -> http::request::Parts {
        let seen = self.seen.lock().expect("no poisoned lock");
        let found = seen.heads.iter().rev().find(|(head, _)| head.uri.path() == path);
        found.unwrap_or_else(|| panic!("no request to {path}")).0.clone()
    }

    /// The connection of each request, in the order of arrival.
    pub fn order(&self) -> Vec<usize> {
        self.seen.lock().expect("no poisoned lock").heads.iter().map(|(_, connection)| *connection).collect()
    }
}

async fn serve(
    stream: tokio::net::TcpStream,
    options: StubOptions,
    seen: Arc<Mutex<Seen>>,
    script: Arc<Script>,
) {
    let number = {
        let mut seen = seen.lock().expect("no poisoned lock");
        seen.connections += 1;
        seen.connections - 1
    };
    let mut builder = h2::server::Builder::new();
    if let Some(max) = options.max_streams {
        builder.max_concurrent_streams(max);
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let mut served = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (head, body) = request.into_parts();
        seen.lock().expect("no poisoned lock").heads.push((head.clone(), number));
        let request = Request::from_parts(head, body);
        tokio::spawn(script(Http2Request { connection: number, request, respond }));
        served += 1;
        if options.requests == Some(served) {
            connection.graceful_shutdown();
        }
    }
}

/// Responds with 200 and the request's body, or `connection n` if it has none.
pub async fn echo(mut arrived: Http2Request) {
    let mut body = Vec::new();
    let stream = arrived.request.body_mut();
    while let Some(Ok(piece)) = stream.data().await {
        let _ = stream.flow_control().release_capacity(piece.len());
        body.extend(piece);
    }
    if body.is_empty() {
        body = format!("connection {}", arrived.connection).into_bytes();
    }
    if let Ok(mut sending) = arrived.respond.send_response(Response::new(()), false) {
        let _ = sending.send_data(body.into(), true);
    }
}
