//! The precedence of sources.

use super::*;
use crate::backend::Backend;

const FILE: &str = "
listen: 0.0.0.0:1001
workers: 1
upstream: {url: 'http://file:1', connectTimeout: 1s}
authentication:
  publicKeyUrls: [https://file.example/jwks]
";

#[test]
fn flags_win_over_our_variables_foreign_variables_the_file_and_defaults() {
    let mut variables = Vec::new();
    let urls_of = |case: Case| urls(&case.config().trust[0])[0].to_owned();
    assert_eq!(urls_of(file(FILE)), "https://file.example/jwks");
    variables.push(("AUTHENTICATION_PUBLIC_KEYS", "https://theirs.example/jwks"));
    assert_eq!(urls_of(file(FILE).with(&variables)), "https://theirs.example/jwks");
    variables.push(("METAGATE_AUTHENTICATION__PUBLIC_KEY_URLS", "https://ours.example/jwks"));
    assert_eq!(urls_of(file(FILE).with(&variables)), "https://ours.example/jwks");
    variables.reverse();
    assert_eq!(urls_of(file(FILE).with(&variables)), "https://ours.example/jwks", "whatever the order");
    let flags = Flags { public_keys: vec!["https://flag.example/jwks?a=1,2".into()], ..Flags::default() };
    assert_eq!(urls_of(file(FILE).with(&variables).flags(flags)), "https://flag.example/jwks?a=1,2");
}

#[test]
fn a_section_is_merged_key_by_key_and_a_list_is_replaced() {
    let config = file(FILE)
        .with(&[
            ("METAGATE_UPSTREAM__IDLE_TIMEOUT", "7s"),
            ("AUTHENTICATION_PUBLIC_KEYS", "[https://a.example, https://b.example]"),
        ])
        .config();
    assert_eq!(config.upstream.connect_timeout.as_secs(), 1, "file");
    assert_eq!(config.upstream.idle_timeout.as_secs(), 7, "environment");
    assert_eq!(config.upstream.response_timeout.as_secs(), 300, "default");
    assert_eq!(urls(&config.trust[0]), ["https://a.example/", "https://b.example/"]);
}

#[test]
fn every_flag_is_read() {
    let flags = Flags {
        listen: Some("127.0.0.1:9".into()),
        upstream: Some("https://up.example/base".into()),
        public_keys: vec!["https://a.example/1".into(), "https://a.example/2".into()],
        backend: Some("openmetadata".into()),
    };
    let config = file("").flags(flags).config();
    assert_eq!(config.listen.to_string(), "127.0.0.1:9");
    assert_eq!(config.upstream.url.as_str(), "https://up.example/base");
    assert_eq!(urls(&config.trust[0]), ["https://a.example/1", "https://a.example/2"]);
    assert_eq!(config.backend, Backend::OpenMetadata);
}

#[test]
fn a_key_without_a_value_in_a_file_is_absent() {
    let config = file("listen:\ntls:\nhealth: {listen: ~}\nlog: {level: null, format: text}\n")
        .with(&[KEYS_URL, UPSTREAM])
        .config();
    assert_eq!(config.listen.to_string(), "[::]:8685");
    assert_eq!(config.health_listen.to_string(), "[::]:8686");
    assert_eq!((&*config.log.level, config.log.format), ("info", LogFormat::Text));
}

#[test]
fn an_empty_variable_unsets_a_key_without_a_default() {
    let text = "tls: {certFile: a, keyFile: b}";
    let variables = [KEYS_URL, UPSTREAM, ("METAGATE_TLS__CERT_FILE", ""), ("METAGATE_TLS__KEY_FILE", "")];
    assert!(file(text).with(&variables[..2]).config().tls.is_some());
    assert!(file(text).with(&variables).config().tls.is_none());
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let case = environment(&[]);
    let path = case.beside("other.yaml", b"listen: 127.0.0.1:77");
    let sources = Sources {
        environment: [("METAGATE_CONFIG", path.to_str().unwrap()), KEYS_URL, UPSTREAM]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..Sources::default()
    };
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config.listen.to_string(), "127.0.0.1:77");
    assert_eq!(loaded.used.files, [path]);
}

#[test]
fn a_named_file_that_does_not_exist_is_an_error() {
    let sources = Sources { files: vec!["/nonexistent/metagate.yaml".into()], ..Sources::default() };
    let errors = load(&sources).unwrap_err().to_string();
    assert!(errors.contains("/nonexistent/metagate.yaml cannot be read"), "{errors}");
    assert!(errors.contains("--> --config"), "{errors}");
    assert!(!errors.contains("upstream.url"), "what an unread file lacks is not known: {errors}");
}

#[test]
fn print_shows_the_source_of_each_value_and_is_valid_yaml() {
    let text = "
upstream: {url: 'http://u:1'}
authorization:
  public: ['GET /a', /x]
  rules:
    - name: r
      match: {paths: [/a]}
      require: {claims: {'a: b': ['null', '#', 5]}}
    - {name: s, action: deny}
  tests:
    - {name: t, request: GET /x, expect: 401, claims: {a: \"\\x7f\\uffff\"}}
";
    let case = file(text)
        .with(&[KEYS_URL, ("METAGATE_LOG__LEVEL", "debug"), ("METAGATE_LOG__FORMAT", "text")])
        .flags(Flags { listen: Some("127.0.0.1:1".into()), ..Flags::default() });
    let printed = print(&case.loaded());
    for line in [
        "listen: [127.0.0.1:1]  # flag --listen\n",
        "  level: debug  # env METAGATE_LOG__LEVEL\n",
        "  publicKeyUrls: [https://idp.example/jwks]  # env AUTHENTICATION_PUBLIC_KEYS\n",
        "  leeway: 30s  # default\n",
        "  public: [\"GET /a\", /x]  # from ",
        "    - name: r  # from ",
        "      require:\n        claims: {\"a: b\": [\"null\", \"#\", 5]}  # from ",
        "certFile:  # not set\n",
    ] {
        assert!(printed.contains(line), "{line} in {printed}");
    }
    assert!(printed.contains("config.yaml:2:17\n"), "{printed}");
    // The source of a row names the file.
    let text = |config: &Config| {
        let text = format!("{config:?}");
        text.split(char::is_whitespace).filter(|word| !word.contains("config.yaml:")).collect::<String>()
    };
    let (again, before) = (file(&printed).config(), case.config());
    assert_eq!(text(&again), text(&before));
    assert!(format!("{before:?}").contains("config.yaml:4:11"), "{before:?}");
}
