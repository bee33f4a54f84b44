use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, target: 8192, fields: 100 };

fn reader(to: &Method) -> ResponseHeadReader {
    let mut reader = ResponseHeadReader::new(LIMITS);
    reader.begin(to);
    reader
}

/// Reads the bytes at once. Checks that splitting them in two or into single bytes gives the same result.
#[track_caller]
fn read_to(method: &Method, bytes: &[u8]) -> Result<Option<ResponseHead>, ResponseFault> {
    let whole = reader(method).read(bytes);
    let step = (bytes.len() / 300).max(1);
    for at in (0..bytes.len()).step_by(step) {
        let mut reader = reader(method);
        let first = reader.read(&bytes[..at]);
        let second = if first == Ok(None) { reader.read(bytes) } else { first };
        assert_eq!(second, whole, "split at {at}");
    }
    if bytes.len() < 2000 {
        let mut reader = reader(method);
        let last = (1..=bytes.len()).map(|end| reader.read(&bytes[..end])).find(|read| *read != Ok(None));
        assert_eq!(last.unwrap_or(Ok(None)), whole, "byte by byte");
    }
    whole
}

#[track_caller]
fn read(text: impl AsRef<[u8]>) -> Result<Option<ResponseHead>, ResponseFault> {
    read_to(&Method::GET, text.as_ref())
}

const NONE: ResponseFraming = ResponseFraming::Delimited(Framing::None);
const CHUNKED: ResponseFraming = ResponseFraming::Delimited(Framing::Chunked);
const CLOSE: ResponseFraming = ResponseFraming::UntilClose;

const fn length(length: u64) -> ResponseFraming {
    ResponseFraming::Delimited(Framing::Length(length))
}

