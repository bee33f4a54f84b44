//! What metagate knows about the backends it stands in front of, as data.

use crate::request::Habits;

mod datahub;
mod openmetadata;
mod preset;

pub use preset::{Condition, LetterCase, PresetRow, Route};

/// The backend behind the proxy: its public routes, header hygiene and token shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Backend {
    /// Any HTTP service: nothing is public, identity fields are stripped.
    #[default]
    Generic,
    /// OpenMetadata's server (port 8585).
    OpenMetadata,
    /// DataHub's metadata service (port 8080).
    DataHubGms,
    /// DataHub's web frontend (port 9002).
    DataHubFrontend,
}

/// Who may send fields that others may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// The holder of a verified token.
    Token,
    /// A bot that may act as another user, and asks to.
    Impersonator,
    /// DataHub's own services, by their credential.
    System,
}

impl Granted {
    /// Everybody who may.
    pub const ALL: [Self; 3] = [Self::Token, Self::Impersonator, Self::System];
}

impl Backend {
    /// Every backend, for error messages and tests.
    pub const ALL: [Self; 4] = [Self::Generic, Self::OpenMetadata, Self::DataHubGms, Self::DataHubFrontend];

    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::OpenMetadata => "openmetadata",
            Self::DataHubGms => "datahub-gms",
            Self::DataHubFrontend => "datahub-frontend",
        }
    }

    /// Reads the word in the configuration.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|backend| backend.as_str() == name)
    }

    /// What this backend makes of its routes, in order: the first row that matches a request decides,
    /// and one that none matches is protected.
    pub const fn routes(self) -> &'static [PresetRow] {
        match self {
            Self::Generic => &[],
            Self::OpenMetadata => openmetadata::ROUTES,
            Self::DataHubGms => datahub::GMS_ROUTES,
            Self::DataHubFrontend => datahub::FRONTEND_ROUTES,
        }
    }

    /// Request fields that this backend believes and that no client may therefore send, in lower
    /// case with `-`. [`crate::outbound_head`] removes them in every spelling, but for
    /// [`Self::granted_fields`].
    pub const fn identity_fields(self) -> &'static [&'static str] {
        match self {
            Self::Generic => &[],
            Self::OpenMetadata => openmetadata::IDENTITY_FIELDS,
            Self::DataHubGms | Self::DataHubFrontend => datahub::IDENTITY_FIELDS,
        }
    }

    /// What the names of further such fields begin with, in lower case with `-`. All that begin so are
    /// removed in every spelling, but for [`Self::harmless_fields`] and [`Self::granted_fields`].
    pub const fn identity_families(self) -> &'static [&'static str] {
        match self {
            Self::Generic | Self::OpenMetadata => &[],
            Self::DataHubGms | Self::DataHubFrontend => datahub::IDENTITY_FAMILIES,
        }
    }

    /// Fields of [`Self::identity_families`] that anybody may send, in this one spelling.
    pub const fn harmless_fields(self) -> &'static [&'static str] {
        match self {
            Self::Generic | Self::OpenMetadata => &[],
            Self::DataHubGms | Self::DataHubFrontend => datahub::HARMLESS_FIELDS,
        }
    }

    /// Fields that such a caller may send as they stand, in this one spelling. They are removed
    /// from the requests of every other one.
    pub const fn granted_fields(self, to: Granted) -> &'static [&'static str] {
        match (self, to) {
            (Self::OpenMetadata, Granted::Token) => openmetadata::WISHES_OF_USERS,
            (Self::OpenMetadata, Granted::Impersonator) => openmetadata::WISHES_OF_IMPERSONATORS,
            (Self::DataHubGms, Granted::System) => datahub::IDENTITY_FIELDS,
            _ => &[],
        }
    }

    /// Parts of paths, in lower case, under which credentials are made and changed: nobody is
    /// impersonated there.
    pub const fn identity_endpoints(self) -> &'static [&'static str] {
        match self {
            Self::OpenMetadata => openmetadata::IDENTITY_ENDPOINTS,
            Self::Generic | Self::DataHubGms | Self::DataHubFrontend => &[],
        }
    }

    /// What reading a request depends on.
    pub const fn habits(self) -> Habits {
        let rewrites = match self {
            Self::DataHubFrontend => datahub::FRONTEND_REWRITES,
            Self::Generic | Self::OpenMetadata | Self::DataHubGms => &[],
        };
        Habits { session_cookies: self.session_cookies(), rewrites }
    }

    /// Cookies that hold a login and are dropped from a request that brings a bearer token: this
    /// backend would believe the cookie and not the token that was judged.
    pub const fn session_cookies(self) -> &'static [&'static str] {
        match self {
            Self::DataHubFrontend => datahub::SESSION_COOKIES,
            Self::Generic | Self::OpenMetadata | Self::DataHubGms => &[],
        }
    }
}
