//! Accepts client connections as far as the budget has room, and refuses the others with 503.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::Process;
use super::socket::{Listener, ProxySocket, Socket};
use super::worker::{Job, Workers};
use crate::budget::{Exhausted, OpenConnection};
use crate::challenge;
use crate::config::ProxyProtocol;
use crate::connection::Stream;
use crate::decision::Reason;
use crate::gateway::ListenerKind;
use crate::policy::contains_address;
use crate::side_listener;

/// How many refused connections at a time get some time to read the response.
const MAX_REFUSED: usize = 64;
/// How much is read from a refused connection before it is closed.
const MAX_REFUSED_BYTES: u64 = 64 * 1024;
/// How long to wait after `accept` failed, for example because no file descriptor is left.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The listeners for client requests.
pub(super) struct Acceptors {
    proxy: Vec<Listener>,
    forward_auth: Option<Listener>,
}

impl Acceptors {
    pub(super) fn open(proxy: Vec<ProxySocket>, forward_auth: Option<StdListener>) -> io::Result<Self> {
        let open = |socket, name: &'static str| {
            let listener = Listener::new(socket)?;
            tracing::info!(listener = name, address = listener.name()?, "listening");
            Ok::<_, io::Error>(listener)
        };
        let forward_auth = forward_auth.map(|listener| open(Socket::Tcp(listener), "forward-auth"));
        let proxy = proxy.into_iter().map(|proxy| open(proxy.socket, "proxy")).collect::<io::Result<_>>()?;
        Ok(Self { proxy, forward_auth: forward_auth.transpose()? })
    }

    /// Accepts connections on all listeners until the future is dropped.
    pub(super) async fn accept(&self, workers: &Workers, process: &Process) {
        let proxy = self.proxy.iter().enumerate();
        let proxy = proxy.map(|(number, listener)| (listener, ListenerKind::Proxy(number)));
        let forward_auth = self.forward_auth.iter().map(|listener| (listener, ListenerKind::ForwardAuth));
        let mut accepting: Vec<_> = proxy
            .chain(forward_auth)
            .map(|(listener, kind)| Box::pin(accept(listener, kind, workers, process)))
            .collect();
        poll_fn(|cx| {
            // None of them ends.
            for accepting in &mut accepting {
                let _ = accepting.as_mut().poll(cx);
            }
            Poll::Pending
        })
        .await
    }
}

/// Accepts connections until the future is dropped. Neither clients nor a lack of file descriptors end it.
async fn accept(listener: &Listener, listener_kind: ListenerKind, workers: &Workers, process: &Process) {
    let mut failing = false;
    let refused = Arc::new(Semaphore::new(MAX_REFUSED));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failing = false;
                match open(listener_kind, peer, process) {
                    Ok(open) => workers.hand_over(Job::new(stream, peer, listener_kind, open)),
                    Err(exhausted) => {
                        tracing::debug!(?peer, limit = exhausted.as_str(), "no room for a connection");
                        refuse(stream, &refused);
                    }
                }
            }
            Err(error) if affects_one_connection(&error) => {}
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

/// Counts a connection. A peer that is itself a client has a share of the limits. Proxies in front of clients have none:
/// those that use forward-auth, those in `trustedProxies`, and those whose PROXY protocol header will name the client.
fn open(
    listener_kind: ListenerKind,
    peer: Option<IpAddr>,
    process: &Process,
) -> Result<OpenConnection, Exhausted> {
    let current = process.current.load();
    let config = &current.loaded.config;
    match (listener_kind, config.proxy_protocol) {
        (ListenerKind::Proxy(_), ProxyProtocol::Require) => process.budget.connect_unnamed(),
        (ListenerKind::Proxy(_), ProxyProtocol::Off) => {
            process.budget.connect(peer.filter(|peer| !contains_address(&config.trusted_proxies, *peer)))
        }
        (ListenerKind::ForwardAuth, _) => process.budget.connect(None),
    }
}

fn affects_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Refuses a connection that exceeds a limit. A socket that is closed with unread bytes is reset, and the client would
/// lose the response, so [`MAX_REFUSED`] connections at a time stay open for up to a second.
fn refuse(stream: Stream, lingering: &Arc<Semaphore>) {
    let row = Reason::Overloaded.row();
    let body = challenge::body(row.status, row.message);
    let retry_after = row.retry_after.map(|secs| format!("Retry-After: {secs}\r\n")).unwrap_or_default();
    let response = format!(
        "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{retry_after}Connection: close\r\n\r\n{body}",
        row.status,
        body.len(),
    );
    // The buffer of a new socket has room for the whole response. If the client is gone, it needs none.
    let _ = stream.try_write(response.as_bytes());
    let Ok(slot) = lingering.clone().try_acquire_owned() else { return };
    let mut stream = stream.boxed();
    tokio::spawn(async move {
        let _slot = slot;
        let closing = async {
            stream.shutdown().await?;
            tokio::io::copy(&mut stream.take(MAX_REFUSED_BYTES), &mut tokio::io::sink()).await
        };
        // The connection ends here in any case.
        let _ = timeout(Duration::from_secs(1), closing).await;
    });
}
