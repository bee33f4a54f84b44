//! `issuer`: the tokens that metagate gives to clients.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::jose::AlgorithmSet;
use crate::mint::PrivateKey;
use crate::own_issuer::{IssuerKey, TokenIssuer};
use crate::test_support::{P256, RSA};

const LIST: &str = "publicKeyUrls: [https://idp.example/jwks], audiences: [a]";
const FULL: &str = "issuer: {url: https://m.example, audience: metagate, keyFiles: ['{key}']}";

/// A configuration beside `key.pem`, with that key.
fn with_key(authentication: &str, rest: &str) -> (Case, IssuerKey) {
    let case = file("");
    let key = IssuerKey::generate().unwrap();
    let path = case.beside("key.pem", key.to_pem().unwrap().as_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let rest = rest.replace("{key}", &path.display().to_string());
    std::fs::write(&case.sources.files[0], format!("authentication: {{{authentication}}}\n{rest}")).unwrap();
    (case.with(&[UPSTREAM]), key)
}

#[test]
fn the_issuer_is_an_entry_of_its_own_and_must_be_exchanged() {
    let (case, key) = with_key(LIST, FULL);
    let loaded = case.loaded();
    let config = &loaded.config;
    let issuer = config.issuer.as_ref().unwrap();
    assert_eq!((issuer.url(), issuer.audience()), ("https://m.example", "metagate"));
    assert_eq!(issuer.keys()[0].kid(), key.kid());
    let entry = config.trust.iter().find(|entry| &*entry.name == "metagate").unwrap();
    assert!(matches!(&entry.keys, KeySource::Inline(keys) if keys[0].material() == key.material()));
    assert_eq!(entry.algorithms, TokenIssuer::algorithms());
    assert_ne!(entry.algorithms, AlgorithmSet::default());
    assert_eq!(entry.rules.issuers, ["https://m.example"].map(Box::<str>::from));
    assert_eq!(entry.rules.leeway, std::time::Duration::from_secs(30));
    assert!(config.exchange.table.includes("metagate"), "never forwarded");
    assert!(loaded.secret_files.iter().any(|file| file.ends_with("key.pem")), "a changed key is reloaded");
    assert_eq!(loaded.warnings, []);
    // Alone, without any other issuer.
    assert_eq!(with_key("", FULL).0.config().trust.len(), 1);
    let (none, _) = with_key(LIST, "");
    assert!(none.config().issuer.is_none() && none.config().exchange.table.is_empty());
}

#[test]
fn all_three_keys_are_required_together() {
    for (given, missing) in [
        ("url: https://m.example", ["audience", "keyFiles"]),
        ("audience: metagate", ["url", "keyFiles"]),
        ("keyFiles: ['{key}']", ["url", "audience"]),
    ] {
        let errors = with_key(LIST, &format!("issuer: {{{given}}}")).0.errors();
        assert_eq!(errors.len(), 2, "{errors:?}");
        for key in missing {
            assert!(
                errors
                    .iter()
                    .any(|error| error.starts_with(&format!("issuer.{key} @ "))
                        && error.contains("is required")),
                "{errors:?}"
            );
        }
    }
    let errors = with_key(LIST, "issuer: {url: u, audience: a, keyFiles: []}").0.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("issuer.keyFiles"), "{errors:?}");
}

#[test]
fn an_issuer_of_somebody_else_is_refused() {
    let okta =
        "issuers: [{name: okta, issuer: https://idp.example, audiences: [a], publicKeyUrls: [https://x]}]";
    let named = "issuers: [{name: metagate, issuer: https://i, audiences: [a], publicKeyUrls: [https://x]}]";
    let issuer = |url: &str, audience: &str| {
        format!("issuer: {{url: '{url}', audience: '{audience}', keyFiles: ['{{key}}']}}")
    };
    let plain = |url: &str| issuer(url, "metagate");
    let mint = format!(
        "{}\nmint: {{issuer: https://m.example, datahub: {{signingKey: {SECRET}}}}}",
        plain("https://m.example")
    );
    for (authentication, rest, at, message) in [
        (okta, plain("https://idp.example"), "issuer.url", "is an issuer of the entry `okta`"),
        (okta, plain("okta"), "issuer.url", "is an issuer of the entry `okta`"),
        (LIST, plain("open-metadata.org"), "issuer.url", "is the issuer of OpenMetadata's own tokens"),
        (LIST, plain(" x"), "issuer.url", "white space"),
        (LIST, mint, "issuer.url", "is mint.issuer"),
        (LIST, issuer("u", "sts.amazonaws.com"), "issuer.audience", "is the audience of another service"),
        (named, plain("u"), "authentication.issuers", "is the name of the entry that `issuer` adds"),
    ] {
        let errors = with_key(authentication, &rest).0.errors();
        assert_eq!(errors.len(), 1, "{rest} {errors:?}");
        assert!(errors[0].starts_with(at) && errors[0].contains(message), "{rest} {errors:?}");
    }
}

