//! The examples of RFC 7515 appendix A as complete tokens. Vectors whose payload is not a claims
//! set are in `src/jose/tests`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use metagate::claims::{
    ClaimRules, ClaimsFault, NonExpiring, OwnTokens, PrincipalRules, PrincipalStyle, RolesClaim, TokenKinds,
};
use metagate::jose::{
    Algorithm, AlgorithmSet, JoseFault, JsonValue, KeyDialect, KeySet, ParsedKeys, UnverifiedToken,
    VerificationKey,
};
use metagate::numeric_date::NumericDate;
use metagate::trust::{self, TokenFault, TrustedIssuer};
use serde_json::json;

const MAX_BYTES: usize = 8192;
/// `{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}`
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
                       cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
/// `exp` of that payload: the first second at which the token has expired.
const EXPIRY: i64 = 1_300_819_380;

const A1_HEADER: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9";
const A1_SIGNATURE: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const A1_SECRET: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

const A2_HEADER: &str = "eyJhbGciOiJSUzI1NiJ9";
const A2_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7\
                            AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4\
                            BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K\
                            0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv\
                            hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB\
                            p0igcN_IoypGlUPQGe77Rw";
const A2_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddx\
                    HmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs\
                    D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSH\
                    SXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV\
                    MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8\
                    NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

const A3_HEADER: &str = "eyJhbGciOiJFUzI1NiJ9";
const A3_SIGNATURE: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const A3_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const A3_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

fn a1_keys() -> KeySet {
    let secret = URL_SAFE_NO_PAD.decode(A1_SECRET).unwrap();
    KeySet::new(vec![VerificationKey::from_shared_secret(&secret).into()])
}

fn a2_keys() -> KeySet {
    keys(&json!({"kty": "RSA", "n": A2_N, "e": "AQAB"}))
}

fn a3_keys() -> KeySet {
    keys(&json!({"kty": "EC", "crv": "P-256", "x": A3_X, "y": A3_Y}))
}

fn keys(jwk: &serde_json::Value) -> KeySet {
    let parsed = parsed(jwk);
    assert!(parsed.skipped.is_empty(), "{:?}", parsed.skipped);
    KeySet::new(parsed.usable)
}

fn parsed(jwk: &serde_json::Value) -> ParsedKeys {
    let document = json!({"keys": [jwk]}).to_string();
    ParsedKeys::parse(document.as_bytes(), KeyDialect::Standard).unwrap()
}

/// Verifies a token by an entry for the issuer `joe`.
fn verify(token: &str, algorithm: Algorithm, keys: &KeySet, now: i64) -> Result<String, TokenFault> {
    let entry = TrustedIssuer {
        name: "joe".into(),
        algorithms: AlgorithmSet::from_iter([algorithm]),
        rules: ClaimRules {
            own_tokens: OwnTokens::default(),
            kinds: TokenKinds::default(),
            issuers: vec!["joe".into()],
            audiences: Vec::new(),
            refuses_foreign_audiences: false,
            non_expiring: NonExpiring::None,
            max_lifetime: None,
            leeway: std::time::Duration::ZERO,
            principal: PrincipalRules {
                claims: vec!["iss".into()],
                mapping: None,
                style: PrincipalStyle::AsIs,
            },
            roles_claim: RolesClaim::default(),
            domain: None,
        },
    };
    let token = UnverifiedToken::parse(token, MAX_BYTES)?;
    let verified = trust::verify(&token, &entry, Some(keys), NumericDate::from_secs(now))?;
    assert!(matches!(verified.claims().get("http://example.com/is_root"), Some(JsonValue::Bool(true))));
    Ok(verified.principal().to_owned())
}

/// Checks that the example verifies until it expires, and never with one bit of its signature
/// flipped.
#[track_caller]
fn assert_verifies_until_expiry(header: &str, signature: &str, algorithm: Algorithm, keys: &KeySet) {
    let token = format!("{header}.{PAYLOAD}.{signature}");
    assert_eq!(verify(&token, algorithm, keys, EXPIRY - 1).as_deref(), Ok("joe"));
    let expired = Err(TokenFault::Claims(ClaimsFault::Expired));
    assert_eq!(verify(&token, algorithm, keys, EXPIRY), expired);
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        let token = format!("{header}.{PAYLOAD}.{}", URL_SAFE_NO_PAD.encode(&bytes));
        assert_eq!(verify(&token, algorithm, keys, EXPIRY - 1), Err(TokenFault::InvalidSignature));
        bytes[at] ^= 1;
    }
}

