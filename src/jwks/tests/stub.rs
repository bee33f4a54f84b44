//! A small HTTP server: it answers as it is told and says what it was asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) path: String,
    /// Its field lines, names in lower case.
    pub(super) fields: Vec<(String, String)>,
}

impl Asked {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: String,
}

pub(super) fn ok(body: impl Into<String>) -> Answer {
    Answer { status: 200, fields: Vec::new(), body: body.into() }
}

pub(super) fn status(status: u16) -> Answer {
    Answer { status, fields: Vec::new(), body: String::new() }
}

pub(super) fn redirect(to: impl Into<String>) -> Answer {
    Answer { status: 302, fields: vec![("location", to.into())], body: String::new() }
}

pub(super) struct Stub {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Stub {
    /// `answer` gets the number of the request, from 0, and the request.
    pub(super) fn start(mut answer: impl FnMut(usize, &Asked) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, stopped) = (asked.clone(), stop.clone());
        let thread = thread::spawn(move || {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept() else { return };
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // A connection that was opened and not used must not hold up the end.
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let Some(request) = read(&stream) else { continue };
                log.lock().unwrap().push(request.clone());
                write(&stream, &answer(number, &request));
            }
        });
        Self { address, asked, stop, thread: Some(thread) }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
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

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let fields = lines
        .filter_map(|line| {
            line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    Some(Asked { path, fields })
}

/// The client may have gone already; then nobody misses the answer.
fn write(mut stream: &TcpStream, answer: &Answer) {
    let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", answer.status);
    for (name, value) in &answer.fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    // Without a length the body ends with the connection: a reader must count for itself.
    let _ = stream.write_all(format!("{head}\r\n{}", answer.body).as_bytes());
}
