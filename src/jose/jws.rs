//! From a token's text to signed claims (RFC 7515 section 5.2, RFC 7519 section 7.2).

use std::fmt;

use super::fault::JoseFault;
use super::padding::{Padding, decode};
use super::verifier::SignedMessage;
use super::{Algorithm, Header, JsonObject, JsonValue, VerificationKey};
use crate::digest::hex;
use crate::numeric_date::NumericDate;

/// The longest header that is decoded, in bytes of base64url.
const MAX_HEADER_BYTES: usize = 4096;

/// The longest unverified `sub` in logs, in characters.
const MAX_SUBJECT_CHARS: usize = 128;

/// A token that is parsed but not verified.
///
/// Nothing in it can be trusted. Its claims are private, except for what is needed to choose the keys
/// ([`Self::issuer_hint`]) and to describe the token ([`Self::claimed`], [`Self::claims_for_operators`],
/// [`Self::into_summary`]).
#[derive(Clone)]
pub struct UnverifiedToken<'t> {
    header: Header,
    claims: JsonObject,
    message: SignedMessage<'t>,
}

impl<'t> UnverifiedToken<'t> {
    /// Parses the compact serialization: exactly three parts of canonical, unpadded base64url;
    /// header and payload JSON objects in UTF-8. `max_bytes` bounds the whole text.
    pub fn parse(token: &'t str, max_bytes: usize) -> Result<Self, JoseFault> {
        Self::parse_with(Padding::Refused, token, max_bytes)
    }

    /// The same, for tokens whose parts may have base64 padding. The signature covers the padding.
    pub fn parse_with(padding: Padding, token: &'t str, max_bytes: usize) -> Result<Self, JoseFault> {
        let compact = Compact::parse_with(padding, token, max_bytes)?;
        let claims = JsonObject::parse(&compact.payload)
            .ok_or(JoseFault::Malformed("payload is not a JSON object without duplicate members"))?;
        if claims.has_case_twins() {
            return Err(JoseFault::Malformed("two claim names differ only in case"));
        }
        let Compact { header, signing_input, signature, decoded_signature, .. } = compact;
        // jsonwebtoken decodes this text again, without padding.
        let signature = signature.trim_end_matches('=');
        let message = SignedMessage::new(signing_input.as_bytes(), signature, decoded_signature);
        Ok(Self { header, claims, message })
    }

    /// The header. Nothing in it is trusted yet.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The unverified `iss` claim, only for choosing the keys. `Err` if it is not a string.
    pub fn issuer_hint(&self) -> Result<Option<&str>, JoseFault> {
        match self.claims.get("iss") {
            None | Some(JsonValue::Null) => Ok(None),
            Some(JsonValue::String(issuer)) => Ok(Some(issuer)),
            Some(_) => Err(JoseFault::Malformed("iss is not a string")),
        }
    }

    /// An unverified claim that is a string, only for logs and messages. No decision may depend on it.
    pub fn claimed(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// The unverified `exp` claim, only for a note about the token.
    pub fn claimed_expiry(&self) -> Option<NumericDate> {
        match self.claims.get("exp") {
            Some(JsonValue::Number(number)) => NumericDate::from_number(number),
            _ => None,
        }
    }

    /// The unverified claims, only to tell operators why the token is refused. No decision may depend on them.
    pub fn claims_for_operators(&self) -> &JsonObject {
        &self.claims
    }

    /// All members of the header. Nothing in them is trusted yet.
    pub fn header_members(&self) -> Option<JsonObject> {
        let input = str::from_utf8(self.message.input()).ok()?;
        let decoded = decode(Padding::Accepted, input.split('.').next()?).ok()?;
        JsonObject::parse(&decoded)
    }

    /// SHA-256 over `header.payload`. Identifies this token in logs and revocation lists.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(hex(self.message.sha256.as_ref()).into())
    }

    /// What logs may contain about this token if it is refused.
    pub fn into_summary(self) -> TokenSummary {
        let digest = self.message.sha256.as_ref();
        let short = digest.get(..Fingerprint::SHORT_DIGITS / 2).unwrap_or(digest);
        TokenSummary {
            fingerprint: hex(short).into(),
            subject: self.claimed("sub").map(|subject| first_chars(subject, MAX_SUBJECT_CHARS).into()),
            kid: self.header.kid,
        }
    }

