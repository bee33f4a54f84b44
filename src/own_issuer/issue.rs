//! Issues tokens, and says how they are verified.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::{ENTRY, IssuerKey, MAX_LIFETIME, TOKEN_TYPE};
use crate::claims::{
    ClaimRules, IssuedKind, NonExpiring, OwnTokens, PrincipalRules, PrincipalStyle, RolesClaim, TokenKinds,
};
use crate::digest::hex;
use crate::jose::{Algorithm, AlgorithmSet, KeySet, VerificationKey};
use crate::numeric_date::NumericDate;
use crate::trust::TrustedIssuer;

/// Claims that every token has, and that the caller of [`TokenIssuer::issue`] cannot set.
const RESERVED: [&str; 8] = ["iss", "aud", "sub", "jti", "iat", "exp", "nbf", IssuedKind::CLAIM];

/// Issues tokens with the keys of one configuration.
#[derive(Debug)]
pub struct TokenIssuer {
    url: Box<str>,
    audience: Box<str>,
    /// The first one signs.
    keys: Vec<IssuerKey>,
}

/// A token, and what identifies it.
pub struct IssuedToken {
    /// The token itself.
    pub text: SecretString,
    /// Its `jti`: 128 random bits in 32 hex digits.
    pub id: Box<str>,
    /// Its `iat`.
    pub issued: NumericDate,
    /// Its `exp`.
    pub expires: NumericDate,
}

/// Why no token is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum IssueFault {
    #[error("a token lives from 1 second to 365 days")]
    Lifetime,
    #[error("the claim is one that every token has")]
    ReservedClaim,
    #[error("issuer.keyFiles names no key")]
    NoKey,
    #[error("the token could not be signed")]
    Signing,
}

impl TokenIssuer {
    /// An issuer. `url` is the `iss` of its tokens and `audience` their `aud`; the first of `keys` signs.
    pub fn new(url: impl Into<Box<str>>, audience: impl Into<Box<str>>, keys: Vec<IssuerKey>) -> Self {
        Self { url: url.into(), audience: audience.into(), keys }
    }

    /// The `iss` of its tokens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The `aud` of its tokens.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Its keys. The first one signs.
    pub fn keys(&self) -> &[IssuerKey] {
        &self.keys
    }

    /// The public keys, each only for tokens with its own `kid`.
    pub fn public_keys(&self) -> Vec<Arc<VerificationKey>> {
        self.keys.iter().map(|key| key.public().clone()).collect()
    }

    /// The set of the public keys.
    pub fn key_set(&self) -> KeySet {
        KeySet::new(self.public_keys())
    }

    /// The JWK Set (RFC 7517 section 5) of the public keys.
    pub fn jwks(&self) -> Value {
        json!({"keys": self.keys.iter().map(IssuerKey::jwk).collect::<Vec<_>>()})
    }

    /// Issues a token to `subject` at `now` that ends after `lifetime`, in whole seconds. `more` are further claims.
    ///
    /// # Errors
    /// See [`IssueFault`].
    pub fn issue(
        &self,
        kind: IssuedKind,
        subject: &str,
        lifetime: Duration,
        now: NumericDate,
        more: &[(&str, Value)],
    ) -> Result<IssuedToken, IssueFault> {
        let seconds = lifetime.as_secs();
        if seconds == 0 || lifetime > MAX_LIFETIME {
            return Err(IssueFault::Lifetime);
        }
        let is_reserved = |name: &str| RESERVED.iter().any(|one| one.eq_ignore_ascii_case(name));
        if more.iter().any(|(name, _)| is_reserved(name)) {
            return Err(IssueFault::ReservedClaim);
        }
        let key = self.keys.first().ok_or(IssueFault::NoKey)?;
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_| IssueFault::Signing)?;
        let (id, expires) = (hex(&id), now.plus(seconds));
        let mut claims: Map<String, Value> =
            more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        for (name, value) in [
            ("iss", json!(self.url)),
            ("aud", json!(self.audience)),
            ("sub", json!(subject)),
            ("jti", json!(id)),
            ("iat", json!(now.as_secs())),
            ("exp", json!(expires.as_secs())),
            (IssuedKind::CLAIM, json!(kind.as_str())),
        ] {
            claims.insert(name.to_owned(), value);
        }
        let header = json!({"alg": Algorithm::ES256.name(), "typ": TOKEN_TYPE, "kid": key.kid()});
        let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let input = format!("{}.{}", encoded(&header), encoded(&Value::Object(claims)));
        let signature = key.sign(input.as_bytes()).ok_or(IssueFault::Signing)?;
        let text = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)).into();
        Ok(IssuedToken { text, id: id.into(), issued: now, expires })
    }

    /// The algorithms of its tokens: ES256.
    pub fn algorithms() -> AlgorithmSet {
        [Algorithm::ES256].into_iter().collect()
    }

    /// How the claims of its tokens are validated. `leeway` is how far clocks may differ, in whole seconds.
    pub fn rules(&self, leeway: Duration) -> ClaimRules {
        ClaimRules {
            issuers: vec![self.url.clone()],
            // For metagate's own rules `tokenType` counts, but not as the backend reads it.
            own_tokens: OwnTokens::None,
            kinds: TokenKinds {
                types: vec![TOKEN_TYPE.into()],
                require_type: true,
                own: true,
                ..TokenKinds::default()
            },
            audiences: vec![self.audience.clone()],
            refuses_foreign_audiences: true,
            non_expiring: NonExpiring::None,
            max_lifetime: Some(MAX_LIFETIME),
            leeway,
            principal: PrincipalRules {
                claims: vec!["sub".into()],
                mapping: None,
                style: PrincipalStyle::AsIs,
            },
            // Not read: roles come from the allow-list, never from a token.
            roles_claim: RolesClaim::default(),
            domain: None,
        }
    }

    /// The implicit issuer entry.
    pub fn trusted(&self, leeway: Duration) -> TrustedIssuer {
        TrustedIssuer { name: ENTRY.into(), algorithms: Self::algorithms(), rules: self.rules(leeway) }
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken")
            .field("id", &self.id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