#[test]
fn framing_is_read_as_rfc_9112_section_6_3_says() {
    let (get, head) = (&Method::GET, &Method::HEAD);
    for (method, text, status, framing, keep_alive) in [
        (get, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, length(5), true),
        (get, "HTTP/1.1 200 OK\r\ncontent-LENGTH:\t5 \r\nA: b\r\n\r\n", 200, length(5), true),
        (get, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, NONE, true),
        (get, "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: CHUNKED\r\n\r\n", 404, CHUNKED, true),
        (get, "HTTP/1.1 200 OK\r\n\r\n", 200, CLOSE, false),
        (get, "HTTP/1.0 200 OK\r\n\r\n", 200, CLOSE, false),
        (get, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 200, length(5), false),
        (
            get,
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n",
            200,
            length(5),
            false,
        ),
        (get, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n", 200, length(5), false),
        (
            get,
            "HTTP/1.1 200 OK\r\nConnection: a , CLOSE\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n",
            200,
            length(5),
            false,
        ),
        (
            get,
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, closed\r\nContent-Length: 5\r\n\r\n",
            200,
            length(5),
            true,
        ),
        (head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, NONE, true),
        (head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, NONE, true),
        (head, "HTTP/1.1 200 OK\r\n\r\n", 200, NONE, true),
        (get, "HTTP/1.1 204 No Content\r\n\r\n", 204, NONE, true),
        (get, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, NONE, false),
        (get, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, NONE, true),
        (get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, NONE, true),
        (get, "HTTP/1.1 205 Reset Content\r\n\r\n", 205, CLOSE, false),
        (get, "HTTP/1.1 100 Continue\r\n\r\n", 100, NONE, true),
        (get, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n\r\n", 103, NONE, true),
        (get, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\n\r\n", 101, NONE, false),
        (get, "HTTP/1.1 999 \u{e9}\t\"\r\nX: \u{e9}\r\nContent-Length: 1\r\n\r\n", 999, length(1), true),
        (get, "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n", 200, length(1), true),
        (get, "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n", 200, length(1), true),
        (get, "HTTP/1.1 200 a  b \r\nX-Content-Length: 1\r\n\r\n", 200, CLOSE, false),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let expected = Ok(Some(ResponseHead { len: text.len(), status, framing, keep_alive }));
        assert_eq!(read_to(method, text.as_bytes()), expected, "{method} {text:?}");
        let more = format!("{text}HTTP \0\n");
        assert_eq!(read_to(method, more.as_bytes()), expected, "{method} {text:?} and what follows it");
        for end in 0..text.len() {
            assert_eq!(reader(method).read(&text.as_bytes()[..end]), Ok(None), "{text:?} up to {end}");
        }
    }
}

#[test]
fn ambiguous_heads_are_refused() {
    const STATUS: &str = "the status line is not version and status";
    const LENGTH: &str = "Content-Length is not one plain number";
    const CODING: &str = "Transfer-Encoding is not exactly chunked";
    const BOTH: &str = "both Transfer-Encoding and Content-Length";
    let of_fields = [
        ("A: b\n", LINE_END),
        ("A: b\r\r", LINE_END),
        ("A: b\r\n\rX", LINE_END),
        ("\n", LINE_END),
        (" A: b", "a field is folded, or begins with white space"),
        ("A: b\r\n\tc", "a field is folded, or begins with white space"),
        (": b", "a field has no name"),
        ("A\r\n", "a field has no colon"),
        ("A : b", "white space in or after a field name"),
        ("A[0]: b", "a field name is not a token"),
        ("\u{e9}: b", "a field name is not a token"),
        ("A: \0", "a field value has a control character"),
        ("A: b\rc", LINE_END),
        ("A: bbbbbbbbbbbbb\u{7f}", "a field value has a control character"),
        ("Content-Length: 5\r\nContent-Length: 6\r", LENGTH),
        ("Content-Length: 5, 6\r", LENGTH),
        ("Content-Length: 5, 5\r\nContent-Length: 6\r", LENGTH),
        ("Content-Length: 5, 05\r", LENGTH),
        ("Content-Length: 5,\r", LENGTH),
        ("Content-Length: ,5\r", LENGTH),
        ("Content-Length: 5;5\r", LENGTH),
        ("Content-Length: 05\r", LENGTH),
        ("Content-Length: +5\r", LENGTH),
        ("Content-Length: -5\r", LENGTH),
        ("Content-Length: 5 5\r", LENGTH),
        ("Content-Length: 0x5\r", LENGTH),
        ("Content-Length:\r", LENGTH),
        ("Content-Length: 1234567890123456789\r", LENGTH),
        ("Transfer-Encoding: gzip, chunked\r", CODING),
        ("Transfer-Encoding: gzip\r", CODING),
        ("Transfer-Encoding: identity\r", CODING),
        ("Transfer-Encoding: chunked;a=b\r", CODING),
        ("Transfer-Encoding:\r", CODING),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r", CODING),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r", BOTH),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5, 5\r", BOTH),
        ("Content-Length: 5, 5\r\nTransfer-Encoding: chunked\r", BOTH),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r", BOTH),
    ];
    let of_fields = of_fields.map(|(text, why)| (format!("HTTP/1.1 200 OK\r\n{text}"), why));
    let lines = [
        ("\r\nHTTP/1.1 200 OK\r\n", STATUS),
        (" HTTP/1.1 200 OK\r\n", STATUS),
        ("http/1.1 200 OK\r\n", STATUS),
        ("HTTP/1.2 200 OK\r\n", STATUS),
        ("HTTP/2.0 200 OK\r\n", STATUS),
        ("HTTP/2 200\r\n", STATUS),
        ("HTTP/1.1  200 OK\r\n", STATUS),
        ("HTTP/1.1\t200 OK\r\n", STATUS),
        ("HTTP/1.1 099 OK\r\n", STATUS),
        ("HTTP/1.1 20 OK\r\n", STATUS),
        ("HTTP/1.1 2000 OK\r\n", STATUS),
        ("HTTP/1.1 2x0 OK\r\n", STATUS),
        ("HTTP/1.1 200\tOK\r\n", STATUS),
        ("HTTP/1.1 200\n", STATUS),
        ("HTTP/1.1 200 OK\n", LINE_END),
        ("HTTP/1.1 200 OK\r\r", LINE_END),
        ("HTTP/1.1 200 O\0K\r\n", "the reason phrase has a control character"),
        ("SSH-2.0-OpenSSH_9.2\r\n", STATUS),
        ("<html>", STATUS),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r", CODING),
        ("HTTP/1.0 101 Switching Protocols\r\n\r\n", "HTTP/1.0 cannot switch protocols"),
    ];
    for (text, why) in of_fields.into_iter().chain(lines.map(|(text, why)| (text.to_owned(), why))) {
        for method in [Method::GET, Method::HEAD] {
            let found = read_to(&method, text.as_bytes());
            assert_eq!(found, bad(why), "{text:?}");
            // Neither do further bytes make it valid, nor a status without a body.
            let longer = format!("{text}\r\n\r\n");
            assert_eq!(read_to(&method, longer.as_bytes()), found, "{text:?}");
            let interim = longer.replace(" 200 OK", " 103 OK");
            assert!(read_to(&method, interim.as_bytes()).is_err(), "{interim:?}");
        }
    }
}

#[test]
fn size_limits_are_enforced() {
    let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(read(fields(100)).expect("a good head").is_some());
    assert_eq!(read(fields(101)), Err(ResponseFault::TooLarge));
    let sized = |len: usize| format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(len - 24));
    assert!(read(sized(LIMITS.bytes)).expect("a good head").is_some());
    for len in [LIMITS.bytes + 1, LIMITS.bytes + 4, 2 * LIMITS.bytes] {
        assert_eq!(read(sized(len)), Err(ResponseFault::TooLarge), "{len}");
    }
    assert_eq!(read(format!("HTTP/1.1 200 {}", "x".repeat(LIMITS.bytes))), Err(ResponseFault::TooLarge));
}

#[test]
fn fields_are_parts_of_the_head_in_their_order() {
    let text =
        "HTTP/1.1 200 Fine\r\nB: 1\r\nTransfer-Encoding: chunked\r\na:\t2 \r\nb: \r\nC: \u{e9} d\r\n\r\nrest";
    let mut reader = reader(&Method::GET);
    let head = reader.read(text.as_bytes()).expect("a good head").expect("a whole head");
    let (headers, reason) = reader.take_fields(text.as_bytes()[..head.len].into());
    let found: Vec<(&str, &[u8])> =
        headers.iter().map(|field| (field.name(), field.value().as_bytes())).collect();
    let expected: [(&str, &[u8]); 4] = [("b", b"1"), ("a", b"2"), ("b", b""), ("c", "\u{e9} d".as_bytes())];
    assert_eq!(found, expected);
    assert_eq!(reason.as_deref(), Some(&b"Fine"[..]));
}

#[test]
fn rfc_9110_section_8_6_a_repeated_length_is_read_and_forwarded_once() {
    for fields in [
        "Content-Length: 5\r\nA: b\r\ncontent-length: 5\r\n",
        "A: b\r\nContent-Length: 5, 5\r\n",
        "Content-Length: 5\t,5 , 5\r\nA: b\r\nContent-Length: 5\r\nContent-Length: 5,5\r\n",
    ] {
        for (method, framing) in [(Method::GET, length(5)), (Method::HEAD, NONE)] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            let head = read_to(&method, text.as_bytes()).expect("a good head").expect("a whole head");
            assert_eq!((head.framing, head.keep_alive), (framing, true), "{fields:?}");
            let mut reader = reader(&method);
            reader.read(text.as_bytes()).expect("a good head");
            let (headers, _) = reader.take_fields(text.as_bytes().into());
            let found: Vec<_> =
                headers.iter().map(|field| (field.name(), field.value().as_bytes())).collect();
            assert_eq!(found, [("a", &b"b"[..]), ("content-length", b"5")], "{fields:?}");
        }
    }
}

