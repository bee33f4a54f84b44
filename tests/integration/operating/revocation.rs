//! Valid tokens that are on the revocation list.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::gateway::{Setup, text};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::{self, DATAHUB_SECRET, sha256_hex};
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer, parts};
use crate::support::upstream::Upstream;
use crate::support::wire::{Client, request_bytes};

const FILE: &str = "METAGATE_AUTHENTICATION__REVOCATIONS__FILE";

/// A gateway with this revocation list, for [`replace`].
fn with_list(list: &str) -> (Stage, TempDir) {
    let directory = TempDir::new().expect("a directory");
    replace(directory.path(), list);
    let file = directory.path().join("list").to_str().expect("a path").to_owned();
    let stage =
        Stage::plain(|setup| setup.env(FILE, file).env("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", DATAHUB_SECRET));
    (stage, directory)
}

/// Replaces the list atomically, as the documentation recommends.
fn replace(directory: &Path, list: &str) {
    fs::write(directory.join("new"), list).expect("a list");
    fs::rename(directory.join("new"), directory.join("list")).expect("a new list");
}

#[test]
fn revoked_token_is_refused_and_its_principal_audited() {
    let (stage, _directory) = with_list("- {sub: ada, note: left}");
    let response = stage.gateway.get_as(&Token::user(), "/api/a");
    assert_eq!(response.status, 401);
    assert_eq!(response.text(), r#"{"code":401,"message":"Token has been revoked"}"#);
    assert!(
        response.header("www-authenticate").is_some_and(|value| value.contains("error=\"invalid_token\""))
    );
    let record = stage.gateway.audit_of("/api/a");
    assert_eq!(text(&record, "reason"), Some("revoked"));
    assert_eq!(text(&record, "detail"), Some("its subject is revoked: \"ada\"; note: \"left\""));
    assert_eq!(text(&record, "principal"), Some("ada@open-metadata.org"));
    assert_eq!(text(&record, "issuer"), Some("public-keys"));
    assert_eq!(stage.upstream.requests().len(), 0);
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/api/a").status, 200, "another subject");
}

#[test]
fn revocation_applies_to_cached_tokens() {
    let (stage, directory) = with_list("[]");
    let token = Token::user().encode();
    // A response in progress is cut off when its token is revoked: then there is no status.
    let request = request_bytes("GET", "/api/a", &[("Authorization", &format!("Bearer {token}"))], b"");
    let asked = || {
        let response = Client::connect(stage.gateway.proxy).send(&request).response();
        response.ok().map(|response| response.status)
    };
    assert_eq!((asked(), asked()), (Some(200), Some(200)));
    assert!(stage.gateway.metric("metagate_token_cache_total", &[("result", "hit")]) >= 1.0);
    let (header, payload, _) = parts(&token);
    let fingerprint = &sha256_hex(format!("{header}.{payload}").as_bytes())[..16];
    replace(directory.path(), &format!("- fingerprint: \"{fingerprint}\""));
    eventually("the token to be refused", || (asked() == Some(401)).then_some(()));
    let revocations = |kind| stage.gateway.metric("metagate_revocations", &[("kind", kind)]);
    assert_eq!((revocations("fingerprint"), revocations("jti")), (1.0, 0.0));
    // An invalid list is logged and not applied.
    replace(directory.path(), "- fingerprint: \n- nonsense");
    let refused = || {
        let logs = stage.gateway.logs();
        logs.into_iter().find(|log| text(log, "message").is_some_and(|text| text.contains("is not used")))
    };
    let line = eventually("a log line about the invalid list", refused);
    assert_eq!(text(&line, "level"), Some("ERROR"));
    assert_eq!(text(&line, "key"), Some("authentication.revocations.file"));
    assert!(text(&line, "cause").is_some_and(|cause| cause.starts_with("line 1: ")), "{line}");
    assert_eq!(asked(), Some(401));
    assert_eq!(stage.gateway.metric("metagate_revocations_in_force", &[("source", "file")]), 0.0);
    replace(directory.path(), "[]");
    eventually("the token to be accepted again", || (asked() == Some(200)).then_some(()));
}

#[test]
fn unknown_issuer_in_a_new_list_is_warned_about() {
    let (stage, directory) = with_list("[]");
    replace(
        directory.path(),
        "[{jti: a, issuer: otka}, {jti: b, issuer: public-keys}, {jti: c, issuer: datahub}]",
    );
    let warned = || {
        let logs = stage.gateway.logs();
        logs.into_iter().find(|log| text(log, "message").is_some_and(|text| text.contains("unknown issuers")))
    };
    let line = eventually("a warning", warned);
    assert_eq!((text(&line, "level"), text(&line, "issuers")), (Some("WARN"), Some("{\"otka\"}")));
}

#[test]
fn revoke_command_changes_the_list_of_a_running_process() {
    let (stage, directory) = with_list("[]  # nobody yet\n");
    let list = directory.path().join("list").to_str().expect("a path").to_owned();
    let (token, file) = (Token::user().encode(), directory.path().join("token"));
    fs::write(&file, &token).expect("a token");
    let token_file = ["--token-file", file.to_str().expect("a path")];
    let revoke = |words: &[&str]| {
        let finished = Setup::command(&[&["revoke"], words].concat()).env(FILE, list.clone()).finish();
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        finished
    };
    assert_eq!(stage.gateway.get_with(&token, "/api/a").status, 200);
    let finished = revoke(&[&token_file[..], &["--reason", "laptop lost"]].concat());
    assert!(finished.stdout.contains("every 2 seconds") && !finished.stdout.contains("eyJ"));
    eventually("the token to be refused", || {
        stage.gateway.try_get_with(&token, "/api/b").filter(|response| response.status == 401)
    });
    let text = fs::read_to_string(&list).expect("the list");
    assert!(text.ends_with("  note: \"laptop lost\"  # nobody yet\n"), "{text}");
    let status = stage.gateway.ask_admin("GET", "/status", &[]).json();
    let revocations = &status["revocations"][0];
    assert_eq!((&revocations["name"], &revocations["entries"]["fingerprint"]), (&json!(list), &json!(1)));
    assert!(revocations["failure"].is_null() && revocations["age_seconds"].is_u64(), "{revocations}");
    replace(directory.path(), "- nonsense");
    let failed = eventually("the failure on the status page", || {
        let status = stage.gateway.ask_admin("GET", "/status", &[]).json();
        status["revocations"][0]["failure"].as_str().map(str::to_owned)
    });
    assert!(failed.starts_with("line 1: "), "{failed}");
    assert!(stage.gateway.ask_admin("GET", "/", &[]).text().contains("the list in force is an earlier one"));
    replace(directory.path(), &text);
    let listed = revoke(&["list", "--json"]).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!((&listed[0]["note"], &listed[0]["ended"]), (&json!("laptop lost"), &json!(false)));
    revoke(&[&["remove"], &token_file[..]].concat());
    eventually("the token to be accepted again", || {
        (stage.gateway.get_with(&token, "/api/c").status == 200).then_some(())
    });
}

/// In an emergency the rest of the configuration must not be in the way.
#[test]
fn revoke_command_finds_the_list_in_an_invalid_configuration() {
    let directory = TempDir::new().expect("a directory");
    let list = directory.path().join("list").to_str().expect("a path").to_owned();
    let config = format!("authentication: {{revocations: {{file: \"{list}\"}}}}\nupstrem: {{}}\n");
    let path = directory.path().join("config.yaml");
    fs::write(&path, config).expect("a configuration");
    let config = path.to_str().expect("a path");
    let finished = Setup::command(&["revoke", "--kid", "stolen", "--config", config]).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(fs::read_to_string(&list).expect("the list"), "- kid: \"stolen\"\n");
    let finished = Setup::command(&["revoke", "--kid", "stolen"]).finish();
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("no revocation list: give --file"), "{}", finished.stderr);
}

