//! The part of a refused request that its fault is about, to tell operators.
//!
//! Nothing is decided here: a request that was refused is looked at again. Values that could be secret are not part of
//! a place: those of the query, and those of fields that carry no framing and no host.

use http::Uri;

use super::field_name::{OTHER_FRAMING, looks_like_framing};
use super::framing::{BOTH_FRAMINGS, NOT_A_LENGTH, NOT_CHUNKED};
use super::grammar::{is_path_octet, is_query_octet, is_tchar};
use super::host::{MANY_HOSTS, NOT_A_HOST, OTHER_HOST, check_authority};
use super::target::REWRITTEN;
use super::{FieldList, HeadScanner, http2_head};
use crate::message::field_name::HOST;
use crate::message::{FieldValue, Fields};

mod path;

/// A part of a request. Positions count octets, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPlace<'h> {
    /// These octets of the path, as it was received.
    Path {
        /// The position of the first.
        at: usize,
        /// The octets.
        octets: &'h [u8],
    },
    /// The octet at this position of the query.
    Query(usize),
    /// An octet of the head of an HTTP/1 request.
    Line {
        /// The line, from 1; the request line is the first.
        number: usize,
        /// The position in the line.
        at: usize,
        /// The octet.
        octet: u8,
    },
    /// The field with this name.
    Field(&'h [u8]),
    /// The field with this name, because of this value.
    Value(&'h [u8], &'h [u8]),
    /// The host of the target.
    Authority(&'h str),
}

impl<'h> FaultPlace<'h> {
    /// The place in an HTTP/1 head that was refused with this text while it was read. `bytes` is what has arrived of it.
    pub fn in_http1(why: &str, scanner: &HeadScanner, bytes: &'h [u8]) -> Option<Self> {
        let seen = scanner.seen();
        let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0).min(seen);
        let mut read = bytes.get(start..seen)?;
        if matches!(why, NOT_A_LENGTH | NOT_CHUNKED | BOTH_FRAMINGS) {
            // The end of this field was read too.
            read = read.trim_ascii_end();
        }
        let line_start = read.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let number = 1 + read.iter().filter(|byte| **byte == b'\n').count();
        let line = read.get(line_start..)?;
        if number > 1
            && let Some(colon) = line.iter().position(|byte| *byte == b':')
        {
            let (name, value) = line.split_at_checked(colon)?;
            // A colon is read only after a whole name.
            return Some(Self::of_field(name, value.get(1..)?.trim_ascii()));
        }
        let octet = *bytes.get(seen)?;
        if number == 1 && is_tchar(octet) && !line.contains(&b' ') {
            // The method is too long, whatever the octet is.
            return None;
        }
        let method = scanner.method_of(bytes);
        let target = scanner.target_of(bytes);
        if number == 1 && octet == b' ' {
            // The end of a target that is none.
            return None;
        }
        let in_target =
            number == 1 && target.starts_with(b"/") && method.len() + 1 + target.len() == line.len();
        if in_target {
            return Self::in_target(bytes.get(..=seen)?.get(start + method.len() + 1..)?);
        }
        Some(Self::Line { number, at: line.len() + 1, octet })
    }

    /// The place in an HTTP/2 head that was refused with this text.
    pub fn in_http2(why: &str, list: &'h FieldList) -> Option<Self> {
        for (name, value) in list.iter() {
            match name.first() {
                Some(b':') if name == b":path" && http2_head::fault_in_target(value) == Some(why) => {
                    return Self::in_target(value);
                }
                Some(b':') => {}
                _ if http2_head::fault_in_field(name, value) == Some(why) => {
                    return Some(Self::of_field(name, value));
                }
                _ => {}
            }
        }
        None
    }

    /// The first octet of a target in origin-form that is not allowed there.
    pub fn in_target(target: &'h [u8]) -> Option<Self> {
        let path_end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
        let (path, query) = target.split_at_checked(path_end)?;
        if let Some(at) = path.iter().position(|byte| !is_path_octet(*byte)) {
            return Some(Self::Path { at: at + 1, octets: path.get(at..=at)? });
        }
        let query = query.get(1..)?;
        query.iter().position(|byte| !is_query_octet(*byte)).map(|at| Self::Query(at + 1))
    }

    /// The place in a complete head that [`super::RequestFacts::read`] refused with this text.
    pub fn in_request(why: &str, target: &'h Uri, headers: &'h Fields) -> Option<Self> {
        match why {
            OTHER_FRAMING => {
                let found = headers.iter().find(|field| looks_like_framing(field.name()));
                found.map(|field| Self::Field(field.name().as_bytes()))
            }
            NOT_A_LENGTH => last(headers, "content-length"),
            NOT_CHUNKED | BOTH_FRAMINGS => last(headers, "transfer-encoding"),
            MANY_HOSTS => last(headers, "host"),
            NOT_A_HOST | OTHER_HOST => {
                let authority = target.authority().map(|authority| Self::Authority(authority.as_str()));
                let is_good = |host: &FieldValue<'_>| check_authority(host.as_bytes()).is_ok();
                let from_target = why == NOT_A_HOST && headers.get_all(HOST).all(|host| is_good(&host));
                if from_target { authority } else { last(headers, "host") }
            }
            _ => path::part(why, target),
        }
    }

    /// The place in a path that was refused because the backend would replace the beginning of a segment
    /// ([`super::BackendQuirks::rewrites`]). `None` if that shows only once the path is decoded.
    pub fn of_rewrite(why: &str, target: &'h Uri, rewrites: &[(&str, &str)]) -> Option<Self> {
        let path = target.path().as_bytes();
        let removed = rewrites.iter().filter(|(_, to)| why == REWRITTEN && to.is_empty());
        let mut found = removed.filter_map(|(from, _)| {
            let at = path.windows(from.len()).position(|part| part == from.as_bytes())?;
            let rest = path.get(at..)?;
            let len = rest.iter().skip(from.len()).position(|byte| *byte == b'/');
            let octets = rest.get(..len.map_or(rest.len(), |len| from.len() + len))?;
            let goes_on = !matches!(octets.get(from.len()), None | Some(b';'));
            goes_on.then_some(Self::Path { at: at + 1, octets })
        });
        found.next()
    }

    /// A field, with its value if that says where the message ends or which host is meant.
    fn of_field(name: &'h [u8], value: &'h [u8]) -> Self {
        let shown = ["content-length", "transfer-encoding", "host"];
        match shown.iter().any(|shown| name.eq_ignore_ascii_case(shown.as_bytes())) {
            true => Self::Value(name, value),
            false => Self::Field(name),
        }
    }
}

