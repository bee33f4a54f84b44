//! The signals of an exchange.

use std::net::IpAddr;

use super::{Exchange, Summary, client};
use crate::claims::VerifiedToken;
use crate::decision::Reason;
use crate::signals::{self, Sighting, SignalSet, Signals};

impl Exchange {
    /// Counts and returns what is unusual about it.
    pub(super) fn signals(&self, summary: &Summary<'_>) -> SignalSet {
        let Some(signals) = &self.recorder.signals else { return SignalSet::default() };
        let token = self.token.as_deref();
        let mut found = SignalSet::default();
        if let Some(token) = token.filter(|token| token.is_of_program()) {
            found = self.signals_of_program(signals, token);
        }
        if let Some(source) = self.source.filter(|_| self.is_suspicious(summary)) {
            found = found.and(signals.of_refusal(source, token, (self.time, self.started.into_std())));
        }
        found.iter().for_each(|signal| self.recorder.metrics.signal(signal));
        found
    }

    fn signals_of_program(&self, signals: &Signals, token: &VerifiedToken) -> SignalSet {
        let mark = signals.mark(self.source, self.user_agent.as_deref(), self.time);
        if token.sightings().has(mark) {
            return SignalSet::default();
        }
        let products = self.user_agent.as_ref().and_then(|value| client::products(value));
        let source: Option<IpAddr> = self.source;
        let sighting = Sighting { token, source, client: products.as_deref(), time: self.time };
        let found = signals.of_program(&sighting);
        token.sightings().remember(mark, |before| signals::is_past(before, self.time));
        found
    }

