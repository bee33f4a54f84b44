use bytes::BytesMut;

use super::*;
use crate::request::hpack::HpackDecoder;
use crate::request::{Framing, HeadScanner};
use RequestFault::{BadTarget, HeadTooLarge, MethodNotAllowed, TargetTooLong};

const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, target: 8192, fields: 5 };

fn list(fields: &[(&[u8], &[u8])]) -> FieldList {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for string in [name, value] {
            let mut rest = string.len().saturating_sub(127);
            block.push(string.len().min(127) as u8);
            if string.len() >= 127 {
                while rest >= 128 {
                    block.push(rest as u8 | 0x80);
                    rest >>= 7;
                }
                block.push(rest as u8);
            }
            block.extend(*string);
        }
    }
    let mut list = FieldList::new(LIMITS.bytes);
    HpackDecoder::new(0).decode(&block, &mut list).expect("good literals");
    list
}

const GOOD: [(&[u8], &[u8]); 4] =
    [(b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/a?b=c"), (b":authority", b"a.test:8443")];

fn read(fields: &[(&[u8], &[u8])], ends: bool) -> Result<(), RequestFault> {
    Http2Head::read(&list(fields), LIMITS, ends).map(|_| ())
}

/// Reads the valid head with one pseudo-field changed or one field added.
fn with(name: &[u8], value: &[u8]) -> Result<(), RequestFault> {
    let mut fields = GOOD.to_vec();
    match fields.iter_mut().find(|(existing, _)| *existing == name) {
        Some((_, existing)) => *existing = value,
        None => fields.push((name, value)),
    }
    read(&fields, false)
}

fn without(name: &[u8]) -> Result<(), RequestFault> {
    let fields: Vec<_> = GOOD.into_iter().filter(|(existing, _)| *existing != name).collect();
    read(&fields, false)
}

#[test]
fn valid_heads_are_accepted() {
    let fields = list(&GOOD);
    let head = Http2Head::read(&fields, LIMITS, true).expect("good");
    assert_eq!((head.method(), head.path()), (&b"POST"[..], &b"/a?b=c"[..]));
    assert_eq!(without(b":authority"), Ok(()), "Host may stand for it");
    for (name, value) in [
        (&b":method"[..], &b"M-SEARCH!#$"[..]),
        (b":method", &[b'M'; 32]),
        (b":path", b"/"),
        (b":path", b"/{\"a\"}//;x?`{}|^?/"),
        (b":scheme", b"http"),
        (b"x-own", b""),
        (b"x-own", b"\xe9 \t\""),
        (b"te", b"trailers"),
        (b"content-length", b"5"),
        (b"content-length", b"0"),
    ] {
        assert_eq!(with(name, value), Ok(()), "{name:?}: {value:?}");
    }
    let mut fields = GOOD.to_vec();
    fields[0].1 = b"OPTIONS";
    fields[2].1 = b"*";
    assert_eq!(read(&fields, true), Ok(()));
}

#[test]
fn malformed_heads_are_refused() {
    for (name, value) in [
        (&b":method"[..], &b""[..]),
        (b":method", b"GET /x"),
        (b":method", &[b'M'; 33]),
        (b":scheme", b""),
        (b":scheme", b"HTTP"),
        (b":scheme", b"ftp"),
        (b":authority", b""),
        (b":authority", b"u@a"),
        (b":authority", b"a\r\nx: y"),
        (b":path", b""),
        (b":path", b"*"),
        (b":path", b"#"),
        (b":path", b"?a"),
        (b":path", b"a"),
        (b":path", b"/a#b"),
        (b":path", b"/a?b#c"),
        (b":path", b"/\\7"),
        (b":path", b"/a b"),
        (b":path", b"http://a/b"),
        (b":protocol", b"websocket"),
        (b":status", b"200"),
        (b":unknown", b""),
        (b":", b""),
        (b"", b"x"),
        (b"X-Own", b"x"),
        (b"x\"y", b"x"),
        (b"x:y", b"x"),
        (b"x", b" a"),
        (b"x", b"a\t"),
        (b"x", b"a\nb"),
        (b"connection", b"close"),
        (b"keep-alive", b"1"),
        (b"proxy-connection", b"close"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"websocket"),
        (b"te", b"trailers, gzip"),
        (b"te", b""),
        (b"content-length", b""),
        (b"content-length", b"05"),
        (b"content-length", b"5, 5"),
    ] {
        let read = with(name, value);
        assert!(matches!(read, Err(BadTarget(_))), "{}: {value:?}: {read:?}", String::from_utf8_lossy(name));
    }
    assert_eq!(with(b":path", b"/a b"), Err(BadTarget("target has a blank")));
    for name in [b":method", b":scheme"] {
        assert!(matches!(without(name), Err(BadTarget(_))), "{name:?}");
    }
    assert!(matches!(without(b":path"), Err(BadTarget(_))));
    for twice in GOOD {
        assert!(matches!(read(&[&[twice][..], &GOOD].concat(), false), Err(BadTarget(_))));
        let after = [&GOOD[..], &[(b"x", b"y"), twice]].concat();
        assert_eq!(read(&after, false), Err(BadTarget("a pseudo-field comes after a field")));
    }
    let lengths = [&GOOD[..], &[(b"content-length", b"5"), (b"content-length", b"5")]].concat();
    assert!(matches!(read(&lengths, false), Err(BadTarget(_))));
    let length = [&GOOD[..], &[(b"content-length", b"5")]].concat();
    assert_eq!(read(&length, true), Err(BadTarget("Content-Length without a body")));
}

#[test]
fn connect_is_refused() {
    let connect: [(&[u8], &[u8]); 2] = [(b":method", b"CONNECT"), (b":authority", b"a:443")];
    assert_eq!(read(&connect, false), Err(MethodNotAllowed));
    assert!(matches!(read(&connect[..1], false), Err(BadTarget(_))));
    let more: [(&[u8], &[u8]); 3] = [connect[0], connect[1], (b":path", b"/")];
    assert!(matches!(read(&more, false), Err(BadTarget(_))));
    assert!(matches!(with(b":method", b"CONNECT"), Err(BadTarget(_))));
}

#[test]
fn head_limits_are_enforced() {
    let field = (&b"x"[..], &b"y"[..]);
    assert_eq!(read(&[&GOOD[..], &[field; 5]].concat(), false), Ok(()));
    assert_eq!(read(&[&GOOD[..], &[field; 6]].concat(), false), Err(HeadTooLarge));
    assert_eq!(with(&[b'x'; 256], b""), Ok(()));
    assert_eq!(with(&[b'x'; 257], b""), Err(HeadTooLarge));
    assert_eq!(with(b"x", &vec![b'y'; LIMITS.bytes]), Err(HeadTooLarge));
    let target = |len: usize| [&b"/"[..], &vec![b'x'; len - 1]].concat();
    assert_eq!(with(b":path", &target(LIMITS.target)), Ok(()));
    assert_eq!(with(b":path", &target(LIMITS.target + 1)), Err(TargetTooLong));
    let (method, path) = ([b'M'; 1000], target(LIMITS.target + 1000));
    let refused = list(&[(b":path", &path), (b":method", &method)]);
    let head = Http2Head::of_refused(&refused, LIMITS);
    assert_eq!((head.method().len(), head.path().len()), (MAX_METHOD, LIMITS.target));
}

#[test]
fn trailers_must_not_have_pseudo_fields() {
    let check = |fields: &[(&[u8], &[u8])]| check_http2_trailers(&list(fields), LIMITS);
    assert_eq!(check(&[]), Ok(()));
    let sum: (&[u8], &[u8]) = (b"x-sum", b"7");
    assert_eq!(check(&[sum; 5]), Ok(()));
    assert_eq!(check(&[sum; 6]), Err(HeadTooLarge));
    for (name, value) in [
        (&b":path"[..], &b"/"[..]),
        (b":status", b"200"),
        (b"X", b"y"),
        (b"", b"y"),
        (b"x", b"a\0"),
        (b"transfer-encoding", b"chunked"),
    ] {
        assert!(matches!(check(&[(name, value)]), Err(BadTarget(_))), "{name:?}");
    }
}

/// The part of the head that contains the octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Method,
    Path,
    Query,
    Authority,
    Name,
    Value,
}

/// Inserts an octet at the start, in the middle or at the end of a text.
fn placed(text: &[u8], octet: u8, place: usize) -> Vec<u8> {
    let (before, after) = text.split_at([0, text.len() / 2, text.len()][place]);
    [before, &[octet], after].concat()
}

/// Whether the same head in HTTP/1 passes [`HeadScanner`].
fn passes_http1(method: &[u8], target: &[u8], name: &[u8], value: &[u8]) -> bool {
    let head = [method, b" ", target, b" HTTP/1.1\r\n", name, b": ", value, b"\r\n\r\n"].concat();
    matches!(HeadScanner::new(LIMITS).scan(&head), Ok(Some(read)) if read.len == head.len() && read.framing == Framing::None)
}

/// Puts every octet first, in the middle and last in every part, and compares the result with the grammar and
/// with HTTP/1.
#[test]
fn every_octet_is_checked_as_over_http1() {
    for octet in 0..=u8::MAX {
        for place in 0..3 {
            for part in [Part::Method, Part::Path, Part::Query, Part::Authority, Part::Name, Part::Value] {
                let at = |this: Part, text: &[u8]| {
                    if part == this { placed(text, octet, place) } else { text.to_vec() }
                };
                let method = at(Part::Method, b"GET");
                let path = [&b"/"[..], &at(Part::Path, b"path")].concat();
                let target = [&path[..], b"?", &at(Part::Query, b"query")].concat();
                let authority = at(Part::Authority, b"host");
                let (name, value) = (at(Part::Name, b"x-name"), at(Part::Value, b"value"));
                let fields: [(&[u8], &[u8]); 5] = [
                    (b":method", &method),
                    (b":scheme", b"http"),
                    (b":authority", &authority),
                    (b":path", &target),
                    (&name, &value),
                ];
                let passes = read(&fields, true).is_ok();
                let tchar = octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
                let expected = match part {
                    Part::Method => tchar,
                    // A question mark starts the query early.
                    Part::Path => octet.is_ascii_graphic() && !b"#<>\\`".contains(&octet),
                    Part::Query => octet.is_ascii_graphic() && octet != b'#',
                    Part::Name => tchar && !octet.is_ascii_uppercase(),
                    Part::Value => {
                        let blank = matches!(octet, b' ' | b'\t');
                        if blank { place == 1 } else { octet > b' ' && octet != 0x7f }
                    }
                    // Labels must not be empty; the root after the last dot and a port may be.
                    Part::Authority => match octet {
                        b'.' => place != 0,
                        b':' => place == 2,
                        _ => octet.is_ascii_alphanumeric() || b"-_~!$&'()*+;=".contains(&octet),
                    },
                };
                assert_eq!(passes, expected, "{octet:#x} in {part:?} at {place}");
                // HTTP/1 allows upper case in names, a colon after them, and white space around values.
                let only_in_http1 = (part == Part::Name && (octet.is_ascii_uppercase() || octet == b':'))
                    || (part == Part::Value && matches!(octet, b' ' | b'\t'));
                if part != Part::Authority && !only_in_http1 {
                    assert_eq!(
                        passes,
                        passes_http1(&method, &target, &name, &value),
                        "over HTTP/1: {octet:#x} in {part:?} at {place}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_place_of_a_fault_is_found() {
    use crate::request::FaultPlace;
    for (name, value, expected) in [
        (&b":path"[..], &b"/a b"[..], Some(FaultPlace::Path { at: 3, octets: b" " })),
        (b":path", b"/a?secret=#", Some(FaultPlace::Query(8))),
        (b"x y", b"secret", Some(FaultPlace::Field(b"x y"))),
        (b"authorization", b"secret\x07", Some(FaultPlace::Field(b"authorization"))),
        (b"content-length", b"01", Some(FaultPlace::Value(b"content-length", b"01"))),
        (b":method", b"G T", None),
    ] {
        let mut fields: Vec<_> = GOOD.into_iter().filter(|(other, _)| *other != name).collect();
        if !name.starts_with(b":") {
            fields.push((b"x-good", b"good"));
        }
        fields.push((name, value));
        let list = list(&fields);
        let Err(BadTarget(why)) = Http2Head::read(&list, LIMITS, false) else { panic!("{value:?}") };
        assert_eq!(FaultPlace::in_http2(why, &list), expected, "{value:?}");
    }
}

#[test]
fn a_checked_head_has_a_target_and_fields() {
    let target = |changed: &[(&[u8], &[u8])]| {
        let fields = list(changed);
        let head = Http2Head::read(&fields, LIMITS, false).expect("good");
        head.uri().expect("a target")
    };
    assert_eq!(target(&GOOD), "https://a.test:8443/a?b=c");
    assert_eq!(target(&GOOD[..3]), "/a?b=c", "without an authority");
    let (method, scheme) = (GOOD[0], (&b":scheme"[..], &b"http"[..]));
    let authority = (&b":authority"[..], &b"[::1]:80"[..]);
    let asterisk = target(&[(b":method", b"OPTIONS"), scheme, (b":path", b"*"), authority]);
    assert_eq!((asterisk.path(), asterisk.authority().map(Authority::as_str)), ("*", Some("[::1]:80")));
    assert_eq!(target(&[method, scheme, (b":path", b"/a?<\"")]).query(), Some("\u{bc}\u{a2}"));

    let mut fields = GOOD.to_vec();
    fields.extend([
        (&b"cookie"[..], &b"a=1"[..]),
        (b"content-length", b"12"),
        (b"cookie", b"b=2"),
        (b"x", b""),
    ]);
    let fields = list(&fields);
    assert_eq!(Http2Head::read(&fields, LIMITS, false).expect("good").content_length(), Some(&b"12"[..]));
    let fields = fields.into_fields().expect("short");
    let read: Vec<_> = fields.iter().map(|field| (field.name(), field.value().as_bytes())).collect();
    let expected = [("cookie", "a=1"), ("content-length", "12"), ("cookie", "b=2"), ("x", "")];
    assert_eq!(read, expected.map(|(name, value)| (name, value.as_bytes())));
    let mut lines = BytesMut::new();
    fields.write_to(&mut lines, |_| true);
    assert_eq!(lines, "cookie: a=1\r\ncontent-length: 12\r\ncookie: b=2\r\nx: \r\n");
}
