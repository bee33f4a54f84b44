//! The admin listener: status page, recent refusals, reload and key refresh, for operators.
//!
//! It has no authentication, so it listens only on loopback. `origin` protects it from requests that another program
//! on this machine is tricked into sending:
//!
//! 1. `Host` must name this listener, against DNS rebinding.
//! 2. If a browser states the origin of a request, it must be this listener's own page or the address bar, against web
//!    pages elsewhere. Their links may be followed.
//! 3. Requests that change something or return names of people must come from a browser on this page or contain
//!    `X-Metagate: 1`, because a backend in the same pod may let its users choose the URL of a webhook.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::explanation::Question;
use crate::jwks::SourceStatus;
use crate::printable;
use crate::refusals::Refusals;
use crate::side_listener::{self, End};

mod duration;
mod explain;
mod log_level;
mod origin;
mod page;
mod view;

pub use duration::duration;
pub use view::{
    BotsView, Budgets, CertificateView, ConfigView, LastReload, Outcome, Overview, RevocationView,
    SourceView, Usage, WorkerView, by_how,
};

/// Enough for a few operators and their scripts.
const MAX_CONNECTIONS: usize = 32;

const NOT_DELIBERATE: &str = "the field X-Metagate: 1 is missing";

/// A request to reload; the sender takes the outcome.
pub type ReloadRequest = oneshot::Sender<Outcome>;

/// A running fetch of every key source.
pub type KeyRefresh = Pin<Box<dyn Future<Output = Vec<SourceStatus>> + Send>>;

/// Answers a question about a token.
pub type Explain = Box<dyn Fn(&Question) -> Option<Value> + Send + Sync>;

/// Changes the level of the log if one is given, in the form of `log.level`. Returns the level in force.
pub type LogLevel = Box<dyn Fn(Option<&str>) -> Box<str> + Send + Sync>;

