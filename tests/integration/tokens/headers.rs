//! Hostile headers: algorithms, keys and extensions. Case ids are those of the attack catalogue.

use serde_json::{Value, json};

use super::{Hostile, hostile as case};
use crate::support::keys::{self, DATAHUB_SECRET, Key, url64};
use crate::support::token::{Token, compact, parts, seal};

pub fn hostile(evil_url: &str) -> Vec<Hostile> {
    let mut cases = Vec::new();
    cases.extend(unsigned());
    cases.extend(confused());
    cases.extend(embedded(evil_url));
    cases.extend(key_ids());
    cases.extend(mismatched());
    cases.extend(signatures());
    cases.extend(extensions());
    cases
}

fn input(token: &str) -> &str {
    &token[..token.rfind('.').expect("three parts")]
}

/// J01, J02, J03
fn unsigned() -> Vec<Hostile> {
    let user = Token::user();
    let mut cases = Vec::new();
    for alg in [
        "none", "None", "NONE", "nOnE", "none ", " none", "", "rs256", "RS256 ", "HS512", "ES256K", "RSA1_5",
        "dir",
    ] {
        let token = user.clone().header("alg", json!(alg)).encode();
        cases.push(case(format!("J01 alg {alg:?}, unsigned"), format!("{}.", input(&token))));
        cases.push(case(format!("J03 alg {alg:?}, signed"), token));
    }
    for (name, header) in [
        ("escaped none", r#"{"alg":"no\u006ee","kid":"rsa-1"}"#),
        ("null", r#"{"alg":null,"kid":"rsa-1"}"#),
        ("absent", r#"{"kid":"rsa-1"}"#),
        ("list", r#"{"alg":["RS256"],"kid":"rsa-1"}"#),
        ("object", r#"{"alg":{"":""},"kid":"rsa-1"}"#),
        ("number", r#"{"alg":256,"kid":"rsa-1"}"#),
    ] {
        cases.push(case(format!("J02 alg {name}"), user.under(header)));
    }
    for alg in ["RS256", "ES256", "HS256"] {
        let token = user.clone().header("alg", json!(alg)).encode();
        cases.push(case(format!("J03 {alg} with an empty signature"), format!("{}.", input(&token))));
    }
    cases
}

/// J04, J05: a public key used as an HMAC secret.
fn confused() -> Vec<Hostile> {
    let rsa = keys::rsa();
    let (n, _) = rsa.rsa_numbers();
    let (x, _) = keys::p256().coordinates();
    let secrets: Vec<(&str, &str, Vec<u8>)> = vec![
        ("PEM", "rsa-1", rsa.rsa_pem().into_bytes()),
        ("PEM without the last line end", "rsa-1", rsa.rsa_pem().trim_end().as_bytes().to_vec()),
        ("SPKI", "rsa-1", rsa.rsa_spki()),
        ("PKCS#1", "rsa-1", rsa.public_bytes()),
        ("n", "rsa-1", n.clone()),
        ("n as text", "rsa-1", url64(n).into_bytes()),
        ("JWK", "rsa-1", rsa.jwk().to_string().into_bytes()),
        ("EC point", "p256-1", keys::p256().public_bytes()),
        ("EC x", "p256-1", x),
        ("Ed25519", "ed-1", keys::ed25519().public_bytes()),
        ("nothing", "rsa-1", vec![]),
        ("DataHub's secret", "rsa-1", DATAHUB_SECRET.as_bytes().to_vec()),
    ];
    let claims = [Token::user(), Token::user().issuer("datahub-metadata-service")];
    let mut cases = Vec::new();
    for (name, kid, secret) in secrets {
        let header = json!({"alg": "HS256", "kid": kid}).to_string();
        // DataHub's own issuer with DataHub's own secret is good, whatever its kid says.
        let tried = if name == "DataHub's secret" { &claims[..1] } else { &claims[..] };
        for token in tried {
            let text = compact(&header, token.payload_text(), "HS256", &Key::secret(&secret));
            cases.push(case(format!("J04 HS256 by {name}"), text));
        }
    }
    cases.push(case("HS384 for DataHub", Token::datahub().header("alg", json!("HS384")).encode()));
    let by_rsa = Token::datahub().signed("RS256", keys::rsa()).encode();
    cases.push(case("DataHub's issuer by a key of the list", by_rsa));
    cases
}

/// J06, J07, J08: keys that the token brings along.
fn embedded(evil_url: &str) -> Vec<Hostile> {
    let attacker: &'static Key = Box::leak(Box::new(Key::secret("attacker")));
    let members: [(&str, Value); 9] = [
        ("jwk", keys::p521().jwk()),
        ("jwk", attacker.jwk()),
        ("jku", json!(evil_url)),
        ("jku", json!("file:///etc/passwd")),
        ("x5u", json!(evil_url)),
        ("x5c", json!([url64("certificate")])),
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
        ("jwks_uri", json!(evil_url)),
    ];
    let mut cases = Vec::new();
    for (name, value) in members {
        for kid in ["rsa-1", "unknown"] {
            let header = json!({"alg": "RS256", "kid": kid, name: value.clone()}).to_string();
            let text = compact(&header, Token::user().payload_text(), "HS256", attacker);
            cases.push(case(format!("J06-J08 {name} with kid {kid}"), text));
        }
    }
    cases
}

/// J09, J10, J12, J13
fn key_ids() -> Vec<Hostile> {
    let user = Token::user();
    let mut cases = Vec::new();
    let long = "k".repeat(10_000);
    for kid in [
        "../../../../dev/null",
        "/dev/null",
        "' OR '1'='1",
        "a;sleep 5",
        "http://x/",
        "%00",
        "\0",
        "rsa-1\0",
        "🔑",
        "\u{202e}rsa-1",
        "a\r\nX-Evil: 1",
        "\u{1b}[31m",
        "RSA-1",
        "rsa-1 ",
        " rsa-1",
        "rsa-",
        "rsa-11",
        "",
        &long,
    ] {
        let name: String = kid.chars().take(30).collect();
        cases.push(case(format!("J09 kid {name:?}"), user.clone().header("kid", json!(kid)).encode()));
    }
    for kid in [json!(1), json!(null), json!([]), json!({}), json!(true), json!(["rsa-1"])] {
        cases.push(case(format!("J10 kid {kid}"), user.clone().header("kid", kid.clone()).encode()));
    }
    cases.push(case("J12 no kid and two keys that fit", user.without_header("kid").encode()));
    cases
}

/// J18, J33, J36: algorithm and key of different kinds.
fn mismatched() -> Vec<Hostile> {
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
        ("RS256", "RS384", keys::rsa()),
        ("RS256", "PS256", keys::rsa()),
        ("PS256", "RS256", keys::rsa()),
        ("PS384", "PS256", keys::rsa()),
        ("ES512", "ES512", keys::p521()),
    ] {
        let header = json!({"alg": says, "kid": key.kid}).to_string();
        let text = compact(header, user.payload_text(), signed, key);
        cases.push(case(format!("J18 signed {signed}, says {says}, kid {}", key.kid), text));
    }
    for (alg, key, kid) in [
        ("RS256", keys::other_rsa(), "rsa-1"),
        ("RS256", keys::rsa(), "rsa-2"),
        ("ES256", keys::p256_short(), "p256-1"),
    ] {
        let text = user.clone().signed(alg, key).header("kid", json!(kid)).encode();
        cases.push(case(format!("another key's kid {kid}"), text));
    }
    cases
}

/// J28, J29, J31, J34: signatures that are none.
fn signatures() -> Vec<Hostile> {
    let mut cases = Vec::new();
    let p256_order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let zero = vec![0; 32];
    let ec = Token::user().signed("ES256", keys::p256()).encode();
    for (name, r, s) in [
        ("0, 0", &zero, &zero),
        ("n, n", &p256_order, &p256_order),
        ("0, n", &zero, &p256_order),
        ("n, 0", &p256_order, &zero),
        ("max, max", &vec![0xff; 32], &vec![0xff; 32]),
    ] {
        let signature = url64([r.as_slice(), s].concat());
        cases.push(case(format!("J28 ES256 with r, s = {name}"), format!("{}.{signature}", input(&ec))));
    }
    let raw = keys::p256().sign("ES256", input(&ec).as_bytes());
    let integer = |half: &[u8]| keys::tlv(2, &[&[0], half].concat());
    let der = keys::tlv(0x30, &[integer(&raw[..32]), integer(&raw[32..])].concat());
    cases.push(case("J29 ES256 in DER", format!("{}.{}", input(&ec), url64(der))));

    for (alg, key) in [("RS256", keys::rsa()), ("ES256", keys::p256()), ("EdDSA", keys::ed25519())] {
        let token = Token::user().signed(alg, key).encode();
        let good = key.sign(alg, input(&token).as_bytes());
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        let longer = [good.as_slice(), &[0]].concat();
        let shifted = [&[0], good.as_slice()].concat();
        let zeros = vec![0; good.len()];
        let shorter = good[..good.len() - 1].to_vec();
        let beheaded = good[1..].to_vec();
        for (name, signature) in [
            ("one bit flipped", flipped),
            ("a byte more", longer),
            ("a zero before", shifted),
            ("a byte less", shorter),
            ("its first byte cut", beheaded),
            ("all zeros", zeros),
            ("one byte", vec![1]),
        ] {
            cases.push(case(format!("J31 {alg}: {name}"), format!("{}.{}", input(&token), url64(signature))));
        }
    }

    let ed = Token::user().signed("EdDSA", keys::ed25519()).encode();
    let mut signature = keys::ed25519().sign("EdDSA", input(&ed).as_bytes());
    add_little_endian(
        &mut signature[32..],
        &hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"),
    );
    cases.push(case("J34 Ed25519 with S + L", format!("{}.{}", input(&ed), url64(signature))));
    cases
}

/// J37, J38, J39, J47 and the other forms of JOSE.
fn extensions() -> Vec<Hostile> {
    let user = Token::user();
    let mut cases = Vec::new();
    for (name, member, value) in [
        ("crit known", "crit", json!(["exp"])),
        ("crit empty", "crit", json!([])),
        ("crit of itself", "crit", json!(["crit"])),
        ("crit alg twice", "crit", json!(["alg", "alg"])),
        ("crit no list", "crit", json!("exp")),
        ("crit null", "crit", json!(null)),
        ("b64 false", "b64", json!(false)),
        ("zip", "zip", json!("DEF")),
        ("typ of another kind", "typ", json!("logout+jwt")),
        ("typ of a proof", "typ", json!("dpop+jwt")),
    ] {
        cases.push(case(format!("J37-J39 {name}"), user.clone().header(member, value).encode()));
    }
    let crit = user.clone().header("crit", json!(["b64"])).header("b64", json!(false));
    let text = crit.encode();
    let (header, _, _) = parts(&text);
    let unencoded = seal(&format!("{header}.{}", "plain"), "RS256", keys::rsa());
    cases.push(case("J38 b64 false in crit, unencoded payload", unencoded));
    cases.push(case("J38 b64 false in crit", text.clone()));
    let good = user.encode();
    let (header, payload, signature) = parts(&good);
    cases.push(case("J38 detached payload", format!("{header}..{signature}")));
    for alg in ["dir", "RSA-OAEP", "PBES2-HS256+A128KW"] {
        let jwe = json!({"alg": alg, "enc": "A128GCM", "zip": "DEF", "p2c": 1_000_000_000, "p2s": "AAAA"});
        let text = format!("{}.AAAA.AAAA.AAAA.AAAA", url64(jwe.to_string()));
        cases.push(case(format!("J39 JWE {alg}"), text));
    }
    let flattened = json!({"payload": payload, "protected": header, "signature": signature}).to_string();
    // JSON has commas, which make a list of credentials.
    cases.push(case("(400) J40 JSON serialization", flattened));
    for twice in [
        r#"{"alg":"RS256","alg":"none","kid":"rsa-1"}"#,
        r#"{"alg":"none","alg":"RS256","kid":"rsa-1"}"#,
        r#"{"alg":"RS256","kid":"rsa-2","kid":"rsa-1"}"#,
        r#"{"alg":"RS256","kid":"rsa-1","\u006bid":"rsa-1"}"#,
        r#"{"alg":"RS256","kid":"rsa-1","typ":"JWT","typ":"JWT"}"#,
        r#"{"alg":"RS256","kid":"rsa-1","x":1,"x":2}"#,
    ] {
        cases.push(case(format!("J47 {twice}"), user.under(twice)));
    }
    cases
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).expect("a hex digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn add_little_endian(number: &mut [u8], other: &[u8]) {
    let mut carry = 0;
    for (digit, more) in number.iter_mut().zip(other) {
        let sum = u16::from(*digit) + u16::from(*more) + carry;
        *digit = sum as u8;
        carry = sum >> 8;
    }
}
