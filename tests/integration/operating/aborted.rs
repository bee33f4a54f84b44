//! What is left of a process that aborts without a panic.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::log_output::Running;
use crate::support::eventually;
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;

/// More memory is configured than the process may map, so that an allocation fails. None of the bodies ever ends.
const CONFIG: &str = "
limits: {graphqlBytes: 16MiB, memory: 2GiB}
authorization:
  rules: [{name: no-x, match: {paths: [/graphql], graphql: {fields: [x]}}, require: {anyRole: [Admin]}}]
";
const ADDRESS_SPACE_KIB: u64 = 200_000;
const CLIENTS: usize = 16;
const BODY: usize = 15 << 20;

/// What operators find then: docs/runbooks.md, "The process aborted".
#[test]
fn a_failed_allocation_leaves_one_record_with_its_request_whole_audit_records_and_a_core_dump() {
    let (issuer, upstream) = (Issuer::of(keys::rsa()), Upstream::echo());
    let directory = TempDir::new().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    // A core dump has tokens in it, so none may remain elsewhere.
    let core = if dumps_here() { "unlimited" } else { "0" };
    let limit = ADDRESS_SPACE_KIB.to_string();
    let mut process = start(directory.path(), core, &limit, &issuer.url(JWKS), &upstream.url());
    let connect = || eventually("the listener", || UnixStream::connect(at("proxy.sock")).ok());

    let token = bearer(&Token::bot());
    let head = |target: &str, id: &str, length: usize| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Type: application/json\r\n\
             X-Request-Id: {id}\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    connect().write_all(head("/before", "finished", 0).as_bytes()).expect("a request");
    eventually("the record of a finished request", || {
        fs::read_to_string(at("audit")).expect("a file").contains("\"finished\"").then_some(())
    });
    let body: Arc<[u8]> = vec![b' '; BODY].into();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (mut client, body) = (connect(), body.clone());
            let head = head("/graphql", &format!("deadly-{number}"), BODY + 1);
            std::thread::spawn(move || {
                // Until the process is gone.
                if client.write_all(head.as_bytes()).and_then(|()| client.write_all(&body)).is_ok() {
                    let _ = std::io::copy(&mut client, &mut std::io::sink());
                }
            })
        })
        .collect();
    let status = eventually("the end", || process.0.try_wait().expect("a status"));
    clients.into_iter().for_each(|client| client.join().expect("a client"));

    assert_eq!(status.signal(), Some(6), "SIGABRT, which a shell shows as 134: {status}");
    let log = fs::read_to_string(at("log")).expect("a file");
    let last = log.lines().find(|line| line.starts_with("memory allocation of "));
    assert!(last.is_some_and(|line| line.ends_with(" bytes failed")), "{log}");
    let [record] = &aborts(&log)[..] else { panic!("one record: {log}") };
    assert!(record["request_id"].as_str().is_some_and(|id| id.starts_with("deadly-")), "{record}");
    assert_eq!((&record["level"], &record["thread"]), (&json!("ERROR"), &json!("worker-0")), "{record}");
    let audit = fs::read_to_string(at("audit")).expect("a file");
    assert!(
        audit.ends_with('\n') && !audit.contains("deadly"),
        "only whole records of ended requests: {audit}"
    );
    assert!(!(log + &audit).contains("eyJ"), "a token was printed");

    // Elsewhere a core dump goes to a program, to another directory or nowhere. Then the unit test of `panics` has to do.
    if status.core_dumped() && dumps_here() {
        let found = metagate_serves(directory.path());
        assert!(found.lines().any(|line| line.starts_with("metagate serves deadly-")), "{found}");
    }
}

/// The records of aborts.
fn aborts(log: &str) -> Vec<Value> {
    let is_abort =
        |record: &Value| record["message"].as_str().is_some_and(|it| it.starts_with("the process aborts"));
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(is_abort).collect()
}

/// As a watchdog sends it.
#[test]
fn a_sigabrt_from_elsewhere_ends_the_process_with_one_record() {
    let directory = TempDir::new().expect("a directory");
    let mut process =
        start(directory.path(), "0", "unlimited", "http://127.0.0.1:1/jwks", "http://127.0.0.1:1");
    let log = || fs::read_to_string(directory.path().join("log")).expect("a file");
    eventually("the listener", || log().contains("\"listener\":\"proxy\"").then_some(()));
    let kill = Command::new("kill").args(["-ABRT", &process.0.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    let status = eventually("the end", || process.0.try_wait().expect("a status"));
    assert_eq!(status.signal(), Some(6), "{status}");
    let [record] = &aborts(&log())[..] else { panic!("one record: {}", log()) };
    assert_eq!(record["request_id"], Value::Null, "{record}");
}

/// Starts metagate in this directory, with `ulimit -c` and `-v`, with the log in `log` and the audit trail in `audit`.
fn start(directory: &Path, core: &str, address_space: &str, keys: &str, upstream: &str) -> Running {
    fs::write(directory.join("metagate.yaml"), CONFIG).expect("a configuration");
    let file = |name: &str| Stdio::from(File::create(directory.join(name)).expect("a file"));
    let script =
        format!("ulimit -c {core}; ulimit -v {address_space} && exec \"$0\" run --config metagate.yaml");
    let child = Command::new("/bin/sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_metagate")])
        .current_dir(directory)
        .env_clear()
        .env("METAGATE_LISTEN", format!("unix:{}", directory.join("proxy.sock").display()))
        .env("METAGATE_HEALTH__LISTEN", "127.0.0.1:0")
        .env("METAGATE_ADMIN__LISTEN", "127.0.0.1:0")
        .env("METAGATE_WORKERS", "1")
        .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{keys}]"))
        .env("METAGATE_UPSTREAM__URL", upstream)
        .stdin(Stdio::null())
        .stdout(file("audit"))
        .stderr(file("log"))
        .spawn()
        .expect("a shell");
    Running(child)
}

/// Whether core dumps are files in the process's directory.
fn dumps_here() -> bool {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    pattern.starts_with("core")
}

/// The command of the runbook.
fn metagate_serves(directory: &Path) -> String {
    let mut grep = Command::new("/bin/sh");
    grep.args(["-c", "grep -aoE 'metagate serves [!-~]+' core*"]).current_dir(directory);
    String::from_utf8_lossy(&grep.output().expect("grep").stdout).into_owned()
}
