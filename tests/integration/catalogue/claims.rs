//! J55, J57 to J72: claims in correctly signed tokens.

use serde_json::{Value, json};

use super::environments::{ALPHA, BETA, Environment, STRICT};
use super::{Case, case, good, request};
use crate::support::keys;
use crate::support::token::{Token, bearer, now};
use crate::support::wire::request_bytes;

const MALFORMED: &str = "malformed_token";

pub fn cases() -> Vec<Case> {
    [numbers(), expiry(), lifetime(), times(), issuers(), audiences(), names(), kinds()]
        .into_iter()
        .flatten()
        .collect()
}

/// Sets a claim to raw JSON text, which a serializer might not produce.
fn with_text(name: &str, text: &str) -> String {
    let token = Token::user().without(name).claim("mark", json!(0));
    token.over(token.payload_text().replace("\"mark\":0", &format!("\"{name}\":{text}")))
}

/// J55; also J58 for `exp`, J61 for `nbf`, J62 for `iat`.
fn numbers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, own) in [("exp", "J58"), ("nbf", "J61"), ("iat", "J62")] {
        for text in
            ["1e400", "-1e400", "18446744073709551616", "1e19", "-1", "-0.0", "-1.5", "NaN", "Infinity"]
        {
            cases.push(case("J55", format!("{name} {text}"), with_text(name, text), MALFORMED));
        }
        for text in ["\"123\"", "\"9999999999\"", "true", "false", "[]", "{}", "[9999999999]", "\"\""] {
            cases.push(case(own, format!("{name} {text}"), with_text(name, text), MALFORMED));
        }
    }
    for name in ["nbf", "iat"] {
        for text in ["1.5", "1e9", "0"] {
            cases.push(case("J55", format!("{name} {text}"), with_text(name, text), "").passes());
        }
    }
    for text in ["1.5", "0", "1e9"] {
        cases.push(case("J55", format!("exp {text}"), with_text("exp", text), "expired"));
    }
    cases.push(good(
        "J55",
        "exp in an hour and a half second",
        &Token::user().claim("exp", json!(now() as f64 + 3600.5)),
    ));
    cases.push(case("J61", "nbf null", with_text("nbf", "null"), MALFORMED));
    cases.push(case("J62", "iat null", with_text("iat", "null"), MALFORMED));
    cases
}

/// J57, J58
fn expiry() -> Vec<Case> {
    let user = Token::user();
    let null = |token: Token| token.claim("exp", Value::Null);
    let mut cases = vec![
        good("J58", "a bot's absent", &Token::bot().without("exp")),
        good("J58", "a bot's null", &Token::bot()),
        // DataHub issues tokens without an expiry and does not mark them, so its entry accepts them.
        good("J58", "DataHub's absent", &Token::datahub().without("exp")),
    ];
    for (name, token) in [
        ("by a day", user.clone().expires_in(-86_400)),
        ("by more than the leeway", user.clone().expires_in(-31)),
        ("a bot's", Token::bot().expires_in(-3600)),
        ("DataHub's", Token::datahub().expires_in(-3600)),
    ] {
        cases.push(case("J57", format!("past: {name}"), token.encode(), "expired"));
    }
    for (name, token) in [
        ("absent", user.clone().without("exp")),
        ("null", null(user.clone())),
        ("null for a personal token", null(Token::personal())),
        ("null with isBot as a string", null(user.clone()).claim("isBot", json!("true"))),
        ("null with isBot false", null(user.clone()).claim("tokenType", json!("BOT"))),
    ] {
        cases.push(case("J58", name, token.encode(), "missing_expiry"));
    }
    cases
}

fn strict() -> Token {
    Token::user().issuer(STRICT).claim("aud", json!("us"))
}

