//! The preset for DataHub's metadata service (GMS), from its `application.yaml` and authenticators.

use super::routes::{protected, public};
use super::{ActorField, GrantedFields, Identification, Preset, PresetRow, RequestSourceField, datahub};

pub(super) const PRESET: Preset = Preset {
    name: "datahub-gms",
    routes: ROUTES,
    granted: GrantedFields { system: datahub::IDENTITY_FIELDS, ..GrantedFields::NONE },
    // GMS reads it only if its own authentication is off (`METADATA_SERVICE_AUTH_ENABLED=false`). It then trusts
    // the field from every client and treats a request without it as the system user's.
    actor: Some(ActorField {
        name: "x-datahub-actor",
        prefix: "urn:li:corpuser:",
        // The reserved characters of urns.
        encoded: b"(),",
        // The administrator of every DataHub, and the system user.
        reserved: &["datahub", "__datahub_system"],
        warning: (
            "GMS reads X-DataHub-Actor only if its own authentication is off, and then trusts it from every \
             client that can reach GMS; a request without the field (on public and optional routes, and in \
             report mode) is the system user's",
            "turn METADATA_SERVICE_AUTH_ENABLED on and leave this off; otherwise let only metagate reach GMS",
        ),
    }),
    request_source: Some(RequestSourceField { has_frontend: true, ..datahub::REQUEST_SOURCE }),
    has_system_credential: true,
    // DataHub's own clients recognize it by this.
    identification: Some(Identification {
        server: "DataHub GMS",
        path: "/config",
        member: &["noCode"],
        text: Some("true"),
        versions: &[
            &["versions", "acryldata/datahub", "version"],
            &["versions", "linkedin/datahub", "version"],
        ],
    }),
    ..datahub::PRESET
};

/// The paths that GMS serves without a token: `authentication.excludedPaths`, each matched exactly.
///
/// GMS itself matches `x/*` as a prefix without a segment boundary and so opens more.
const ROUTES: &[PresetRow] = &[
    public("GET /health", EXCLUDED),
    public("GET /health/live", EXCLUDED),
    public("GET /health/detailed", EXCLUDED),
    public("GET /config", EXCLUDED),
    public("GET /config/search/export", EXCLUDED),
    // The schema registry inside GMS, which its consumers call without credentials.
    public("/schema-registry/**", EXCLUDED),
    // Published tables.
    public("GET /public-iceberg/**", EXCLUDED),
    public("GET /actuator/prometheus", EXCLUDED),
    public("GET /openapi/operations/dev/featureFlags", EXCLUDED),
    public("GET /openapi/operations/dev/featureFlags/*", EXCLUDED),
    // GMS would serve these without a token, as the system actor.
    protected("/openapi/check/**", SYSTEM_ACTOR),
    protected("/openapi/up/**", SYSTEM_ACTOR),
    protected("/actuator/**", SYSTEM_ACTOR),
];

const EXCLUDED: &str = "application.yaml, authentication.excludedPaths";
const SYSTEM_ACTOR: &str = "HealthStatusAuthenticator, answered as the system actor";
