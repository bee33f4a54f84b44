use super::*;
use crate::request::RequestFault::{HeadTooLarge, TargetTooLong};

const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, target: 8192, fields: 100 };

/// Reads the bytes at once. Checks that splitting them in two or into single bytes gives the same result.
#[track_caller]
fn scan_with(limits: HeadLimits, bytes: &[u8]) -> Result<Option<Head>, RequestFault> {
    let whole = HeadScanner::new(limits).scan(bytes);
    let step = (bytes.len() / 300).max(1);
    for at in (0..bytes.len()).step_by(step) {
        let mut scanner = HeadScanner::new(limits);
        let first = scanner.scan(&bytes[..at]);
        let second = if first == Ok(None) { scanner.scan(bytes) } else { first };
        assert_eq!(second, whole, "split at {at}");
    }
    if bytes.len() < 2000 {
        let mut scanner = HeadScanner::new(limits);
        let mut last = Ok(None);
        for end in 1..=bytes.len() {
            if last == Ok(None) {
                last = scanner.scan(&bytes[..end]);
            }
        }
        assert_eq!(last, whole, "byte by byte");
    }
    whole
}

#[track_caller]
fn scan(text: impl AsRef<[u8]>) -> Result<Option<Head>, RequestFault> {
    scan_with(LIMITS, text.as_ref())
}

#[track_caller]
fn head(text: &str) -> Head {
    scan(text).unwrap_or_else(|fault| panic!("{text:?}: {fault:?}")).expect("a whole head")
}

#[test]
fn valid_heads_and_their_framing_are_parsed() {
    for (text, framing) in [
        ("GET / HTTP/1.1\r\n\r\n", Framing::None),
        ("GET /a?b=c%20d HTTP/1.0\r\nHost: a\r\n\r\n", Framing::None),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", Framing::Length(5)),
        (
            "POST / HTTP/1.0\r\ncontent-LENGTH:\t 123456789012345678 \r\n\r\n",
            Framing::Length(123456789012345678),
        ),
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Framing::None),
        ("POST / HTTP/1.1\r\nA: b\r\nTransfer-Encoding:chunked\r\nC:\r\n\r\n", Framing::Chunked),
        ("POST / HTTP/1.1\r\ntransfer-encoding: \tCHUNKED \r\n\r\n", Framing::Chunked),
        ("\r\n\r\nGET / HTTP/1.1\r\nX-Content-Length: 5\r\n\r\n", Framing::None),
        // As long as the names of the fields that count.
        ("GET / HTTP/1.1\r\nX-Body-Lengths: 5\r\nX-Transfer-Coding: chunked\r\n\r\n", Framing::None),
        ("GET http://a:80/x HTTP/1.1\r\nX: \u{e9}\t\"\r\n\r\n", Framing::None),
        ("CONNECT a:443 HTTP/1.1\r\n\r\n", Framing::None),
        ("OPTIONS * HTTP/1.1\r\n\r\n", Framing::None),
        ("M-SEARCH!#$ /{\"a\"} HTTP/1.1\r\n\r\n", Framing::None),
    ] {
        let expected = Head { len: text.len(), framing, upgrades: false };
        assert_eq!(head(text), expected, "{text:?}");
        assert_eq!(head(&format!("{text}GET \0\n")), expected, "{text:?} and what follows it");
    }
}

#[test]
fn upgrade_is_detected_in_http_1_1() {
    assert!(head("GET / HTTP/1.1\r\nUPGRADE: websocket\r\n\r\n").upgrades);
    assert!(!head("GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n").upgrades);
    for other in ["X-Upgrade", "Referer"] {
        assert!(!head(&format!("GET / HTTP/1.1\r\n{other}: websocket\r\n\r\n")).upgrades, "{other}");
    }
}

#[test]
fn a_complete_head_has_its_bytes_and_fields() {
    let text = "\r\nGET /a HTTP/1.1\r\nHost: a\r\nX:\r\nhost:b \r\n\r\n";
    let mut scanner = HeadScanner::new(LIMITS);
    assert!(scanner.scan(text.as_bytes()).unwrap().is_some());
    let (bytes, fields) = scanner.take_fields(text.as_bytes().into());
    assert!(bytes.eq_ignore_ascii_case(text.as_bytes()), "{bytes:?}");
    let fields: Vec<_> = fields.iter().map(|field| (field.name(), field.value().to_str().unwrap())).collect();
    assert_eq!(fields, [("host", "a"), ("x", ""), ("host", "b")]);
}

