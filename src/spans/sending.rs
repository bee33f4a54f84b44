//! One request with spans to the collector (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).

use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message as _;
use reqwest::{Client, Response};
use url::Url;

use super::otlp::{ExportTraceServiceRequest, ExportTraceServiceResponse, PartialSuccess};
use crate::client_proxies::proxies;
use crate::config::{EnvironmentProxies, SpanExport};
use crate::loopback::is_on_this_machine;
use crate::tls::{self, TlsError};

/// The longest response that is read.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// The longest text of the collector in a log line.
const MAX_SHOWN: usize = 200;
/// A collector cannot make the exporter wait for longer.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// What takes batches of spans.
pub(super) trait Destination: Send + Sync + 'static {
    /// The body of a request with these spans.
    fn body(&self, request: &ExportTraceServiceRequest) -> io::Result<Bytes>;

    /// Sends a body once. Returns what was not taken.
    fn send(&self, body: Bytes) -> impl Future<Output = Result<PartialSuccess, SendError>> + Send;
}

/// A collector, and how spans are sent there.
#[derive(Debug)]
pub(super) struct Collector {
    client: Client,
    endpoint: Url,
    headers: HeaderMap,
    gzip: bool,
}

/// Why spans were not accepted.
#[derive(Debug)]
pub(super) enum SendError {
    /// They may be sent again, after this time if the collector has named one.
    Unavailable(String, Option<Duration>),
    /// They would be refused again.
    Rejected(String),
}

/// Why the exporter cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file with a certificate or a key.
    #[error("spans: {0}")]
    Tls(#[from] TlsError),
    /// The client.
    #[error("spans: {0}")]
    Client(reqwest::Error),
}

impl Collector {
    pub(super) fn new(export: &SpanExport, environment: &EnvironmentProxies) -> Result<Self, StartError> {
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls::client_config(&export.tls)?)
            .user_agent(concat!("metagate/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .timeout(export.timeout)
            .pool_max_idle_per_host(1)
            // The environment's are among those below.
            .no_proxy();
        if !is_on_this_machine(&export.endpoint) {
            builder = proxies(None, environment).into_iter().fold(builder, reqwest::ClientBuilder::proxy);
        }
        let client = builder.build().map_err(|error| StartError::Client(error.without_url()))?;
        Ok(Self {
            client,
            endpoint: export.endpoint.clone(),
            headers: export.headers.iter().cloned().collect(),
            gzip: export.gzip,
        })
    }
}

impl Destination for Collector {
    fn body(&self, request: &ExportTraceServiceRequest) -> io::Result<Bytes> {
        let message = request.encode_to_vec();
        if !self.gzip {
            return Ok(message.into());
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&message)?;
        Ok(encoder.finish()?.into())
    }

    async fn send(&self, body: Bytes) -> Result<PartialSuccess, SendError> {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let request = self.client.post(self.endpoint.clone()).headers(headers).body(body);
        let unavailable = |error: reqwest::Error| SendError::Unavailable(cause(&error), None);
        let response = request.send().await.map_err(unavailable)?;
        let status = response.status();
        if !status.is_success() {
            let after =
                response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value, SystemTime::now()));
            return Err(of_status(status, after));
        }
        if is_web_page(response.headers()) {
            let cause = "the collector answered with a web page: is it the URL of a collector?";
            return Err(SendError::Rejected(cause.to_owned()));
        }
        let body = read(response).await.map_err(unavailable)?;
        // Another body that is not OTLP counts as success: collectors differ in what they return.
        let answer = ExportTraceServiceResponse::decode(&*body).unwrap_or_default();
        Ok(answer.partial_success.unwrap_or_default())
    }
}

/// The error for a status (section "Failures"). Only these may be sent again.
fn of_status(status: StatusCode, after: Option<Duration>) -> SendError {
    let cause = format!("the collector answered {}", status.as_u16());
    match status.as_u16() {
        429 | 502 | 503 | 504 => SendError::Unavailable(cause, after),
        _ => SendError::Rejected(cause),
    }
}

/// Some servers answer 200 to everything, for example with a login page. No collector answers with HTML.
fn is_web_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.get(..9).is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"))
}

/// How long the collector asks the client to wait (RFC 9110 section 10.2.3): seconds, or a date.
fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// The body of a response, cut if it is too long.
async fn read(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_RESPONSE_BYTES {
            body.truncate(MAX_RESPONSE_BYTES);
            break;
        }
    }
    Ok(body)
}

/// The root cause of an error. reqwest's own message has the URL, whose query may be a secret.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "the collector did not answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = match std::error::Error::source(error) {
        Some(source) => source,
        None => return "the request failed".to_owned(),
    };
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// What the collector says, for a log line.
pub(super) fn shown(message: &str) -> String {
    message.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_these_statuses_are_tried_again() {
        for code in 300..600 {
            let status = StatusCode::from_u16(code).unwrap_or_default();
            let again = matches!(of_status(status, None), SendError::Unavailable(..));
            assert_eq!(again, [429, 502, 503, 504].contains(&code), "{code}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, expected) in [
            ("7", Some(7)),
            ("0", Some(0)),
            ("86400", Some(300)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let found = retry_after(&HeaderValue::from_static(value), now);
            assert_eq!(found, expected.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn a_collectors_text_is_bounded_and_escaped() {
        assert_eq!(shown("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(1000)).len(), MAX_SHOWN);
    }
}
