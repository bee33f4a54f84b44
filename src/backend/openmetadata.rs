//! The preset for OpenMetadata, from its `JwtFilter`, `OpenMetadataApplication`, socket and MCP servlets.

use super::routes::{optional, protected, public};
use super::{
    BasePath, GrantedFields, Identification, IdentityFields, ImpersonationField, LetterCase, OwnKeySet,
    Preset, PresetRow, PrincipalStyle, Product, TokenClass, TokenClasses, TokenFormat, generic,
};
use crate::jose::KeyDialect;
use crate::request::BackendQuirks;

pub(super) const PRESET: Preset = Preset {
    name: "openmetadata",
    product: Some(&PRODUCT),
    routes: ROUTES,
    base_path: Some(BasePath { key: ("openmetadata", "basePath"), api: "/api", documented_api: "/v1" }),
    quirks: BackendQuirks { impersonation: Some("x-impersonate-user"), ..generic::PRESET.quirks },
    identity: IdentityFields { names: IDENTITY_FIELDS, ..generic::PRESET.identity },
    granted: GrantedFields {
        // Selects the active persona of a user. OpenMetadata checks that it is assigned to the user and
        // otherwise uses the default one.
        token: &["x-openmetadata-persona"],
        impersonator: &["x-openmetadata-persona", "x-impersonate-user"],
        system: &[],
    },
    impersonation: Some(ImpersonationField {
        identity_endpoints: IDENTITY_ENDPOINTS,
        warning: (
            "OpenMetadata does not compare a bot's token with the stored one when it impersonates, and before \
             the fix of GHSA-gxpr-mwqj-gjmr (September 2026) a bot could act as any user without a check",
            "use a release with the fix, and add every replaced token to authentication.revocations",
        ),
    }),
    principal_style: PrincipalStyle::LocalPart,
    token_format: Some(TokenFormat::OpenMetadata),
    // The web UI refreshes its session if the message contains `Expired token!`, and otherwise logs the user
    // out.
    expired_message: Some("Expired token! Token has expired"),
    identification: Some(Identification {
        server: "OpenMetadata",
        path: "/api/v1/system/version",
        member: &["version"],
        text: None,
        versions: &[&["version"]],
    }),
    // Its filter compares the token with the stored one. /v1/system/auth/introspect would say the same, but no release has it.
    bot_introspection: Some("/api/v1/users/loggedInUser"),
    has_resource_metadata: true,
    ..generic::PRESET
};

const PRODUCT: Product = Product {
    name: "OpenMetadata",
    section: "openmetadata",
    issuer_key: "issuer",
    classes: TokenClasses {
        marker_claim: None,
        in_any_case: true,
        bot_claim: Some("isBot"),
        claim: "tokenType",
        values: &[("BOT", TokenClass::Bot), ("PERSONAL_ACCESS", TokenClass::PersonalAccess)],
    },
    // Below the base path.
    key_set: Some(OwnKeySet {
        path: "/api/v1/system/config/jwks",
        dialect: KeyDialect::OpenMetadata,
        url: "http://<server>:8585/api/v1/system/config/jwks",
    }),
    signing_key: None,
    published_secrets: &[],
};

/// The `kid` of the key pair that OpenMetadata ships, including the private key.
pub const PUBLISHED_KEY_ID: &str = "Gb389a-9f76-gdjs-a92j-0242bk94356";

