use super::*;
use crate::connection::http2::frame::{
    COMPRESSION_ERROR, END_HEADERS, ENHANCE_YOUR_CALM, FRAME_SIZE_ERROR, PADDED, PING, PRIORITY,
    PRIORITY_FLAG, PROTOCOL_ERROR, SETTINGS, WINDOW_UPDATE,
};
use crate::request::{FieldList, HpackDecoder};

mod heads;

use heads::{head_of, placeholder};

const LIMITS: HeadLimits = HeadLimits { bytes: 32 * 1024, target: 8192, fields: 100 };

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [.., high, middle, low] = payload.len().to_be_bytes();
    [&[high, middle, low, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend(text.bytes());
        }
    }
    block
}

fn head(path: &str) -> Vec<u8> {
    literals(&[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a.test")])
}

/// Takes what h2 has to read next.
fn take_ready(frames: &mut Frames) -> Vec<u8> {
    let ready = frames.ready(usize::MAX).to_vec();
    frames.passed(ready.len());
    ready
}

/// What h2 reads if the client's octets come in pieces of this size, and the final state.
fn read(octets: &[u8], piece: usize) -> (Vec<u8>, Frames) {
    read_with(octets, piece, Arc::default())
}

/// The same, with these heads for the service.
fn read_with(octets: &[u8], piece: usize, heads: Arc<Heads>) -> (Vec<u8>, Frames) {
    let mut frames = Frames::new(LIMITS, heads);
    let mut seen = Vec::new();
    for part in [PREFACE, octets].concat().chunks(piece) {
        let in_place = frames.receive(part);
        seen.extend(&part[..in_place]);
        loop {
            let ready = take_ready(&mut frames);
            if ready.is_empty() {
                break;
            }
            seen.extend(ready);
        }
    }
    (seen[PREFACE.len().min(seen.len())..].to_vec(), frames)
}

/// The frames of these octets.
fn split(mut octets: &[u8]) -> Vec<(FrameHead, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((head, rest)) = octets.split_first_chunk::<HEAD_BYTES>() {
        let head = FrameHead::parse(*head);
        let (payload, rest) = rest.split_at(head.length);
        found.push((head, payload.to_vec()));
        octets = rest;
    }
    assert!(octets.is_empty());
    found
}

fn fields(block: &[u8]) -> Vec<(String, String)> {
    let mut list = FieldList::new(1 << 20);
    // Without a dynamic table, because h2 gets only literals.
    HpackDecoder::new(0).decode(block, &mut list).expect("good");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    list.iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// What h2 reads, which must be the same for pieces of every size. There is no error.
#[track_caller]
fn passed(octets: &[u8]) -> Vec<(FrameHead, Vec<u8>)> {
    let (whole, frames) = read(octets, usize::MAX);
    assert_eq!(frames.error(), None);
    for piece in [1, 7, 9, 10, 100] {
        assert_eq!(read(octets, piece).0, whole, "in pieces of {piece}");
    }
    split(&whole)
}

#[track_caller]
fn error(octets: &[u8]) -> u32 {
    let (_, frames) = read(octets, usize::MAX);
    let error = frames.error().expect("an error");
    assert_eq!(read(octets, 1).1.error(), Some(error));
    let goaway = split(&frames.goaway().expect("between two frames"));
    assert_eq!((goaway[0].0.kind, goaway[0].1[4..].to_vec()), (GOAWAY, error.code.to_be_bytes().to_vec()));
    error.code
}

#[test]
fn frames_without_field_blocks_pass_unchanged() {
    let octets = [
        frame(0x4, 0, 0, &[]),
        frame(PING, 0, 0, &[7; 8]),
        frame(DATA, END_STREAM, 1, &[b'x'; 1000]),
        frame(0xf0, 0xff, 9, &[1, 2, 3]),
    ]
    .concat();
    for piece in [1, 8, 9, 10, 500, 5000] {
        assert_eq!(read(&octets, piece).0, octets, "in pieces of {piece}");
    }
    let mut frames = Frames::new(LIMITS, Arc::default());
    assert_eq!(frames.receive(&[PREFACE, &octets].concat()), PREFACE.len() + octets.len(), "not copied");
}

#[test]
fn octets_that_were_already_read_pass_in_the_same_way() {
    let octets = [
        PREFACE,
        &frame(0x4, 0, 0, &[]),
        &frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("/x")),
        &frame(PING, 0, 0, &[7; 8]),
    ]
    .concat();
    let (whole, _) = read(&octets[PREFACE.len()..], usize::MAX);
    for cut in 0..=octets.len() {
        let (early, late) = octets.split_at(cut);
        let mut frames = Frames::new(LIMITS, Arc::default());
        frames.receive_copied(early);
        let mut seen = take_ready(&mut frames);
        let in_place = frames.receive(late);
        seen.extend(&late[..in_place]);
        seen.extend(take_ready(&mut frames));
        assert_eq!(seen, [PREFACE, &whole].concat(), "cut at {cut}");
        assert_eq!(frames.error(), None);
    }
}

#[test]
fn valid_trailers_pass_and_invalid_ones_end_their_stream() {
    let begun = frame(HEADERS, END_HEADERS, 1, &head("/x"));
    let trailers = |fields: &[(&str, &str)]| {
        let frames =
            passed(&[&begun[..], &frame(HEADERS, END_HEADERS | END_STREAM, 1, &literals(fields))].concat());
        self::fields(&frames[1].1)
    };
    assert_eq!(trailers(&[("x-sum", "7")]), [("x-sum".to_owned(), "7".to_owned())]);
    // h2 refuses this as malformed.
    let malformed = [("connection".to_owned(), "close".to_owned())];
    for wrong in [(":path", "/"), ("X", "y"), ("x\"", "y"), ("x", "a\nb")] {
        assert_eq!(trailers(&[wrong]), malformed, "{wrong:?}");
    }
    let itself = [&[0, 0, 0, 1, 16][..], &head("/x")].concat();
    let frames = passed(&frame(HEADERS, END_HEADERS | PRIORITY_FLAG, 1, &itself));
    assert_eq!(fields(&frames[0].1), malformed, "a stream that depends on itself");
}

#[test]
fn invalid_frames_end_the_connection() {
    let block = head("/x");
    let begun = frame(HEADERS, 0, 1, &block);
    let with = |next: Vec<u8>| [&begun[..], &next].concat();
    for (octets, code) in [
        (frame(HEADERS, END_HEADERS, 0, &block), PROTOCOL_ERROR),
        (frame(CONTINUATION, END_HEADERS, 1, &block), PROTOCOL_ERROR),
        (with(frame(CONTINUATION, END_HEADERS, 3, &[])), PROTOCOL_ERROR),
        (with(frame(DATA, 0, 1, b"x")), PROTOCOL_ERROR),
        (with(frame(HEADERS, END_HEADERS, 3, &block)), PROTOCOL_ERROR),
        (with(frame(PRIORITY, 0, 1, &[0; 5])), PROTOCOL_ERROR),
        (frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS | PADDED, 1, &[9, 0, 0]), PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS | PADDED, 1, &[]), FRAME_SIZE_ERROR),
        (frame(HEADERS, END_HEADERS | PRIORITY_FLAG, 1, &[0; 4]), FRAME_SIZE_ERROR),
        (frame(HEADERS, END_HEADERS, 1, &[0; 16_385]), FRAME_SIZE_ERROR),
        (frame(DATA, 0, 1, &[0; 16_385]), FRAME_SIZE_ERROR),
        (frame(PRIORITY, 0, 1, &[0; 4]), FRAME_SIZE_ERROR),
        (frame(RST_STREAM, 0, 1, &[0; 5]), FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 0, &[0; 5]), FRAME_SIZE_ERROR),
        (frame(SETTINGS, 1, 0, &[0; 6]), FRAME_SIZE_ERROR),
        (frame(PING, 0, 0, &[0; 7]), FRAME_SIZE_ERROR),
        (frame(GOAWAY, 0, 0, &[0; 7]), FRAME_SIZE_ERROR),
        (frame(WINDOW_UPDATE, 0, 1, &[0; 3]), FRAME_SIZE_ERROR),
        (frame(HEADERS, END_HEADERS, 1, &[0x80]), COMPRESSION_ERROR),
        (with(frame(CONTINUATION, END_HEADERS, 1, &[0xbe])), COMPRESSION_ERROR),
    ] {
        assert_eq!(error(&octets), code, "{:x?}", &octets[..octets.len().min(40)]);
    }
}

