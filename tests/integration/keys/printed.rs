//! What is printed of a key set and its URL contains no terminal control characters and no secret.

use serde_json::{Value, json};

use super::nowhere;
use crate::support::eventually;
use crate::support::gateway::Setup;
use crate::support::issuer::{Issuer, JWKS, Reply};
use crate::support::keys;
use crate::support::upstream::Upstream;

/// Terminal escapes, line breaks and bidirectional controls.
const ODD: &str = "k\u{1b}[2J\u{9b}31m\r\nok: okta: 2 keys\u{2028}\u{202e}\u{200b}";

#[track_caller]
fn assert_printable(text: &str) {
    let odd = |c: char| c != '\n' && (c.is_control() || "\u{2028}\u{202e}\u{200b}".contains(c));
    assert!(!text.contains(odd), "{text:?}");
}

#[test]
fn kids_are_escaped_in_command_output() {
    let symmetric = json!({"kty": "oct", "kid": ODD, "k": "c2VjcmV0"});
    let issuer = Issuer::with_keys(&[keys::rsa().jwk_with(json!({"kid": ODD})), symmetric]);
    let command = |words: &[&str]| {
        let setup = Setup::command(words)
            .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
            .env("METAGATE_UPSTREAM__URL", "http://192.0.2.1:8585");
        let finished = setup.finish();
        assert_eq!(finished.code, Some(0), "{} {}", finished.stdout, finished.stderr);
        assert_printable(&finished.stdout);
        finished.stdout
    };
    let text = command(&["keys"]);
    let shown = r"kid=k\u001b[2J\u009b31m\u000d\u000aok: okta: 2 keys\u2028\u202e\u200b  ";
    assert_eq!(text.matches(shown).count(), 2, "{text}");
    assert!(text.lines().all(|line| !line.starts_with("ok: okta")), "{text}");
    let sources: Value = serde_json::from_str(&command(&["keys", "--json"])).expect("JSON");
    let kids: Vec<_> = sources[0]["keys"].as_array().expect("keys").iter().map(|key| &key["kid"]).collect();
    assert_eq!(kids, [ODD, ODD], "the JSON keeps the original text");
    command(&["check"]);
    command(&["check", "--json"]);
}

#[test]
fn kids_are_escaped_in_logs_and_on_the_admin_listener() {
    let issuer = Issuer::with_keys(&[
        keys::rsa().jwk_with(json!({"kid": ODD})),
        json!({"kty": "oct", "kid": ODD, "k": "c2VjcmV0"}),
    ]);
    let upstream = Upstream::echo();
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", upstream.url())
        .start();
    gateway.wait_ready();
    let lines = eventually("the unused key to be in the log", || {
        let lines = gateway.stderr();
        lines.iter().any(|line| line.contains("a key of the set is not used")).then_some(lines)
    });
    lines.iter().for_each(|line| assert_printable(line));
    let status = gateway.ask_admin("GET", "/status", &[]);
    assert_printable(&status.text());
    assert_eq!(status.json()["sources"][0]["keys"][1]["kid"], ODD);
}

#[test]
fn query_of_a_key_url_is_never_printed() {
    let issuer = Issuer::of(keys::rsa());
    issuer.publish("/good?api_key=hunter2", &[keys::rsa().jwk()]);
    issuer.set(
        "/loop?api_key=hunter2",
        Reply::Status(302, vec![("Location", "/loop?api_key=hunter2".to_owned())], String::new()),
    );
    issuer.set(
        "/odd?api_key=hunter2",
        Reply::Status(302, vec![("Location", "http://[::1/?hunter2".to_owned())], String::new()),
    );
    let urls = [
        issuer.url("/good?api_key=hunter2"),
        issuer.url("/loop?api_key=hunter2"),
        issuer.url("/odd?api_key=hunter2"),
        issuer.url("/gone?api_key=hunter2"),
        format!("http://{}/refused?api_key=hunter2", nowhere()),
        "https://no-such-name.invalid/?api_key=hunter2".to_owned(),
    ];
    for words in [&["keys"][..], &["keys", "--json"], &["check"], &["check", "--json"], &["config", "print"]]
    {
        let finished = Setup::command(words)
            .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}]", urls.join(", ")))
            .env("METAGATE_UPSTREAM__URL", "http://192.0.2.1:8585")
            .finish();
        assert!(finished.stdout.contains(&issuer.url("/good")), "{words:?} {}", finished.stdout);
        assert!(!finished.stdout.contains("hunter2"), "{words:?} {}", finished.stdout);
        assert!(!finished.stderr.contains("hunter2"), "{words:?} {}", finished.stderr);
    }
    let upstream = Upstream::echo();
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}]", urls.join(", ")))
        .env("METAGATE_UPSTREAM__URL", upstream.url())
        .start();
    eventually("every source to be tried", || {
        let status = gateway.ask_admin("GET", "/status", &[]).json();
        let sources = status["sources"].as_array().expect("sources").clone();
        let tried = |source: &Value| source["failure"].is_string() || source["fetched_at"].is_string();
        sources.iter().all(tried).then_some(())
    });
    let shown = [
        gateway.stderr().join("\n"),
        gateway.ask_admin("GET", "/status", &[]).text(),
        gateway.ask_admin("GET", "/", &[]).text(),
    ];
    let metrics = gateway.probe("/metrics").text();
    assert!(metrics.contains("issuer=\"public-keys\"") && !metrics.contains("hunter2"), "{metrics}");
    for shown in shown {
        assert!(shown.contains("/good") && !shown.contains("hunter2"), "{shown}");
    }
}
