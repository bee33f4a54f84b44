//! Each preset as a table: method, path, expected route.

use super::*;
use Route::{Optional, Protected, Public};

#[track_caller]
fn assert_routes(backend: Backend, expected: &[(&str, Route)]) {
    let table = preset(backend);
    for (request, expected) in expected {
        let (methods, path) = request.split_once(' ').unwrap();
        for method in methods.split(',') {
            assert_eq!(routed(&table, method, path), Some(*expected), "{method} {path}");
        }
    }
}

#[test]
fn openmetadata_open_endpoints() {
    assert_routes(
        Backend::OpenMetadata,
        &[
            ("GET,HEAD /api/v1/system/config/jwks", Public),
            ("GET,HEAD /api/v1/system/config/auth", Public),
            ("GET,HEAD /api/v1/system/config/authorizer", Public),
            ("GET,HEAD /api/v1/system/config/customUiThemePreference", Public),
            ("GET,HEAD /api/v1/system/config/rdf", Public),
            ("GET,HEAD /api/v1/system/health", Public),
            ("GET,HEAD /api/v1/system/version", Public),
            ("POST /api/v1/users/signup", Public),
            ("POST /api/v1/users/login", Public),
            ("POST /api/v1/users/refresh", Public),
            ("PUT /api/v1/users/registrationConfirmation", Public),
            ("PUT /api/v1/users/resendRegistrationToken", Public),
            ("POST /api/v1/users/generatePasswordResetLink", Public),
            ("POST /api/v1/users/password/reset", Public),
            ("POST /api/v1/users/checkEmailInUse", Public),
            ("GET,POST /api/v1/collate/apps/support/redeem-code", Public),
            // JwtFilter compares without case.
            ("GET /api/V1/System/VERSION", Public),
            ("POST /api/v1/users/LOGIN", Public),
            ("GET,POST /api/v1/auth/login", Public),
            ("GET,POST /api/v1/auth/logout", Public),
            ("GET,POST /api/v1/auth/refresh", Public),
            ("GET /api/v1/saml/login", Public),
            ("POST /api/v1/saml/acs", Public),
            ("GET /api/v1/saml/metadata", Public),
            ("POST /api/v1/saml/refresh", Public),
            ("GET,POST /api/v1/saml/logout", Public),
            ("GET,POST /callback", Public),
            ("GET,POST /mcp/authorize", Public),
            ("POST /mcp/token", Public),
            ("POST /mcp/register", Public),
            ("POST /mcp/revoke", Public),
            ("GET /mcp/callback", Public),
            ("GET /mcp/.well-known/oauth-authorization-server", Public),
            ("GET /mcp/.well-known/oauth-protected-resource", Public),
            ("GET /.well-known/oauth-authorization-server", Public),
            ("GET /.well-known/oauth-authorization-server/mcp", Public),
            ("GET /.well-known/openid-configuration", Public),
            ("GET /.well-known/openid-configuration/mcp", Public),
            ("GET /.well-known/oauth-protected-resource", Public),
            ("GET /.well-known/oauth-protected-resource/mcp", Public),
            // The form that the web UI uses.
            ("GET /api/v1/push/feed/?userId=1&EIO=4&transport=websocket", Optional),
            ("GET,POST /api/v1/push/feed", Optional),
            ("GET,POST /api/v1/push/feed/x", Optional),
        ],
    );
}

