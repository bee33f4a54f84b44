//! Hostile claims, well signed. Case ids are those of the attack catalogue.

use serde_json::{Value, json};

use super::{Hostile, hostile as case};
use crate::support::token::{Token, now};

pub fn hostile() -> Vec<Hostile> {
    let mut cases = Vec::new();
    cases.extend(duplicates());
    cases.extend(dates());
    cases.extend(names());
    cases
}

/// J48, J49, J50: one name twice, exactly or but for its case.
fn duplicates() -> Vec<Hostile> {
    let user = Token::user();
    let payload = user.payload_text();
    let twins = [
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
    ];
    let mut cases = Vec::new();
    for (id, extra) in twins {
        let after = format!("{},{extra}}}", payload.trim_end_matches('}'));
        let before = format!("{{{extra},{}", payload.trim_start_matches('{'));
        cases.push(case(format!("{id} {extra} last"), user.over(after)));
        cases.push(case(format!("{id} {extra} first"), user.over(before)));
    }
    cases
}

/// J55, J57 to J62: dates that are none, or the wrong ones.
fn dates() -> Vec<Hostile> {
    let user = Token::user();
    let mut cases = Vec::new();
    let wrong_types =
        [json!("123"), json!("9999999999"), json!(true), json!([]), json!({}), json!([9_999_999_999_i64])];
    for name in ["exp", "nbf", "iat"] {
        for value in &wrong_types {
            cases.push(case(
                format!("J55 {name} = {value}"),
                user.clone().claim(name, value.clone()).encode(),
            ));
        }
        for number in ["1e400", "-1e400", "18446744073709551616", "1e19", "-1", "NaN"] {
            let mut token = user.clone().without(name);
            // Text that the JSON writer would not produce.
            token = token.claim("mark", json!(0));
            let payload = token.payload_text().replace("\"mark\":0", &format!("\"{name}\":{number}"));
            if name != "exp" && number == "-1" {
                continue; // long ago, which is no fault of nbf and iat
            }
            cases.push(case(format!("J55 {name} = {number}"), token.over(payload)));
        }
    }
    for (name, token) in [
        ("exp long past", user.clone().expires_in(-86_400)),
        ("exp past by more than the leeway", user.clone().expires_in(-40)),
        ("exp 0", user.clone().claim("exp", json!(0))),
        ("exp -0.0", user.clone().claim("exp", json!(-0.0))),
        ("exp absent for a user", user.clone().without("exp")),
        ("exp null for a user", user.clone().claim("exp", Value::Null)),
        ("exp null for a personal token", Token::personal().claim("exp", Value::Null)),
        (
            "exp null where isBot is a word",
            user.clone().claim("exp", Value::Null).claim("isBot", json!("true")),
        ),
        ("nbf in an hour", user.clone().claim("nbf", json!(now() + 3600))),
        ("iat in an hour", user.clone().claim("iat", json!(now() + 3600))),
        ("an expired bot", Token::bot().expires_in(-3600)),
        ("an expired DataHub token", Token::datahub().expires_in(-3600)),
    ] {
        cases.push(case(format!("J57-J62 {name}"), token.encode()));
    }
    cases
}

/// J69, J70: names that are none.
fn names() -> Vec<Hostile> {
    let user = Token::user();
    let only = |value: Value| user.clone().without("email").without("preferred_username").claim("sub", value);
    let mut cases = Vec::new();
    for value in [
        json!(""),
        json!(null),
        json!(1),
        json!([]),
        json!({}),
        json!("a\r\nX-Evil: 1"),
        json!("a\0"),
        json!("\u{1b}[31m"),
    ] {
        cases.push(case(format!("J69-J70 sub = {value}"), only(value.clone()).encode()));
    }
    cases.push(case("J70 sub of 10 KB", only(json!("a".repeat(10_000))).encode()));
    cases.push(case(
        "J70 email with a line end",
        user.clone().claim("email", json!("ada@x\r\nX-Evil: 1")).encode(),
    ));
    for value in [json!(42), json!({}), json!(["datahub-metadata-service", "open-metadata.org"])] {
        cases.push(case(format!("J64 iss = {value}"), user.clone().claim("iss", value.clone()).encode()));
    }
    cases
}
