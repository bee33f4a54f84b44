//! Signing keys, generated on first use and never stored, and the forms in which their public
//! halves are published.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A signing key and the key id it is published under.
pub struct Key {
    pub kid: &'static str,
    material: Material,
}

enum Material {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Ed25519(Ed25519KeyPair),
    Secret(Vec<u8>),
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident, $make:expr) => {
        $(#[$doc])*
        pub fn $name() -> &'static Key {
            static KEY: LazyLock<Key> = LazyLock::new(|| $make);
            &KEY
        }
    };
}

key!(rsa, Key::new_rsa("rsa-1"));
key!(
    /// A second RSA key: an attacker's, another issuer's, or the next one in a rotation.
    other_rsa,
    Key::new_rsa("rsa-2")
);
key!(
    /// A further RSA key for an issuer with several.
    spare_rsa,
    Key::new_rsa("rsa-3")
);
key!(
    /// An RSA key that is published for something other than signatures.
    encryption_rsa,
    Key::new_rsa("rsa-4")
);
key!(
    /// A third RSA key, which no trusted source publishes.
    third_rsa,
    Key::new_rsa("rsa-5")
);
key!(p256, Key::new_ec("p256-1", "P-256"));
key!(other_p256, Key::new_ec("p256-2", "P-256"));
key!(p384, Key::new_ec("p384-1", "P-384"));
key!(p521, Key::new_ec("p521-1", "P-521"));
key!(ed25519, Key::new_ed25519("ed-1"));
key!(
    /// A P-256 key whose x coordinate begins with a zero byte, which some issuers omit.
    p256_short,
    loop {
        let key = Key::new_ec("p256-short", "P-256");
        if key.coordinates().0[0] == 0 {
            break key;
        }
    }
);

/// The shared secret that DataHub signs its tokens with in these tests.
pub const DATAHUB_SECRET: &str = "a-datahub-signing-key-of-43-characters-here";

key!(datahub, Key::secret(DATAHUB_SECRET.as_bytes()));

impl Key {
    fn new_rsa(kid: &'static str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
        Self { kid, material: Material::Rsa(pair) }
    }