#[test]
fn interim_responses_are_told_apart_and_the_next_head_begins_anew() {
    let text = "HTTP/1.1 103 Early Hints\r\nConnection: close\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    for (method, framing) in [(Method::GET, length(2)), (Method::HEAD, NONE)] {
        let mut reader = reader(&method);
        let hints = reader.read(text.as_bytes()).expect("a good head").expect("a whole head");
        assert!(hints.is_interim());
        reader.begin_next();
        let last = reader.read(&text.as_bytes()[hints.len..]).expect("a good head").expect("a whole head");
        assert!(!last.is_interim() && last.keep_alive);
        assert_eq!(last.framing, framing);
        assert_eq!(reader.take_fields(text.as_bytes()[hints.len..].into()).0.len(), 1);
    }
    let switching =
        read("HTTP/1.1 101 Switching Protocols\r\n\r\n").expect("a good head").expect("a whole head");
    assert!(!switching.is_interim());
}

/// What hyper's parser accepts and this reader refuses, with the reason.
const STRICTER: [(&str, &str); 10] = [
    ("HTTP/1.1 200 OK\nA: b\r\n\r\n", "a bare LF ends a line"),
    ("HTTP/1.1 200 OK\r\nA: b\n\r\n", "a bare LF ends a line"),
    ("HTTP/1.1 200\nA: b\n\n", "a bare LF ends a line"),
    ("\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "empty lines may belong to an earlier response"),
    ("\nHTTP/1.1 200 OK\r\n\r\n", "empty lines may belong to an earlier response"),
    ("HTTP/1.1 000 OK\r\n\r\n", "the status has no class"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 05\r\n\r\n", "another reader may read it as octal"),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "the framing is stated twice",
    ),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "only chunked is decoded"),
    ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0 has no chunks"),
];

#[test]
fn httparse_accepts_what_is_refused_for_a_reason() {
    for (text, why) in STRICTER {
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let parsed = httparse::Response::new(&mut fields).parse(text.as_bytes());
        assert!(matches!(parsed, Ok(httparse::Status::Complete(_))), "{text:?} ({why}): {parsed:?}");
        assert!(read(text).is_err(), "{text:?}: {why}");
    }
}
