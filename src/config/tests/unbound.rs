//! Keys that verify tokens of other services: the warnings, and the block that their advice gives.

use super::*;
use crate::config::document::parse as parse_yaml;

const OWN: &str = "http://openmetadata:8585/api/v1/system/config/jwks";
const GOOGLE: &str = "https://www.googleapis.com/oauth2/v3/certs";

fn simple(urls: &[&str], more: &str) -> String {
    format!(
        "backend: openmetadata\nupstream: {{url: http://openmetadata:8585}}\nauthentication:\n  publicKeyUrls: [{}]\n{more}",
        urls.join(", ")
    )
}

fn ids(loaded: &Loaded) -> Vec<&'static str> {
    loaded.warnings.iter().filter_map(|finding| finding.id).map(FindingId::as_str).collect()
}

/// The block in the advice of the first warning.
#[track_caller]
fn block(loaded: &Loaded) -> String {
    let help = loaded.warnings[0].help.as_ref().unwrap();
    let start = help.find("authentication:\n").unwrap_or_else(|| panic!("no block: {help}"));
    format!("{}\n", &help[start..])
}

/// Fills in every placeholder.
fn filled(block: &str) -> String {
    let mut text = block.to_owned();
    while let Some(start) = text.find('<') {
        let end = start + text[start..].find('>').unwrap();
        // Each gets another value, as the audiences of several providers are different.
        text.replace_range(start..=end, &format!("value-{start}"));
    }
    text
}

#[test]
fn the_backends_own_key_set_alone_needs_nothing() {
    let loaded = file(&simple(&[OWN], "")).loaded();
    assert_eq!(ids(&loaded), [""; 0], "{:#?}", loaded.warnings);
    let entry = "authentication: {issuers: [{name: om, issuer: open-metadata.org, publicKeyUrls: 'http://om.example.org:1/api/v1/system/config/jwks'}]}";
    let loaded = file(entry).with(&[UPSTREAM]).loaded();
    assert_eq!(ids(&loaded), ["http-key-url"], "an audience would refuse every bot");
}

#[test]
fn pasting_the_block_leaves_only_the_readers_own_values() {
    let lists: [&[&str]; 7] = [
        &[GOOGLE, OWN],
        &[GOOGLE],
        &["https://login.microsoftonline.com/common/discovery/keys", OWN],
        &["https://acme.okta.com/oauth2/v1/keys", "https://acme.eu.auth0.com/.well-known/jwks.json", OWN],
        &[
            "https://idp.example/a?api_key=q3tEo0gHk1Yw",
            "https://idp.example/b",
            "file:///etc/metagate/jwks.json",
            OWN,
        ],
        &[
            "https://cognito-idp.eu-central-1.amazonaws.com/eu_A/.well-known/jwks.json",
            OWN,
            "http://om2:8585/api/v1/system/config/jwks",
        ],
        &["https://sso.example/realms/data/protocol/openid-connect/certs", "https://openmetadata/jwks", OWN],
    ];
    for urls in lists {
        let block = block(&file(&simple(urls, "")).loaded());
        assert!(!block.contains("q3tEo0gHk1Yw"), "a query may be a secret: {block}");
        let before = "backend: openmetadata\nupstream: {url: http://openmetadata:8585}\n";
        let errors = file(&format!("{before}{block}")).errors();
        assert!(errors.iter().all(|error| error.contains("has a placeholder in it")), "{errors:#?}");
        let loaded = file(&format!("{before}{}", filled(&block))).loaded();
        assert_eq!(ids(&loaded), [""; 0], "{block}\n{:#?}", loaded.warnings);
        let trusted = |entry: &TrustEntry| match &entry.keys {
            KeySource::Urls(urls) => urls.len(),
            _ => 0,
        };
        let all: usize = loaded.config.trust.iter().map(trusted).sum();
        assert!(all >= urls.len(), "every URL is in the block: {block}");
        // Bots have no audience.
        let own = loaded.config.trust.iter().find(|entry| entry.rules.binds("open-metadata.org")).unwrap();
        assert!(own.rules.audiences.is_empty() && own.keys.has_backends_own_set(), "{own:?}");
    }
}

