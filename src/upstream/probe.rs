//! Asks the backend a question of our own, over the connection that requests would use. Nothing of a client is sent.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout};

use super::forward::Waiting;
use super::send_error::{ForwardError, SendError};
use super::{Connection, RequestBody, Upstream, UpstreamRequest};
use crate::budget::Connection as Account;
use crate::decision::Reason;
use crate::message::field_name::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, SERVER, USER_AGENT};
use crate::message::{FieldValue, Fields};
use crate::printable;

/// How long the response may take.
const MAX_TIME: Duration = Duration::from_secs(5);
/// How much of its body is read.
const MAX_BYTES: usize = 64 * 1024;
/// The longest name of a server, in characters.
const MAX_NAME: usize = 60;

/// What the backend responded.
#[derive(Debug)]
pub struct ProbeResponse {
    /// Its status.
    pub status: StatusCode,
    /// The beginning of its body.
    pub body: Vec<u8>,
    /// Its `Server` field, shortened and escaped.
    pub server: Option<String>,
}

/// Why there is no response.
#[derive(Debug)]
pub struct ProbeError {
    /// In words for the operator.
    pub cause: String,
    /// Whether the backend may only not be running yet.
    pub is_absent: bool,
}

impl Upstream {
    /// Asks for `path`, below the path of the configured URL, with a credential of our own if there is one.
    pub async fn probe(
        self: &Arc<Self>,
        path: PathAndQuery,
        authorization: Option<HeaderValue>,
        account: Arc<Account>,
    ) -> Result<ProbeResponse, ProbeError> {
        let opened = self.open(&account).await;
        let connection = opened
            .map_err(|error| ProbeError { is_absent: !error.is_permanent, cause: error.to_string() })?;
        let now = Instant::now();
        let mut headers = self.probe_headers();
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        let mut request = UpstreamRequest {
            method: Method::GET,
            path,
            headers,
            body: RequestBody::Empty,
            account,
            trailers: false,
            upgrade: false,
            interim: None,
            permitted_at: now,
            responded_at: None,
        };
        let waiting = Waiting::new(now, None, None);
        let exchange = async {
            let sent = match connection {
                Connection::Http1(connection) => {
                    // Some servers serve one connection at a time.
                    request.headers.insert(CONNECTION, HeaderValue::from_static("close"));
                    self.send_http1(connection, &mut request, waiting).await
                }
                Connection::Http2(stream) => self.send_http2(stream, &mut request, waiting).await,
            };
            let response = sent.map_err(|error| self.probe_error(error))?;
            let (status, server) = (response.status(), response.headers().get(SERVER).map(name_of));
            let mut body = response.into_body();
            let mut bytes = Vec::new();
            while let Some(Ok(frame)) = body.frame().await {
                bytes.extend(frame.into_data().unwrap_or_default());
                if bytes.len() > MAX_BYTES {
                    break;
                }
            }
            Ok(ProbeResponse { status, body: bytes, server })
        };
        timeout(MAX_TIME, exchange).await.unwrap_or_else(|_| {
            let cause = format!("no response within {}", humantime::format_duration(MAX_TIME));
            Err(ProbeError { cause, is_absent: true })
        })
    }

    fn probe_headers(&self) -> Fields {
        let mut headers = Fields::new();
        let host = HeaderValue::try_from(self.target.to_string());
        headers.insert(HOST, host.unwrap_or(HeaderValue::from_static("localhost")));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("metagate/", env!("CARGO_PKG_VERSION"))));
        headers
    }

    fn probe_error(&self, error: SendError) -> ProbeError {
        let failure = match error {
            SendError::Unsent | SendError::Unprocessed | SendError::Closed => self.closed(false),
            SendError::Final(failure) => failure,
        };
        let cause = match failure {
            ForwardError::Explained(_, cause) => cause.into_owned(),
            ForwardError::Failed(reason) => reason.as_str().to_owned(),
            ForwardError::BrokenRequest | ForwardError::Revoked(_) => {
                Reason::UpstreamProtocol.as_str().to_owned()
            }
        };
        ProbeError { cause, is_absent: false }
    }
}

fn name_of(server: FieldValue<'_>) -> String {
    let text = String::from_utf8_lossy(server.as_bytes());
    printable::line(&text).chars().take(MAX_NAME).collect()
}
