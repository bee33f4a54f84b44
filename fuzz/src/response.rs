//! The bytes that a backend sends, read by metagate and by hyper's parser.

use http::Method;
use metagate::http1::{
    BodyPart, BodyReader, ResponseFault, ResponseFraming, ResponseHead, ResponseHeadReader,
};
use metagate::request::{Framing, HeadLimits};

const LIMITS: HeadLimits = HeadLimits { bytes: 1024, target: 8192, fields: 16 };

/// The bytes of a connection: hyper's parser reads every accepted head identically, a body has the data and the end that
/// an independent reader finds, and no split of the bytes changes the result.
pub fn response(data: &[u8]) {
    for method in [Method::GET, Method::HEAD] {
        let mut rest = data;
        loop {
            let mut reader = ResponseHeadReader::new(LIMITS);
            reader.begin(&method);
            let whole = reader.read(rest);
            assert_eq!(in_pieces(&method, rest), whole);
            let Ok(Some(head)) = whole else { break };
            let (bytes, after) = rest.split_at(head.len);
            same_to_httparse(&method, bytes, &mut reader, head);
            let body = read(after, head.framing, after.len().max(1));
            for pieces in [1, 3, 16] {
                assert_eq!(read(after, head.framing, pieces), body);
            }
            let Some(Body { end: Some(end), .. }) = body else { break };
            assert_eq!(reference(after, head.framing), body);
            rest = after.split_at(end).1;
            if head.framing == ResponseFraming::UntilClose {
                break;
            }
        }
    }
}

/// Reads a head as its bytes arrive one by one.
fn in_pieces(method: &Method, bytes: &[u8]) -> Result<Option<ResponseHead>, ResponseFault> {
    let mut reader = ResponseHeadReader::new(LIMITS);
    reader.begin(method);
    for end in 0..=bytes.len() {
        let (arrived, _) = bytes.split_at(end);
        match reader.read(arrived) {
            Ok(None) => {}
            answer => return answer,
        }
    }
    Ok(None)
}

fn same_to_httparse(method: &Method, bytes: &[u8], reader: &mut ResponseHeadReader, head: ResponseHead) {
    let mut fields = [httparse::EMPTY_HEADER; LIMITS.fields];
    let mut response = httparse::Response::new(&mut fields);
    assert_eq!(response.parse(bytes), Ok(httparse::Status::Complete(head.len)));
    assert_eq!(response.code, Some(head.status.as_u16()));

    let (mut statements, mut closes) = (Vec::new(), response.version == Some(0));
    let mut expected = Vec::new();
    for field in response.headers.iter() {
        let name = field.name.to_ascii_lowercase();
        match name.as_str() {
            "content-length" => {
                for value in str::from_utf8(field.value).expect("digits").split(',') {
                    let length: u64 = value.trim().parse().expect("a number");
                    statements.push(if length == 0 { Framing::None } else { Framing::Length(length) });
                }
            }
            "transfer-encoding" => {
                assert!(field.value.eq_ignore_ascii_case(b"chunked"));
                assert_eq!(response.version, Some(1));
                statements.push(Framing::Chunked);
                continue;
            }
            "connection" => {
                let mut options = field.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                closes |= options.any(|option| option.eq_ignore_ascii_case(b"close"));
            }
            _ => {}
        }
        expected.push((name, field.value.to_vec()));
    }
    let is_repeated = statements.len() > 1;
    statements.dedup();
    assert!(statements.len() <= 1, "one statement of where the body ends");
    if is_repeated {
        let is_length = |(name, _): &(String, Vec<u8>)| name == "content-length";
        let (_, value) = expected.iter().find(|field| is_length(field)).expect("a length").clone();
        expected.retain(|field| !is_length(field));
        let value = value.split(|byte| *byte == b',').next().expect("a member").trim_ascii().to_vec();
        expected.push(("content-length".to_owned(), value));
    }
    let code = head.status.as_u16();
    let framing = match statements.first() {
        _ if *method == Method::HEAD || code < 200 || code == 204 || code == 304 => {
            ResponseFraming::Delimited(Framing::None)
        }
        Some(framing) => ResponseFraming::Delimited(*framing),
        None => ResponseFraming::UntilClose,
    };
    assert_eq!(head.framing, framing);
    let states_a_body = statements.first().is_some_and(|framing| *framing != Framing::None);
    let contradicts = code == 204 && states_a_body && *method != Method::HEAD;
    let ends = closes || contradicts || code == 101 || framing == ResponseFraming::UntilClose;
    assert_eq!(head.keep_alive, !ends);

    let (headers, reason) = reader.take_fields(bytes.into());
    let usual = head.status.canonical_reason().unwrap_or_default().as_bytes();
    assert_eq!(response.reason.expect("a reason").as_bytes(), reason.as_deref().unwrap_or(usual));
    let found: Vec<(String, Vec<u8>)> =
        headers.iter().map(|field| (field.name().to_owned(), field.value().as_bytes().to_vec())).collect();
    assert_eq!(found, expected);
}

