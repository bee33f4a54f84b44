//! Published secrets and key ids: those that the backends ship or shipped, and examples of the documentation. Loading,
//! `metagate check` and docs/reference.md use this one list.

pub use crate::backend::PUBLISHED_KEY_ID;
use crate::backend::{Backend, Published};

/// The description of examples in metagate's own documentation.
const EXAMPLE: &str = "an example of metagate's documentation";
const EXAMPLES: [Published; 3] = [
    Published { value: "replace-me-by-tokenServiceSigningKeyFile", what: EXAMPLE },
    Published { value: "an-example-with-at-least-32-bytes-better-in-a-file", what: EXAMPLE },
    Published { value: "only-for-tests-this-is-in-a-file-that-many-can-read", what: EXAMPLE },
];

/// All published secrets.
pub fn published_secrets() -> impl Iterator<Item = Published> {
    Backend::products().flat_map(|product| product.published_secrets).copied().chain(EXAMPLES)
}

/// The published secret that equals `secret`, ignoring the padding of base64.
pub(super) fn find(secret: &[u8]) -> Option<Published> {
    published_secrets().find(|known| without_padding(known.value.as_bytes()) == without_padding(secret))
}

fn without_padding(bytes: &[u8]) -> &[u8] {
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    bytes.get(..bytes.len() - padding).unwrap_or_default()
}
