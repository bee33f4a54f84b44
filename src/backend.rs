//! What metagate knows about the backends it stands in front of, as data: one constant [`Preset`]
//! for each, in a file of its own.
//!
//! Other modules ask [`Backend::preset`] and never which backend it is. To add one: a file like
//! `backend/datahub_gms.rs`, and its line in the table of [`Backend`].

use crate::jose::KeyDialect;
use crate::request::BackendQuirks;

mod datahub;
mod datahub_frontend;
mod datahub_gms;
mod generic;
mod openmetadata;
mod preset;
mod product;
mod routes;
mod tokens;

pub use openmetadata::PUBLISHED_KEY_ID;
pub use preset::{
    ActorField, BasePath, GrantedFields, IdentityFields, ImpersonationField, Preset, RequestSourceField,
};
pub use product::{OwnKeySet, Product, Published, SigningKey, TokenClasses};
pub use routes::{Condition, LetterCase, PresetRow, Route};
pub use tokens::{NonExpiring, PrincipalStyle, TokenClass};

/// The enum of the backends, with the preset of each.
macro_rules! backends {
    ($($(#[$about:meta])* $name:ident => $preset:path,)*) => {
        /// The backend behind the proxy.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
        pub enum Backend {
            $($(#[$about])* $name,)*
        }

        impl Backend {
            /// Every backend.
            pub const ALL: [Self; [$(Self::$name),*].len()] = [$(Self::$name),*];

            /// The words of the configuration, in the same order.
            pub const NAMES: [&'static str; Self::ALL.len()] = [$($preset.name),*];

            /// What is special about it.
            pub const fn preset(self) -> &'static Preset {
                match self {
                    $(Self::$name => &$preset,)*
                }
            }
        }
    };
}

backends! {
    /// Any HTTP service: nothing is public, identity fields are stripped.
    #[default]
    Generic => generic::PRESET,
    /// OpenMetadata's server (port 8585).
    OpenMetadata => openmetadata::PRESET,
    /// DataHub's metadata service (port 8080).
    DataHubGms => datahub_gms::PRESET,
    /// DataHub's web frontend (port 9002).
    DataHubFrontend => datahub_frontend::PRESET,
}

impl Backend {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        self.preset().name
    }

    /// What reading a request depends on.
    pub const fn quirks(self) -> BackendQuirks {
        self.preset().quirks
    }

    /// The products that the backends are part of; one with two servers comes once.
    pub fn products() -> impl Iterator<Item = &'static Product> {
        let product = |backend: &Self| backend.preset().product;
        let mut seen = None;
        Self::ALL.iter().filter_map(product).filter(move |found| seen.replace(found.name) != Some(found.name))
    }
}

/// How the key set at a URL with this path is to be read: as a backend's own, or by the standard.
pub fn key_dialect_of(path: &str) -> KeyDialect {
    let own = |product: &Product| product.key_set.filter(|set| path.ends_with(set.path));
    Backend::products().find_map(own).map_or(KeyDialect::Standard, |set| set.dialect)
}

#[cfg(test)]
mod tests;
