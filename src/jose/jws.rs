//! A token on its way from bytes to signed claims (RFC 7515 section 5.2, RFC 7519 section 7.2).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::fault::JoseFault;
use super::{Algorithm, Header, VerificationKey, strict_json};
use crate::digest::{hex, sha256};

/// The longest header that is decoded, in bytes of base64url.
const MAX_HEADER_BYTES: usize = 4096;

/// A token that was parsed and not yet verified. Its claims are readable only as far as they
/// choose the keys to verify it with.
#[derive(Clone)]
pub struct UnverifiedToken<'t> {
    header: Header,
    claims: Map<String, Value>,
    signing_input: &'t str,
    signature: &'t str,
}

impl<'t> UnverifiedToken<'t> {
    /// Parses the compact serialization: exactly three parts of canonical, unpadded base64url;
    /// header and payload JSON objects in UTF-8. `max_bytes` bounds the whole text.
    pub fn parse(token: &'t str, max_bytes: usize) -> Result<Self, JoseFault> {
        let Compact { header, payload, signing_input, signature } = Compact::parse(token, max_bytes)?;
        let claims = strict_json::object(&payload)
            .ok_or(JoseFault::Malformed("payload is not a JSON object without duplicate members"))?;
        if strict_json::has_case_twins(&claims) {
            return Err(JoseFault::Malformed("two claim names differ only in case"));
        }
        Ok(Self { header, claims, signing_input, signature })
    }

    /// The header. Nothing in it is trusted yet.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The `iss` claim, unverified, for choosing whose keys to try. `Err` if it is no string.
    pub fn issuer_hint(&self) -> Result<Option<&str>, JoseFault> {
        match self.claims.get("iss") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(issuer)) => Ok(Some(issuer)),
            Some(_) => Err(JoseFault::Malformed("iss is not a string")),
        }
    }

    /// A claim that is a text, unverified, for telling its holder what the token says of itself.
    /// Nothing may be decided from it.
    pub fn claimed(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// SHA-256 over `header.payload`: names this token in logs and revocation lists.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(hex(&sha256(self.signing_input.as_bytes())).into())
    }

    /// Verifies the signature with `key`, which must fit the header's algorithm.
    pub fn verify(self, key: &VerificationKey) -> Result<SignedClaims, JoseFault> {
        let algorithm = self.header.algorithm;
        if !key.algorithms().contains(algorithm) {
            return Err(JoseFault::InvalidSignature);
        }
        if !signature_holds(self.signing_input.as_bytes(), self.signature, algorithm, key) {
            return Err(JoseFault::InvalidSignature);
        }
        let fingerprint = self.fingerprint();
        let (claims, kid) = (self.claims, self.header.kid);
        let key_id = key.kid().filter(|own| kid.as_deref() != Some(*own)).map(Into::into);
        let by_backends_key = key.is_backends_own();
        Ok(SignedClaims(SignedParts { claims, algorithm, kid, key_id, by_backends_key, fingerprint }))
    }
}

/// A token in a panic message or a log would be a credential there.
impl fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedToken").field("header", &self.header).finish_non_exhaustive()
    }
}

/// Claims whose signature was verified. Only [`UnverifiedToken::verify`] makes one.
#[derive(Debug)]
pub struct SignedClaims(SignedParts);

impl SignedClaims {
    /// What there is to judge.
    pub fn into_parts(self) -> SignedParts {
        self.0
    }
}

/// The contents of [`SignedClaims`].
#[derive(Debug)]
pub struct SignedParts {
    /// The claims set.
    pub claims: Map<String, Value>,
    /// The algorithm of the signature.
    pub algorithm: Algorithm,
    /// The key id in the header.
    pub kid: Option<Box<str>>,
    /// The key id of the key that verified it, where that is another one: a header may have none.
    pub key_id: Option<Box<str>>,
    /// Whether the key that verified it is of OpenMetadata's own set.
    pub by_backends_key: bool,
    /// See [`UnverifiedToken::fingerprint`].
    pub fingerprint: Fingerprint,
}

/// The SHA-256 of a token's signing input. The signature is no part of it: a second valid ECDSA
/// signature over the same claims is easily made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(Box<str>);

impl Fingerprint {
    /// How many hex digits name a token well enough.
    pub const SHORT_DIGITS: usize = 16;

    /// The first 16 hex digits, as in logs.
    pub fn short(&self) -> &str {
        &self.0[..Self::SHORT_DIGITS]
    }

    /// All 64 hex digits, in lower case.
    pub fn full(&self) -> &str {
        &self.0
    }
}

/// The three parts of a token, before anybody asks whether the payload is a claims set.
pub(super) struct Compact<'t> {
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
    pub(super) signing_input: &'t str,
    pub(super) signature: &'t str,
}

impl<'t> Compact<'t> {
    /// RFC 7515 section 5.2, steps 1 to 7.
    pub(super) fn parse(token: &'t str, max_bytes: usize) -> Result<Self, JoseFault> {
        if token.len() > max_bytes {
            return Err(JoseFault::Malformed("token is longer than tokenBytes"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JoseFault::Malformed("token does not have three parts"));
        };
        if header.len() > MAX_HEADER_BYTES {
            return Err(JoseFault::Malformed("header is too long"));
        }
        let header = Header::parse(&decode(header)?)?;
        let payload = decode(payload)?;
        // Decoded again when it is verified; here only so that a bad form is not a bad signature.
        if decode(signature)?.is_empty() {
            return Err(JoseFault::Malformed("signature is empty"));
        }
        let signing_input = &token[..token.len() - signature.len() - 1];
        Ok(Self { header, payload, signing_input, signature })
    }
}

/// RFC 7515 section 5.2, step 8. `signature` is base64url.
pub(super) fn signature_holds(
    message: &[u8],
    signature: &str,
    algorithm: Algorithm,
    key: &VerificationKey,
) -> bool {
    // An error is a signature or a key that cannot be read: no reason to believe anything.
    jsonwebtoken::crypto::verify(signature, message, key.decoding_key(), algorithm.for_jsonwebtoken())
        .unwrap_or(false)
}

/// RFC 7515 section 2: base64url without padding. The decoder also refuses unused bits that are
/// not zero (RFC 4648 section 3.5): one token has one spelling.
fn decode(part: &str) -> Result<Vec<u8>, JoseFault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JoseFault::Malformed("a part is not canonical base64url"))
}

#[cfg(test)]
mod tests;
