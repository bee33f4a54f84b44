//! `metagate explain`, and the same texts where operators look for them.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::gateway::{DELIBERATE, Finished, Gateway, Setup, text};
use crate::support::issuer::{Issuer, JWKS, Reply};
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::{Token, now};
use crate::support::wire::{self, Client, Response};

const CONFIG: &str = "
authentication:
  issuers:
    - {name: okta, issuer: https://okta.example, publicKeyUrls: [ISSUER/jwks], audiences: [openmetadata], rolesClaim: realm_access.roles}
authorization:
  rules:
    - {name: admins-delete, match: {methods: [DELETE]}, require: {anyRole: [Admin]}}
";

fn good() -> Token {
    Token::user().issuer("https://okta.example").claim("aud", json!("openmetadata"))
}

/// Runs `metagate explain` with these words for this text as the file with the token.
#[track_caller]
fn explain(setup: impl FnOnce(Setup) -> Setup, token: &str, more: &[&str]) -> Finished {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("token").to_str().expect("a path").to_owned();
    std::fs::write(&file, token).expect("a token");
    let words = [&["explain", "--token-file", &file], more].concat();
    setup(Setup::command(&words)).finish()
}

fn openmetadata(setup: Setup) -> Setup {
    setup
        .env("METAGATE_BACKEND", "openmetadata")
        .env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:9")
        .env("AUTHENTICATION_PUBLIC_KEYS", "[http://127.0.0.1:9/jwks]")
}

fn json_of(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|_| panic!("{}{}", finished.stdout, finished.stderr))
}

#[test]
fn without_a_path_the_token_itself_is_judged() {
    let refused = explain(openmetadata, "garbage", &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stdout.starts_with("FAILED token: malformed_token: token does not have three parts"));
    assert!(!refused.stdout.contains("garbage"));
    let public = explain(openmetadata, "garbage", &["--path", "/"]);
    assert_eq!(public.code, Some(0), "a public route: {}", public.stdout);
    assert!(public.stdout.contains("a token is not looked at"), "{}", public.stdout);
    let missing = explain(openmetadata, "", &["--json"]);
    assert_eq!((missing.code, &json_of(&missing)["answer"]["reason"]), (Some(1), &json!("missing_token")));

    let issuer = Issuer::of(keys::rsa());
    let config = CONFIG.replace("ISSUER", &issuer.url(""));
    let configured = |setup: Setup| setup.env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:9").config(config);
    let accepted = explain(configured, &good().encode(), &[]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.stdout);
    assert!(accepted.stdout.ends_with("accepted: the token is valid; --path judges a request with it"));
    assert!(accepted.stdout.contains("expires in 59m") || accepted.stdout.contains("expires in 1h"));
}

#[test]
fn a_pasted_field_is_understood() {
    let issuer = Issuer::of(keys::rsa());
    let token = good().encode();
    for pasted in [
        format!("  {token}\r\n"),
        format!("\"{token}\""),
        format!("bearer {token}"),
        format!("Authorization: Bearer {token}"),
        format!("-H 'authorization: Bearer {token}' \\"),
    ] {
        let config = CONFIG.replace("ISSUER", &issuer.url(""));
        let configured =
            |setup: Setup| setup.env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:9").config(config);
        let finished = explain(configured, &pasted, &[]);
        assert_eq!(finished.code, Some(0), "{}", finished.stdout);
    }
}

#[test]
fn a_token_as_an_argument_is_refused_and_not_repeated() {
    let token = good().encode();
    let header = format!("Authorization: Bearer {token}");
    for words in [
        &["explain", &token][..],
        &["explain", "Bearer", &token],
        &["explain", "-H", &header],
        &["explain", "--token", &token],
        &["explain", &format!("--token={token}")],
        &["explain", "--at", &token],
        &["token", "fingerprint", &token],
    ] {
        let finished = openmetadata(Setup::command(words)).finish();
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        assert!(!finished.stderr.contains("eyJ") && finished.stdout.is_empty(), "{}", finished.stderr);
    }
    let finished = openmetadata(Setup::command(&["explain", &token])).finish();
    assert!(finished.stderr.contains("--token-file FILE"), "{}", finished.stderr);
    let as_file = openmetadata(Setup::command(&["explain", "--token-file", &token])).finish();
    assert_eq!(as_file.code, Some(1));
    assert!(!as_file.stderr.contains("eyJ"), "{}", as_file.stderr);
}

