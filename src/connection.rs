//! One client connection: from an accepted socket to the requests that the gateway answers.
//!
//! 1. The PROXY protocol header, if connections must begin with one, says who the client is
//!    (`proxy_protocol`); its share of the limits is taken here.
//! 2. The TLS handshake, if TLS is on. ALPN says which HTTP follows; without TLS, the first octets do
//!    (`preface`).
//! 3. `http1` or `http2` serves the requests. Each of them reads strictly what the client sends before hyper
//!    does: what hyper forgives, a backend may read in another way. A head that is refused becomes a
//!    `placeholder`, and its answer goes through the gateway as every other.
//! 4. Every step has its time (`settings`), and what is held is charged to the connection's account
//!    ([`crate::budget::Connection`]).
//!
//! A connection takes the configuration's `settings` once. Each request asks the worker's `context` for the
//! gateway in force.
//!
//! What accepts, counts and drops connections is in [`crate::server`].

use std::io;
use std::net::IpAddr;
use std::sync::Once;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::budget::OpenConnection;
use crate::gateway::{ListenerKind, Peer};
use crate::tls;

mod context;
mod http1;
mod http2;
mod placeholder;
mod preface;
mod proxy_protocol;
mod settings;
mod stream;

pub(crate) use context::{WorkerContext, WorkerState};
use preface::sniff;
pub(crate) use settings::ConnectionSettings;
use settings::TrustedProxies;
pub(crate) use stream::Stream;

/// What the kernel takes in of a response before the network has room for it.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 256 * 1024;

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
                tracing::debug!(%error, "a socket's options cannot be set");
            }
            serve_stream(stream, address, listener_kind, open, context).await;
        }
        Stream::Unix(stream) => serve_stream(stream, address, listener_kind, open, context).await,
    }
}

async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut stream: S,
    peer: Option<IpAddr>,
    listener_kind: ListenerKind,
    open: &OpenConnection,
    context: &WorkerContext,
) {
    // Not the whole of it: a connection may outlive its configuration by far.
    let (tls, settings) = {
        let worker_state = context.worker_state.load();
        (worker_state.tls.clone(), worker_state.settings.clone())
    };
    let address = match (listener_kind, &settings.proxies) {
        (ListenerKind::Proxy, Some(proxies)) => {
            match client_address(&mut stream, peer, proxies, settings.times.head).await {
                Some(address) if has_room(open, address, proxies) => address,
                Some(_) | None => return,
            }
        }
        // A proxy that asks speaks for itself, and for others in its fields.
        (ListenerKind::Proxy, None) | (ListenerKind::ForwardAuth, _) => peer,
    };
    let limit = settings.times.head;
    let peer =
        Peer { address, tls: tls.is_some(), listener_kind, account: open.account().clone(), interim: None };
    match tls {
        None => serve_clear(stream, peer, &settings, context).await,
        Some(acceptor) => match timeout(limit, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => match stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2) {
                true => http2::serve(stream, BytesMut::new(), peer, &settings, context).await,
                false => http1::serve(stream, BytesMut::new(), peer, &settings, context).await,
            },
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

/// A client that takes nothing of what it was sent for so long, or is gone, is cut off by the kernel. The
/// kernel buffers little beyond what is under way, or one unread download would hold megabytes of it.
fn prepare(stream: &TcpStream, stall_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(stream);
        socket.set_tcp_user_timeout(Some(stall_timeout))?;
        socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stall_timeout;
    Ok(())
}

/// Who the connection comes from; `None` where a proxy must say so and does not.
async fn client_address(
    stream: &mut (impl AsyncRead + Unpin),
    peer: Option<IpAddr>,
    proxies: &TrustedProxies,
    limit: Duration,
) -> Option<Option<IpAddr>> {
    static TOLD: Once = Once::new();
    let why = match proxies.speak_for_others(peer) {
        false => "its peer is not in trustedProxies".to_owned(),
        true => match timeout(limit, proxy_protocol::read(stream)).await {
            Ok(Ok(address)) => return Some(address.map(|address| address.ip().to_canonical()).or(peer)),
            Ok(Err(fault)) => fault.to_string(),
            Err(_) => "its PROXY protocol header did not arrive in time".to_owned(),
        },
    };
    TOLD.call_once(|| {
        tracing::warn!(
            ?peer,
            why,
            "closed a connection: proxyProtocol is required; more are told at level debug"
        );
    });
    tracing::debug!(?peer, why, "closed a connection: proxyProtocol is required");
    None
}

/// Whether the client that a proxy named has room for one more connection. A proxy that is trusted
/// itself needs none.
fn has_room(open: &OpenConnection, address: Option<IpAddr>, proxies: &TrustedProxies) -> bool {
    match address.filter(|address| !proxies.names(*address)) {
        Some(client) => open.comes_from(client).is_ok(),
        None => true,
    }
}

/// In the clear, a client's first bytes say which HTTP it speaks.
async fn serve_clear<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut stream: S,
    peer: Peer,
    settings: &ConnectionSettings,
    context: &WorkerContext,
) {
    if !settings.http2.is_on() {
        return http1::serve(stream, BytesMut::new(), peer, settings, context).await;
    }
    match timeout(settings.times.head, sniff(&mut stream)).await {
        Ok(Ok(Some(beginning))) => match beginning.http2 {
            true => http2::serve(stream, beginning.read, peer, settings, context).await,
            false => http1::serve(stream, beginning.read, peer, settings, context).await,
        },
        Ok(Ok(None)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client connection ended"),
        Err(_) => tracing::debug!("a client sent no request in time"),
    }
}
