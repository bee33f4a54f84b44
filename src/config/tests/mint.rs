//! `mint`: the keys with which tokens for the backend are minted.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::test_support::{OTHER_RSA, P256, RSA, SigningKey, pem};

const SIGNING_KEY: &str = "5hM0y8xQ2kWc7rTzN1bVfJ4pLsG9dEaU";
const OTHER_KEY: &str = "9kP3w7vQ1jXc5rTyM2bUfH8pLsD6dEaZ";

/// A configuration with `authentication`, `mint` and more sections, beside the key file `1.pem`.
fn with_key(key: &SigningKey, authentication: &str, rest: &str) -> (Case, PathBuf) {
    let case = file("");
    let path = case.beside("1.pem", key.private_pem().as_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let rest = rest.replace("{file}", &path.display().to_string());
    let text = format!("authentication: {{{authentication}}}\n{rest}");
    std::fs::write(&case.sources.files[0], text).unwrap();
    (case.with(&[UPSTREAM]), path)
}

const LIST: &str = "publicKeyUrls: [https://idp.example/jwks], audiences: [a]";

#[test]
fn the_keys_are_read_and_the_first_signs() {
    let (case, path) =
        with_key(&RSA, LIST, "mint: {issuer: https://m.example, keyFiles: ['{file}', '{file}2']}");
    let second = format!("{}2", path.display());
    std::fs::write(&second, OTHER_RSA.private_pem()).unwrap();
    std::fs::set_permissions(&second, std::fs::Permissions::from_mode(0o640)).unwrap();
    let loaded = case.loaded();
    let minter = loaded.config.mint.as_ref().unwrap();
    assert_eq!(minter.issuer(), "https://m.example");
    let found: Vec<_> = minter.keys().rsa().iter().map(|key| *key.material()).collect();
    assert_eq!(found, [*RSA.verifier().material(), *OTHER_RSA.verifier().material()]);
    assert_eq!(loaded.text_at("mint.keyFiles[1]").unwrap().0, second);
    assert!(!minter.keys().has_datahub());
    assert!(loaded.secret_files.contains(&path), "a changed key file causes a reload");
    assert_eq!(loaded.config.policy.minted_issuer.as_deref(), Some("https://m.example"));
    assert_eq!(loaded.warnings, []);
}

#[test]
fn without_mint_there_is_none() {
    let config = file(&format!("authentication: {{{LIST}}}")).with(&[UPSTREAM]).config();
    assert!(config.mint.is_none() && config.policy.minted_issuer.is_none());
}

#[test]
fn datahubs_key_is_taken_from_either_place() {
    let own = format!("mint: {{issuer: m, datahub: {{signingKey: {SIGNING_KEY}}}}}");
    let shared = format!("mint: {{issuer: m}}\ndatahub: {{tokenServiceSigningKey: {SIGNING_KEY}}}");
    for (rest, entries) in [(own, 1), (shared, 2)] {
        let config = file(&format!("authentication: {{{LIST}}}\n{rest}")).with(&[UPSTREAM]).config();
        assert!(config.mint.as_ref().unwrap().keys().has_datahub(), "{rest}");
        assert_eq!(config.trust.len(), entries, "a key to mint with is no key to trust");
    }
    let two = format!(
        "authentication: {{{LIST}}}\nmint: {{issuer: m, datahub: {{signingKey: {SIGNING_KEY}}}}}\n\
         datahub: {{tokenServiceSigningKey: {OTHER_KEY}}}"
    );
    let errors = file(&two).with(&[UPSTREAM]).errors();
    assert_error(&errors, "mint.datahub.signingKey @ 2:");
    assert!(!errors.concat().contains(SIGNING_KEY) && !errors.concat().contains(OTHER_KEY));
}

#[test]
fn an_issuer_of_ours_is_required_and_is_nobody_elses() {
    let entry =
        "issuers: [{name: okta, issuer: https://idp.example, audiences: [a], publicKeyUrls: [https://x]}]";
    for (authentication, issuer, message) in [
        (LIST, "", "is required"),
        (entry, "issuer: https://idp.example, ", "is an issuer of the entry `okta`"),
        (entry, "issuer: okta, ", "is an issuer of the entry `okta`"),
        (LIST, "issuer: open-metadata.org, ", "is the issuer of OpenMetadata's own tokens"),
        (LIST, "issuer: datahub-metadata-service, ", "is the issuer of DataHub's own tokens"),
        (LIST, "issuer: ' x', ", "white space"),
    ] {
        let (case, _) = with_key(&RSA, authentication, &format!("mint: {{{issuer}keyFiles: ['{{file}}']}}"));
        let errors = case.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            errors[0].starts_with("mint.issuer @ ") && errors[0].contains(message),
            "{issuer}: {errors:?}"
        );
    }
    // Renamed in OpenMetadata, and therefore here.
    let rest = "mint: {issuer: om, keyFiles: ['{file}']}\nopenmetadata: {issuer: om}";
    assert_error(&with_key(&RSA, LIST, rest).0.errors(), "mint.issuer @ ");
}

