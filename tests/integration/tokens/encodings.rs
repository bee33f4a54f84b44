//! Hostile encodings: base64, segments, JSON text. Case ids are those of the attack catalogue.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE};

use super::{Hostile, hostile as case};
use crate::support::keys::{self, url64};
use crate::support::token::{Token, parts, seal};

pub fn hostile() -> Vec<Hostile> {
    let mut cases = Vec::new();
    cases.extend(base64());
    cases.extend(segments());
    cases.extend(text());
    cases.extend(sizes());
    cases
}

fn sealed(header: &str, payload: &str) -> String {
    seal(&format!("{header}.{payload}"), "RS256", keys::rsa())
}

/// J41, J42, J43, J44; signed over the very text, so that the signature is not what is wrong.
fn base64() -> Vec<Hostile> {
    let mut cases = Vec::new();
    let good = Token::user().encode();
    let (header, payload, signature) = parts(&good);
    for (name, token) in [
        ("header", sealed(&format!("{header}="), payload)),
        ("payload", sealed(header, &format!("{payload}="))),
        ("payload twice", sealed(header, &format!("{payload}=="))),
        ("signature", format!("{good}==")),
    ] {
        cases.push(case(format!("J41 padding on the {name}"), token));
    }
    let padded = (0..3)
        .map(|n| BASE64_URL_SAFE.encode(Token::user().claim("x", "y".repeat(n).into()).payload_text()))
        .find(|text| text.ends_with('='))
        .expect("one of three lengths");
    cases.push(case("J41 a payload padded as it should be", sealed(header, &padded)));

    // Text whose base64 needs both special characters: `?>` and `~~~`.
    let special = Token::user().claim("x", "???>>>~~~???>>>".into()).payload_text();
    let standard = BASE64_STANDARD_NO_PAD.encode(&special);
    assert!(standard.contains(['+', '/']), "the case must show the alphabet");
    cases.push(case("J42 the standard alphabet", sealed(header, &standard)));

    let odd_payload = (0..3)
        .map(|n| Token::user().claim("x", "y".repeat(n).into()).payload_text())
        .find(|p| p.len() % 3 == 1);
    let canonical = url64(odd_payload.expect("one of three lengths"));
    cases.push(case("J43 unused bits in the payload", sealed(header, &next_character(&canonical))));
    cases.push(case(
        "J43 unused bits in the signature",
        format!("{header}.{payload}.{}", next_character(signature)),
    ));

    for odd in [" ", "\t", "?", "#", "%2E", "\u{200b}", "*", "é", "\u{7f}"] {
        let shown = odd.escape_unicode();
        // A byte that no field value may hold is refused with the whole head.
        let prefix = if odd == "\u{7f}" { "(400) " } else { "" };
        cases.push(case(
            format!("{prefix}J44 {shown} within the payload"),
            sealed(header, &format!("{odd}{payload}")),
        ));
        cases.push(case(
            format!("{prefix}J44 {shown} before the signature"),
            format!("{header}.{payload}.{odd}{signature}"),
        ));
    }
    cases.push(case("(400) J44 a comma", format!("{header}.{payload},{signature}")));
    cases
}

/// The same bits for a lenient decoder: the last character with one of its unused bits set.
fn next_character(text: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = text.chars().last().and_then(|c| ALPHABET.find(c)).expect("base64url");
    format!("{}{}", &text[..text.len() - 1], &ALPHABET[last + 1..last + 2])
}

/// J45
fn segments() -> Vec<Hostile> {
    let good = Token::user().encode();
    let (header, payload, signature) = parts(&good);
    [
        header.to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{good}.AAAA.AAAA"),
        format!("{good}.AAAA.AAAA.AAAA"),
        format!(".{payload}.{signature}"),
        format!("{header}.{signature}.{payload}"),
        format!("{payload}.{header}.{signature}"),
        "..".to_owned(),
        ".".to_owned(),
        "...".to_owned(),
        "a.b.c".to_owned(),
        "no_token".to_owned(),
        format!("\"{good}\""),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, token)| case(format!("J45 segments, form {index}"), token))
    .collect()
}

