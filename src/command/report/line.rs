//! Parses one line of a log: an audit record, or something else.

use std::borrow::Cow;

use serde::Deserialize;

/// The kind of a line.
#[derive(Debug)]
pub(super) enum Line<'l> {
    /// The record of one request.
    Record(Box<Record<'l>>),
    /// A line of another program or of metagate's own log.
    Other,
    /// Begins like a record but cannot be parsed.
    Broken,
}

/// The reported fields of an audit record. Other fields are skipped.
#[derive(Debug, Deserialize)]
pub(super) struct Record<'l> {
    #[serde(borrow)]
    pub(super) event: Cow<'l, str>,
    #[serde(borrow)]
    pub(super) decision: Cow<'l, str>,
    #[serde(borrow, default)]
    pub(super) time: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    pub(super) reason: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    pub(super) rule: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    pub(super) method: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    pub(super) path: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    pub(super) principal: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    pub(super) claimed_subject: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    pub(super) token_class: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    pub(super) issuer: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    pub(super) client: Option<Cow<'l, str>>,
}

/// A line wrapped by Docker's json-file driver or by a log collector.
#[derive(Deserialize)]
struct Wrapped {
    #[serde(alias = "message", alias = "MESSAGE", alias = "line")]
    log: Option<String>,
}

impl<'l> Line<'l> {
    /// Reads one line.
    pub(super) fn read(bytes: &'l [u8]) -> Self {
        let Ok(text) = str::from_utf8(bytes) else {
            return if bytes.contains(&b'{') { Self::Broken } else { Self::Other };
        };
        let text = text.trim();
        // A runtime may put a prefix before the record: CRI's time, stream and tag, or the name of a pod or service.
        match text.find("{\"") {
            None => Self::Other,
            Some(at) => Self::json(&text[at..], at == 0 || is_cri(text)),
        }
    }

    fn json(text: &'l str, whole: bool) -> Self {
        if let Ok(record) = serde_json::from_str::<Record<'_>>(text) {
            return if record.event == "request" { Self::Record(Box::new(record)) } else { Self::Other };
        }
        match serde_json::from_str::<Wrapped>(text) {
            Ok(Wrapped { log: Some(inner) }) => Self::unwrapped(&inner),
            Ok(Wrapped { log: None }) => Self::Other,
            // A truncated record, not a brace in a sentence.
            Err(error) if whole && (error.is_eof() || error.is_syntax()) => Self::Broken,
            Err(_) => Self::Other,
        }
    }

    /// The line in a wrapper. Nested wrappers are not supported.
    fn unwrapped(inner: &str) -> Self {
        let Some(at) = inner.find("{\"") else { return Self::Other };
        match serde_json::from_str::<Record<'_>>(inner[at..].trim()) {
            Ok(record) if record.event == "request" => Self::Record(Box::new(record.into_owned())),
            Ok(_) => Self::Other,
            Err(error) if at == 0 && (error.is_eof() || error.is_syntax()) => Self::Broken,
            Err(_) => Self::Other,
        }
    }
}

impl Record<'_> {
    fn into_owned(self) -> Record<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Record {
            event: owned(self.event),
            decision: owned(self.decision),
            time: self.time.map(owned),
            reason: self.reason.map(owned),
            rule: self.rule.map(owned),
            method: self.method.map(owned),
            path: self.path.map(owned),
            principal: self.principal.map(owned),
            claimed_subject: self.claimed_subject.map(owned),
            token_class: self.token_class.map(owned),
            issuer: self.issuer.map(owned),
            client: self.client.map(owned),
        }
    }
}

/// Kubernetes' container runtime interface: `<time> stdout F <line>`; `P` for a part of a line.
fn is_cri(text: &str) -> bool {
    let mut words = text.splitn(4, ' ').skip(1);
    matches!(words.next(), Some("stdout" | "stderr")) && matches!(words.next(), Some("F" | "P"))
}