#[test]
fn openmetadata_web_ui_pages_are_open() {
    let pages = [
        "/",
        "/index.html",
        "/favicon.ico",
        "/favicon.png",
        "/manifest.json",
        "/robots.txt",
        "/assets/index-Z3O_FBkA.js",
        "/images/a/b.png",
        "/favicons/x.png",
        "/locales/en.json",
        "/silent-callback",
        "/saml/callback",
        "/auth/callback",
        "/signin",
        "/signup",
        "/logout",
        "/forgot-password",
        "/users/password/reset",
        "/my-data",
        "/docs",
        "/table/sample_data.ecommerce_db.shopify.orders",
        "/table/sample_data.ecommerce_db.shopify.orders/schema?x=%2F",
        "/glossary/Business/x~y:z@a,b(c)'d",
        "/apiCollection/x",
        "/apiEndpoint/x",
        "/metrics",
        "/settings/services",
    ];
    let table = preset(Backend::OpenMetadata);
    for path in pages {
        for (method, expected) in [
            ("GET", Public),
            ("HEAD", Public),
            ("PUT", Protected),
            ("DELETE", Protected),
            ("PATCH", Protected),
        ] {
            assert_eq!(routed(&table, method, path), Some(expected), "{method} {path}");
        }
        if path != "/callback" {
            assert_eq!(routed(&table, "POST", path), Some(Protected), "{path}");
            assert_eq!(routed(&table, "OPTIONS", path), Some(Protected), "{path}");
        }
    }
}

#[test]
fn the_rest_of_openmetadata_needs_a_token() {
    assert_routes(
        Backend::OpenMetadata,
        &[
            ("GET,POST,PUT,PATCH,DELETE,OPTIONS /api/v1/tables", Protected),
            ("GET /api", Protected),
            ("GET /api/v1", Protected),
            ("GET /api/v1/system/config/loginConfig", Protected),
            ("GET /api/v1/system/config/pipeline-service-client", Protected),
            ("GET /api/v1/system/config", Protected),
            ("GET /api/v1/system/config/jwks/x", Protected),
            ("PUT,POST,DELETE /api/v1/system/config/auth", Protected),
            ("GET /api/v1/users/login", Protected),
            ("GET /api/v1/users", Protected),
            ("GET /api/v1/users/loggedInUser", Protected),
            ("GET,POST /api/v1/scim/Users", Protected),
            ("POST /api/v1/system/auth/introspect", Protected),
            ("GET /api/v1/auth/callback", Protected),
            // JwtFilter gets what is below `/api/`, which is compared with case.
            ("POST /apI/v1/users/login", Protected),
            // Servlet mappings are case-sensitive.
            ("GET /api/v1/auth/Login", Protected),
            ("POST /api/v1/saml/ACS", Protected),
            ("GET /api/v1/push/Feed", Protected),
            ("DELETE /api/v1/push/feed", Protected),
            ("GET /api/v1/push/feedx", Protected),
            ("GET /api/v1/push", Protected),
            ("GET,POST,DELETE /mcp", Protected),
            ("GET,POST /mcp/message", Protected),
            ("GET /mcp/token", Protected),
            ("GET /mcp/.well-known/x", Protected),
            ("GET /.well-known/security.txt", Protected),
            ("GET /.well-known", Protected),
            ("POST /.well-known/openid-configuration", Protected),
            ("GET /swagger.json", Protected),
            ("GET /swagger.yaml", Protected),
            ("GET /swagger", Protected),
            ("GET /openapi.json", Protected),
            ("GET /openapi/x", Protected),
            ("GET /health-check", Protected),
            ("GET /admin/metrics", Protected),
            ("GET /x/api/v1/tables", Protected),
        ],
    );
}