    /// Verifies the signature. `key` must be allowed for the header's algorithm.
    pub fn verify(&self, key: &VerificationKey) -> Result<SignedClaims, JoseFault> {
        let algorithm = self.header.algorithm;
        if !key.verifies(algorithm, &self.message) {
            return Err(JoseFault::InvalidSignature);
        }
        // The copy has no spare capacity. It may be cached for a long time.
        let (claims, kid) = (self.claims.clone(), self.header.kid.clone());
        let key_id = key.kid().filter(|own| kid.as_deref() != Some(*own)).map(Into::into);
        Ok(SignedClaims(SignedParts {
            claims,
            algorithm,
            kid,
            key_id,
            key_has_id: key.kid().is_some(),
            by_backends_key: key.is_backends_own(),
            fingerprint: self.fingerprint(),
        }))
    }
}

/// Unverified parts of a refused token, for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSummary {
    /// The key id that it claims.
    pub kid: Option<Box<str>>,
    /// See [`Fingerprint::short`].
    pub fingerprint: Box<str>,
    /// The first characters of the `sub` that it claims.
    pub subject: Option<Box<str>>,
}

/// Without claims and signature: a token in a panic message or a log would leak a credential.
impl fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedToken").field("header", &self.header).finish_non_exhaustive()
    }
}

/// Claims with a verified signature.
///
/// Only [`UnverifiedToken::verify`] creates this type, so a value proves that a key signed exactly these claims. It
/// does not prove that they are acceptable: [`crate::claims::validate`] checks that.
#[derive(Debug)]
pub struct SignedClaims(SignedParts);

impl SignedClaims {
    /// Everything that validation needs.
    pub fn into_parts(self) -> SignedParts {
        self.0
    }
}

/// The contents of [`SignedClaims`].
#[derive(Debug)]
pub struct SignedParts {
    /// The claims set.
    pub claims: JsonObject,
    /// The algorithm of the signature.
    pub algorithm: Algorithm,
    /// The key id in the header.
    pub kid: Option<Box<str>>,
    /// The key id of the key that verified it, if it differs from the header's; a header may have none.
    pub key_id: Option<Box<str>>,
    /// Whether the key that verified it has a key id.
    pub key_has_id: bool,
    /// Whether the key that verified it is from the backend's own key set.
    pub by_backends_key: bool,
    /// See [`UnverifiedToken::fingerprint`].
    pub fingerprint: Fingerprint,
}

/// The SHA-256 of a token's signing input. It excludes the signature, because anybody can derive a second valid
/// ECDSA signature over the same claims from the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(Box<str>);

impl Fingerprint {
    /// How many hex digits identify a token in logs.
    pub const SHORT_DIGITS: usize = 16;

    /// The first 16 hex digits, for logs.
    pub fn short(&self) -> &str {
        &self.0[..Self::SHORT_DIGITS]
    }

    /// All 64 hex digits, in lower case.
    pub fn full(&self) -> &str {
        &self.0
    }
}

/// The three parts of a token, before the payload is parsed.
pub(super) struct Compact<'t> {
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
    pub(super) signing_input: &'t str,
    pub(super) signature: &'t str,
    decoded_signature: Vec<u8>,
}

impl<'t> Compact<'t> {
    /// RFC 7515 section 5.2, steps 1 to 7.
    #[cfg(test)]
    pub(super) fn parse(token: &'t str, max_bytes: usize) -> Result<Self, JoseFault> {
        Self::parse_with(Padding::Refused, token, max_bytes)
    }

    fn parse_with(padding: Padding, token: &'t str, max_bytes: usize) -> Result<Self, JoseFault> {
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
        let header = Header::parse(&decode(padding, header)?)?;
        let payload = decode(padding, payload)?;
        let decoded_signature = decode(padding, signature)?;
        if decoded_signature.is_empty() {
            return Err(JoseFault::Malformed("signature is empty"));
        }
        let signing_input = &token[..token.len() - signature.len() - 1];
        Ok(Self { header, payload, signing_input, signature, decoded_signature })
    }
}

fn first_chars(text: &str, max: usize) -> &str {
    let end = text.char_indices().nth(max).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests;
