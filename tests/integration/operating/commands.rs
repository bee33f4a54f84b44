//! The command line: output and exit codes.

use crate::support::gateway::{Finished, Setup};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::Token;
use crate::support::upstream::Upstream;

fn command(arguments: &[&str]) -> Finished {
    Setup::command(arguments).finish()
}

/// Runs `metagate run` with this config and expects an error.
#[track_caller]
fn refused(config: &str) -> Finished {
    let finished = Setup::run().config(config).finish();
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    assert_eq!(finished.stdout, "", "errors go to stderr");
    finished
}

#[test]
fn version_and_help_are_printed() {
    let version = command(&["--version"]);
    assert_eq!(version.code, Some(0));
    assert_eq!(version.stdout.trim(), format!("metagate {}", env!("CARGO_PKG_VERSION")));
    let help = command(&["--help"]);
    assert_eq!(help.code, Some(0));
    for word in [
        "run",
        "demo",
        "check",
        "explain",
        "keys",
        "mint",
        "report",
        "revoke",
        "routes",
        "token",
        "config",
        "health",
        "completions",
    ] {
        assert!(
            help.stdout.lines().any(|line| line.trim_start().starts_with(word)),
            "{word}: {}",
            help.stdout
        );
    }
    let help = command(&["run", "--help"]);
    for flag in ["--config", "--listen", "--upstream", "--public-keys", "--backend"] {
        assert!(help.stdout.contains(flag), "{flag}: {}", help.stdout);
    }
}

/// A reader who sees "allowed" below a failed step needs the reason.
#[test]
fn explain_marks_requests_allowed_only_by_report_mode() {
    for (mode, code, expected) in [
        ("report", 0, "allowed only because refusals are reported and not carried out"),
        ("enforce", 1, "refused: 401"),
    ] {
        let explain = |more: &[&str]| {
            let words =
                [&["explain", "--path", "/api/v1/tables", "--token-file", "/dev/null"], more].concat();
            Setup::command(&words)
                .env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:9")
                .env("METAGATE_AUTHORIZATION__MODE", mode)
                .env("AUTHENTICATION_PUBLIC_KEYS", "[http://127.0.0.1:9/jwks]")
                .finish()
        };
        let finished = explain(&[]);
        assert_eq!(finished.code, Some(code), "{}", finished.stderr);
        let last = finished.stdout.lines().last().unwrap_or_default();
        assert!(last.starts_with(expected) && last.ends_with("reason=missing_token"), "{}", finished.stdout);
        let response: serde_json::Value =
            serde_json::from_str(&explain(&["--json"]).stdout).expect("one JSON document");
        let key = if mode == "report" { "would_deny" } else { "answer" };
        assert_eq!(response[key]["reason"], "missing_token");
        assert_eq!(response["allowed"], mode == "report");
    }
}

/// `metagate routes | head`.
#[test]
fn closed_output_pipe_is_not_an_error() {
    for words in [
        &["routes"][..],
        &["routes", "GET", "/x", "--json"],
        &["config", "print"],
        &["config", "schema"],
        &["completions", "bash"],
        &["check", "--offline"],
        &["explain", "--path", "/x", "--token-file", "/dev/null"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_metagate"))
            .args(words)
            .env_clear()
            .env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:9")
            .env("AUTHENTICATION_PUBLIC_KEYS", "[http://127.0.0.1:9/jwks]")
            .stdout(writer)
            .output()
            .expect("metagate runs");
        // 1, because without a token `explain` reports a refusal.
        let expected = i32::from(words.first() == Some(&"explain"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(expected), ""), "{words:?}");
    }
}

#[test]
fn bad_usage_exits_2() {
    for arguments in
        [vec!["run", "--no-such-flag"], vec!["no-such-command"], vec!["run", "--backend", "nonsense"]]
    {
        let finished = command(&arguments);
        assert_eq!(finished.code, Some(2), "{arguments:?}: {}", finished.stderr);
        assert!(!finished.stderr.is_empty());
    }
}

/// The contents of a token are its author's choice, and it may be unsigned.
#[test]
fn explain_escapes_terminal_controls_in_tokens() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("token").to_str().expect("a path").to_owned();
    let hostile = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{202e}";
    let token = Token::user().claim("iss", hostile.into()).claim("roles", vec![hostile].into());
    std::fs::write(&file, token.header("kid", hostile.into()).encode()).expect("a token");
    let issuer = Issuer::of(keys::rsa());
    let finished = Setup::command(&["explain", "--token-file", &file, "--path", "/x"])
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:1")
        .finish();
    assert!(finished.stdout.contains("issuer: iss \\u{1b}]0;title"), "{}", finished.stdout);
    let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!finished.stdout.contains(steers), "{:?}", finished.stdout);
}

