//! What h2 and the service get in place of a head.

use http::Version;

use super::*;
use crate::connection::http2::heads::ReadHead;

/// Names and values.
type Pairs = Vec<(String, String)>;

/// The head of this stream that the service gets, which must be the same for pieces of every size: the method, the
/// target and the fields.
#[track_caller]
pub(super) fn head_of(octets: &[u8], stream: u32) -> Result<(String, String, Pairs), String> {
    let read = |piece| {
        let heads = Arc::<Heads>::default();
        read_with(octets, piece, heads.clone());
        match heads.take(stream).expect("a head") {
            ReadHead::Accepted(head) => {
                assert_eq!(head.version, Version::HTTP_2);
                let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
                let fields = head.headers.iter();
                let fields =
                    fields.map(|field| (field.name().to_owned(), text(field.value().as_bytes()))).collect();
                Ok((head.method.to_string(), head.uri.to_string(), fields))
            }
            ReadHead::Refused(head) => Err(format!("{:?}", head.denial())),
        }
    };
    let head = read(usize::MAX);
    assert_eq!(read(1), head);
    head
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// What h2 gets in place of a head.
pub(super) fn placeholder(length: Option<&str>) -> Pairs {
    let pseudo = [pair(":method", "GET"), pair(":scheme", "http"), pair(":path", "/")];
    pseudo.into_iter().chain(length.map(|length| pair("content-length", length))).collect()
}

#[test]
fn every_field_representation_is_read_once() {
    // Static entries, fields added to the dynamic table, and references to them.
    let block =
        [&[0x82, 0x86, 0x44][..], &[2, b'/', b'x'], &[0x41, 1, b'a', 0x40, 1, b'k', 1, b'v', 0xbe]].concat();
    let octets = [
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &block),
        frame(HEADERS, END_HEADERS, 3, &[0x82, 0x86, 0xc0, 0xbf, 0xbe]),
        frame(PING, 0, 0, &[0; 8]),
    ]
    .concat();
    let frames = passed(&octets);
    assert_eq!(fields(&frames[0].1), placeholder(None));
    assert_eq!(fields(&frames[1].1), placeholder(None));
    let kinds: Vec<_> = frames.iter().map(|(head, _)| (head.kind, head.flags, head.stream)).collect();
    let ended = END_HEADERS | END_STREAM;
    assert_eq!(kinds, [(HEADERS, ended, 1), (HEADERS, END_HEADERS, 3), (PING, 0, 0)]);
    let head = |fields| Ok(("GET".to_owned(), "http://a/x".to_owned(), fields));
    assert_eq!(head_of(&octets, 1), head(vec![pair("k", "v"), pair("k", "v")]));
    assert_eq!(head_of(&octets, 3), head(vec![pair("k", "v")]));
}

#[test]
fn h2_gets_the_length_of_a_body_to_compare_it() {
    let fields_of = |path, length| {
        literals(&[
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "b.test:8443"),
            (":path", path),
            ("content-length", length),
            ("cookie", "a=1"),
        ])
    };
    let octets = frame(HEADERS, END_HEADERS, 1, &fields_of("/x?a=\"b", "1234567"));
    assert_eq!(fields(&passed(&octets)[0].1), placeholder(Some("1234567")));
    let expected = vec![pair("content-length", "1234567"), pair("cookie", "a=1")];
    let target = "https://b.test:8443/x?a=\u{a2}b".to_owned();
    assert_eq!(head_of(&octets, 1), Ok(("POST".to_owned(), target, expected)));
    let octets = frame(HEADERS, END_HEADERS, 1, &fields_of("/x", "+5"));
    assert_eq!(fields(&passed(&octets)[0].1), placeholder(None));
    assert!(head_of(&octets, 1).is_err());
}

#[test]
fn heads_of_streams_that_h2_does_not_open_are_dropped() {
    let request = |stream: u32| frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("/x"));
    let heads = Arc::<Heads>::default();
    let mut frames = Frames::new(LIMITS, heads.clone());
    frames.receive(&[PREFACE, &request(1), &request(3), &request(5)].concat());
    let one = heads.bytes() / 3;
    for part in frame(RST_STREAM, 0, 3, &[0, 0, 0, 7]).chunks(5) {
        frames.sent(part);
    }
    assert_eq!(heads.bytes(), 2 * one, "refused");
    for part in frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]).chunks(5) {
        frames.sent(part);
    }
    assert_eq!(heads.bytes(), one, "after GOAWAY");
    frames.receive(&request(7));
    assert_eq!(heads.bytes(), one, "h2 ignores it");
    assert!(heads.take(1).is_some());
}

