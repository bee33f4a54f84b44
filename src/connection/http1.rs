//! Serves one client connection over HTTP/1 (RFC 9112).
//!
//! One request at a time:
//!
//! 1. `next_head` reads a head with the strict scanner ([`crate::request::HeadScanner`]) and makes the request from it
//!    (`request`). A refused head gets its refusal, and the connection ends.
//! 2. `exchange` lets the gateway serve the request, which reads the body as it needs it. Interim responses are written
//!    in the meantime. If the client disconnects, the request is cancelled.
//! 3. `respond` writes the response, one frame of its body at a time (`response`).
//! 4. The rest of the request's body is discarded within bounds, and the next head is read. If the body exceeds the
//!    bounds, or one side asked for it, the connection closes (`close`), with a lingering close so that the client can
//!    read the response.
//!
//! | phase | ends with | next |
//! | --- | --- | --- |
//! | head | a head | exchange |
//! | head | a refused head, or a timeout within a head | respond, then close |
//! | head | the end of the stream, the idle timeout, or the end of idle connections at a shutdown | close |
//! | exchange | a response | respond |
//! | exchange | the client disconnects | the end |
//! | respond | the end of the response | discard, or a tunnel after a 101, or close |
//! | respond | a body cut short, or a client that does not read in time | the end, so that nothing looks complete |
//! | discard | the end of the request's body | head |
//! | discard | its bounds | close |

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;

use super::context::WorkerContext;
use super::handler::Handler;
use super::settings::ConnectionSettings;
use crate::budget::take_named_turns;
use crate::client_body::{ClientBody, Duplex};
use crate::gateway::Peer;
use crate::message::{Request, Response};
use crate::respond::{ObservedBody, Switched};
use crate::upstream::InterimResponses;

mod client_io;
mod request;
mod response;

use client_io::{ClientIo, Next};
use response::{BodyWriter, ResponseTerms};

/// Serves the connection until it ends or is drained. `read` has the bytes that were already read from it.
pub(super) async fn serve(
    stream: impl Duplex + 'static,
    read: BytesMut,
    peer: Peer,
    settings: &ConnectionSettings,
    context: &WorkerContext,
) {
    let interim = Arc::<InterimResponses>::default();
    let io = ClientIo::new(Box::new(stream), read, &peer.account, settings.read, settings.times);
    let peer = Arc::new(Peer { interim: Some(interim.clone()), ..peer });
    let responded_in_poll = AtomicBool::new(false);
    let mut serving = pin!(async {
        let mut connection = Http1 {
            io,
            peer: peer.clone(),
            settings,
            context,
            interim,
            responded_in_poll: &responded_in_poll,
        };
        match connection.run().await {
            // Boxed, so that a connection without one does not hold its state.
            Ok(Some(tunnel)) => Box::pin(connection.tunnel(tunnel)).await,
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "a client connection ended"),
        }
    });
    let serving = pin!(poll_fn(|cx| {
        responded_in_poll.store(false, Ordering::Relaxed);
        serving.as_mut().poll(cx)
    }));
    take_named_turns(&peer.account, &peer.named, serving).await;
}

/// One client connection.
struct Http1<'a> {
    io: ClientIo,
    peer: Arc<Peer>,
    settings: &'a ConnectionSettings,
    context: &'a WorkerContext,
    /// Interim responses of the backend that wait to be written.
    interim: Arc<InterimResponses>,
    /// Whether a response ended since the task was last polled.
    responded_in_poll: &'a AtomicBool,
}

/// What follows a response.
enum After {
    NextRequest,
    Tunnel(Switched),
    Close,
}

/// A response whose head waits to be written.
struct Begun {
    tunnel: Option<Switched>,
    body: ObservedBody,
    writer: BodyWriter,
    /// How long the client may take to read each part of it.
    time: Duration,
}

