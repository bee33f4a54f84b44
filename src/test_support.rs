//! Shared test support of the core: keys generated at run time, and key sets and tokens made from them.
//!
//! aws-lc-rs signs directly, independent of the code that verifies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue, Method, Uri, Version};
use serde_json::{Value, json};

use crate::backend::Backend;
use crate::claims::{
    self, ClaimRules, NonExpiring, OwnTokens, PrincipalRules, PrincipalStyle, RolesClaim, TokenKinds,
    VerifiedToken,
};
use crate::decision::{Authorizer, Caller, Denial, NextStep, Permit, Reason, SystemCredential};
use crate::jose::{
    Algorithm, AlgorithmSet, KeyDialect, KeySet, ParsedKeys, SignedClaims, UnverifiedToken, VerificationKey,
};
use crate::message::Fields;
use crate::numeric_date::NumericDate;
use crate::policy::{Place, Policy, RouteTable};
use crate::request::{RequestFacts, RequestFault};
use crate::token_exchange::TokenExchange;
use crate::trust::TrustedIssuer;

/// The current time in tests.
pub(crate) const NOW: i64 = 1_800_000_000;
/// A shared secret.
pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// The maximum size of a token.
pub(crate) const MAX_BYTES: usize = 16 * 1024;

pub(crate) static RSA: LazyLock<SigningKey> = LazyLock::new(rsa_key);
pub(crate) static OTHER_RSA: LazyLock<SigningKey> = LazyLock::new(rsa_key);
pub(crate) static P256: LazyLock<SigningKey> = LazyLock::new(p256_key);
pub(crate) static OTHER_P256: LazyLock<SigningKey> = LazyLock::new(p256_key);
pub(crate) static P384: LazyLock<SigningKey> = LazyLock::new(p384_key);
pub(crate) static OTHER_P384: LazyLock<SigningKey> = LazyLock::new(p384_key);
pub(crate) static P521: LazyLock<SigningKey> = LazyLock::new(p521_key);
pub(crate) static OTHER_P521: LazyLock<SigningKey> = LazyLock::new(p521_key);
pub(crate) static ED25519: LazyLock<SigningKey> = LazyLock::new(ed25519_key);
pub(crate) static OTHER_ED25519: LazyLock<SigningKey> = LazyLock::new(ed25519_key);
pub(crate) static HMAC: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::secret(SECRET));

/// A key to sign with.
pub(crate) enum SigningKey {
    Rsa(rsa::KeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    P521(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Secret(Vec<u8>),
}

fn rsa_key() -> SigningKey {
    SigningKey::Rsa(rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap())
}

pub(crate) fn p256_key() -> SigningKey {
    SigningKey::P256(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
}

fn p384_key() -> SigningKey {
    SigningKey::P384(EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
}

fn p521_key() -> SigningKey {
    SigningKey::P521(EcdsaKeyPair::generate(&signature::ECDSA_P521_SHA512_FIXED_SIGNING).unwrap())
}

fn ed25519_key() -> SigningKey {
    SigningKey::Ed25519(Ed25519KeyPair::generate().unwrap())
}

impl SigningKey {
    pub(crate) fn secret(bytes: &[u8]) -> Self {
        Self::Secret(bytes.to_vec())
    }

    /// The signature of `message`. `algorithm` must fit this kind of key.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let encoding: &'static dyn signature::RsaEncoding = match algorithm {
                    Algorithm::RS256 => &signature::RSA_PKCS1_SHA256,
                    Algorithm::RS384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::RS512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::PS256 => &signature::RSA_PSS_SHA256,
                    Algorithm::PS384 => &signature::RSA_PSS_SHA384,
                    Algorithm::PS512 => &signature::RSA_PSS_SHA512,
                    other => panic!("an RSA key cannot sign {other}"),
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::P256(key) | Self::P384(key) | Self::P521(key) => {
                key.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Secret(secret) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
            }
        }
    }

    /// An algorithm that it signs with.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::RS256,
            Self::P256(_) => Algorithm::ES256,
            Self::P384(_) => Algorithm::ES384,
            Self::P521(_) => Algorithm::ES512,
            Self::Ed25519(_) => Algorithm::EdDSA,
            Self::Secret(_) => Algorithm::HS256,
        }
    }

    /// The modulus and the exponent of an RSA key.
    pub(crate) fn rsa_numbers(&self) -> (Vec<u8>, Vec<u8>) {
        let Self::Rsa(key) = self else { panic!("not an RSA key") };
        let public = key.public_key();
        (
            public.modulus().big_endian_without_leading_zero().to_vec(),
            public.exponent().big_endian_without_leading_zero().to_vec(),
        )
    }

