use super::*;

/// Returns how many bytes belong to the body and whether it has ended. Checks that the result does not depend on
/// how the bytes are split.
#[track_caller]
fn follow(framing: Framing, bytes: &[u8]) -> Result<(usize, bool), BodyFault> {
    let mut tracker = BodyTracker::new(framing);
    let whole = tracker.follow(bytes).map(|taken| (taken, tracker.is_done()));
    for pieces in [1, 2, 3, 7] {
        let mut tracker = BodyTracker::new(framing);
        let mut taken = 0;
        let mut split = Ok(());
        for piece in bytes.chunks(pieces) {
            match tracker.follow(piece) {
                Ok(more) => taken += more,
                Err(fault) => {
                    split = Err(BodyFault { at: taken + fault.at, ..fault });
                    break;
                }
            }
        }
        assert_eq!(split.map(|()| (taken, tracker.is_done())), whole, "in pieces of {pieces}");
    }
    whole
}

#[track_caller]
fn chunked(text: impl AsRef<[u8]>) -> Result<(usize, bool), BodyFault> {
    follow(Framing::Chunked, text.as_ref())
}

#[test]
fn content_length_is_counted() {
    assert_eq!(follow(Framing::None, b"x"), Ok((0, true)));
    assert_eq!(follow(Framing::Length(0), b"x"), Ok((0, true)));
    assert_eq!(follow(Framing::Length(5), b"hell"), Ok((4, false)));
    assert_eq!(follow(Framing::Length(5), b"hello"), Ok((5, true)));
    assert_eq!(follow(Framing::Length(5), b"helloGET /"), Ok((5, true)));
    assert_eq!(follow(Framing::Length(u64::MAX), b"hello"), Ok((5, false)));
}

#[test]
fn a_length_of_a_response_may_be_repeated() {
    let read = |values: &[&str]| {
        let mut framing = FramingFields::new();
        let repeated = values.iter().map(|value| framing.add_response_length(value.as_bytes()));
        repeated.collect::<Result<Vec<_>, _>>().map(|repeated| (repeated, framing.length()))
    };
    assert_eq!(read(&["5"]), Ok((vec![false], Some(5))));
    assert_eq!(read(&["5, 5"]), Ok((vec![true], Some(5))));
    assert_eq!(read(&["5", "5"]), Ok((vec![false, true], Some(5))));
    for wrong in [&["5, 6"][..], &["5", "6"], &["5,"], &["05"]] {
        assert_eq!(read(wrong), Err(NOT_A_LENGTH), "{wrong:?}");
    }
}

#[test]
fn end_of_a_chunked_body_is_found() {
    for body in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "00005\r\nhello\r\n0000000000000000\r\n\r\n",
        "a\r\n0123456789\r\nA\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n",
        "5;a\r\nhello\r\n0;b=c\r\n\r\n",
        "5;a=b;c=\"d \\\" \\\\ ;\t\u{e9}\";e\r\nhello\r\n0\r\n\r\n",
        "0\r\nA: b\r\nC:\r\nD: \t\u{e9} \r\n\r\n",
    ] {
        assert_eq!(chunked(body), Ok((body.len(), true)), "{body:?}");
        let longer = format!("{body}GET / HTTP/1.1\r\n");
        assert_eq!(chunked(&longer), Ok((body.len(), true)), "{longer:?}");
        for end in 0..body.len() {
            assert_eq!(chunked(&body.as_bytes()[..end]), Ok((end, false)), "{body:?} up to {end}");
        }
    }
}

#[test]
fn first_malformed_byte_is_reported() {
    for (good, rest) in [
        ("", "\r\nhello"),
        ("", " 5\r\n"),
        ("", "+5\r\n"),
        ("", ";a\r\n"),
        ("0", "x5\r\n"),
        ("5", "_0\r\n"),
        ("5", " \r\n"),
        ("5", "\t\r\n"),
        ("5", "\nhello"),
        ("5", " ;a\r\n"),
        ("5\r", "\rhello"),
        ("1234567890123456", "7\r\n"),
        ("5;", "\r\n"),
        ("5;", ";a\r\n"),
        ("5;", "=a\r\n"),
        ("5;", " a\r\n"),
        ("5;", "@\r\n"),
        ("5;a", "\0\r\n"),
        ("5;a", "\n"),
        ("5;a", " =b\r\n"),
        ("5;a=", "\r\n"),
        ("5;a=", ";b\r\n"),
        ("5;a=b", "=\r\n"),
        ("5;a=b", "\"\r\n"),
        ("5;a=\"b", "\r\n"),
        ("5;a=\"b", "\n"),
        ("5;a=\"b\\", "\r\n"),
        ("5;a=\"b\"", "c\r\n"),
        ("5\r\nhello", "world\r\n"),
        ("5\r\nhello", "\n0\r\n"),
        ("5\r\nhello\r", "0\r\n"),
        ("5\r\nhello\r\n", "\r\n"),
        ("0\r\n", "\n"),
        ("0\r\n\r", "\r"),
        ("0\r\n", " a: b\r\n"),
        ("0\r\n", ": b\r\n"),
        ("0\r\na", " : b\r\n"),
        ("0\r\na", "\r\n"),
        ("0\r\na: b", "\0\r\n"),
        ("0\r\na: b", "\n"),
        ("0\r\na: b\r\n", "\tc\r\n"),
        ("0\r\na: b\r", "\r\n"),
    ] {
        let fault = chunked(format!("{good}{rest}")).expect_err(good);
        assert_eq!(fault.at, good.len(), "{good:?} {rest:?}: {fault}");
    }
}

#[test]
fn extensions_and_trailers_are_limited_per_body() {
    let chunk = |len: usize| format!("1;{}\r\nx\r\n", "e".repeat(len));
    // The CR at the end counts too.
    assert!(chunked(chunk(16 * 1024 - 1)).is_ok());
    assert!(chunked(chunk(16 * 1024)).is_err());
    assert!(chunked(chunk(1023).repeat(16)).is_ok());
    assert!(chunked(chunk(1023).repeat(17)).is_err());
    let trailer = |len: usize| format!("0\r\na:{}\r\n\r\n", "b".repeat(len));
    assert!(chunked(trailer(8192 - 4)).expect("good").1);
    assert!(chunked(trailer(8192 - 3)).is_err());
}
