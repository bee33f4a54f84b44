//! A small HTTP server that sends given responses and records the requests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One request as received.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) path: String,
    /// Its fields, with names in lower case.
    pub(super) fields: Vec<(String, String)>,
}

impl Request {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub(super) struct Response {
    pub(super) status: u16,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: String,
}

pub(super) fn ok(body: impl Into<String>) -> Response {
    Response { status: 200, fields: Vec::new(), body: body.into() }
}

pub(super) fn status(status: u16) -> Response {
    Response { status, fields: Vec::new(), body: String::new() }
}

pub(super) fn redirect(to: impl Into<String>) -> Response {
    Response { status: 302, fields: vec![("location", to.into())], body: String::new() }
}

pub(super) struct Stub {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Stub {
    /// `respond` gets the number of the request, from 0, and the request.
    pub(super) fn start(mut respond: impl FnMut(usize, &Request) -> Response + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, stopped) = (requests.clone(), stop.clone());
        let thread = thread::spawn(move || {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept() else { return };
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // An unused connection must not delay the end.
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let Some(request) = read(&stream) else { continue };
                log.lock().unwrap().push(request.clone());
                write(&stream, &respond(number, &request));
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let fields = lines
        .filter_map(|line| {
            line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    Some(Request { path, fields })
}

/// The client may be gone already, so write errors are ignored.
fn write(mut stream: &TcpStream, response: &Response) {
    let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", response.status);
    for (name, value) in &response.fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    // Without a length the body ends with the connection, so the client must enforce its own limit.
    let _ = stream.write_all(format!("{head}\r\n{}", response.body).as_bytes());
}