    /// The private key of an RSA key, in PEM of PKCS #8.
    pub(crate) fn private_pem(&self) -> String {
        pem("PRIVATE KEY", &self.private_der())
    }

    /// The private key of an RSA key, in PKCS #8.
    pub(crate) fn private_der(&self) -> Vec<u8> {
        let Self::Rsa(key) = self else { panic!("not an RSA key") };
        let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
        der.as_ref().to_vec()
    }

    /// The public key's bytes: `04 || x || y`, the 32 bytes of Ed25519, PKCS #1 for RSA.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => key.public_key().as_ref().to_vec(),
            Self::P256(key) | Self::P384(key) | Self::P521(key) => key.public_key().as_ref().to_vec(),
            Self::Ed25519(key) => key.public_key().as_ref().to_vec(),
            Self::Secret(_) => panic!("a secret has no public key"),
        }
    }

    /// Its SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    pub(crate) fn spki(&self) -> Vec<u8> {
        let prefix: &[u8] = match self {
            Self::Rsa(key) => {
                let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
                return der.as_ref().to_vec();
            }
            Self::P256(_) => b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00",
            Self::P384(_) => b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00",
            Self::P521(_) => b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00",
            Self::Ed25519(_) => b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
            Self::Secret(_) => panic!("a secret has no public key"),
        };
        [prefix, &self.public_bytes()].concat()
    }

    /// Its JWK without `kid`, `alg` and `use`.
    pub(crate) fn jwk(&self) -> Value {
        match self {
            Self::Rsa(_) => {
                let (n, e) = self.rsa_numbers();
                json!({"kty": "RSA", "n": base64url(&n), "e": base64url(&e)})
            }
            Self::P256(_) | Self::P384(_) | Self::P521(_) => {
                let point = self.public_bytes();
                let (x, y) = point[1..].split_at(point.len() / 2);
                let crv = match self {
                    Self::P256(_) => "P-256",
                    Self::P384(_) => "P-384",
                    _ => "P-521",
                };
                json!({"kty": "EC", "crv": crv, "x": base64url(x), "y": base64url(y)})
            }
            Self::Ed25519(_) => json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&self.public_bytes())}),
            Self::Secret(secret) => json!({"kty": "oct", "k": base64url(secret)}),
        }
    }

    /// Its JWK with this kid.
    pub(crate) fn jwk_named(&self, kid: &str) -> Value {
        with(self.jwk(), json!({"kid": kid}))
    }

    /// Its verification key, not bound to an algorithm.
    pub(crate) fn verifier(&self) -> VerificationKey {
        match self {
            Self::Secret(secret) => VerificationKey::from_shared_secret(secret),
            _ => {
                let key = parsed(&[self.jwk()]).usable.pop().unwrap();
                std::sync::Arc::into_inner(key).unwrap()
            }
        }
    }

    /// A token with this kid and these claims.
    pub(crate) fn token(&self, algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
        let mut header = json!({"alg": algorithm.name(), "typ": "JWT"});
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        self.compact(algorithm, header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// Signs these exact bytes, whatever their header declares.
    pub(crate) fn compact(&self, algorithm: Algorithm, header: &[u8], payload: &[u8]) -> String {
        let input = format!("{}.{}", base64url(header), base64url(payload));
        let signature = self.sign(algorithm, input.as_bytes());
        format!("{input}.{}", base64url(&signature))
    }
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn unbase64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// A PEM block.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body: Vec<String> = STANDARD
        .encode(der)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", body.join("\n"))
}

/// `base` with the members of `more`, which replace those of the same name.
pub(crate) fn with(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("not an object") };
    base.as_object_mut().unwrap().extend(more);
    base
}

/// `base` without this member.
pub(crate) fn without(mut base: Value, name: &str) -> Value {
    base.as_object_mut().unwrap().remove(name).unwrap();
    base
}

pub(crate) fn document(entries: &[Value]) -> String {
    json!({"keys": entries}).to_string()
}

pub(crate) fn parsed(entries: &[Value]) -> ParsedKeys {
    ParsedKeys::parse(document(entries).as_bytes(), KeyDialect::Standard).unwrap()
}

/// A key set of these entries, all of which must be usable.
pub(crate) fn key_set(entries: &[Value]) -> KeySet {
    let keys = parsed(entries);
    assert!(keys.skipped.is_empty(), "{:?}", keys.skipped);
    KeySet::new(keys.usable)
}

/// Claims that are valid at [`NOW`].
pub(crate) fn good_claims() -> Value {
    json!({"iss": "https://idp.example", "sub": "ada", "iat": NOW - 60, "exp": NOW + 600})
}

