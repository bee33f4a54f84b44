//! A collector on loopback that decodes what it gets, with messages of its own.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::read::GzDecoder;
use prost::Message as _;

use crate::support::eventually;
use crate::support::message::Head;
use crate::support::stub::{Gate, Stub};

/// What the collector answers.
pub enum Reply {
    Accept,
    /// A status with these fields.
    Status(u16, &'static [(&'static str, &'static str)]),
    /// 200 with a body of this type, which is not OTLP.
    Other(&'static str, &'static [u8]),
    /// It does not accept so many, and says why.
    Partial(i64, &'static str),
    /// It accepts once the gate is open.
    Hold(Gate),
}

pub struct Collector {
    stub: Stub,
}

/// A request to the collector.
pub struct Received {
    pub head: Head,
    /// As it was sent.
    pub body: Vec<u8>,
    pub message: Traces,
}

impl Collector {
    pub fn start() -> Self {
        Self::replying(|_| Reply::Accept)
    }

    /// Replies to each request by its number.
    pub fn replying(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let numbers = AtomicUsize::new(0);
        let stub = Stub::start(move |exchange| {
            exchange.read_body()?;
            let answer = match reply(numbers.fetch_add(1, Ordering::SeqCst)) {
                Reply::Status(status, fields) => return exchange.reply(status, fields, b""),
                Reply::Other(kind, body) => return exchange.reply(200, &[("Content-Type", kind)], body),
                Reply::Accept => Answer::default(),
                Reply::Partial(rejected, message) => {
                    Answer { partial: Some(Partial { rejected, message: message.to_owned() }) }
                }
                Reply::Hold(gate) => {
                    exchange.hold(&gate);
                    Answer::default()
                }
            };
            exchange.reply(200, &[("Content-Type", "application/x-protobuf")], answer.encode_to_vec())
        });
        Self { stub }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.stub.address)
    }

    /// Every complete request so far.
    #[track_caller]
    pub fn requests(&self) -> Vec<Received> {
        let complete = self.stub.requests().into_iter().filter(|request| request.complete);
        complete
            .map(|request| {
                let mut message = request.body.clone();
                if request.head.value("content-encoding") == Some("gzip") {
                    message.clear();
                    GzDecoder::new(&*request.body).read_to_end(&mut message).expect("gzip");
                }
                let message = Traces::decode(&*message).expect("a protobuf message");
                Received { head: request.head, body: request.body, message }
            })
            .collect()
    }

    /// Every span so far.
    #[track_caller]
    pub fn spans(&self) -> Vec<Span> {
        let messages = self.requests().into_iter().map(|request| request.message);
        messages
            .flat_map(|message| message.resource_spans)
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect()
    }

    /// Waits for a span.
    #[track_caller]
    pub fn find(&self, what: &str, is_it: impl Fn(&Span) -> bool) -> Span {
        eventually(what, || self.spans().into_iter().find(&is_it))
    }

    /// Waits for the server span of a request with this path.
    #[track_caller]
    pub fn span(&self, path: &str) -> Span {
        self.find(path, |span| span.attribute("url.path").as_deref() == Some(path))
    }

    pub fn children_of(&self, parent: &Span) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.parent_span_id == parent.span_id && span.trace_id == parent.trace_id);
        spans
    }

    /// The only child of a span that has arrived. Both are in one batch.
    #[track_caller]
    pub fn child_of(&self, parent: &Span) -> Span {
        let mut children = self.children_of(parent);
        assert_eq!(children.len(), 1, "{children:?}");
        children.remove(0)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Traces {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

impl Traces {
    /// The attributes of the only resource.
    #[track_caller]
    pub fn resource(&self) -> BTreeMap<String, String> {
        let [ResourceSpans { resource: Some(resource), .. }] = &self.resource_spans[..] else {
            panic!("not one resource: {self:?}");
        };
        resource.attributes.iter().map(|pair| (pair.key.clone(), pair.text())).collect()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<Pair>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub name: String,
    #[prost(int32, tag = "6")]
    pub kind: i32,
    #[prost(fixed64, tag = "7")]
    pub start: u64,
    #[prost(fixed64, tag = "8")]
    pub end: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Pair>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
}

impl Span {
    pub fn trace_id(&self) -> String {
        hex(&self.trace_id)
    }

    pub fn id(&self) -> String {
        hex(&self.span_id)
    }

    pub fn parent(&self) -> String {
        hex(&self.parent_span_id)
    }

    pub fn status_code(&self) -> i32 {
        self.status.as_ref().map_or(0, |status| status.code)
    }

    /// The value of an attribute, as text.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.iter().find(|pair| pair.key == name).map(Pair::text)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Pair {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

impl Pair {
    fn text(&self) -> String {
        match self.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::Text(text)) => text.clone(),
            Some(Value::Bool(value)) => value.to_string(),
            Some(Value::Int(number)) => number.to_string(),
            None => String::new(),
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}
