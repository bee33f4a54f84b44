//! The JOSE header of a token (RFC 7515 section 4).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::fault::JoseFault;
use super::padding::{Padding, decode};
use super::{Algorithm, JsonObject, JsonValue, Thumbprints};

/// The longest key id that is looked up, in bytes.
const MAX_KID_BYTES: usize = 256;

/// The parts of a header that are used. Members that supply a key (`jwk`, `jku`, `x5u`, `x5c`) are never read
/// (RFC 8725 section 3.10), and unknown members are ignored (RFC 7515 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The signature algorithm. The issuer entry decides whether it is allowed.
    pub algorithm: Algorithm,
    /// The key id.
    pub kid: Option<Box<str>>,
    /// `x5t` and `x5t#S256`, which name a certificate among the keys of the entry. Read only without a `kid`; values
    /// that are no digests name nothing.
    pub thumbprints: Thumbprints,
    /// `typ`, unchanged. The issuer entry decides whether it is allowed.
    pub token_type: Option<Box<str>>,
}

impl Header {
    pub(super) fn parse(text: &[u8]) -> Result<Self, JoseFault> {
        let members = JsonObject::parse(text)
            .ok_or(JoseFault::Malformed("header is not a JSON object without duplicate members"))?;
        check_extensions(&members)?;
        let algorithm = match members.get("alg") {
            // RFC 7515 section 4.1.1: required, a string, case-sensitive.
            Some(JsonValue::String(name)) => Algorithm::from_name(name).ok_or(JoseFault::AlgorithmUnknown)?,
            _ => return Err(JoseFault::Malformed("alg is missing or not a string")),
        };
        let kid = match members.get("kid") {
            None => None,
            Some(JsonValue::String(kid)) if kid.len() <= MAX_KID_BYTES => Some(kid.into()),
            // RFC 7515 section 4.1.4: must be a string.
            Some(_) => return Err(JoseFault::Malformed("kid is not a string or is too long")),
        };
        let token_type = match members.get("typ") {
            None => None,
            Some(JsonValue::String(name)) => Some(name.into()),
            // RFC 7515 section 4.1.9: a media type, in a string.
            Some(_) => return Err(JoseFault::Malformed("typ is not a string")),
        };
        let thumbprints = if kid.is_none() { thumbprints(&members) } else { Thumbprints::default() };
        Ok(Self { algorithm, kid, thumbprints, token_type })
    }
}

/// RFC 7515 sections 4.1.7 and 4.1.8.
fn thumbprints(members: &JsonObject) -> Thumbprints {
    let digest = |name| members.get(name)?.as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    Thumbprints {
        sha1: digest("x5t").and_then(|digest| digest.try_into().ok()),
        sha256: digest("x5t#S256").and_then(|digest| digest.try_into().ok()),
    }
}

/// The key id that the header of a token claims, with or without base64 padding, to know which key to fetch.
pub fn claimed_key_id(token: &str) -> Option<Box<str>> {
    let header = token.split('.').next()?;
    let decoded = decode(Padding::Accepted, header).ok()?;
    Header::parse(&decoded).ok()?.kid
}

/// Refuses members that change the meaning of the signature, because none of them is supported:
/// `crit` (RFC 7515 section 4.1.11), `b64` (RFC 7797), `zip` and `enc` (RFC 7516).
fn check_extensions(members: &JsonObject) -> Result<(), JoseFault> {
    let refused = ["crit", "b64", "zip", "enc"];
    match refused.iter().find(|name| members.get(name).is_some()) {
        Some(_) => Err(JoseFault::Malformed("header has crit, b64, zip or enc")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_headers_are_parsed() {
        let read = |text: &str| Header::parse(text.as_bytes()).unwrap();
        let plain = read(r#"{"alg":"RS256","kid":"a","typ":"JWT"}"#);
        assert_eq!(
            plain,
            Header {
                algorithm: Algorithm::RS256,
                kid: Some("a".into()),
                thumbprints: Thumbprints::default(),
                token_type: Some("JWT".into())
            }
        );
        assert_eq!(read(r#"{"alg":"HS256"}"#).kid, None);
        assert_eq!(read(r#"{"alg":"HS256"}"#).token_type, None);
        // Members that are not used may have any type, including those that supply keys.
        read(
            r#"{"alg":"ES256","jwk":{"kty":"RSA"},"jku":"http://127.0.0.1/","x5u":1,"x5c":"MII","cty":"JWT"}"#,
        );
    }

    #[test]
    fn hostile_headers_are_refused() {
        for text in [
            "{}",
            r#"{"alg":null}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"alg":{"":""}}"#,
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"RS256","kid":null}"#,
            r#"{"alg":"RS256","crit":["exp"]}"#,
            r#"{"alg":"RS256","crit":[]}"#,
            r#"{"alg":"RS256","b64":true}"#,
            r#"{"alg":"RS256","zip":"DEF"}"#,
            r#"{"alg":"RS256","enc":"A128GCM"}"#,
            r#"{"alg":"RS256","typ":5}"#,
            r#"{"alg":"RS256","typ":null}"#,
            "[]",
        ] {
            assert!(matches!(Header::parse(text.as_bytes()), Err(JoseFault::Malformed(_))), "{text}");
        }
        let long = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(257));
        assert!(Header::parse(long.as_bytes()).is_err());
        for name in ["none", "None", "NONE", "nOnE", "none ", "no\\u006ee", "", "rs256", "ES521", "ML-DSA-44"]
        {
            let text = format!(r#"{{"alg":"{name}"}}"#);
            assert_eq!(Header::parse(text.as_bytes()), Err(JoseFault::AlgorithmUnknown), "{text}");
        }
    }
}
