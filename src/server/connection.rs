//! One client connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Once};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::intake::{Intake, PLACEHOLDER};
use super::phase::Phase;
use super::proxy_protocol;
use super::worker::WorkerContext;
use crate::gateway::{Door, Peer, UnreadHead};
use crate::respond::ObservedBody;

/// Serves a connection until it ends or is drained.
pub(super) async fn serve(mut stream: TcpStream, address: SocketAddr, door: Door, context: &WorkerContext) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    let address = address.ip().to_canonical();
    let address = match door {
        Door::Proxy => client_address(&mut stream, address, context).await,
        // A proxy that asks speaks for itself, and for others in its fields.
        Door::ForwardAuth => Some(address),
    };
    let Some(address) = address else { return };
    match &context.tls {
        None => serve_http1(stream, Peer { address, tls: false, door }, context).await,
        Some(acceptor) => match timeout(context.settings.intake.head_time, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => serve_http1(stream, Peer { address, tls: true, door }, context).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

/// Who the connection comes from; `None` where a proxy must say so and does not.
async fn client_address(stream: &mut TcpStream, peer: IpAddr, context: &WorkerContext) -> Option<IpAddr> {
    static TOLD: Once = Once::new();
    let Some(proxies) = &context.settings.proxies else { return Some(peer) };
    let trusted = proxies.is_empty() || proxies.iter().any(|network| network.contains(&peer));
    let reading = timeout(context.settings.intake.head_time, proxy_protocol::read(stream));
    let why = match trusted {
        false => "its peer is not in trustedProxies".to_owned(),
        true => match reading.await {
            Ok(Ok(address)) => return Some(address.map_or(peer, |address| address.ip().to_canonical())),
            Ok(Err(fault)) => fault.to_string(),
            Err(_) => "its PROXY protocol header did not arrive in time".to_owned(),
        },
    };
    TOLD.call_once(|| {
        tracing::warn!(%peer, why, "closed a connection: proxyProtocol is required; more are told at level debug");
    });
    tracing::debug!(%peer, why, "closed a connection: proxyProtocol is required");
    None
}

async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    context: &WorkerContext,
) {
    let phase = Arc::new(Phase::new());
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let phase = phase.clone();
        async move {
            let answer = match refused(&request, &phase) {
                None => context.gateway.serve(&context.upstream, peer, request).await,
                Some(head) => Ok(context.gateway.refuse_head(peer, &head)),
            };
            answer.map(|answer| answer.map(|body| LastBody { body, phase }))
        }
    });
    let io = TokioIo::new(Intake::new(stream, phase.clone(), context.settings.intake, BytesMut::new()));
    let mut connection = pin!(context.settings.http1.serve_connection(io, service));
    let mut drain = context.drain.clone();
    let draining = async move {
        // The sender outlives the workers; if it is gone, so is the reason to go on.
        let _ = drain.wait_for(|drain| *drain).await.is_ok();
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = draining => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client connection ended");
    }
}

/// The head that the client sent, where this request stands in for it.
fn refused(request: &hyper::Request<Incoming>, phase: &Phase) -> Option<UnreadHead> {
    if request.uri().path() == PLACEHOLDER { phase.take_refused() } else { None }
}

/// An answer's body. When it has ended, the connection waits for the next request.
struct LastBody {
    body: ObservedBody,
    phase: Arc<Phase>,
}

impl Body for LastBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for LastBody {
    fn drop(&mut self) {
        self.phase.is_answered();
    }
}