#[test]
fn a_mint_without_any_key_is_an_error() {
    let errors = file(&format!("authentication: {{{LIST}}}\nmint: {{issuer: m}}")).with(&[UPSTREAM]).errors();
    assert_error(&errors, "mint.keyFiles @ ");
    assert!(errors[0].contains("there is no key to mint with"), "{errors:?}");
}

#[test]
fn unusable_key_files_are_errors_that_show_no_key() {
    let secret_line = RSA.private_pem().lines().nth(3).unwrap().to_owned();
    for (text, message) in [
        (String::new(), "it is not PEM with one private key"),
        (secret_line.clone(), "it is not PEM with one private key"),
        (RSA.private_pem().replacen("MII", "!!!", 1), "the private key is damaged"),
        (pem("PUBLIC KEY", &P256.spki()), "it is not PEM with one private key"),
        (format!("{}{}", RSA.private_pem(), OTHER_RSA.private_pem()), "it has more than one private key"),
        (include_str!("../../mint/tests/short-test-key.pem").to_owned(), "fewer than 2048 bits"),
    ] {
        let (case, path) = with_key(&RSA, LIST, "mint: {issuer: m, keyFiles: ['{file}']}");
        std::fs::write(&path, text).unwrap();
        let errors = case.errors();
        assert!(errors[0].contains(message), "{errors:?}");
        assert!(errors[0].starts_with("mint.keyFiles @ ") && !errors.concat().contains(&secret_line));
    }
    let (case, _) = with_key(&RSA, LIST, "mint: {issuer: m, keyFiles: [/no/such/file]}");
    assert!(case.errors()[0].contains("the file /no/such/file cannot be read"));
    let (case, _) = with_key(&RSA, LIST, "mint: {issuer: m, keyFiles: ['{file}', '{file}']}");
    assert!(case.errors()[0].contains("listed twice"));
}

/// Otherwise a token that is signed for the backend could be good at metagate.
#[test]
fn a_key_to_mint_with_is_no_key_that_an_entry_has() {
    let entry = format!(
        "issuers: [{{name: static, issuer: https://x, audiences: [a], publicKeys: {}}}]",
        crate::test_support::document(&[OTHER_RSA.jwk_named("k"), RSA.jwk_named("other-kid")])
    );
    let (case, _) = with_key(&RSA, &entry, "mint: {issuer: m, keyFiles: ['{file}']}");
    let errors = case.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("is one of publicKeys of the entry `static`"), "{errors:?}");
}

#[test]
fn a_weak_key_of_datahub_is_an_error() {
    let text = format!(
        "authentication: {{{LIST}}}\nmint: {{issuer: m, datahub: {{signingKey: only-31-bytes-0123456789-abcdef}}}}"
    );
    let errors = file(&text).with(&[UPSTREAM]).errors();
    assert_error(&errors, "mint.datahub.signingKey @ 2:");
    assert!(errors[0].contains("shorter than 32 bytes"), "{errors:?}");
}

#[test]
fn a_key_file_that_everyone_can_read_is_a_warning() {
    let (case, path) = with_key(&RSA, LIST, "mint: {issuer: m, keyFiles: ['{file}']}");
    std::fs::set_permissions(path.parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = case.loaded().warnings;
    let ids: Vec<_> = warnings.iter().map(|finding| (finding.id, &*finding.path)).collect();
    assert_eq!(ids, [(Some(FindingId::SecretReadable), "mint.keyFiles")]);
}

#[test]
fn a_machine_without_the_keys_can_check_the_rest() {
    let (case, _) = with_key(&RSA, LIST, "mint: {issuer: m, keyFiles: [/no/such/file]}");
    let loaded = load_without_secrets(&case.sources).unwrap();
    assert!(loaded.infos.iter().any(|info| info.contains("skipped: mint.keyFiles")), "{:?}", loaded.infos);
    assert_eq!(loaded.config.mint.unwrap().keys().rsa().len(), 1);
}
