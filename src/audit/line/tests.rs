//! The line of a record is what serde writes.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde::Serialize;
use serde_json::json;

use super::*;
use crate::audit::UnverifiedCaller;
use crate::signals::Signal;
use crate::test_support::verified;

/// The same record for serde.
#[derive(Serialize)]
struct SerdeRecord<'r> {
    time: String,
    event: &'static str,
    request_id: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'static str>,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    complete: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    public: bool,
    method: &'r str,
    path: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_subject: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_fingerprint: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_fingerprint: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signals: Vec<&'static str>,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_ms: Option<f64>,
    request_bytes: u64,
    response_bytes: u64,
}

fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

fn by_serde(record: &AuditRecord<'_>) -> String {
    let (token, other) = match record.caller {
        AuditedCaller::Token(token) => (Some(token), UnverifiedCaller::default()),
        AuditedCaller::Unverified(caller) => (None, caller),
    };
    let record = SerdeRecord {
        time: humantime::format_rfc3339_millis(record.time).to_string(),
        event: record.event,
        request_id: record.request_id,
        trace_id: record.trace_id,
        via: record.via,
        decision: record.decision,
        reason: record.reason,
        detail: record.detail,
        rule: record.rule,
        status: record.status,
        complete: record.complete,
        public: record.public,
        method: record.method,
        path: record.path,
        principal: token.map(VerifiedToken::principal).or(other.principal),
        claimed_subject: other.claimed_subject,
        token_class: token.map(|token| token.class().as_str()),
        issuer: token.map(VerifiedToken::entry).or(other.issuer),
        kid: token.and_then(VerifiedToken::kid).or(other.kid),
        token_fingerprint: token.map(|token| token.fingerprint().short()).or(other.token_fingerprint),
        issued_token_fingerprint: record.issued_token_fingerprint,
        client: record.client,
        source_address: record.source_address,
        signals: record.signals.iter().map(Signal::as_str).collect(),
        duration_ms: rounded(record.duration),
        upstream_ms: record.upstream.map(rounded),
        request_bytes: record.request_bytes,
        response_bytes: record.response_bytes,
    };
    serde_json::to_string(&record).unwrap() + "\n"
}

fn by_hand(dates: &mut DateText, record: &AuditRecord<'_>) -> String {
    let mut line = b"before\n".to_vec();
    write(&mut line, dates.at(record.time).unwrap(), record);
    String::from_utf8(line).unwrap().strip_prefix("before\n").unwrap().to_owned()
}

/// Texts with everything that JSON escapes, and with characters that it need not escape.
fn text() -> impl Strategy<Value = String> {
    let characters = prop_oneof![
        4 => "[ -~]",
        2 => "[\\x00-\\x1f]",
        1 => prop::sample::select(vec!["\"", "\\", "/", "\u{7f}", "\u{80}", "\u{2028}", "\u{2029}", "\u{202e}"])
            .prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    let hostile = prop::collection::vec(characters, 0..40).prop_map(|parts| parts.concat());
    prop_oneof![hostile, "[a-zA-Z0-9/._-]{0,80}"]
}

fn optional_text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(text())
}

/// Durations of up to a year whose distance from half a microsecond is more than the error of a float.
fn duration() -> impl Strategy<Value = Duration> {
    let nanos = prop_oneof![0..10_000_u64, 0..100_000_000_u64, 0..31_536_000_000_000_000_u64];
    let nanos = nanos.prop_filter("a tie", |nanos| !(490..=510).contains(&(nanos % 1000)));
    let whole = (0..31_536_000_000_u64).prop_map(|millis| millis * 1_000_000);
    prop_oneof![4 => nanos, 1 => whole].prop_map(Duration::from_nanos)
}

/// The texts of a record that are not static.
type Texts = ((String, String, String), [Option<String>; 8]);

fn texts() -> impl Strategy<Value = Texts> {
    ((text(), text(), text()), prop::array::uniform8(optional_text()))
}

