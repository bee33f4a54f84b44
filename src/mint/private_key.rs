//! One RSA private key of `mint.keyFiles`.

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaSignatureEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::zeroize::Zeroizing;
use serde_json::{Value, json};

use super::pem::{of_pkcs8, private_block};
use super::{MintFault, PrivateKeyFault};
use crate::digest::{Sha256, sha256_of_parts};
use crate::jose::{Algorithm, KeyFault, VerificationKey};

/// What a key id begins with, so that it never equals one of the backend's own.
const KID_PREFIX: &str = "metagate-";

/// An RSA private key, parsed once.
pub struct PrivateKey {
    pair: KeyPair,
    kid: Box<str>,
    thumbprint: Box<str>,
    modulus: Box<str>,
    exponent: Box<str>,
    public: VerificationKey,
}

impl PrivateKey {
    /// Reads PEM (RFC 7468) with one private key: PKCS #8 (`PRIVATE KEY`) or PKCS #1 (`RSA PRIVATE KEY`). Blocks with
    /// public keys and certificates are skipped.
    ///
    /// # Errors
    /// Why it is not a key that can be used. The size and the soundness of the key are checked like those of public keys.
    pub fn from_pem(text: &str) -> Result<Self, PrivateKeyFault> {
        let (label, der) = private_block(text)?;
        let parsed = match label {
            "PRIVATE KEY" => KeyPair::from_pkcs8(&der),
            "RSA PRIVATE KEY" => KeyPair::from_der(&der),
            "ENCRYPTED PRIVATE KEY" => return Err(PrivateKeyFault::Encrypted),
            _ => return Err(PrivateKeyFault::NotRsa),
        };
        Self::new(parsed.map_err(|rejected| fault(&rejected.to_string(), &der))?)
    }

    /// Generates a key of 3072 bits.
    ///
    /// # Errors
    /// The generator failed.
    pub fn generate() -> Result<Self, PrivateKeyFault> {
        Self::new(KeyPair::generate(KeySize::Rsa3072).map_err(|_| PrivateKeyFault::Damaged)?)
    }

    /// PEM of PKCS #8, for a key file.
    ///
    /// # Errors
    /// The key cannot be written.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, PrivateKeyFault> {
        let der = self.pair.as_der().map_err(|_| PrivateKeyFault::Damaged)?;
        Ok(of_pkcs8(der.as_ref()))
    }

    fn new(pair: KeyPair) -> Result<Self, PrivateKeyFault> {
        let public = pair.public_key();
        let n = public.modulus().big_endian_without_leading_zero();
        let e = public.exponent().big_endian_without_leading_zero();
        let verification = VerificationKey::from_rsa_numbers(n, e).map_err(|fault| match fault {
            KeyFault::RsaTooShort => PrivateKeyFault::TooShort,
            KeyFault::RsaTooLong => PrivateKeyFault::TooLong,
            _ => PrivateKeyFault::Unsound,
        })?;
        let (modulus, exponent) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
        let thumbprint = thumbprint(&modulus, &exponent);
        Ok(Self {
            kid: format!("{KID_PREFIX}{thumbprint}").into(),
            thumbprint: thumbprint.into(),
            modulus: modulus.into(),
            exponent: exponent.into(),
            public: verification,
            pair,
        })
    }

    /// The `kid`: `metagate-` and the thumbprint. Equal keys have equal ids on every replica, and no other key has one.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The JWK thumbprint (RFC 7638 with SHA-256), in base64url.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The length of its modulus in bits.
    pub fn bits(&self) -> usize {
        self.public.bits()
    }

    /// A digest of the public key; see [`VerificationKey::material`].
    pub fn material(&self) -> &Sha256 {
        self.public.material()
    }

    /// The public key, as a JWK (RFC 7517) for this algorithm.
    pub fn jwk(&self, algorithm: Algorithm) -> Value {
        json!({
            "kty": "RSA", "use": "sig", "alg": algorithm.name(), "kid": self.kid,
            "n": self.modulus, "e": self.exponent,
        })
    }

    /// The signature of a message.
    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, MintFault> {
        let encoding: &'static RsaSignatureEncoding = match algorithm {
            Algorithm::RS256 => &RSA_PKCS1_SHA256,
            Algorithm::RS384 => &RSA_PKCS1_SHA384,
            Algorithm::RS512 => &RSA_PKCS1_SHA512,
            _ => return Err(MintFault::WrongAlgorithm),
        };
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(encoding, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| MintFault::Signing)?;
        Ok(signature)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// RFC 7638 section 3.2: the required members in lexicographic order, without white space.
fn thumbprint(modulus: &str, exponent: &str) -> String {
    let json = ["{\"e\":\"", exponent, "\",\"kty\":\"RSA\",\"n\":\"", modulus, "\"}"];
    URL_SAFE_NO_PAD.encode(sha256_of_parts(json))
}

/// Why aws-lc rejected a key. Its own words tell sizes and kinds apart, but only some of them.
fn fault(rejected: &str, der: &[u8]) -> PrivateKeyFault {
    /// The object identifier rsaEncryption (RFC 8017 appendix A.1) in DER.
    const RSA_ENCRYPTION: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
    let names_rsa = der.windows(RSA_ENCRYPTION.len()).take(64).any(|part| part == RSA_ENCRYPTION);
    match rejected {
        "TooSmall" => PrivateKeyFault::TooShort,
        "TooLarge" => PrivateKeyFault::TooLong,
        _ if !names_rsa && der.first() == Some(&0x30) => PrivateKeyFault::NotRsa,
        _ => PrivateKeyFault::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that is too long takes too long to make.
    #[test]
    fn the_size_of_a_rejected_key_is_told_from_its_kind() {
        assert_eq!(fault("TooLarge", b""), PrivateKeyFault::TooLong);
        assert_eq!(fault("TooSmall", b""), PrivateKeyFault::TooShort);
        assert_eq!(fault("InvalidEncoding", b"\x30\x00"), PrivateKeyFault::NotRsa);
    }

    #[test]
    fn rfc7638_section_3_1_thumbprint() {
        let modulus = concat!(
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc",
            "_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQ",
            "R0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bF",
            "TWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        );
        assert_eq!(thumbprint(modulus, "AQAB"), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }
}
