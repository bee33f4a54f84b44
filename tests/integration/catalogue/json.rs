//! J48 to J54, J56: the JSON text of headers and payloads.

use super::{Case, case};
use crate::support::token::Token;

const MALFORMED: &str = "malformed_token";

pub fn cases() -> Vec<Case> {
    [duplicates(), payloads(), headers(), sizes()].into_iter().flatten().collect()
}

/// An object's text with more members at its end.
fn with(object: &str, extra: &str) -> String {
    format!("{},{extra}}}", object.trim_end_matches('}'))
}

/// J48, J49, J50: duplicate names, exact or in another case, in either order.
fn duplicates() -> Vec<Case> {
    let user = Token::user();
    let payload = user.payload_text();
    let mut cases = Vec::new();
    for (id, extra) in [
        ("J48", r#""exp":9999999999"#),
        ("J48", r#""nbf":1,"nbf":2"#),
        ("J48", r#""iss":"open-metadata.org""#),
        ("J48", r#""aud":"a","aud":"b""#),
        ("J48", r#""sub":"admin""#),
        ("J48", r#""iat":1"#),
        ("J49", r#""email":"admin@open-metadata.org""#),
        ("J49", r#""roles":["Admin"]"#),
        ("J49", r#""isBot":true"#),
        ("J49", r#""tokenType":"BOT""#),
        ("J49", r#""su\u0062":"admin""#),
        ("J49", r#""x":{"a":1,"a":2}"#),
        ("J49", r#""x":[{"a":1,"a":2}]"#),
        ("J50", r#""Sub":"admin""#),
        ("J50", r#""ISBOT":true"#),
        ("J50", r#""EMAIL":"admin@open-metadata.org""#),
        ("J50", r#""Exp":9999999999"#),
    ] {
        let before = format!("{{{extra},{}", payload.trim_start_matches('{'));
        cases.push(case(id, format!("{extra} last"), user.over(with(&payload, extra)), MALFORMED));
        cases.push(case(id, format!("{extra} first"), user.over(before), MALFORMED));
    }
    cases
}

/// J51, J52, J56
fn payloads() -> Vec<Case> {
    let user = Token::user();
    let payload = user.payload_text();
    let mut cases = Vec::new();
    for (id, name, text) in [
        ("J51", "text after the object", format!("{payload}x")),
        ("J51", "a second object", format!("{payload}{payload}")),
        ("J51", "a NUL after the object", format!("{payload}\0")),
        ("J51", "a comment", format!("{payload}/* */")),
        ("J51", "a trailing comma", format!("{},}}", payload.trim_end_matches('}'))),
        ("J51", "single quotes", payload.replace('"', "'")),
        ("J51", "a control character in a string", with(&payload, "\"x\":\"\n\"")),
        ("J51", "an unknown escape", with(&payload, r#""x":"\q""#)),
        ("J51", "no closing brace", payload.trim_end_matches('}').to_owned()),
        ("J51", "nothing", String::new()),
        ("J52", "a list", format!("[{payload}]")),
        ("J52", "a list of claims", "[9999999999,1,1]".to_owned()),
        ("J52", "a string", "\"ada\"".to_owned()),
        ("J52", "a number", "1".to_owned()),
        ("J52", "null", "null".to_owned()),
        ("J52", "true", "true".to_owned()),
        ("J56", "a token", user.encode()),
        ("J56", "a token as a JSON string", format!("\"{}\"", user.encode())),
    ] {
        cases.push(case(id, format!("payload: {name}"), user.over(text), MALFORMED));
    }
    let nested = user.clone().header("cty", "JWT".into()).over(user.encode());
    cases.push(case("J56", "a token, and cty says so", nested, MALFORMED));
    cases.push(case("J52", "payload: an empty object", user.over("{}"), "missing_expiry"));
    for number in ["NaN", "Infinity", "-Infinity", "0x10", "01", "+1", "1.", ".5", "1e", "--1", "1e400"] {
        let token = user.over(with(&payload, &format!("\"x\":{number}")));
        cases.push(case("J51", format!("payload: the number {number}"), token, MALFORMED));
    }
    // White space around and inside is valid JSON.
    let spaced = user.over(format!(" \r\n\t{} ", payload.replace(':', " : ").replace("\" : ", "\":\n")));
    cases.push(case("J51", "payload: white space", spaced, "").passes());
    cases
}

/// J51, J52: the same for headers.
fn headers() -> Vec<Case> {
    let user = Token::user();
    let header = user.header_text();
    [
        ("J51", "text after the object", format!("{header}x")),
        ("J51", "a trailing comma", format!("{},}}", header.trim_end_matches('}'))),
        ("J51", "nothing", String::new()),
        ("J52", "a list", format!("[{header}]")),
        ("J52", "null", "null".to_owned()),
        ("J52", "an empty object", "{}".to_owned()),
    ]
    .map(|(id, name, text)| case(id, format!("header: {name}"), user.under(text), MALFORMED))
    .into()
}

/// J53, J54
fn sizes() -> Vec<Case> {
    let user = Token::user();
    let lists = |depth: usize| format!("\"x\":{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("\"x\":{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let over = |extra: &str| user.over(with(&user.payload_text(), extra));
    let under = |extra: &str| user.under(with(&user.header_text(), extra));
    let mut cases = vec![
        case("J53", "31 lists in a claim", over(&lists(31)), "").passes(),
        case("J53", "31 lists in a header", under(&lists(31)), "").passes(),
        case("J53", "unterminated lists", over(&"[".repeat(100_000)), "").not_http(),
    ];
    for depth in [32, 127, 129, 2000] {
        cases.push(case("J53", format!("{depth} lists in a claim"), over(&lists(depth)), MALFORMED));
    }
    for depth in [32, 127, 129, 1200] {
        cases.push(case("J53", format!("{depth} lists in a header"), under(&lists(depth)), MALFORMED));
        cases.push(case("J53", format!("{depth} objects in a claim"), over(&objects(depth)), MALFORMED));
    }
    let filler = |size: usize| format!("\"x\":\"{}\"", "x".repeat(size));
    cases.push(case("J54", "a claim of 10,000 bytes", over(&filler(10_000)), "").passes());
    for size in [13_000, 40_000] {
        cases.push(case("J54", format!("a claim of {size} bytes"), over(&filler(size)), MALFORMED));
    }
    for size in [5000, 13_000, 40_000] {
        cases.push(case("J54", format!("a header of {size} bytes"), under(&filler(size)), MALFORMED));
    }
    let many = |count: usize| (0..count).map(|n| format!("\"c{n}\":0")).collect::<Vec<_>>().join(",");
    cases.push(case("J54", "2000 claims", over(&many(2000)), MALFORMED));
    // Larger than a header section may be: refused before it is fully read.
    for (name, token) in [
        ("10,000 claims", over(&many(10_000))),
        ("a claim of 100,000 bytes", over(&filler(100_000))),
        ("a claim of 1 MiB", over(&filler(1 << 20))),
        ("a header of 1 MiB", under(&filler(1 << 20))),
    ] {
        cases.push(case("J54", name, token, "").not_http());
    }
    cases
}
