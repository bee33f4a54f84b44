//! Explains one decision, step by step, without making a request.
//!
//! `metagate explain` and the admin listener use it, with the keys and the clock of the command or of the running
//! process. The steps are those of [`crate::admission`]; this module only writes down what they find.
//!
//! 1. A [`Question`] is a token and, if it is about a request too, the request.
//! 2. [`explain`] takes it through admission, and waits for nothing: no key is fetched for it.
//! 3. The answer is JSON. `metagate explain` prints it as it is or as text. It has no part of the token.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::admission::{Admission, Observer as _, Snapshot, Step};
use crate::audit::rfc3339;
use crate::backend_credentials::BackendCredentials;
use crate::bots::Bots;
use crate::challenge::{self, Wording};
use crate::decision::{Caller, Denial, Permit, Reason};
use crate::diagnosis::SourceSummary;
use crate::jwks::SourceStatus;
use crate::message::Fields;
use crate::message::field_name::CONTENT_TYPE;
use crate::numeric_date::NumericDate;
use crate::outbound_head::OutboundHead;
use crate::request::{Credentials, PathPrefix, TokenFields};
use crate::revocation::RevocationLists;
use crate::trust::{KeyRing, TrustedIssuer};

mod local_request;
mod route;
mod steps;

pub use local_request::LocalRequest;
pub use route::describe as describe_route;

use steps::Steps;

/// What is asked. It has a token in it, so it has no `Debug` output.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Question {
    /// The token; empty for a request without one.
    pub token: String,
    /// The request's method; GET if left out.
    pub method: Option<String>,
    /// The request's path. Without it, only the token is judged.
    pub path: Option<String>,
    /// The request's body in base64, for rules about GraphQL.
    pub body: Option<String>,
    /// The body's `Content-Type`.
    pub content_type: Option<String>,
    /// The time at which the token is judged; now if left out.
    #[serde(with = "written_time")]
    pub at: Option<NumericDate>,
}

/// A time in RFC 3339, or in seconds since 1970.
mod written_time {
    use serde::de::{Deserialize as _, Deserializer, Error as _};
    use serde::ser::Serializer;
    use serde_json::Value;

    use crate::numeric_date::NumericDate;

