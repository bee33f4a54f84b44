//! Makes tokens.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde_json::{Value, json};

use super::claims::{Stamp, claims};
use super::keys::SigningKeys;
use super::principal::{SYSTEM_USER, check_name, openmetadata_claims};
use super::target::{Form, MAX_LIFETIME, MIN_LIFETIME};
use super::{DatahubTokenType, MintFault, MintTarget, PrincipalClaims, TargetUser};
use crate::backend::TokenFormat;
use crate::digest::{hex, sha256_of_parts};
use crate::numeric_date::NumericDate;

/// Mints tokens with the keys of one configuration.
pub struct Minter {
    pub(super) issuer: Box<str>,
    pub(super) keys: SigningKeys,
    pub(super) claims: PrincipalClaims,
    pub(super) datahub_type: DatahubTokenType,
    /// Another name of DataHub's system user.
    pub(super) system_user: Box<str>,
}

/// A minted token.
#[derive(Clone)]
pub struct MintedToken {
    /// `Bearer <token>`, marked as sensitive. A copy shares its bytes.
    pub authorization: HeaderValue,
    /// Its `iat`.
    pub issued: NumericDate,
    /// Its `exp`. Both backends compare it without tolerance.
    pub expires: NumericDate,
}

impl Minter {
    /// A minter. `issuer` is the `iss` of all of its tokens; no configuration may trust it.
    pub fn new(
        issuer: impl Into<Box<str>>,
        keys: SigningKeys,
        claims: PrincipalClaims,
        datahub_type: DatahubTokenType,
    ) -> Self {
        Self { issuer: issuer.into(), keys, claims, datahub_type, system_user: Box::default() }
    }

    /// The same minter. `name` is the id of DataHub's own services, which is their system user: no token names it.
    #[must_use]
    pub fn with_system_user(self, name: &str) -> Self {
        Self { system_user: name.into(), ..self }
    }

    /// The `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its keys.
    pub fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// Prepares to mint for a user. `entry` is the name of the entry of the configuration that does so, and `lifetime`
    /// how long its tokens live at most, in whole seconds.
    ///
    /// # Errors
    /// There is no key for this format, or the user cannot be named: see [`MintFault`].
    pub fn prepare(
        &self,
        entry: &str,
        format: TokenFormat,
        user: TargetUser<'_>,
        lifetime: Duration,
    ) -> Result<MintTarget, MintFault> {
        if !(MIN_LIFETIME..=MAX_LIFETIME).contains(&lifetime) {
            return Err(MintFault::Lifetime);
        }
        let form = match format {
            TokenFormat::OpenMetadata => {
                self.keys.signing()?;
                Form::OpenMetadata(openmetadata_claims(&self.claims, user)?)
            }
            TokenFormat::DataHub => {
                self.keys.datahub()?;
                self.check_datahub_user(user.name)?;
                Form::DataHub(self.datahub_type)
            }
        };
        let lifetime = lifetime.as_secs();
        let described = format!("{:?}", (entry, user, &form, lifetime, &*self.issuer));
        let id = sha256_of_parts([self.keys.generation().as_slice(), described.as_bytes()]);
        Ok(MintTarget { user: user.name.into(), lifetime, form, id })
    }

    fn check_datahub_user(&self, name: &str) -> Result<(), MintFault> {
        check_name(name)?;
        let is_system = |system: &str| name.eq_ignore_ascii_case(system);
        if is_system(SYSTEM_USER) || is_system(&self.system_user) {
            Err(MintFault::SystemUser)
        } else {
            Ok(())
        }
    }

    /// Mints a token for this target at `now`. It ends after the target's lifetime, but not after `until`, the moment
    /// from which the incoming token is no longer accepted (`None`: it does not expire).
    ///
    /// An RSA signature takes about a millisecond; do not call this on a worker's thread.
    ///
    /// # Errors
    /// [`MintFault::Expired`] if `until` is not after `now`; otherwise signing failed.
    pub fn mint(
        &self,
        target: &MintTarget,
        now: NumericDate,
        until: Option<NumericDate>,
    ) -> Result<MintedToken, MintFault> {
        let longest = now.plus(target.lifetime);
        let expires = until.map_or(longest, |until| until.min(longest));
        if expires <= now {
            return Err(MintFault::Expired);
        }
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_| MintFault::Signing)?;
        let claims = claims(&self.issuer, target, &Stamp { issued: now, expires, id: hex(&id) });
        let token = match &target.form {
            Form::OpenMetadata(_) => {
                let (key, algorithm) = self.keys.signing()?;
                let header = json!({"alg": algorithm.name(), "typ": "JWT", "kid": key.kid()});
                let input = signing_input(&header, &claims);
                let signature = key.sign(algorithm, input.as_bytes())?;
                joined(&input, &signature)
            }
            Form::DataHub(_) => {
                let key = self.keys.datahub()?;
                let input = signing_input(&json!({"alg": "HS256"}), &claims);
                joined(&input, hmac::sign(key, input.as_bytes()).as_ref())
            }
        };
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| MintFault::Signing)?;
        authorization.set_sensitive(true);
        Ok(MintedToken { authorization, issued: now, expires })
    }

    /// The claims of a token that would be minted at `now`, to be shown.
    pub fn shown_claims(&self, target: &MintTarget, now: NumericDate) -> Value {
        let stamp = Stamp { issued: now, expires: now.plus(target.lifetime), id: "<random>".to_owned() };
        claims(&self.issuer, target, &stamp)
    }
}

/// RFC 7515 section 5.1, step 5.
fn signing_input(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn joined(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minter")
            .field("issuer", &self.issuer)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MintedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MintedToken")
            .field("issued", &self.issued)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
