//! W3C Trace Context: which trace a request belongs to (<https://www.w3.org/TR/trace-context/>).

use http::HeaderValue;

use crate::digest::write_hex;
use crate::message::Fields;
use crate::message::field_name::TRACEPARENT;

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// Where its dashes are.
const DASHES: [usize; 3] = [2, 35, 52];
/// The flags that are passed on: sampled, and random trace ID (level 2). Others must be cleared (section 3.2.2.5).
const KNOWN_FLAGS: u8 = 0b11;

/// The bytes of a trace ID; never all zero.
pub type TraceId = [u8; 16];
/// The bytes of a span ID; never all zero.
pub type SpanId = [u8; 8];

/// The content of a valid `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that sends the request.
    pub parent_id: SpanId,
    /// Flags that have a meaning here.
    pub flags: u8,
}

impl TraceContext {
    /// The flag of traces that are recorded.
    pub const SAMPLED: u8 = 1;

    /// The context in these fields; `None` if there is no valid one. Two `traceparent` fields are not valid (section
    /// 3.2.1), as neither of them is known to be the right one.
    pub fn of(headers: &Fields) -> Option<Self> {
        Self::parse(headers.only(TRACEPARENT)?.as_bytes())
    }

    /// Reads a `traceparent` (section 3.2.2). Of a version after 00 only the known part is read.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let version = octet(known.get(..2)?)?;
        let ends = match version {
            0 => rest.is_empty(),
            // Section 3.2.2.1.
            0xff => false,
            _ => rest.first().is_none_or(|next| *next == b'-'),
        };
        let is_divided = DASHES.iter().all(|at| known.get(*at) == Some(&b'-'));
        let context = Self {
            trace_id: octets(known.get(3..35)?)?,
            parent_id: octets(known.get(36..52)?)?,
            flags: octet(known.get(53..)?)? & KNOWN_FLAGS,
        };
        let is_valid = ends && is_divided && context.trace_id != [0; 16] && context.parent_id != [0; 8];
        is_valid.then_some(context)
    }

    /// Whether the sender records the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & Self::SAMPLED != 0
    }

    /// The `traceparent` with this context, of version 00.
    pub fn to_header(self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let parts = [(3..35, &self.trace_id[..]), (36..52, &self.parent_id), (53..55, &[self.flags])];
        for (place, octets) in parts {
            if let Some(digits) = text.get_mut(place) {
                write_hex(octets, digits);
            }
        }
        // Digits and dashes are valid in a field.
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// A trace ID in hex.
#[derive(Clone, Copy, Debug)]
pub struct TraceIdText([u8; 32]);

impl TraceIdText {
    /// Lower-case digits, as in `traceparent`.
    pub fn of(id: &TraceId) -> Self {
        let mut text = [0; 32];
        write_hex(id, &mut text);
        Self(text)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn octets<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut octets = [0; N];
    for (place, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        *place = octet(pair)?;
    }
    Some(octets)
}

/// Two lower-case hex digits. Others are not valid (section 3.2.2.2).
fn octet(pair: &[u8]) -> Option<u8> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let [high, low] = *pair else { return None };
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::test_support::fields;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_traceparent_is_read_and_written() {
        let context = TraceContext::parse(VALID.as_bytes()).unwrap();
        assert_eq!(TraceIdText::of(&context.trace_id).as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent_id, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert!(context.is_sampled());
        assert_eq!(context.to_header(), VALID);
        let unsampled = TraceContext::parse(VALID.replace("-01", "-02").as_bytes()).unwrap();
        assert!(!unsampled.is_sampled());
        assert_eq!(unsampled.to_header(), VALID.replace("-01", "-02"), "a random trace ID stays one");
    }

    #[test]
    fn unknown_flags_are_cleared() {
        let context = TraceContext::parse(VALID.replace("-01", "-fd").as_bytes()).unwrap();
        assert_eq!(context.to_header(), VALID);
    }

    #[test]
    fn a_later_version_may_have_more() {
        for text in [VALID.replace("00-4", "01-4"), VALID.replace("00-4", "cc-4") + "-what-comes"] {
            assert_eq!(TraceContext::parse(text.as_bytes()).unwrap().to_header(), VALID, "{text}");
        }
    }

    #[test]
    fn what_is_not_valid_is_no_context() {
        let with = |from: &str, to: &str| VALID.replacen(from, to, 1);
        for text in [
            String::new(),
            VALID[..54].to_owned(),
            format!("{VALID}0"),
            format!("{VALID}-00"),
            with("00-4", "ff-4"),
            with("00-4", "0-44"),
            with("00-4", "01-4") + "0",
            with("4bf92f", "4BF92F"),
            with("4bf92f", "4gf92f"),
            with("4736-", "4736+"),
            with("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            with("00f067aa0ba902b7", "0000000000000000"),
            with("-01", "-0x"),
            VALID.replace('-', "_"),
            "0".repeat(55),
            "é".repeat(30),
        ] {
            assert_eq!(TraceContext::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn only_one_field_counts() {
        assert!(TraceContext::of(&fields(&[("traceparent", VALID)])).is_some());
        assert_eq!(TraceContext::of(&fields(&[("traceparent", VALID), ("traceparent", VALID)])), None);
        assert_eq!(TraceContext::of(&fields(&[])), None);
    }
}
