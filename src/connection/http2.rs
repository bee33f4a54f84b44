//! Serves one client connection over HTTP/2.
//!
//! hyper reads only what [`StrictHttp2`] passes on: heads that pass the same checks as over HTTP/1, and a placeholder
//! for each refused head, to which the service here responds with the refusal.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::BytesMut;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::HttpService;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::context::{WorkerContext, WorkerState};
use super::linger::Linger;
use super::settings::ConnectionSettings;
use crate::client_body::ClientBody;
use crate::gateway::Peer;

mod blocks;
mod budget;
mod frame;
mod frames;
mod refused;
mod settings;
mod streams;
mod strict;

use refused::RefusedHeads;
use settings::{REQUEST_STATE_BYTES, StreamTasks};
use streams::{GOAWAY_TIME, Liveness, StreamBody, Streams};
use strict::StrictHttp2;

/// Serves the connection until it ends, is drained, or was accepted under a connection policy that is no longer in
/// force. `read` has the bytes that were already read from it.
pub(super) async fn serve<S>(
    stream: S,
    read: BytesMut,
    peer: Peer,
    settings: &ConnectionSettings,
    context: &WorkerContext,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Arc::new(Streams::new(peer.account.clone()));
    let refused = Arc::new(RefusedHeads::default());
    let tasks = StreamTasks::new(peer.account.clone());
    let account = peer.account.clone();
    let mut stream = StrictHttp2::new(stream, &read, settings.read.head, refused.clone(), &account);
    // The stream has copied what it passes on.
    drop(read);
    let (worker_state, peer) = (context.worker_state.clone(), Arc::new(peer));
    let requests = Requests { worker_state, peer, refused, streams: streams.clone() };
    let service = service_fn(move |request| requests.serve(request));
    let connection = settings.http2.builder(tasks).serve_connection(TokioIo::new(&mut stream), service);
    if drive(connection, &streams, settings, context).await {
        // The client may still acknowledge what it was sent. If the socket were closed, that would reset it.
        let mut linger = Linger::new(settings.read.discard, &account);
        poll_fn(|cx| linger.poll(stream.get_mut(), true, cx)).await;
    }
}

/// Drives the connection until it ends. Returns whether it ended in order.
async fn drive<S>(
    connection: http2::Connection<
        TokioIo<&mut StrictHttp2<S>>,
        impl HttpService<Incoming, ResBody = StreamBody, Error = Infallible, Future: Send + 'static>,
        StreamTasks,
    >,
    streams: &Streams,
    settings: &ConnectionSettings,
    context: &WorkerContext,
) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = pin!(connection);
    let (mut has_goaway, mut ending) = (false, false);
    // Set once the connection has to end: when it is checked next, and closed if no response makes progress.
    let mut going_away: Option<Instant> = None;
    let mut needs_goaway = pin!(context.needs_goaway(settings.policy_number, streams.first_request()));
    loop {
        let next_check = going_away.unwrap_or_else(|| streams.next_check(&settings.times));
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = &ended {
                    tracing::debug!(%error, "a client connection ended");
                }
                return ended.is_ok();
            }
            () = needs_goaway.as_mut(), if !has_goaway => {
                has_goaway = true;
                // Two GOAWAY frames: the first does not refuse requests that are on their way (RFC 9113 section 6.8).
                connection.as_mut().graceful_shutdown();
            }
            () = context.is_ending(settings.policy_number), if !ending => {
                ending = true;
                // A client that does not react to GOAWAY must not delay the end.
                going_away = going_away.or(Some(Instant::now() + GOAWAY_TIME));
            }
            () = sleep_until(next_check) => match streams.check(&settings.times, going_away.is_some()) {
                Liveness::Keep if going_away.is_some_and(|check| check <= Instant::now()) => {
                    going_away = Some(Instant::now() + GOAWAY_TIME);
                }
                Liveness::Keep => {}
                Liveness::GoAway => {
                    connection.as_mut().graceful_shutdown();
                    going_away = Some(Instant::now() + streams.goaway_time());
                }
                Liveness::Close => {
                    tracing::debug!("closed a client connection: it is idle, or its client does not read");
                    return false;
                }
            }
        }
    }
}

/// The service of one connection.
struct Requests {
    worker_state: Arc<ArcSwap<WorkerState>>,
    peer: Arc<Peer>,
    refused: Arc<RefusedHeads>,
    streams: Arc<Streams>,
}

impl Requests {
    fn serve(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<StreamBody>, Infallible>> + Send + use<> {
        // Loaded for each request, so that a request is handled with the configuration in force when it arrives.
        let worker_state = self.worker_state.load_full();
        let stream = self.streams.begin();
        let refused_head = self.refused.take(request.uri().path());
        let peer = self.peer.clone();
        async move {
            let response = match refused_head {
                None => {
                    let serving = worker_state.gateway.serve(
                        &worker_state.upstream,
                        &peer,
                        request.map(ClientBody::Http2).into(),
                    );
                    debug_assert!(size_of_val(&serving) <= REQUEST_STATE_BYTES, "{}", size_of_val(&serving));
                    serving.await
                }
                Some(head) => {
                    worker_state.gateway.discarder(&peer).discard(ClientBody::Http2(request.into_body()));
                    Ok(worker_state.gateway.refuse_head(&peer, &head, true))
                }
            };
            response.map(|response| response.into_http2().map(|body| StreamBody::new(body, stream)))
        }
    }
}