/// The rest of a record.
type Numbers = (u64, Duration, Option<u16>, bool, Option<IpAddr>, u64, u64);

fn numbers() -> impl Strategy<Value = Numbers> {
    let bytes = || prop_oneof![0..2000_u64, any::<u64>()];
    let millis = prop_oneof![1_800_000_000_000..1_800_000_003_000_u64, 0..253_402_300_800_000_u64];
    let addresses = prop::option::of(any::<IpAddr>());
    (millis, duration(), prop::option::of(any::<u16>()), any::<bool>(), addresses, bytes(), bytes())
}

fn record<'r>(texts: &'r Texts, numbers: &Numbers, caller: Option<&'r VerifiedToken>) -> AuditRecord<'r> {
    let ((request_id, method, path), optional) = texts;
    let [trace_id, rule, client, principal, claimed_subject, issuer, kid, fingerprint] =
        optional.each_ref().map(Option::as_deref);
    let (millis, duration, status, complete, source_address, request_bytes, response_bytes) = *numbers;
    let unverified =
        UnverifiedCaller { principal, claimed_subject, issuer, kid, token_fingerprint: fingerprint };
    AuditRecord {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(millis),
        event: "request",
        request_id,
        trace_id,
        via: complete.then_some("forward_auth"),
        decision: "deny",
        reason: status.map(|_| "expired"),
        detail: client.map(|_| "a \"detail\"\n"),
        rule,
        status,
        complete,
        public: request_bytes % 2 == 0,
        method,
        path,
        caller: caller.map_or(AuditedCaller::Unverified(unverified), AuditedCaller::Token),
        issued_token_fingerprint: kid,
        client,
        source_address,
        signals: Signal::ALL
            .into_iter()
            .filter(|signal| request_bytes >> *signal as u8 & 1 == 1)
            .fold(SignalSet::default(), SignalSet::with),
        duration,
        upstream: status
            .map(|_| duration / 2)
            .filter(|half| !(490..=510).contains(&(half.as_nanos() % 1000))),
        request_bytes,
        response_bytes,
    }
}

proptest! {
    #[test]
    fn lines_are_what_serde_writes(texts in texts(), numbers in prop::collection::vec(numbers(), 1..4)) {
        let mut dates = DateText::default();
        for numbers in &numbers {
            let record = record(&texts, numbers, None);
            prop_assert_eq!(by_hand(&mut dates, &record), by_serde(&record));
        }
    }

    #[test]
    fn members_of_tokens_are_what_serde_writes(
        principal in "[^\\pC]{1,40}",
        texts in texts(),
        numbers in prop::collection::vec(numbers(), 1..4),
    ) {
        let token = verified(json!({"sub": principal}));
        let mut dates = DateText::default();
        // More than once, because they are kept.
        for numbers in &numbers {
            let record = record(&texts, numbers, Some(&token));
            prop_assert_eq!(by_hand(&mut dates, &record), by_serde(&record));
        }
    }

    #[test]
    fn halves_of_a_microsecond_round_up(micros in 0..1_000_000_000_u64) {
        let mut line = Vec::new();
        milliseconds(&mut line, Duration::from_nanos(micros * 1000 + 500));
        let text = String::from_utf8(line).unwrap();
        prop_assert_eq!(text, serde_json::to_string(&((micros + 1) as f64 / 1000.0)).unwrap());
    }
}

#[test]
fn every_character_of_one_byte_is_escaped_as_by_serde() {
    for byte in 0..0x80_u8 {
        let text = format!("a{}b", char::from(byte));
        let mut line = Vec::new();
        string(&mut line, ",\"a\":\"", &text);
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line.strip_prefix(",\"a\":").unwrap(), serde_json::to_string(&text).unwrap());
    }
}

#[test]
fn numbers_have_all_their_digits() {
    for number in [0, 9, 10, 99, 100, 12_345, u64::MAX] {
        let mut line = Vec::new();
        super::number(&mut line, number);
        assert_eq!(String::from_utf8(line).unwrap(), number.to_string());
    }
}
