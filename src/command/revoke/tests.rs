use std::fs;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use serde_json::json;

use super::*;
use crate::jose::Algorithm;
use crate::test_support::P256;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

/// Runs `metagate revoke` with the list `file` in a directory of its own.
fn revoke(file: &Path, words: &[&str]) -> Result<(), String> {
    let file = ["--file", file.to_str().unwrap()];
    let words = [&["revoke"], words, &file].concat();
    let matches = Cli::command().try_get_matches_from(words).map_err(|error| error.to_string())?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.to_string())?;
    run(&cli.arguments).map_err(|failure| match failure {
        Failure::Other(message) | Failure::Usage(message) => message,
        Failure::Config(errors) => errors.to_string(),
        Failure::Code(code) => code.to_string(),
    })
}

fn listed(file: &Path) -> Vec<(RevokedBy, String)> {
    let entries = RevocationFile::written(file, &fs::read(file).unwrap()).unwrap();
    entries.iter().map(|entry| (entry.revocation.by(), entry.revocation.value().to_owned())).collect()
}

#[test]
fn each_kind_of_entry_is_added_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("list");
    let hash = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    let kinds = [
        ("--jti", "a", RevokedBy::Id),
        ("--fingerprint", "0123456789abcdef", RevokedBy::Fingerprint),
        ("--sub", "ada", RevokedBy::Subject),
        ("--kid", "007", RevokedBy::Key),
        ("--datahub-token-hash", hash, RevokedBy::DatahubTokenHash),
    ];
    for (flag, value, _) in kinds {
        revoke(&list, &[flag, value, "--reason", "left", "--issuer", "okta"]).unwrap();
    }
    assert_eq!(listed(&list), kinds.map(|(_, value, by)| (by, value.to_owned())));
    revoke(&list, &["--jti", "a", "--reason", "again", "--issuer", "okta"]).unwrap();
    assert_eq!(listed(&list).len(), 5, "it is there already");
    revoke(&list, &["--jti", "a"]).unwrap();
    assert_eq!(listed(&list).len(), 6, "of any issuer");
    revoke(&list, &["remove", "--jti", "a", "--issuer", "okta"]).unwrap();
    for (flag, value, _) in kinds {
        revoke(&list, &["remove", flag, value]).unwrap();
    }
    assert_eq!(fs::read_to_string(&list).unwrap(), "[]\n");
    assert!(revoke(&list, &["remove", "--jti", "a"]).unwrap_err().contains("no such entry"));
}

#[test]
fn a_token_is_revoked_by_its_fingerprint_until_it_has_expired() {
    let directory = tempfile::tempdir().unwrap();
    let (list, file) = (directory.path().join("list"), directory.path().join("token"));
    let claims = json!({"sub": "ada", "jti": "1", "iss": "https://idp.example", "exp": 4_000_000_000_i64});
    fs::write(&file, format!("Bearer {}\n", P256.token(Algorithm::ES256, Some("k"), &claims))).unwrap();
    let token = ["--token-file", file.to_str().unwrap()];
    revoke(&list, &token).unwrap();
    let text = fs::read_to_string(&list).unwrap();
    assert!(
        text.starts_with("- fingerprint: \"") && text.contains("\n  until: 2096-10-03T07:06:40Z\n"),
        "{text}"
    );
    for (id, issuer) in [("1", "https://idp.example"), ("1", "https://other.example"), ("2", "x")] {
        revoke(&list, &["--jti", id, "--issuer", issuer]).unwrap();
    }
    revoke(&list, &[&["remove"], &token[..]].concat()).unwrap();
    assert_eq!(listed(&list).len(), 2, "of other tokens");
    fs::write(&file, "eyJhbGciOiJub25lIn0.secret.x").unwrap();
    let error = revoke(&list, &token).unwrap_err();
    assert!(error.starts_with("metagate could not verify this token") && !error.contains("eyJ"), "{error}");
}

#[test]
fn entries_that_have_ended_are_removed_together() {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("list");
    fs::write(&list, "- {jti: a, until: 2001-01-01T00:00:00Z}\n- jti: b # stays\n").unwrap();
    revoke(&list, &["remove", "--ended"]).unwrap();
    revoke(&list, &["remove", "--ended"]).unwrap();
    assert_eq!(fs::read_to_string(&list).unwrap(), "- jti: b # stays\n");
}

#[test]
fn what_would_revoke_nothing_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("list");
    for (words, error) in [
        (&[][..], "required"),
        (&["--jti", "a", "--sub", "b"], "cannot be used with"),
        (&["--jti", ""], "is empty"),
        (&["--jti", "a", "--issuer", ""], "--issuer is empty"),
        (&["--jti", "a", "--before", "now"], "only for --sub"),
        (&["--sub", "a", "--before", "yesterday"], "not a time like"),
        (&["--sub", "a", "--until", "2001-01-01T00:00:00Z"], "ended already"),
        (&["--fingerprint", "abc"], "is not 16 to 64 hex digits"),
        (&["list"], "does not exist"),
        (&["remove"], "required"),
        (&["remove", "--jti", "a"], "no such entry"),
    ] {
        let found = revoke(&list, words).unwrap_err();
        assert!(found.contains(error), "{words:?}: {found}");
    }
    assert!(!list.exists());
    fs::write(&list, "- jit: a\n").unwrap();
    let error = revoke(&list, &["--jti", "a"]).unwrap_err();
    assert!(error.contains("was not changed: line 1: \"jit\": unknown key"), "{error}");
    assert!(revoke(&list, &["list"]).is_err());
}

#[test]
fn an_entry_as_json_has_the_keys_of_the_list() {
    let text = "- jti: a\n- {sub: ada, issuer: okta, issuedBefore: 0, until: 5, note: left}\n";
    let entries = RevocationFile::written(Path::new("list"), text.as_bytes()).unwrap();
    let now = NumericDate::from_secs(6);
    assert_eq!(
        entries.iter().map(|entry| to_json(entry, now)).collect::<Vec<_>>(),
        [
            json!({"jti": "a", "issuer": null, "issuedBefore": null, "until": null, "note": null, "line": 1, "ended": false}),
            json!({"sub": "ada", "issuer": "okta", "issuedBefore": "1970-01-01T00:00:00.000Z", "until": "1970-01-01T00:00:05.000Z", "note": "left", "line": 2, "ended": true}),
        ]
    );
}
