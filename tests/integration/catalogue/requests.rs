//! H01 to H16, H18: the request that carries a token. H17 is a scenario.

use serde_json::json;

use super::environments::{ALPHA, Environment, attacker};
use super::{Case, PATH, request};
use crate::support::stub::Received;
use crate::support::token::{Token, bearer};
use crate::support::wire::{Response, request_bytes};

const MISSING: &str = "missing_token";
const SCHEME: &str = "unsupported_scheme";
const MALFORMED: &str = "malformed_token";

pub fn cases() -> Vec<Case> {
    [empty(), schemes(), ambiguous(), bytes(), elsewhere(), passed_on(), revealed(), rules()]
        .into_iter()
        .flatten()
        .collect()
}

/// A GET with these fields.
fn fields(id: &'static str, name: &str, fields: &[(&str, &str)], reason: &'static str) -> Case {
    request(id, name, request_bytes("GET", PATH, fields, b""), reason)
}

fn authorization(id: &'static str, name: &str, value: &str, reason: &'static str) -> Case {
    fields(id, name, &[("Authorization", value)], reason)
}

/// A GET with this text in place of its Authorization lines.
fn head(id: &'static str, name: &str, lines: impl AsRef<[u8]>) -> Case {
    let start = format!("GET {PATH} HTTP/1.1\r\nHost: gateway.test\r\n");
    request(id, name, [start.as_bytes(), lines.as_ref(), b"\r\n\r\n"].concat(), "")
}

