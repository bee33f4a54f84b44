//! One client connection.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::budget::OpenConnection;
use crate::gateway::{Door, Peer, UnreadHead};
use crate::respond::ObservedBody;
use crate::tls;

mod context;
mod http2;
mod intake;
mod phase;
mod preface;
mod proxy_protocol;
mod settings;
mod stream;
mod write_timeout;

pub(crate) use context::{Serving, WorkerContext};
use intake::{Intake, PLACEHOLDER};
use phase::Phase;
use preface::sniff;
pub(crate) use settings::ConnectionSettings;
use settings::TrustedProxies;
pub(crate) use stream::Stream;
use write_timeout::WriteTimeout;

/// What the kernel takes in of a response before the network has room for it.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 256 * 1024;

/// Serves a connection until it ends or is drained.
pub(crate) async fn serve(
    stream: Stream,
    address: Option<IpAddr>,
    door: Door,
    open: &OpenConnection,
    context: &WorkerContext,
) {
    match stream {
        Stream::Tcp(stream) => {
            let stall = context.serving.load().settings.times.stall;
            if let Err(error) = prepare(&stream, stall) {
                tracing::debug!(%error, "a socket's options cannot be set");
            }
            serve_stream(stream, address, door, open, context).await;
        }
        Stream::Unix(stream) => serve_stream(stream, address, door, open, context).await,
    }
}

async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut stream: S,
    peer: Option<IpAddr>,
    door: Door,
    open: &OpenConnection,
    context: &WorkerContext,
) {
    // Not the whole of it: a connection may outlive its configuration by far.
    let (tls, settings) = {
        let serving = context.serving.load();
        (serving.tls.clone(), serving.settings.clone())
    };
    let address = match (door, &settings.proxies) {
        (Door::Proxy, Some(proxies)) => {
            match client_address(&mut stream, peer, proxies, settings.times.head).await {
                Some(address) if has_room(open, address, proxies) => address,
                Some(_) | None => return,
            }
        }
        // A proxy that asks speaks for itself, and for others in its fields.
        (Door::Proxy, None) | (Door::ForwardAuth, _) => peer,
    };
    let limit = settings.times.head;
    let peer = Peer { address, tls: tls.is_some(), door, account: open.account().clone(), interim: None };
    match tls {
        None => serve_clear(stream, peer, &settings, context).await,
        Some(acceptor) => match timeout(limit, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => match stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2) {
                true => http2::serve(stream, BytesMut::new(), peer, &settings, context).await,
                false => serve_http1(stream, BytesMut::new(), peer, &settings, context).await,
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
        return serve_http1(stream, BytesMut::new(), peer, settings, context).await;
    }
    match timeout(settings.times.head, sniff(&mut stream)).await {
        Ok(Ok(Some(beginning))) => match beginning.http2 {
            true => http2::serve(stream, beginning.read, peer, settings, context).await,
            false => serve_http1(stream, beginning.read, peer, settings, context).await,
        },
        Ok(Ok(None)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client connection ended"),
        Err(_) => tracing::debug!("a client sent no request in time"),
    }
}

async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    read: BytesMut,
    mut peer: Peer,
    settings: &ConnectionSettings,
    context: &WorkerContext,
) {
    let phase = Arc::new(Phase::new(peer.account.clone()));
    peer.interim = Some(phase.interim().clone());
    let switched = Mutex::new(None);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (phase, switched, peer) = (phase.clone(), &switched, &peer);
        async move {
            // As it is now: the next request of a connection is judged by the configuration of its time.
            let serving = context.serving.load_full();
            let answer = match refused(&request, &phase) {
                None => serving.gateway.serve(&serving.upstream, peer, request).await,
                Some(head) => Ok(serving.gateway.refuse_head(peer, &head, false)),
            };
            answer.map(|mut answer| {
                phase.answers(answer.body().is_own());
                if let Some(tunnel) = answer.body_mut().take_tunnel() {
                    phase.becomes_tunnel();
                    *switched.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
                } else if context.is_outdated(settings.admission) {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                answer.map(|body| LastBody { body, phase })
            })
        }
    });
    let stream = WriteTimeout::new(stream, phase.clone(), settings.times);
    let io = TokioIo::new(Intake::new(stream, phase.clone(), settings.intake, settings.times, read));
    {
        let connection = settings.http1.serve_connection(io, service).with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            // First: an answer that comes after it says that the connection ends.
            biased;
            () = context.is_draining() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            ended = connection.as_mut() => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a client connection ended");
        }
    }
    let switched = switched.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(switched) = switched {
        switched.run(context.is_ending(settings.admission)).await;
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
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            this.phase.backlog().grows(frame.data_ref().map_or(0, Bytes::len));
        }
        frame
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
