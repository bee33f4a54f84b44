//! Names and formats of environment variables.

use super::*;
use crate::backend::Backend;
use crate::config::settings::{KEYS, Kind, environment_names};

#[test]
fn names_are_derived_from_paths() {
    let names = environment_names();
    let name = |path: &str| names.iter().find(|(_, key)| *key == path).map(|(name, _)| name.as_str());
    assert_eq!(name("listen"), Some("METAGATE_LISTEN"));
    assert_eq!(name("upstream.connectTimeout"), Some("METAGATE_UPSTREAM__CONNECT_TIMEOUT"));
    assert_eq!(name("health.listen"), Some("METAGATE_HEALTH__LISTEN"));
    assert_eq!(name("authentication.publicKeyUrls"), Some("METAGATE_AUTHENTICATION__PUBLIC_KEY_URLS"));
    assert_eq!(name("datahub.systemClientSecretFile"), Some("METAGATE_DATAHUB__SYSTEM_CLIENT_SECRET_FILE"));
    assert_eq!(name("authentication.issuers"), Some("METAGATE_AUTHENTICATION__ISSUERS"));
    assert_eq!(name("authentication.issuers[].name"), None);
    let distinct: std::collections::HashSet<_> = names.iter().map(|(name, _)| name).collect();
    assert_eq!(distinct.len(), names.len());
}

/// A value that differs from the default.
fn sample(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true",
        Kind::Integer(..) => "7",
        Kind::Duration(..) => "7s",
        Kind::Size(..) => "9KiB",
        Kind::AutoSize(..) => "80MiB",
        Kind::Rate => "7/s",
        Kind::Address => "127.0.0.1:7",
        Kind::Listen => "unix:/seven",
        Kind::UrlOrUrls(schemes) if schemes.contains(&"redis") => "redis://seven.example/",
        Kind::Url(_) | Kind::UrlOrUrls(_) | Kind::Urls(_) | Kind::KeyUrls => "https://seven.example/",
        Kind::Path => "/seven",
        Kind::Word(words) | Kind::Words(words) => words.accepted[1],
        Kind::HeaderName | Kind::OptionalHeader => "x-seven",
        Kind::BasePath => "/seven",
        Kind::Algorithm | Kind::Algorithms => "PS384",
        Kind::Networks => "7.0.0.0/8",
        Kind::Proxies => "unix",
        Kind::Routes => "GET /seven",
        Kind::PathPatterns => "/seven",
        Kind::Methods => "PUT",
        Kind::Expression => "true",
        Kind::Expectation => "403",
        Kind::Entries => "[{name: seven}]",
        Kind::Findings => "any-audience",
        Kind::Text
        | Kind::Name
        | Kind::Secret
        | Kind::Texts
        | Kind::Claims
        | Kind::Free
        | Kind::Body
        | Kind::KeySet => "seven",
    }
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    for (name, path) in environment_names() {
        let key = KEYS.iter().find(|key| key.path == path).unwrap();
        let case = environment(&[(&name, sample(key.kind))]);
        // The value alone may not be a valid configuration, so its layer is checked.
        let mut errors = Vec::new();
        let layers = crate::config::environment_layers::own_environment(&case.sources, &mut errors).0;
        assert!(errors.is_empty(), "{name}: {errors:?}");
        let merged = crate::config::merged::Merged::new(layers);
        let value =
            path.split('.').try_fold(figment::value::Value::from(merged.root.clone()), |value, name| {
                value.into_dict()?.remove(name)
            });
        let value = value.unwrap_or_else(|| panic!("{name} does not reach {path}"));
        assert_eq!(merged.origin(path, &value), Some(Origin::Environment(name.clone())));
        assert!(!key.kind.is_list() || value.as_array().is_some_and(|items| items.len() == 1), "{name}");
    }
}