/// The paths that OpenMetadata serves without a token.
///
/// Every other path that contains `api` needs one. The web UI is a single page application: its pages contain
/// no data, only its API calls do.
const ROUTES: &[PresetRow] = &[
    filter("GET /api/v1/system/config/jwks"),
    filter("GET /api/v1/system/config/auth"),
    filter("GET /api/v1/system/config/authorizer"),
    filter("GET /api/v1/system/config/customUiThemePreference"),
    filter("GET /api/v1/system/config/rdf"),
    filter("GET /api/v1/system/health"),
    filter("GET /api/v1/system/version"),
    filter("POST /api/v1/users/signup"),
    filter("POST /api/v1/users/login"),
    filter("POST /api/v1/users/refresh"),
    filter("PUT /api/v1/users/registrationConfirmation"),
    filter("PUT /api/v1/users/resendRegistrationToken"),
    filter("POST /api/v1/users/generatePasswordResetLink"),
    filter("POST /api/v1/users/password/reset"),
    filter("GET,POST /api/v1/collate/apps/support/redeem-code"),
    public("POST /api/v1/users/checkEmailInUse", "JwtFilter up to 1.8, EXCLUDED_ENDPOINTS"),
    // Servlets that bypass JwtFilter: they read a cookie or a form, never a bearer token.
    public("GET,POST /api/v1/auth/login", LOGIN),
    public("GET,POST /api/v1/auth/logout", LOGIN),
    public("GET,POST /api/v1/auth/refresh", LOGIN),
    public("GET /api/v1/saml/login", SAML).where_provider_is("saml"),
    public("POST /api/v1/saml/acs", SAML).where_provider_is("saml"),
    public("GET /api/v1/saml/metadata", SAML).where_provider_is("saml"),
    public("POST /api/v1/saml/refresh", SAML).where_provider_is("saml"),
    public("GET,POST /api/v1/saml/logout", SAML).where_provider_is("saml"),
    // Browsers cannot set fields on a WebSocket handshake. The UI uses the path with the slash.
    optional("GET,POST /api/v1/push/feed/", FEED),
    optional("GET,POST /api/v1/push/feed/**", FEED),
    public("GET,POST /callback", "AuthenticationCodeFlowHandler, callback of confidential clients"),
    // Here an MCP client gets its token. `/mcp` itself needs one.
    public("GET,POST /mcp/authorize", MCP),
    public("POST /mcp/token", MCP),
    public("POST /mcp/register", MCP),
    public("POST /mcp/revoke", MCP),
    public("GET /mcp/callback", MCP),
    public("GET /mcp/.well-known/oauth-authorization-server", MCP),
    public("GET /mcp/.well-known/openid-configuration", MCP),
    public("GET /mcp/.well-known/oauth-protected-resource", MCP),
    public("GET /.well-known/oauth-authorization-server", WELL_KNOWN),
    public("GET /.well-known/oauth-authorization-server/mcp", WELL_KNOWN),
    public("GET /.well-known/openid-configuration", WELL_KNOWN),
    public("GET /.well-known/openid-configuration/mcp", WELL_KNOWN),
    public("GET /.well-known/oauth-protected-resource", WELL_KNOWN),
    public("GET /.well-known/oauth-protected-resource/mcp", WELL_KNOWN),
    // At any depth: with a base path that is not configured, the API must not match the rows of the UI.
    protected("/**/api/**", "OpenMetadataApplication, JwtFilter on server.rootPath"),
    protected("/mcp/**", "McpServer, bearer token on messages"),
    protected("/.well-known/**", "OAuthWellKnownFilter, nothing else is there"),
    protected("/swagger*", "SwaggerBundle, description of the API"),
    protected("/openapi*", "OpenMetadataAssetServlet, no route of the UI"),
    protected("/health-check*", "HealthCheckBundle, state of what the server depends on"),
    protected("/admin/**", "Dropwizard, adminContextPath of the server type `simple`"),
    // With a base path: `/catalog/`.
    public("GET /", "OpenMetadataAssetServlet, index.html"),
    public("GET /**", "OpenMetadataAssetServlet, index.html or an asset"),
];

const LOGIN: &str = "AuthenticationCodeFlowHandler, login servlets";
const SAML: &str = "OpenMetadataApplication, SAML servlets";
const FEED: &str = "OpenMetadataApplication, push feed";
const MCP: &str = "OAuthHttpStatelessServerTransportProvider, OAuth endpoints";
const WELL_KNOWN: &str = "OAuthWellKnownFilter";

/// `JwtFilter` compares the path after `/api/` without case.
const fn filter(pattern: &'static str) -> PresetRow {
    public(pattern, "JwtFilter, EXCLUDED_ENDPOINTS").compared(LetterCase::IgnoredAfterFirst)
}

/// Fields that OpenMetadata, or a request filter that it ships, trusts.
const IDENTITY_FIELDS: &[&str] = &[
    // CatalogOpenIdAuthorizationRequestFilter reads the user from it.
    "x-auth-params-email",
    // Set by OpenMetadata's own filter in front of the push feed.
    "userid",
    "remoteaddress",
    "sessionid",
    // The secret that authorizes a client to introspect tokens.
    "x-om-introspect-auth",
];

/// The paths of `ImpersonationRestrictionFilter`, which OpenMetadata added in September 2026
/// (GHSA-gxpr-mwqj-gjmr). Earlier releases issue tokens of the impersonated user here.
const IDENTITY_ENDPOINTS: &[&str] = &[
    "/users/security/token",
    "/users/generatetoken",
    "/users/revoketoken",
    "/users/token",
    "/users/auth-mechanism",
    "/users/changepassword",
    "/users/generaterandompwd",
    "/users/logout",
];
