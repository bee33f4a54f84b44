//! Serves one client connection over HTTP/1.
//!
//! hyper reads only what [`StrictHttp1`] has validated. In place of a refused head it reads a placeholder request, to
//! which the service here responds with the refusal.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::context::WorkerContext;
use super::placeholder::PLACEHOLDER;
use super::settings::ConnectionSettings;
use crate::gateway::{Peer, UnreadHead};
use crate::respond::ObservedBody;

mod state;
mod strict;
mod write_timeout;

use state::ConnectionState;
use strict::StrictHttp1;
use write_timeout::WriteTimeout;

/// Serves the connection until it ends or is drained. `read` has the bytes that were already read from it.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    read: BytesMut,
    mut peer: Peer,
    settings: &ConnectionSettings,
    context: &WorkerContext,
) {
    let state = Arc::new(ConnectionState::new(peer.account.clone()));
    peer.interim = Some(state.interim().clone());
    let switched = Mutex::new(None);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (state, switched, peer) = (state.clone(), &switched, &peer);
        async move {
            // Loaded for each request, so that a request is handled with the configuration in force when it arrives.
            let worker_state = context.worker_state.load_full();
            let response = match refused(&request, &state) {
                // hyper keeps the state of the last request while the connection is idle. This part of it is large.
                None => Box::pin(worker_state.gateway.serve(&worker_state.upstream, peer, request)).await,
                Some(head) => Ok(worker_state.gateway.refuse_head(peer, &head, false)),
            };
            response.map(|mut response| {
                state.response_begins(response.body().is_own());
                if let Some(tunnel) = response.body_mut().take_tunnel() {
                    state.start_tunnel();
                    *switched.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
                } else if context.is_outdated(settings.policy_number) {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response.map(|body| ResponseBody { body, state })
            })
        }
    });
    let stream = WriteTimeout::new(stream, state.clone(), settings.times);
    let io = TokioIo::new(StrictHttp1::new(stream, state.clone(), settings.read, settings.times, read));
    {
        let connection = settings.http1.serve_connection(io, service).with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            // The drain comes first, so that a response sent after it has `Connection: close`.
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
        Box::pin(switched.run(context.is_ending(settings.policy_number))).await;
    }
}

/// The refused head that the client sent, if this request is its placeholder.
fn refused(request: &hyper::Request<Incoming>, state: &ConnectionState) -> Option<UnreadHead> {
    if request.uri().path() == PLACEHOLDER { state.take_refused() } else { None }
}

/// A response body. When it is dropped, the connection waits for the next request.
struct ResponseBody {
    body: ObservedBody,
    state: Arc<ConnectionState>,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            this.state.backlog().add(frame.data_ref().map_or(0, Bytes::len));
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

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.state.response_ends();
    }
}