const SECRET: &str = "5hM0y8xQ2kWc7rTzN1bVfJ4pLsG9dEaU";

#[test]
fn a_key_has_no_second_purpose() {
    // In a key set that another entry trusts: as text, and as a file.
    let (case, key) = with_key(LIST, FULL);
    let set = TokenIssuer::new("u", "a", vec![key]).jwks().to_string();
    let jwks = case.beside("jwks.json", set.as_bytes());
    let entry =
        format!("issuers: [{{name: static, issuer: https://x, audiences: [a], publicKeys: '{set}'}}]");
    let url = format!("publicKeyUrls: ['file://{}'], audiences: [a]", jwks.display());
    let key_file = case.sources.files[0].with_file_name("key.pem");
    for (authentication, place) in [(entry, "publicKeys of the entry `static`"), (url, "publicKeyUrls of")] {
        let rest = FULL.replace("{key}", &key_file.display().to_string());
        std::fs::write(&case.sources.files[0], format!("authentication: {{{authentication}}}\n{rest}"))
            .unwrap();
        let errors = case.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("issuer.keyFiles @ ") && errors[0].contains(place), "{errors:?}");
    }
    // A key that signs for the backend is an RSA key, and cannot be read here.
    let (case, _) = with_key(LIST, FULL);
    let rsa = case.beside("rsa.pem", RSA.private_pem().as_bytes());
    let both = format!(
        "issuer: {{url: u, audience: a, keyFiles: ['{0}']}}\nmint: {{issuer: b, keyFiles: ['{0}']}}",
        rsa.display()
    );
    std::fs::write(&case.sources.files[0], format!("authentication: {{{LIST}}}\n{both}")).unwrap();
    let errors = case.errors();
    assert!(errors.iter().all(|error| error.starts_with("issuer.keyFiles @ ")), "{errors:?}");
    assert!(errors[0].contains("is not an EC key of the curve P-256"), "{errors:?}");
    assert!(PrivateKey::from_pem(&IssuerKey::generate().unwrap().to_pem().unwrap()).is_err());
}

#[test]
fn unusable_key_files_are_errors_that_show_no_key() {
    for (text, message) in [
        (crate::test_support::pem("PUBLIC KEY", &P256.spki()), "it is not PEM with one private key"),
        (RSA.private_pem(), "is not an EC key of the curve P-256"),
    ] {
        let (case, _) = with_key(LIST, FULL);
        std::fs::write(case.sources.files[0].with_file_name("key.pem"), &text).unwrap();
        let errors = case.errors();
        assert!(errors[0].starts_with("issuer.keyFiles @ ") && errors[0].contains(message), "{errors:?}");
        assert!(!errors.concat().contains(text.lines().nth(1).unwrap()), "{errors:?}");
    }
    let (case, _) = with_key(LIST, "issuer: {url: u, audience: a, keyFiles: ['{key}', '{key}']}");
    assert!(case.errors()[0].contains("listed twice"));
    let (case, _) = with_key(LIST, "issuer: {url: u, audience: a, keyFiles: [/no/such/file]}");
    assert!(case.errors()[0].contains("the file /no/such/file cannot be read"));
    let loaded = load_without_secrets(&case.sources).unwrap();
    assert!(loaded.infos.iter().any(|info| info.contains("skipped: issuer.keyFiles")), "{:?}", loaded.infos);
}

const BOTS: &str = "issuer: {url: u, audience: metagate, keyFiles: ['{key}'], bots: {file: /no/such/list}}\n\
     mint: {issuer: m, datahub: {signingKey: 5hM0y8xQ2kWc7rTzN1bVfJ4pLsG9dEaU}}\nbackend: datahub-gms\n";

#[test]
fn an_entry_takes_the_bots_that_it_names() {
    let entry = "exchange: [{name: bots, from: {bots: [nightly, b.2]}, as: {user: x}}]";
    let (case, _) = with_key(LIST, &format!("{BOTS}{entry}"));
    let config = case.config();
    let entries: Vec<_> = config.exchange.table.entries_of("metagate").collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].subjects, ["nightly", "b.2"].map(Box::<str>::from));
    // Not a token of the other kind with the same subject.
    assert_eq!(entries[0].claims.len(), 1);
    assert_eq!(entries[0].claims[0].0.as_str(), "tokenType");
    // A missing list is not an error: everybody else is served.
    assert!(
        matches!(config.bots, Some(BotSource::File(file)) if file.path() == Path::new("/no/such/list")),
        "the file"
    );
}

