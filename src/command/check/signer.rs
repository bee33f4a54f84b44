//! Keys generated for one command, and tokens signed with them.

use std::sync::Arc;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::claims::TokenKinds;
use crate::jose::{Algorithm, AlgorithmSet, KeyDialect, KeyFamily, KeySet, ParsedKeys, VerificationKey};

/// In the order of how fast a key is generated.
const PREFERRED: [Algorithm; 11] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::HS256,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// A private key and the algorithm that it signs with.
pub(super) struct Signer {
    key: PrivateKey,
    algorithm: Algorithm,
}

enum PrivateKey {
    Rsa(Box<RsaKeyPair>),
    Elliptic(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Secret([u8; 32]),
}

impl Signer {
    /// A new key for one of these algorithms; `None` if the set is empty.
    pub(super) fn new(algorithms: AlgorithmSet) -> Result<Option<Self>, Unspecified> {
        let Some(algorithm) = PREFERRED.into_iter().find(|algorithm| algorithms.contains(*algorithm)) else {
            return Ok(None);
        };
        let elliptic = |curve| EcdsaKeyPair::generate(curve).map(PrivateKey::Elliptic);
        let key = match algorithm.family() {
            KeyFamily::Rsa => PrivateKey::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048)?)),
            KeyFamily::P256 => elliptic(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)?,
            KeyFamily::P384 => elliptic(&signature::ECDSA_P384_SHA384_FIXED_SIGNING)?,
            KeyFamily::P521 => elliptic(&signature::ECDSA_P521_SHA512_FIXED_SIGNING)?,
            KeyFamily::Ed25519 => PrivateKey::Ed25519(Ed25519KeyPair::generate()?),
            KeyFamily::Hmac => {
                let mut secret = [0; 32];
                rand::fill(&mut secret)?;
                PrivateKey::Secret(secret)
            }
        };
        Ok(Some(Self { key, algorithm }))
    }

    /// The key set that verifies its tokens, parsed in this dialect.
    pub(super) fn key_set(&self, kid: &str, dialect: KeyDialect) -> KeySet {
        if let PrivateKey::Secret(secret) = &self.key {
            return KeySet::new(vec![Arc::new(VerificationKey::from_shared_secret(secret))]);
        }
        let set = json!({"keys": [self.jwk(kid)]}).to_string();
        KeySet::new(ParsedKeys::parse(set.as_bytes(), dialect).unwrap_or_default().usable)
    }

    fn jwk(&self, kid: &str) -> Value {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.key {
            PrivateKey::Rsa(key) => {
                let public = key.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
                json!({"kty": "RSA", "kid": kid, "n": part(n), "e": part(e)})
            }
            PrivateKey::Elliptic(key) => {
                // SEC 1 section 2.3.3: 04 || x || y.
                let point = key.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                let curve = self.algorithm.family().crv();
                json!({"kty": "EC", "kid": kid, "crv": curve, "x": part(x), "y": part(y)})
            }
            PrivateKey::Ed25519(key) => {
                json!({"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": part(key.public_key().as_ref())})
            }
            PrivateKey::Secret(_) => Value::Null,
        }
    }

    /// A token with these claims in the compact serialization (RFC 7515 section 7.1).
    pub(super) fn token(
        &self,
        kid: &str,
        kinds: &TokenKinds,
        claims: &Map<String, Value>,
    ) -> Result<String, Unspecified> {
        let mut header = json!({"alg": self.algorithm.name(), "kid": kid});
        let usual = kinds.types.iter().find(|name| ***name == *"jwt").or(kinds.types.first());
        let required = kinds.header.iter().filter_map(|(name, accepted)| Some((&**name, accepted.first()?)));
        if let Some(header) = header.as_object_mut() {
            for (name, value) in usual.map(|name| ("typ", name)).into_iter().chain(required) {
                header.insert(name.to_owned(), (**value).into());
            }
        }
        let part = |text: String| URL_SAFE_NO_PAD.encode(text);
        let input = format!("{}.{}", part(header.to_string()), part(Value::from(claims.clone()).to_string()));
        let signature = self.sign(input.as_bytes())?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        Ok(match &self.key {
            PrivateKey::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding(self.algorithm), &random, message, &mut signature)?;
                signature
            }
            PrivateKey::Elliptic(key) => key.sign(&random, message)?.as_ref().to_vec(),
            PrivateKey::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            PrivateKey::Secret(secret) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
            }
        })
    }
}

fn encoding(algorithm: Algorithm) -> &'static dyn RsaEncoding {
    match algorithm {
        Algorithm::RS384 => &signature::RSA_PKCS1_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_SHA512,
        Algorithm::RS256
        | Algorithm::ES256
        | Algorithm::ES384
        | Algorithm::ES512
        | Algorithm::EdDSA
        | Algorithm::HS256 => &signature::RSA_PKCS1_SHA256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{KeyChoice, UnverifiedToken};

    #[test]
    fn the_key_set_verifies_tokens_of_every_algorithm() {
        for algorithm in PREFERRED {
            let signer = Signer::new([algorithm].into_iter().collect()).unwrap().unwrap();
            let claims = Map::from_iter([("sub".to_owned(), json!("ada"))]);
            let text = signer.token("k", &TokenKinds::default(), &claims).unwrap();
            let token = UnverifiedToken::parse(&text, 16 * 1024).unwrap();
            assert_eq!(token.header().algorithm, algorithm);
            let keys = signer.key_set("k", KeyDialect::Standard);
            let (KeyChoice::Named(found) | KeyChoice::Unnamed(found)) = keys.choose(Some("k"), algorithm)
            else {
                panic!("{algorithm}: no key")
            };
            assert!(token.verify(found[0]).is_ok(), "{algorithm}");
        }
        assert!(Signer::new(AlgorithmSet::default()).unwrap().is_none());
        let all: AlgorithmSet = PREFERRED.into_iter().collect();
        assert_eq!(all.iter().count(), PREFERRED.len(), "no algorithm is missing");
        assert_eq!(
            AlgorithmSet::asymmetric().iter().filter(|algorithm| !all.contains(*algorithm)).count(),
            0
        );
    }
}
