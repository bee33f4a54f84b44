//! Builds responses: metagate's own, and the backend's relayed ones.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE};
use http::{HeaderValue, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::challenge::{Texts, Wording};
use crate::client_body::Duplex;
use crate::decision::Denial;
use crate::exchange::Exchange;
use crate::message::field_name::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE,
    GRPC_MESSAGE, GRPC_STATUS, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE, X_REQUEST_ID,
};
use crate::message::{Fields, Response};
use crate::outbound_head::remove_connection_fields;
use crate::panics::{WorkedOn, WorkingOn};
use crate::request::METHODS;
use crate::upstream::{Ending, ResponseBody, SwitchedStream, Tunnel};

/// The body of a response. It owns the exchange: dropping it writes the audit record.
pub struct ObservedBody {
    content: Content,
    /// Moved into [`Switched`] if a tunnel follows.
    exchange: Option<Box<Exchange>>,
}

enum Content {
    Own(Option<Bytes>),
    Backend(Box<ResponseBody>),
    /// No body. The connection takes the tunnel that follows.
    Tunnel(Option<Box<Tunnel>>),
}

/// A tunnel, with the exchange that ends with it.
pub struct Switched {
    tunnel: Box<Tunnel>,
    exchange: Box<Exchange>,
}

impl Switched {
    /// Carries bytes until the tunnel ends or `drain` resolves. `early` are the client's first bytes;
    /// `stall` is how long it may read nothing.
    pub async fn run(
        self,
        client: Box<dyn Duplex>,
        early: BytesMut,
        stall: Duration,
        drain: impl Future<Output = ()>,
    ) {
        let client = SwitchedStream::new(early, client);
        let Self { tunnel, mut exchange } = self;
        let mut request = WorkedOn::request(exchange.request_id());
        let ending = {
            let mut running = pin!(tunnel.run(client, stall, drain, |bytes| exchange.sent(bytes)));
            let poll = |cx: &mut Context<'_>| {
                let _working = WorkingOn::begin(&mut request);
                running.as_mut().poll(cx)
            };
            poll_fn(poll).await
        };
        tracing::debug!(?ending, "a tunnel ended");
        match ending {
            Ending::Complete => exchange.completed(),
            Ending::Revoked(entry) => exchange.ended_by_revocation(&entry),
            Ending::Broken | Ending::Idle | Ending::Closed => {}
        }
    }
}

/// The format of a refusal.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseFormat {
    /// Whether the request was a gRPC call.
    pub grpc: bool,
    /// Whether the connection closes after this response.
    pub close: bool,
    /// Whether it goes over HTTP/2, where a response ends only its stream.
    pub http2: bool,
    /// Whether the request was HEAD: the response has the length of the body, but no body (RFC 9110 section 9.3.2).
    /// Over HTTP/2 it would be sent.
    pub to_head: bool,
}

/// The response to a refused request, or instead of a backend that failed.
pub fn refusal(
    exchange: Box<Exchange>,
    denial: Denial,
    wording: &Wording,
    format: ResponseFormat,
) -> Response<ObservedBody> {
    let texts = wording.texts(&denial);
    refusal_with(exchange, denial, texts, format)
}

/// The same, with these texts.
pub fn refusal_with(
    mut exchange: Box<Exchange>,
    denial: Denial,
    texts: &Texts,
    format: ResponseFormat,
) -> Response<ObservedBody> {
    let row = denial.reason.row();
    let status = if format.grpc { StatusCode::OK } else { row.status };
    let mut headers = Fields::new();
    let body = if format.grpc {
        // Trailers-Only: status and message are in the head (gRPC over HTTP/2, "Responses").
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_STATUS, HeaderValue::from(row.grpc as u16));
        if let Ok(message) = HeaderValue::from_str(&texts.message) {
            headers.insert(GRPC_MESSAGE, message);
        }
        Bytes::new()
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        texts.body.clone()
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_REQUEST_ID, exchange.request_id());
    if let Some(challenge) = &texts.challenge {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if row.status == StatusCode::METHOD_NOT_ALLOWED
        && let Ok(methods) = HeaderValue::try_from(METHODS.map(|method| method.to_string()).join(", "))
    {
        // Required by RFC 9110 section 15.5.6.
        headers.insert(ALLOW, methods);
    }
    if let Some(secs) = denial.retry_after.or(row.retry_after.map(u64::from)) {
        headers.insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    if format.close && !format.http2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let body = if format.to_head {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        Bytes::new()
    } else {
        body
    };
    exchange.denied(denial);
    exchange.set_status(row.status);
    Response::new(
        status,
        headers,
        ObservedBody { content: Content::Own(Some(body)), exchange: Some(exchange) },
    )
}

/// The forward-auth response that permits a request, with the fields to set.
pub fn grant(mut exchange: Box<Exchange>, mut headers: Fields, close: bool) -> Response<ObservedBody> {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_REQUEST_ID, exchange.request_id());
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    exchange.set_status(StatusCode::OK);
    let body = ObservedBody { content: Content::Own(None), exchange: Some(exchange) };
    Response::new(StatusCode::OK, headers, body)
}

