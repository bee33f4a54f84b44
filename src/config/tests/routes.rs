//! The route table of a configuration.

use super::*;
use crate::backend::Backend;
use crate::policy::{Route, RouteTable};

fn table(variables: &[(&str, &str)]) -> RouteTable {
    let upstream = if variables.iter().any(|(name, _)| *name == UPSTREAM.0) { None } else { Some(UPSTREAM) };
    let all: Vec<_> = [KEYS_URL].into_iter().chain(upstream).chain(variables.iter().copied()).collect();
    environment(&all).config().policy.routes
}

fn openmetadata(variables: &[(&str, &str)]) -> RouteTable {
    table(&[&[("METAGATE_BACKEND", Backend::OpenMetadata.as_str())], variables].concat())
}

fn route(table: &RouteTable, method: &str, path: &str) -> Route {
    let target = http::Uri::try_from(path).unwrap();
    let readings = crate::request::PathReadings::of(&target).unwrap();
    table.route(&http::Method::from_bytes(method.as_bytes()).unwrap(), &readings).route
}

#[test]
fn configured_routes_come_before_the_preset() {
    let table = openmetadata(&[
        ("METAGATE_AUTHORIZATION__PUBLIC", "[GET /api/v1/glossaries/**, GET /swagger.json]"),
        ("METAGATE_AUTHORIZATION__OPTIONAL", "[POST /mcp, GET /assets/**, GET /api/v1/glossaries/mine]"),
    ]);
    for (method, path, expected) in [
        ("GET", "/api/v1/glossaries/x", Route::Public),
        ("GET", "/swagger.json", Route::Public),
        ("POST", "/mcp", Route::Optional),
        // Stricter than the preset and than the public list.
        ("GET", "/assets/a.js", Route::Optional),
        ("GET", "/api/v1/glossaries/mine", Route::Optional),
        ("POST", "/api/v1/glossaries/x", Route::Protected),
        ("GET", "/api/v1/glossaries%2fx", Route::Protected),
        ("GET", "/API/v1/glossaries/x", Route::Protected),
        ("GET", "/mcp", Route::Protected),
        ("GET", "/swagger.yaml", Route::Protected),
        ("GET", "/table/x", Route::Public),
    ] {
        assert_eq!(route(&table, method, path), expected, "{method} {path}");
    }
}

#[test]
fn a_route_that_is_public_and_optional_is_an_error() {
    let errors = |public: &str, optional: &str| {
        let lists =
            [("METAGATE_AUTHORIZATION__PUBLIC", public), ("METAGATE_AUTHORIZATION__OPTIONAL", optional)];
        let case = environment(&[&[KEYS_URL, UPSTREAM][..], &lists].concat());
        case.result().err().map(|errors| errors.to_string()).unwrap_or_default()
    };
    for (public, optional) in
        [("GET /x", "GET /x"), ("/x", "GET /x"), ("GET /x", "HEAD /x"), ("/x/**", "POST,PUT /x/**")]
    {
        let message = errors(public, optional);
        assert!(message.contains("is in authorization.public too"), "{public} {optional}: {message}");
        assert!(message.contains("METAGATE_AUTHORIZATION__OPTIONAL"), "{message}");
    }
    for (public, optional) in [("GET /x", "POST /x"), ("/x", "/x/**"), ("HEAD /x", "GET,PUT /y")] {
        assert_eq!(errors(public, optional), "", "{public} {optional}");
    }
}

#[test]
fn saml_opens_its_servlets() {
    for (provider, expected) in [
        ("saml", Route::Public),
        ("\"saml\"", Route::Public),
        ("google", Route::Protected),
        ("", Route::Protected),
    ] {
        let table = openmetadata(&[("AUTHENTICATION_PROVIDER", provider)]);
        for (method, path) in [
            ("GET", "/api/v1/saml/login"),
            ("POST", "/api/v1/saml/acs"),
            ("GET", "/api/v1/saml/metadata"),
            ("POST", "/api/v1/saml/refresh"),
            ("POST", "/api/v1/saml/logout"),
            ("GET", "/api/v1/saml/logout"),
        ] {
            assert_eq!(route(&table, method, path), expected, "{provider} {method} {path}");
        }
        assert_eq!(table.inactive().is_empty(), expected == Route::Public);
        assert_eq!(route(&table, "GET", "/api/v1/saml/acs"), Route::Protected);
        assert_eq!(route(&table, "POST", "/api/v1/saml/acs/x"), Route::Protected);
    }
}

