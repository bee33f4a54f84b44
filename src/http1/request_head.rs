//! Writes the head of a request in one pass.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};

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

/// A request head. Names and values are written byte for byte, in the order of the map, names in lower case.
#[derive(Clone, Copy, Debug)]
pub struct HeadWriter<'r> {
    /// The method.
    pub method: &'r Method,
    /// What is written before the target; empty or a path.
    pub prefix: &'r str,
    /// The target.
    pub target: &'r PathAndQuery,
    /// The fields. Those about the framing are not copied, but written from `framing`.
    pub headers: &'r HeaderMap,
    /// The framing.
    pub framing: RequestFraming,
}

impl HeadWriter<'_> {
    /// Appends the head to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        for part in [self.method.as_str(), " ", self.prefix, self.target.as_str(), " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        let mut is_framed = false;
        for (name, value) in self.headers {
            if name == TRANSFER_ENCODING {
                continue;
            }
            if name == CONTENT_LENGTH {
                // At the position of the client's field, and only once.
                if !std::mem::replace(&mut is_framed, true) {
                    self.write_framing(out);
                }
                continue;
            }
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if !is_framed {
            self.write_framing(out);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn write_framing(&self, out: &mut Vec<u8>) {
        match self.framing {
            RequestFraming::Unstated => {}
            RequestFraming::Length(length) => {
                out.extend_from_slice(b"content-length: ");
                write_decimal(length, out);
                out.extend_from_slice(b"\r\n");
            }
            RequestFraming::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
    }
}

fn write_decimal(number: u64, out: &mut Vec<u8>) {
    let start = out.len();
    let mut left = number;
    loop {
        // A digit is less than 10.
        out.push(b'0' + (left % 10) as u8);
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
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
            "PATCH /a%20b?c=/d HTTP/1.1\r\nhost: a\r\nx: 1\r\nx: 2\r\ny:  \t\"%00\u{e9}\r\nz: \r\n\r\n"
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
                "a: b\r\ncontent-length: 18446744073709551615\r\nc: d",
            ),
            (&stated, RequestFraming::Chunked, "a: b\r\ntransfer-encoding: chunked\r\nc: d"),
            (&stated, RequestFraming::Unstated, "a: b\r\nc: d"),
            (&both, RequestFraming::Length(0), "content-length: 0\r\na: b"),
            (&both, RequestFraming::Chunked, "transfer-encoding: chunked\r\na: b"),
            (&both[2..], RequestFraming::Length(10), "a: b\r\ncontent-length: 10"),
            (&both[2..], RequestFraming::Chunked, "a: b\r\ntransfer-encoding: chunked"),
            (&both[..1], RequestFraming::Length(7), "content-length: 7"),
        ] {
            let written = head(list, "", framing);
            assert_eq!(written, format!("PATCH /a%20b?c=/d HTTP/1.1\r\n{expected}\r\n\r\n"), "{framing:?}");
        }
    }
}
