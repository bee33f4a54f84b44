//! Tokens of every kind, signed with the crypto library directly: the package that verifies tokens
//! in the product takes no part in making them.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::keys::{self, Key, url64};

/// A token to be signed: its header and payload, and how to sign it.
#[derive(Clone)]
pub struct Token {
    header: Map<String, Value>,
    payload: Map<String, Value>,
    alg: String,
    key: &'static Key,
}

pub fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(elapsed.as_secs()).expect("a clock before the year 292 277 026 596")
}

impl Token {
    /// These claims, signed with the first RSA key by default.
    pub fn of(payload: Value) -> Self {
        let Value::Object(payload) = payload else { panic!("a payload is an object") };
        let header = json!({"typ": "JWT"}).as_object().cloned().unwrap_or_default();
        Self { header, payload, alg: String::new(), key: keys::rsa() }.signed("RS256", keys::rsa())
    }

    /// The non-expiring bot token exactly as in OpenMetadata's documentation.
    pub fn bot() -> Self {
        Self::of(json!({
            "iss": "open-metadata.org", "sub": "ingestion-bot", "roles": ["IngestionBotRole"],
            "email": "ingestion-bot@open-metadata.org", "isBot": true, "tokenType": "BOT",
            "iat": 1_704_067_200, "exp": null
        }))
    }

    /// A user's login token from OpenMetadata, valid for one hour.
    pub fn user() -> Self {
        Self::of(json!({
            "iss": "open-metadata.org", "sub": "ada", "roles": ["DataConsumer"],
            "email": "ada@open-metadata.org", "preferred_username": "ada", "username": "ada",
            "isBot": false, "tokenType": "OM_USER", "iat": now() - 5, "exp": now() + 3600
        }))
    }

    /// A personal access token from OpenMetadata, valid for a month.
    pub fn personal() -> Self {
        Self::user().claim("tokenType", json!("PERSONAL_ACCESS")).claim("exp", json!(now() + 30 * 24 * 3600))
    }

    /// A Keycloak token: roles in a nested object, a list of audiences, a token id and an
    /// authorized party.
    pub fn keycloak(issuer: &str) -> Self {
        Self::of(json!({
            "iss": issuer, "sub": "6f6c1e6e-7d0f-4a3c-9a77-0f3a5c0f1a11", "jti": "onrtro:1",
            "aud": ["openmetadata", "account"], "azp": "web", "typ": "Bearer", "scope": "openid email",
            "realm_access": {"roles": ["Admin", "offline_access"]}, "email_verified": true,
            "preferred_username": "ada", "email": "ada@open-metadata.org",
            "iat": now() - 5, "exp": now() + 300
        }))
    }

    /// A personal access token from DataHub: HS256, without kid, typ, iat and aud.
    pub fn datahub() -> Self {
        Self::of(json!({
            "actorType": "USER", "actorId": "ada", "type": "PERSONAL", "version": "2",
            "jti": "0b2b0a4e-9d39-4f9f-8a52-0a2e4a7d3c11", "sub": "ada",
            "iss": "datahub-metadata-service", "exp": now() + 3600
        }))
        .signed("HS256", keys::datahub())
        .without_header("kid")
        .without_header("typ")
    }

    /// Signs with this key and sets `alg` and `kid` accordingly.
    pub fn signed(mut self, alg: &str, key: &'static Key) -> Self {
        self.alg = alg.to_owned();
        self.key = key;
        self.header("alg", json!(alg)).header("kid", json!(key.kid))
    }

    pub fn header(mut self, name: &str, value: Value) -> Self {
        self.header.insert(name.to_owned(), value);
        self
    }

    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.payload.insert(name.to_owned(), value);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.payload.remove(name);
        self
    }

    pub fn issuer(self, issuer: &str) -> Self {
        self.claim("iss", json!(issuer))
    }

    pub fn expires_in(self, seconds: i64) -> Self {
        self.claim("exp", json!(now() + seconds))
    }

    /// A string claim.
    pub fn text(&self, name: &str) -> &str {
        self.payload.get(name).and_then(Value::as_str).expect(name)
    }

    pub fn header_text(&self) -> String {
        Value::Object(self.header.clone()).to_string()
    }

    pub fn payload_text(&self) -> String {
        Value::Object(self.payload.clone()).to_string()
    }

    /// This token's header with any payload bytes, signed.
    pub fn over(&self, payload: impl AsRef<[u8]>) -> String {
        compact(self.header_text(), payload, &self.alg, self.key)
    }

    /// Any header bytes with this token's payload, signed.
    pub fn under(&self, header: impl AsRef<[u8]>) -> String {
        compact(header, self.payload_text(), &self.alg, self.key)
    }

    pub fn encode(&self) -> String {
        self.over(self.payload_text())
    }

    /// The compact form with base64 padding in each part, as load balancers of AWS write it. The signature covers it.
    pub fn encode_padded(&self) -> String {
        let padded = |text: String| base64::prelude::BASE64_URL_SAFE.encode(text);
        let input = format!("{}.{}", padded(self.header_text()), padded(self.payload_text()));
        let signature = self.key.sign(&self.alg, input.as_bytes());
        format!("{input}.{}", base64::prelude::BASE64_URL_SAFE.encode(signature))
    }
}

/// Signs any two byte strings as the two parts of a compact token.
pub fn compact(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>, alg: &str, key: &Key) -> String {
    seal(&format!("{}.{}", url64(header), url64(payload)), alg, key)
}

/// Signs the input as it is, however it is encoded.
pub fn seal(input: &str, alg: &str, key: &Key) -> String {
    format!("{input}.{}", url64(key.sign(alg, input.as_bytes())))
}

/// The three parts of a token.
pub fn parts(token: &str) -> (&str, &str, &str) {
    let mut parts = token.split('.');
    let mut next = || parts.next().expect("a compact token has three parts");
    (next(), next(), next())
}

/// The same token with one claim changed after signing.
pub fn tampered(token: &str) -> String {
    let (header, _, signature) = parts(token);
    let payload = Token::bot().claim("sub", json!("admin")).claim("roles", json!(["Admin"])).payload_text();
    format!("{header}.{}.{signature}", url64(payload))
}

/// `Bearer <token>`
pub fn bearer(token: &Token) -> String {
    format!("Bearer {}", token.encode())
}