/// Rules without issuer and audience that treat every token as the backend's own and require `exp`.
pub(crate) fn open_rules() -> ClaimRules {
    ClaimRules {
        issuers: Vec::new(),
        own_tokens: OwnTokens::All,
        kinds: TokenKinds::default(),
        audiences: Vec::new(),
        refuses_foreign_audiences: false,
        non_expiring: NonExpiring::None,
        max_lifetime: None,
        leeway: Duration::from_secs(30),
        principal: PrincipalRules {
            claims: vec!["email".into(), "preferred_username".into(), "sub".into()],
            mapping: None,
            style: PrincipalStyle::AsIs,
        },
        roles_claim: RolesClaim::default(),
        domain: None,
    }
}

/// An entry for these issuers; without issuers, the simple list.
pub(crate) fn entry(name: &str, issuers: &[&str]) -> TrustedIssuer {
    let issuers = issuers.iter().map(|issuer| (*issuer).into()).collect();
    TrustedIssuer {
        name: name.into(),
        algorithms: AlgorithmSet::asymmetric(),
        rules: ClaimRules { issuers, ..open_rules() },
    }
}

/// These claims, signed by [`HMAC`] and verified.
pub(crate) fn signed(claims: &Value) -> SignedClaims {
    signed_with_kid(Some("own-key"), claims)
}

/// These claims, signed by [`HMAC`] as a key with this kid, and verified.
pub(crate) fn signed_with_kid(kid: Option<&str>, claims: &Value) -> SignedClaims {
    let token = HMAC.token(Algorithm::HS256, kid, claims);
    let key = HMAC.verifier();
    let key = if let Some(kid) = kid { key.named(kid).unwrap() } else { key };
    UnverifiedToken::parse(&token, MAX_BYTES).unwrap().verify(&key).unwrap()
}

/// A token verified with `rules` at [`NOW`].
pub(crate) fn verified_by(rules: &ClaimRules, claims: &Value) -> VerifiedToken {
    claims::validate(signed(claims), "idp", rules, NumericDate::from_secs(NOW)).unwrap()
}

/// A token verified with [`open_rules`] at [`NOW`]. Its claims are [`good_claims`] with `more`.
pub(crate) fn verified(more: Value) -> VerifiedToken {
    verified_by(&open_rules(), &with(good_claims(), more))
}

/// The fields of a request, in this order.
pub(crate) fn fields(lines: &[(&str, &str)]) -> Fields {
    let line = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    let mut headers = Fields::new();
    for (name, value) in lines.iter().map(line) {
        headers.append(name, value);
    }
    headers
}

/// Facts of an HTTP/1.1 request for `a.example` from 192.0.2.1.
pub(crate) fn facts_of(
    backend: Backend,
    method: &str,
    path: &str,
    fields: &Fields,
) -> Result<RequestFacts, RequestFault> {
    let mut fields = fields.clone();
    if !fields.contains_key("host") {
        fields.insert("host", HeaderValue::from_static("a.example"));
    }
    RequestFacts::read(
        &Method::from_bytes(method.as_bytes()).unwrap(),
        &Uri::try_from(path).unwrap(),
        Version::HTTP_11,
        &fields,
        backend.quirks(),
        std::net::IpAddr::from([192, 0, 2, 1]),
    )
}

/// An authorizer for `backend` with its public routes and no rules.
pub(crate) fn authorizer(backend: Backend) -> Authorizer {
    let routes = RouteTable::preset(backend, &Place::default()).unwrap();
    Authorizer {
        backend,
        policy: Policy { routes, ..Policy::default() },
        trust: Vec::new(),
        datahub_system: Some(SystemCredential {
            client_id: "__datahub_system".into(),
            client_secret: b"system-secret".to_vec().into(),
        }),
        token_bytes: MAX_BYTES,
        exchange: TokenExchange::default(),
    }
}

/// The decision about `facts`. A bearer token verifies as `token`, or fails with an invalid signature.
pub(crate) fn decide(
    authorizer: &Authorizer,
    facts: &RequestFacts,
    token: Option<VerifiedToken>,
) -> Result<Permit, Denial> {
    let route = authorizer.route(facts);
    let caller = match (authorizer.next_step(facts, route), token) {
        (NextStep::Decide(caller), _) => caller,
        (NextStep::Verify(_), Some(token)) => Ok(Caller::Token(std::sync::Arc::new(token))),
        (NextStep::Verify(_), None) => Err(Denial::new(Reason::InvalidSignature)),
    };
    authorizer.decide(facts, route, caller)
}