/// The response to a token request, with the issued token in its body (RFC 6749 section 5.1).
pub fn issued(mut exchange: Box<Exchange>, body: Bytes, close: bool) -> Response<ObservedBody> {
    let mut headers = Fields::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(X_REQUEST_ID, exchange.request_id());
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    exchange.set_status(StatusCode::OK);
    let body = ObservedBody { content: Content::Own(Some(body)), exchange: Some(exchange) };
    Response::new(StatusCode::OK, headers, body)
}

/// The response to a CORS preflight, with these fields.
pub fn preflight(mut exchange: Box<Exchange>, mut headers: Fields, close: bool) -> Response<ObservedBody> {
    headers.insert(X_REQUEST_ID, exchange.request_id().clone());
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    exchange.answered_preflight();
    exchange.set_status(StatusCode::NO_CONTENT);
    let body = ObservedBody { content: Content::Own(None), exchange: Some(exchange) };
    Response::new(StatusCode::NO_CONTENT, headers, body)
}

/// A document that every client and every web page may read; without it, the response to OPTIONS.
pub fn metadata(
    mut exchange: Box<Exchange>,
    document: Option<Bytes>,
    format: ResponseFormat,
    close: bool,
) -> Response<ObservedBody> {
    let mut headers = Fields::new();
    headers.insert(X_REQUEST_ID, exchange.request_id());
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if close && !format.http2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let status = if document.is_some() { StatusCode::OK } else { StatusCode::NO_CONTENT };
    match &document {
        Some(document) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
            if format.to_head {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
            }
        }
        // MCP clients in browsers send MCP-Protocol-Version.
        None => {
            for (name, value) in [
                (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
                (ACCESS_CONTROL_ALLOW_HEADERS, "*"),
                (ACCESS_CONTROL_MAX_AGE, "300"),
            ] {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
    }
    exchange.answered_document();
    exchange.set_status(status);
    let body = document.filter(|_| !format.to_head);
    Response::new(status, headers, ObservedBody { content: Content::Own(body), exchange: Some(exchange) })
}

/// The backend's response, streamed.
pub fn relay(
    mut exchange: Box<Exchange>,
    mut response: Response<Box<ResponseBody>>,
) -> Response<ObservedBody> {
    response.headers_mut().insert(X_REQUEST_ID, exchange.request_id());
    exchange.set_status(response.status());
    response.map(|body| ObservedBody { content: Content::Backend(body), exchange: Some(exchange) })
}

/// The backend's 101, after which the connection is a tunnel.
pub fn switch(
    mut exchange: Box<Exchange>,
    mut response: Response<Box<ResponseBody>>,
    tunnel: Tunnel,
) -> Response<ObservedBody> {
    response.headers_mut().insert(X_REQUEST_ID, exchange.request_id());
    exchange.set_status(response.status());
    exchange.set_request_body(tunnel.received());
    let content = Content::Tunnel(Some(Box::new(tunnel)));
    response.map(|_| ObservedBody { content, exchange: Some(exchange) })
}

impl ObservedBody {
    /// Whether the response is metagate's own and not the backend's.
    pub fn is_own(&self) -> bool {
        matches!(self.content, Content::Own(_))
    }

    /// The tunnel that follows this response, if one does.
    pub fn take_tunnel(&mut self) -> Option<Switched> {
        let Content::Tunnel(tunnel) = &mut self.content else { return None };
        Some(Switched { tunnel: tunnel.take()?, exchange: self.exchange.take()? })
    }

    fn completed(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.completed();
        }
    }
}

impl Body for ObservedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let mut frame = match &mut this.content {
            Content::Own(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Content::Backend(body) => {
                let exchange = this.exchange.as_ref();
                let mut request =
                    exchange.map_or(WorkedOn::NOTHING, |exchange| WorkedOn::request(exchange.request_id()));
                let _working = WorkingOn::begin(&mut request);
                Pin::new(&mut **body).poll_frame(cx)
            }
            Content::Tunnel(_) => Poll::Ready(None),
        };
        match &mut frame {
            Poll::Ready(Some(Ok(data))) => {
                if let Some(trailers) = data.trailers_mut() {
                    let mut fields = Fields::from(std::mem::take(trailers));
                    remove_connection_fields(&mut fields);
                    *trailers = fields.to_header_map();
                }
                let bytes = data.data_ref().map_or(0, Bytes::len);
                let streams = matches!(&this.content, Content::Backend(body) if !body.is_end_stream());
                if let Some(exchange) = &mut this.exchange {
                    if streams && !exchange.streams_response() {
                        return Poll::Ready(Some(Err(io::ErrorKind::QuotaExceeded.into())));
                    }
                    exchange.sent(bytes);
                }
            }
            Poll::Ready(None) => this.completed(),
            Poll::Ready(Some(Err(_))) => {
                if let (Content::Backend(body), Some(exchange)) = (&mut this.content, &mut this.exchange)
                    && let Some(entry) = body.revoked_by()
                {
                    exchange.ended_by_revocation(&entry);
                }
            }
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(body) => body.as_ref().is_none_or(Bytes::is_empty),
            Content::Backend(body) => body.is_end_stream(),
            Content::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Content::Backend(body) => body.size_hint(),
            Content::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}

impl Drop for ObservedBody {
    fn drop(&mut self) {
        // A body with a known length is not polled to its end.
        if self.is_end_stream() && !matches!(self.content, Content::Tunnel(_)) {
            self.completed();
        }
    }
}