#[test]
fn all_config_errors_are_reported_at_once() {
    let finished = refused(
        "backend: nonsense\nupstream:\n  url: ftp://backend.test\n  connectTimeout: soon\nlimits: {headerBytes: plenty}\nauthentication: {allowNonExpiring: maybe, publicKeyUrls: [\"http://127.0.0.1:1/jwks\"]}\n",
    );
    for word in ["backend", "upstream.url", "connectTimeout", "headerBytes", "allowNonExpiring"] {
        assert!(finished.stderr.contains(word), "{word} is missing in:\n{}", finished.stderr);
    }
    for value in ["nonsense", "soon", "plenty", "maybe"] {
        assert!(finished.stderr.contains(value), "{value} is missing in:\n{}", finished.stderr);
    }
}

#[test]
fn unknown_key_error_names_the_line_and_a_suggestion() {
    let finished = refused("# comment\nlistn: 127.0.0.1:0\nupstream: {url: \"http://127.0.0.1:1\"}\n");
    assert!(finished.stderr.contains("listn"), "{}", finished.stderr);
    assert!(finished.stderr.contains("listen"), "{}", finished.stderr);
    assert!(finished.stderr.contains("metagate.yaml:2"), "file and line: {}", finished.stderr);
    let finished = refused("authentication: {publicKeyUrl: [\"http://127.0.0.1:1/jwks\"]}\n");
    assert!(finished.stderr.contains("publicKeyUrls"), "{}", finished.stderr);
}

#[test]
fn invalid_configurations_are_refused() {
    let keys = "authentication: {publicKeyUrls: [\"https://idp.example/jwks\"]}\n";
    for (name, config) in [
        ("a duplicate key", format!("{keys}listen: 127.0.0.1:0\nlisten: 127.0.0.1:1\n")),
        ("no unit", format!("{keys}upstream: {{url: \"http://127.0.0.1:1\", connectTimeout: 5}}\n")),
        ("not YAML", "{{{".to_owned()),
        ("a URL without a scheme", "authentication: {publicKeyUrls: [\"localhost:8585/jwks\"]}\n".to_owned()),
        ("no key source at all", "upstream: {url: \"http://127.0.0.1:1\"}\n".to_owned()),
        (
            "an unknown algorithm",
            "authentication: {publicKeyUrls: [\"http://127.0.0.1:1/jwks\"], algorithms: [none]}\n".to_owned(),
        ),
        (
            "HS256 in the simple list",
            "authentication: {publicKeyUrls: [\"http://127.0.0.1:1/jwks\"], algorithms: [HS256]}\n"
                .to_owned(),
        ),
    ] {
        let finished = refused(&config);
        assert!(!finished.stderr.trim().is_empty(), "{name}");
    }
}

#[test]
fn short_shared_secret_is_refused_and_not_printed() {
    let secret = "only-31-characters-long-secret!";
    assert_eq!(secret.len(), 31);
    let finished = Setup::run()
        .env("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", secret)
        .env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:1")
        .finish();
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    assert!(finished.stderr.contains("32"), "{}", finished.stderr);
    assert!(!finished.stderr.contains(secret), "{}", finished.stderr);
}

#[test]
fn health_command_probes_the_health_listener() {
    let mut stage = Stage::plain(|setup| setup);
    let url = format!("http://{}/readyz", stage.gateway.health);
    assert_eq!(command(&["health", "--url", &url]).code, Some(0));
    let address = stage.gateway.health.to_string();
    // The readiness probe is meant if there is no path.
    assert_eq!(command(&["health", "--url", &format!("http://{address}")]).code, Some(0));
    assert_eq!(Setup::command(&["health"]).env("METAGATE_HEALTH__LISTEN", &address).finish().code, Some(0));
    // An image without a CA bundle.
    let without_authorities = Setup::command(&["health", "--url", &url])
        .env("SSL_CERT_FILE", "/nonexistent/file")
        .env("SSL_CERT_DIR", "/nonexistent")
        .finish();
    assert_eq!(without_authorities.code, Some(0), "{}", without_authorities.stderr);
    stage.gateway.terminate();
    stage.gateway.wait_exit();
    assert_eq!(command(&["health", "--url", &url]).code, Some(1));
    assert_eq!(Setup::command(&["health"]).env("METAGATE_HEALTH__LISTEN", &address).finish().code, Some(1));
}