/// The state and the actions of the process that the listener exposes.
pub struct Console {
    /// The current state of the process.
    pub overview: Box<dyn Fn() -> Overview + Send + Sync>,
    /// Takes requests to reload.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// Fetches every key source now, and returns the status of each.
    pub refresh_keys: Box<dyn Fn() -> KeyRefresh + Send + Sync>,
    /// Answers a question about a token; `None` only during shutdown.
    pub explain: Explain,
    /// Shuts the process down, if `admin.quit` permits it. Returns whether it does.
    pub quit: Box<dyn Fn() -> bool + Send + Sync>,
    /// The last refusals.
    pub refusals: Arc<Refusals>,
    /// Changes the level of the log; `None` if the process has no log of its own.
    pub log_level: Option<LogLevel>,
    /// Whether a name is one of `admin.hosts`.
    pub is_host: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

/// Serves requests until the process ends.
pub async fn serve(listener: TcpListener, console: Arc<Console>, end: End) {
    side_listener::serve(listener, MAX_CONNECTIONS, end, move |request, local| {
        let console = console.clone();
        async move { respond(request, local, &console).await }
    })
    .await;
}

async fn respond(
    request: Request<Incoming>,
    local: SocketAddr,
    console: &Arc<Console>,
) -> Response<Full<Bytes>> {
    let checked = {
        let names = origin::Names { local, is_further: &*console.is_host };
        origin::check(request.method(), request.headers(), &names)
    };
    if let Err(why) = checked {
        return with_security_fields(forbidden(why));
    }
    let deliberate = origin::is_deliberate(request.headers());
    if !deliberate && !matches!(*request.method(), Method::GET | Method::HEAD) {
        return with_security_fields(forbidden(NOT_DELIBERATE));
    }
    let response = match (request.uri().path(), request.method()) {
        ("/", &Method::GET | &Method::HEAD) => {
            let page = off_thread(console, move |console| {
                let refusals = deliberate.then(|| console.refusals.newest_first());
                page::render(&(console.overview)(), refusals.as_deref())
            });
            of_type("text/html; charset=utf-8", page.await.unwrap_or_default())
        }
        ("/page.js", &Method::GET | &Method::HEAD) => of_type("text/javascript; charset=utf-8", page::SCRIPT),
        ("/status", &Method::GET | &Method::HEAD) => {
            let status = |console: &Console| page::Status::of((console.overview)());
            json_response(StatusCode::OK, &off_thread(console, status).await)
        }
        ("/refusals", &Method::GET | &Method::HEAD) if !deliberate => forbidden(NOT_DELIBERATE),
        ("/refusals", &Method::GET | &Method::HEAD) => {
            let refusals = |console: &Console| {
                console.refusals.newest_first().iter().map(view::refusal).collect::<Value>()
            };
            json_response(StatusCode::OK, &off_thread(console, refusals).await)
        }
        ("/reload", &Method::POST) => {
            let response = reload(console).await;
            // The page has the outcome, for people who clicked its button.
            if origin::is_top_level_navigation(request.headers()) { to_page() } else { response }
        }
        ("/quit", &Method::POST) => quit(console),
        ("/keys/refresh", &Method::POST) => refresh_keys(console).await,
        ("/explain", &Method::POST) => explain::respond(request.into_body(), console).await,
        ("/log", &Method::GET | &Method::HEAD) => log_level::show(console),
        ("/log", &Method::POST) => log_level::change(request.into_body(), console).await,
        ("/keys", &Method::GET | &Method::HEAD) => {
            let sources = off_thread(console, |console| (console.overview)().sources).await;
            json_response(StatusCode::OK, &sources)
        }
        ("/reload" | "/quit" | "/keys/refresh" | "/explain", _) => not_allowed("POST"),
        ("/log", _) => not_allowed("GET, HEAD, POST"),
        ("/" | "/page.js" | "/status" | "/refusals" | "/keys", _) => not_allowed("GET, HEAD"),
        _ => json_response(
            StatusCode::NOT_FOUND,
            &json!({"code": 404, "message": "GET /, /status, /keys, /log or /refusals; POST /reload, /keys/refresh, /explain, /log or /quit"}),
        ),
    };
    with_security_fields(response)
}

fn of_type(kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Runs `show` on another thread; `None` only during shutdown.
async fn off_thread<T: Send + 'static>(
    console: &Arc<Console>,
    show: impl FnOnce(&Console) -> T + Send + 'static,
) -> Option<T> {
    let console = console.clone();
    side_listener::in_turn(move || show(&console)).await
}

async fn reload(console: &Console) -> Response<Full<Bytes>> {
    let (sender, outcome) = oneshot::channel();
    // During shutdown the reload task is gone.
    let outcome = match console.reload.send(sender).await {
        Ok(()) => outcome.await.unwrap_or_else(|_| Outcome::ending()),
        Err(_) => Outcome::ending(),
    };
    json_response(outcome.status(), &outcome)
}

/// 200, and the drain begins; or 403.
fn quit(console: &Console) -> Response<Full<Bytes>> {
    if (console.quit)() {
        return json_response(StatusCode::OK, &json!({"code": 200, "message": "shutting down"}));
    }
    forbidden("admin.quit is false")
}

fn to_page() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/"));
    response
}

fn forbidden(why: &'static str) -> Response<Full<Bytes>> {
    json_response(StatusCode::FORBIDDEN, &json!({"code": 403, "message": why}))
}

/// 200, or 502 if any source could not be fetched.
async fn refresh_keys(console: &Console) -> Response<Full<Bytes>> {
    let sources = (console.refresh_keys)().await;
    let failed = sources.iter().any(|source| source.failure.is_some());
    let now = SystemTime::now();
    let body: Value = sources.iter().map(|source| source.to_json(now)).collect();
    json_response(if failed { StatusCode::BAD_GATEWAY } else { StatusCode::OK }, &body)
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let mut response = json_response(
        StatusCode::METHOD_NOT_ALLOWED,
        &json!({"code": 405, "message": format!("{methods} only")}),
    );
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn json_response(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    // Plain data always serializes.
    let mut text = serde_json::to_string_pretty(body).unwrap_or_default();
    text.push('\n');
    // Operators read it with curl on a terminal.
    let text = printable::lines(&text).into_owned();
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Adds fields against caching, framing, content sniffing and cross-origin reads.
fn with_security_fields(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    const FIELDS: [(HeaderName, &str); 6] = [
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("content-security-policy"), page::POLICY),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        // With `no-referrer` a browser sends `Origin: null` for the form of the page.
        (REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in FIELDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