/// The challenge has no error attribute, which RFC 6750 section 3.1 reserves for requests with a
/// token.
fn bare_challenge(response: &Response) -> bool {
    response.header("www-authenticate") == Some(r#"Bearer realm="metagate""#)
}

/// Exactly one Authorization field arrives, in the form that both backends understand.
fn canonical(request: &Received) -> bool {
    let values = request.head.values("authorization");
    matches!(values.as_slice(), [one] if one.starts_with("Bearer ey") && one.matches(' ').count() == 1)
}

/// H01, H02
fn empty() -> Vec<Case> {
    let mut cases = vec![fields("H01", "no field", &[], MISSING)];
    for value in ["", "Bearer", "Bearer ", "bearer   ", " \t "] {
        cases.push(authorization("H02", &format!("{value:?}"), value, MISSING));
    }
    cases.into_iter().map(|case| case.checking_response(bare_challenge)).collect()
}

/// H03, H04, H05, H08
fn schemes() -> Vec<Case> {
    let token = Token::bot().encode();
    let mut cases = Vec::new();
    for scheme in ["Bearer", "bearer", "BEARER", "bEARER"] {
        let case = authorization("H03", scheme, &format!("{scheme} {token}"), "");
        cases.push(case.passes().checking_request(canonical));
    }
    for (name, value) in
        [("nothing between", format!("Bearer{token}")), ("a letter", format!("BearerX{token}"))]
    {
        cases.push(authorization("H04", name, &value, SCHEME).checking_response(bare_challenge));
    }
    cases.push(authorization("H04", "no scheme", &token, SCHEME).checking_response(bare_challenge));
    cases.push(authorization("H04", "in quotes", &format!("\"Bearer {token}\""), SCHEME));

    cases.push(authorization("H05", "a tab", &format!("Bearer\t{token}"), SCHEME));
    cases.push(authorization("H05", "two spaces", &format!("Bearer  {token}"), MALFORMED));
    cases.push(authorization("H05", "two tokens", &format!("Bearer {token} {token}"), MALFORMED));
    // White space around a field value is not part of it (RFC 9110 section 5.5).
    for (name, value) in [
        ("a space after", format!("Bearer {token} ")),
        ("a space before", format!(" Bearer {token}")),
        ("tabs and spaces around", format!("\t  Bearer {token} \t")),
    ] {
        cases.push(authorization("H05", name, &value, "").passes().checking_request(canonical));
    }

    for value in ["Basic dXNlcjpwYXNz", "Basic __datahub_system:x", "Digest username=\"a\"", "Negotiate YII="]
    {
        cases.push(authorization("H08", value, value, SCHEME).checking_response(bare_challenge));
    }
    for scheme in ["DPoP", "Token", "JWT", "Basic"] {
        cases.push(
            authorization("H08", scheme, &format!("{scheme} {token}"), SCHEME)
                .checking_response(bare_challenge),
        );
    }
    cases
}

/// H06, H07
fn ambiguous() -> Vec<Case> {
    let good = bearer(&Token::bot());
    let bad = "Bearer abc";
    let mut cases = Vec::new();
    for (name, first, second) in [
        ("good, bad", good.as_str(), bad),
        ("bad, good", bad, &good),
        ("good, good", &good, &good),
        ("Basic, good", "Basic eDp5", &good),
        ("good, nothing", &good, ""),
        ("nothing, good", "", &good),
    ] {
        cases.push(fields("H06", name, &[("Authorization", first), ("authorization", second)], ""));
    }
    for (name, value) in [
        ("good, bad", format!("{good}, {bad}")),
        ("bad, good", format!("{bad}, {good}")),
        ("good, good", format!("{good},{good}")),
        ("valid and a comma", format!("{good},")),
        ("a parameter", format!("{good}, realm=x")),
    ] {
        cases.push(authorization("H07", name, &value, ""));
    }
    cases.into_iter().map(|case| case.refused(400, "ambiguous_credentials")).collect()
}

/// H09, H10, H11
fn bytes() -> Vec<Case> {
    let token = Token::bot().encode();
    let (start, end) = token.split_at(40);
    let mut cases = Vec::new();
    for byte in [0x00, 0x01, 0x0b, 0x1b, 0x7f, 0x80, 0xa0, 0xc3, 0xff_u8] {
        for (place, parts) in [("within", (start, end)), ("after", (token.as_str(), ""))] {
            let lines = [b"Authorization: Bearer ", parts.0.as_bytes(), &[byte], parts.1.as_bytes()].concat();
            let case = head("H09", &format!("{byte:#04x} {place}"), lines);
            // obs-text is valid in a field value but not in a token.
            cases.push(if byte < 0x80 { case.not_http() } else { case.refused(401, MALFORMED) });
        }
    }
    for (id, name, lines) in [
        ("H10", "folded", format!("Authorization: Bearer\r\n {token}")),
        ("H10", "folded with a tab", format!("Authorization: Bearer\r\n\t{token}")),
        ("H10", "folded at once", format!("Authorization:\r\n Bearer {token}")),
        ("H10", "folded within the token", format!("Authorization: Bearer {start}\r\n {end}")),
        ("H11", "a space before the colon", format!("Authorization : Bearer {token}")),
        ("H11", "a tab before the colon", format!("Authorization\t: Bearer {token}")),
        ("H11", "a space before the name", format!(" Authorization: Bearer {token}")),
        ("H11", "a vertical tab before the name", format!("\u{b}Authorization: Bearer {token}")),
        ("H11", "NUL after the name", format!("Authorization\0: Bearer {token}")),
        ("H11", "a non-ASCII letter", format!("Authorizatıon: Bearer {token}")),
    ] {
        cases.push(head(id, name, lines).not_http());
    }
    cases
}

/// H12: everywhere else that some servers look for a token.
fn elsewhere() -> Vec<Case> {
    let good = Token::bot().encode();
    let header = bearer(&Token::bot());
    let cookie = format!("access_token={good}; token={good}");
    let mut cases = Vec::new();
    for (name, value) in [
        ("Cookie", cookie.as_str()),
        ("Proxy-Authorization", &header),
        ("X-Auth-Token", &good),
        ("X-Forwarded-Access-Token", &good),
        ("X-Authorization", &header),
        ("X-Forwarded-Authorization", &header),
        ("Authorization-Info", &header),
        ("X_Authorization", &header),
        ("Sec-WebSocket-Protocol", &good),
    ] {
        cases.push(fields("H12", name, &[(name, value)], MISSING));
    }
    let query = request_bytes("GET", &format!("{PATH}?access_token={good}"), &[], b"");
    cases.push(request("H12", "the query", query, MISSING));
    let form = format!("access_token={good}");
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    cases.push(request("H12", "a form", request_bytes("POST", PATH, &kind, form.as_bytes()), MISSING));
    cases.into_iter().map(|case| case.checking_response(bare_challenge)).collect()
}

/// H13, H14, H15
fn passed_on() -> Vec<Case> {
    let (good, bad) = (bearer(&Token::bot()), Token::bot().expires_in(-3600).encode());
    let target = format!("{PATH}?access_token={bad}&x=1");
    let other = format!("{PATH}?access_token={}", Token::bot().encode());
    let expired = format!("Bearer {bad}");
    let chunked = |credentials: &str, trailer: &str| {
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: gateway.test\r\n{credentials}Transfer-Encoding: chunked\r\n\
             Trailer: Authorization\r\n\r\n2\r\nhi\r\n0\r\nAuthorization: {trailer}\r\n\r\n"
        )
    };
    let no_trailer = |request: &Received| {
        canonical(request)
            && !request.trailers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
    };
    let named = |value| [("Connection", "authorization, close"), ("Authorization", value)];
    vec![
        request(
            "H13",
            "good, and a bad one in the query",
            request_bytes("GET", &target, &[("Authorization", &good)], b""),
            "",
        )
        .passes()
        .checking_request(|request| canonical(request) && request.head.target().ends_with("&x=1")),
        request(
            "H13",
            "bad, and a good one in the query",
            request_bytes("GET", &other, &[("Authorization", &expired)], b""),
            "expired",
        ),
        request("H14", "only in trailers", chunked("", &good), MISSING),
        request(
            "H14",
            "good, and a bad one in trailers",
            chunked(&format!("Authorization: {good}\r\n"), &expired),
            "",
        )
        .passes()
        .checking_request(no_trailer),
        request(
            "H14",
            "bad, and a good one in trailers",
            chunked(&format!("Authorization: {expired}\r\n"), &good),
            "expired",
        ),
        // Authorization is end-to-end: a gateway that removed it would authorize a different request.
        fields("H15", "good", &named(&good), "").refused(400, "bad_target"),
        fields("H15", "bad", &named(&expired), "").refused(400, "bad_target"),
        fields("H15", "none", &[("Connection", "authorization")], "").refused(400, "bad_target"),
    ]
}

