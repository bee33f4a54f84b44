//! `authentication.revocations.urls` and `.store`.

use super::*;

fn case(revocations: &str) -> Case {
    file(&format!(
        "upstream: {{url: \"http://127.0.0.1:1\"}}\nauthentication:\n  publicKeyUrls: [\"https://idp.example/jwks\"]\n  revocations: {revocations}\n"
    ))
}

#[test]
fn a_store_has_defaults() {
    let config = case("{store: {url: \"rediss://redis.example/2\", password: pepper-and-salt}}").config();
    let store = config.revocations.store.unwrap();
    assert_eq!((store.database(), store.is_encrypted(), &*store.namespace), (2, true, "default"));
    assert_eq!((store.poll, store.username.is_none()), (Duration::from_secs(1), true));
    assert!(!format!("{store:?}").contains("pepper"), "{store:?}");
    let list =
        "{store: {url: [\"redis://a.example:26379\", \"redis://b.example:26379\"], sentinelMaster: main}}";
    let store = case(list).config().revocations.store.unwrap();
    assert_eq!((store.urls.len(), store.sentinel_master.as_deref()), (2, Some("main")));
}

#[test]
fn without_keys_there_is_no_other_source() {
    let sources = case("{}").config().revocations;
    assert!(!sources.is_configured() && sources.store.is_none() && sources.urls.is_empty());
    assert_eq!(sources.fetching.interval, Duration::from_secs(5));
}

#[test]
fn mistakes_name_their_key() {
    let at = "authentication.revocations.";
    for (revocations, key, message) in [
        ("{urls: [ftp://a.example/x]}", "urls", "is not a URL that begins with http:// or https://"),
        ("{urls: [https://a.example/x, https://a.example/x]}", "urls", "names the same URL twice"),
        ("{caFile: /x.pem}", "caFile", "requires urls"),
        ("{bearerTokenFile: /x}", "bearerTokenFile", "requires urls"),
        (
            "{urls: [http://a.example/x], bearerTokenFile: /x}",
            "bearerTokenFile",
            "would be sent to http://a.example/x without encryption",
        ),
        ("{store: {url: \"http://a.example\"}}", "store.url", "begins with redis:// or rediss://"),
        ("{store: {url: \"redis://:secret@a.example\"}}", "store.url", "a user name or a password"),
        ("{store: {url: \"redis://a.example/first\"}}", "store.url", "is not the number of a database"),
        ("{store: {url: [redis://a.example, rediss://b.example]}}", "store.url", "differ in scheme"),
        ("{store: {url: redis://a.example, caFile: /x.pem}}", "store.caFile", "requires rediss://"),
        ("{store: {url: rediss://a.example, certFile: /x.pem}}", "store.certFile", "requires keyFile"),
        ("{store: {url: redis://a.example, username: u}}", "store.username", "requires password"),
        ("{store: {url: redis://a.example, namespace: \"a{b\"}}", "store.namespace", "is not a name"),
        ("{store: {url: redis://a.example, poll: 1ms}}", "store.poll", ""),
        (
            "{store: {url: redis://a.example, sentinelPassword: xyz}}",
            "store.sentinelPassword",
            "requires sentinelMaster",
        ),
        ("{store: {username: u, password: p}}", "store.url", "is missing"),
    ] {
        let errors = case(revocations).errors();
        let found =
            errors.iter().any(|error| error.contains(&format!("{at}{key}")) && error.contains(message));
        assert!(found, "{revocations}: {errors:?}");
        assert!(!errors.iter().any(|error| error.contains("secret@")), "{errors:?}");
    }
}

#[test]
fn a_password_without_encryption_is_a_warning() {
    let warned = |url: &str| {
        let loaded = case(&format!("{{store: {{url: \"{url}\", password: pepper}}}}")).loaded();
        loaded.warnings.iter().any(|warning| warning.id == Some(FindingId::StoreUnencrypted))
    };
    assert!(warned("redis://redis.example"));
    assert!(!warned("rediss://redis.example") && !warned("redis://127.0.0.1:6379"));
}

/// Revoking a token must not wait for the rest of the configuration.
#[test]
fn the_store_is_found_in_an_invalid_configuration() {
    let case = file("upstrem: {}\nauthentication: {revocations: {store: {url: \"redis://a.example\"}}}\n");
    assert!(case.result().is_err());
    let store = revocation_store(&case.sources).unwrap().unwrap();
    assert_eq!(store.urls[0].as_str(), "redis://a.example");
    let case =
        file("authentication: {revocations: {store: {url: \"redis://a.example\", namespace: \"{\"}}}\n");
    assert!(revocation_store(&case.sources).is_err());
}

#[test]
fn the_endpoint_is_off_unless_it_has_a_path() {
    for off in ["{}", "{store: {url: redis://a.example}}", "{endpoint: {path: \"\", burst: 20}}"] {
        assert!(case(off).config().revocations.endpoint.is_none(), "{off}");
    }
    let on = case("{store: {url: redis://a.example}, endpoint: {path: /oauth2/revoke, burst: 3}}").config();
    let endpoint = on.revocations.endpoint.unwrap();
    assert_eq!(&*endpoint.path, "/oauth2/revoke");
    let with_file = case("{endpoint: {path: /oauth2/revoke}}");
    let list = with_file.beside("list", b"[]");
    let with_file = with_file.with(&[("METAGATE_AUTHENTICATION__REVOCATIONS__FILE", list.to_str().unwrap())]);
    assert!(with_file.config().revocations.endpoint.is_some());
}

#[test]
fn the_endpoint_needs_a_list_that_can_be_written() {
    let at = "authentication.revocations.endpoint.";
    for (revocations, key, message) in [
        ("{endpoint: {path: /oauth2/revoke}}", "path", "has no list to write to"),
        ("{urls: [https://a.example/x], endpoint: {path: /x}}", "path", "has no list to write to"),
        ("{store: {url: redis://a.example}, endpoint: {path: oauth2}}", "path", "is not a path like"),
        ("{store: {url: redis://a.example}, endpoint: {path: /a/../b}}", "path", "is not a path like"),
        ("{store: {url: redis://a.example}, endpoint: {burst: 3}}", "burst", "has no effect"),
        ("{endpoint: {requestsPerMinute: 3}}", "requestsPerMinute", "has no effect"),
        ("{store: {url: redis://a.example}, endpoint: {path: /x, burst: 0}}", "burst", "1 to 1000"),
    ] {
        let errors = case(revocations).errors().join("\n");
        assert!(
            errors.contains(&format!("{at}{key}")) && errors.contains(message),
            "{revocations}: {errors}"
        );
    }
    // One mistake is one error.
    let errors = case("{file: /nowhere/list, endpoint: {path: /x}}").errors().join("\n");
    assert!(errors.contains("revocations.file") && !errors.contains("endpoint"), "{errors}");
}
