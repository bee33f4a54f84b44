//! The demo's issuer: generated key pairs, its key set over HTTP, and tokens.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

const KEY_ID: &str = "metagate-demo";
/// The key that follows it.
pub(super) const NEXT_KEY_ID: &str = "metagate-demo-2";

/// The `iss` of OpenMetadata.
pub(super) const OPENMETADATA: &str = "open-metadata.org";
/// The `iss` of the identity provider.
pub(super) const LOGIN: &str = "https://login.demo";
/// The `iss` of workloads.
pub(super) const CLUSTER: &str = "https://cluster.demo";
/// The workload that acts as a bot.
pub(super) const JOB: &str = "system:serviceaccount:metadata:ingestion";
/// One that may not.
pub(super) const OTHER_JOB: &str = "system:serviceaccount:metadata:other";

/// An issuer that behaves like OpenMetadata, including its unusual key encoding.
pub(super) struct Issuer {
    key: KeyPair,
    next_key: KeyPair,
    /// Whether the next key is published, too.
    has_rotated: AtomicBool,
    foreign_key: KeyPair,
}

impl Issuer {
    pub(super) fn new() -> Result<Self, Unspecified> {
        let generate = || KeyPair::generate(KeySize::Rsa2048);
        Ok(Self {
            key: generate()?,
            next_key: generate()?,
            has_rotated: AtomicBool::new(false),
            foreign_key: generate()?,
        })
    }

    /// From now on publishes the next key, too.
    pub(super) fn rotate(&self) {
        self.has_rotated.store(true, Ordering::Relaxed);
    }

    fn jwks(&self) -> String {
        let mut keys = vec![jwk(KEY_ID, &self.key)];
        if self.has_rotated.load(Ordering::Relaxed) {
            keys.push(jwk(NEXT_KEY_ID, &self.next_key));
        }
        json!({"keys": keys}).to_string()
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        sign(&self.key, KEY_ID, claims)
    }

    /// A token signed with the next key.
    pub(super) fn next_token(&self, claims: &Value) -> String {
        sign(&self.next_key, NEXT_KEY_ID, claims)
    }

    /// The same claims and key id, signed with another key.
    pub(super) fn token_with_foreign_key(&self, claims: &Value) -> String {
        sign(&self.foreign_key, KEY_ID, claims)
    }

    /// A token that names a key which is never published.
    pub(super) fn token_with_unknown_key(&self, claims: &Value) -> String {
        sign(&self.foreign_key, "metagate-demo-unknown", claims)
    }

    /// HS256 with the public key as the secret, which a verifier that trusts `alg` would accept.
    pub(super) fn confused_token(&self, claims: &Value) -> String {
        let public = self.key.public_key().modulus().big_endian_without_leading_zero();
        sign_with_secret(public, &json!({"kid": KEY_ID, "alg": "HS256", "typ": "JWT"}), claims)
    }
}

/// A token of DataHub's token service: HS256, without a key id.
pub(super) fn datahub_token(secret: &str, claims: &Value) -> String {
    sign_with_secret(secret.as_bytes(), &json!({"alg": "HS256"}), claims)
}

/// A token without a signature.
pub(super) fn unsigned_token(claims: &Value) -> String {
    format!("{}.", signing_input(&json!({"alg": "none", "typ": "JWT"}), claims))
}

fn jwk(kid: &str, key: &KeyPair) -> Value {
    let public = key.public_key();
    // Java's sign byte and base64 padding, as in OpenMetadata's own key set.
    let n = [&[0], public.modulus().big_endian_without_leading_zero()].concat();
    let e = public.exponent().big_endian_without_leading_zero();
    json!({"kty": "RSA", "kid": kid, "n": URL_SAFE.encode(n), "e": URL_SAFE.encode(e), "alg": "RS256", "use": "sig"})
}

/// The token of a user who signed in with the identity provider.
pub(super) fn login_claims(audience: &str, issued: i64, expires: i64) -> Value {
    json!({
        "iss": LOGIN,
        "aud": [audience],
        "sub": "ada",
        "email": "ada@example.org",
        "iat": issued,
        "exp": expires,
    })
}

/// The claims with one of them replaced, or removed if the value is null.
pub(super) fn but(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    match (claims.as_object_mut(), value.is_null()) {
        (Some(members), true) => drop(members.remove(name)),
        _ => claims[name] = value,
    }
    claims
}

/// The token that a pod of Kubernetes has for metagate.
pub(super) fn workload_claims(subject: &str, issued: i64, expires: i64) -> Value {
    json!({
        "iss": CLUSTER,
        "aud": ["metagate"],
        "sub": subject,
        "iat": issued,
        "exp": expires,
    })
}

fn signing_input(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn sign(key: &KeyPair, kid: &str, claims: &Value) -> String {
    let input = signing_input(&json!({"kid": kid, "alg": "RS256", "typ": "JWT"}), claims);
    let mut signature = vec![0; key.public_modulus_len()];
    // Fails only if memory is exhausted. The token is then refused, which the demo shows.
    let _ = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature);
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn sign_with_secret(secret: &[u8], header: &Value, claims: &Value) -> String {
    let input = signing_input(header, claims);
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Serves the key set at `/jwks`.
pub(super) async fn serve(listener: TcpListener, issuer: Arc<Issuer>) {
    super::backend::accept(listener, move |request| {
        let found = request.uri().path() == "/jwks";
        let body = if found { Bytes::from(issuer.jwks()) } else { Bytes::new() };
        let mut response = Response::new(Full::new(body));
        if !found {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    })
    .await;
}