#[test]
fn a_token_is_judged_as_of_a_moment() {
    let issuer = Issuer::of(keys::rsa());
    let expired = good().claim("iat", json!(1_795_000_000)).claim("exp", json!(1_795_329_000)).encode();
    let judged = |at: &str| {
        let config = CONFIG.replace("ISSUER", &issuer.url(""));
        let configured =
            |setup: Setup| setup.env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:9").config(config);
        explain(configured, &expired, &["--at", at])
    };
    for at in ["2026-11-22T06:00:00Z", "1795327200"] {
        let finished = judged(at);
        assert_eq!(finished.code, Some(0), "{}", finished.stdout);
        assert!(finished.stdout.contains("expires in 30m (2026-11-22T06:30:00Z)"), "{}", finished.stdout);
    }
    let finished = judged("2026-11-22T09:42:00Z");
    assert_eq!(finished.code, Some(1));
    let line = "FAILED claims: expired: exp: expired 3h 12m ago (2026-11-22T06:30:00Z)";
    assert!(finished.stdout.lines().any(|own| own == line), "{}", finished.stdout);
}

/// The audit record, `/refusals`, the status page and `explain` say the same; the client learns nothing of it.
#[test]
fn operators_read_the_same_text_everywhere() {
    let stage = Stage::configured(Issuer::of(keys::rsa()), CONFIG);
    let cases = [
        (
            good().claim("aud", json!(["other", "x"])),
            r#"aud: token has ["other","x"], entry okta accepts [openmetadata]"#,
        ),
        (
            good().issuer("https://okta.example/"),
            r#"iss: "https://okta.example/", entries: okta "https://okta.example" (differs only by a trailing slash)"#,
        ),
        (good().issuer("<b>\u{1b}[2J"), r#"iss: "<b>\u001b[2J", entries: okta "https://okta.example""#),
        (good().claim("exp", json!(now() - 7200)), "exp: expired 2h ago ("),
    ];
    for (number, (token, expected)) in cases.iter().enumerate() {
        let path = format!("/api/{number}");
        let response = stage.gateway.get_as(token, &path);
        assert_eq!(response.status, 401);
        let sent = format!("{}{}", response.text(), response.header("www-authenticate").unwrap_or_default());
        assert!(!sent.contains("okta") && !sent.contains("ago"), "{sent}");
        let record = stage.gateway.audit_of(&path);
        let detail = text(&record, "detail").unwrap_or_default();
        assert!(detail.starts_with(expected), "{detail}");
        let refusal = eventually("the refusal", || {
            let refusals = stage.gateway.ask_admin("GET", "/refusals", &[DELIBERATE]).json();
            refusals.as_array()?.iter().find(|refusal| refusal["path"] == *path).cloned()
        });
        assert_eq!(refusal["detail"], detail);
        let config = CONFIG.replace("ISSUER", &stage.issuer.url(""));
        let configured =
            |setup: Setup| setup.env("METAGATE_UPSTREAM__URL", stage.upstream.url()).config(config);
        let explained = json_of(&explain(configured, &token.encode(), &["--path", &path, "--json"]));
        let same = explained["answer"]["detail"].as_str().unwrap_or_default();
        assert!(same.starts_with(expected), "{explained}");
    }
    let page = stage.gateway.ask_admin("GET", "/", &[DELIBERATE]).text();
    assert!(
        page.contains("entry okta accepts [openmetadata]") && page.contains("&#60;b&#62;\\u001b[2J"),
        "{page}"
    );
}

#[test]
fn an_unknown_key_is_named_with_the_sources() {
    let stage = Stage::configured(Issuer::of(keys::rsa()), CONFIG);
    let token = good().header("kid", json!("other"));
    stage.gateway.get_as(&token, "/unknown");
    let record = stage.gateway.audit_of("/unknown");
    let expected = format!("kid: \"other\" is not in the 1 key of {}, fetched ", stage.issuer.url(JWKS));
    assert!(text(&record, "detail").is_some_and(|detail| detail.starts_with(&expected)), "{record}");
    stage.issuer.set(JWKS, Reply::Status(500, vec![], String::new()));
    let other = good().header("kid", json!("another"));
    assert_eq!(stage.gateway.get_as(&other, "/unreachable").status, 503);
    let record = stage.gateway.audit_of("/unreachable");
    let detail = text(&record, "detail").unwrap_or_default();
    assert!(detail.contains("(the last fetch failed: answered 500 Internal Server Error)"), "{detail}");
    assert!(detail.ends_with("; a source of keys cannot be reached, so the key may exist"), "{detail}");
}

/// Runs a command that asks the running proxy.
#[track_caller]
fn asking(gateway: &Gateway, token: &str, more: &[&str]) -> Finished {
    let url = format!("http://{}", gateway.admin());
    explain(|setup| setup, token, &[&["--running", "--url", &url], more].concat())
}

#[test]
fn the_running_proxy_explains_with_its_own_keys() {
    let stage = Stage::configured(Issuer::of(keys::rsa()), CONFIG);
    let token = good().encode();
    for more in
        [&[][..], &["--json"], &["--method", "DELETE", "--path", "/api/v1/x"], &["--path", "/x", "--json"]]
    {
        let config = CONFIG.replace("ISSUER", &stage.issuer.url(""));
        let configured =
            |setup: Setup| setup.env("METAGATE_UPSTREAM__URL", stage.upstream.url()).config(config);
        let (own, running) = (explain(configured, &token, more), asking(&stage.gateway, &token, more));
        // Seconds may have passed between the two.
        let plain = |text: &str| {
            text.lines()
                .filter(|line| !line.contains("expires in") && !line.contains("\"time\""))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(
            (plain(&own.stdout), own.code),
            (plain(&running.stdout), running.code),
            "{}",
            running.stderr
        );
        assert_eq!(running.stderr, "");
    }
    let refused = asking(&stage.gateway, &token, &["--method", "DELETE", "--path", "/api/v1/x"]);
    let line = "FAILED rules: insufficient_permissions: rule admins-delete: anyRole: token has [] in realm_access.roles, wanted one of [Admin]";
    assert!(refused.stdout.lines().any(|own| own == line), "{}", refused.stdout);

    // The issuer has replaced its key, and the proxy has not fetched it yet.
    stage.issuer.publish(JWKS, &[keys::other_rsa().jwk()]);
    let config = CONFIG.replace("ISSUER", &stage.issuer.url(""));
    let configured = |setup: Setup| setup.env("METAGATE_UPSTREAM__URL", stage.upstream.url()).config(config);
    let hits = stage.issuer.hits(JWKS);
    assert_eq!(asking(&stage.gateway, &token, &[]).code, Some(0), "the key that it has");
    let renewed = good().signed("RS256", keys::other_rsa()).encode();
    assert_eq!(asking(&stage.gateway, &renewed, &[]).code, Some(1));
    assert_eq!(stage.issuer.hits(JWKS), hits, "nothing is fetched for a question");
    assert_eq!(explain(configured, &token, &[]).code, Some(1), "the command fetches for itself");
    let past = asking(&stage.gateway, &token, &["--at", "2020-01-01T00:00:00Z"]);
    assert!(past.stdout.contains("not_yet_valid: iat: issued in the future"), "{}", past.stdout);
    assert!(stage.gateway.audit().is_empty(), "a question is not a request");
    stage.gateway.assert_no_token_in_output();
}

#[test]
fn a_token_is_sent_only_to_this_machine() {
    for url in ["http://192.0.2.1:8687", "http://metagate.example:8687"] {
        let finished = explain(|setup| setup, &good().encode(), &["--running", "--url", url]);
        assert_eq!(finished.code, Some(1));
        assert!(finished.stderr.contains("only to a loopback address"), "{}", finished.stderr);
    }
    let without = explain(|setup| setup, "a", &["--url", "http://127.0.0.1:1"]);
    assert_eq!(without.code, Some(2), "--url needs --running: {}", without.stderr);
}

/// POST to the admin listener with its own address as `Host`.
#[track_caller]
fn post(gateway: &Gateway, target: &str, fields: &[(&str, &str)], body: &str) -> Response {
    let host = format!("Host: {}", gateway.admin());
    let bytes = wire::request_bytes("POST", target, fields, body.as_bytes());
    let mut client = Client::connect(gateway.admin());
    client.send(wire::replace(&bytes, b"Host: gateway.test", host.as_bytes()));
    client.response().expect("a response")
}

#[test]
fn questions_need_the_admin_guard_and_are_bounded() {
    let stage = Stage::configured(Issuer::of(keys::rsa()), CONFIG);
    let gateway = &stage.gateway;
    let question = json!({"token": good().encode()}).to_string();
    let answer = post(gateway, "/explain", &[DELIBERATE], &question);
    assert_eq!((answer.status, &answer.json()["allowed"]), (200, &json!(true)), "{}", answer.text());
    assert!(!answer.text().contains("eyJ"));
    for fields in [
        &[][..],
        &[("X-Metagate", "true")],
        &[DELIBERATE, ("Origin", "http://evil.example")],
        &[DELIBERATE, ("Sec-Fetch-Site", "cross-site")],
    ] {
        assert_eq!(post(gateway, "/explain", fields, &question).status, 403, "{fields:?}");
    }
    let other = gateway.ask_admin("GET", "/explain", &[DELIBERATE]);
    assert_eq!((other.status, other.header("allow")), (405, Some("POST")));
    for wrong in ["", "[]", "{\"token\": 5}", "{\"at\": \"eyJh\"}", "{\"other\": 1}", &question[1..]] {
        let refused = post(gateway, "/explain", &[DELIBERATE], wrong);
        assert_eq!(refused.status, 400, "{wrong}");
        assert!(!refused.text().contains("eyJ"), "{}", refused.text());
    }
    let long = json!({"token": "x".repeat(300 * 1024)}).to_string();
    assert_eq!(post(gateway, "/explain", &[DELIBERATE], &long).status, 413);
    let finished = asking(gateway, &"x".repeat(300 * 1024), &[]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("longer than 262144 bytes"), "{}", finished.stderr);
    let keys = gateway.ask_admin("GET", "/keys", &[]);
    assert_eq!((keys.status, &keys.json()[0]["issuer"]), (200, &json!("okta")));
    assert_eq!(gateway.ask_admin("GET", "/keys", &[("Sec-Fetch-Site", "cross-site")]).status, 403);
    assert_eq!(gateway.ask_admin("POST", "/keys", &[DELIBERATE]).status, 405);
    stage.gateway.assert_no_token_in_output();
}

#[test]
fn keys_of_the_running_proxy_are_printed_like_those_of_the_command() {
    let stage = Stage::plain(|setup| setup);
    let url = format!("http://{}", stage.gateway.admin());
    let running =
        |more: &[&str]| Setup::command(&[&["keys", "--running", "--url", &*url], more].concat()).finish();
    let own = |more: &[&str]| {
        Setup::command(&[&["keys"], more].concat())
            .env("AUTHENTICATION_PUBLIC_KEYS", stage.issuer.url(JWKS))
            .env("METAGATE_UPSTREAM__URL", stage.upstream.url())
            .finish()
    };
    let plain = |finished: &Finished| {
        let is_time = |line: &str| {
            ["fetched", "next refresh", "age_seconds", "next_refresh_at"]
                .iter()
                .any(|word| line.contains(word))
        };
        finished.stdout.lines().filter(|line| !is_time(line)).collect::<Vec<_>>().join("\n")
    };
    for more in [&[][..], &["--json"]] {
        let (one, other) = (own(more), running(more));
        assert_eq!((plain(&one), one.code), (plain(&other), other.code), "{}", other.stderr);
    }
    let named = Setup::command(&["keys", "--running"])
        .env("METAGATE_ADMIN__LISTEN", stage.gateway.admin().to_string());
    assert_eq!(named.finish().code, Some(0), "the address of the configuration");
    stage.issuer.publish(JWKS, &[keys::other_rsa().jwk()]);
    assert!(running(&[]).stdout.contains("kid=rsa-1"), "the keys that the proxy has");
    assert!(!own(&[]).stdout.contains("kid=rsa-1 "), "the keys that the issuer has");

    stage.issuer.set(JWKS, Reply::Status(500, vec![], String::new()));
    stage.gateway.ask_admin("POST", "/keys/refresh", &[DELIBERATE]);
    let failing = running(&[]);
    assert_eq!(failing.code, Some(1));
    assert!(failing.stdout.contains("failed: answered 500"), "{}", failing.stdout);
    let gone = Setup::command(&["keys", "--running", "--url", "http://127.0.0.1:1"]).finish();
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains("refused"), "{}", gone.stderr);
    let without = Setup::command(&["keys", "--url", "http://127.0.0.1:1"]).finish();
    assert_eq!(without.code, Some(2));
}