/// H16: the response to a bad token is a status and a fixed text with nothing of the token. The
/// audit record has the reason, which every other case checks.
fn revealed() -> Vec<Case> {
    let only_its_class = |response: &Response| {
        let challenge = response.header("www-authenticate").unwrap_or_default();
        let names: Vec<String> =
            response.json().as_object().map(|body| body.keys().cloned().collect()).unwrap_or_default();
        let shown = format!("{challenge}{}", response.text());
        challenge.starts_with(r#"Bearer realm="metagate", error="invalid_token", error_description=""#)
            && names == ["code", "message"]
            && response.header("cache-control") == Some("no-store")
            && !["rsa", "secret-kid", "ada", "open-metadata", "eyJ"].iter().any(|word| shown.contains(word))
    };
    let user = Token::user();
    let unknown = user.clone().header("kid", json!("secret-kid"));
    let forged = user.clone().signed("RS256", attacker()).header("kid", json!("rsa-1"));
    [
        ("an unknown kid", unknown, "unknown_key"),
        ("a bad signature", forged, "invalid_signature"),
        ("expired", user.expires_in(-3600), "expired"),
    ]
    .map(|(name, token, reason)| {
        authorization("H16", name, &bearer(&token), reason).checking_response(only_its_class)
    })
    .into()
}

/// H18
fn rules() -> Vec<Case> {
    let insufficient = |response: &Response| {
        let challenge = response.header("www-authenticate").unwrap_or_default();
        challenge.contains(r#"error="insufficient_scope""#)
    };
    let by = |method: &'static str, name: &str, claim: &str, value: serde_json::Value| {
        let token = Token::user().issuer(ALPHA).header("kid", json!("same")).claim(claim, value);
        let bytes = request_bytes(method, PATH, &[("Authorization", &bearer(&token))], b"");
        request("H18", format!("{method}: {name}"), bytes, "").at(Environment::Issuers)
    };
    let mut cases = vec![
        by("DELETE", "the role", "roles", json!(["Admin"])).passes(),
        by("PATCH", "the claim", "org", json!({"name": "acme"})).passes(),
        by("GET", "no rule", "org", json!(1)).passes(),
    ];
    for (method, name, claim, value) in [
        ("DELETE", "another role", "roles", json!(["DataConsumer"])),
        ("DELETE", "the role in other case", "roles", json!(["admin"])),
        ("DELETE", "no roles", "roles", json!([])),
        ("DELETE", "roles of another type", "roles", json!({"Admin": true})),
        ("PATCH", "no claim", "x", json!(1)),
        ("PATCH", "another value", "org", json!({"name": "acme.evil"})),
        ("PATCH", "another type", "org", json!("acme")),
    ] {
        let case = by(method, name, claim, value).refused(403, "insufficient_permissions");
        cases.push(case.checking_response(insufficient));
    }
    cases
}