/// A block of about `length` octets, in frames of the largest allowed size.
fn large(stream: u32, length: usize) -> Vec<u8> {
    let mut octets = frame(HEADERS, END_STREAM, stream, &head("/large"));
    let field = [&[0, 1, b'x', 127, 0xad, 0x7e][..], &[b'y'; 16_300]].concat();
    for _ in 0..length / field.len() {
        octets.extend(frame(CONTINUATION, 0, stream, &field));
    }
    octets.extend(frame(CONTINUATION, END_HEADERS, stream, &[]));
    octets
}

#[test]
fn a_head_over_the_limit_is_refused_and_a_much_larger_one_ends_the_connection() {
    let refused = large(1, LIMITS.bytes);
    assert_eq!(fields(&passed(&refused)[0].1), placeholder(None));
    assert!(head_of(&refused, 1).is_err_and(|denial| denial.contains("limits.headerBytes")));
    // Its rest was not kept, so no later block can be decoded.
    let beyond = large(1, 3 * LIMITS.bytes);
    let (seen, frames) = read(&beyond, 1000);
    assert_eq!((fields(&split(&seen)[0].1), frames.error()), (placeholder(None), None));
    assert!(head_of(&beyond, 1).is_err());
    let next = frame(HEADERS, END_HEADERS, 3, &head("/x"));
    assert_eq!(error(&[&beyond[..], &next].concat()), ENHANCE_YOUR_CALM);
    assert_eq!(error(&large(1, 5 * LIMITS.bytes)), ENHANCE_YOUR_CALM);
    // What is buffered is bounded by a head and a frame.
    let heads = Arc::<Heads>::default();
    let mut frames = Frames::new(LIMITS, heads.clone());
    frames.receive(PREFACE);
    for piece in beyond.chunks(999) {
        frames.receive(piece);
        assert!(frames.buffered() <= 2 * LIMITS.bytes + frame::MAX_FRAME, "{}", frames.buffered());
    }
    take_ready(&mut frames);
    assert!(heads.take(1).is_some());
    assert_eq!(frames.buffered(), 0);
}