/// J46, J51, J52
fn text() -> Vec<Hostile> {
    let user = Token::user();
    let payload = user.payload_text();
    let header = user.header_text();
    let inside = |extra: &str| format!("{},{extra}}}", payload.trim_end_matches('}')).into_bytes();
    let mut payloads: Vec<(&str, Vec<u8>)> = vec![
        ("invalid UTF-8", [inside("\"x\":\""), vec![0xff], b"\"}".to_vec()].concat()),
        ("overlong UTF-8", [payload.trim_end_matches('}').as_bytes(), b",\"x\":\"\xc0\xae\"}"].concat()),
        ("UTF-16", payload.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a byte order mark", format!("\u{feff}{payload}").into_bytes()),
        ("a lone surrogate", inside(r#""x":"\ud800""#)),
        ("text after the object", format!("{payload}x").into_bytes()),
        ("a second object", format!("{payload}{payload}").into_bytes()),
        ("a NUL after the object", format!("{payload}\0").into_bytes()),
        ("a comment", format!("{payload}/* */").into_bytes()),
        ("a trailing comma", format!("{},}}", payload.trim_end_matches('}')).into_bytes()),
        ("single quotes", payload.replace('"', "'").into_bytes()),
        ("a control character in a string", inside("\"x\":\"\n\"")),
        ("an unknown escape", inside(r#""x":"\q""#)),
        ("no closing brace", payload.trim_end_matches('}').as_bytes().to_vec()),
        ("a list", format!("[{payload}]").into_bytes()),
        ("a list of claims", b"[9999999999,1,1]".to_vec()),
        ("a string", b"\"ada\"".to_vec()),
        ("a number", b"1".to_vec()),
        ("null", b"null".to_vec()),
        ("true", b"true".to_vec()),
        ("an empty object", b"{}".to_vec()),
        ("nothing", vec![]),
        ("a token (J56)", user.encode().into_bytes()),
    ];
    for number in ["NaN", "Infinity", "-Infinity", "0x10", "01", "+1", "1.", ".5", "1e", "--1", "1e400"] {
        payloads.push(("a number", inside(&format!("\"x\":{number}"))));
    }
    let mut cases: Vec<_> = payloads
        .iter()
        .map(|(name, bytes)| case(format!("J46-J52 payload: {name}"), user.over(bytes)))
        .collect();
    for (name, bytes) in [
        ("invalid UTF-8", [header.trim_end_matches('}').as_bytes(), b",\"x\":\"\xff\"}"].concat()),
        ("a byte order mark", format!("\u{feff}{header}").into_bytes()),
        ("text after the object", format!("{header}x").into_bytes()),
        ("a trailing comma", format!("{},}}", header.trim_end_matches('}')).into_bytes()),
        ("a list", format!("[{header}]").into_bytes()),
        ("null", b"null".to_vec()),
        ("nothing", vec![]),
        ("a lone surrogate", br#"{"alg":"RS256","kid":"rsa-1","x":"\udfff"}"#.to_vec()),
    ] {
        cases.push(case(format!("J46-J52 header: {name}"), user.under(bytes)));
    }
    cases
}

/// J53, J54
fn sizes() -> Vec<Hostile> {
    let user = Token::user();
    let nest = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let nest_objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let with = |text: &str, extra: &str| format!("{},\"x\":{extra}}}", text.trim_end_matches('}'));
    let mut cases = Vec::new();
    for depth in [129, 200, 5000] {
        let token = user.over(with(&user.payload_text(), &nest(depth)));
        cases.push(case(format!("J53 a claim {depth} deep"), token));
        let token = user.under(with(&user.header_text(), &nest(depth)));
        cases.push(case(format!("J53 a header member {depth} deep"), token));
    }
    cases.push(case("J53 objects", user.over(with(&user.payload_text(), &nest_objects(1000)))));
    for size in [13_000, 16_000, 40_000, 100_000] {
        let filler = format!("\"{}\"", "x".repeat(size));
        cases.push(case(
            format!("J54 a claim of {size} bytes"),
            user.over(with(&user.payload_text(), &filler)),
        ));
        cases.push(case(
            format!("J54 a header of {size} bytes"),
            user.under(with(&user.header_text(), &filler)),
        ));
    }
    cases
}
