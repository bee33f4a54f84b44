//! The health listener: what kubelet and Prometheus reach on the pod's address.

use std::convert::Infallible;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::Process;

/// Probes and scrapes are few; a flood of connections here must not cost more than this.
const MAX_CONNECTIONS: usize = 64;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A file descriptor to give away: where clients have taken all others, a probe gets this one.
struct Spare(Mutex<Option<File>>);

impl Spare {
    /// Takes one, unless it is there or there is none.
    fn keep(&self) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_none() {
            *spare = File::open("/dev/null").ok();
        }
    }

    /// Whether there was one to be given away.
    fn give(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

/// Answers probes and scrapes until it is dropped.
pub(super) async fn serve(listener: TcpListener, process: Arc<Process>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let spare = Arc::new(Spare(Mutex::new(None)));
    spare.keep();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            if !spare.give() {
                sleep(Duration::from_millis(50)).await;
                spare.keep();
            }
            continue;
        };
        let (process, spare) = (process.clone(), spare.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&request, &process);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a health connection ended");
            }
            // At once, before a client has the one that is free now.
            spare.keep();
            drop(slot);
        });
    }
}

fn answer(request: &Request<Incoming>, process: &Process) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/livez" => plain(StatusCode::OK, "ok\n"),
        "/readyz" if process.is_ready() => plain(StatusCode::OK, "ok\n"),
        "/readyz" => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            if process.has_keys() { "draining\n" } else { "waiting for keys\n" },
        ),
        "/metrics" => {
            let mut response = Response::new(Full::new(process.metrics.encode().into()));
            let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        _ => plain(StatusCode::NOT_FOUND, "/livez, /readyz or /metrics\n"),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