/// J59: an issuer with a maximum lifetime of one day.
fn lifetime() -> Vec<Case> {
    let day = 86_400;
    let lived = |seconds: i64| {
        let issued = now() - 5;
        strict().claim("iat", json!(issued)).claim("exp", json!(issued + seconds))
    };
    let until = |text: &str| {
        let token = strict().without("exp").claim("mark", json!(0));
        token.over(token.payload_text().replace("\"mark\":0", &format!("\"exp\":{text}")))
    };
    let too_long = "lifetime_too_long";
    [
        good("J59", "a day", &lived(day)),
        case("J59", "one second too long", lived(day + 1).encode(), too_long),
        case("J59", "without iat", lived(2 * day).without("iat").encode(), too_long),
        case("J59", "1e18", until("1e18"), too_long),
        case("J59", "i64::MAX", until("9223372036854775807"), too_long),
        case("J59", "1e19", until("1e19"), MALFORMED),
        case("J59", "u64::MAX", until("18446744073709551615"), MALFORMED),
        case("J59", "the year 5138", until("99999999999"), too_long),
    ]
    .into_iter()
    .map(|case| case.at(Environment::Issuers))
    .collect()
}

/// J60, J62
fn times() -> Vec<Case> {
    let at = |name: &str, seconds: i64| Token::user().claim(name, json!(now() + seconds));
    let mut cases = Vec::new();
    for (id, name) in [("J60", "nbf"), ("J62", "iat")] {
        cases.push(good(id, format!("{name} within the leeway"), &at(name, 20)));
        for seconds in [600, 3600, 10 * 365 * 86_400] {
            let token = at(name, seconds).encode();
            cases.push(case(id, format!("{name} in {seconds} s"), token, "not_yet_valid"));
        }
        let end = with_text(name, "9223372036854775807");
        cases.push(case(id, format!("{name} at the end of time"), end, "not_yet_valid"));
    }
    cases
}

/// J63, J64, J65, with issuer entries only.
fn issuers() -> Vec<Case> {
    let named = |issuer: Value| Token::user().claim("iss", issuer).header("kid", json!("same"));
    let untrusted = "untrusted_issuer";
    let mut cases = vec![good("J63", "exact", &named(json!(ALPHA)))];
    for issuer in [
        "https://ALPHA.test",
        "https://alpha.test/",
        "https://alpha.test.evil",
        "https://alpha.tes",
        "https://alpha.test ",
        "alpha.test",
        "alpha",
        "",
    ] {
        cases.push(case("J63", format!("iss {issuer:?}"), named(json!(issuer)).encode(), untrusted));
    }
    cases.push(case("J64", "absent", named(json!(null)).without("iss").encode(), untrusted));
    cases.push(case("J64", "null", named(json!(null)).encode(), untrusted));
    for issuer in [json!(42), json!(true), json!({}), json!({"iss": ALPHA})] {
        cases.push(case("J64", format!("iss {issuer}"), named(issuer).encode(), MALFORMED));
    }
    for issuer in [json!([]), json!([ALPHA]), json!([BETA, ALPHA]), json!([[ALPHA]])] {
        cases.push(case("J65", format!("iss {issuer}"), named(issuer).encode(), MALFORMED));
    }
    let mut cases: Vec<_> = cases.into_iter().map(|case| case.at(Environment::Issuers)).collect();
    // The simple list accepts any issuer, but only one.
    let both = Token::user().claim("iss", json!(["datahub-metadata-service", "open-metadata.org"]));
    cases.push(case("J65", "a list for the simple list", both.encode(), MALFORMED));
    cases
}

/// J66, J67, J68: the issuer with the audiences `us` and `them`.
fn audiences() -> Vec<Case> {
    let named = |audience: Value| strict().claim("aud", audience);
    let mut cases = vec![
        good("J67", "one", &named(json!("us"))),
        good("J67", "the other", &named(json!("them"))),
        good("J67", "among others", &named(json!(["other", "us"]))),
    ];
    let wrong = "wrong_audience";
    cases.push(case("J66", "absent", strict().without("aud").encode(), wrong));
    cases.push(case("J66", "null", named(json!(null)).encode(), wrong));
    for audience in [json!(42), json!(true), json!({}), json!({"us": 1}), json!([["us"]]), json!(["us", 1])] {
        cases.push(case("J66", format!("aud {audience}"), named(audience).encode(), MALFORMED));
    }
    for audience in
        [json!([]), json!("other"), json!(["other"]), json!("u"), json!("US"), json!("us "), json!("")]
    {
        cases.push(case("J68", format!("aud {audience}"), named(audience).encode(), wrong));
    }
    cases.into_iter().map(|case| case.at(Environment::Issuers)).collect()
}

