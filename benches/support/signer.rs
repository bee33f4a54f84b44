//! A generated key pair, and tokens that aws-lc-rs signs with it.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use metagate::jose::Algorithm;

pub const SECRET: &[u8] = b"a secret of more than thirty-two bytes";
const KID: &str = "bench";

pub struct Signer {
    algorithm: Algorithm,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
    Hmac(hmac::Key),
}

impl Signer {
    pub fn new(algorithm: Algorithm) -> Self {
        let rsa = |encoding| Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap(), encoding);
        let key = match algorithm {
            Algorithm::RS256 => rsa(&signature::RSA_PKCS1_SHA256),
            Algorithm::RS384 => rsa(&signature::RSA_PKCS1_SHA384),
            Algorithm::RS512 => rsa(&signature::RSA_PKCS1_SHA512),
            Algorithm::PS256 => rsa(&signature::RSA_PSS_SHA256),
            Algorithm::PS384 => rsa(&signature::RSA_PSS_SHA384),
            Algorithm::PS512 => rsa(&signature::RSA_PSS_SHA512),
            Algorithm::ES256 => {
                Key::Ec(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), "P-256")
            }
            Algorithm::ES384 => {
                Key::Ec(EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(), "P-384")
            }
            Algorithm::ES512 => {
                Key::Ec(EcdsaKeyPair::generate(&signature::ECDSA_P521_SHA512_FIXED_SIGNING).unwrap(), "P-521")
            }
            Algorithm::EdDSA => Key::Ed(Ed25519KeyPair::generate().unwrap()),
            Algorithm::HS256 => Key::Hmac(hmac::Key::new(hmac::HMAC_SHA256, SECRET)),
        };
        Self { algorithm, key }
    }

    pub fn token(&self, claims: &str) -> String {
        self.token_with_kid(KID, claims)
    }

    pub fn token_with_kid(&self, kid: &str, claims: &str) -> String {
        let header = format!(r#"{{"alg":"{}","kid":"{kid}","typ":"JWT"}}"#, self.algorithm);
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(self.sign(input.as_bytes())))
    }

    /// The public key, or `None` for a shared secret.
    pub fn jwk(&self) -> Option<String> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.key {
            Key::Rsa(key, _) => {
                let public = key.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                let (n, e) = (
                    encode(n.big_endian_without_leading_zero()),
                    encode(e.big_endian_without_leading_zero()),
                );
                Some(format!(r#"{{"kty":"RSA","kid":"{KID}","n":"{n}","e":"{e}"}}"#))
            }
            Key::Ec(key, curve) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(key.public_key().as_ref().len() / 2);
                Some(format!(
                    r#"{{"kty":"EC","crv":"{curve}","kid":"{KID}","x":"{}","y":"{}"}}"#,
                    encode(x),
                    encode(y)
                ))
            }
            Key::Ed(key) => Some(format!(
                r#"{{"kty":"OKP","crv":"Ed25519","kid":"{KID}","x":"{}"}}"#,
                encode(key.public_key().as_ref())
            )),
            Key::Hmac(_) => None,
        }
    }

    fn sign(&self, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &random, input, &mut signature).unwrap();
                signature
            }
            Key::Ec(key, _) => key.sign(&random, input).unwrap().as_ref().to_vec(),
            Key::Ed(key) => key.sign(input).as_ref().to_vec(),
            Key::Hmac(key) => hmac::sign(key, input).as_ref().to_vec(),
        }
    }
}