#[test]
fn health_command_exits_1_without_keys() {
    let issuer = Issuer::empty();
    let upstream = Upstream::echo();
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", upstream.url())
        .start();
    let url = format!("http://{}/readyz", gateway.health);
    assert_eq!(command(&["health", "--url", &url]).code, Some(1));
    issuer.publish(JWKS, &[keys::rsa().jwk()]);
    gateway.wait_ready();
    assert_eq!(command(&["health", "--url", &url]).code, Some(0));
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let issuer = Issuer::of(keys::rsa());
    let upstream = Upstream::echo();
    let (keys, url) = (issuer.url(JWKS), upstream.url());
    let nowhere = "http://127.0.0.1:1";
    let by_flags =
        Setup::command(&["run", "--listen", "127.0.0.1:0", "--upstream", &url, "--public-keys", &keys])
            .env("METAGATE_HEALTH__LISTEN", "127.0.0.1:0")
            .env("METAGATE_ADMIN__LISTEN", "127.0.0.1:0")
            .env("METAGATE_UPSTREAM__URL", nowhere)
            .start();
    let by_environment = Setup::run()
        .env("METAGATE_UPSTREAM__URL", &url)
        .config(format!(
            "upstream: {{url: \"{nowhere}\"}}\nauthentication: {{publicKeyUrls: [\"{keys}\"]}}\n"
        ))
        .start();
    for gateway in [by_flags, by_environment] {
        gateway.wait_ready();
        assert_eq!(gateway.get_as(&crate::support::token::Token::bot(), "/x").status, 200);
    }
}

#[test]
fn simple_list_is_warned_about_once() {
    let stage = Stage::plain(|setup| setup);
    let warnings: Vec<_> = stage
        .gateway
        .logs()
        .into_iter()
        .filter(|log| log["level"].as_str().is_some_and(|l| l.eq_ignore_ascii_case("warn")))
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    let text = warnings[0].to_string();
    assert!(text.contains("audience") && text.contains("issuer"), "{text}");
}

#[test]
fn an_accepted_warning_is_not_logged() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_CHECK__ACCEPT", "unbound-keys"));
    let warned = stage.gateway.logs().iter().any(|log| log["level"] == "WARN");
    assert!(!warned, "{:#?}", stage.gateway.stderr());
}

#[test]
fn a_strict_check_fails_on_warnings_that_are_not_accepted() {
    let config = "upstream: {url: \"http://127.0.0.1:1\"}\nauthentication: {publicKeyUrls: [\"https://idp.example/jwks\"]}\n";
    let strict = |accepted: &str| {
        let command = Setup::command(&["check", "--offline", "--strict"]);
        command.env("METAGATE_CHECK__ACCEPT", accepted).config(config).finish()
    };
    let finished = strict("[]");
    assert_eq!(finished.code, Some(1), "{}", finished.stdout);
    assert!(finished.stdout.starts_with("warning[unbound-keys]: authentication.publicKeyUrls: "));
    let advice =
        "failed because of --strict: fix the warnings, or accept them with `check: {accept: [unbound-keys]}`";
    assert!(finished.stdout.trim_end().ends_with(advice), "{}", finished.stdout);
    let finished = strict("unbound-keys");
    assert_eq!(finished.code, Some(0), "{}", finished.stdout);
    assert_eq!(finished.stdout.trim(), "configuration is good");

    let finished = Setup::command(&["check", "--offline", "--json"])
        .env("METAGATE_CHECK__ACCEPT", "unbound-keys")
        .config(config)
        .finish();
    let output: serde_json::Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!((finished.code, output["findings"].as_array().map(Vec::len)), (Some(0), Some(0)));
    assert_eq!(output["accepted"][0]["id"], "unbound-keys");
}
