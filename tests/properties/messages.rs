//! Messages to and from a backend: what is written is read back, however the bytes are split.

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method};
use metagate::http1::{
    BodyPart, BodyReader, BodyWriter, HeadWriter, RequestFraming, ResponseFraming, ResponseHeadReader,
};
use metagate::message::Fields;
use metagate::request::{BodyTracker, Framing, HeadLimits, HeadScanner};
use proptest::collection::vec;
use proptest::prelude::*;

use super::check;

#[path = "keep_alive.rs"]
mod keep_alive;

const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, target: 8192, fields: 100 };

/// Fields that say nothing about the framing.
fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let value = vec(prop_oneof![Just(b' '), Just(b'\t'), b'!'..=b'~', 0x80..=0xff_u8], 0..20);
    let value = value.prop_map(|value| value.trim_ascii().to_vec());
    vec(("x-[a-z0-9!#$%&'*+.^_`|~-]{0,12}", value), 0..12)
}

fn header_map(fields: &[(String, Vec<u8>)]) -> Fields {
    let mut map = Fields::new();
    for (name, value) in fields {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_bytes(value).expect("a value"),
        );
    }
    map
}

/// The runs of a body, some of them empty.
fn runs() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..300), 1..8)
}

#[test]
fn the_strict_request_reader_reads_what_is_written_to_a_backend() {
    let strategy = (fields(), runs(), any::<bool>());
    check(300, &strategy, |(fields, runs, chunked)| {
        let content = runs.concat();
        let framing =
            if chunked { RequestFraming::Chunked } else { RequestFraming::Length(content.len() as u64) };
        let (target, headers) = (PathAndQuery::from_static("/a?b"), header_map(&fields));
        let mut bytes = Vec::new();
        HeadWriter { method: &Method::PUT, prefix: "", target: &target, headers: &headers, framing }
            .write_to(&mut bytes);
        let head_len = bytes.len();
        let mut writer = BodyWriter::new(framing);
        for (index, run) in runs.iter().enumerate() {
            let framing = writer.run(run.len(), index + 1 == runs.len()).expect("the stated length");
            bytes.extend([framing.before(), run, framing.after].concat());
        }
        let head = HeadScanner::new(LIMITS).scan(&bytes).expect("a good head").expect("a whole head");
        let expected = match framing {
            RequestFraming::Chunked => Framing::Chunked,
            _ if content.is_empty() => Framing::None,
            _ => Framing::Length(content.len() as u64),
        };
        prop_assert_eq!((head.len, head.framing), (head_len, expected));
        let mut tracker = BodyTracker::new(head.framing);
        prop_assert_eq!(tracker.follow(&bytes[head_len..]), Ok(bytes.len() - head_len));
        prop_assert!(tracker.is_done());
        let framing = ResponseFraming::Delimited(head.framing);
        let read = read_body(framing, &bytes[head_len..], &[7]);
        prop_assert_eq!(read, Some((content, bytes.len() - head_len)));
        Ok(())
    });
}

/// The content of a body that arrives in pieces of these sizes, in turn, and the number of its bytes.
fn read_body(framing: ResponseFraming, bytes: &[u8], sizes: &[usize]) -> Option<(Vec<u8>, usize)> {
    let mut reader = BodyReader::new(framing);
    let (mut content, mut at, mut arrived) = (Vec::new(), 0, 0);
    let mut sizes = sizes.iter().cycle();
    loop {
        match reader.read(&bytes[at..arrived]).ok()? {
            BodyPart::Data { skip, len } => {
                content.extend(&bytes[at + skip..at + skip + len]);
                at += skip + len;
            }
            BodyPart::Incomplete if arrived == bytes.len() => {
                return reader.close().ok().map(|()| (content, arrived));
            }
            BodyPart::Incomplete => {
                at = arrived;
                arrived = bytes.len().min(arrived + sizes.next().expect("a size"));
            }
            BodyPart::End { skip } => return Some((content, at + skip)),
        }
    }
}

/// The bytes of a response with these runs as its body, and the length of its head.
fn response(fields: &[(String, Vec<u8>)], runs: &[Vec<u8>], framing: u8) -> (Vec<u8>, usize) {
    let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
    for (name, value) in fields {
        bytes.extend([name.as_bytes(), b":\t ", value, b" \r\n"].concat());
    }
    let length = runs.concat().len();
    match framing {
        0 => bytes.extend(format!("Content-Length: {length}\r\n\r\n").bytes()),
        1 => bytes.extend(b"Transfer-Encoding: Chunked\r\n\r\n"),
        _ => bytes.extend(b"\r\n"),
    }
    let head_len = bytes.len();
    for run in runs {
        match framing {
            1 if run.is_empty() => {}
            1 => bytes.extend([format!("{:04X};x=\"y\"\r\n", run.len()).as_bytes(), run, b"\r\n"].concat()),
            _ => bytes.extend(run),
        }
    }
    if framing == 1 {
        bytes.extend(b"0\r\nA: b\r\n\r\n");
    }
    (bytes, head_len)
}

#[test]
fn a_response_is_read_as_it_was_sent_however_it_is_split() {
    let strategy = (fields(), runs(), 0..3_u8, vec(1..40_usize, 1..6));
    check(300, &strategy, |(fields, runs, framing, sizes)| {
        let (bytes, head_len) = response(&fields, &runs, framing);
        let whole = ResponseHeadReader::new(LIMITS).read(&bytes).expect("a good head").expect("a whole head");
        prop_assert_eq!((whole.len, whole.keep_alive), (head_len, framing < 2));
        for at in 0..=bytes.len().min(2 * head_len) {
            let mut reader = ResponseHeadReader::new(LIMITS);
            let first = reader.read(&bytes[..at]).expect("a good head");
            prop_assert_eq!(first, (at >= head_len).then_some(whole));
            let read = first.or_else(|| reader.read(&bytes).expect("a good head"));
            prop_assert_eq!(read, Some(whole));
            let (headers, _) = reader.take_fields(bytes[..head_len].into());
            let mut expected = header_map(&fields);
            if framing == 0 {
                expected.insert("content-length", HeaderValue::from(runs.concat().len()));
            }
            prop_assert_eq!(headers, expected);
        }
        let body = &bytes[head_len..];
        for sizes in [&sizes[..], &[1], &[body.len().max(1)]] {
            prop_assert_eq!(read_body(whole.framing, body, sizes), Some((runs.concat(), body.len())));
        }
        // A response that is cut short is never whole, except if its end is that of the connection.
        for end in (0..body.len()).filter(|_| framing < 2) {
            prop_assert_eq!(read_body(whole.framing, &body[..end], &[64]), None, "{} of {}", end, body.len());
        }
        Ok(())
    });
}
