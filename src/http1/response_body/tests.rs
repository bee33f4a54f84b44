use super::*;

/// The data and the end of a body, read in pieces of these sizes, in turn, as they would arrive.
fn read_in(
    framing: ResponseFraming,
    bytes: &[u8],
    sizes: &[usize],
) -> Result<(Vec<u8>, Option<usize>), usize> {
    let mut reader = BodyReader::new(framing);
    let (mut data, mut at, mut arrived) = (Vec::new(), 0, 0);
    let mut sizes = sizes.iter().cycle();
    loop {
        match reader.read(&bytes[at..arrived]).map_err(|fault| at + fault.at)? {
            BodyPart::Data { skip, len } => {
                assert!(len > 0);
                data.extend(&bytes[at + skip..at + skip + len]);
                at += skip + len;
            }
            BodyPart::Incomplete => {
                at = arrived;
                if arrived == bytes.len() {
                    return Ok((data, reader.close().is_ok().then_some(at)));
                }
                arrived = bytes.len().min(arrived + sizes.next().expect("a size"));
            }
            BodyPart::End { skip } => {
                assert!(reader.is_ended() && reader.left() == Some(0));
                return Ok((data, Some(at + skip)));
            }
        }
    }
}

/// The data, and how many bytes belong to the body if it is whole; or the position of the first malformed byte. Checks
/// that neither depends on how the bytes are split.
#[track_caller]
fn read(framing: ResponseFraming, bytes: impl AsRef<[u8]>) -> Result<(Vec<u8>, Option<usize>), usize> {
    let bytes = bytes.as_ref();
    let whole = read_in(framing, bytes, &[usize::MAX / 2]);
    for size in [1, 2, 3, 7] {
        assert_eq!(read_in(framing, bytes, &[size]), whole, "in pieces of {size}");
    }
    if bytes.len() < 1000 {
        for at in 1..bytes.len() {
            assert_eq!(read_in(framing, bytes, &[at, bytes.len()]), whole, "split at {at}");
        }
    }
    whole
}

const CHUNKED: ResponseFraming = ResponseFraming::Delimited(Framing::Chunked);

const fn length(length: u64) -> ResponseFraming {
    ResponseFraming::Delimited(Framing::Length(length))
}

fn data(text: &str, end: Option<usize>) -> Result<(Vec<u8>, Option<usize>), usize> {
    Ok((text.as_bytes().to_vec(), end))
}

#[test]
fn a_body_with_a_length_ends_there() {
    assert_eq!(read(ResponseFraming::Delimited(Framing::None), "more"), data("", Some(0)));
    assert_eq!(read(length(0), "more"), data("", Some(0)));
    assert_eq!(read(length(5), "hello"), data("hello", Some(5)));
    assert_eq!(read(length(5), "hellomore"), data("hello", Some(5)));
    assert_eq!(read(length(5), "hell"), data("hell", None), "a short body is not whole");
    assert_eq!(read(length(u64::MAX), "hello"), data("hello", None));
    let mut reader = BodyReader::new(length(5));
    assert_eq!((reader.left(), reader.read(b"hel")), (Some(5), Ok(BodyPart::Data { skip: 0, len: 3 })));
    assert_eq!((reader.left(), reader.close()), (Some(2), Err(CutOff)));
}

#[test]
fn a_body_until_close_ends_only_there() {
    assert_eq!(read(ResponseFraming::UntilClose, "hello\r\n0\r\n\r\n"), data("hello\r\n0\r\n\r\n", Some(12)));
    assert_eq!(read(ResponseFraming::UntilClose, ""), data("", Some(0)));
    let mut reader = BodyReader::new(ResponseFraming::UntilClose);
    assert!(!reader.is_ended() && reader.left().is_none());
    assert_eq!(reader.close(), Ok(()));
    assert!(reader.is_ended());
}