/// J69, J70
fn names() -> Vec<Case> {
    let user = Token::user();
    let only = |value: Value| user.clone().without("email").without("preferred_username").claim("sub", value);
    let mut cases = Vec::new();
    for value in [json!(1), json!([]), json!({}), json!(true), json!(["ada"])] {
        let beside = user.clone().claim("sub", value.clone()).encode();
        cases.push(case("J69", format!("sub {value}"), only(value.clone()).encode(), MALFORMED));
        cases.push(case("J69", format!("sub {value} beside an email"), beside, MALFORMED));
    }
    for value in [json!(""), json!(null)] {
        cases.push(case("J70", format!("sub {value}"), only(value).encode(), "missing_principal"));
    }
    cases.push(case("J70", "no sub", only(json!(null)).without("sub").encode(), "missing_principal"));
    for text in ["a\r\nX-Evil: 1", "a\0", "\u{1b}[31m", "a\u{7f}", "a\u{85}", "a\tb"] {
        cases.push(case("J70", format!("sub {text:?}"), only(json!(text)).encode(), MALFORMED));
        let email = user.clone().claim("email", json!(text)).encode();
        cases.push(case("J70", format!("email {text:?}"), email, MALFORMED));
    }
    for length in [257, 10_000] {
        let token = only(json!("a".repeat(length))).encode();
        cases.push(case("J70", format!("sub of {length} bytes"), token, MALFORMED));
    }
    for text in ["a\u{202e}b", "\u{430}da", &"a".repeat(256)] {
        let short: String = text.chars().take(8).collect();
        let named = good("J70", format!("sub {short:?} as it is"), &only(json!(text)));
        // The field value is ASCII without control characters, whatever the name.
        cases.push(named.checking_request(|request| {
            let user = request.head.value("x-forwarded-user");
            user.is_none_or(|user| user.bytes().all(|byte| (0x20..0x7f).contains(&byte)))
        }));
    }
    cases
}

/// J72: PUT is only for bots, which OpenMetadata marks with a boolean.
fn kinds() -> Vec<Case> {
    let put = |name: &str, token: &Token| {
        let bytes = request_bytes("PUT", super::PATH, &[("Authorization", &bearer(token))], b"");
        let case = request("J72", name, bytes, "").refused(403, "insufficient_permissions");
        case.at(Environment::Issuers)
    };
    let user = |value: Value, kind: Value| {
        let token = Token::user().issuer(ALPHA).header("kid", json!("same"));
        token.claim("isBot", value).claim("tokenType", kind)
    };
    let foreign = |kind: Value| {
        let token =
            Token::user().issuer(BETA).signed("RS256", keys::other_rsa()).header("kid", json!("same"));
        token.claim("isBot", json!(true)).claim("tokenType", kind)
    };
    vec![
        put("a bot", &user(json!(true), json!("BOT"))).passes(),
        put("isBot alone", &user(json!(true), json!("OM_USER"))).passes(),
        put("a user", &user(json!(false), json!("OM_USER"))),
        put("isBot a string", &user(json!("true"), json!("OM_USER"))),
        put("isBot a number", &user(json!(1), json!("OM_USER"))),
        put("isBot a list", &user(json!([true]), json!("OM_USER"))),
        put("the class name as tokenType", &user(json!(false), json!("bot"))),
        put("the class name as type", &user(json!(false), json!("X")).claim("type", json!("bot"))),
        put("an unknown tokenType", &user(json!(null), json!("ADMIN"))),
        put("a tokenType that is a list", &user(json!(null), json!(["BOT"]))),
        put("a bot from an identity provider", &foreign(json!("BOT"))),
        put("only isBot, from an identity provider", &foreign(json!("OM_USER"))),
        // Without a rule it is up to the upstream.
        good("J72", "an unknown tokenType without a rule", &user(json!("true"), json!("ADMIN")))
            .at(Environment::Issuers),
    ]
}