#[test]
fn fingerprint_command_prints_a_list_entry() {
    let directory = TempDir::new().expect("a directory");
    let token = Token::datahub().encode();
    let file = directory.path().join("token");
    fs::write(&file, format!("{token}\n")).expect("a token");
    let file = file.to_str().expect("a path");
    let finished = Setup::command(&["token", "fingerprint", "--token-file", file]).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(!finished.stdout.contains("eyJ"), "{}", finished.stdout);
    assert!(
        finished.stdout.contains("- jti: \"0b2b0a4e-9d39-4f9f-8a52-0a2e4a7d3c11\"\n"),
        "{}",
        finished.stdout
    );
    let only = |start: &str| {
        let mut lines = finished.stdout.lines().skip_while(|line| !line.starts_with(start));
        let more = |line: &&str| line.starts_with("  ");
        let first = lines.next().expect("an entry");
        [&[first], lines.take_while(more).collect::<Vec<_>>().as_slice()].concat().join("\n")
    };
    let jti = "its jti is revoked: \"0b2b0a4e-9d39-4f9f-8a52-0a2e4a7d3c11\"";
    let listed = only("- fingerprint");
    let digits = listed.split('"').nth(1).and_then(|digits| digits.get(..16)).unwrap_or_default();
    let fingerprint = format!("its fingerprint is revoked: {digits}");
    for (list, detail) in [
        (only("- jti"), jti),
        (only("- fingerprint"), fingerprint.as_str()),
        (only("#- sub").replace('#', ""), "its subject is revoked: \"ada\""),
        (finished.stdout.clone(), jti),
    ] {
        let (stage, _directory) = with_list(&list);
        assert_eq!(stage.gateway.get_with(&token, "/api/a").status, 401, "{list}");
        assert_eq!(text(&stage.gateway.audit_of("/api/a"), "detail"), Some(detail), "{list}");
        let other = Token::datahub().claim("jti", json!("another")).claim("sub", json!("bob"));
        assert_eq!(stage.gateway.get_as(&other, "/api/b").status, 200, "{list}");
    }
}