#[test]
fn with_a_base_path_only_routes_below_it_are_open() {
    for base in ["/catalog", "/catalog/", "\"/catalog\""] {
        let table = openmetadata(&[("BASE_PATH", base)]);
        for (method, path, expected) in [
            ("GET", "/catalog", Route::Public),
            ("GET", "/catalog/", Route::Public),
            ("GET", "/catalog/table/x", Route::Public),
            ("GET", "/catalog/api/v1/system/version", Route::Public),
            ("GET", "/catalog/api/V1/System/Version", Route::Public),
            ("GET", "/catalog/API/v1/system/version", Route::Protected),
            ("GET", "/Catalog/api/v1/system/version", Route::Protected),
            ("GET", "/catalog/api/v1/push/feed/?EIO=4", Route::Optional),
            ("GET", "/catalog/api/v1/tables", Route::Protected),
            ("GET", "/catalog/MCP", Route::Protected),
            ("GET", "/catalog/mcp/callback", Route::Public),
            ("GET", "/catalog/openapi.json", Route::Protected),
            ("GET", "/catalog/catalog/api/v1/tables", Route::Protected),
            ("GET", "/", Route::Protected),
            ("GET", "/table/x", Route::Protected),
            ("GET", "/catalogs/table/x", Route::Protected),
            ("GET", "/api/v1/system/version", Route::Protected),
        ] {
            assert_eq!(route(&table, method, path), expected, "{base} {method} {path}");
        }
    }
}

#[test]
fn an_unconfigured_base_path_opens_no_data() {
    let table = openmetadata(&[]);
    for path in ["/catalog/api/v1/tables", "/a/b/api/v1/tables", "/catalog/Api/v1/tables", "/catalog/api"] {
        assert_eq!(route(&table, "GET", path), Route::Protected, "{path}");
    }
}

#[test]
fn an_upstream_that_is_the_api_itself_has_no_pages() {
    for (backend, upstream, open) in [
        ("openmetadata", "http://om.example:8585", true),
        ("openmetadata", "http://om.example:8585/catalog", true),
        ("openmetadata", "http://om.example:8585/api", false),
        ("openmetadata", "http://om.example:8585/catalog/API/v1/", false),
        ("openmetadata", "http://om.example:8585/mcp", false),
        ("datahub-frontend", "http://dh.example:9002/", true),
        ("datahub-frontend", "http://dh.example:9002/api/gms", false),
        ("datahub-frontend", "http://dh.example:9002/openapi", false),
    ] {
        let table = table(&[("METAGATE_BACKEND", backend), ("METAGATE_UPSTREAM__URL", upstream)]);
        let expected = if open { Route::Public } else { Route::Protected };
        assert_eq!(route(&table, "GET", "/v1/tables"), expected, "{upstream}");
        let is_listed = table.inactive().iter().any(|inactive| inactive.why.contains("upstream.url"));
        assert_eq!(is_listed, !open, "{upstream}");
    }
}

/// The row for pages matches many paths, but not those that earlier rows protect.
#[test]
fn a_rule_is_warned_about_pages_only_if_it_names_them() {
    let warnings = |paths: &str| {
        let rule = format!(
            "authorization: {{rules: [{{name: r, match: {{methods: [GET], paths: [{paths}]}}, action: deny}}]}}\n"
        );
        let loaded = file(&rule).with(&[KEYS_URL, UPSTREAM, ("METAGATE_BACKEND", "openmetadata")]).loaded();
        let about = loaded.warnings.iter().filter(|finding| finding.message.contains("GET /**"));
        about.count()
    };
    assert_eq!(warnings("/table/**"), 1);
    for paths in ["/api/v1/tables/**", "/API/v1/tables", "/swagger.json", "/mcp/**", "/**"] {
        assert_eq!(warnings(paths), 0, "{paths}");
    }
}