#[test]
fn datahub_gms() {
    assert_routes(
        Backend::DataHubGms,
        &[
            ("GET,HEAD /health", Public),
            ("GET,HEAD /health/live", Public),
            ("GET,HEAD /health/detailed", Public),
            ("GET,HEAD /config", Public),
            ("GET,HEAD /config/search/export", Public),
            ("GET,POST,PUT,DELETE /schema-registry/api/subjects", Public),
            ("GET /schema-registry/api/schemas/ids/1", Public),
            ("GET,HEAD /public-iceberg/v1/config", Public),
            ("GET /actuator/prometheus", Public),
            ("GET /openapi/operations/dev/featureFlags", Public),
            ("GET /openapi/operations/dev/featureFlags/x", Public),
            ("GET /openapi/operations/dev/featureFlags/x/y", Protected),
            // GMS matches these as prefixes without a segment boundary.
            ("GET /schema-registryFOO", Protected),
            ("GET /public-icebergX/x", Protected),
            ("GET /openapi/operations/dev/featureFlagsX", Protected),
            ("GET /configX", Protected),
            ("GET /config/x", Protected),
            ("GET /health/x", Protected),
            ("GET /Health", Protected),
            ("GET /CONFIG", Protected),
            ("POST /health", Protected),
            ("POST /config", Protected),
            ("POST /public-iceberg/v1/x", Protected),
            // GMS serves these as the system actor.
            ("GET /openapi/check/x", Protected),
            ("GET /openapi/up/x", Protected),
            ("GET /actuator/health", Protected),
            ("GET /actuator", Protected),
            ("GET,POST /aspects", Protected),
            ("GET,POST /entities/x", Protected),
            ("GET /entitiesV2/urn:li:corpuser:datahub", Protected),
            ("GET,POST /entitiesVersionedV2", Protected),
            ("POST /usageStats", Protected),
            ("POST /platform", Protected),
            ("GET /relationships", Protected),
            ("POST /analytics", Protected),
            ("POST /operations", Protected),
            ("GET /runs", Protected),
            ("POST /api/graphql", Protected),
            ("GET /api/graphiql", Protected),
            ("GET /openapi/v3/entity/dataset", Protected),
            ("GET /openapi/v3/api-docs", Protected),
            ("GET /openapi/swagger-ui/index.html", Protected),
            ("POST /openapi/openlineage/api/v1/lineage", Protected),
            ("GET /iceberg/v1/config", Protected),
            ("POST /auth/generateSessionTokenForUser", Protected),
            ("POST /auth/signUp", Protected),
            ("POST /auth/track", Protected),
            ("GET /gms/health", Protected),
            ("GET /", Protected),
        ],
    );
}

#[test]
fn datahub_frontend() {
    assert_routes(
        Backend::DataHubFrontend,
        &[
            ("GET,HEAD /", Public),
            ("GET,HEAD /admin", Public),
            ("GET /health", Public),
            ("GET /config", Public),
            ("GET /mfe/config", Public),
            ("GET /manifest.json", Public),
            ("GET /assets/a/b.js", Public),
            ("GET /node_modules/x.js", Public),
            ("GET /authenticate", Public),
            ("GET /sso", Public),
            ("GET /login", Public),
            ("GET /logOut", Public),
            ("POST /logIn", Public),
            ("POST /signUp", Public),
            ("POST /resetNativeUserCredentials", Public),
            ("GET,POST /callback/oidc", Public),
            ("GET /dataset/urn:li:dataset:(urn:li:dataPlatform:hive,sch.orders,PROD)/Schema", Public),
            ("GET /search", Public),
            ("GET /domain/urn:li:domain:x/Entities", Public),
            ("POST /callback", Protected),
            ("POST /callback/a/b", Protected),
            ("POST /login", Protected),
            ("POST /admin", Protected),
            ("PUT,DELETE,PATCH,OPTIONS /dataset/x", Protected),
            ("GET,POST,PUT,DELETE /api/graphql", Protected),
            ("GET,POST /api/v2/graphql", Protected),
            ("GET,POST /api/gms/entities", Protected),
            ("GET /api/gmsX", Protected),
            ("GET /api/gms@evil.example/x", Protected),
            ("GET /api", Protected),
            ("GET /API/v2/graphql", Protected),
            ("GET,HEAD,POST,PUT,DELETE,PATCH /openapi/v3/entity/dataset", Protected),
            ("GET /openapi", Protected),
            ("GET /OpenApi/v3", Protected),
            ("GET,POST /track", Protected),
            ("POST /otel/v1/traces", Protected),
            // Under a base path.
            ("GET /datahub/api/v2/graphql", Protected),
            ("GET /datahub/openapi/v3/entity/dataset", Protected),
        ],
    );
}
