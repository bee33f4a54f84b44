//! What a panic of a request leaves behind. The panics come from the clock of the test, which the request path calls.
//!
//! The log and the panic hook are those of a whole process, so each test runs the server in a process of its own: this
//! executable again, with only `a_server_that_panics`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::config::{self, Sources};
use crate::numeric_date::NumericDate;
use crate::panics;
use crate::server::{self, Inherited, Listeners, LogDropped, RunOptions};

const CHILD: &str = "METAGATE_TEST_CHILD";
/// Part of the text of the panic, as of the tokens that such a text may quote.
const SECRET: &str = "eyJhbGciOiJub25lIn0";
const DEADLINE: Duration = Duration::from_secs(60);

/// Panics in requests whose ID asks for it. A panic that meets a second one while it unwinds aborts the process.
fn clock() -> NumericDate {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("another, about {}", SECRET);
        }
    }
    match panics::current().as_deref() {
        Some("panic-with-values") => panic!("cannot read {}", SECRET),
        Some("panic-with-constant") => panic!("a constant"),
        Some("abort") => {
            let _bomb = Bomb;
            panic!("the first, about {}", SECRET);
        }
        _ => NumericDate::from_secs(crate::test_support::NOW),
    }
}

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn a_server_that_panics() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let environment = [
        ("METAGATE_BACKEND", "datahub-gms"),
        ("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", "Zk8vPq3nR7tYw2xLb9cDf4gHj6mNs1uV"),
        ("METAGATE_UPSTREAM__URL", "http://127.0.0.1:9"),
        ("METAGATE_LISTEN", "127.0.0.1:0"),
        ("METAGATE_HEALTH__LISTEN", "127.0.0.1:0"),
        ("METAGATE_ADMIN__LISTEN", "127.0.0.1:0"),
        ("METAGATE_WORKERS", "1"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let loaded = config::load(&Sources { environment, ..Sources::default() }).unwrap();
    let telemetry = super::start(&loaded.config.log).unwrap();
    let listeners = Listeners::bind(&loaded.config, Inherited::default()).unwrap();
    let queue = telemetry.queue().clone();
    let log_dropped: LogDropped = Box::new(move || queue.dropped());
    let options = RunOptions { log_dropped: Some(log_dropped), ..RunOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let forever = std::future::pending();
    runtime.block_on(server::run(loaded, options, listeners, io::stdout(), clock, forever)).unwrap();
}

struct Server {
    child: Child,
    /// Lines of JSON from both of its streams, in no order.
    lines: Receiver<Value>,
    proxy: SocketAddr,
    health: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["telemetry::tests::a_server_that_panics", "--exact", "--ignored", "--nocapture"])
            .env(CHILD, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let streams: [Box<dyn io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    assert!(!line.contains(SECRET), "{line}");
                    let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                    let _ = sender.send(line);
                }
            });
        }
        let mut server = Self { child, lines, proxy: ([0; 4], 0).into(), health: ([0; 4], 0).into() };
        for name in ["proxy", "health"] {
            let line = server.line(|line| line["listener"] == name);
            let address = line["address"].as_str().unwrap().parse().unwrap();
            *(if name == "proxy" { &mut server.proxy } else { &mut server.health }) = address;
        }
        server
    }

    /// The next line that matches.
    #[track_caller]
    fn line(&self, matches: impl Fn(&Value) -> bool) -> Value {
        let mut others = Vec::new();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) if matches(&line) => return line,
                Ok(line) => others.push(line),
                Err(error) => panic!("{error}: {others:?}"),
            }
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.proxy).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(self.health).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
    }
}

/// A request with a token. The clock is asked about it.
fn request(id: &str) -> String {
    format!(
        "GET /aspects/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {SECRET}.e30.AAAA\r\nX-Request-Id: {id}\r\n\r\n"
    )
}

fn status(stream: &mut TcpStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn a_panic_ends_one_connection_and_leaves_one_record_with_the_request() {
    let server = Server::start();
    let mut other = server.connect();
    for (number, (id, text)) in [
        ("panic-with-values", "not logged: the text has values in it"),
        ("panic-with-constant", "a constant"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut stream = server.connect();
        stream.write_all(request(id).as_bytes()).unwrap();
        let mut rest = Vec::new();
        // Closed or reset.
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(rest, b"", "no part of a response");
        let is_about = |line: &Value| line["request_id"] == id;
        let (mut log, mut audit) = (server.line(is_about), server.line(is_about));
        if log["event"] == "request" {
            (log, audit) = (audit, log);
        }
        assert_eq!((&log["level"], &log["panic"]), (&"ERROR".into(), &text.into()), "{log}");
        assert_eq!(log["thread"], "worker-0");
        let location = log["location"].as_str().unwrap();
        assert!(location.starts_with("src/telemetry/tests.rs:"), "{location}");
        assert_eq!((&audit["decision"], &audit["complete"]), (&"error".into(), &false.into()), "{audit}");
        assert_eq!(audit["detail"], format!("ended: panicked at {location}"));
        assert_eq!(server.metric("metagate_panics_total"), (number + 1) as f64);
    }
    other.write_all(request("later").as_bytes()).unwrap();
    assert_eq!(status(&mut other), "401", "the worker serves its other connections");
    // Nothing else was logged about them.
    let audit = server.line(|line| line["request_id"].as_str().is_some_and(|id| id != "x"));
    assert_eq!((&audit["request_id"], &audit["event"]), (&"later".into(), &"request".into()));
}

#[tokio::test]
async fn a_panic_ends_one_stream_of_a_connection() {
    let server = Server::start();
    let stream = tokio::net::TcpStream::connect(server.proxy).await.unwrap();
    let (mut sending, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    for (id, expected) in [("panic-with-values", None), ("later", Some(401))] {
        let request = http::Request::get("http://a/aspects/x")
            .header("authorization", format!("Bearer {SECRET}.e30.AAAA"))
            .header("x-request-id", id)
            .body(())
            .unwrap();
        sending = sending.ready().await.unwrap();
        let (response, _) = sending.send_request(request, true).unwrap();
        let response = response.await;
        assert_eq!(
            response.as_ref().ok().map(|response| response.status().as_u16()),
            expected,
            "{response:?}"
        );
    }
    let log = server.line(|line| line["request_id"] == "panic-with-values" && line["level"] == "ERROR");
    assert_eq!(log["thread"], "worker-0");
    assert_eq!(server.metric("metagate_panics_total"), 1.0);
}

#[test]
fn an_abort_leaves_a_record_with_the_request() {
    use std::os::unix::process::ExitStatusExt as _;

    let mut server = Server::start();
    let mut stream = server.connect();
    stream.write_all(request("abort").as_bytes()).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    let log = server.line(|line| {
        line["request_id"] == "abort"
            && line["message"].as_str().is_some_and(|text| text.ends_with("the process aborts"))
    });
    assert_eq!((&log["level"], &log["thread"]), (&"ERROR".into(), &"worker-0".into()), "{log}");
    assert_eq!(log["panic"], "panic in a destructor during cleanup");
    assert_eq!(server.child.wait().unwrap().signal(), Some(6));
}
