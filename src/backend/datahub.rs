//! The parts of the presets that DataHub's servers share.

use super::{
    IdentityFields, NonExpiring, Preset, Product, Published, RequestSourceField, SigningKey, TokenClass,
    TokenClasses, TokenFormat, generic,
};

/// The base of the presets of DataHub's servers. It is not a backend itself.
pub(super) const PRESET: Preset = Preset {
    product: Some(&PRODUCT),
    token_format: Some(TokenFormat::DataHub),
    // DataHub's Java client sends GETs of more than 11 KB. GMS and the frontend take heads of 32 KiB.
    target_bytes: 32 * 1024,
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
        // `type` by itself is ambiguous: other issuers use it for other things.
        marker_claim: Some("actorType"),
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
        // DataHub issues personal access tokens and tokens of service accounts without exp ("No expiry"), but
        // never sessions.
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

/// Whether the request comes from a browser or a program. GMS selects a rate limit by it and accepts it from
/// any client (DataHub 2.0, `ClientClassifier`).
pub(super) const REQUEST_SOURCE: RequestSourceField = RequestSourceField {
    name: "x-datahub-request-source",
    browser: "BROWSER",
    program: "SDK",
    has_frontend: false,
};

/// Fields from which GMS reads who the caller is (CVE-2023-25559: in any letter case) and how it calls:
/// constants of `AuthenticationConstants`, `Constants` and `ClientClassifier`, 2.0.
///
/// DataHub's own services, which have the system credential, use these fields to act for users. Without the
/// fields they are the system user, so sending them gains nothing.
pub(super) const IDENTITY_FIELDS: &[&str] = &[
    "x-datahub-actor",
    "x-datahub-delegated-for",
    "x-datahub-delegated-for-id",
    "x-datahub-delegated-for-type",
    "x-datahub-request-source",
    // Without hyphens, like `DATAHUB_LOGIN_SOURCE_HEADER_NAME`.
    "x-datahubloginsource",
];

/// The prefix of further fields that a future GMS may trust. Only [`HARMLESS_FIELDS`] are forwarded.
const IDENTITY_FAMILIES: &[&str] = &["x-datahub-"];

/// Fields with this prefix that DataHub's clients send with every request and that do not identify the caller:
/// `rest_emitter.py` (mode and version of the client) and `DataHubClientConfigV2.java` (whether the search
/// index is written before the response).
const HARMLESS_FIELDS: &[&str] =
    &["x-datahub-client-mode", "x-datahub-py-cli-version", "x-datahub-sync-index-update"];
