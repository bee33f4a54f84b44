//! The demo's issuer: a generated key pair, its key set over HTTP, and tokens.

use std::net::TcpListener;

use aws_lc_rs::error::Unspecified;
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

/// The `iss` of workloads.
pub(super) const CLUSTER: &str = "https://cluster.demo";
/// The workload that acts as a bot.
pub(super) const JOB: &str = "system:serviceaccount:metadata:ingestion";
/// One that may not.
pub(super) const OTHER_JOB: &str = "system:serviceaccount:metadata:other";

/// An issuer that behaves like OpenMetadata, including its unusual key encoding.
pub(super) struct Issuer {
    key: KeyPair,
    foreign_key: KeyPair,
}

impl Issuer {
    pub(super) fn new() -> Result<Self, Unspecified> {
        let generate = || KeyPair::generate(KeySize::Rsa2048);
        Ok(Self { key: generate()?, foreign_key: generate()? })
    }

    pub(super) fn jwks(&self) -> String {
        let public = self.key.public_key();
        // Java's sign byte and base64 padding, as in OpenMetadata's own key set.
        let n = [&[0], public.modulus().big_endian_without_leading_zero()].concat();
        let e = public.exponent().big_endian_without_leading_zero();
        let key = json!({"kty": "RSA", "kid": KEY_ID, "n": URL_SAFE.encode(n), "e": URL_SAFE.encode(e), "alg": "RS256", "use": "sig"});
        json!({"keys": [key]}).to_string()
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        sign(&self.key, claims)
    }

    /// The same claims and key id, signed with another key.
    pub(super) fn token_with_foreign_key(&self, claims: &Value) -> String {
        sign(&self.foreign_key, claims)
    }
}

/// The example in OpenMetadata's documentation.
pub(super) fn bot_claims() -> Value {
    json!({
        "iss": "open-metadata.org",
        "sub": "ingestion-bot",
        "roles": ["IngestionBotRole"],
        "email": "ingestion-bot@open-metadata.org",
        "isBot": true,
        "tokenType": "BOT",
        "iat": 1_704_067_200,
        "exp": null,
    })
}

pub(super) fn user_claims(issued: i64, expires: i64) -> Value {
    json!({
        "iss": "open-metadata.org",
        "sub": "ada",
        "roles": ["DataConsumer"],
        "email": "ada@example.org",
        "isBot": false,
        "tokenType": "OM_USER",
        "iat": issued,
        "exp": expires,
    })
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

fn sign(key: &KeyPair, claims: &Value) -> String {
    let header = json!({"kid": KEY_ID, "alg": "RS256", "typ": "JWT"});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(&header), part(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    // Fails only if memory is exhausted. The token is then refused, which the demo shows.
    let _ = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature);
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Serves the key set at `/jwks`.
pub(super) async fn serve(listener: TcpListener, jwks: String) {
    super::backend::accept(listener, move |request| {
        let jwks = jwks.clone();
        let found = request.uri().path() == "/jwks";
        let mut response = Response::new(Full::new(if found { Bytes::from(jwks) } else { Bytes::new() }));
        if !found {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    })
    .await;
}
