//! One request and its response, for the audit trail, the metrics and the list of recent refusals.
//!
//! An [`Exchange`] begins when a head arrives. The steps of a request record in it what they find out. It is dropped
//! when the body of the response has ended or the client has disconnected.
//!
//! Dropping it writes exactly one audit record, unless `audit.include` leaves its decision out. Every request has one
//! exchange, so no request can end without a record.

mod client;
mod counting;
mod ending;
mod recording;
mod remember;
mod trace;
mod signalled;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri};
use tokio::time::Instant;

use crate::audit::AuditTrail;
use crate::budget::InFlight;
use crate::claims::VerifiedToken;
use crate::config::AuditedDecisions;
use crate::decision::{Caller, Denial, Permit, Route};
use crate::message::Fields;
use crate::message::field_name::USER_AGENT;
use crate::metrics::{Metrics, RequestLabels};
use crate::panics;
use crate::refusals::Refusals;
use crate::signals::Signals;
use crate::spans::{RequestTrace, Tracer};
use crate::tokens_in_use::TokensInUse;
use crate::trace_context::{TraceContext, TraceId};
use crate::upstream::RequestProgress;

/// Where exchanges are recorded, with the names from the configuration for their records.
#[derive(Debug)]
pub struct Recorder {
    /// The audit trail.
    pub audit: AuditTrail,
    /// The decisions whose requests are audited.
    pub audited: AuditedDecisions,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The last refusals.
    pub refusals: Arc<Refusals>,
    /// The tokens in use.
    pub tokens: Arc<TokensInUse>,
    /// Records spans, if they are sent anywhere.
    pub tracer: Option<Tracer>,
    /// What is known for signals; `None` if `audit.signals` is off.
    pub signals: Option<Arc<Signals>>,
    /// The names of the rules, in their order.
    pub rules: Vec<Box<str>>,
    /// The names of the issuer entries, in their order.
    pub entries: Vec<Box<str>>,
}

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    recorder: Arc<Recorder>,
    time: SystemTime,
    started: Instant,
    via: Option<&'static str>,
    method: Method,
    target: Uri,
    /// What could be read of the method and path of a head that could not be parsed.
    unread: Option<Box<(Box<str>, Box<str>)>>,
    /// Its place among the requests in flight, until the backend's response has ended or the request is refused.
    in_flight: Option<InFlight>,
    source: Option<IpAddr>,
    user_agent: Option<Bytes>,
    request_id: HeaderValue,
    /// The trace that it belongs to, if that is known.
    trace_id: Option<TraceId>,
    trace: Option<Box<RequestTrace>>,
    token: Option<Arc<VerifiedToken>>,
    system: bool,
    refused_token: Option<RefusedToken>,
    denial: Option<Denial>,
    rule: Option<usize>,
    forwarded: bool,
    /// Whether its route needs no token.
    public: bool,
    /// The fingerprint of the token that was issued.
    issued: Option<Box<str>>,
    /// The word for a request that metagate answered without a decision.
    answered: Option<&'static str>,
    waited: Duration,
    /// When it was permitted.
    permitted_at: Option<Instant>,
    /// From then to the head of the backend's response, or to its failure.
    upstream: Option<Duration>,
    status: Option<StatusCode>,
    complete: bool,
    /// Why it was ended early, or why the backend failed.
    ended: Option<Cow<'static, str>>,
    request: Option<Arc<RequestProgress>>,
    response_bytes: u64,
}

/// Unverified claims of a refused token.
#[derive(Debug, Default)]
pub struct RefusedToken {
    /// The kid that it claims.
    pub kid: Option<Box<str>>,
    /// See [`crate::jose::Fingerprint::short`].
    pub fingerprint: Option<Box<str>>,
    /// The `sub` that it claims.
    pub subject: Option<Box<str>>,
}

impl Exchange {
    /// Begins when the head of a request has arrived. Boxed, because it is passed on until the response has ended.
    pub fn begin(
        recorder: Arc<Recorder>,
        method: Method,
        target: Uri,
        headers: &Fields,
        source: Option<IpAddr>,
        request_id: HeaderValue,
    ) -> Box<Self> {
        let incoming = TraceContext::of(headers);
        let trace = recorder.tracer.as_ref().map(|tracer| Box::new(tracer.begin(incoming, &target, headers)));
        let trace_id = match &trace {
            Some(trace) => Some(trace.trace_id()),
            None => incoming.map(|context| context.trace_id),
        };
        Box::new(Self {
            recorder,
            in_flight: None,
            time: SystemTime::now(),
            started: Instant::now(),
            via: None,
            method,
            target,
            unread: None,
            source,
            user_agent: headers.get_bytes(USER_AGENT),
            request_id,
            trace_id,
            trace,
            token: None,
            system: false,
            refused_token: None,
            denial: None,
            rule: None,
            forwarded: false,
            public: false,
            issued: None,
            answered: None,
            waited: Duration::ZERO,
            permitted_at: None,
            upstream: None,
            status: None,
            complete: false,
            ended: None,
            request: None,
            response_bytes: 0,
        })
    }

