//! OpenMetadata, read in its `JwtFilter`, `OpenMetadataApplication`, socket and MCP servlets.

/// What OpenMetadata itself serves without a token.
///
/// Everything under `/api/` that is not listed needs one. The web UI is a single page
/// application: its routes carry no data, the calls it makes do.
pub(super) const PUBLIC_ROUTES: &[&str] = &[
    // JwtFilter's exact list.
    "GET /api/v1/system/config/jwks",
    "GET /api/v1/system/config/auth",
    "GET /api/v1/system/config/authorizer",
    "GET /api/v1/system/config/customUiThemePreference",
    "GET /api/v1/system/config/rdf",
    "GET /api/v1/system/health",
    "GET /api/v1/system/version",
    "POST /api/v1/users/signup",
    "POST /api/v1/users/login",
    "POST /api/v1/users/refresh",
    "PUT /api/v1/users/registrationConfirmation",
    "PUT /api/v1/users/resendRegistrationToken",
    "POST /api/v1/users/generatePasswordResetLink",
    "POST /api/v1/users/password/reset",
    "POST /api/v1/users/checkEmailInUse",
    // Login servlets: they read the session cookie or the form, never a bearer token.
    "GET,POST /api/v1/auth/login",
    "GET,POST /api/v1/auth/logout",
    "GET,POST /api/v1/auth/refresh",
    // The single page application and what it loads.
    "GET /",
    "GET /index.html",
    "GET /favicon.ico",
    "GET /favicon.png",
    "GET /manifest.json",
    "GET /robots.txt",
    "GET /assets/**",
    "GET /images/**",
    "GET /favicons/**",
    "GET /locales/**",
    // Its login pages; `/callback` is a servlet for confidential clients.
    "GET,POST /callback",
    "GET /silent-callback",
    "GET,POST /saml/callback",
    "GET /auth/callback",
    "GET /signin",
    "GET /signup",
    "GET /logout",
    "GET /forgot-password",
    "GET /users/password/reset",
    "GET /users/registrationConfirmation",
    "GET /my-data",
];

/// Fields that OpenMetadata, or a request filter it ships, believes.
///
/// `X-Impersonate-User` is not here: it goes through for bots alone, see
/// [`crate::outbound_head`].
pub(super) const IDENTITY_FIELDS: &[&str] = &[
    // CatalogOpenIdAuthorizationRequestFilter takes the user from it.
    "x-auth-params-email",
    // Set by its own filter on the way to the push feed.
    "userid",
    "remoteaddress",
    "sessionid",
    // Chooses the persona whose settings apply.
    "x-openmetadata-persona",
];
