//! Where audit records go, and which.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::gateway::{Setup, text};
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};

fn paths(file: &Path) -> Vec<String> {
    let written = fs::read_to_string(file).unwrap_or_default();
    let records = written.lines().map(|line| serde_json::from_str::<Value>(line).expect("a whole line"));
    records.map(|record| text(&record, "path").expect("a path").to_owned()).collect()
}

/// As logrotate does it: rename, then SIGHUP.
#[test]
fn a_rotated_file_is_opened_again_and_no_record_is_lost_or_doubled() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("audit.log");
    let output = file.to_str().expect("a path").to_owned();
    let stage = Stage::plain(|setup| setup.env("METAGATE_AUDIT__OUTPUT", output));
    let mut sent = Vec::new();
    for rotation in 0..3 {
        for request in 0..20 {
            let path = format!("/{rotation}/{request}");
            assert_eq!(stage.gateway.get_as(&Token::bot(), &path).status, 200);
            sent.push(path);
        }
        // Some records are written before, some after the signal.
        fs::rename(&file, directory.path().join(format!("audit.log.{rotation}"))).expect("a rotation");
        stage.gateway.signal("HUP");
        eventually("the new file", || file.exists().then_some(()));
    }
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/last").status, 200);
    sent.push("/last".to_owned());
    let all = || {
        let old = (0..3).flat_map(|rotation| paths(&directory.path().join(format!("audit.log.{rotation}"))));
        old.chain(paths(&file)).collect::<Vec<_>>()
    };
    let mut written = eventually("every record", || Some(all()).filter(|all| all.len() >= sent.len()));
    assert_eq!(paths(&file).last().map(String::as_str), Some("/last"), "the new file is in use");
    written.sort();
    sent.sort();
    assert_eq!(written, sent);
    assert!(stage.gateway.audit().is_empty(), "nothing on standard output");
}

#[test]
fn every_response_has_the_id_of_its_record() {
    let stage = Stage::plain(|setup| setup);
    let bot = bearer(&Token::bot());
    let own = stage.gateway.get("/forwarded", &[("Authorization", &bot)]);
    let id = own.header("x-request-id").expect("an ID").to_owned();
    let sent = stage.upstream.only_request();
    assert_eq!(sent.head.value("x-request-id"), Some(&*id));
    assert_eq!(text(&stage.gateway.audit_of("/forwarded"), "request_id"), Some(&*id));
    let fields = [("Authorization", bot.as_str()), ("X-Request-Id", "from-client.1")];
    assert_eq!(stage.gateway.get("/named", &fields).header("x-request-id"), Some("from-client.1"));
    assert!(stage.gateway.get("/refused", &[]).header("x-request-id").is_some());
}

#[test]
fn only_the_included_decisions_are_recorded() {
    let stage = Stage::plain(|setup| {
        setup
            .env("METAGATE_AUDIT__INCLUDE", "[deny, public]")
            .env("METAGATE_AUTHORIZATION__PUBLIC", "[/open]")
    });
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/allowed").status, 200);
    assert_eq!(stage.gateway.get("/open", &[]).status, 200);
    assert_eq!(stage.gateway.get("/refused", &[]).status, 401);
    let record = stage.gateway.audit_of("/open");
    assert_eq!((&record["decision"], &record["public"]), (&"public".into(), &true.into()));
    assert!(record["upstream_ms"].as_f64() <= record["duration_ms"].as_f64(), "{record}");
    let record = stage.gateway.audit_of("/refused");
    assert!(record.get("upstream_ms").is_none() && record.get("public").is_none(), "{record}");
    assert!(stage.gateway.audit().iter().all(|record| text(record, "path") != Some("/allowed")));
    assert_eq!(stage.gateway.metric("metagate_requests_total", &[("decision", "allow")]), 1.0);
}

#[test]
fn a_file_that_cannot_be_opened_ends_the_start() {
    let finished = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", "http://127.0.0.1:1/jwks")
        .env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:1")
        .env("METAGATE_AUDIT__OUTPUT", "/nowhere/audit.log")
        .finish();
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("error: audit.output: /nowhere/audit.log cannot be opened"));
}
