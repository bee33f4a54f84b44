//! A scripted HTTP/1.1 server: one thread per connection, every received byte recorded, every
//! request parsed strictly. The script that responds has full control of the socket.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::DEADLINE;
use super::message::{Body, Head, Reader};

/// Called once for each request, as soon as its header section has arrived.
pub type Script = dyn Fn(&mut Exchange) -> io::Result<Next> + Send + Sync;

/// What happens to the connection after a response.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Next {
    KeepOpen,
    Close,
}

/// One request as it was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The index of its connection, from 0.
    pub connection: usize,
    pub head: Head,
    /// The body received so far, without its framing.
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// Whether the body reached its proper end.
    pub complete: bool,
}

/// Holds scripts back until it is opened.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn is_open(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap_or_else(|broken| broken.into_inner()) = true;
        self.0.1.notify_all();
    }
}

pub struct Stub {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stopping: AtomicBool,
    script: Box<Script>,
}

#[derive(Default)]
struct State {
    requests: Vec<Received>,
    raw: Vec<Vec<u8>>,
    sockets: Vec<TcpStream>,
    threads: Vec<JoinHandle<()>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_all();
        result
    }
}

impl Stub {
    pub fn start(script: impl Fn(&mut Exchange) -> io::Result<Next> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            stopping: AtomicBool::new(false),
            script: Box::new(script),
        });
        let accepting = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared, acceptor: Some(acceptor) }
    }

    pub fn requests(&self) -> Vec<Received> {
        self.shared.state().requests.clone()
    }

    /// How many connections were accepted in total.
    pub fn connections(&self) -> usize {
        self.shared.state().raw.len()
    }

    /// Every byte received on that connection.
    pub fn raw(&self, connection: usize) -> Vec<u8> {
        self.shared.state().raw[connection].clone()
    }

    /// Waits until `poll` finds what it wants in the requests so far.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, mut poll: impl FnMut(&[Received]) -> Option<T>) -> T {
        let started = Instant::now();
        let mut state = self.shared.state();
        loop {
            if let Some(found) = poll(&state.requests) {
                return found;
            }
            let left = DEADLINE.saturating_sub(started.elapsed());
            assert!(!left.is_zero(), "timed out waiting for {what}; so far: {:#?}", state.requests);
            state = self.shared.changed.wait_timeout(state, left).expect("no poisoned lock").0;
        }
    }

    /// Closes every connection, as a server does with idle ones.
    pub fn close_connections(&self) {
        self.shared.change(|state| {
            for socket in state.sockets.drain(..) {
                let _ = socket.shutdown(Shutdown::Both);
            }
        });
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.close_connections();
        let threads = std::mem::take(&mut self.shared.state().threads);
        for thread in threads {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(socket) = socket else { continue };
        let Ok(clone) = socket.try_clone() else { continue };
        let mut state = shared.state();
        let connection = state.raw.len();
        state.raw.push(Vec::new());
        state.sockets.push(clone);
        let serving = Arc::clone(shared);
        state.threads.push(std::thread::spawn(move || {
            let _ = serve(&socket, connection, &serving);
            let _ = socket.shutdown(Shutdown::Both);
        }));
        drop(state);
        shared.changed.notify_all();
    }
}

fn serve(socket: &TcpStream, connection: usize, shared: &Arc<Shared>) -> io::Result<()> {
    let source = Recording { socket: socket.try_clone()?, connection, shared: Arc::clone(shared) };
    let mut reader = Reader::new(source);
    while let Some(head) = reader.head()? {
        let body = head.body_of_request();
        let received =
            Received { connection, head, body: Vec::new(), trailers: Vec::new(), complete: body.is_empty() };
        let request = shared.change(|state| {
            state.requests.push(received.clone());
            state.requests.len() - 1
        });
        let mut exchange =
            Exchange { request: received, socket, reader: &mut reader, body, index: request, shared };
        if (shared.script)(&mut exchange)? == Next::Close {
            return Ok(());
        }
        exchange.read_body()?;
    }
    Ok(())
}

/// Records what is read from the socket before it is parsed.
struct Recording {
    socket: TcpStream,
    connection: usize,
    shared: Arc<Shared>,
}

impl Read for Recording {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.socket.read(buffer)?;
        self.shared.change(|state| state.raw[self.connection].extend(&buffer[..count]));
        Ok(count)
    }
}

/// A request handed to a script.
pub struct Exchange<'a> {
    /// The request as of the end of its header section.
    pub request: Received,
    socket: &'a TcpStream,
    reader: &'a mut Reader<Recording>,
    body: Body,
    index: usize,
    shared: &'a Shared,
}

impl Exchange<'_> {
    /// Reads the body to its end. The test sees each piece as it arrives.
    pub fn read_body(&mut self) -> io::Result<Vec<u8>> {
        while let Some(piece) = self.reader.body_piece(&mut self.body)? {
            self.shared.change(|state| state.requests[self.index].body.extend(&piece));
        }
        let trailers = self.body.take_trailers();
        Ok(self.shared.change(|state| {
            let request = &mut state.requests[self.index];
            request.complete = true;
            request.trailers.extend(trailers);
            request.body.clone()
        }))
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut socket = self.socket;
        socket.write_all(bytes.as_ref())
    }

    /// The next bytes after a protocol switch; empty at the end.
    pub fn raw(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.reader.body_piece(&mut Body::UntilClose)?.unwrap_or_default())
    }

    /// Sends a complete response with a Content-Length; without the body for HEAD.
    pub fn reply(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> io::Result<Next> {
        let body = body.as_ref();
        let mut response = format!("HTTP/1.1 {status} Scripted\r\n");
        for (name, value) in headers {
            response.push_str(&format!("{name}: {value}\r\n"));
        }
        response.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let sent = if self.request.head.method() == "HEAD" { &[] } else { body };
        self.send([response.as_bytes(), sent].concat())?;
        Ok(Next::KeepOpen)
    }

    /// Delays a slow server's response. No test depends on this time; it only bounds what the
    /// gateway must endure.
    pub fn pause(&self, wait: Duration) {
        std::thread::sleep(wait);
    }

    /// Waits until the gate opens or the server is dropped.
    pub fn hold(&self, gate: &Gate) {
        let (open, changed) = &*gate.0;
        let mut open = open.lock().unwrap_or_else(|broken| broken.into_inner());
        while !*open && !self.shared.stopping.load(Ordering::SeqCst) {
            let turn = Duration::from_millis(20);
            open = changed.wait_timeout(open, turn).unwrap_or_else(|broken| broken.into_inner()).0;
        }
    }
}