impl Http1<'_> {
    /// Serves requests until the connection has ended. Returns the tunnel that follows the last one, if one does.
    ///
    /// # Errors
    /// The connection is cut off: the client disconnected or does not read, or the backend cut its response short.
    async fn run(&mut self) -> io::Result<Option<Switched>> {
        let context = self.context;
        let mut closes_idle = Some(pin!(context.closes_idle()));
        loop {
            let after = match self.io.next_head(&mut closes_idle).await {
                Next::Request(request, terms) => self.exchange(request, terms).await?,
                Next::Refused(head) => {
                    let terms = ResponseTerms::of_refused(&head);
                    let response =
                        self.context.worker_state.load().gateway.refuse_head(&self.peer, &head, false);
                    self.respond(response, terms).await?;
                    return self.io.close(true).await.map(|()| None);
                }
                Next::End => return self.io.close(false).await.map(|()| None),
            };
            match after {
                After::NextRequest => {
                    // The next head may be another client's.
                    self.peer.named.clear();
                    // It may be buffered already, and refusing it needs no wait. Other connections must run in between.
                    if self.responded_in_poll.swap(true, Ordering::Relaxed) {
                        tokio::task::yield_now().await;
                    }
                }
                After::Tunnel(tunnel) => return Ok(Some(tunnel)),
                // A client that was not asked before may have sent its next request already.
                After::Close => return self.io.close(context.is_shutting_down()).await.map(|()| None),
            }
        }
    }

    /// Serves one request, and sends its response.
    async fn exchange(&mut self, request: Request<ClientBody>, terms: ResponseTerms) -> io::Result<After> {
        // Loaded for each request, so that a request is handled with the configuration in force when it arrives.
        let worker_state = self.context.worker_state.load_full();
        let mut handler = Handler::begin(worker_state, self.peer.clone(), request);
        let response = poll_fn(|cx| -> Poll<io::Result<_>> {
            if let Poll::Ready(response) = handler.poll(cx) {
                return Poll::Ready(Ok(response));
            }
            let mut transport = self.io.transport.lock();
            transport.outgoing().interim(&self.interim.take());
            if !transport.outgoing().is_empty() && transport.poll_write(cx)?.is_pending() {
                return Poll::Pending;
            }
            transport.poll_disconnect(cx).map(|()| Err(io::ErrorKind::ConnectionAborted.into()))
        })
        .await?;
        handler.end();
        self.respond(response, terms).await
    }

    /// Sends a response.
    async fn respond(
        &mut self,
        response: Response<ObservedBody>,
        mut terms: ResponseTerms,
    ) -> io::Result<After> {
        // The head is written before the first wait, so that an idle connection has no room for it.
        let Begun { tunnel, body, writer, time } = self.begin_response(response, &mut terms);
        self.io.write(body, writer, time).await?;
        match tunnel {
            Some(tunnel) => Ok(After::Tunnel(tunnel)),
            None if terms.closes || !self.io.discard().await => Ok(After::Close),
            None => Ok(After::NextRequest),
        }
    }

    fn begin_response(&self, mut response: Response<ObservedBody>, terms: &mut ResponseTerms) -> Begun {
        let tunnel = response.body_mut().take_tunnel();
        self.io.transport.lock().outgoing().interim(&self.interim.take());
        terms.closes |= self.context.is_shutting_down()
            || self.context.is_outdated(self.settings.policy_number)
            || self.io.transport.lock().expects_continue();
        let time = self.settings.times.response(&self.peer.account, response.body().is_own());
        let writer = BodyWriter::begin(self.io.transport.lock().outgoing().text(), &response, terms);
        Begun { tunnel, body: response.into_body(), writer, time }
    }

    /// Carries the tunnel until it ends.
    async fn tunnel(self, tunnel: Switched) {
        let ending = self.context.is_ending(self.settings.policy_number);
        if let Some((stream, early)) = self.io.transport.into_parts() {
            // The 101 is the backend's response.
            let stall = self.settings.times.response(&self.peer.account, false);
            tunnel.run(stream, early, stall, ending).await;
        }
    }
}