#[test]
fn padding_priority_and_continuation_are_removed() {
    let block = head("/x");
    let whole_frame = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    let (whole, whole_head) = (passed(&whole_frame), head_of(&whole_frame, 1));
    assert!(whole_head.is_ok());
    let padded = [&[3, 0, 0, 0, 9, 16][..], &block, &[0; 3]].concat();
    let flags = END_HEADERS | END_STREAM | PADDED | PRIORITY_FLAG;
    assert_eq!(passed(&frame(HEADERS, flags, 1, &padded)), whole);
    assert_eq!(head_of(&frame(HEADERS, flags, 1, &padded), 1), whole_head);
    let (one, other) = block.split_at(20);
    let pieces = [
        frame(HEADERS, END_STREAM, 1, one),
        frame(CONTINUATION, 0, 1, &[]),
        frame(CONTINUATION, END_HEADERS, 1, other),
    ];
    assert_eq!(passed(&pieces.concat()), whole);
    assert_eq!(head_of(&pieces.concat(), 1), whole_head);
    // One octet per frame: h2 on its own would refuse it as a flood.
    let mut pieces = frame(HEADERS, END_STREAM, 1, &[]);
    block.iter().for_each(|octet| pieces.extend(frame(CONTINUATION, 0, 1, &[*octet])));
    pieces.extend(frame(CONTINUATION, END_HEADERS, 1, &[]));
    assert_eq!(passed(&pieces), whole);
    assert_eq!(head_of(&pieces, 1), whole_head);
}

#[test]
fn a_large_head_is_accepted_and_large_trailers_are_split_into_frames_of_allowed_length() {
    let value = "v".repeat(124);
    let many: Vec<(String, &str)> =
        (0..95).map(|number| (format!("x-{number}-{value}"), value.as_str())).collect();
    let mut block = head("/x");
    many.iter().for_each(|(name, value)| {
        block.push(0);
        block.extend([127, (name.len() - 127) as u8]);
        block.extend(name.bytes());
        block.push(value.len() as u8);
        block.extend(value.bytes());
    });
    let (one, other) = block.split_at(10_000);
    let octets = [frame(HEADERS, 0, 1, one), frame(CONTINUATION, END_HEADERS, 1, other)].concat();
    assert_eq!(head_of(&octets, 1).expect("accepted").2.len(), 95);
    let trailers = &block[head("/x").len()..];
    let (one, other) = trailers.split_at(10_000);
    let octets = [
        frame(HEADERS, END_HEADERS, 1, &head("/x")),
        frame(HEADERS, END_STREAM, 1, one),
        frame(CONTINUATION, END_HEADERS, 1, other),
    ];
    let frames = passed(&octets.concat()).split_off(1);
    assert_eq!(
        frames.iter().map(|(head, _)| (head.kind, head.flags)).collect::<Vec<_>>(),
        [(HEADERS, END_STREAM), (CONTINUATION, END_HEADERS)]
    );
    assert!(frames.iter().all(|(head, _)| head.length <= frame::MAX_FRAME));
    let block: Vec<u8> = frames.into_iter().flat_map(|(_, payload)| payload).collect();
    assert_eq!(fields(&block).len(), 95);
}

#[test]
fn a_placeholder_replaces_a_refused_head() {
    for (stream, block, flags) in [
        (1, head("#"), END_STREAM),
        (5, literals(&[(":method", "HEAD"), (":scheme", "http"), (":path", "/a#b")]), 0),
        (7, literals(&[]), END_STREAM),
        (9, literals(&[(":path", "/\\11")]), END_STREAM),
    ] {
        let octets = frame(HEADERS, flags | END_HEADERS, stream, &block);
        let frames = passed(&octets);
        let [(head, block)] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!((head.flags, head.stream), (flags | END_HEADERS, stream));
        assert_eq!(fields(block), placeholder(None));
        assert!(head_of(&octets, stream).is_err(), "{stream}");
    }
}
