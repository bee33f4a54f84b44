//! DataHub's metadata service, read in its `application.yaml` and authenticators.

use super::routes::{protected, public};
use super::{ActorField, GrantedFields, Preset, PresetRow, RequestSourceField, datahub};

pub(super) const PRESET: Preset = Preset {
    name: "datahub-gms",
    routes: ROUTES,
    granted: GrantedFields { system: datahub::IDENTITY_FIELDS, ..GrantedFields::NONE },
    // Read only while its own authentication is off (`METADATA_SERVICE_AUTH_ENABLED=false`): it then believes
    // it from anybody, and takes a request without it for the system user's.
    actor: Some(ActorField {
        name: "x-datahub-actor",
        prefix: "urn:li:corpuser:",
        // The reserved characters of urns.
        encoded: b"(),",
        // The administrator that every DataHub has, and the system user.
        reserved: &["datahub", "__datahub_system"],
        warning: (
            "only a GMS whose own authentication is off reads X-DataHub-Actor, and it believes whoever \
             reaches it: a request without the field, on public and optional routes and in report mode, is \
             the system user's",
            "turn METADATA_SERVICE_AUTH_ENABLED on and leave this off; else let nothing but metagate reach GMS",
        ),
    }),
    request_source: Some(RequestSourceField { has_frontend: true, ..datahub::REQUEST_SOURCE }),
    has_system_credential: true,
    ..datahub::PRESET
};

/// What GMS serves without a token: `authentication.excludedPaths`, each exact.
///
/// GMS itself matches `x/*` as a prefix without a segment boundary and lets more through.
const ROUTES: &[PresetRow] = &[
    public("GET /health", EXCLUDED),
    public("GET /health/live", EXCLUDED),
    public("GET /health/detailed", EXCLUDED),
    public("GET /config", EXCLUDED),
    public("GET /config/search/export", EXCLUDED),
    // The schema registry inside GMS, asked by its consumers without credentials: a tree.
    public("/schema-registry/**", EXCLUDED),
    // Tables that were published: a tree.
    public("GET /public-iceberg/**", EXCLUDED),
    public("GET /actuator/prometheus", EXCLUDED),
    public("GET /openapi/operations/dev/featureFlags", EXCLUDED),
    public("GET /openapi/operations/dev/featureFlags/*", EXCLUDED),
    // GMS would answer these without a token, as the system actor.
    protected("/openapi/check/**", SYSTEM_ACTOR),
    protected("/openapi/up/**", SYSTEM_ACTOR),
    protected("/actuator/**", SYSTEM_ACTOR),
];

const EXCLUDED: &str = "application.yaml, authentication.excludedPaths";
const SYSTEM_ACTOR: &str = "HealthStatusAuthenticator, answered as the system actor";
