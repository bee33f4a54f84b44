//! The part of an exchange in a distributed trace. Without a [`Tracer`](crate::spans::Tracer) there is none, and the
//! client's `traceparent` goes on as it came.

use std::time::Duration;

use http::Version;

use super::{Exchange, Summary};
use crate::message::Fields;
use crate::spans::{CallTimes, EndedRequest, RequestTrace};

impl Exchange {
    /// Records the version of HTTP, and whether the request came over TLS.
    pub fn set_protocol(&mut self, version: Version, tls: bool) {
        if let Some(trace) = &mut self.trace {
            trace.set_protocol(version, tls);
        }
    }

    /// Sets the context of the trace in the fields of the request to the backend. `path` is where that goes.
    pub fn propagate(&mut self, headers: &mut Fields, path: &str) {
        if let Some(trace) = &mut self.trace {
            trace.call_backend(headers, path);
        }
    }

    /// Adds the spans to the queue.
    pub(super) fn trace(&self, trace: RequestTrace, summary: &Summary<'_>, duration: Duration) {
        let Some(tracer) = &self.recorder.tracer else { return };
        let status = self.status.map(|status| status.as_u16());
        let record = trace.finish(
            tracer,
            EndedRequest {
                began: self.time,
                duration,
                method: summary.method,
                path: &summary.path,
                client: self.source,
                user_agent: self.user_agent.clone(),
                request_id: self.request_id_text(),
                status,
                decision: summary.decision,
                reason: summary.reason,
                issuer: summary.issuer,
                rule: summary.rule,
                via: self.via,
                complete: self.complete,
                call: self.permitted_at.map(|permitted| {
                    let after = permitted - self.started;
                    CallTimes {
                        after,
                        duration: self.upstream.unwrap_or(duration.saturating_sub(after)),
                        status: status.filter(|_| self.forwarded),
                        failure: summary.reason.filter(|_| !self.forwarded),
                    }
                }),
            },
        );
        if let Some(record) = record {
            tracer.add(record);
        }
    }
}