#[test]
fn scalars_with_quotes_comments_and_brackets() {
    let config = environment(&[
        KEYS_URL,
        ("METAGATE_UPSTREAM__URL", "\"http://[::1]:8585\"  # here"),
        ("METAGATE_LISTEN", "[::]:7000"),
        ("METAGATE_WORKERS", "\"3\""),
        ("METAGATE_BACKEND", " openmetadata "),
        ("METAGATE_AUTHENTICATION__LEEWAY", "'10s'"),
        ("METAGATE_LOG__LEVEL", "info,hyper=warn"),
        ("METAGATE_AUTHORIZATION__PUBLIC", "[GET,PUT /docs/**, /x]"),
        ("METAGATE_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
    ])
    .config();
    assert_eq!(config.upstream.url.as_str(), "http://[::1]:8585/");
    assert_eq!(config.listen.to_string(), "[::]:7000");
    assert_eq!((config.workers, config.backend), (3, Backend::OpenMetadata));
    assert_eq!(config.trust[0].rules.leeway.as_secs(), 10);
    assert_eq!(&*config.log.level, "info,hyper=warn");
    let rows: Vec<_> = config.policy.routes.rows()[..3].iter().map(ToString::to_string).collect();
    let origin = "authorization.public, environment variable METAGATE_AUTHORIZATION__PUBLIC";
    assert_eq!(
        rows[..2],
        [format!("public GET,PUT /docs/** ({origin})"), format!("public /x ({origin})")],
        "in front of the preset's"
    );
    assert!(rows[2].contains("JwtFilter"), "{rows:?}");
    assert_eq!(config.trusted_proxies.len(), 2);
}

#[test]
fn an_empty_variable_is_an_error_for_a_key_with_a_default() {
    let errors = environment(&[
        KEYS_URL,
        UPSTREAM,
        ("METAGATE_LISTEN", ""),
        ("METAGATE_WORKERS", "\"\""),
        ("METAGATE_TRUSTED_PROXIES", ""),
        ("METAGATE_TLS__CERT_FILE", ""),
    ])
    .errors();
    assert_error(&errors, "listen @ METAGATE_LISTEN | is empty; accepted: a list of address:port");
    assert_error(&errors, "workers @ METAGATE_WORKERS | is empty");
    assert_error(&errors, "trustedProxies @ METAGATE_TRUSTED_PROXIES | is empty; write an empty list as []");
    assert_eq!(errors.len(), 3, "{errors:#?}");
    let config = environment(&[KEYS_URL, UPSTREAM, ("METAGATE_TRUSTED_PROXIES", "[]")]).config();
    assert!(config.trusted_proxies.is_empty());
}

#[test]
fn an_invalid_url_in_a_list_is_named() {
    let errors = environment(&[
        UPSTREAM,
        ("AUTHENTICATION_PUBLIC_KEYS", "[https://a.example/x, localhost:8585/api/v1/system/config/jwks]"),
    ])
    .errors();
    assert_eq!(
        errors,
        ["authentication.publicKeyUrls @ AUTHENTICATION_PUBLIC_KEYS | item 2: \
          \"localhost:8585/api/v1/system/config/jwks\" is not a URL that begins with http:// or https:// or file://; \
          did you mean http://localhost:8585/api/v1/system/config/jwks?"]
    );
}

#[test]
fn variables_of_kubernetes_and_docker_are_ignored() {
    let loaded = environment(&[
        KEYS_URL,
        UPSTREAM,
        ("METAGATE_SERVICE_HOST", "10.0.0.1"),
        ("METAGATE_SERVICE_PORT", "8685"),
        ("METAGATE_SERVICE_PORT_HTTP", "8685"),
        ("METAGATE_PORT", "tcp://10.0.0.1:8685"),
        ("METAGATE_PORT_8685_TCP", "tcp://10.0.0.1:8685"),
        ("METAGATE_PORT_8685_TCP_ADDR", "10.0.0.1"),
        ("METAGATE_DEMO_SERVICE_HOST", "10.0.0.1"),
        ("METAGATE_DEMO_PORT_80_TCP_PROTO", "tcp"),
        ("METAGATE_NAME", "/gateway/metagate"),
        ("METAGATE_ENV_PATH", "/bin"),
        ("METAGATE_VERSION", "0.1.0"),
    ])
    .loaded();
    let remark = &loaded.infos[0];
    assert!(
        remark.starts_with("environment variables that Kubernetes or Docker set, ignored: METAGATE_DEMO_")
    );
    assert!(remark.ends_with("METAGATE_SERVICE_PORT_HTTP, METAGATE_VERSION"), "{remark}");
    // Somebody meant to set the listener's port.
    let errors = environment(&[KEYS_URL, UPSTREAM, ("METAGATE_PORT", "8080")]).errors();
    assert_error(
        &errors,
        " @ METAGATE_PORT | unknown environment variable METAGATE_PORT; did you mean METAGATE_LISTEN?",
    );
    for name in
        ["METAGATE_UPSTREAM_URL", "METAGATE_UPSTREAM__PORT", "METAGATE_", "METAGATE_AUTHENTICATION__ISSUER"]
    {
        let errors = environment(&[KEYS_URL, UPSTREAM, (name, "x")]).errors();
        assert_error(&errors, &format!(" @ {name} | unknown environment variable"));
    }
}

#[test]
fn a_value_that_is_not_utf_8_is_refused() {
    let errors = environment(&[KEYS_URL, UPSTREAM, ("METAGATE_LOG__LEVEL", "inf\u{fffd}")]).errors();
    assert_eq!(errors, ["log.level @ METAGATE_LOG__LEVEL | is not UTF-8 text"]);
}
