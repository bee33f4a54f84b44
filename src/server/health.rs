//! The health listener: `/livez` and `/readyz` for the kubelet, `/metrics` for Prometheus, and `/mint/jwks.json` with the
//! public keys of minted tokens for the backend.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;

use super::Process;
use crate::metrics::ExpositionFormat;
use crate::mint::{JWKS_PATH, Minter};
use crate::printable;
use crate::side_listener::{self, End};

/// Probes and scrapes are few.
const MAX_CONNECTIONS: usize = 64;

/// Serves probes and scrapes until the process ends.
pub(super) async fn serve(listener: TcpListener, process: Arc<Process>, end: End) {
    side_listener::serve(listener, MAX_CONNECTIONS, end, move |request, _| {
        let process = process.clone();
        async move { respond(&request, &process).await }
    })
    .await;
}

async fn respond(request: &Request<Incoming>, process: &Arc<Process>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/livez" => plain(StatusCode::OK, "ok\n"),
        "/readyz" if process.is_ready() => plain(StatusCode::OK, ready(process)),
        "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE, not_ready(process)),
        "/metrics" => {
            let accept = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
            let format = ExpositionFormat::accepted(&accept.collect::<Vec<_>>().join(","));
            let process = process.clone();
            // `None` only while the process ends.
            let text = side_listener::in_turn(move || process.exposition(format)).await.unwrap_or_default();
            let mut response = Response::new(Full::new(text.into()));
            let kind = HeaderValue::from_static(format.media_type());
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        JWKS_PATH => match &process.current().loaded.config.mint {
            Some(minter) if !minter.keys().rsa().is_empty() => jwks(minter),
            _ => plain(StatusCode::NOT_FOUND, "no key is configured in mint.keyFiles\n"),
        },
        _ => plain(StatusCode::NOT_FOUND, "/livez, /readyz or /metrics\n"),
    }
}

/// The public keys of minted tokens. The backend fetches them when it does not know a token's key.
fn jwks(minter: &Minter) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(minter.keys().jwks().to_string().into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    response
}

/// A broken allow-list of bots does not make the process unready, because all other clients are served.
fn ready(process: &Process) -> &'static str {
    match process.current().bots.status() {
        Some(status) if status.failure.is_some() && status.is_known => {
            "ok; the allow-list of bots cannot be used, and an earlier one is in force\n"
        }
        Some(status) if status.failure.is_some() => {
            "ok; the allow-list of bots cannot be used, and no bot is accepted\n"
        }
        Some(_) | None => "ok\n",
    }
}

/// Why the process is not ready.
fn not_ready(process: &Process) -> String {
    let current = process.current();
    let waiting = current.keys.waiting_for();
    let mut lists = current.revocations.missing();
    lists.extend(current.bots.missing());
    if waiting.is_empty() && !lists.is_empty() {
        return format!("{}\n", printable::line(&lists.join(", ")));
    }
    if waiting.is_empty() {
        return "draining\n".to_owned();
    }
    format!("waiting for keys of {}\n", printable::line(&waiting.join(", ")))
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
