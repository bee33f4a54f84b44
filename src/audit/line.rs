//! One record as a line of JSON. It is written by hand: a serializer needs several times the work, and cannot copy the
//! members of a token, which are written only once. The tests compare it with what serde writes.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use wide::u8x16;

use super::{AuditRecord, AuditedCaller};
use crate::claims::VerifiedToken;
use crate::message::Decimal;
use crate::octets::{self, between, equal};
use crate::signals::SignalSet;

/// The name of a member that is a string, and the opening quote.
macro_rules! name {
    ($name:literal) => {
        concat!(",\"", $name, "\":\"")
    };
}

/// Adds a record and the end of its line. `date` is the text of its time.
pub(super) fn write(line: &mut Vec<u8>, date: &Date, record: &AuditRecord<'_>) {
    line.extend_from_slice(b"{\"time\":\"");
    line.extend_from_slice(date);
    line.push(b'"');
    string(line, name!("event"), record.event);
    string(line, name!("request_id"), record.request_id);
    optional(line, name!("trace_id"), record.trace_id);
    optional(line, name!("via"), record.via);
    string(line, name!("decision"), record.decision);
    optional(line, name!("reason"), record.reason);
    optional(line, name!("detail"), record.detail);
    optional(line, name!("rule"), record.rule);
    if let Some(status) = record.status {
        line.extend_from_slice(b",\"status\":");
        number(line, status.into());
    }
    line.extend_from_slice(if record.complete { b",\"complete\":true" } else { b",\"complete\":false" });
    if record.public {
        line.extend_from_slice(b",\"public\":true");
    }
    string(line, name!("method"), record.method);
    string(line, name!("path"), record.path);
    match record.caller {
        AuditedCaller::Token(token) => {
            line.extend_from_slice(token.audit_members(write_token).as_bytes());
        }
        AuditedCaller::Unverified(caller) => {
            optional(line, name!("principal"), caller.principal);
            optional(line, name!("claimed_subject"), caller.claimed_subject);
            optional(line, name!("issuer"), caller.issuer);
            optional(line, name!("kid"), caller.kid);
            optional(line, name!("token_fingerprint"), caller.token_fingerprint);
        }
    }
    optional(line, name!("issued_token_fingerprint"), record.issued_token_fingerprint);
    optional(line, name!("client"), record.client);
    source_address(line, record.source_address);
    signals(line, record.signals);
    line.extend_from_slice(b",\"duration_ms\":");
    milliseconds(line, record.duration);
    if let Some(upstream) = record.upstream {
        line.extend_from_slice(b",\"upstream_ms\":");
        milliseconds(line, upstream);
    }
    line.extend_from_slice(b",\"request_bytes\":");
    number(line, record.request_bytes);
    line.extend_from_slice(b",\"response_bytes\":");
    number(line, record.response_bytes);
    line.extend_from_slice(b"}\n");
}

/// The members that depend only on the token.
fn write_token(token: &VerifiedToken) -> Box<str> {
    let mut members = Vec::new();
    string(&mut members, name!("principal"), token.principal());
    string(&mut members, name!("token_class"), token.class().as_str());
    string(&mut members, name!("issuer"), token.entry());
    if let Some(user) = token.mapped_user() {
        optional(&mut members, name!("subject"), token.subject());
        string(&mut members, name!("exchange"), &user.entry);
    }
    optional(&mut members, name!("kid"), token.kid());
    string(&mut members, name!("token_fingerprint"), token.fingerprint().short());
    // Only strings and ASCII were added.
    String::from_utf8(members).unwrap_or_default().into()
}

fn optional(line: &mut Vec<u8>, name: &'static str, text: Option<&str>) {
    if let Some(text) = text {
        string(line, name, text);
    }
}

fn string(line: &mut Vec<u8>, name: &'static str, text: &str) {
    line.extend_from_slice(name.as_bytes());
    if octets::has_none(text.as_bytes(), must_be_escaped) {
        line.extend_from_slice(text.as_bytes());
    } else {
        text.bytes().for_each(|byte| escape(line, byte));
    }
    line.push(b'"');
}

fn must_be_escaped(octets: u8x16) -> u8x16 {
    between(octets, 0, 0x1f) | equal(octets, b'"') | equal(octets, b'\\')
}

/// RFC 8259 section 7. Escapes only what must be escaped.
fn escape(line: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        0x20.. => return line.push(byte),
        _ => {
            line.extend_from_slice(b"\\u00");
            return line.extend([byte >> 4, byte & 15].map(hex_digit));
        }
    };
    line.extend_from_slice(&[b'\\', short]);
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// An array of words, which need no escaping.
fn signals(line: &mut Vec<u8>, signals: SignalSet) {
    if signals.is_empty() {
        return;
    }
    let mut before: &[u8] = b",\"signals\":[\"";
    for signal in signals.iter() {
        line.extend_from_slice(before);
        line.extend_from_slice(signal.as_str().as_bytes());
        before = b"\",\"";
    }
    line.extend_from_slice(b"\"]");
}

fn source_address(line: &mut Vec<u8>, address: Option<IpAddr>) {
    let Some(address) = address else { return };
    line.extend_from_slice(name!("source_address").as_bytes());
    match address {
        IpAddr::V4(address) => {
            let [first, others @ ..] = address.octets();
            number(line, first.into());
            for octet in others {
                line.push(b'.');
                number(line, octet.into());
            }
        }
        // Writing to a `Vec` does not fail.
        IpAddr::V6(address) => drop(write!(line, "{address}")),
    }
    line.push(b'"');
}

/// Milliseconds with up to three decimal places, and at least one.
fn milliseconds(line: &mut Vec<u8>, duration: Duration) {
    let microseconds = u64::try_from((duration.as_nanos() + 500) / 1000).unwrap_or(u64::MAX);
    number(line, microseconds / 1000);
    line.push(b'.');
    let fraction = microseconds % 1000;
    let mut rest = fraction;
    for unit in [100, 10, 1] {
        line.push(digit(rest / unit));
        rest %= unit;
        if rest == 0 {
            break;
        }
    }
}

fn number(line: &mut Vec<u8>, value: u64) {
    match value {
        0..10 => line.push(digit(value)),
        10..100 => line.extend_from_slice(&[digit(value / 10), digit(value)]),
        100..1000 => line.extend_from_slice(&[digit(value / 100), digit(value / 10), digit(value)]),
        _ => line.extend_from_slice(Decimal::of(value).as_bytes()),
    }
}

/// The digit of a number below ten.
fn digit(number: u64) -> u8 {
    b'0' + (number % 10) as u8
}

/// A time in the format of RFC 3339, with milliseconds.
pub(super) type Date = [u8; 24];

/// The text of the current second, which most records share.
#[derive(Debug, Default)]
pub(super) struct DateText {
    second: Option<u64>,
    text: Date,
}

impl DateText {
    /// The text of this time; `None` before 1970 and after 9999.
    pub(super) fn at(&mut self, time: SystemTime) -> Option<&Date> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        if self.second != Some(since.as_secs()) {
            let mut text = String::new();
            write!(text, "{}", humantime::format_rfc3339_millis(time)).ok()?;
            self.text = text.as_bytes().try_into().ok()?;
            self.second = Some(since.as_secs());
        }
        let millis = u64::from(since.subsec_millis());
        let [.., hundreds, tens, ones, _] = &mut self.text;
        (*hundreds, *tens, *ones) = (digit(millis / 100), digit(millis / 10), digit(millis));
        Some(&self.text)
    }
}

#[cfg(test)]
mod tests;