#[test]
fn the_version_of_a_complete_head_is_known() {
    for (version, is_http_11) in [("HTTP/1.1", true), ("HTTP/1.0", false)] {
        let mut scanner = HeadScanner::new(LIMITS);
        assert!(scanner.scan(format!("GET / {version}\r\n\r\n").as_bytes()).unwrap().is_some());
        assert_eq!(scanner.is_http_11(), is_http_11, "{version}");
    }
}

#[test]
fn incomplete_head_returns_none() {
    let text = "\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    for end in 0..text.len() {
        let mut scanner = HeadScanner::new(LIMITS);
        assert_eq!(scanner.scan(&text.as_bytes()[..end]), Ok(None), "{end}");
        assert_eq!(scanner.has_begun(), end > 2, "{end}");
        assert_eq!(scanner.seen(), end);
    }
}

#[test]
fn ambiguous_heads_are_refused() {
    const LINE: &str = REQUEST_LINE;
    const VERSION: &str = "version is neither HTTP/1.0 nor HTTP/1.1";
    const LENGTH: &str = "Content-Length is not one plain number";
    const CODING: &str = "Transfer-Encoding is not exactly chunked";
    const BOTH: &str = "both Transfer-Encoding and Content-Length";
    const FORM: &str = "target is not of a form that requests have";
    for (text, why) in [
        ("\n", LINE_END),
        (" GET", "method is not a token"),
        ("G\tT", "method is not a token"),
        ("G\0T", "method is not a token"),
        ("\u{16}\u{3}\u{1}", "method is not a token"),
        ("GET\r\n", LINE),
        ("GET\n", LINE_END),
        ("\r\r", LINE_END),
        ("\r\n\r\n\r\n\r\n\r\n", "empty lines before the request line"),
        ("GET  / HTTP/1.1\r\n", FORM),
        ("GET /\r\n", LINE),
        ("GET /\n", LINE),
        ("GET /#a", "target has a fragment"),
        ("GET /?a#", "target has a fragment"),
        ("GET *#", "target has a fragment"),
        ("GET /\\", "target has a backslash"),
        ("GET http://a/\\?b", "target has a backslash"),
        ("GET http://a/?b#", "target has a fragment"),
        ("GET a\\", "target has a backslash"),
        ("GET /\u{e9}", "target is not ASCII"),
        ("GET /?\u{e9}", "target is not ASCII"),
        ("GET /\0", "target has a control character"),
        ("GET /\t", "target has a control character"),
        ("GET /\u{7f}", "target has a control character"),
        ("GET /<", "target has a character that must be percent-encoded"),
        ("GET ?a ", FORM),
        ("GET http:// ", FORM),
        ("GET a:b:c ", FORM),
        ("GET / HTTP/1.2", VERSION),
        ("GET / HTTP/2.0", VERSION),
        ("GET / http/1.1", VERSION),
        ("GET / HTTP/1.1 ", VERSION),
        ("GET / HHTTP/1.1\r\n", VERSION),
        ("GET / HTTP/1.11", VERSION),
        ("GET /  HTTP/1.1", VERSION),
        ("GET / HTTP/1.1\n", LINE_END),
        ("GET / HTTP/1.1\r\r", LINE_END),
        ("GET / HTTP/1.1\r\n\n", LINE_END),
        ("GET / HTTP/1.1\r\nA: b\n", LINE_END),
        ("GET / HTTP/1.1\r\nA: b\r\r", LINE_END),
        ("GET / HTTP/1.1\r\nA: b\r\n\rX", LINE_END),
        ("GET / HTTP/1.1\r\n A: b", "a field is folded, or begins with white space"),
        ("GET / HTTP/1.1\r\nA: b\r\n\tc", "a field is folded, or begins with white space"),
        ("GET / HTTP/1.1\r\n: b", "a field has no name"),
        ("GET / HTTP/1.1\r\nA\r\n", "a field has no colon"),
        ("GET / HTTP/1.1\r\nA : b", "white space in or after a field name"),
        ("GET / HTTP/1.1\r\nA\t: b", "white space in or after a field name"),
        ("GET / HTTP/1.1\r\nA[0]: b", "a field name is not a token"),
        ("GET / HTTP/1.1\r\n\u{e9}: b", "a field name is not a token"),
        ("GET / HTTP/1.1\r\nA: \0", "a field value has a control character"),
        ("GET / HTTP/1.1\r\nA: bbbbbbbbbbbbb\u{1f}", "a field value has a control character"),
        ("GET / HTTP/1.1\r\nA: bbbbbbbbbbbbb\u{7f}", "a field value has a control character"),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r", LENGTH),
        ("POST / HTTP/1.1\r\nContent-Length: 05\r", LENGTH),
        ("POST / HTTP/1.1\r\nContent-Length: +5\r", LENGTH),
        ("POST / HTTP/1.1\r\nContent-Length: 5, 5\r", LENGTH),
        ("POST / HTTP/1.1\r\nContent-Length:\r", LENGTH),
        ("POST / HTTP/1.1\r\nContent-Length: 1234567890123456789\r", LENGTH),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r", CODING),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r", CODING),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r", CODING),
        ("POST / HTTP/1.1\r\nTransfer-Encoding:\r", CODING),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r", BOTH),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r", BOTH),
    ] {
        let found = scan(text);
        assert_eq!(found, bad(why), "{text:?}");
        // Further bytes do not make it valid.
        assert_eq!(scan(format!("{text}\r\n\r\n")), found, "{text:?}");
    }
}