#[test]
fn entries_for_bots_name_them_exactly() {
    for (from, at, message) in [
        ("bots: []", "exchange[0].from.bots", "is an empty list"),
        ("bots: ['*']", "exchange[0].from.bots", "is not the name of a bot"),
        ("bots: [Nightly]", "exchange[0].from.bots", "is not the name of a bot"),
        ("bots: [a], subjects: [a]", "exchange[0].from.subjects", "bots is also set"),
        ("issuer: metagate, subjects: [a]", "exchange[0].from.issuer", "is not the name of an entry"),
    ] {
        let (case, _) =
            with_key(LIST, &format!("{BOTS}exchange: [{{name: e, from: {{{from}}}, as: {{user: x}}}}]"));
        let errors = case.errors();
        assert!(errors.iter().any(|error| error.starts_with(at) && error.contains(message)), "{errors:?}");
    }
    let entry = "exchange: [{name: bots, from: {bots: [a]}, as: {user: x}}]";
    let without = BOTS.replace(", bots: {file: /no/such/list}", "");
    let errors = with_key(LIST, &format!("{without}{entry}")).0.errors();
    assert!(errors[0].contains("there is no allow-list of bots"), "{errors:?}");
    let errors = with_key(LIST, "issuer: {bots: {file: /x}}").0.errors();
    assert!(
        errors[0].starts_with("issuer.bots.file @ ") && errors[0].contains("requires issuer.url"),
        "{errors:?}"
    );
}

#[test]
fn the_list_of_bots_may_be_in_the_store() {
    let store = "revocations: {store: {url: 'redis://127.0.0.1/0'}}";
    let entry = "exchange: [{name: bots, from: {bots: [a]}, as: {user: x}}]";
    let in_store = BOTS.replace("file: /no/such/list", "store: true");
    let (case, _) = with_key(store, &format!("{in_store}{entry}"));
    let config = case.config();
    let revocations = config.revocations.store.unwrap();
    assert!(matches!(config.bots, Some(BotSource::Store(access)) if Arc::ptr_eq(&access, &revocations)));
    // Off is as if it was left out.
    let (case, _) = with_key(store, &BOTS.replace("file: /no/such/list", "store: false"));
    assert!(case.config().bots.is_none());
    for (authentication, rest, message) in [
        (LIST, &*in_store, "requires authentication.revocations.store.url"),
        (store, &BOTS.replace("file: /no/such/list", "file: /x, store: true"), "a list has one place"),
        (&*format!("{LIST}, {store}"), "issuer: {bots: {store: true}}", "requires issuer.url"),
    ] {
        let errors = with_key(authentication, rest).0.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("issuer.bots.store @ ") && errors[0].contains(message), "{errors:?}");
    }
}

#[test]
fn the_age_of_lists_is_limited_only_if_that_is_set() {
    let at = |text: &str| {
        let (case, _) = with_key(&format!("{LIST}, revocations: {{{text}}}"), "");
        case
    };
    let store = at("store: {url: 'redis://127.0.0.1/0', poll: 2s, maxStale: 6s}").config().revocations;
    assert_eq!(store.store.unwrap().max_stale, Some(std::time::Duration::from_secs(6)));
    let urls = at("urls: ['https://a/list'], maxStale: 1m").config().revocations;
    assert_eq!(urls.fetching.max_stale, Some(std::time::Duration::from_secs(60)));
    let none = at("store: {url: 'redis://127.0.0.1/0'}, urls: ['https://a/list']").config().revocations;
    assert_eq!((none.store.unwrap().max_stale, none.fetching.max_stale), (None, None));
    for (text, key, message) in [
        (
            "store: {url: 'redis://127.0.0.1/0', poll: 2s, maxStale: 5s}",
            "store.maxStale",
            "5s is shorter than 3 times",
        ),
        ("urls: ['https://a/list'], maxStale: 14s", "maxStale", "14s is shorter than 3 times"),
        ("maxStale: 1m", "maxStale", "requires urls"),
        ("store: {maxStale: 1m}", "store.url", "is missing"),
    ] {
        let errors = at(text).errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        let is_at = errors[0].starts_with(&format!("authentication.revocations.{key} @ "))
            || errors[0].starts_with(&format!("authentication.revocations.{key}: "));
        assert!(is_at && errors[0].contains(message), "{errors:?}");
    }
}
