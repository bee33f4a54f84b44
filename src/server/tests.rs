//! Connections of a trusted proxy on one worker: their requests take the turns of the clients that it names.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

use super::generation::{Generation, PreparedConfig, SharedState};
use crate::audit::{AuditTrail, AuditWriter};
use crate::budget::{Budget, Turns, take_turns};
use crate::config::{self, Sources};
use crate::connection::{self, ShutdownPhase, Slots, Stream, WorkerContext};
use crate::gateway::ListenerKind;
use crate::jose::Algorithm;
use crate::metrics::Metrics;
use crate::numeric_date::NumericDate;
use crate::test_support::{NOW, P256, document, good_claims};

const ATTACKER: &str = "192.0.2.66";
const OTHER: &str = "192.0.2.1";

/// Far longer than anything takes here.
const DEADLINE: Duration = Duration::from_secs(10);

/// A worker that serves connections of a trusted proxy, and gives out turns only while it is told to.
struct Worker {
    context: WorkerContext,
    budget: Arc<Budget>,
    turns: Arc<Turns>,
    _generation: Generation,
    _shutdown: watch::Sender<ShutdownPhase>,
    _writer: AuditWriter,
}

impl Worker {
    /// Requests without a token get 401, those with one 403.
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.yaml");
        let idp = json!({
            "name": "idp", "issuer": "https://idp.example", "publicKeys": document(&[P256.jwk_named("1")]),
        });
        let config = json!({
            "upstream": {"url": "http://127.0.0.1:9"},
            "trustedProxies": ["unix"],
            "authentication": {"issuers": [idp]},
            "authorization": {"default": "deny"},
        });
        std::fs::write(&file, config.to_string()).unwrap();
        let loaded = config::load(&Sources { files: vec![file], ..Sources::default() }).unwrap();
        let metrics = Arc::new(Metrics::new());
        let (audit, writer) = AuditTrail::start(std::io::sink(), metrics.clone()).unwrap();
        let mut shared = SharedState::new(metrics.clone(), audit, || NumericDate::from_secs(NOW), Vec::new());
        let prepared = PreparedConfig::new(Arc::new(loaded), None, &shared, 1).unwrap();
        let generation = prepared.generation(&shared);
        shared.slots = Slots::new(generation.worker_states());
        generation.enter(None, &shared);
        let shutdown = watch::Sender::new(ShutdownPhase::Serving);
        let (worker_state, policy_number) = shared.slots.of_workers().next().unwrap();
        let context = WorkerContext {
            worker_state: worker_state.clone(),
            metrics: metrics.clone(),
            shutdown: shutdown.subscribe(),
            policy_number,
        };
        Self {
            context,
            budget: Budget::new(generation.budget_limits(), metrics),
            turns: Arc::default(),
            _generation: generation,
            _shutdown: shutdown,
            _writer: writer,
        }
    }

    /// A connection from the proxy.
    fn connect(&self) -> UnixStream {
        let (client, ours) = UnixStream::pair().unwrap();
        let open = self.budget.connect(None).unwrap();
        let account = open.account().clone();
        account.set_turns(&self.turns);
        let context = self.context.clone();
        let task = async move {
            let listener = ListenerKind::Proxy(0);
            connection::serve(Stream::Unix(ours), None, listener, &open, &context).await;
        };
        tokio::spawn(take_turns(account, task));
        client
    }

    fn give_turns(&self) -> JoinHandle<()> {
        let turns = self.turns.clone();
        tokio::spawn(async move { turns.give().await })
    }

    /// Resolves when so many clients wait for a turn.
    async fn waits(&self, clients: usize) {
        let waiting = async {
            while self.turns.tasks() < clients {
                yield_now().await;
            }
        };
        timeout(DEADLINE, waiting).await.expect("they wait");
    }
}

async fn send(connection: &mut UnixStream, client: &str, token: Option<&str>) {
    let credentials = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!("GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n{credentials}\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
}

/// The status of the next response, which is read to its end.
async fn status(connection: &mut UnixStream) -> u16 {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut body = vec![0; value("content-length: ").parse().unwrap()];
    connection.read_exact(&mut body).await.unwrap();
    value("HTTP/1.1 ").get(..3).unwrap().parse().unwrap()
}

#[tokio::test]
async fn http1_requests_take_the_turns_of_the_named_client() {
    let worker = Worker::start();
    let (mut one, mut other) = (worker.connect(), worker.connect());
    // Nobody waits, so the first request has its turn at once.
    send(&mut one, ATTACKER, None).await;
    assert_eq!(status(&mut one).await, 401);
    send(&mut one, ATTACKER, None).await;
    worker.waits(1).await;
    send(&mut other, OTHER, None).await;
    worker.waits(2).await;
    let giving = worker.give_turns();
    assert_eq!((status(&mut one).await, status(&mut other).await), (401, 401));
    let token = P256.token(Algorithm::ES256, Some("1"), &good_claims());
    send(&mut other, OTHER, Some(&token)).await;
    assert_eq!(status(&mut other).await, 403);
    giving.abort();
    assert!(giving.await.unwrap_err().is_cancelled());

    // No turn is given out any more, but for the first one.
    send(&mut one, ATTACKER, None).await;
    assert_eq!(status(&mut one).await, 401);
    send(&mut one, ATTACKER, None).await;
    worker.waits(1).await;
    // A token that is not cached is verified in a turn, and one that is needs none.
    send(&mut other, OTHER, Some(&token)).await;
    assert_eq!(status(&mut other).await, 403);
    let token = P256.token(Algorithm::ES256, Some("1"), &good_claims());
    send(&mut other, OTHER, Some(&token)).await;
    worker.waits(2).await;
    let _giving = worker.give_turns();
    assert_eq!((status(&mut one).await, status(&mut other).await), (401, 403));
}

#[tokio::test]
async fn h2_streams_take_the_turns_of_their_named_clients() {
    let worker = Worker::start();
    let (mut requests, connection) = h2::client::handshake(worker.connect()).await.unwrap();
    tokio::spawn(connection);
    let mut request = |client: &str| {
        let request = http::Request::get("http://a/x").header("x-forwarded-for", client).body(()).unwrap();
        let (response, _) = requests.send_request(request, true).unwrap();
        async move { response.await.unwrap().status().as_u16() }
    };
    assert_eq!(request(ATTACKER).await, 401);
    let waiting = [ATTACKER, OTHER, ATTACKER].map(&mut request);
    worker.waits(2).await;
    let _giving = worker.give_turns();
    for response in waiting {
        assert_eq!(response.await, 401);
    }
}