/// A body as far as it has arrived.
#[derive(Debug, PartialEq)]
struct Body {
    content: Vec<u8>,
    /// How many bytes belong to it, if it is whole when the connection ends.
    end: Option<usize>,
    trailers: Vec<(String, Vec<u8>)>,
}

/// Reads a body in pieces of this size; `None` if it is malformed.
fn read(bytes: &[u8], framing: ResponseFraming, pieces: usize) -> Option<Body> {
    let mut reader = BodyReader::new(framing);
    let (mut content, mut at, mut arrived) = (Vec::new(), 0, 0);
    let end = loop {
        let (waiting, _) = bytes.split_at(arrived);
        let mut ahead = reader.clone();
        let (_, waiting) = waiting.split_at(at);
        match reader.read(waiting).ok()? {
            BodyPart::Data { skip, len } => {
                assert!(len > 0 && ahead.end_in(waiting).is_none());
                content.extend_from_slice(waiting.split_at(skip).1.split_at(len).0);
                at += skip + len;
            }
            BodyPart::Incomplete => {
                assert_eq!(ahead.end_in(waiting), None);
                at = arrived;
                if arrived == bytes.len() {
                    break reader.close().is_ok().then_some(at);
                }
                arrived = bytes.len().min(arrived + pieces);
            }
            BodyPart::End { skip } => {
                if let Some(ended) = ahead.end_in(waiting) {
                    assert_eq!((ended, reader.trailers()), (skip, Ok(None)));
                }
                break Some(at + skip);
            }
        }
    };
    let trailers = reader.trailers().ok()?;
    let listed = trailers.iter().flatten();
    let mut trailers: Vec<_> =
        listed.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    trailers.sort();
    Some(Body { content, end, trailers })
}

/// A whole body, found independently.
fn reference(bytes: &[u8], framing: ResponseFraming) -> Option<Body> {
    let length = match framing {
        ResponseFraming::UntilClose => bytes.len(),
        ResponseFraming::Delimited(Framing::None) => 0,
        ResponseFraming::Delimited(Framing::Length(length)) => usize::try_from(length).ok()?,
        ResponseFraming::Delimited(Framing::Chunked) => return reference_chunks(bytes),
    };
    Some(Body { content: bytes.get(..length)?.to_vec(), end: Some(length), trailers: Vec::new() })
}

fn reference_chunks(bytes: &[u8]) -> Option<Body> {
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(bytes.get(at..)?)
        else {
            return None;
        };
        at += line;
        let size = usize::try_from(size).ok()?;
        if size == 0 {
            break;
        }
        content.extend_from_slice(bytes.get(at..at + size)?);
        at += size;
        at += bytes.get(at..)?.starts_with(b"\r\n").then_some(2)?;
    }
    let mut trailers = [httparse::EMPTY_HEADER; 4096];
    let Ok(httparse::Status::Complete((len, fields))) =
        httparse::parse_headers(bytes.get(at..)?, &mut trailers)
    else {
        return None;
    };
    let mut trailers: Vec<_> =
        fields.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec())).collect();
    trailers.sort();
    Some(Body { content, end: Some(at + len), trailers })
}
