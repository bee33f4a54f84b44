//! DataHub, read in the metadata service's `application.yaml` and authenticators and in the
//! frontend's `routes` and `Application`.

use super::preset::{PresetRow, protected, public};

/// What GMS serves without a token: `authentication.excludedPaths`, each exact.
///
/// GMS itself matches `x/*` as a prefix without a segment boundary and lets more through.
pub(super) const GMS_ROUTES: &[PresetRow] = &[
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

/// What the frontend serves without a session: its login flow and the single page application.
pub(super) const FRONTEND_ROUTES: &[PresetRow] = &[
    public("GET /admin", "conf/routes, health check"),
    public("GET /health", "conf/routes, health check"),
    public("GET /config", "conf/routes, appConfig"),
    public("GET /mfe/config", "conf/routes, micro frontends"),
    public("GET /authenticate", LOGIN),
    public("GET /sso", LOGIN),
    public("POST /logIn", LOGIN),
    public("POST /signUp", LOGIN),
    public("POST /resetNativeUserCredentials", LOGIN),
    public("GET,POST /callback/*", LOGIN),
    public("GET /logOut", LOGIN),
    // At any depth: DATAHUB_BASE_PATH may stand before it. `/api/gms` is rewritten to GMS without a
    // boundary behind it, which lies in here too.
    protected("/**/api/**", "conf/routes, /api/*path to GMS"),
    protected("/**/openapi/**", "conf/routes, /openapi/*path to GMS"),
    protected("/otel/**", "conf/routes, /otel/v1/traces"),
    protected("/track/**", "conf/routes, /track needs a session"),
    public("GET /**", "conf/routes, /*path: index.html or an asset"),
];

/// What the frontend makes of a path before it asks GMS (`Application.mapPath`).
pub(super) const FRONTEND_REWRITES: &[(&str, &str)] =
    &[("/api/gms", ""), ("/api/v2/graphql", "/api/graphql")];

const LOGIN: &str = "conf/routes, login flow";

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
pub(super) const IDENTITY_FAMILIES: &[&str] = &["x-datahub-"];

/// Fields of this family that DataHub's clients send with every request and that say nothing about who is
/// asking: `rest_emitter.py` (mode and version of the client) and `DataHubClientConfigV2.java` (whether
/// the search index is written before the response).
pub(super) const HARMLESS_FIELDS: &[&str] =
    &["x-datahub-client-mode", "x-datahub-py-cli-version", "x-datahub-sync-index-update"];

/// The frontend prefers the token in `PLAY_SESSION` to the `Authorization` field.
pub(super) const SESSION_COOKIES: &[&str] = &["PLAY_SESSION", "actor"];
