//! Revocation lists as users write them.

use serde_json::json;

use super::*;
use crate::revocation::{Revocations, RevokedBy};
use crate::test_support::{HMAC, verified};

const FILE: &str = "METAGATE_AUTHENTICATION__REVOCATIONS__FILE";

/// A configuration with this list.
fn case(list: &str) -> Case {
    let case = environment(&[KEYS_URL, UPSTREAM]);
    let path = case.beside("list", list.as_bytes());
    case.with(&[(FILE, path.to_str().unwrap())])
}

#[track_caller]
fn read(list: &str) -> Arc<Revocations> {
    case(list).config().revocations.file.unwrap().1.list
}

#[test]
fn yaml_and_json_lines() {
    let yaml = read(
        "# out of the audit log\n- jti: a-1\n  issuer: okta\n  note: lost laptop\n- {fingerprint: \"0123456789ABCDEF\"}\n- sub: ada\n  issuedBefore: 2026-11-22T06:30:00Z\n- kid: 007\n",
    );
    let json = read(
        "{\"jti\": \"a-1\", \"issuer\": \"okta\", \"note\": \"lost laptop\"}\n\n{\"fingerprint\": \"0123456789abcdef\"}\r\n{\"sub\": \"ada\", \"issuedBefore\": 1795329000}\n{\"kid\": \"007\"}",
    );
    for list in [&yaml, &json] {
        let counts = RevokedBy::ALL.map(|by| list.count(by));
        assert_eq!(counts, [1, 1, 1, 1, 0]);
        let token = |iat: i64| verified(json!({"sub": "ada", "iat": iat}));
        assert_eq!(list.find(&token(1_795_328_999), "").map(|found| found.by), Some(RevokedBy::Subject));
        assert_eq!(list.find(&token(1_795_329_000), "").map(|found| found.by), None);
    }
    assert!(read("[]").is_empty());
    assert_eq!(read("[{\"jti\": \"a\"}, {\"jti\": \"b\"}]").len(), 2, "JSON is YAML");
}

#[test]
fn a_long_list_of_json_lines_is_accepted() {
    let lines: String = (0..20_000).map(|number| format!("{{\"jti\": \"{number}\"}}\n")).collect();
    assert_eq!(read(&lines).len(), 20_000);
}

#[test]
fn without_a_file_there_is_no_list() {
    assert!(environment(&[KEYS_URL, UPSTREAM]).config().revocations.file.is_none());
}

#[test]
fn a_list_that_cannot_be_read_is_an_error() {
    let missing = environment(&[KEYS_URL, UPSTREAM, (FILE, "/nowhere/list.yaml")]);
    assert_error(
        &missing.errors(),
        &format!("authentication.revocations.file @ {FILE} | the file /nowhere/"),
    );
    let binary = environment(&[KEYS_URL, UPSTREAM]);
    let path = binary.beside("list", &[0xff, 0xfe]);
    let errors = binary.with(&[(FILE, path.to_str().unwrap())]).errors();
    assert!(errors[0].contains("is not UTF-8 text"), "{errors:?}");
}

#[test]
fn every_error_of_a_list_has_its_line() {
    let errors = case(
        "- jti: a\n- fingerprnt: b\n- {jti: a, sub: b}\n- {issuer: okta}\n- {jti: a, issuedBefore: 5}\n- {sub: a, issuedBefore: yesterday}\n- {fingerprint: abc}\n- {datahubTokenHash: abc}\n- {jti: ''}\n- {jti: ~}\n- {jti: [a]}\n- a\n- {jti: a, issuer: ''}\n",
    )
    .errors();
    let expected = [
        "2:15 | \"fingerprnt\": unknown key; did you mean `fingerprint`?",
        "3:17 | has `jti` and `sub`: write two entries",
        "4:3 | an entry has one of jti, fingerprint, sub, kid, datahubTokenHash",
        "5:3 | `issuedBefore` is only for entries with `sub`",
        "6:26 | `issuedBefore`: \"yesterday\" is not a time like",
        "7:17 | `fingerprint` is not 16 to 64 hex digits",
        "8:22 | `datahubTokenHash` is not the Base64 of a SHA-256",
        "9:9 | `jti` is empty",
        "10:9 | `jti` is nothing and not a text",
        "11:9 | `jti` is a list and not a text",
        "12:3 | an entry is a map, and this is a single value",
        "13:20 | `issuer` is empty",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        let start = format!("authentication.revocations.file @ {expected}");
        assert!(error.starts_with(&start), "{error}\n{start}");
    }
}

#[test]
fn lines_of_json_lines_are_counted() {
    let errors = case("{\"jti\": \"a\"}\n\n{\"jti\": \"a\", \"jti\": \"b\"}\n{\"sub\": \"a").errors();
    assert!(errors[0].contains("@ 3:"), "{errors:?}");
    assert!(errors[1].contains("@ 4:"), "{errors:?}");
    let errors = case("{\"jti\": \"a\"}\n{\"jti\": [1]}").errors();
    assert!(errors[0].contains("@ 2:"), "{errors:?}");
}

#[test]
fn a_list_must_be_a_list() {
    for (list, expected) in [
        ("", "is empty; write a list without entries as `[]`"),
        ("# nothing\n", "is empty"),
        ("jti: a\n", "is neither a YAML list nor one JSON object per line"),
        ("a", "is neither"),
    ] {
        let errors = case(list).errors();
        assert!(errors.len() == 1 && errors[0].contains(expected), "{list}: {errors:?}");
    }
}

#[test]
fn an_unknown_issuer_is_a_warning() {
    let list = "[{jti: a, issuer: public-keys}, {jti: b, issuer: https://any.example}, {jti: c, issuer: otka}, {kid: d, issuer: otka}]";
    let warnings = case(list).loaded().warnings;
    let about: Vec<_> = warnings.iter().filter(|found| found.path.ends_with("revocations.file")).collect();
    // Only the simple list is configured, which binds no iss.
    assert_eq!(about.len(), 2, "{about:?}");
    assert!(about[0].message.contains("\"https://any.example\""), "{about:?}");
    assert!(about[1].message.contains("\"otka\""), "{about:?}");
}

#[test]
fn errors_do_not_repeat_a_token() {
    let token = HMAC.token(crate::jose::Algorithm::HS256, None, &json!({"sub": "ada"}));
    for key in ["fingerprint", "datahubTokenHash"] {
        let errors = case(&format!("- {key}: {token}\n")).errors();
        assert!(!errors.concat().contains("eyJ"), "{errors:?}");
    }
}

#[test]
fn datahub_appends_its_salt_to_the_token() {
    let token = HMAC.token(crate::jose::Algorithm::HS256, None, &json!({"sub": "ada"}));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{token}pepper").as_bytes());
    let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash);
    let case = || case(&format!("- datahubTokenHash: {hash}\n"));
    let revokes = |case: Case| {
        let list = case.config().revocations.file.unwrap().1.list;
        list.find(&verified(json!({})), &token).is_some()
    };
    assert!(!revokes(case()));
    assert!(revokes(case().with(&[("DATAHUB_TOKEN_SERVICE_SALT", "pepper")])));
    let beside = case();
    let path = beside.beside("salt", b"pepper\n");
    let variable = ("METAGATE_DATAHUB__TOKEN_SERVICE_SALT_FILE", path.to_str().unwrap());
    assert!(revokes(beside.with(&[variable])));
}
