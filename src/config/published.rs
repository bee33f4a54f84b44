//! Secrets and key ids that everybody can read: what the backends ship or shipped, and what stands in
//! documentation. One list, for loading, `metagate check` and docs/configuration.md.

/// A value that keeps no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The value.
    pub value: &'static str,
    /// What it is.
    pub what: &'static str,
}

const fn published(value: &'static str, what: &'static str) -> Published {
    Published { value, what }
}

/// Secrets that are published.
pub const PUBLISHED_SECRETS: [Published; 8] = [
    published(
        "WnEdIeTG/VVCLQqGwC/BAkqyY0k+H8NEAtWGejrBI94=",
        "the signing key that DataHub shipped until version 1.5",
    ),
    published(
        "ohDVbJBvHHVJh9S/UA4BYF9COuNnqqVhr9MLKEGXk1O=",
        "the salt that DataHub shipped until version 1.5",
    ),
    published("WnEdIeTG/VVCLQqGwC/BAkqyY0k+H8NEAtWGejrBI93=", "the salt of DataHub's tests"),
    published("JohnSnowKnowsNothing", "the system client secret that DataHub ships"),
    published("YouKnowNothing", "the system client secret of early versions of DataHub"),
    published("replace-me-by-tokenServiceSigningKeyFile", "an example of metagate's documentation"),
    published("an-example-with-at-least-32-bytes-better-in-a-file", "an example of metagate's documentation"),
    published(
        "only-for-tests-this-is-in-a-file-that-many-can-read",
        "an example of metagate's documentation",
    ),
];

/// The `kid` of the key pair that OpenMetadata ships, private half included.
pub const PUBLISHED_KEY_ID: &str = "Gb389a-9f76-gdjs-a92j-0242bk94356";

/// What a secret is known as, if it is published. The padding of base64 does not count.
pub(super) fn find(secret: &[u8]) -> Option<Published> {
    PUBLISHED_SECRETS
        .into_iter()
        .find(|known| without_padding(known.value.as_bytes()) == without_padding(secret))
}

fn without_padding(bytes: &[u8]) -> &[u8] {
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    bytes.get(..bytes.len() - padding).unwrap_or_default()
}