    /// Whether the refusal suggests probing. Missing and expired tokens do not: a user interface whose session has ended
    /// causes them. Neither does overload.
    fn is_suspicious(&self, summary: &Summary<'_>) -> bool {
        let is_harmless = |reason| matches!(reason, Reason::MissingToken | Reason::Expired);
        matches!(summary.decision, "deny" | "would_deny")
            && self.denial.as_ref().is_some_and(|denial| {
                matches!(denial.reason.row().status.as_u16(), 400 | 401 | 403) && !is_harmless(denial.reason)
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use http::{HeaderValue, Method, Uri};
    use serde_json::{Value, json};

    use super::*;
    use crate::audit::{AuditTrail, AuditWriter};
    use crate::claims::{MappedUser, Mapping};
    use crate::decision::Denial;
    use crate::exchange::Recorder;
    use crate::message::Fields;
    use crate::metrics::{ExpositionFormat, Metrics};
    use crate::signals::Signal;
    use crate::test_support::verified;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn token(mapping: Mapping) -> Arc<VerifiedToken> {
        Arc::new(verified(json!({})).mapped(mapping))
    }

    fn program() -> Arc<VerifiedToken> {
        let user = MappedUser { index: 0, entry: "ci".into(), user: "ingestion-bot".into(), email: None };
        token(Mapping::User(Arc::new(user)))
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    /// Records requests of a program that has been known for three days, from 192.0.2.1 with `metadata/1`.
    struct Recording {
        token: Arc<VerifiedToken>,
        recorder: Arc<Recorder>,
        signals: Arc<Signals>,
        metrics: Arc<Metrics>,
        writer: AuditWriter,
        written: Written,
    }

    impl Recording {
        fn start(token: &Arc<VerifiedToken>) -> Self {
            let (metrics, written) = (Arc::new(Metrics::new()), Written::default());
            let (audit, writer) = AuditTrail::start(written.clone(), metrics.clone()).unwrap();
            let earlier = now() - Duration::from_secs(3 * 24 * 3_600);
            let signals = Arc::new(Signals::new(earlier));
            let recorder = Recorder::plain(audit, metrics.clone());
            let recorder = Arc::new(Recorder { signals: Some(signals.clone()), ..recorder });
            let recording = Self { token: token.clone(), recorder, signals, metrics, writer, written };
            assert!(recording.sees([192, 0, 2, 1], earlier).is_empty(), "it learns");
            recording
        }

        /// Looks up another use of the program's token.
        fn sees(&self, source: [u8; 4], time: SystemTime) -> SignalSet {
            let (token, source) = (&*self.token, Some(source.into()));
            self.signals.of_program(&Sighting { token, source, client: Some("metadata/1"), time })
        }

        fn request(&self, source: &str, client: &str, refused: Option<Reason>) {
            let mut headers = Fields::new();
            headers.insert(crate::message::field_name::USER_AGENT, HeaderValue::from_str(client).unwrap());
            let (source, id) = (Some(source.parse().unwrap()), HeaderValue::from_static("1"));
            let recorder = self.recorder.clone();
            let mut exchange = Exchange::begin(recorder, Method::GET, Uri::default(), &headers, source, id);
            // All in the same minute.
            exchange.time = now();
            exchange.set_token(self.token.clone());
            if let Some(reason) = refused {
                exchange.denied(Denial::new(reason));
            }
        }

        /// The signals of each request, as the audit records have them, and the metrics.
        fn end(self) -> (Vec<Value>, String) {
            let Self { recorder, metrics, writer, written, .. } = self;
            drop((recorder, writer));
            let bytes = written.0.lock().unwrap().clone();
            let records = String::from_utf8(bytes).unwrap();
            let signals = records
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["signals"].take())
                .collect();
            (signals, metrics.encode(ExpositionFormat::Text))
        }
    }

    fn signals_of(
        token: &Arc<VerifiedToken>,
        requests: &[(&str, &str, Option<Reason>)],
    ) -> (Vec<Value>, String) {
        let recording = Recording::start(token);
        for (source, client, refused) in requests {
            recording.request(source, client, *refused);
        }
        recording.end()
    }

    #[test]
    fn unusual_requests_of_a_program_are_marked_and_counted_once() {
        let (found, metrics) = signals_of(
            &program(),
            &[
                ("192.0.2.7", "metadata/1.5 (linux)", None),
                ("203.0.113.9", "curl/8", Some(Reason::InsufficientPermissions)),
                ("203.0.113.9", "curl/8", None),
                ("203.0.113.10", "metadata/1.5 (linux)", None),
            ],
        );
        assert_eq!(found[0], Value::Null);
        assert_eq!(found[1], json!(["new_network", "new_client", "two_networks"]));
        assert_eq!(found[2..], [Value::Null, Value::Null]);
        for (signal, count) in [
            (Signal::NewNetwork, 1),
            (Signal::NewClient, 1),
            (Signal::TwoNetworks, 1),
            (Signal::RefusalBurst, 0),
        ] {
            let line = format!("metagate_signals_total{{signal=\"{}\"}} {count}\n", signal.as_str());
            assert!(metrics.contains(&line), "{line}");
        }
    }

    #[test]
    fn people_have_no_signals() {
        let requests = [("192.0.2.7", "firefox/1", None), ("203.0.113.9", "curl/8", None)];
        assert_eq!(signals_of(&token(Mapping::None), &requests).0, [Value::Null, Value::Null]);
    }

    #[test]
    fn a_request_like_one_before_is_not_looked_up() {
        let recording = Recording::start(&program());
        recording.sees([192, 0, 2, 1], now());
        recording.request("203.0.113.9", "metadata/1", None);
        // As if the program had come from two networks two days ago, and not since. So every look-up of another request
        // in this minute would find `two_networks`.
        let earlier = now() - Duration::from_secs(2 * 24 * 3_600);
        recording.sees([198, 51, 100, 1], earlier);
        recording.sees([198, 51, 101, 1], earlier);
        recording.request("203.0.113.9", "metadata/1", None);
        // It is looked up, because its client is another one.
        recording.request("203.0.113.9", "metadata/2", None);
        let (found, _) = recording.end();
        assert_eq!(found, [json!(["new_network", "two_networks"]), Value::Null, json!(["two_networks"])]);
    }

    #[test]
    fn refusals_that_a_user_interface_or_load_causes_are_no_burst() {
        for (reason, bursts) in [
            (Reason::MissingToken, 0),
            (Reason::Expired, 0),
            (Reason::Overloaded, 0),
            (Reason::InvalidSignature, 1),
            (Reason::InsufficientPermissions, 1),
        ] {
            let requests = vec![("203.0.113.9", "curl/8", Some(reason)); 60];
            let (found, _) = signals_of(&token(Mapping::None), &requests);
            let marked = found.iter().filter(|signals| **signals == json!(["refusal_burst"])).count();
            assert_eq!(marked, bursts, "{reason:?}");
        }
    }
}