#[test]
fn resets_in_both_directions_are_counted_in_any_pieces() {
    let request = |stream: u32| frame(HEADERS, END_HEADERS, stream, &head("/x"));
    for piece in [1, 5, 13, 100] {
        let mut frames = Frames::new(LIMITS, Arc::default());
        frames.receive(PREFACE);
        let mut count = 0;
        while frames.error().is_none() && count < 1000 {
            count += 1;
            frames.receive(&request(2 * count + 1));
            let reset = frame(RST_STREAM, 0, 2 * count + 1, &PROTOCOL_ERROR.to_be_bytes());
            reset.chunks(piece).for_each(|part| frames.sent(part));
        }
        assert_eq!((count, frames.error()), (200, Some(TOO_MANY_RESETS)), "in pieces of {piece}");
        assert!(frames.goaway().is_some());
    }
    // A reset after the response has ended does not count.
    let mut frames = Frames::new(LIMITS, Arc::default());
    frames.receive(PREFACE);
    for stream in (1..2001).step_by(2) {
        frames.receive(&request(stream));
        frames.sent(&frame(HEADERS, END_HEADERS, stream, b"\x88"));
        frames.sent(&frame(DATA, END_STREAM, stream, b"ok"));
        frames.receive(&frame(RST_STREAM, 0, stream, &[0; 4]));
        assert_eq!(frames.error(), None);
    }
}

#[test]
fn goaway_is_never_sent_in_the_middle_of_a_frame() {
    let mut frames = Frames::new(LIMITS, Arc::default());
    frames.receive(&[PREFACE, &frame(CONTINUATION, 0, 1, &[])].concat());
    let response = frame(DATA, 0, 1, b"hello");
    for cut in 1..response.len() {
        frames.sent(&response[..cut]);
        assert!(frames.goaway().is_none(), "{cut}");
        frames.sent(&response[cut..]);
        assert!(frames.goaway().is_some());
    }
}

#[test]
fn expanded_heads_are_given_to_h2_in_bounded_steps() {
    // A field of 4,000 octets in the table, and requests that refer to it eight times each.
    let value = [&[0x40, 1, b'x', 127, 0xa1, 0x1e][..], &[b'y'; 4000]].concat();
    let first = frame(HEADERS, END_HEADERS, 1, &[&head("/x")[..], &value].concat());
    let block = [&head("/x")[..], &[0xbe; 7]].concat();
    let rest: Vec<u8> =
        (1..200).flat_map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, &block)).collect();
    let octets = [PREFACE, &first, &rest].concat();
    let heads = Arc::<Heads>::default();
    let mut frames = Frames::new(LIMITS, heads.clone());
    let mut seen = octets[..frames.receive(&octets)].to_vec();
    let (mut steps, mut next) = (0, 1);
    loop {
        assert!(heads.bytes() <= MAX_READY + 2 * LIMITS.bytes, "{}", heads.bytes());
        let ready = take_ready(&mut frames);
        if ready.is_empty() {
            break;
        }
        seen.extend(ready);
        steps += 1;
        while heads.take(next).is_some() {
            next += 2;
        }
    }
    assert!(steps > 100, "{steps}");
    assert_eq!(frames.error(), None);
    let heads = split(&seen[PREFACE.len()..]);
    assert_eq!(heads.iter().filter(|(head, _)| head.kind == HEADERS).count(), 200);
}

#[test]
fn a_stream_counts_once_h2_has_read_its_head() {
    let heads: Vec<u8> = (0..10)
        .flat_map(|number| {
            frame(HEADERS, END_STREAM | 0x4, 2 * number + 1, &[0x82, 0x86, 0x84, 0x41, 1, b'a'])
        })
        .collect();
    let mut frames = Frames::new(LIMITS, Arc::default());
    frames.receive(&[PREFACE, &heads].concat());
    assert_eq!(frames.open_streams(), 0);
    let three = frames.ready(3).len();
    assert_eq!(split(frames.ready(3)).len(), 3);
    assert_eq!((frames.passed(three - 1), frames.open_streams()), (2, 2));
    assert_eq!((frames.passed(1), frames.open_streams()), (1, 3));
    assert_eq!(split(frames.ready(3)).len(), 3);
    assert_eq!(split(frames.ready(7)).len(), 7);
    take_ready(&mut frames);
    assert_eq!(frames.open_streams(), 10);
}
