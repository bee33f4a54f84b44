//! J41 to J46: base64url, parts and UTF-8. Every token is signed over its exact text, so the
//! signature is never the fault.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE};

use super::{Case, case};
use crate::support::keys::{self, url64};
use crate::support::token::{Token, parts, seal};

const MALFORMED: &str = "malformed_token";

pub fn cases() -> Vec<Case> {
    [base64(), stray_characters(), segments(), utf8()].into_iter().flatten().collect()
}

fn sealed(header: &str, payload: &str) -> String {
    seal(&format!("{header}.{payload}"), "RS256", keys::rsa())
}

/// The text of a header or payload whose length has this remainder modulo three.
fn of_length(remainder: usize, text: impl Fn(Token) -> String) -> String {
    (0..3)
        .map(|n| "y".repeat(n))
        .map(|filler| text(Token::user().claim("x", filler.clone().into()).header("x", filler.into())))
        .find(|text| text.len() % 3 == remainder)
        .expect("one of three lengths")
}

/// J41, J42, J43
fn base64() -> Vec<Case> {
    let good = Token::user().encode();
    let (header, payload, signature) = parts(&good);
    let padded = BASE64_URL_SAFE.encode(of_length(1, |token| token.payload_text()));
    assert!(padded.ends_with("=="), "the case must show padding");
    // A text whose base64 contains both special characters.
    let special = Token::user().claim("x", "???>>>~~~???>>>".into()).payload_text();
    let standard = BASE64_STANDARD_NO_PAD.encode(&special);
    assert!(standard.contains(['+', '/']), "the case must show the alphabet");
    let header_bits = next_character(&url64(of_length(1, |token| token.header_text())));
    let payload_bits = next_character(&url64(of_length(1, |token| token.payload_text())));
    vec![
        case("J41", "padding on the header", sealed(&format!("{header}="), payload), MALFORMED),
        case("J41", "padding on the payload", sealed(header, &format!("{payload}=")), MALFORMED),
        case("J41", "padding twice on the payload", sealed(header, &format!("{payload}==")), MALFORMED),
        case("J41", "padding on the signature", format!("{good}=="), MALFORMED),
        case("J41", "a correctly padded payload", sealed(header, &padded), MALFORMED),
        case("J42", "the standard alphabet", sealed(header, &standard), MALFORMED),
        case("J43", "unused bits in the header", sealed(&header_bits, payload), MALFORMED),
        case("J43", "unused bits in the payload", sealed(header, &payload_bits), MALFORMED),
        case(
            "J43",
            "unused bits in the signature",
            format!("{header}.{payload}.{}", next_character(signature)),
            MALFORMED,
        ),
    ]
}

/// Sets an unused bit of the last character. A lenient decoder reads the same bytes.
fn next_character(text: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = text.chars().last().and_then(|c| ALPHABET.find(c)).expect("base64url");
    format!("{}{}", &text[..text.len() - 1], &ALPHABET[last + 1..last + 2])
}

/// J44
fn stray_characters() -> Vec<Case> {
    let good = Token::user().encode();
    let (header, payload, signature) = parts(&good);
    let (start, end) = payload.split_at(8);
    let mut cases = Vec::new();
    for odd in [" ", "\t", "?", "#", "%2E", "\u{200b}", "*", "é", "\u{7f}", "\r", "\n", "\r\n", "\0"] {
        let shown = odd.escape_unicode();
        for (place, token) in [
            ("within the payload", sealed(header, &format!("{start}{odd}{end}"))),
            ("before the payload", sealed(header, &format!("{odd}{payload}"))),
            ("before the signature", format!("{header}.{payload}.{odd}{signature}")),
        ] {
            let case = case("J44", format!("{shown} {place}"), token, MALFORMED);
            // Bytes that are invalid in a field value are refused as bad HTTP.
            let in_a_field = !odd.contains(['\u{7f}', '\r', '\n', '\0']);
            cases.push(if in_a_field { case } else { case.not_http() });
        }
    }
    let comma = case("J44", "a comma", format!("{header}.{payload},{signature}"), "");
    cases.push(comma.refused(400, "ambiguous_credentials"));
    cases
}

/// J45
fn segments() -> Vec<Case> {
    let good = Token::user().encode();
    let (header, payload, signature) = parts(&good);
    let mut cases = vec![case("J45", "nothing", "", "missing_token")];
    for (name, token) in [
        ("one", header.to_owned()),
        ("two", format!("{header}.{payload}")),
        ("an empty third", format!("{header}.{payload}.")),
        ("a dot after", format!("{good}.")),
        ("a dot before", format!(".{good}")),
        ("four", format!("{good}.{signature}")),
        ("five", format!("{good}.AAAA.AAAA")),
        ("six", format!("{good}.AAAA.AAAA.AAAA")),
        ("an empty first", format!(".{payload}.{signature}")),
        ("the last two swapped", format!("{header}.{signature}.{payload}")),
        ("the first two swapped", sealed(payload, header)),
        ("two dots", "..".to_owned()),
        ("a dot", ".".to_owned()),
        ("three dots", "...".to_owned()),
        ("three letters", "a.b.c".to_owned()),
        ("a word", "no_token".to_owned()),
        ("quotes around", format!("\"{good}\"")),
    ] {
        cases.push(case("J45", name, token, MALFORMED));
    }
    cases
}

/// J46
fn utf8() -> Vec<Case> {
    let user = Token::user();
    let mut cases = Vec::new();
    let forms = |text: &str| {
        let inside =
            |bytes: &[u8]| [text.trim_end_matches('}').as_bytes(), b",\"x\":\"", bytes, b"\"}"].concat();
        [
            ("invalid UTF-8", inside(b"\xff")),
            ("overlong UTF-8", inside(b"\xc0\xae")),
            ("a surrogate in UTF-8", inside(b"\xed\xa0\x80")),
            ("half a character", inside(b"\xe2\x82")),
            ("a lone surrogate", inside(br"\ud800")),
            ("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("a byte order mark", format!("\u{feff}{text}").into_bytes()),
        ]
    };
    for (name, payload) in forms(&user.payload_text()) {
        cases.push(case("J46", format!("payload: {name}"), user.over(payload), MALFORMED));
    }
    for (name, header) in forms(&user.header_text()) {
        cases.push(case("J46", format!("header: {name}"), user.under(header), MALFORMED));
    }
    cases
}
