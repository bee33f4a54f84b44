//! The admin listener: what the process is doing, for the people who operate it.
//!
//! It asks nobody who they are, so it is for loopback. A web page elsewhere must not get at it
//! through the browser of such a person: the `Host` must be an address of this listener (against DNS
//! rebinding), and what a browser says of where a request comes from must be this listener itself. What
//! changes something, or names people, also needs `X-Metagate: 1` from whoever is no browser: a backend in
//! the same pod may let its users choose the URL of a webhook.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::jwks::SourceStatus;
use crate::printable;
use crate::refusals::Refusals;
use crate::side_listener;

mod origin;
mod page;
mod view;

pub use view::{ConfigView, LastReload, Outcome, Overview, SourceView};

/// People and their scripts are few.
const MAX_CONNECTIONS: usize = 32;

const NOT_DELIBERATE: &str = "the field X-Metagate: 1 is missing";

/// Asks for a reload; the answer says what came of it.
pub type ReloadRequest = oneshot::Sender<Outcome>;

/// A fetch of every key source that is under way.
pub type KeyRefresh = Pin<Box<dyn Future<Output = Vec<SourceStatus>> + Send>>;

/// What the listener shows and does.
pub struct Console {
    /// How the process is at this moment.
    pub overview: Box<dyn Fn() -> Overview + Send + Sync>,
    /// Where a reload is asked for.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// Fetches every key source now; what each has afterwards.
    pub refresh_keys: Box<dyn Fn() -> KeyRefresh + Send + Sync>,
    /// The last refusals.
    pub refusals: Arc<Refusals>,
}

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, console: Arc<Console>) {
    side_listener::serve(listener, MAX_CONNECTIONS, move |request, own| {
        let console = console.clone();
        async move { answer(&request, own, &console).await }
    })
    .await;
}

async fn answer(
    request: &Request<Incoming>,
    own: SocketAddr,
    console: &Arc<Console>,
) -> Response<Full<Bytes>> {
    if let Err(why) = origin::check(request.method(), request.headers(), own) {
        return sealed(forbidden(why));
    }
    let deliberate = origin::is_deliberate(request.headers());
    if !deliberate && !matches!(*request.method(), Method::GET | Method::HEAD) {
        return sealed(forbidden(NOT_DELIBERATE));
    }
    let answer = match (request.uri().path(), request.method()) {
        ("/", &Method::GET | &Method::HEAD) => {
            let page = shown(console, move |console| {
                let refusals = deliberate.then(|| console.refusals.newest_first());
                page::render(&(console.overview)(), refusals.as_deref())
            });
            let page = page.await.unwrap_or_default();
            let mut response = Response::new(Full::new(page.into()));
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        ("/status", &Method::GET | &Method::HEAD) => {
            json_answer(StatusCode::OK, &shown(console, |console| (console.overview)()).await)
        }
        ("/refusals", &Method::GET | &Method::HEAD) if !deliberate => forbidden(NOT_DELIBERATE),
        ("/refusals", &Method::GET | &Method::HEAD) => {
            let refusals = |console: &Console| {
                console.refusals.newest_first().iter().map(view::refusal).collect::<Value>()
            };
            json_answer(StatusCode::OK, &shown(console, refusals).await)
        }
        ("/reload", &Method::POST) => reload(console).await,
        ("/keys/refresh", &Method::POST) => refresh_keys(console).await,
        ("/reload" | "/keys/refresh", _) => not_allowed("POST"),
        ("/" | "/status" | "/refusals", _) => not_allowed("GET, HEAD"),
        _ => json_answer(
            StatusCode::NOT_FOUND,
            &json!({"code": 404, "message": "GET /, /status or /refusals; POST /reload or /keys/refresh"}),
        ),
    };
    sealed(answer)
}

/// Nothing only while the process ends.
async fn shown<T: Send + 'static>(
    console: &Arc<Console>,
    show: impl FnOnce(&Console) -> T + Send + 'static,
) -> Option<T> {
    let console = console.clone();
    side_listener::in_turn(move || show(&console)).await
}

async fn reload(console: &Console) -> Response<Full<Bytes>> {
    let (asked, told) = oneshot::channel();
    // Whoever reloads is gone while the process ends.
    let outcome = match console.reload.send(asked).await {
        Ok(()) => told.await.unwrap_or_else(|_| Outcome::ending()),
        Err(_) => Outcome::ending(),
    };
    json_answer(outcome.status(), &outcome)
}

fn forbidden(why: &'static str) -> Response<Full<Bytes>> {
    json_answer(StatusCode::FORBIDDEN, &json!({"code": 403, "message": why}))
}

/// 200, or 502 if any source could not be fetched.
async fn refresh_keys(console: &Console) -> Response<Full<Bytes>> {
    let sources = (console.refresh_keys)().await;
    let failed = sources.iter().any(|source| source.failure.is_some());
    let now = SystemTime::now();
    let body: Value = sources.iter().map(|source| source.to_json(now)).collect();
    json_answer(if failed { StatusCode::BAD_GATEWAY } else { StatusCode::OK }, &body)
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let mut response = json_answer(
        StatusCode::METHOD_NOT_ALLOWED,
        &json!({"code": 405, "message": format!("{methods} only")}),
    );
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn json_answer(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    // Plain data always has a form in JSON.
    let mut text = serde_json::to_string_pretty(body).unwrap_or_default();
    text.push('\n');
    // People read it with curl, on a terminal.
    let text = printable::lines(&text).into_owned();
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Nothing of it is kept, shown within another page, or taken for something else.
fn sealed(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    const FIELDS: [(HeaderName, &str); 6] = [
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("content-security-policy"), page::POLICY),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in FIELDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
