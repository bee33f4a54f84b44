//! Secrets are read unchanged and never shown.

use secrecy::ExposeSecret;

use super::*;

const SECRET: &str = "hunter2-q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u";

fn key_of(config: &Config, name: &str) -> Vec<u8> {
    match config.trust.iter().find(|entry| &*entry.name == name).map(|entry| &entry.keys) {
        Some(KeySource::SharedSecret(secret)) => secret.expose_secret().to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn secrets_are_never_printed() {
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
fn errors_do_not_contain_secrets() {
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
fn a_secret_in_the_environment_is_not_parsed_as_yaml() {
    for (value, expected) in [
        ("[a, b] # {not a list} ##############", "[a, b] # {not a list} ##############"),
        ("\"q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u\"", "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u"),
        ("'q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u'", "'q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u'"),
        ("00031415926535897932384626433832795007", "00031415926535897932384626433832795007"),
    ] {
        let config = environment(&[UPSTREAM, ("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", value)]).config();
        assert_eq!(key_of(&config, "datahub"), expected.as_bytes());
    }
}

#[test]
fn line_breaks_at_the_end_of_a_secret_file_are_trimmed() {
    for ending in ["", "\n", "\r\n", "\n\n", "\r\n\r\n", "\n\n\n"] {
        let case = environment(&[UPSTREAM]);
        let path = case.beside("key", format!("{SECRET}{ending}").as_bytes());
        let name = "METAGATE_DATAHUB__TOKEN_SERVICE_SIGNING_KEY_FILE";
        let case = case.with(&[(name, path.to_str().unwrap())]);
        let loaded = case.loaded();
        assert_eq!(key_of(&loaded.config, "datahub"), SECRET.as_bytes());
        assert_eq!(loaded.secret_files, [path]);
    }
}

#[test]
fn other_white_space_around_a_secret_is_an_error() {
    for text in [" S", "S ", "S\n\n \n", "\nS\n", "S\t", "\u{feff}S\n", "S\u{a0}"] {
        let text = text.replace('S', SECRET);
        let case = environment(&[UPSTREAM]);
        let path = case.beside("key", text.as_bytes());
        let name = "METAGATE_DATAHUB__TOKEN_SERVICE_SIGNING_KEY_FILE";
        let errors = case.with(&[(name, path.to_str().unwrap())]).errors();
        let expected = "datahub.tokenServiceSigningKeyFile @ METAGATE_DATAHUB__TOKEN_SERVICE_SIGNING_KEY_FILE | the \
                        secret begins or ends with white space";
        assert_error(&errors, expected);
        assert_eq!(errors.len(), 1, "{text:?}: {errors:#?}");
    }
    let spaced = format!("{SECRET} ");
    for case in [
        file(&format!("datahub: {{tokenServiceSigningKey: \"{spaced}\"}}")).with(&[UPSTREAM]),
        file("datahub: {tokenServiceSigningKey: \"${KEY}\"}").with(&[UPSTREAM, ("KEY", &spaced)]),
        environment(&[UPSTREAM, ("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", &spaced)]),
    ] {
        assert!(case.errors()[0].contains("begins or ends with white space"));
    }
}

/// Every source of a secret, for each kind of secret.
fn ways(secret: &str) -> Vec<(&'static str, Case)> {
    let quoted = secret.replace('$', "$$");
    let mut ways = Vec::new();
    for (path, yaml, variable) in [
        (
            "authentication.issuers[0].sharedSecret",
            "authentication: {publicKeyUrls: [https://idp.example/jwks], issuers: [{name: a, issuer: a, sharedSecretNAME: 'VALUE'}]}",
            None,
        ),
        (
            "datahub.tokenServiceSigningKey",
            "authentication: {publicKeyUrls: [https://idp.example/jwks]}\ndatahub: {tokenServiceSigningKeyNAME: 'VALUE'}",
            Some("DATAHUB_TOKEN_SERVICE_SIGNING_KEY"),
        ),
        (
            "datahub.systemClientSecret",
            "backend: datahub-gms\nauthentication: {publicKeyUrls: [https://idp.example/jwks]}\ndatahub: {systemClientSecretNAME: 'VALUE'}",
            Some("METAGATE_DATAHUB__SYSTEM_CLIENT_SECRET"),
        ),
    ] {
        let given = |name: &str, value: &str| yaml.replace("NAME", name).replace("VALUE", value);
        ways.push((path, file(&given("", &quoted)).with(&[UPSTREAM])));
        ways.push((path, file(&given("", "${KEY}")).with(&[UPSTREAM, ("KEY", secret)])));
        let case = file("").with(&[UPSTREAM]);
        let secret_file = case.beside("secret", format!("{secret}\n").as_bytes());
        case.beside("config.yaml", given("File", secret_file.to_str().unwrap()).as_bytes());
        ways.push((path, case));
        if let Some(variable) = variable {
            ways.push((path, environment(&[UPSTREAM, KEYS_URL, (variable, secret)])));
        }
    }
    ways
}

#[test]
fn weak_secrets_are_refused_from_every_source() {
    let published = crate::config::published_secrets().map(|known| known.value);
    let others = [
        "${DATAHUB_TOKEN_SERVICE_SIGNING_KEY}",
        "$(DATAHUB_TOKEN_SERVICE_SIGNING_KEY)",
        "{{ .Values.signingKey }}-{{ .Values.signingKey }}",
        "changeme-changeme-or-somebody-else-will",
        "a",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "secret-secret-secret-secret-secret-secret-secret",
    ];
    for secret in published.chain(others) {
        for (path, case) in ways(secret) {
            let errors = case.result().err().unwrap_or_else(|| panic!("{path} takes {secret}"));
            let all: Vec<_> = errors.iter().collect();
            assert_eq!(all.len(), 1, "{secret}: {errors}");
            assert!(all[0].path.starts_with(path), "{secret}: {errors}");
            assert!(all[0].origin.is_some(), "{secret}: {errors}");
            assert!(secret.len() < 10 || !errors.to_string().contains(secret), "{errors}");
        }
    }
    for (path, case) in ways(SECRET) {
        case.result().unwrap_or_else(|errors| panic!("{path}: {errors}"));
    }
}

#[test]
fn a_published_salt_is_only_a_warning() {
    let salt = "ohDVbJBvHHVJh9S/UA4BYF9COuNnqqVhr9MLKEGXk1O=";
    let loaded = environment(&[UPSTREAM, KEYS_URL, ("DATAHUB_TOKEN_SERVICE_SALT", salt)]).loaded();
    let warned = loaded.warnings.iter().find(|finding| finding.path == "datahub.tokenServiceSalt");
    assert!(warned.is_some_and(|finding| finding.message.contains("is published")), "{:?}", loaded.warnings);
    let errors = environment(&[UPSTREAM, KEYS_URL, ("DATAHUB_TOKEN_SERVICE_SALT", "$(SALT)")]).errors();
    assert_error(&errors, "datahub.tokenServiceSalt @ DATAHUB_TOKEN_SERVICE_SALT | has a placeholder");
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
         DATAHUB_TOKEN_SERVICE_SIGNING_KEY) is also set",
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

/// Makes the files of a case reachable for everyone, and sets the mode of one of them.
fn open(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(path.parent().unwrap(), 0o755);
    set(path, mode);
}

#[test]
fn a_secret_file_readable_by_everyone_is_a_warning() {
    let text = "tls: {certFile: /c, keyFile: TLS}\nupstream: {url: https://up.example, tls: {certFile: /c, keyFile: CLIENT}}\n\
                backend: datahub-gms\nauthentication: {issuers: [{name: a, issuer: a, sharedSecretFile: SHARED}]}\n\
                datahub: {tokenServiceSigningKeyFile: SIGNING, systemClientSecretFile: SYSTEM, tokenServiceSaltFile: SALT}\n";
    let keys = [
        ("TLS", "tls.keyFile"),
        ("CLIENT", "upstream.tls.keyFile"),
        ("SHARED", "authentication.issuers[0].sharedSecretFile"),
        ("SIGNING", "datahub.tokenServiceSigningKeyFile"),
        ("SYSTEM", "datahub.systemClientSecretFile"),
        ("SALT", "datahub.tokenServiceSaltFile"),
    ];
    for (mode, does) in [(0o644, Some("read")), (0o606, Some("read")), (0o602, Some("change")), (0o640, None)]
    {
        let case = file("");
        let mut text = text.to_owned();
        for (name, _) in keys {
            let path = case.beside(name, SECRET.as_bytes());
            open(&path, mode);
            text = text.replace(&format!(": {name}"), &format!(": {}", path.display()));
        }
        case.beside("config.yaml", text.as_bytes());
        let loaded = case.loaded();
        for (name, key) in keys {
            let found = loaded.warnings.iter().find(|finding| finding.path == key);
            let Some(does) = does else {
                assert_eq!(found, None);
                continue;
            };
            let message = &found.unwrap_or_else(|| panic!("{key} {mode:o}: {:?}", loaded.warnings)).message;
            assert!(message.starts_with(&format!("every user of this machine can {does} /")), "{message}");
            assert!(message.ends_with(&format!("/{name} (mode {mode:04o})")), "{message}");
        }
    }
}

#[test]
fn a_configuration_file_with_a_secret_readable_by_everyone_is_a_warning() {
    for (value, warned) in
        [(SECRET, true), ("${KEY:-q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u}", true), ("${KEY}", false)]
    {
        let case = file(&format!("datahub:\n  tokenServiceSigningKey: {value}\n")).with(&[UPSTREAM]);
        let case = if warned { case } else { case.with(&[("KEY", SECRET)]) };
        assert!(case.loaded().warnings.is_empty(), "the directory is closed");
        open(&case.sources.files[0], 0o644);
        let found = case.loaded().warnings;
        assert_eq!(
            found.iter().any(|finding| finding.path == "datahub.tokenServiceSigningKey"),
            warned,
            "{value}"
        );
        assert!(found.iter().all(|finding| finding.message.contains("(mode 0644)")), "{found:?}");
    }
}

#[test]
fn queries_of_urls_are_never_printed() {
    let text = "listen: 127.0.0.1:8685\nupstream: {url: http://up.example}\nauthentication:\n  proxy: http://proxy.example/?key=hunter2\n  \
                publicKeyUrls: ['http://idp.example/jwks?api_key=hunter2', 'http://127.0.0.1:8685/jwks?api_key=hunter2']\n  issuers:\n  \
                - {name: a, issuer: a, publicKeyUrls: [https://idp.example/a?hunter2], proxy: 'http://proxy.example/?hunter2'}\n";
    let loaded = file(text).loaded();
    assert!(urls(&loaded.config.trust[0])[0].ends_with("?hunter2"), "it is used as it is");
    let printed = print(&loaded);
    assert!(
        printed
            .contains(r#"["http://idp.example/jwks?[redacted]", "http://127.0.0.1:8685/jwks?[redacted]"]"#)
    );
    assert_eq!(printed.matches("?[redacted]").count(), 5, "{printed}");
    let warnings = loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(warnings.contains("http://idp.example/jwks?[redacted] is not encrypted"), "{warnings}");
    assert!(loaded.infos.iter().any(|info| info.contains("/jwks?[redacted] is our own listener")));
    let text = "upstream: {url: 'http://up.example?hunter2'}\nauthentication:\n  proxy: 'proxy.example?hunter2'\n  publicKeyUrls: ['idp.example/jwks?hunter2', \
                'https://idp.example:x/?hunter2', 'https://idp.example/#hunter2', 'https://ada:hunter2@idp.example', 'ada:hunter2@idp.example', \
                'file://x?hunter2', 'https://idp.example/ ?hunter2']\n";
    let errors = file(text).result().unwrap_err();
    assert_eq!(errors.iter().count(), 9, "{errors}");
    for shown in [printed, warnings, format!("{:?}", loaded.infos), format!("{errors} {errors:?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
