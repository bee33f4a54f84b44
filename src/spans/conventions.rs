//! From the record of a request to its spans, by the semantic conventions for HTTP
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>, which are stable).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Version;

use super::otlp::{AnyValue, KeyValue, Span, SpanKind, Status, StatusCode, Value};
use super::{CallRecord, RequestRecord};
use crate::trace_context::SpanId;

/// The version of the conventions.
pub(super) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.37.0";
/// The methods that have a name of their own. Others are `_OTHER`: a client could make up any number of them.
const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "QUERY"];
/// `Span.flags`: whether the parent is in another process is known, and whether it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// The method, if it has a name of its own.
pub(super) fn known_method(method: &str) -> Option<&'static str> {
    METHODS.into_iter().find(|known| *known == method)
}

/// The spans of a request: that of the client's request, and that of the request to the backend.
pub(super) fn spans(record: &RequestRecord, spans: &mut Vec<Span>) {
    spans.push(server_span(record));
    spans.extend(record.call.as_ref().map(|call| client_span(record, call)));
}

fn server_span(record: &RequestRecord) -> Span {
    let mut attributes = Attributes::default();
    attributes.method(record);
    attributes.text("url.path", &record.path);
    attributes.text("url.scheme", if record.tls { "https" } else { "http" });
    if let Some((host, port)) = record.authority.as_deref().map(host_and_port) {
        attributes.text("server.address", host);
        attributes.number("server.port", port);
    }
    attributes.number("http.response.status_code", record.status);
    attributes.some("network.protocol.version", record.version.and_then(version));
    attributes
        .some("client.address", record.client.map(|client| client.to_canonical().to_string()).as_deref());
    attributes.some("user_agent.original", record.user_agent.as_deref());
    attributes.text("metagate.decision", record.decision);
    attributes.some("metagate.reason", record.reason);
    attributes.some("metagate.issuer", record.issuer.as_deref());
    attributes.some("metagate.rule", record.rule.as_deref());
    attributes.some("metagate.via", record.via);
    attributes.text("metagate.request_id", &record.request_id);
    attributes.push("metagate.complete", Value::Bool(record.complete));
    // 4xx is not an error of a server span.
    let is_error = record.status.is_some_and(|status| status >= 500);
    if is_error {
        // What report mode would have refused did not fail for that reason.
        let reason = record.reason.filter(|_| record.decision != "would_deny");
        attributes.error(reason, record.status);
    }
    let remote = if record.parent.is_some() { IS_REMOTE } else { 0 };
    Span {
        parent_span_id: record.parent.map_or_else(Vec::new, |parent| parent.to_vec()),
        kind: SpanKind::Server.into(),
        flags: u32::from(record.flags) | HAS_IS_REMOTE | remote,
        ..span(record, record.id, (record.began, record.duration), attributes, is_error)
    }
}

fn client_span(record: &RequestRecord, call: &CallRecord) -> Span {
    let mut attributes = Attributes::default();
    attributes.method(record);
    attributes.text("server.address", &call.backend.host);
    attributes.number("server.port", call.backend.port);
    attributes.text("url.full", &format!("{}{}", call.backend.url, call.path));
    attributes.number("http.response.status_code", call.times.status);
    let is_error = call.times.failure.is_some() || call.times.status.is_some_and(|status| status >= 400);
    if is_error {
        attributes.error(call.times.failure, call.times.status);
    }
    let began = record.began + call.times.after;
    Span {
        parent_span_id: record.id.to_vec(),
        kind: SpanKind::Client.into(),
        flags: u32::from(record.flags) | HAS_IS_REMOTE,
        ..span(record, call.id, (began, call.times.duration), attributes, is_error)
    }
}

fn span(
    record: &RequestRecord,
    id: SpanId,
    (began, duration): (SystemTime, Duration),
    attributes: Attributes,
    is_error: bool,
) -> Span {
    Span {
        trace_id: record.trace_id.to_vec(),
        span_id: id.to_vec(),
        trace_state: record.state.as_deref().unwrap_or_default().to_owned(),
        name: record.method.unwrap_or("HTTP").to_owned(),
        start_time_unix_nano: nanos(began),
        end_time_unix_nano: nanos(began + duration),
        attributes: attributes.0,
        status: is_error.then_some(Status { code: StatusCode::Error.into() }),
        ..Span::default()
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

const fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

/// The parts of an authority. The host of an IPv6 address is without its brackets.
fn host_and_port(authority: &str) -> (&str, Option<u16>) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    (host.trim_matches(['[', ']']), port)
}

/// An attribute of the resource, or of a span.
pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn push(&mut self, key: &str, value: Value) {
        self.0.push(attribute(key, value));
    }

    fn text(&mut self, key: &str, value: &str) {
        self.push(key, Value::Text(value.to_owned()));
    }

    fn some(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn number(&mut self, key: &str, value: Option<u16>) {
        if let Some(value) = value {
            self.push(key, Value::Int(value.into()));
        }
    }

    fn method(&mut self, record: &RequestRecord) {
        self.text("http.request.method", record.method.unwrap_or("_OTHER"));
        self.some("http.request.method_original", record.other_method.as_deref());
    }

    /// `error.type`: the reason if there is one, otherwise the status.
    fn error(&mut self, reason: Option<&str>, status: Option<u16>) {
        match (reason, status) {
            (Some(reason), _) => self.text("error.type", reason),
            (None, Some(status)) => self.text("error.type", &status.to_string()),
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_split_into_host_and_port() {
        for (authority, expected) in [
            ("a.example", ("a.example", None)),
            ("a.example:8685", ("a.example", Some(8685))),
            ("[2001:db8::1]", ("2001:db8::1", None)),
            ("[2001:db8::1]:443", ("2001:db8::1", Some(443))),
            ("a.example:", ("a.example", None)),
            ("a.example:99999", ("a.example", None)),
        ] {
            assert_eq!(host_and_port(authority), expected, "{authority}");
        }
    }

    #[test]
    fn only_standard_methods_have_a_name() {
        assert_eq!(known_method("PATCH"), Some("PATCH"));
        assert_eq!(known_method("patch"), None);
        assert_eq!(known_method("BREW"), None);
    }
}
