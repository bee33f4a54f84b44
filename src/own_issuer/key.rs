//! One EC P-256 private key of `issuer.keyFiles`.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::zeroize::Zeroizing;
use serde_json::{Value, json};

use crate::digest::{Sha256, sha256_of_parts};
use crate::jose::{Algorithm, KeyDialect, ParsedKeys, VerificationKey};
use crate::mint::PrivateKeyFault;
use crate::mint::pem::{of_pkcs8, private_block};

/// What a key id begins with.
const KID_PREFIX: &str = "metagate-";
/// `04`, and the coordinates x and y with 32 bytes each (SEC 1 section 2.3.3).
const POINT_BYTES: usize = 65;

/// An EC P-256 private key, parsed once.
pub struct IssuerKey {
    pair: EcdsaKeyPair,
    kid: Box<str>,
    thumbprint: Box<str>,
    jwk: Value,
    public: Arc<VerificationKey>,
}

impl IssuerKey {
    /// Reads PEM (RFC 7468) with one private key: PKCS #8 (`PRIVATE KEY`) or SEC 1 (`EC PRIVATE KEY`, RFC 5915). Other
    /// blocks are skipped.
    ///
    /// # Errors
    /// Why it is not a key that can be used.
    pub fn from_pem(text: &str) -> Result<Self, PrivateKeyFault> {
        let (label, der) = private_block(text)?;
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = match label {
            "PRIVATE KEY" => EcdsaKeyPair::from_pkcs8(algorithm, &der),
            "EC PRIVATE KEY" => EcdsaKeyPair::from_private_key_der(algorithm, &der),
            "ENCRYPTED PRIVATE KEY" => return Err(PrivateKeyFault::Encrypted),
            _ => return Err(PrivateKeyFault::NotP256),
        };
        Self::new(pair.map_err(|_| PrivateKeyFault::NotP256)?)
    }

    /// Generates a key.
    ///
    /// # Errors
    /// The generator failed.
    pub fn generate() -> Result<Self, PrivateKeyFault> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self::new(pair.map_err(|_| PrivateKeyFault::Damaged)?)
    }

    /// PEM of PKCS #8, for a key file.
    ///
    /// # Errors
    /// The key cannot be written.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, PrivateKeyFault> {
        let der = self.pair.to_pkcs8v1().map_err(|_| PrivateKeyFault::Damaged)?;
        Ok(of_pkcs8(der.as_ref()))
    }

    fn new(pair: EcdsaKeyPair) -> Result<Self, PrivateKeyFault> {
        let point = pair.public_key().as_ref();
        let coordinates = point.get(1..).filter(|_| point.len() == POINT_BYTES && point.first() == Some(&4));
        let (x, y) = coordinates
            .and_then(|both| both.split_at_checked(both.len() / 2))
            .ok_or(PrivateKeyFault::NotP256)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let thumbprint = thumbprint(&x, &y);
        let kid = format!("{KID_PREFIX}{thumbprint}");
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": Algorithm::ES256.name(), "kid": kid,
            "x": x, "y": y,
        });
        let parsed = ParsedKeys::parse(jwk.to_string().as_bytes(), KeyDialect::Standard);
        let public = parsed.ok().and_then(|mut keys| keys.usable.pop()).ok_or(PrivateKeyFault::Damaged)?;
        Ok(Self { pair, kid: kid.into(), thumbprint: thumbprint.into(), jwk, public })
    }

    /// The `kid`: `metagate-` and the thumbprint. Equal keys have equal ids on every replica.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The JWK thumbprint (RFC 7638 with SHA-256), in base64url.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The public key, as a JWK (RFC 7517).
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// The public key.
    pub fn public(&self) -> &Arc<VerificationKey> {
        &self.public
    }

    /// A digest of the public key; see [`VerificationKey::material`].
    pub fn material(&self) -> &Sha256 {
        self.public.material()
    }

    /// The ES256 signature of a message (RFC 7518 section 3.4); `None` if signing failed.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.pair.sign(&SystemRandom::new(), message).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// RFC 7638 section 3.2: the required members in lexicographic order, without white space.
fn thumbprint(x: &str, y: &str) -> String {
    let json = ["{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"", x, "\",\"y\":\"", y, "\"}"];
    URL_SAFE_NO_PAD.encode(sha256_of_parts(json))
}
