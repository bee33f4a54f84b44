//! What DataHub's servers have in common.

use super::{
    IdentityFields, NonExpiring, Preset, Product, Published, RequestSourceField, SigningKey, TokenClass,
    TokenClasses, generic,
};

/// What every server of DataHub's begins with; it is no backend itself.
pub(super) const PRESET: Preset = Preset {
    product: Some(&PRODUCT),
    identity: IdentityFields {
        names: IDENTITY_FIELDS,
        families: IDENTITY_FAMILIES,
        harmless: HARMLESS_FIELDS,
    },
    ..generic::PRESET
};

const PRODUCT: Product = Product {
    name: "DataHub",
    section: "datahub",
    issuer_key: "tokenServiceIssuer",
    classes: TokenClasses {
        // A bare `type` means other things elsewhere.
        told_by: Some("actorType"),
        in_any_case: false,
        bot_claim: None,
        claim: "type",
        values: &[
            ("PERSONAL", TokenClass::PersonalAccess),
            ("SESSION", TokenClass::Session),
            ("SERVICE_ACCOUNT", TokenClass::ServiceAccount),
        ],
    },
    key_set: None,
    signing_key: Some(SigningKey {
        entry: "datahub",
        key: "tokenServiceSigningKey",
        // It makes personal access tokens and tokens of service accounts without exp ("No expiry"), never
        // sessions.
        non_expiring: NonExpiring::AccessTokens,
        principal_claims: &["actorId", "sub"],
    }),
    published_secrets: &[
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
    ],
};

const fn published(value: &'static str, what: &'static str) -> Published {
    Published { value, what }
}

/// Whether a browser or a program is asking. GMS picks a rate limit by it and believes whoever sends it
/// (DataHub 2.0, `ClientClassifier`).
pub(super) const REQUEST_SOURCE: RequestSourceField = RequestSourceField {
    name: "x-datahub-request-source",
    browser: "BROWSER",
    program: "SDK",
    has_frontend: false,
};

/// Fields by which GMS is told who is asking (CVE-2023-25559: in any case) and how: constants of
/// `AuthenticationConstants`, `Constants` and `ClientClassifier`, 2.0. Its own services, which prove
/// themselves by the system credential, act for users by them; they are the system user without them
/// and so cannot gain anything.
pub(super) const IDENTITY_FIELDS: &[&str] = &[
    "x-datahub-actor",
    "x-datahub-delegated-for",
    "x-datahub-delegated-for-id",
    "x-datahub-delegated-for-type",
    "x-datahub-request-source",
    // Without hyphens, as `DATAHUB_LOGIN_SOURCE_HEADER_NAME` is.
    "x-datahubloginsource",
];

/// What every other field begins with that a future GMS may believe. Only [`HARMLESS_FIELDS`] go through.
const IDENTITY_FAMILIES: &[&str] = &["x-datahub-"];

/// Fields of this family that DataHub's clients send with every request and that say nothing about who is
/// asking: `rest_emitter.py` (mode and version of the client) and `DataHubClientConfigV2.java` (whether
/// the search index is written before the response).
const HARMLESS_FIELDS: &[&str] =
    &["x-datahub-client-mode", "x-datahub-py-cli-version", "x-datahub-sync-index-update"];
