//! One client connection that speaks HTTP/2.
//!
//! hyper does not see what the client sends, but what [`StrictHttp2`] makes of it: heads that pass the same
//! checks as over HTTP/1, and a placeholder for each one that does not, which is answered here.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::BytesMut;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::context::{WorkerContext, WorkerState};
use super::settings::ConnectionSettings;
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
use streams::{GOING_TIME, StreamBody, Streams, Verdict};
use strict::StrictHttp2;

/// Serves it until it ends, is drained, or was admitted by a policy that is in force no more.
/// `read` was read of it already.
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
    let stream = StrictHttp2::new(stream, &read, settings.read.head, refused.clone(), &peer.account);
    // It has copied what goes on.
    drop(read);
    let io = TokioIo::new(stream);
    let (worker_state, peer) = (context.worker_state.clone(), Arc::new(peer));
    let requests = Requests { worker_state, peer, refused, streams: streams.clone() };
    let service = service_fn(move |request| requests.answer(request));
    let mut connection = pin!(settings.http2.builder(tasks).serve_connection(io, service));
    let mut ending = false;
    // From when on it is closed if nothing moves: it was told to go.
    let mut going: Option<Instant> = None;
    loop {
        let look = going.unwrap_or_else(|| streams.next_look(&settings.times));
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a client connection ended");
                }
                return;
            }
            () = context.is_ending(settings.admission), if !ending => {
                ending = true;
                // The end waits for no client that does not say that it has heard of it.
                going = going.or(Some(Instant::now() + GOING_TIME));
                connection.as_mut().graceful_shutdown();
            }
            () = sleep_until(look) => match streams.check(&settings.times, going.is_some()) {
                Verdict::GoOn if going.is_some_and(|going| going <= Instant::now()) => {
                    going = Some(Instant::now() + GOING_TIME);
                }
                Verdict::GoOn => {}
                Verdict::GoAway => {
                    connection.as_mut().graceful_shutdown();
                    going = Some(Instant::now() + streams.going_time());
                }
                Verdict::Close => {
                    tracing::debug!("a client connection is closed: nothing moves on it");
                    return;
                }
            }
        }
    }
}

/// Answers the requests of one connection.
struct Requests {
    worker_state: Arc<ArcSwap<WorkerState>>,
    peer: Arc<Peer>,
    refused: Arc<RefusedHeads>,
    streams: Arc<Streams>,
}

impl Requests {
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<StreamBody>, Infallible>> + Send + use<> {
        // As it is now: the next request of a connection is judged by the configuration of its time.
        let worker_state = self.worker_state.load_full();
        let stream = self.streams.begin();
        let unread = self.refused.take(request.uri().path());
        let peer = self.peer.clone();
        async move {
            let answer = match unread {
                None => {
                    let answer = worker_state.gateway.serve(&worker_state.upstream, &peer, request);
                    debug_assert!(size_of_val(&answer) <= REQUEST_STATE_BYTES, "{}", size_of_val(&answer));
                    answer.await
                }
                Some(head) => {
                    worker_state.gateway.discarder(&peer).discard(request.into_body());
                    Ok(worker_state.gateway.refuse_head(&peer, &head, true))
                }
            };
            answer.map(|answer| answer.map(|body| StreamBody::new(body, stream)))
        }
    }
}