    pub(super) fn serialize<S: Serializer>(
        at: &Option<NumericDate>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_str(&at.to_string()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<NumericDate>, D::Error> {
        let time = match Value::deserialize(deserializer)? {
            Value::Null => return Ok(None),
            Value::String(text) => NumericDate::from_text(&text),
            Value::Number(number) => number.as_i64().map(NumericDate::from_secs),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        time.map(Some).ok_or_else(|| D::Error::custom("not a time"))
    }
}

/// What the decision depends on.
pub struct Context<'c> {
    /// Routes, trust and rules.
    pub admission: &'c Admission,
    /// The texts for clients.
    pub wording: &'c Wording,
    /// The keys.
    pub keys: Arc<KeyRing>,
    /// The sources of the keys.
    pub sources: Vec<SourceStatus>,
    /// The credentials of the users that callers act as.
    pub credentials: &'c BackendCredentials,
    /// The revocation list.
    pub revocations: Option<&'c RevocationLists>,
    /// The allow-list of bots.
    pub bots: Option<&'c Bots>,
    /// The longest body that is read for rules about GraphQL, in bytes.
    pub graphql_bytes: usize,
    /// The time.
    pub now: NumericDate,
}

/// The result of judging a question.
enum Judged {
    /// Only the token was judged.
    Token,
    /// A token may be issued for it.
    Subject,
    /// It is revoked if it verifies.
    Revocation,
    Request(Permit),
}

/// Answers a question.
pub fn explain(question: &Question, context: &Context<'_>) -> Value {
    let now = question.at.unwrap_or(context.now);
    let trust = &context.admission.authorizer.trust;
    let mut snapshot = Snapshot::new(now, context.keys.clone());
    snapshot.sources = trust.iter().map(|entry| sources_of(entry, &context.sources)).collect();
    let fails = |sources: &Vec<SourceSummary>| sources.iter().any(|source| source.failure.is_some());
    snapshot.unreachable =
        (0..trust.len()).filter(|index| snapshot.sources.get(*index).is_some_and(fails)).collect();
    snapshot.revocations = context.revocations;
    snapshot.bots = context.bots;
    snapshot.graphql_bytes = context.graphql_bytes;
    let mut steps = Steps::new(context, now, question.token.len());
    let judged = judge(question, context.admission, snapshot, &mut steps);
    answer(question, now, &steps, &judged, context.wording)
}

fn judge(
    question: &Question,
    admission: &Admission,
    mut snapshot: Snapshot<'_>,
    steps: &mut Steps<'_>,
) -> Result<Judged, Denial> {
    let prefix = admission.head.prefix().map_or("", PathPrefix::as_str);
    let policy = &admission.authorizer.policy;
    if is_for(question, policy.token_endpoint.as_deref(), prefix) {
        return judge_subject(question, admission, &mut snapshot, steps);
    }
    if is_for(question, policy.revocation_endpoint.as_deref(), prefix) {
        return judge_revocation(question, admission, &mut snapshot, steps);
    }
    let any_path = admission.head.prefix().map_or("/", PathPrefix::as_str);
    let (request, body) =
        request(question, admission.head.token_fields(), any_path).map_err(|(step, denial)| {
            steps.refused(step, &denial);
            denial
        })?;
    if question.path.is_none() {
        return admission.check_token_offline(&request.head(), &mut snapshot, steps).map(|()| Judged::Token);
    }
    let mut snapshot = Snapshot { body: &body, ..snapshot };
    let admitted = admission.admit_offline(&request.head(), &mut snapshot, steps)?;
    if let Caller::Token(token) = admitted.permit.caller()
        && !admission.head.can_send(token)
    {
        let denial = Denial::new(Reason::MalformedToken).with(OutboundHead::UNSENDABLE);
        steps.cannot_be_sent(&denial);
        return Err(denial);
    }
    Ok(Judged::Request(admitted.permit))
}

/// Whether a question is about a request to this endpoint, whose path is below `prefix`.
fn is_for(question: &Question, endpoint: Option<&str>, prefix: &str) -> bool {
    let path = question.path.as_deref().and_then(|path| path.split('?').next()?.strip_prefix(prefix));
    endpoint.is_some() && path == endpoint
}

/// Judges a question whose token would be exchanged.
fn judge_subject(
    question: &Question,
    admission: &Admission,
    snapshot: &mut Snapshot<'_>,
    steps: &mut Steps<'_>,
) -> Result<Judged, Denial> {
    let without_token = Question { token: String::new(), ..question.clone() };
    let request = request(&without_token, admission.head.token_fields(), "/").and_then(|(request, _)| {
        let is_post = *request.head().method == Method::POST;
        let denial = Denial::new(Reason::MethodNotAllowed).with("the token endpoint takes only POST");
        if is_post { Ok(request) } else { Err((Step::Request, denial)) }
    });
    let request = request.map_err(|(step, denial)| {
        steps.refused(step, &denial);
        denial
    })?;
    let subject = match question.token.trim() {
        "" => Credentials::Missing,
        token => Credentials::in_form(token),
    };
    admission.check_subject_offline(&request.head(), &subject, snapshot, steps).map(|()| Judged::Subject)
}

/// Judges a question whose token would be revoked. Whether it verifies is a step, but the response is always the same.
fn judge_revocation(
    question: &Question,
    admission: &Admission,
    snapshot: &mut Snapshot<'_>,
    steps: &mut Steps<'_>,
) -> Result<Judged, Denial> {
    let (request, _) = request(question, admission.head.token_fields(), "/").map_err(|(step, denial)| {
        steps.refused(step, &denial);
        denial
    })?;
    if *request.head().method != Method::POST {
        let denial = Denial::new(Reason::MethodNotAllowed).with("the revocation endpoint takes only POST");
        steps.refused(Step::Request, &denial);
        return Err(denial);
    }
    // The steps say what is wrong with it.
    let _ = admission.check_token_offline(&request.head(), snapshot, steps);
    Ok(Judged::Revocation)
}

/// The request with the token, and its body. A question about a token only is about no path, so any will do.
fn request(
    question: &Question,
    fields: &TokenFields,
    any_path: &str,
) -> Result<(LocalRequest, Vec<u8>), (Step, Denial)> {
    let mut headers = Fields::new();
    if !question.token.is_empty() {
        let (name, value) = fields.field_for(&question.token);
        let value = HeaderValue::try_from(value).map_err(|_| {
            let why = "the token has a line break or another control character in it";
            (Step::Credentials, Denial::new(Reason::MalformedToken).with(why))
        })?;
        headers.insert(name, value);
    }
    let bad = |why: &'static str| (Step::Request, Denial::new(Reason::BadTarget).with(why));
    if let Some(kind) = &question.content_type {
        headers.insert(
            CONTENT_TYPE,
            kind.parse::<http::HeaderValue>().map_err(|_| bad("Content-Type is not a field value"))?,
        );
    }
    let method = question.method.as_deref().unwrap_or("GET").parse::<Method>();
    let method = method.map_err(|_| bad("the method is not a token"))?;
    let request = LocalRequest::new(&method, question.path.as_deref().unwrap_or(any_path), headers)
        .map_err(|denial| (Step::Request, denial))?;
    let body = STANDARD.decode(question.body.as_deref().unwrap_or_default());
    Ok((request, body.map_err(|_| bad("the body is not base64"))?))
}

fn sources_of(entry: &TrustedIssuer, sources: &[SourceStatus]) -> Vec<SourceSummary> {
    let now = SystemTime::now();
    let summary = |source: &SourceStatus| SourceSummary {
        name: source.name.clone(),
        keys: source.usable.len(),
        age: source.age_secs(now),
        failure: source.failure.clone(),
    };
    sources.iter().filter(|source| source.entry == entry.name).map(summary).collect()
}

fn answer(
    question: &Question,
    now: NumericDate,
    steps: &Steps<'_>,
    judged: &Result<Judged, Denial>,
    wording: &Wording,
) -> Value {
    let refused = judged.as_ref().err().map(|denial| {
        let row = denial.reason.row();
        let body = challenge::body(row.status, wording.message(denial));
        json!({"status": row.status.as_u16(), "reason": denial.reason.as_str(), "detail": denial.detail, "body": body})
    });
    let reported = match judged {
        Ok(Judged::Request(permit)) => permit.would_deny(),
        Ok(Judged::Token | Judged::Subject | Judged::Revocation) | Err(_) => None,
    };
    let would_deny = reported.map(|denial| {
        let status = denial.reason.row().status.as_u16();
        json!({"status": status, "reason": denial.reason.as_str(), "detail": denial.detail})
    });
    let method = question.method.as_deref().unwrap_or("GET");
    let request = question.path.as_ref().map(|path| format!("{method} {path}"));
    let steps: Vec<_> = steps
        .list()
        .iter()
        .map(|step| json!({"step": step.name, "passed": step.passed, "detail": step.detail}))
        .collect();
    let mut answer = json!({
        "request": request,
        "time": rfc3339(now.into()),
        "steps": steps,
        "allowed": judged.is_ok(),
        "answer": refused,
        "would_deny": would_deny,
    });
    if matches!(judged, Ok(Judged::Subject)) {
        answer["token_endpoint"] = json!(true);
    }
    if matches!(judged, Ok(Judged::Revocation)) {
        answer["revocation_endpoint"] = json!(true);
    }
    answer
}

#[cfg(test)]
mod tests;
