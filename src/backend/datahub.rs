//! DataHub, read in the metadata service's `application.yaml` and authenticators and in the
//! frontend's `routes` and `Application`.

/// What GMS serves without a token: `authentication.excludedPaths`, each exact.
///
/// GMS itself matches `x/*` as a prefix without a segment boundary and lets more through.
pub(super) const GMS_PUBLIC_ROUTES: &[&str] = &[
    "GET /health",
    "GET /health/live",
    "GET /health/detailed",
    "GET /config",
    "GET /config/search/export",
    // The schema registry inside GMS, asked by its consumers without credentials.
    "/schema-registry/**",
    "GET /public-iceberg/**",
    "GET /actuator/prometheus",
    "GET /openapi/operations/dev/featureFlags/**",
];

/// What the frontend serves without a session: its login flow and the single page application.
pub(super) const FRONTEND_PUBLIC_ROUTES: &[&str] = &[
    "GET /admin",
    "GET /health",
    "GET /config",
    "GET /mfe/config",
    "GET /authenticate",
    "GET /sso",
    "POST /logIn",
    "POST /signUp",
    "POST /resetNativeUserCredentials",
    "GET,POST /callback/*",
    "GET /logOut",
    "GET /",
    "GET /login",
    "GET /signup",
    "GET /reset",
    "GET /index.html",
    "GET /manifest.json",
    "GET /favicon.ico",
    "GET /assets/**",
    "GET /node_modules/**",
];

/// Fields that GMS believes about who is asking (CVE-2023-25559: in any case).
pub(super) const IDENTITY_FIELDS: &[&str] = &[
    "x-datahub-actor",
    "x-datahub-delegated-for",
    "x-datahub-delegated-for-id",
    "x-datahub-delegated-for-type",
    "x-datahub-request-source",
    "x-datahub-login-source",
];

/// The frontend prefers the token in `PLAY_SESSION` to the `Authorization` field.
pub(super) const SESSION_COOKIES: &[&str] = &["PLAY_SESSION", "actor"];
