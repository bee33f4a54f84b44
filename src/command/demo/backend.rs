//! The demo's backend: responds like a few paths of OpenMetadata or DataHub, and returns the caller's identity that it
//! received.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

/// A status and a JSON object.
pub(super) type Reply = (StatusCode, Value);

pub(super) async fn serve(listener: TcpListener, reply: fn(&Method, &str) -> Reply) {
    accept(listener, move |request| respond(request, reply)).await;
}

/// Serves HTTP/1.1 on a listener with `function` as the handler.
pub(super) async fn accept<F>(listener: TcpListener, function: F)
where
    F: Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
{
    let listener = listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
    let Ok(listener) = listener else { return };
    let function = Arc::new(function);
    while let Ok((stream, _)) = listener.accept().await {
        let function = function.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = function(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            // An error means that the client has closed the connection.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn respond(request: &Request<Incoming>, reply: fn(&Method, &str) -> Reply) -> Response<Full<Bytes>> {
    let (status, mut body) = reply(request.method(), request.uri().path());
    body["askedBy"] = asked_by(request.headers());
    let mut response = Response::new(Full::new(format!("{body:#}\n").into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn asked_by(fields: &HeaderMap) -> Value {
    let field = |name: &str| fields.get(name).and_then(|value| value.to_str().ok());
    json!({"user": field("x-forwarded-user"), "email": field("x-forwarded-email"), "groups": field("x-forwarded-groups")})
}
