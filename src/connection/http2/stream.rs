//! One stream: from its head to the end of its response. Each has its own task, which takes turns with the other tasks
//! of its client.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http_body::Body as _;
use tokio::time::Instant;

use super::heads::{Heads, ReadHead};
use super::response;
use super::settings::PIECE_BYTES;
use super::streams::{Stream, Streams};
use crate::budget::{take_named_turns, take_turns};
use crate::client_body::{ClientBody, Http2Body};
use crate::connection::context::WorkerState;
use crate::connection::handler::Handler;
use crate::gateway::Peer;
use crate::message::{Request, Response};
use crate::respond::ObservedBody;
use crate::sync::ArcSwap;
use crate::upstream::{InterimResponses, stated_length};

/// What the requests of one connection share.
pub(super) struct Requests {
    pub(super) worker_state: Arc<ArcSwap<WorkerState>>,
    pub(super) peer: Peer,
    pub(super) heads: Arc<Heads>,
    pub(super) streams: Arc<Streams>,
}

impl Requests {
    /// Serves the request of a stream in a task of its own.
    pub(super) fn begin(&self, body: RecvStream, mut respond: SendResponse<Bytes>) {
        let Some(head) = self.heads.take(respond.stream_id().as_u32()) else {
            // The stream was reset in the meantime.
            return respond.send_reset(Reason::INTERNAL_ERROR);
        };
        let interim = Arc::<InterimResponses>::default();
        let request = StreamRequest {
            // Loaded for each request, so that a request is handled with the configuration in force when it arrives.
            worker_state: self.worker_state.load_full(),
            peer: Arc::new(Peer { interim: Some(interim.clone()), ..self.peer.clone() }),
            head,
            body,
        };
        let task = StreamTask { respond, interim, stream: self.streams.begin() };
        tokio::spawn(take_turns(self.peer.account.clone(), task.run(request)));
    }

    /// When the client last sent anything.
    pub(super) fn last_received(&self) -> Instant {
        self.streams.last_received()
    }
}

/// A request on its way to its task.
struct StreamRequest {
    worker_state: Arc<WorkerState>,
    peer: Arc<Peer>,
    head: ReadHead,
    body: RecvStream,
}

/// The task of one stream. If it is dropped before the response has ended, h2 resets the stream.
struct StreamTask {
    respond: SendResponse<Bytes>,
    /// Interim responses of the backend that wait to be sent.
    interim: Arc<InterimResponses>,
    stream: Stream,
}

impl StreamTask {
    async fn run(mut self, request: StreamRequest) {
        let peer = request.peer.clone();
        let serving = pin!(self.serve(request));
        if let Err(error) = take_named_turns(&peer.account, &peer.named, serving).await {
            tracing::debug!(%error, "a stream ended before its response");
        }
    }

    /// # Errors
    /// The stream or the connection ended early.
    async fn serve(&mut self, request: StreamRequest) -> Result<(), h2::Error> {
        let StreamRequest { worker_state, peer, head, body } = request;
        let response = match head {
            ReadHead::Accepted(head) => {
                let body = if body.is_end_stream() {
                    ClientBody::Empty
                } else {
                    ClientBody::Http2(Http2Body::new(body, stated_length(&head.headers)))
                };
                let mut handler = Handler::begin(worker_state, peer, Request { head, body });
                let response = poll_fn(|cx| self.poll_response(&mut handler, cx)).await?;
                handler.end();
                response
            }
            ReadHead::Refused(head) => {
                let body = ClientBody::Http2(Http2Body::new(body, None));
                worker_state.gateway.discarder(&peer).discard(body);
                worker_state.gateway.refuse_head(&peer, &head, true)
            }
        };
        self.respond(response).await
    }

    /// The response to the request. Interim responses are sent in the meantime.
    fn poll_response(
        &mut self,
        handler: &mut Handler,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ObservedBody>, h2::Error>> {
        let response = handler.poll(cx);
        for (status, headers) in self.interim.take_heads() {
            if self.respond.send_informational(response::interim_head(status, &headers)).is_err() {
                break;
            }
        }
        if let Poll::Ready(response) = response {
            return Poll::Ready(Ok(response));
        }
        self.respond.poll_reset(cx).map(|reset| Err(reset.map_or_else(Into::into, Into::into)))
    }

    async fn respond(&mut self, mut response: Response<ObservedBody>) -> Result<(), h2::Error> {
        self.stream.responds(response.body().is_own());
        let (head, ends) = (response::head(&mut response), response.body().is_end_stream());
        let sending = match self.respond.send_response(head, ends) {
            Ok(sending) => sending,
            Err(error) => {
                self.respond.send_reset(Reason::INTERNAL_ERROR);
                return Err(error);
            }
        };
        if ends {
            return Ok(());
        }
        let body = response.into_body();
        let mut sender = BodySender { sending, body, rest: Bytes::new(), stream: &self.stream };
        poll_fn(|cx| sender.poll(cx)).await
    }
}

/// Sends the body of a response, as fast as the client's window has room for it.
struct BodySender<'s> {
    sending: SendStream<Bytes>,
    body: ObservedBody,
    /// What is left of the last frame of the body.
    rest: Bytes,
    stream: &'s Stream,
}

impl BodySender<'_> {
    /// Ready when the response has ended.
    ///
    /// # Errors
    /// The stream or the connection ended early, or the body was cut short.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            if !self.rest.is_empty() {
                ready!(self.poll_room(cx))?;
                // Not more at once, because h2 buffers everything that it is given.
                let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
                let is_last = self.rest.is_empty() && self.body.is_end_stream();
                self.sending.send_data(piece, is_last)?;
                if is_last {
                    return Poll::Ready(Ok(()));
                }
                if !self.rest.is_empty() {
                    self.sending.reserve_capacity(1);
                }
                continue;
            }
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(None) => return Poll::Ready(self.sending.send_data(Bytes::new(), true)),
                Poll::Ready(Some(Err(error))) => {
                    let reason = reason_of(&error);
                    self.sending.send_reset(reason);
                    return Poll::Ready(Err(reason.into()));
                }
                Poll::Pending => return self.poll_reset(cx).map(Err),
            };
            match frame.into_data() {
                Ok(data) => {
                    // Only once there is something to send: a reservation takes room from other streams. h2 reserves as
                    // much as it is given.
                    if !data.is_empty() {
                        self.sending.reserve_capacity(1);
                    }
                    self.rest = data;
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    self.sending.reserve_capacity(0);
                    return Poll::Ready(self.sending.send_trailers(trailers));
                }
            }
        }
    }

    /// Ready when the windows have room for something.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while self.sending.capacity() == 0 {
            match self.sending.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Err(Reason::CANCEL.into())),
                Poll::Pending => {
                    self.stream.waits_for_client();
                    return self.poll_reset(cx).map(Err);
                }
            }
        }
        self.stream.progresses();
        Poll::Ready(Ok(()))
    }

    /// Ready when the client has reset the stream, or the connection has ended.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<h2::Error> {
        self.sending.poll_reset(cx).map(|reset| reset.map_or_else(Into::into, Into::into))
    }
}

/// The code with which a stream ends whose body was cut short: that of the backend, if it reset its stream.
fn reason_of(error: &(dyn Error + 'static)) -> Reason {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(reset) = error.downcast_ref::<h2::Error>() {
            return reset.reason().unwrap_or(Reason::INTERNAL_ERROR);
        }
        cause = error.source();
    }
    Reason::INTERNAL_ERROR
}
