//! Which tokens are the backend's own.

use super::*;
use crate::claims::OwnTokens;

const OWN_SET: &str = "http://om.example:8585/catalog/api/v1/system/config/jwks";

fn known(issuers: &[&str]) -> OwnTokens {
    OwnTokens::Known(issuers.iter().map(|issuer| (*issuer).into()).collect())
}

fn own_tokens(authentication: &str, rest: &str) -> Vec<OwnTokens> {
    let config = file(&format!("authentication: {{{authentication}}}\n{rest}")).with(&[UPSTREAM]).config();
    config.trust.into_iter().map(|entry| entry.rules.own_tokens).collect()
}

#[test]
fn own_tokens_of_the_simple_list() {
    let list = |urls: &str| format!("publicKeyUrls: [{urls}]");
    let idp = "https://idp.example/jwks";
    let both = format!("'{idp}', '{OWN_SET}'");
    for (authentication, expected) in [
        (list(OWN_SET), known(&[])),
        (list(&both), known(&[])),
        (list(idp), known(&["open-metadata.org"])),
        // A file with that path is read like any other key set.
        (list("file:///api/v1/system/config/jwks"), known(&["open-metadata.org"])),
        (list(idp) + ", backendTokens: true", OwnTokens::All),
        (list(OWN_SET) + ", backendTokens: false", OwnTokens::None),
    ] {
        assert_eq!(own_tokens(&authentication, ""), [expected], "{authentication}");
    }
    let renamed = own_tokens(&list(idp), "openmetadata: {issuer: own.example}");
    assert_eq!(renamed, [known(&["own.example"])]);
}

#[test]
fn own_tokens_of_issuer_entries() {
    let entries = "issuers: [{name: a, issuer: https://a}, {name: b, issuer: https://b, backendTokens: true}, \
                   {name: c, issuer: https://c, backendTokens: false}], publicKeyUrls: [https://d], \
                   backendTokens: false";
    let key = "datahub: {tokenServiceSigningKey: 5hM0y8xQ2kWc7rTzN1bVfJ4pLsG9dEaU, tokenServiceIssuer: dh}";
    let usual = known(&["open-metadata.org", "dh"]);
    // The setting of the simple list does not apply to entries.
    let expected = [usual.clone(), OwnTokens::All, OwnTokens::None, usual, OwnTokens::None];
    assert_eq!(own_tokens(entries, key), expected);
}

#[test]
fn a_simple_list_without_openmetadatas_key_set_is_a_warning() {
    let warns = |authentication: &str, backend: &str| {
        let text = format!("backend: {backend}\nauthentication: {{audiences: [a], {authentication}}}");
        let warnings = file(&text).with(&[UPSTREAM]).loaded().warnings;
        warnings.iter().any(|found| {
            found.path == "authentication.publicKeyUrls"
                && found.message.contains("OpenMetadata's own key set")
        })
    };
    let idp = "publicKeyUrls: [https://idp.example/jwks]";
    assert!(warns(idp, "openmetadata"));
    assert!(!warns(idp, "generic"));
    assert!(!warns(&format!("publicKeyUrls: ['{OWN_SET}']"), "openmetadata"));
    assert!(!warns(&format!("{idp}, backendTokens: true"), "openmetadata"));
    assert!(!warns(&format!("{idp}, backendTokens: false"), "openmetadata"));
    for entry in [
        "{name: om, issuer: open-metadata.org, publicKeyUrls: [https://om/keys]}".to_owned(),
        format!("{{name: om, issuer: om, publicKeyUrls: ['{OWN_SET}']}}"),
        "{name: om, issuer: om, publicKeyUrls: [https://om/keys], backendTokens: true}".to_owned(),
    ] {
        assert!(!warns(&format!("{idp}, issuers: [{entry}]"), "openmetadata"), "{entry}");
    }
}
