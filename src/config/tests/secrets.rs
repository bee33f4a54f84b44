//! Secrets: read as they are, and never shown.

use secrecy::ExposeSecret;

use super::*;

const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

fn key_of(config: &Config, name: &str) -> Vec<u8> {
    match config.trust.iter().find(|entry| &*entry.name == name).map(|entry| &entry.keys) {
        Some(KeySource::SharedSecret(secret)) => secret.expose_secret().to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_secret_is_shown_nowhere() {
    let text = format!(
        "backend: datahub-gms\nauthentication:\n  issuers:\n  - {{name: a, issuer: a, sharedSecret: {SECRET}}}\n\
         datahub: {{systemClientSecret: {SECRET}}}\n"
    );
    let case = file(&text).with(&[UPSTREAM, ("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", SECRET)]);
    let loaded = case.loaded();
    assert_eq!(key_of(&loaded.config, "a"), SECRET.as_bytes());
    for shown in
        [format!("{loaded:?}"), format!("{loaded:#?}"), print(&loaded), format!("{:?}", case.sources)]
    {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert_eq!(print(&loaded).matches("[redacted]").count(), 3);
}

#[test]
fn a_secret_is_in_no_error() {
    let short = "hunter2";
    let text = format!(
        "authentication:\n  publicKeyUrls: ['https://ada:{short}@a.example']\n  proxy: 'http://ada:{short}@a.example'\n  issuers:\n  \
         - {{name: a, issuer: a, sharedSecret: {short}, sharedSecretFile: /x}}\n  - {{name: b, issuer: b, sharedSecret: \
         {short}}}\n  - {{name: c, issuer: c, sharedSecret: [{short}]}}\n  - {{name: d, issuer: d, sharedSecret: \"{short}\\n\"}}\n\
         \x20 - {{name: e, issuer: e, sharedSecrt: {short}}}\ndatahub: {{systemClientSecret: {{a: {short}}}}}\n"
    );
    let case = file(&text).with(&[
        ("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", short),
        ("METAGATE_DATAHUB__SYSTEM_CLIENT_SECRT", short),
        ("METAGATE_UPSTREAM__URL", "http://ada:hunter2@x.example"),
    ]);
    let errors = case.result().unwrap_err();
    assert!(errors.iter().count() >= 10, "{errors}");
    for shown in [format!("{errors}"), format!("{errors:?}")] {
        assert!(!shown.contains(short), "{shown}");
    }
}

#[test]
fn a_secret_of_the_environment_is_no_yaml() {
    for (value, expected) in [
        ("[a, b] # {not a list} ##############", "[a, b] # {not a list} ##############"),
        ("\"0123456789012345678901234567890123\"", "0123456789012345678901234567890123"),
        ("'0123456789012345678901234567890123'", "'0123456789012345678901234567890123'"),
        ("00000000000000000000000000000000000007", "00000000000000000000000000000000000007"),
    ] {
        let config = environment(&[UPSTREAM, ("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", value)]).config();
        assert_eq!(key_of(&config, "datahub"), expected.as_bytes());
    }
}

#[test]
fn a_file_holds_a_secret_and_perhaps_a_line_break() {
    for ending in ["", "\n", "\r\n"] {
        let case = environment(&[UPSTREAM]);
        let path = case.beside("key", format!("{SECRET}{ending}").as_bytes());
        let name = "METAGATE_DATAHUB__TOKEN_SERVICE_SIGNING_KEY_FILE";
        let case = case.with(&[(name, path.to_str().unwrap())]);
        let loaded = case.loaded();
        assert_eq!(key_of(&loaded.config, "datahub"), SECRET.as_bytes());
        assert_eq!(loaded.secret_files, [path]);
    }
    let case = environment(&[UPSTREAM]);
    let path = case.beside("key", format!("{SECRET}\n\n \n").as_bytes());
    let case = case.with(&[("METAGATE_DATAHUB__TOKEN_SERVICE_SIGNING_KEY_FILE", path.to_str().unwrap())]);
    assert_eq!(key_of(&case.config(), "datahub"), format!("{SECRET}\n\n ").as_bytes(), "one line break only");
}

#[test]
fn a_key_and_its_file_together_are_an_error() {
    let case = file("datahub: {tokenServiceSigningKeyFile: /run/key}")
        .with(&[UPSTREAM, ("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", SECRET)]);
    let errors = case.errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_error(
        &errors,
        "datahub.tokenServiceSigningKeyFile @ 1:39 | datahub.tokenServiceSigningKey (environment variable \
         DATAHUB_TOKEN_SERVICE_SIGNING_KEY) is given too",
    );
}

#[test]
fn files_that_are_missing_empty_or_too_long() {
    let case = environment(&[UPSTREAM, KEYS_URL]);
    let empty = case.beside("empty", b"\n");
    let long = case.beside("long", &[b'x'; 70_000]);
    for (path, message) in [
        (empty.to_str().unwrap(), "the secret is empty"),
        (long.to_str().unwrap(), "longer than 65536 bytes"),
        ("/nonexistent/key", "the file /nonexistent/key cannot be read"),
    ] {
        let variables = [UPSTREAM, KEYS_URL, ("METAGATE_DATAHUB__TOKEN_SERVICE_SIGNING_KEY_FILE", path)];
        let errors = environment(&variables).result().unwrap_err();
        assert_eq!(errors.iter().count(), 1);
        assert!(errors.to_string().contains(message), "{errors}");
    }
}