/// The last field with this name: of several, the one too many.
fn last<'h>(headers: &'h Fields, name: &'static str) -> Option<FaultPlace<'h>> {
    let value = headers.get_all(name).last()?;
    Some(FaultPlace::Value(name.as_bytes(), value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{HeadLimits, RequestFault};

    const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 9, target: 4096 };

    #[test]
    fn the_place_in_an_http1_head_is_found() {
        let line = |number, at, octet| Some(FaultPlace::Line { number, at, octet });
        let long_method = "A".repeat(40) + " / HTTP/1.1\r\n";
        for (head, expected) in [
            ("\x16\x03\x01\x02\x00", line(1, 1, 0x16)),
            ("G{T / HTTP/1.1\r\n", line(1, 2, b'{')),
            ("GET  / HTTP/1.1\r\n", None),
            (&long_method, None),
            ("\r\nGET /a%zz#b HTTP/1.1\r\n", Some(FaultPlace::Path { at: 6, octets: b"#" })),
            ("GET /a?b=#secret HTTP/1.1\r\n", Some(FaultPlace::Query(3))),
            ("GET http://a/\\ HTTP/1.1\r\n", line(1, 14, b'\\')),
            ("GET / HTTP/2.0\r\n", line(1, 12, b'2')),
            ("GET / HTTP/1.1\r\nA: b\r\n folded\r\n", line(3, 1, b' ')),
            ("GET / HTTP/1.1\r\nB c: secret\r\n", line(2, 2, b' ')),
            ("GET / HTTP/1.1\r\nAuthorization: secret\x07\r\n", Some(FaultPlace::Field(b"Authorization"))),
            (
                "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
                Some(FaultPlace::Value(b"Content-Length", b"+1")),
            ),
        ] {
            // However the bytes are split into reads.
            let mut scanner = HeadScanner::new(LIMITS);
            let fault = (1..=head.len()).find_map(|len| scanner.scan(&head.as_bytes()[..len]).err());
            let Some(RequestFault::BadTarget(why)) = fault else { panic!("{head:?} {fault:?}") };
            assert_eq!(FaultPlace::in_http1(why, &scanner, head.as_bytes()), expected, "{head:?}");
            let mut scanner = HeadScanner::new(LIMITS);
            assert!(scanner.scan(head.as_bytes()).is_err());
            assert_eq!(FaultPlace::in_http1(why, &scanner, head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn what_the_backend_cuts_off_is_the_place_of_only_that_fault() {
        let of = |why, path, rewrites| FaultPlace::of_rewrite(why, path, rewrites);
        let (target, cut) = (Uri::from_static("/api/gmsx/a?b"), &[("/api/gms", "")][..]);
        let place = FaultPlace::Path { at: 1, octets: b"/api/gmsx" };
        assert_eq!(of(REWRITTEN, &target, cut), Some(place));
        assert_eq!(of(MANY_HOSTS, &target, cut), None);
        assert_eq!(of(REWRITTEN, &target, &[("/api/gms", "/gms")]), None, "it is replaced, not cut off");
        assert_eq!(of(REWRITTEN, &Uri::from_static("/api/gms/a"), cut), None);
    }
}
