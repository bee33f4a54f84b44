//! J37 to J40, J47, J71: header members that change the meaning of a token, and other JOSE
//! serializations.

use serde_json::json;

use super::environments::attacker;
use super::{Case, case, good};
use crate::support::keys::{self, url64};
use crate::support::token::{Token, parts, seal};

const MALFORMED: &str = "malformed_token";

pub fn cases() -> Vec<Case> {
    [critical(), other_forms(), twice(), types()].into_iter().flatten().collect()
}

/// J37, J38
fn critical() -> Vec<Case> {
    let user = Token::user();
    let mut cases = Vec::new();
    for value in [
        json!(["exp"]),
        json!([]),
        json!(["crit"]),
        json!(["alg", "alg"]),
        json!(["absent"]),
        json!("exp"),
        json!(null),
        json!({}),
        json!(1),
    ] {
        let name = format!("crit {value}");
        cases.push(case("J37", name, user.clone().header("crit", value).encode(), MALFORMED));
    }
    let named = user.clone().header("crit", json!(["x"])).header("x", json!("y"));
    cases.push(case("J37", "crit that names a member", named.encode(), MALFORMED));

    // RFC 7797
    let unencoded = user.clone().header("crit", json!(["b64"])).header("b64", json!(false)).encode();
    let (header, ..) = parts(&unencoded);
    let plain = seal(&format!("{header}.plain"), "RS256", keys::rsa());
    cases.push(case("J38", "b64 false in crit, plain payload", plain, MALFORMED));
    cases.push(case("J38", "b64 false in crit", unencoded.clone(), MALFORMED));
    for value in [json!(false), json!(true)] {
        let name = format!("b64 {value} without crit");
        cases.push(case("J38", name, user.clone().header("b64", value).encode(), MALFORMED));
    }
    let token = user.encode();
    let (header, _, signature) = parts(&token);
    cases.push(case("J38", "a detached payload", format!("{header}..{signature}"), MALFORMED));
    let empty = seal(&format!("{header}."), "RS256", keys::rsa());
    cases.push(case("J38", "a detached payload, signed as empty", empty, MALFORMED));
    cases
}

/// J39, J40
fn other_forms() -> Vec<Case> {
    let user = Token::user();
    let mut cases = vec![
        case("J39", "zip", user.clone().header("zip", json!("DEF")).encode(), MALFORMED),
        case("J39", "enc", user.clone().header("enc", json!("A128GCM")).encode(), MALFORMED),
    ];
    for alg in ["dir", "RSA-OAEP", "PBES2-HS256+A128KW"] {
        let jwe = json!({"alg": alg, "enc": "A128GCM", "zip": "DEF", "p2c": 1_000_000_000, "p2s": "AAAA"});
        let header = url64(jwe.to_string());
        let five = format!("{header}.AAAA.AAAA.AAAA.AAAA");
        cases.push(case("J39", format!("{alg} in five parts"), five, MALFORMED));
        let three = format!("{header}.AAAA.AAAA");
        cases.push(case("J39", format!("{alg} in three parts"), three, MALFORMED));
    }
    let token = user.encode();
    let (header, payload, signature) = parts(&token);
    let one = json!({"protected": header, "signature": signature});
    let flattened = json!({"payload": payload, "protected": header, "signature": signature});
    // A comma in JSON would make it a list of credentials.
    for (name, form) in
        [("flattened", flattened), ("general", json!({"payload": payload, "signatures": [one]}))]
    {
        cases.push(case("J40", name, form.to_string(), "").refused(400, "ambiguous_credentials"));
    }
    cases.push(case("J40", "an object without a comma", json!({"payload": token}).to_string(), MALFORMED));
    cases.push(case("J40", "in base64url", url64(json!({"payload": token}).to_string()), MALFORMED));
    cases
}

/// J47
fn twice() -> Vec<Case> {
    [
        r#"{"alg":"RS256","alg":"none","kid":"rsa-1"}"#,
        r#"{"alg":"none","alg":"RS256","kid":"rsa-1"}"#,
        r#"{"alg":"RS256","alg":"RS256","kid":"rsa-1"}"#,
        r#"{"alg":"RS256","kid":"rsa-2","kid":"rsa-1"}"#,
        r#"{"alg":"RS256","kid":"rsa-1","\u006bid":"rsa-1"}"#,
        r#"{"alg":"RS256","kid":"rsa-1","typ":"JWT","typ":"JWT"}"#,
        r#"{"alg":"RS256","kid":"rsa-1","x":1,"x":2}"#,
    ]
    .map(|header| case("J47", header, Token::user().under(header), MALFORMED))
    .into()
}

/// J71: types of tokens, marked in the header or by a claim.
fn types() -> Vec<Case> {
    let typed = |typ| Token::user().header("typ", typ);
    let mut cases = vec![good("J71", "no typ", &Token::user().without_header("typ"))];
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/JWT"] {
        cases.push(good("J71", format!("typ {typ}"), &typed(json!(typ))));
    }
    for typ in [
        json!("logout+jwt"),
        json!("application/logout+jwt"),
        json!("dpop+jwt"),
        json!("secevent+jwt"),
        json!("JWE"),
        json!("JWTS"),
        json!(" JWT"),
        json!(""),
        json!(null),
        json!(["JWT"]),
    ] {
        cases.push(case("J71", format!("typ {typ}"), typed(typ).encode(), MALFORMED));
    }
    let logout = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    for (name, claim, value) in [
        ("a logout token", "events", logout),
        ("Keycloak's refresh token", "typ", json!("Refresh")),
        ("Keycloak's offline token", "typ", json!("Offline")),
        ("Keycloak's logout token", "typ", json!("Logout")),
    ] {
        cases.push(case("J71", name, Token::user().claim(claim, value).encode(), MALFORMED));
    }
    // OpenMetadata's web UI sends its provider's ID token.
    let id = Token::user().claim("typ", json!("ID")).claim("nonce", json!("n")).claim("at_hash", json!("h"));
    cases.push(good("J71", "an ID token", &id));
    cases.push(good("J71", "other events", &Token::user().claim("events", json!({"x": {}}))));
    cases.push(good("J71", "Keycloak's access token", &Token::user().claim("typ", json!("Bearer"))));
    // A DPoP proof carries its own key and is correctly signed with it (RFC 9449 section 4.2).
    let proof = Token::user().signed("RS256", attacker()).header("typ", json!("dpop+jwt"));
    let proof = proof.without_header("kid").header("jwk", attacker().jwk());
    cases.push(case("J71", "a proof of possession", proof.encode(), MALFORMED));
    cases
}
