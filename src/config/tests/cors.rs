//! Which web applications of other origins may send requests.

use super::*;
use crate::cors::OriginPattern;

fn with(cors: &str) -> Case {
    file(&format!("cors: {cors}")).with(&[KEYS_URL, UPSTREAM])
}

fn origins(list: &str) -> Vec<OriginPattern> {
    with(&format!("{{allowOrigins: {list}}}")).config().cors.unwrap().origins
}

#[track_caller]
fn refused(cors: &str, start: &str) {
    let errors = with(cors).errors();
    assert_eq!(errors.len(), 1, "{cors}: {errors:?}");
    let shown = format!("{:?}", errors[0]);
    assert!(shown.contains(start), "{cors}: {shown}");
}

#[test]
fn cors_is_off_by_default() {
    assert!(environment(&[KEYS_URL, UPSTREAM]).config().cors.is_none());
    assert!(with("{allowOrigins: []}").config().cors.is_none());
}

#[test]
fn origins_are_kept_as_browsers_write_them() {
    let exact = |origin: &str| OriginPattern::Exact(origin.into());
    assert_eq!(
        origins(
            "[https://App.corp.example, \"http://localhost:3000\", \"https://a.example:443\", \"http://[::1]:8080\"]"
        ),
        [
            exact("https://app.corp.example"),
            exact("http://localhost:3000"),
            exact("https://a.example"),
            exact("http://[::1]:8080")
        ]
    );
    assert_eq!(origins("[\"*\"]"), [OriginPattern::Any]);
    let below = |domain: &str| OriginPattern::Subdomains { scheme: "https://".into(), domain: domain.into() };
    assert_eq!(
        origins("[\"https://*.Corp.example\", \"https://*.corp.example:8443\"]"),
        [below(".corp.example"), below(".corp.example:8443")]
    );
}

#[test]
fn the_defaults_serve_an_application_with_a_token() {
    let cors = with("{allowOrigins: [https://app.example]}").config().cors.unwrap();
    assert_eq!(cors.methods, "GET, HEAD, POST, PUT, PATCH, DELETE");
    assert_eq!(cors.headers, "Authorization, Content-Type");
    assert_eq!(cors.exposed, "WWW-Authenticate, X-Request-Id");
    assert_eq!((cors.credentials, cors.max_age.to_str().unwrap()), (false, "600"));
}

#[test]
fn what_is_not_an_origin_is_refused() {
    for wrong in [
        "app.example",
        "https://app.example/",
        "https://app.example/path",
        "https://user@app.example",
        "https://app.example?x",
        "ftp://app.example",
        "https://",
        "https://*",
        "https://a.*.example",
        "https://app.example:*",
        "*.example",
        "file://",
    ] {
        refused(&format!("{{allowOrigins: [\"{wrong}\"]}}"), "is not an origin");
    }
    for wide in ["https://*.com", "https://*.localhost", "https://*.10.0.0.1"] {
        refused(&format!("{{allowOrigins: [\"{wide}\"]}}"), "more than the sub-domains");
    }
    refused("{allowOrigins: [\"null\"]}", "cannot be allowed");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    refused("{allowOrigins: [\"*\"], allowCredentials: true}", "cannot be true with cors.allowOrigins");
    refused("{allowOrigins: [\"*\", https://app.example]}", "beside other origins");
    refused("{allowCredentials: true}", "requires cors.allowOrigins");
    refused("{allowOrigins: [https://a.example], allowHeaders: [\"*\"]}", "is not accepted");
    refused("{allowOrigins: [https://a.example], exposeHeaders: [\"a b\"]}", "is not the name of a field");
    refused("{allowOrigins: [https://a.example], allowMethods: [CONNECT]}", "is none of GET");
}