#[test]
fn the_block_of_the_usual_list() {
    let case = file(&simple(&[GOOGLE, OWN], ""));
    let loaded = case.loaded();
    let warning = loaded.warnings[0].to_string();
    assert!(warning.contains("Google signs the ID tokens of every application in the world"), "{warning}");
    let help = loaded.warnings[0].help.clone().unwrap();
    let expected = format!(
        "remove the list in {}:4:18, and write this into the configuration file, with your values for <...>:
authentication:
  issuers:
    - name: openmetadata
      issuer: open-metadata.org
      publicKeyUrls: [{OWN}]
    - name: google
      issuer: https://accounts.google.com
      publicKeyUrls: [{GOOGLE}]
      audiences: [\"<your Google client ID>\"]",
        case.sources.files[0].display()
    );
    assert_eq!(help, expected);
    assert!(parse_yaml(&block(&loaded)).problems.is_empty());
}

#[test]
fn advice_names_the_place_and_fits_what_is_there() {
    let keys = ("AUTHENTICATION_PUBLIC_KEYS", "https://idp.example/jwks");
    let loaded = environment(&[keys, UPSTREAM]).loaded();
    assert!(
        loaded.warnings[0].help.as_ref().unwrap().starts_with("unset AUTHENTICATION_PUBLIC_KEYS, and write")
    );
    let flags = Flags { public_keys: vec![keys.1.to_owned()], ..Flags::default() };
    let loaded = environment(&[UPSTREAM]).flags(flags).loaded();
    assert!(loaded.warnings[0].help.as_ref().unwrap().starts_with("leave out --public-keys, and write"));
    // Entries that are there already are not repeated.
    let more = "  issuers:\n    - {name: google, issuer: open-metadata.org, publicKeyUrls: 'http://openmetadata:8585/api/v1/system/config/jwks'}\n";
    let loaded = file(&simple(&[GOOGLE, OWN], more)).loaded();
    let help = loaded.warnings[0].help.clone().unwrap();
    assert!(help.contains("add these entries to authentication.issuers"), "{help}");
    assert!(help.contains("name: google-2") && !help.contains("issuer: open-metadata.org"), "{help}");
}

#[test]
fn audiences_that_refuse_bots_are_a_warning() {
    let loaded = file(&simple(&[GOOGLE, OWN], "  audiences: [my-client]\n")).loaded();
    assert_eq!(ids(&loaded), ["backend-tokens-refused"]);
    assert!(block(&loaded).contains("audiences: [my-client]"), "known values are kept: {}", block(&loaded));
    let text =
        format!("backend: openmetadata\nupstream: {{url: http://openmetadata:8585}}\n{}", block(&loaded));
    assert_eq!(ids(&file(&text).loaded()), [""; 0]);

    let loaded = file(&simple(&[OWN], "  audiences: [my-client]\n")).loaded();
    assert_eq!(ids(&loaded), ["backend-tokens-refused"]);
    for (entry, expected) in [
        (
            "issuer: open-metadata.org, publicKeyUrls: 'https://mirror.example/jwks', audiences: [a]",
            Some("leave `audiences` out"),
        ),
        ("issuer: open-metadata.org, publicKeyUrls: 'https://mirror.example/jwks'", None),
        (
            "issuer: [open-metadata.org, https://x.example], publicKeyUrls: 'https://mirror.example/jwks', audiences: [a]",
            Some("an entry of their own"),
        ),
    ] {
        let loaded =
            file(&format!("authentication: {{issuers: [{{name: a, {entry}}}]}}")).with(&[UPSTREAM]).loaded();
        let help = loaded.warnings.first().and_then(|warning| warning.help.clone());
        assert_eq!(
            help.as_deref().is_some_and(|help| help.contains(expected.unwrap_or("?"))),
            expected.is_some(),
            "{help:?}"
        );
        assert_eq!(loaded.warnings.len(), usize::from(expected.is_some()));
    }
}

#[test]
fn placeholders_are_errors_until_they_are_filled_in() {
    let text = "upstream: {url: http://10.0.0.1:8585}
authentication:
  issuers:
    - {name: a, issuer: 'https://login.microsoftonline.com/{tenant}/v2.0', audiences: [\"<client ID>\"]}
    - {name: b, issuer: b, publicKeyUrls: ['https://idp.example/<realm>/jwks'], audiences: [b]}
";
    let errors = file(text).errors();
    for expected in [
        "authentication.issuers[0].issuer @ 4:25 | item 1: \"https://login.microsoftonline.com/{tenant}/v2.0\" has a placeholder in it; write your value for {tenant}",
        "authentication.issuers[0].audiences @ 4:87 | item 1: \"<client ID>\" has a placeholder in it; write your value for <client ID>",
        "authentication.issuers[1].publicKeyUrls @ 5:44 | item 1: \"https://idp.example/<realm>/jwks\" has a placeholder in it; write the URL with your own values",
    ] {
        assert_error(&errors, expected);
    }
    assert_eq!(errors.len(), 3, "{errors:#?}");
}