    fn new_ec(kid: &'static str, curve: &'static str) -> Self {
        let algorithm = match curve {
            "P-256" => &ECDSA_P256_SHA256_FIXED_SIGNING,
            "P-384" => &ECDSA_P384_SHA384_FIXED_SIGNING,
            _ => &ECDSA_P521_SHA512_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::generate(algorithm).expect("an EC key");
        Self { kid, material: Material::Ec(pair, curve) }
    }

    fn new_ed25519(kid: &'static str) -> Self {
        Self { kid, material: Material::Ed25519(Ed25519KeyPair::generate().expect("an Ed25519 key")) }
    }

    /// An HMAC key from any bytes; it has no key id.
    pub fn secret(bytes: impl AsRef<[u8]>) -> Self {
        Self { kid: "", material: Material::Secret(bytes.as_ref().to_vec()) }
    }

    /// Signs with `alg`. If the key has no scheme of that name, it uses its default, so that a
    /// header may say anything.
    pub fn sign(&self, alg: &str, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.material {
            Material::Rsa(pair) => {
                let scheme: &'static dyn aws_lc_rs::signature::RsaEncoding = match alg {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(scheme, &random, input, &mut signature).expect("an RSA signature");
                signature
            }
            Material::Ec(pair, _) => pair.sign(&random, input).expect("an EC signature").as_ref().to_vec(),
            Material::Ed25519(pair) => pair.sign(input).as_ref().to_vec(),
            Material::Secret(secret) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input).as_ref().to_vec()
            }
        }
    }

    /// Modulus and exponent, big-endian, without a sign byte.
    pub fn rsa_numbers(&self) -> (Vec<u8>, Vec<u8>) {
        let Material::Rsa(pair) = &self.material else { panic!("{} is not an RSA key", self.kid) };
        let mut der = pair.public_key().as_ref();
        let mut sequence = take_tlv(&mut der, 0x30);
        let strip = |number: &[u8]| number[number.iter().take_while(|byte| **byte == 0).count()..].to_vec();
        (strip(take_tlv(&mut sequence, 0x02)), strip(take_tlv(&mut sequence, 0x02)))
    }

    /// The private key in PEM of PKCS #8, as in a key file.
    pub fn private_pem(&self) -> String {
        let der = match &self.material {
            Material::Rsa(pair) => {
                AsDer::<Pkcs8V1Der<'static>>::as_der(pair).expect("PKCS #8").as_ref().to_vec()
            }
            Material::Ec(pair, _) => pair.to_pkcs8v1().expect("PKCS #8").as_ref().to_vec(),
            Material::Ed25519(_) | Material::Secret(_) => panic!("{} is neither RSA nor EC", self.kid),
        };
        let base64 = BASE64_STANDARD.encode(der);
        format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n")
    }

    /// Modulus and private exponent, big-endian.
    pub fn rsa_private(&self) -> (Vec<u8>, Vec<u8>) {
        let Material::Rsa(pair) = &self.material else { panic!("{} is not an RSA key", self.kid) };
        let document = AsDer::<Pkcs8V1Der<'static>>::as_der(pair).expect("PKCS #8");
        let mut der = document.as_ref();
        let mut info = take_tlv(&mut der, 0x30);
        let _version = take_tlv(&mut info, 0x02);
        let _algorithm = take_tlv(&mut info, 0x30);
        let mut octets = take_tlv(&mut info, 0x04);
        let mut key = take_tlv(&mut octets, 0x30);
        let _version = take_tlv(&mut key, 0x02);
        let n = take_tlv(&mut key, 0x02);
        let _e = take_tlv(&mut key, 0x02);
        let d = take_tlv(&mut key, 0x02);
        let strip = |number: &[u8]| number[number.iter().take_while(|byte| **byte == 0).count()..].to_vec();
        (strip(n), strip(d))
    }

    /// The public half as raw bytes: PKCS#1 for RSA, the point for EC, the key for Ed25519.
    pub fn public_bytes(&self) -> Vec<u8> {
        match &self.material {
            Material::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Material::Ec(pair, _) => pair.public_key().as_ref().to_vec(),
            Material::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Material::Secret(secret) => secret.clone(),
        }
    }

    pub fn coordinates(&self) -> (Vec<u8>, Vec<u8>) {
        let point = self.public_bytes();
        let (x, y) = point[1..].split_at((point.len() - 1) / 2);
        (x.to_vec(), y.to_vec())
    }

    /// SubjectPublicKeyInfo of an RSA key.
    pub fn rsa_spki(&self) -> Vec<u8> {
        let rsa_encryption = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
        let mut bits = vec![0];
        bits.extend(self.public_bytes());
        tlv(0x30, &[rsa_encryption.to_vec(), tlv(0x03, &bits)].concat())
    }

    pub fn rsa_pem(&self) -> String {
        let text = BASE64_STANDARD.encode(self.rsa_spki());
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// The JSON Web Key (RFC 7517). It has no `alg`, so every algorithm of the family may use it.
    pub fn jwk(&self) -> Value {
        match &self.material {
            Material::Rsa(_) => {
                let (n, e) = self.rsa_numbers();
                json!({"kty": "RSA", "kid": self.kid, "use": "sig", "n": url64(n), "e": url64(e)})
            }
            Material::Ec(_, curve) => {
                let (x, y) = self.coordinates();
                json!({"kty": "EC", "kid": self.kid, "use": "sig", "crv": curve, "x": url64(x), "y": url64(y)})
            }
            Material::Ed25519(_) => {
                json!({"kty": "OKP", "kid": self.kid, "crv": "Ed25519", "x": url64(self.public_bytes())})
            }
            Material::Secret(secret) => json!({"kty": "oct", "kid": self.kid, "k": url64(secret)}),
        }
    }

    /// The JWK with some members changed, added, or removed (if `null`).
    pub fn jwk_with(&self, changes: Value) -> Value {
        let mut jwk = self.jwk();
        let members = jwk.as_object_mut().expect("a JWK is an object");
        for (name, value) in changes.as_object().expect("changes are an object") {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        jwk
    }

    /// As OpenMetadata publishes its own key: `n` padded and with Java's leading zero byte, and
    /// `alg` RS256 whatever it signs with.
    pub fn jwk_openmetadata(&self) -> Value {
        let (n, e) = self.rsa_numbers();
        let n = [vec![0], n].concat();
        self.jwk_with(json!({"alg": "RS256", "n": BASE64_URL_SAFE.encode(n), "e": BASE64_URL_SAFE.encode(e)}))
    }

    /// The JWK with the standard base64 alphabet and padding.
    pub fn jwk_standard_alphabet(&self) -> Value {
        let (n, e) = self.rsa_numbers();
        self.jwk_with(json!({"n": BASE64_STANDARD.encode(n), "e": BASE64_STANDARD.encode(e)}))
    }

    /// EC coordinates with an extra zero byte, as a signed big integer is encoded.
    pub fn jwk_long_coordinates(&self) -> Value {
        let (x, y) = self.coordinates();
        self.jwk_with(json!({"x": url64([vec![0], x].concat()), "y": url64([vec![0], y].concat())}))
    }

    /// EC coordinates without their leading zero bytes.
    pub fn jwk_short_coordinates(&self) -> Value {
        let (x, y) = self.coordinates();
        let strip = |number: Vec<u8>| number.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
        self.jwk_with(json!({"x": url64(strip(x)), "y": url64(strip(y))}))
    }
}

/// `{"keys":[...]}`
pub fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

pub fn url64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Splits one DER element with the expected tag off the front.
fn take_tlv<'a>(der: &mut &'a [u8], tag: u8) -> &'a [u8] {
    assert_eq!(der[0], tag, "unexpected DER tag");
    let (start, length) = match der[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        long => {
            let count = usize::from(long & 0x7f);
            (2 + count, der[2..2 + count].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
        }
    };
    let (element, rest) = der.split_at(start + length);
    *der = rest;
    &element[start..]
}

/// One DER element.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..=0x7f => vec![tag, length as u8],
        0x80..=0xff => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head.as_slice(), content].concat()
}
