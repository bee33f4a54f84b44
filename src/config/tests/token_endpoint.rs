//! `issuer.tokenEndpoint`, and the entries that it is for.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::*;
use crate::own_issuer::IssuerKey;
use crate::rate_limiter::RateLimit;

const MINUTE: Duration = Duration::from_secs(60);

/// A configuration for DataHub with this `issuer.tokenEndpoint` and `exchange`; `{issuer}` stands for the rest of `issuer`.
fn with(issuer: &str, exchange: &str) -> Case {
    let case = file("");
    let path = case.beside("issuer.pem", IssuerKey::generate().unwrap().to_pem().unwrap().as_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let keys = format!("url: 'https://m.example', audience: jobs, keyFiles: ['{}']", path.display());
    let text = format!(
        "backend: datahub-gms
authentication:
  issuers: [{{name: github, issuer: ['https://github.example', 'https://ghe.example'], audiences: [metagate], publicKeyUrls: ['https://keys.example']}}]
mint: {{issuer: 'https://m.example/b', datahub: {{signingKey: 5hM0y8xQ2kWc7rTzN1bVfJ4pLsG9dEaU}}}}
{}
exchange: [{exchange}]
",
        issuer.replace("{keys}", &keys)
    );
    std::fs::write(&case.sources.files[0], text).unwrap();
    case.with(&[UPSTREAM])
}

fn entry(more: &str) -> String {
    format!("{{name: nightly, from: {{issuer: github, subjects: [a]}}, as: {{user: bot}}{more}}}")
}

#[track_caller]
fn refused(issuer: &str, exchange: &str, path: &str, text: &str) {
    let errors = with(issuer, exchange).errors();
    let named = errors.iter().any(|error| error.starts_with(path) && error.contains(text));
    assert!(named && errors.len() == 1, "{path}: {text}: {errors:#?}");
}

#[test]
fn an_entry_turns_the_endpoint_on() {
    let config = with("issuer: {{keys}}", &entry(", tokenLifetime: 90m")).config();
    let endpoint = config.exchange.endpoint.as_ref().unwrap();
    assert_eq!(&*endpoint.path, "/oauth2/token");
    assert_eq!(Some(endpoint.rate), RateLimit::new(60, MINUTE, 20));
    let issuance = config.exchange.table.issuance("nightly").unwrap();
    assert_eq!(issuance.lifetime, Duration::from_secs(90 * 60));
    assert_eq!(issuance.issuers, ["https://github.example", "https://ghe.example"].map(Box::<str>::from));
    let own = "issuer: {{keys}, tokenEndpoint: {path: /a/b-c, requestsPerMinute: 5, burst: 7}}";
    let config = with(own, &entry(", tokenLifetime: 1m")).config();
    let endpoint = config.exchange.endpoint.as_ref().unwrap();
    assert_eq!((&*endpoint.path, Some(endpoint.rate)), ("/a/b-c", RateLimit::new(5, MINUTE, 7)));
    let most = "issuer: {{keys}, tokenEndpoint: {requestsPerMinute: 1, burst: 1000}}";
    assert!(with(most, &entry(", tokenLifetime: 6h")).config().exchange.endpoint.is_some());
    let most = "issuer: {{keys}, tokenEndpoint: {requestsPerMinute: 60000, burst: 1}}";
    assert!(with(most, &entry(", tokenLifetime: 6h")).config().exchange.endpoint.is_some());
}

#[test]
fn without_such_an_entry_there_is_none() {
    for issuer in ["", "issuer: {{keys}}", "issuer: {{keys}, tokenEndpoint: {path: /oauth2/token}}"] {
        let config = with(issuer, &entry("")).config();
        assert!(config.exchange.endpoint.is_none() && !config.exchange.table.issues(), "{issuer}");
    }
}

#[test]
fn what_has_no_effect_or_cannot_work_is_refused() {
    let on = entry(", tokenLifetime: 6h");
    refused("", &on, "exchange[0].tokenLifetime", "issuer is not set");
    refused("issuer: {{keys}}", &entry(", tokenLifetime: 7h"), "exchange[0].tokenLifetime", "1m to 6h");
    refused("issuer: {{keys}}", &entry(", tokenLifetime: 30s"), "exchange[0].tokenLifetime", "1m to 6h");
    let own = |more: &str| format!("issuer: {{{{keys}}, tokenEndpoint: {{{more}}}}}");
    refused(
        &own("path: /sts"),
        &entry(""),
        "issuer.tokenEndpoint.path",
        "no entry of exchange has tokenLifetime",
    );
    refused(
        &own("burst: 5"),
        &entry(""),
        "issuer.tokenEndpoint.burst",
        "no entry of exchange has tokenLifetime",
    );
    for path in
        ["token", "/", "/a/", "//a", "/a//b", "/a/../b", "/a/.b", "/a%20b", "'/a;b'", "'/a?b'", "/a/*"]
    {
        refused(
            &own(&format!("path: {path}")),
            &on,
            "issuer.tokenEndpoint.path",
            "is not a path like /oauth2/token",
        );
    }
    refused(&own("burst: 0"), &on, "issuer.tokenEndpoint.burst", "1 to 1000");
    refused(&own("requestsPerMinute: 0"), &on, "issuer.tokenEndpoint.requestsPerMinute", "1 to 60000");
}
