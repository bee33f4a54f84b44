//! The signature step (RFC 7515 section 5.2, step 8).

use aws_lc_rs::digest::{Digest, SHA256, digest};
use jsonwebtoken::DecodingKey;

use super::Algorithm;
use super::public_key::PreparedKeys;

/// What a key needs for verification.
pub(super) enum Verifier {
    /// aws-lc verifies with a key that was parsed before. jsonwebtoken, which uses aws-lc too, would parse the key and
    /// hash the message again for each token.
    Public(PreparedKeys),
    /// jsonwebtoken verifies the HMAC.
    Secret(DecodingKey),
}

/// A message and its signature.
#[derive(Clone)]
pub(super) struct SignedMessage<'t> {
    /// The signing input of the token.
    input: &'t [u8],
    /// The SHA-256 of the input.
    pub(super) sha256: Digest,
    /// The signature in base64url.
    encoded: &'t str,
    /// The signature.
    signature: Vec<u8>,
}

impl<'t> SignedMessage<'t> {
    pub(super) fn new(input: &'t [u8], encoded: &'t str, signature: Vec<u8>) -> Self {
        Self { input, sha256: digest(&SHA256, input), encoded, signature }
    }

    pub(super) fn input(&self) -> &'t [u8] {
        self.input
    }
}

impl Verifier {
    /// Whether the signature was made with this key and algorithm. A signature or key that cannot be read verifies
    /// nothing.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &SignedMessage<'_>) -> bool {
        let SignedMessage { input, sha256, encoded, signature } = message;
        match (self, algorithm) {
            (Self::Public(keys), _) => {
                let Some((_, key)) = keys.iter().find(|(own, _)| *own == algorithm) else { return false };
                if algorithm.hashes_with_sha256() {
                    key.verify_digest_sig(sha256, signature).is_ok()
                } else {
                    key.verify_sig(input, signature).is_ok()
                }
            }
            (Self::Secret(key), Algorithm::HS256) => {
                jsonwebtoken::crypto::verify(encoded, input, key, jsonwebtoken::Algorithm::HS256)
                    .unwrap_or(false)
            }
            (Self::Secret(_), _) => false,
        }
    }
}