#[test]
fn size_limits_are_enforced() {
    let target = |len: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(len - 1));
    assert!(scan(target(8192)).expect("a good head").is_some());
    for text in [
        target(8193),
        target(100_000),
        format!("GET /?{}", "x".repeat(8192)),
        target(9000).replace('x', "a?"),
        format!("GET /{}?", "x".repeat(8191)),
    ] {
        assert_eq!(scan(&text), Err(TargetTooLong));
    }
    assert_eq!(scan(format!("GET {}", "x".repeat(8193))), Err(TargetTooLong));

    let method = |len| format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(len));
    assert!(scan(method(32)).expect("a good head").is_some());
    assert!(scan(format!("\r\n{}", method(32))).expect("a good head").is_some());
    assert_eq!(scan(method(33)), bad("method is too long"));
    assert_eq!(scan(method(100_000)), bad("method is too long"));

    let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(scan(fields(100)).expect("a good head").is_some());
    assert_eq!(scan(fields(101)), Err(HeadTooLarge));

    let name = |len| format!("GET / HTTP/1.1\r\n{}: b\r\n\r\n", "A".repeat(len));
    assert!(scan(name(256)).expect("a good head").is_some());
    assert_eq!(scan(name(257)), Err(HeadTooLarge));

    let sized = |len: usize| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(len - 23));
    let limits = HeadLimits { bytes: 9000, target: 8192, fields: 100 };
    assert!(scan_with(limits, sized(9000).as_bytes()).expect("a good head").is_some());
    for len in [9001, 9002, 9004, 100_000] {
        assert_eq!(scan_with(limits, sized(len).as_bytes()), Err(HeadTooLarge), "{len}");
    }
    assert_eq!(scan_with(limits, &sized(9001).as_bytes()[..8999]), Ok(None));
}

#[test]
fn method_and_target_of_a_refused_head_are_available() {
    for (text, method, target) in [
        ("GET /a?b#c HTTP/1.1\r\n", "GET", "/a?b"),
        ("\r\nHEAD /a HTTP/1.1\r\nA\r\n", "HEAD", "/a"),
        ("POST http://a/b\\ ", "POST", "http://a/b"),
        ("DELETE /a HTTP/1.2", "DELETE", "/a"),
        ("G\u{e9}T / HTTP/1.1", "G", ""),
        ("\0", "", ""),
        ("PATCH", "PATCH", ""),
        ("PUT /x/y", "PUT", "/x/y"),
    ] {
        let mut scanner = HeadScanner::new(LIMITS);
        let _ = scanner.scan(text.as_bytes());
        assert_eq!(scanner.method_of(text.as_bytes()), method.as_bytes(), "{text:?}");
        assert_eq!(scanner.target_of(text.as_bytes()), target.as_bytes(), "{text:?}");
    }
    let long = "M".repeat(1000);
    let mut scanner = HeadScanner::new(LIMITS);
    assert!(scanner.scan(long.as_bytes()).is_err());
    assert_eq!(scanner.method_of(long.as_bytes()).len(), MAX_METHOD);
}
