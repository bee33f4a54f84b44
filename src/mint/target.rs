//! Who a minted token names, checked when a configuration is loaded.

use std::time::Duration;

use super::principal::NamingClaims;
use crate::backend::TokenFormat;
use crate::digest::Sha256;

/// How long a minted token lives by default.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
/// The shortest life of a minted token. Clocks may differ by a part of it.
pub const MIN_LIFETIME: Duration = Duration::from_secs(60);
/// The longest life of a minted token.
pub const MAX_LIFETIME: Duration = Duration::from_secs(900);

/// The `type` of tokens for DataHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum DatahubTokenType {
    /// Known since DataHub 1.4.
    #[default]
    ServiceAccount,
    /// Known to every version.
    Session,
}

impl DatahubTokenType {
    /// The value of the claim.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "SERVICE_ACCOUNT",
            Self::Session => "SESSION",
        }
    }
}

/// A user of the backend for whom tokens can be minted. Only [`super::Minter::prepare`] makes one.
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
    OpenMetadata(NamingClaims),
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