#[test]
fn rfc_7515_appendix_a_1_hs256() {
    assert_verifies_until_expiry(A1_HEADER, A1_SIGNATURE, Algorithm::HS256, &a1_keys());
}

#[test]
fn rfc_7515_appendix_a_2_rs256() {
    assert_verifies_until_expiry(A2_HEADER, A2_SIGNATURE, Algorithm::RS256, &a2_keys());
}

#[test]
fn rfc_7515_appendix_a_3_es256() {
    assert_verifies_until_expiry(A3_HEADER, A3_SIGNATURE, Algorithm::ES256, &a3_keys());
}

#[test]
fn rfc_7515_appendix_a_4_es512() {
    let token = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.\
                 AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZq\
                 wqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8Kp\
                 EHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    // Its payload is a text, and no claims set. The unit tests verify the ES512 signature of RFC 7520.
    assert!(matches!(UnverifiedToken::parse(token, MAX_BYTES).err(), Some(JoseFault::Malformed(_))));
    let x = "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk";
    let y = "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2";
    let keys = parsed(&json!({"kty": "EC", "crv": "P-521", "x": x, "y": y}));
    assert_eq!(keys.usable[0].algorithms(), AlgorithmSet::from_iter([Algorithm::ES512]));
}

/// RFC 7519 section 6.1 has the same token.
#[test]
fn rfc_7515_appendix_a_5_unsecured_is_refused() {
    for signature in ["", A1_SIGNATURE] {
        let token = format!("eyJhbGciOiJub25lIn0.{PAYLOAD}.{signature}");
        assert_eq!(UnverifiedToken::parse(&token, MAX_BYTES).err(), Some(JoseFault::AlgorithmUnknown));
    }
}

/// Both of its signatures are valid. RFC 7519 section 1 allows only the compact serialization.
#[test]
fn rfc_7515_appendix_a_6_json_serialization_is_refused() {
    let signed = json!({
        "payload": PAYLOAD,
        "signatures": [
            {"protected": A2_HEADER, "header": {"kid": "2010-12-29"}, "signature": A2_SIGNATURE},
            {
                "protected": A3_HEADER,
                "header": {"kid": "e9bc097a-ce51-4036-9562-d2ade882db0d"},
                "signature": A3_SIGNATURE,
            },
        ],
    });
    assert_malformed(&signed.to_string());
}

#[test]
fn rfc_7515_appendix_a_7_flattened_json_serialization_is_refused() {
    let signed = json!({
        "payload": PAYLOAD,
        "protected": A3_HEADER,
        "header": {"kid": "e9bc097a-ce51-4036-9562-d2ade882db0d"},
        "signature": A3_SIGNATURE,
    });
    assert_malformed(&signed.to_string());
}

#[track_caller]
fn assert_malformed(token: &str) {
    let refused = UnverifiedToken::parse(token, MAX_BYTES);
    assert!(matches!(refused, Err(JoseFault::Malformed(_))), "{refused:?}");
}

/// The header of one example with the signature of another, and each example with the keys of the
/// others.
#[test]
fn examples_do_not_verify_with_each_others_keys() {
    let examples = [
        (A1_HEADER, A1_SIGNATURE, Algorithm::HS256, a1_keys()),
        (A2_HEADER, A2_SIGNATURE, Algorithm::RS256, a2_keys()),
        (A3_HEADER, A3_SIGNATURE, Algorithm::ES256, a3_keys()),
    ];
    for (a, (header, own, algorithm, _)) in examples.iter().enumerate() {
        for (b, (_, signature, _, keys)) in examples.iter().enumerate() {
            for signature in [own, signature] {
                if a != b {
                    let token = format!("{header}.{PAYLOAD}.{signature}");
                    assert!(verify(&token, *algorithm, keys, EXPIRY - 1).is_err(), "{a} {b}");
                }
            }
        }
    }
}
