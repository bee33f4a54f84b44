//! Who a minted token names, checked when a configuration is loaded.

use std::time::Duration;

use super::claims::fill_principal;
use super::token::{DatahubTokenType, Minter};
use super::{MintFault, PrincipalClaims};
use crate::backend::TokenFormat;
use crate::digest::{Sha256, sha256_of_parts};
use crate::printable::is_printable;

/// How long a minted token lives by default.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
/// The shortest life of a minted token.
pub const MIN_LIFETIME: Duration = Duration::from_secs(10);
/// The longest life of a minted token.
pub const MAX_LIFETIME: Duration = Duration::from_secs(3600);

const MAX_USER_BYTES: usize = 256;
const MAX_EMAIL_BYTES: usize = 320;
/// The name and the urn of the user that every part of DataHub trusts.
const SYSTEM_USER: &str = "__datahub_system";

/// A user of the backend, as the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetUser<'a> {
    /// The name: of OpenMetadata's user or bot, or the id of DataHub's `urn:li:corpuser`.
    pub name: &'a str,
    /// The email address that OpenMetadata has stored. DataHub does not read one.
    pub email: Option<&'a str>,
}

/// A user of the backend for whom tokens can be minted. Only [`Minter::prepare`] makes one.
#[derive(Clone, Debug)]
pub struct MintTarget {
    pub(super) user: Box<str>,
    pub(super) lifetime: u64,
    pub(super) form: Form,
    pub(super) id: Sha256,
}

/// What is different from backend to backend.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// With these claims, which name the user.
    OpenMetadata(Box<[(Box<str>, Box<str>)]>),
    DataHub(DatahubTokenType),
}

impl MintTarget {
    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The backend that the tokens are for.
    pub fn format(&self) -> TokenFormat {
        match self.form {
            Form::OpenMetadata(_) => TokenFormat::OpenMetadata,
            Form::DataHub(_) => TokenFormat::DataHub,
        }
    }

    /// The longest life of its tokens.
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime)
    }

    /// A digest of everything that its tokens depend on: the entry, the user, the lifetime, the issuer and the keys.
    /// Tokens kept for one target are never used for another.
    pub fn id(&self) -> &Sha256 {
        &self.id
    }
}

impl Minter {
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
}

fn check_name(name: &str) -> Result<(), MintFault> {
    let is_plain =
        |c: char| is_printable(c) && !c.is_whitespace() && !matches!(c, '%' | '(' | ')' | ',' | ':');
    let fine = !name.is_empty() && name.len() <= MAX_USER_BYTES && name.chars().all(is_plain);
    if fine { Ok(()) } else { Err(MintFault::InvalidUser) }
}

fn openmetadata_claims(
    claims: &PrincipalClaims,
    user: TargetUser<'_>,
) -> Result<Box<[(Box<str>, Box<str>)]>, MintFault> {
    if user.name.contains('@') {
        return Err(MintFault::NameIsAddress);
    }
    check_name(user.name)?;
    if user.name.chars().any(char::is_uppercase) {
        return Err(MintFault::NotLowerCase);
    }
    if let Some(email) = user.email {
        let parts = email.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
        let plain = email.len() <= MAX_EMAIL_BYTES && email.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain || parts.is_none_or(|(_, domain)| domain.contains('@')) {
            return Err(MintFault::InvalidEmail);
        }
    }
    fill_principal(claims, user)
}
