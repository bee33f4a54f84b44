//! Writes the head of a request in one pass.

use http::Method;
use http::uri::PathAndQuery;

use crate::message::field_name::{CONTENT_LENGTH, TRANSFER_ENCODING};
use crate::message::{Decimal, Fields};
use crate::request::written;

/// How the backend finds the end of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFraming {
    /// There is no body, and no field says so.
    Unstated,
    /// `Content-Length` states this many bytes; possibly none.
    Length(u64),
    /// The body is chunked.
    Chunked,
}

/// A request head. Names and values are written byte for byte, in their order, names in lower case.
#[derive(Clone, Copy, Debug)]
pub struct HeadWriter<'r> {
    /// The method.
    pub method: &'r Method,
    /// What is written before the target; empty or a path.
    pub prefix: &'r str,
    /// The target. It is written as it was received, without stand-ins ([`crate::request::uri_of`]).
    pub target: &'r PathAndQuery,
    /// The fields. Those about the framing are not copied, but written from `framing`.
    pub headers: &'r Fields,
    /// The framing.
    pub framing: RequestFraming,
}

impl HeadWriter<'_> {
    /// Appends the head to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let target = written(self.target);
        for part in [self.method.as_str(), " ", self.prefix, &*target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        self.headers.write_to(out, |name| !matches!(name, TRANSFER_ENCODING | CONTENT_LENGTH));
        self.write_framing(out);
        out.extend_from_slice(b"\r\n");
    }

    fn write_framing(&self, out: &mut Vec<u8>) {
        match self.framing {
            RequestFraming::Unstated => {}
            RequestFraming::Length(length) => {
                out.extend_from_slice(b"content-length: ");
                out.extend_from_slice(Decimal::of(length).as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            RequestFraming::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::fields;

    fn head(list: &[(&str, &str)], prefix: &str, framing: RequestFraming) -> String {
        let target = PathAndQuery::from_static("/a%20b?c=/d");
        let mut out = Vec::new();
        HeadWriter { method: &Method::PATCH, prefix, target: &target, headers: &fields(list), framing }
            .write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_keep_their_order_and_their_bytes() {
        let list = [("host", "a"), ("x", "1"), ("y", " \t\"%00\u{e9}"), ("x", "2"), ("z", "")];
        assert_eq!(
            head(&list, "", RequestFraming::Unstated),
            "PATCH /a%20b?c=/d HTTP/1.1\r\nhost: a\r\nx: 1\r\ny:  \t\"%00\u{e9}\r\nx: 2\r\nz: \r\n\r\n"
        );
        assert_eq!(head(&[], "/base", RequestFraming::Unstated), "PATCH /base/a%20b?c=/d HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn framing_is_written_and_never_copied() {
        let stated = [("a", "b"), ("content-length", "5"), ("content-length", "6"), ("c", "d")];
        let both = [("transfer-encoding", "gzip"), ("content-length", "x"), ("a", "b")];
        for (list, framing, expected) in [
            (
                &stated[..],
                RequestFraming::Length(u64::MAX),
                "a: b\r\nc: d\r\ncontent-length: 18446744073709551615",
            ),
            (&stated, RequestFraming::Chunked, "a: b\r\nc: d\r\ntransfer-encoding: chunked"),
            (&stated, RequestFraming::Unstated, "a: b\r\nc: d"),
            (&both, RequestFraming::Length(0), "a: b\r\ncontent-length: 0"),
            (&both, RequestFraming::Chunked, "a: b\r\ntransfer-encoding: chunked"),
            (&both[2..], RequestFraming::Length(10), "a: b\r\ncontent-length: 10"),
            (&both[2..], RequestFraming::Chunked, "a: b\r\ntransfer-encoding: chunked"),
            (&both[..1], RequestFraming::Length(7), "content-length: 7"),
        ] {
            let written = head(list, "", framing);
            assert_eq!(written, format!("PATCH /a%20b?c=/d HTTP/1.1\r\n{expected}\r\n\r\n"), "{framing:?}");
        }
    }
}
