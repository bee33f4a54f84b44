//! Taking in connections, as far as there is room.

use std::io;
use std::net::{IpAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::Process;
use super::socket::{Listener, Socket};
use super::worker::{Job, Workers};
use crate::challenge;
use crate::config::ProxyProtocol;
use crate::connection::Stream;
use crate::decision::Reason;
use crate::gateway::ListenerKind;
use crate::policy::contains_address;
use crate::side_listener;

/// Connections beyond the limit that are given time to read their answer.
const MAX_TURNED_AWAY: usize = 64;
const MAX_TURNED_AWAY_BYTES: u64 = 64 * 1024;
/// When no connection can be accepted.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The listeners that requests come in by.
pub(super) struct Acceptors {
    proxy: Listener,
    forward_auth: Option<Listener>,
}

impl Acceptors {
    pub(super) fn open(proxy: Socket, forward_auth: Option<StdListener>) -> io::Result<Self> {
        let open = |socket, name: &'static str| {
            let listener = Listener::new(socket)?;
            tracing::info!(listener = name, address = listener.name()?, "listening");
            Ok::<_, io::Error>(listener)
        };
        let forward_auth = forward_auth.map(|asking| open(Socket::Tcp(asking), "forward-auth"));
        Ok(Self { proxy: open(proxy, "proxy")?, forward_auth: forward_auth.transpose()? })
    }

    /// Accepts by all of them until it is dropped.
    pub(super) async fn accept(&self, workers: &Workers, process: &Process) {
        let asking = async {
            if let Some(listener) = &self.forward_auth {
                accept(listener, ListenerKind::ForwardAuth, workers, process).await;
            }
        };
        tokio::join!(accept(&self.proxy, ListenerKind::Proxy, workers, process), asking);
    }
}

/// Accepts until it is dropped. Nothing that a client or a full table of file descriptors does
/// ends it.
async fn accept(listener: &Listener, listener_kind: ListenerKind, workers: &Workers, process: &Process) {
    let mut failing = false;
    let turned_away = Arc::new(Semaphore::new(MAX_TURNED_AWAY));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failing = false;
                let client = peer.filter(|peer| has_a_share(listener_kind, *peer, process));
                match process.budget.connect(client) {
                    Ok(open) => workers.hand_over(Job::new(stream, peer, listener_kind, open)),
                    Err(exhausted) => {
                        tracing::debug!(?peer, limit = exhausted.as_str(), "no room for a connection");
                        turn_away(stream, &turned_away);
                    }
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "cannot accept connections");
                }
                failing = true;
                sleep(RETRY_INTERVAL).await;
                while side_listener::is_short() {
                    sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }
}

/// Whether a peer is a client. Proxies that speak for others are not: an asking one, one that is
/// trusted, and one whose PROXY protocol header says later whose connection it is.
fn has_a_share(listener_kind: ListenerKind, peer: IpAddr, process: &Process) -> bool {
    let current = process.current.load();
    let config = &current.loaded.config;
    listener_kind == ListenerKind::Proxy
        && config.proxy_protocol == ProxyProtocol::Off
        && !contains_address(&config.trusted_proxies, peer)
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Answers one connection too many and lets it read the answer: a socket that is closed with
/// bytes unread is reset, and the answer with it. Few of these wait at a time.
fn turn_away(stream: Stream, waiting: &Arc<Semaphore>) {
    let row = Reason::Overloaded.row();
    let body = challenge::body(row.status, row.message);
    let retry_after = row.retry_after.map(|secs| format!("Retry-After: {secs}\r\n")).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{retry_after}Connection: close\r\n\r\n{body}",
        row.status,
        body.len(),
    );
    // A fresh socket's buffer takes it whole; a client that is gone already needs no answer.
    let _ = stream.try_write(answer.as_bytes());
    let Ok(slot) = waiting.clone().try_acquire_owned() else { return };
    let mut stream = stream.boxed();
    tokio::spawn(async move {
        let _slot = slot;
        let closing = async {
            stream.shutdown().await?;
            tokio::io::copy(&mut stream.take(MAX_TURNED_AWAY_BYTES), &mut tokio::io::sink()).await
        };
        // Whatever comes of it, the connection ends here.
        let _ = timeout(Duration::from_secs(1), closing).await;
    });
}
