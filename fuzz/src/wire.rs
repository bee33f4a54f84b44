//! The bytes of a connection, parsed by metagate and by hyper's parser.

use http::{HeaderName, HeaderValue, Method};
use metagate::request::{
    BodyFault, BodyTracker, Framing, Head, HeadLimits, HeadScanner, RequestFault, uri_of, written,
};

const LIMITS: HeadLimits = HeadLimits { bytes: 1024, target: 8192, fields: 16 };

/// The bytes of a connection: hyper's parser reads every accepted head identically, a body ends
/// where an independent reader finds its end, and no split of the bytes changes the result.
pub fn request_head(data: &[u8]) {
    let mut rest = data;
    loop {
        let mut scanner = HeadScanner::new(LIMITS);
        let whole = scanner.scan(rest);
        assert_eq!(in_pieces(rest), whole);
        let Ok(Some(head)) = whole else { return };
        same_to_httparse(rest, &scanner, head);
        let (_, after) = rest.split_at(head.len);
        let body = follow(after, head.framing, after.len().max(1));
        for pieces in [1, 3, 16] {
            assert_eq!(follow(after, head.framing, pieces), body);
        }
        match body {
            Ok((taken, true)) => {
                assert_eq!(reference_end(after, head.framing), Some(taken));
                rest = after.split_at(taken).1;
            }
            Ok((taken, false)) => return assert_eq!(taken, after.len()),
            Err(fault) => return assert!(fault.at < after.len()),
        }
    }
}

/// Parses the bytes as they arrive one by one.
fn in_pieces(bytes: &[u8]) -> Result<Option<Head>, RequestFault> {
    let mut scanner = HeadScanner::new(LIMITS);
    for end in 0..=bytes.len() {
        let (arrived, _) = bytes.split_at(end);
        match scanner.scan(arrived) {
            Ok(None) => assert_eq!(scanner.seen(), end),
            answer => return answer,
        }
    }
    Ok(None)
}

fn same_to_httparse(bytes: &[u8], scanner: &HeadScanner, head: Head) {
    let mut fields = [httparse::EMPTY_HEADER; LIMITS.fields];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(bytes).expect("httparse accepts it");
    assert_eq!(parsed, httparse::Status::Complete(head.len));
    let (method, target) = (request.method.expect("a method"), request.path.expect("a target"));
    assert_eq!(method.as_bytes(), scanner.method_of(bytes));
    assert_eq!(target.as_bytes(), scanner.target_of(bytes));
    assert!(Method::from_bytes(method.as_bytes()).is_ok());
    let uri = uri_of(target.as_bytes()).expect("a target");
    let path = target.split('?').next().unwrap_or_default();
    assert!(!target.contains('#') && !path.contains('\\'));
    if target.starts_with('/') {
        assert_eq!(written(uri.path_and_query().expect("a path")), target, "nothing was cut off");
    }

    let mut framing = Framing::None;
    let mut statements = 0;
    let mut upgrades = false;
    for field in request.headers.iter() {
        assert!(HeaderName::from_bytes(field.name.as_bytes()).is_ok());
        assert!(HeaderValue::from_bytes(field.value).is_ok());
        match field.name.to_ascii_lowercase().as_str() {
            "content-length" => {
                statements += 1;
                let length: u64 = str::from_utf8(field.value).expect("digits").parse().expect("a number");
                framing = if length == 0 { Framing::None } else { Framing::Length(length) };
            }
            "transfer-encoding" => {
                statements += 1;
                assert!(field.value.eq_ignore_ascii_case(b"chunked"));
                assert_eq!(request.version, Some(1));
                framing = Framing::Chunked;
            }
            "upgrade" => upgrades = request.version == Some(1),
            _ => {}
        }
    }
    assert!(statements <= 1, "one statement of where the body ends");
    assert_eq!((framing, upgrades), (head.framing, head.upgrades));
}

/// How many bytes belong to the body, and whether it has ended.
fn follow(bytes: &[u8], framing: Framing, pieces: usize) -> Result<(usize, bool), BodyFault> {
    let mut tracker = BodyTracker::new(framing);
    let mut taken = 0;
    for piece in bytes.chunks(pieces) {
        let more = tracker.follow(piece).map_err(|fault| BodyFault { at: taken + fault.at, ..fault })?;
        assert!(more == piece.len() || tracker.is_done());
        taken += more;
    }
    Ok((taken, tracker.is_done()))
}

/// Finds the end of a body independently.
fn reference_end(bytes: &[u8], framing: Framing) -> Option<usize> {
    match framing {
        Framing::None => return Some(0),
        Framing::Length(length) => return usize::try_from(length).ok(),
        Framing::Chunked => {}
    }
    let mut at = 0;
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(bytes.get(at..)?)
        else {
            return None;
        };
        at += line;
        if size == 0 {
            let mut trailers = [httparse::EMPTY_HEADER; 4096];
            return match httparse::parse_headers(bytes.get(at..)?, &mut trailers) {
                Ok(httparse::Status::Complete((len, _))) => Some(at + len),
                _ => None,
            };
        }
        at += usize::try_from(size).ok()?;
        at += bytes.get(at..)?.starts_with(b"\r\n").then_some(2)?;
    }
}