    /// Begins for a head that could not be parsed, with what could be read of its method and path.
    pub fn begin_unread(
        recorder: Arc<Recorder>,
        method: &str,
        path: &str,
        source: Option<IpAddr>,
        request_id: HeaderValue,
    ) -> Box<Self> {
        let headers = Fields::new();
        let mut exchange =
            Self::begin(recorder, Method::default(), Uri::default(), &headers, source, request_id);
        exchange.unread = Some(Box::new((method.into(), path.into())));
        exchange
    }

    /// Sets its place among the requests in flight.
    pub fn set_place(&mut self, place: InFlight) {
        self.in_flight = Some(place);
    }

    /// Its place among the requests in flight.
    pub fn place(&mut self) -> Option<&mut InFlight> {
        self.in_flight.as_mut()
    }

    /// The request ID, for the response and for the backend.
    pub fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }

    fn request_id_text(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// Records that another proxy asks only for the decision: nothing is forwarded.
    pub fn via_forward_auth(&mut self) {
        self.via = Some("forward_auth");
    }

    /// Records the client address, according to trusted proxies.
    pub fn set_source(&mut self, source: Option<IpAddr>) {
        self.source = source;
    }

    /// The client address.
    pub fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// Records a token that was refused.
    pub fn refused_token(&mut self, token: RefusedToken) {
        self.refused_token = Some(token);
    }

    /// Records the decision to forward, of which `waited` was spent waiting for keys or the body.
    pub fn permitted(&mut self, permit: &Permit, waited: Duration) {
        self.waited = waited;
        self.permitted_at = Some(self.count_overhead());
        self.public = permit.route() == Route::Public;
        self.rule = permit.rule();
        self.denial = permit.would_deny().cloned();
        self.forwarded = true;
        match permit.caller() {
            Caller::Token(token) => self.token = Some(token.clone()),
            Caller::DatahubSystem => self.system = true,
            Caller::Anonymous | Caller::SessionCookie => {}
        }
        // Counted now and not when the response has ended: the request would have been refused, however it ends.
        if let Some(denial) = permit.would_deny() {
            self.count_would_deny(denial);
        }
    }

    /// Records a refusal, or a failure of the backend.
    pub fn denied(&mut self, denial: Denial) {
        if !self.forwarded {
            let _ = self.count_overhead();
        }
        self.upstream_ended();
        // A response that waits only for the client must not take the place of other requests.
        self.in_flight = None;
        self.forwarded = false;
        self.rule = denial.rule;
        self.denial = Some(denial);
    }

    /// Records the verified token, also for a request that is refused.
    pub fn set_token(&mut self, token: Arc<VerifiedToken>) {
        self.token = Some(token);
    }

    /// Records the request's body.
    pub fn set_request_body(&mut self, progress: Arc<RequestProgress>) {
        self.request = Some(progress);
    }

    /// How much of the request's body was read.
    pub fn request_bytes(&self) -> u64 {
        self.request.as_ref().map_or(0, |request| request.bytes())
    }

    /// Records the status of the response.
    pub fn set_status(&mut self, status: StatusCode) {
        if self.forwarded && self.via.is_none() {
            self.recorder.metrics.upstream_response(status);
            self.upstream_ended();
        }
        self.status = Some(status);
    }

    /// Records that the response has more than one frame. Returns whether there is room for the memory that it takes;
    /// otherwise the response has to end.
    pub fn streams_response(&mut self) -> bool {
        let is_over = self.in_flight.as_mut().is_some_and(|place| place.streams().is_err());
        if is_over {
            self.ended =
                Some("ended: more memory of this client address than its share (limits.memory)".into());
        }
        !is_over
    }
}

/// The fields that the audit record, the metrics and the status page share.
struct Summary<'a> {
    decision: &'static str,
    reason: Option<&'static str>,
    detail: Option<&'a str>,
    rule: Option<&'a str>,
    issuer: Option<&'a str>,
    principal: Option<&'a str>,
    method: &'a str,
    path: Cow<'a, str>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.in_flight = None;
        if let Some(panicked) = panics::ending() {
            (self.ended, self.complete) = (Some(panicked.into()), false);
        }
        let duration = self.started.elapsed();
        if let Some(token) = &self.token {
            self.recorder.tokens.request(token, self.time);
        }
        let trace = self.trace.take();
        let summary = self.summary();
        self.remember(&summary);
        let signals = self.signals(&summary);
        self.record(&summary, signals, duration);
        if let Some(trace) = trace {
            self.trace(*trace, &summary, duration);
        }
        let labels = RequestLabels {
            decision: summary.decision,
            reason: summary.reason.unwrap_or_default(),
            issuer: summary.issuer.unwrap_or_default(),
            rule: summary.rule.unwrap_or_default(),
        };
        self.recorder.metrics.request(&labels, duration);
    }
}