#[test]
fn chunks_are_joined_up_to_the_last() {
    for (body, expected) in [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"),
        ("00005\r\nhello\r\n0000000000000000\r\n\r\n", "hello"),
        ("a;x=y\r\n0123456789\r\n0;b=\"c;\\\"\"\r\n\r\n", "0123456789"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("5\r\nhello\r\n0\r\nA: b\r\nC:\r\n\r\n", "hello"),
    ] {
        assert_eq!(read(CHUNKED, body), data(expected, Some(body.len())), "{body:?}");
        assert_eq!(read(CHUNKED, format!("{body}HTTP/1.1")), data(expected, Some(body.len())), "{body:?}");
        for end in 0..body.len() {
            let cut = read(CHUNKED, &body[..end]).unwrap_or_else(|at| panic!("{body:?} up to {end}: {at}"));
            assert_eq!(cut.1, None, "{body:?} up to {end} is not whole");
        }
    }
}

#[test]
fn first_malformed_byte_of_chunks_is_reported() {
    for (good, rest) in [
        ("", "\r\n"),
        ("", "-1\r\n"),
        ("", "0x5\r\n"),
        ("5", " \r\nhello"),
        ("5", "\nhello"),
        ("5\r", "hello"),
        ("5\r\nhello", "world"),
        ("5\r\nhello", "\n0\r\n\r\n"),
        ("5\r\nhello\r\n", "zz\r\n"),
        ("11112222333344445", ""),
        ("0\r\n", "\n"),
        ("0\r\n", " a: b\r\n"),
        ("0\r\na", " : b\r\n"),
        ("0\r\na: b", "\n"),
    ] {
        let bytes = format!("{good}{rest}");
        let at =
            if rest.is_empty() { good.len() - 1 } else { good.len() + usize::from(rest.starts_with("0x")) };
        assert_eq!(read(CHUNKED, &bytes), Err(at), "{bytes:?}");
    }
}

#[test]
fn trailers_are_available_after_the_end() {
    let trailers = |body: &str, pieces: usize| {
        let mut reader = BodyReader::new(CHUNKED);
        for piece in body.as_bytes().chunks(pieces) {
            let mut at = 0;
            while at < piece.len() {
                assert_eq!(reader.trailers(), Ok(None));
                match reader.read(&piece[at..]).expect("a good body") {
                    BodyPart::Data { skip, len } => at += skip + len,
                    BodyPart::Incomplete => at = piece.len(),
                    BodyPart::End { skip } => at += skip,
                }
            }
        }
        let fields = reader.trailers()?;
        let text = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}={}", value.to_str().unwrap());
        Ok(fields.map(|fields| fields.iter().map(text).collect::<Vec<_>>()))
    };
    for pieces in [1, 2, 5, 1000] {
        assert_eq!(trailers("1\r\nx\r\n0\r\n\r\n", pieces), Ok(None));
        let two = trailers("1\r\nx\r\n0\r\nA: b\r\nC:\t d e \r\na: f\r\n\r\n", pieces);
        assert_eq!(two, Ok(Some(vec!["a=b".to_owned(), "a=f".to_owned(), "c=d e".to_owned()])));
        // All of them or an error, never some.
        let many = (0..500).map(|number| format!("t{number}: x\r\n")).collect::<String>();
        assert_eq!(trailers(&format!("0\r\n{many}\r\n"), pieces).unwrap().unwrap().len(), 500);
        let long = format!("0\r\na: b\r\n{}: c\r\n\r\n", "n".repeat(257));
        assert_eq!(trailers(&long, pieces), Err(TrailerTooLong));
    }
}

#[test]
fn extensions_and_trailers_are_bounded() {
    assert!(read(CHUNKED, format!("1;{}", "e".repeat(16 * 1024))).is_ok());
    assert_eq!(read(CHUNKED, format!("1;{}", "e".repeat(16 * 1024 + 1))), Err(2 + 16 * 1024));
    assert_eq!(read(CHUNKED, format!("0\r\n{}", "e".repeat(8 * 1024 + 1))), Err(3 + 8 * 1024));
}
