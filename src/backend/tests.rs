use std::collections::BTreeSet;

use http::{HeaderName, HeaderValue};

use super::*;

#[test]
fn every_backend_has_a_unique_name() {
    for (backend, name) in Backend::ALL.into_iter().zip(Backend::NAMES) {
        assert_eq!(backend.as_str(), name);
    }
    assert_eq!(BTreeSet::from(Backend::NAMES).len(), Backend::ALL.len());
}

#[test]
fn field_names_of_presets_are_canonical_and_reserved() {
    for backend in Backend::ALL {
        let Preset { identity, granted, actor, request_source, quirks, .. } = backend.preset();
        let set = actor.iter().map(|field| field.name).chain(request_source.iter().map(|field| field.name));
        let names = identity.names.iter().chain(identity.harmless).copied();
        for name in names.chain(granted.all()).chain(set.clone()).chain(quirks.impersonation) {
            assert_eq!(HeaderName::from_static(name).as_str(), name, "{backend:?}");
            assert!(!name.contains(['_', '.']), "{backend:?}: {name}");
        }
        for name in set {
            assert!(identity.names.contains(&name), "{backend:?}: clients could send {name}");
        }
        if let Some(source) = request_source {
            let _ = (HeaderValue::from_static(source.browser), HeaderValue::from_static(source.program));
        }
    }
}

#[test]
fn the_impersonation_field_is_granted_only_to_impersonators() {
    for backend in Backend::ALL {
        let preset = backend.preset();
        assert_eq!(preset.impersonation.is_some(), preset.quirks.impersonation.is_some(), "{backend:?}");
        if let Some(field) = preset.quirks.impersonation {
            assert!(preset.granted.impersonator.contains(&field), "{backend:?}");
            assert!(!preset.granted.token.contains(&field), "{backend:?}");
        }
        assert_eq!(preset.has_system_credential, !preset.granted.system.is_empty(), "{backend:?}");
    }
}

#[test]
fn a_product_with_two_servers_is_listed_once() {
    let names: Vec<_> = Backend::products().map(|product| product.name).collect();
    assert_eq!(names, ["OpenMetadata", "DataHub"]);
    let unmarked = Backend::products().filter(|product| product.classes.marker_claim.is_none());
    assert_eq!(unmarked.count(), 1, "with two, the product of a token would be ambiguous");
}

#[test]
fn the_end_of_the_path_selects_the_key_dialect() {
    let openmetadata = KeyDialect::OpenMetadata;
    for (path, dialect) in [
        ("/api/v1/system/config/jwks", openmetadata),
        ("/base/api/v1/system/config/jwks", openmetadata),
        ("/api/v1/system/config/jwks/", KeyDialect::Standard),
        ("/keys", KeyDialect::Standard),
    ] {
        assert_eq!(key_dialect_of(path), dialect, "{path}");
    }
}
