//! Known bypasses of a list of open paths. None of them opens a route.

use super::*;

/// Paths that must not be reachable without a token, in any spelling.
const DATA: &[(Backend, &str)] = &[
    (Backend::OpenMetadata, "/api/v1/tables"),
    (Backend::OpenMetadata, "/api/v1/users"),
    (Backend::OpenMetadata, "/api/v1/events/subscriptions/validation/condition/x"),
    (Backend::OpenMetadata, "/mcp"),
    (Backend::OpenMetadata, "/swagger.json"),
    (Backend::DataHubGms, "/entities"),
    (Backend::DataHubGms, "/openapi/v3/entity/dataset"),
    (Backend::DataHubGms, "/auth/generateSessionTokenForUser"),
    (Backend::DataHubFrontend, "/api/v2/graphql"),
    (Backend::DataHubFrontend, "/api/gms/entities"),
    (Backend::DataHubFrontend, "/openapi/v3/entity/dataset"),
];

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

#[track_caller]
fn assert_closed(backend: Backend, path: &str) {
    let table = preset(backend);
    for method in METHODS {
        // Refused with 400, or protected.
        let route = routed(&table, method, path).unwrap_or(Route::Protected);
        assert_eq!(route, Route::Protected, "{} {method} {path}", backend.as_str());
    }
}

/// CVE-2024-28255 in all published forms: an open endpoint as a parameter of a segment.
#[test]
fn parameters_that_name_an_open_endpoint_open_nothing() {
    let named = [
        "v1%2Fv1%2Fusers%2Flogin",
        "v1%2Fv1%2Fusers%2Fsignup",
        "v1%2Fv1%2Fusers%2FregistrationConfirmation",
        "v1%2Fv1%2Fusers%2FresendRegistrationToken",
        "v1%2Fv1%2Fusers%2FgeneratePasswordResetLink",
        "v1%2Fv1%2Fusers%2Fpassword%2Freset",
        "v1%2Fv1%2Fusers%2FcheckEmailInUse",
        "v1%2Fv1%2Fusers%2Frefresh",
        "v1%2Fv1%2Fsystem%2Fconfig",
        "v1%2Fv1%2Fsystem%2Fversion",
        "v1%2fusers%2flogin",
        "v1/users/login",
        "x=/api/v1/users/login",
        "x",
        "",
    ];
    let condition = "events/subscriptions/validation/condition/T(java.lang.Runtime).getRuntime().exec(x)";
    for name in named {
        for rest in [condition, "tables", "policies/validation/condition/x"] {
            assert_closed(Backend::OpenMetadata, &format!("/api/v1;{name}/{rest}"));
            assert_closed(Backend::OpenMetadata, &format!("/api;{name}/v1/{rest}"));
            assert_closed(Backend::OpenMetadata, &format!("/;{name}/api/v1/{rest}"));
            assert_closed(Backend::OpenMetadata, &format!("/api/v1/{rest};{name}"));
            assert_closed(Backend::OpenMetadata, &format!("/assets;{name}/../api/v1/{rest}"));
        }
    }
}

#[test]
fn every_spelling_of_a_protected_path_is_closed() {
    for (backend, path) in DATA {
        let inner = &path[1..];
        let first = inner.split('/').next().unwrap();
        let rest = &inner[first.len()..];
        let encoded: String = path.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for spelled in [
            (*path).to_owned(),
            format!("{path}/"),
            format!("{path}//"),
            format!("{path};"),
            format!("{path};jsessionid=1"),
            format!("{path}%2f"),
            format!("{path}%20"),
            format!("{path}%00"),
            format!("{path}%3bx"),
            format!("{path}?/assets/x.js"),
            format!("{path};/assets/x.js"),
            format!("/{path}"),
            format!("//{path}"),
            format!("/;{path}"),
            format!("/;x{path}"),
            format!("/.{path}"),
            format!("/%2e{path}"),
            format!("/assets/..{path}"),
            format!("/assets/..;{path}"),
            format!("/assets/%2e%2e{path}"),
            format!("/assets%2f..{path}"),
            format!("/assets/..%5c{inner}"),
            format!("/%2f{inner}"),
            format!("/{first}%2f{}", rest.trim_start_matches('/')),
            format!("/{first};x{rest}"),
            format!("/{first};{rest}"),
            format!("/{first}/{rest}"),
            format!("/{}{rest}", first.to_ascii_uppercase()),
            format!("/%{:02x}{}", first.as_bytes()[0], &inner[1..]),
            format!("/%25{:02x}{}", first.as_bytes()[0], &inner[1..]),
            format!("/{encoded}"),
            encoded.clone(),
        ] {
            assert_closed(*backend, &spelled);
        }
    }
}

/// The reverse: other spellings of an open endpoint, which servers may read as another path.
#[test]
fn other_spellings_of_an_open_path_are_closed() {
    for (backend, path) in [
        (Backend::OpenMetadata, "/api/v1/system/version"),
        (Backend::OpenMetadata, "/api/v1/users/login"),
        (Backend::OpenMetadata, "/api/v1/auth/login"),
        (Backend::OpenMetadata, "/mcp/token"),
        (Backend::OpenMetadata, "/.well-known/openid-configuration"),
        (Backend::DataHubGms, "/config"),
        (Backend::DataHubGms, "/health"),
        (Backend::DataHubGms, "/openapi/operations/dev/featureFlags"),
    ] {
        let slash = path.rfind('/').unwrap();
        let (before, last) = (&path[..slash], &path[slash + 1..]);
        for spelled in [
            format!("{path}/"),
            format!("{path}/."),
            format!("{path};x"),
            format!("{path}%20"),
            format!("{path}%2f"),
            format!("{path}."),
            format!("{path}x"),
            format!("/{path}"),
            format!("{before}//{last}"),
            format!("{before};x/{last}"),
            format!("{before}%2f{last}"),
            format!("{before}/%{:02x}{}", last.as_bytes()[0], &last[1..]),
            format!("{before}/x/../{last}"),
            format!("/x{path}/.."),
        ] {
            assert_closed(backend, &spelled);
        }
    }
}

/// Protected rows are compared without case, whatever their pattern.
#[test]
fn letter_case_does_not_bypass_a_protected_row() {
    for backend in Backend::ALL {
        let table = preset(backend);
        for row in table.rows().iter().filter(|row| row.route == Route::Protected) {
            let example = example(row);
            for spelled in [example.to_ascii_uppercase(), example.to_ascii_lowercase(), swap(&example)] {
                assert_closed(backend, &spelled);
            }
        }
    }
}

fn swap(text: &str) -> String {
    let swapped = |(at, c): (usize, char)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c };
    text.chars().enumerate().map(swapped).collect()
}
