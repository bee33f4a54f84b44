//! Serves one client connection: from an accepted socket to requests for the gateway.
//!
//! 1. If connections must begin with a PROXY protocol header, it names the client (`proxy_protocol`), and the
//!    connection is counted against that client's share of the limits.
//! 2. If TLS is on, the TLS handshake follows. ALPN selects the HTTP version; without TLS, the first bytes do
//!    (`preface`).
//! 3. `http1` or `http2` serves the requests, each by a `handler`. Both read strictly what the client sends, because a
//!    backend may read differently what other readers tolerate: HTTP/1 has a reader of its own, and HTTP/2 is validated in
//!    front of the h2 crate, which is given placeholders in place of heads.
//!
//! What must hold:
//!
//! - Every step has a timeout (`settings`).
//! - All memory that grows with what the client does is charged to the connection's account
//!   ([`crate::budget::Connection`]).
//! - A connection keeps the `settings` with which it was accepted. Each request loads the gateway in force from the
//!   worker's `context`.
//!
//! Accepting, counting and dropping connections is the job of [`crate::server`].

use std::io;
use std::net::IpAddr;
use std::sync::Once;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncRead;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::budget::{NamedClient, OpenConnection};
use crate::client_body::{Duplex, UNSENT_BYTES};
use crate::gateway::{ListenerKind, Peer};
use crate::tls;

mod context;
mod date;
mod handler;
mod http1;
mod http2;
mod linger;
mod preface;
mod proxy_protocol;
mod settings;
mod slots;
mod stream;

pub(crate) use context::{ShutdownPhase, WorkerContext, WorkerState};
use preface::sniff;
pub(crate) use settings::ConnectionSettings;
use settings::TrustedProxies;
pub(crate) use slots::Slots;
pub(crate) use stream::Stream;

/// Serves a connection until it ends or is drained.
pub(crate) async fn serve(
    stream: Stream,
    address: Option<IpAddr>,
    listener_kind: ListenerKind,
    open: &OpenConnection,
    context: &WorkerContext,
) {
    match stream {
        Stream::Tcp(stream) => {
            let stall = context.worker_state.load().settings.times.stall;
            if let Err(error) = prepare(&stream, stall) {
                tracing::debug!(%error, "cannot set socket options");
            }
            serve_stream(stream, address, listener_kind, open, context).await;
        }
        Stream::Unix(stream) => serve_stream(stream, address, listener_kind, open, context).await,
    }
}

async fn serve_stream<S: Duplex + 'static>(
    mut stream: S,
    peer: Option<IpAddr>,
    listener_kind: ListenerKind,
    open: &OpenConnection,
    context: &WorkerContext,
) {
    // Clones only these parts of the state: a connection may live much longer than its configuration.
    let (tls, settings) = {
        let worker_state = context.worker_state.load();
        (worker_state.tls.clone(), worker_state.settings.clone())
    };
    let address = match (listener_kind, &settings.proxies) {
        (ListenerKind::Proxy(_), Some(proxies)) => {
            match Box::pin(client_address(&mut stream, peer, proxies, settings.times.head)).await {
                Ok(address) if has_room(open, address, proxies) => address,
                Ok(_) => return,
                Err(why) => return log_closed(peer, &why),
            }
        }
        // A proxy that uses forward-auth connects directly and names its clients in header fields.
        (ListenerKind::Proxy(_), None) | (ListenerKind::ForwardAuth, _) => peer,
    };
    let peer = Peer {
        address,
        tls: tls.is_some(),
        listener_kind,
        account: open.account().clone(),
        named: NamedClient::default(),
        interim: None,
    };
    // The state of a task has room for all its branches, and is kept as long as the connection. So the branches that
    // most connections do not take are boxed, here and in `serve_clear`.
    match tls {
        None => serve_clear(stream, peer, &settings, context).await,
        Some(acceptor) => Box::pin(serve_tls(acceptor, stream, peer, &settings, context)).await,
    }
}

/// With TLS, ALPN selects the HTTP version.
async fn serve_tls<S: Duplex + 'static>(
    acceptor: TlsAcceptor,
    stream: S,
    peer: Peer,
    settings: &ConnectionSettings,
    context: &WorkerContext,
) {
    let stream = match timeout(settings.times.head, acceptor.accept(stream)).await {
        // Boxed, because it is large, and every step that it is passed on to has room for it.
        Ok(Ok(stream)) => Box::new(stream),
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake timed out"),
    };
    if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2) {
        Box::pin(http2::serve(stream, BytesMut::new(), peer, settings, context)).await;
    } else {
        http1::serve(stream, BytesMut::new(), peer, settings, context).await;
    }
}

/// Sets the socket's options. The kernel closes the connection if the client accepts no data for
/// `stall_timeout`.
fn prepare(stream: &TcpStream, stall_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(stall_timeout))?;
    #[cfg(not(target_os = "linux"))]
    let _ = stall_timeout;
    stream.bound_unsent(UNSENT_BYTES)
}

/// Reads the client's address from the PROXY protocol header; the peer's own address if the header names none.
/// The error says why there is no acceptable header; the connection is then closed.
async fn client_address(
    stream: &mut (impl AsyncRead + Unpin),
    peer: Option<IpAddr>,
    proxies: &TrustedProxies,
    limit: Duration,
) -> Result<Option<IpAddr>, String> {
    if !proxies.may_name_client(peer) {
        return Err("its peer is not in trustedProxies".to_owned());
    }
    match timeout(limit, proxy_protocol::read(stream)).await {
        Ok(Ok(address)) => Ok(address.map(|address| address.ip().to_canonical()).or(peer)),
        Ok(Err(fault)) => Err(fault.to_string()),
        Err(_) => Err("its PROXY protocol header did not arrive in time".to_owned()),
    }
}

/// Logs at level warn only the first time, because every connection of a misconfigured proxy would repeat it.
fn log_closed(peer: Option<IpAddr>, why: &str) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            ?peer,
            why,
            "closed a connection: proxyProtocol is required; further ones are logged at level debug"
        );
    });
    tracing::debug!(?peer, why, "closed a connection: proxyProtocol is required");
}

/// Counts the connection for the client that the PROXY protocol header named; trusted proxies have no share of the
/// limits. Returns whether there was room.
fn has_room(open: &OpenConnection, address: Option<IpAddr>, proxies: &TrustedProxies) -> bool {
    open.set_client(address.filter(|address| !proxies.contains(*address))).is_ok()
}

/// Without TLS, a client's first bytes select the HTTP version.
async fn serve_clear<S: Duplex + 'static>(
    mut stream: S,
    peer: Peer,
    settings: &ConnectionSettings,
    context: &WorkerContext,
) {
    if !settings.http2.is_on() {
        return http1::serve(stream, BytesMut::new(), peer, settings, context).await;
    }
    let sniffed = tokio::select! {
        biased;
        sniffed = timeout(settings.times.head, sniff(&mut stream)) => sniffed,
        () = context.closes_idle() => return,
    };
    match sniffed {
        Ok(Ok(Some(beginning))) if beginning.http2 => {
            Box::pin(http2::serve(stream, beginning.read, peer, settings, context)).await;
        }
        Ok(Ok(Some(beginning))) => http1::serve(stream, beginning.read, peer, settings, context).await,
        Ok(Ok(None)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client connection ended"),
        Err(_) => tracing::debug!("a client sent no request in time"),
    }
}