#[test]
fn fingerprint_command_refuses_non_tokens() {
    let finished = Setup::command(&["token", "fingerprint"]).finish();
    assert_eq!(finished.code, Some(1));
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.contains("metagate could not verify this token"), "{}", finished.stderr);
}

#[test]
fn invalid_list_at_startup_is_a_configuration_error() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("list");
    for list in [None, Some("- jit: a")] {
        if let Some(list) = list {
            fs::write(&file, list).expect("a list");
        }
        let finished = Setup::run()
            .env("AUTHENTICATION_PUBLIC_KEYS", "http://127.0.0.1:1/jwks")
            .env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:1")
            .env(FILE, file.to_str().expect("a path"))
            .finish();
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        assert!(finished.stderr.contains("authentication.revocations.file"), "{}", finished.stderr);
    }
}

#[test]
fn explain_shows_the_revocation_step() {
    let directory = TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
    fs::write(path("token"), bearer(&Token::user())).expect("a token");
    let issuer = Issuer::of(keys::rsa());
    let upstream = Upstream::echo();
    for (list, code, step) in [
        (None, 0, "ok     revocation: no token is revoked"),
        (Some("[]"), 0, "ok     revocation: no token is revoked"),
        (Some("- jti: other"), 0, "ok     revocation: none of the 1 entries is about it"),
        (Some("- kid: rsa-1"), 1, "FAILED revocation: revoked: its key is revoked: \"rsa-1\""),
    ] {
        let mut setup = Setup::command(&["explain", "--token-file", &path("token")])
            .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
            .env("METAGATE_UPSTREAM__URL", upstream.url());
        if let Some(list) = list {
            fs::write(path("list"), list).expect("a list");
            setup = setup.env(FILE, path("list"));
        }
        let finished = setup.finish();
        assert_eq!(finished.code, Some(code), "{}", finished.stdout);
        assert!(finished.stdout.lines().any(|line| line == step), "{step}\n{}", finished.stdout);
    }
}

#[test]
fn report_mode_forwards_revoked_tokens_without_identity() {
    let directory = TempDir::new().expect("a directory");
    replace(directory.path(), "- sub: ada");
    let file = directory.path().join("list").to_str().expect("a path").to_owned();
    let stage = Stage::plain(|setup| setup.env(FILE, file).env("METAGATE_AUTHORIZATION__MODE", "report"));
    assert_eq!(stage.gateway.get_as(&Token::user(), "/api/a").status, 200);
    assert_eq!(stage.upstream.only_request().head.value("x-forwarded-user"), None);
    let record = stage.gateway.audit_of("/api/a");
    assert_eq!((text(&record, "decision"), text(&record, "reason")), (Some("would_deny"), Some("revoked")));
}
