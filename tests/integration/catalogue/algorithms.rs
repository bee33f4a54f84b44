//! J01 to J05, J18, J35, J36: algorithms and the keys that they need.

use serde_json::json;

use super::{Case, case, good};
use crate::support::keys::{self, DATAHUB_SECRET, Key, url64};
use crate::support::token::{Token, compact};

const NOT_ALLOWED: &str = "algorithm_not_allowed";
const MALFORMED: &str = "malformed_token";
const UNKNOWN: &str = "unknown_key";

pub fn cases() -> Vec<Case> {
    [unsigned(), confused(), mismatched(), unsupported()].into_iter().flatten().collect()
}

pub fn input(token: &str) -> &str {
    &token[..token.rfind('.').expect("three parts")]
}

/// J01, J02, J03
fn unsigned() -> Vec<Case> {
    let user = Token::user();
    let unsigned = |alg: &str| {
        let token = user.clone().header("alg", json!(alg)).encode();
        (format!("{}.", input(&token)), token)
    };
    let mut cases = vec![case("J01", "none, unsigned", unsigned("none").0, NOT_ALLOWED)];
    for alg in
        ["None", "NONE", "nOnE", "none ", " none", "", "rs256", "RS256 ", "HS512", "ES256K", "RSA1_5", "dir"]
    {
        cases.push(case("J02", format!("alg {alg:?}, unsigned"), unsigned(alg).0, NOT_ALLOWED));
        cases.push(case("J03", format!("alg {alg:?}, signed"), unsigned(alg).1, NOT_ALLOWED));
    }
    cases.push(case("J03", "none, signed", unsigned("none").1, NOT_ALLOWED));
    cases.push(case("J03", "none with a garbage signature", unsigned("none").0 + "AAAA", NOT_ALLOWED));
    let escaped = user.under(r#"{"alg":"no\u006ee","kid":"rsa-1"}"#);
    cases.push(case("J02", "none with an escape", escaped, NOT_ALLOWED));
    for (name, alg) in [
        ("null", r#""alg":null,"#),
        ("absent", ""),
        ("a list", r#""alg":["RS256"],"#),
        ("an object", r#""alg":{"":""},"#),
        ("a number", r#""alg":256,"#),
    ] {
        let token = user.under(format!(r#"{{{alg}"kid":"rsa-1"}}"#));
        cases.push(case("J02", format!("alg {name}"), token, MALFORMED));
    }
    // CVE-2020-28042
    for alg in ["RS256", "ES256", "HS256"] {
        cases.push(case("J03", format!("{alg} with an empty signature"), unsigned(alg).0, MALFORMED));
    }
    cases
}

/// J04, J05: public keys used as HMAC secrets.
fn confused() -> Vec<Case> {
    let rsa = keys::rsa();
    let (n, _) = rsa.rsa_numbers();
    let (x, _) = keys::p256().coordinates();
    let pem = rsa.rsa_pem();
    let secrets: Vec<(&str, &str, &str, Vec<u8>)> = vec![
        ("J04", "PEM", "rsa-1", pem.clone().into_bytes()),
        ("J04", "PEM without the final newline", "rsa-1", pem.trim_end().as_bytes().to_vec()),
        ("J04", "SPKI", "rsa-1", rsa.rsa_spki()),
        ("J04", "PKCS#1", "rsa-1", rsa.public_bytes()),
        ("J04", "n", "rsa-1", n.clone()),
        ("J04", "n as text", "rsa-1", url64(n).into_bytes()),
        ("J04", "JWK", "rsa-1", rsa.jwk().to_string().into_bytes()),
        ("J04", "nothing", "rsa-1", vec![]),
        ("J04", "DataHub's secret", "rsa-1", DATAHUB_SECRET.as_bytes().to_vec()),
        ("J05", "an EC point", "p256-1", keys::p256().public_bytes()),
        ("J05", "an EC point's x", "p256-1", x),
        ("J05", "an Ed25519 key", "ed-1", keys::ed25519().public_bytes()),
    ];
    let mut cases = Vec::new();
    for (id, name, kid, secret) in secrets {
        let header = json!({"alg": "HS256", "kid": kid}).to_string();
        let sign = |token: Token| compact(&header, token.payload_text(), "HS256", &Key::secret(&secret));
        cases.push(case(id, format!("HS256 by {name}"), sign(Token::user()), NOT_ALLOWED));
        // The only issuer that may use HS256. Its secret verifies whatever the kid; otherwise no
        // key has that kid.
        if name != "DataHub's secret" {
            let token = sign(Token::user().issuer("datahub-metadata-service"));
            cases.push(case(id, format!("HS256 by {name} as DataHub"), token, "unknown_key"));
        }
    }
    cases
}

/// J18
fn mismatched() -> Vec<Case> {
    let user = Token::user();
    let mut cases = Vec::new();
    for (signed, says, key) in [
        ("ES256", "ES384", keys::p256()),
        ("ES256", "ES512", keys::p256()),
        ("ES384", "ES256", keys::p384()),
        ("RS256", "ES256", keys::rsa()),
        ("ES256", "RS256", keys::p256()),
        ("EdDSA", "ES256", keys::ed25519()),
        ("ES256", "EdDSA", keys::p256()),
        ("EdDSA", "RS256", keys::ed25519()),
    ] {
        let header = json!({"alg": says, "kid": key.kid}).to_string();
        let token = compact(header, user.payload_text(), signed, key);
        cases.push(case("J18", format!("signed {signed}, says {says}, kid {}", key.kid), token, NOT_ALLOWED));
    }
    let datahub = Token::datahub();
    let other = datahub.clone().header("alg", json!("HS384")).encode();
    cases.push(case("J18", "HS384 for DataHub", other, NOT_ALLOWED));
    let by_rsa = datahub.signed("RS256", keys::rsa()).encode();
    cases.push(case("J18", "DataHub's issuer with a key of the list", by_rsa, NOT_ALLOWED));
    cases
}

/// J35, J36. Other cases of J36 show that an unsupported curve does not drop the other keys, and that P-521 is used.
fn unsupported() -> Vec<Case> {
    let ed = Token::user().signed("EdDSA", keys::ed25519()).header("alg", json!("Ed25519"));
    let p521 = Token::user().signed("ES512", keys::p521());
    let koblitz = Token::user().signed("ES256", keys::p256()).header("alg", json!("ES256K"));
    vec![
        // RFC 9864 gives EdDSA with this curve a name of its own.
        good("J35", "Ed25519 with its own key", &ed),
        case("J36", "ES512 without a key for it", p521.encode(), UNKNOWN),
        case("J36", "ES256K", koblitz.encode(), NOT_ALLOWED),
    ]
}
