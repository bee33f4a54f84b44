//! What metagate knows about the backends, as data: one constant [`Preset`] per backend, each in its own file.
//!
//! Other modules read [`Backend::preset`] and never match on the backend. To add a backend, add a file like
//! `backend/datahub_gms.rs` and a line in the table of [`Backend`].

use crate::jose::KeyDialect;
use crate::request::BackendQuirks;

mod datahub;
mod datahub_frontend;
mod datahub_gms;
mod generic;
mod identification;
mod openmetadata;
mod preset;
mod product;
mod routes;
mod tokens;

pub use identification::Identification;
pub use openmetadata::PUBLISHED_KEY_ID;
pub use preset::{
    ActorField, BasePath, GrantedFields, IdentityFields, ImpersonationField, Preset, RequestSourceField,
};
pub use product::{OwnKeySet, Product, Published, SigningKey, TokenClasses};
pub use routes::{Condition, LetterCase, PresetRow, Route};
pub use tokens::{NonExpiring, PrincipalStyle, TokenClass, TokenFormat};

/// Defines the enum of the backends and the preset of each.
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

            /// The backend's preset.
            pub const fn preset(self) -> &'static Preset {
                match self {
                    $(Self::$name => &$preset,)*
                }
            }
        }
    };
}

backends! {
    /// Any HTTP service: no route is public, and identity fields are removed.
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

    /// What the parsing of a request depends on.
    pub const fn quirks(self) -> BackendQuirks {
        self.preset().quirks
    }

    /// The field that `identity.datahubActor` sets: the backend's, or DataHub's if it has none. A server behind it may
    /// read the field, and would trust a client's.
    pub fn actor_field(self) -> Option<ActorField> {
        self.preset().actor.or_else(|| Self::ALL.into_iter().find_map(|backend| backend.preset().actor))
    }

    /// The products that the backends are part of. A product with two servers is listed once.
    pub fn products() -> impl Iterator<Item = &'static Product> {
        let product = |backend: &Self| backend.preset().product;
        let mut seen = None;
        Self::ALL.iter().filter_map(product).filter(move |found| seen.replace(found.name) != Some(found.name))
    }
}

/// How to parse the key set at a URL with this path: in a product's own dialect, or by the standard.
pub fn key_dialect_of(path: &str) -> KeyDialect {
    let known = |product: &Product| product.key_set.filter(|set| path.ends_with(set.path));
    Backend::products().find_map(known).map_or(KeyDialect::Standard, |set| set.dialect)
}

#[cfg(test)]
mod tests;
