//! The gateways that cases run against, the key server that must never be contacted, and the tokens
//! that must pass.

use std::sync::LazyLock;

use serde_json::json;

use super::{Case, GOOD, good, key_sets};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::{self, DATAHUB_SECRET, Key};
use crate::support::stage::Stage;
use crate::support::token::{Token, now};
use crate::support::upstream::Upstream;

/// The gateway that a case runs against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// The simple list with two RSA keys, both curves and an Ed25519 key, and DataHub's secret.
    Usual,
    /// The simple list with a key set of invalid and unusual keys.
    Odd,
    /// Issuers, each with its own keys, and rules.
    Issuers,
}

pub const ALPHA: &str = "https://alpha.test";
pub const BETA: &str = "https://beta.test";
pub const STRICT: &str = "https://strict.test";

/// Two issuers whose keys share an id, a strict one, and rules by method.
const ISSUERS: &str = r#"
authentication:
  issuers:
    - {name: alpha, issuer: ALPHA, publicKeyUrls: [ISSUER/alpha], backendTokens: true}
    - {name: beta, issuer: [BETA, BETA/v2], publicKeyUrls: [ISSUER/beta]}
    - name: strict
      issuer: STRICT
      publicKeyUrls: [ISSUER/jwks]
      audiences: [us, them]
      algorithms: [RS256, ES256]
      maxLifetime: 24h
authorization:
  rules:
    - {name: bots-put, match: {methods: [PUT]}, require: {tokenType: [bot]}}
    - {name: admins-delete, match: {methods: [DELETE]}, require: {anyRole: [Admin]}}
    - {name: acme-patches, match: {methods: [PATCH]}, require: {claims: {org.name: [acme]}}}
"#;

impl Environment {
    pub const ALL: [Self; 3] = [Self::Usual, Self::Odd, Self::Issuers];

    #[track_caller]
    pub fn start(self) -> Stage {
        match self {
            Self::Usual => {
                let known = [keys::rsa(), keys::other_rsa(), keys::p256(), keys::p384(), keys::ed25519()];
                let issuer = Issuer::with_keys(&known.map(Key::jwk));
                Stage::with(issuer, Upstream::echo(), |setup| {
                    setup.env("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", DATAHUB_SECRET)
                })
            }
            Self::Odd => Stage::with(Issuer::with_keys(&key_sets::odd()), Upstream::echo(), |setup| setup),
            Self::Issuers => {
                let same = json!({"kid": "same"});
                let issuer = Issuer::with_keys(&[keys::rsa().jwk(), keys::p256().jwk()]);
                issuer.publish("/alpha", &[keys::rsa().jwk_with(same.clone()), keys::p256().jwk()]);
                issuer.publish("/beta", &[keys::other_rsa().jwk_with(same), keys::p384().jwk()]);
                let config = ISSUERS.replace("ALPHA", ALPHA).replace("BETA", BETA).replace("STRICT", STRICT);
                Stage::configured(issuer, &config)
            }
        }
    }
}

/// A key server that would let the attacker in. Every URL inside a token points here.
pub fn trap() -> &'static Issuer {
    static TRAP: LazyLock<Issuer> = LazyLock::new(|| {
        let own = attacker().jwk_with(json!({"kid": keys::rsa().kid}));
        let issuer = Issuer::with_keys(&[attacker().jwk(), own]);
        assert_eq!(issuer.hits(JWKS), 0);
        issuer
    });
    &TRAP
}

/// An RSA key that only the trap publishes.
pub fn attacker() -> &'static Key {
    keys::third_rsa()
}

/// Valid tokens that must be accepted.
pub fn good_tokens() -> Vec<Case> {
    let mut cases = Vec::new();
    for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        cases.push(good(GOOD, alg, &Token::user().signed(alg, keys::rsa())));
    }
    let float = json!(now() as f64 + 3600.5);
    let named = [
        ("ES256", Token::user().signed("ES256", keys::p256())),
        ("ES384", Token::user().signed("ES384", keys::p384())),
        ("EdDSA", Token::user().signed("EdDSA", keys::ed25519())),
        ("HS256 by DataHub's secret", Token::datahub()),
        ("the documented bot, exp null", Token::bot()),
        ("a bot without exp", Token::bot().without("exp")),
        ("a user of OpenMetadata", Token::user()),
        ("a personal access token", Token::personal()),
        ("an identity provider's token", Token::keycloak("https://idp.test/realms/acme")),
        ("an access token of RFC 9068", Token::user().header("typ", json!("at+jwt"))),
        ("no typ", Token::user().without_header("typ")),
        ("another header member", Token::user().header("x5t", json!("abc"))),
        ("a fractional exp", Token::user().claim("exp", float)),
        ("without iat", Token::user().without("iat")),
        ("an audience that is not checked", Token::user().claim("aud", json!(["a", "b"]))),
        ("a non-ASCII principal", Token::user().claim("email", json!("zoé@open-metadata.org"))),
        ("claims of every JSON type", Token::user().claim("x", json!({"a": [1, 2.5, null, true, "z"]}))),
    ];
    cases.extend(named.map(|(name, token)| good(GOOD, name, &token)));
    cases
}
