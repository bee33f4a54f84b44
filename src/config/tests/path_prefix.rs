//! The path below which an installation is reached.

use super::*;

fn with(prefix: &str) -> Case {
    file(&format!("stripPrefix: \"{prefix}\"")).with(&[KEYS_URL, UPSTREAM])
}

#[test]
fn no_path_is_stripped_by_default() {
    assert_eq!(environment(&[KEYS_URL, UPSTREAM]).config().strip_prefix, None);
    assert_eq!(with("/").config().strip_prefix, None);
    for written in ["/catalog", "/catalog/", "/data/catalog"] {
        let prefix = with(written).config().strip_prefix.unwrap();
        assert_eq!(prefix.as_str(), written.trim_end_matches('/'));
    }
}

#[test]
fn only_plain_paths_are_accepted() {
    for wrong in ["catalog", "/%63atalog", "/a;b", "/a/../b", "/*", "/a//b", "/a?b", "http://x/catalog"] {
        let errors = with(wrong).errors();
        assert!(format!("{errors:?}").contains("stripPrefix"), "{wrong}: {errors:?}");
    }
}

/// A backend that serves the path itself would get requests without it, and its routes would match nothing.
#[test]
fn the_backends_own_base_path_is_not_stripped() {
    let own = [("METAGATE_BACKEND", "openmetadata"), ("METAGATE_OPENMETADATA__BASE_PATH", "/catalog")];
    let errors = with("/catalog").with(&own).errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(format!("{:?}", errors[0]).contains("is openmetadata.basePath too"), "{errors:?}");
    assert!(
        with("/portal").with(&own).config().strip_prefix.is_some(),
        "the path of a proxy, and that of the backend"
    );
    let below = [own[0], own[1], ("METAGATE_UPSTREAM__URL", "http://10.0.0.1:8585/catalog")];
    assert!(with("/catalog").with(&below).config().strip_prefix.is_some(), "upstream.url puts it back");
}

#[test]
fn keys_at_our_own_address_are_read_without_the_prefix() {
    let config = file("stripPrefix: /catalog\nlisten: 127.0.0.1:8585")
        .with(&[
            UPSTREAM,
            ("AUTHENTICATION_PUBLIC_KEYS", "http://127.0.0.1:8585/catalog/api/v1/system/config/jwks"),
        ])
        .config();
    let KeySource::Urls(urls) = &config.trust[0].keys else { panic!("{:?}", config.trust[0].keys) };
    assert_eq!(urls[0].as_str(), "http://10.0.0.1:8585/api/v1/system/config/jwks");
}
