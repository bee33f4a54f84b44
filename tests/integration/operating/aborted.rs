//! What is left of a process that aborts without a panic: no code of ours runs any more.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

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

/// What operators find then: docs/runbooks.md, "Find the request of an abort".
#[test]
fn a_failed_allocation_leaves_its_size_whole_audit_records_and_the_request_in_the_core_dump() {
    let (issuer, upstream) = (Issuer::of(keys::rsa()), Upstream::echo());
    let directory = TempDir::new().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    fs::write(at("metagate.yaml"), CONFIG).expect("a configuration");
    let file = |name: &str| Stdio::from(File::create(at(name)).expect("a file"));
    // A core dump has tokens in it, so none may remain elsewhere.
    let core = if dumps_here() { "unlimited" } else { "0" };
    let script =
        format!("ulimit -c {core}; ulimit -v {ADDRESS_SPACE_KIB} && exec \"$0\" run --config metagate.yaml");
    let child = Command::new("/bin/sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_metagate")])
        .current_dir(directory.path())
        .env_clear()
        .env("METAGATE_LISTEN", format!("unix:{}", at("proxy.sock").display()))
        .env("METAGATE_HEALTH__LISTEN", "127.0.0.1:0")
        .env("METAGATE_ADMIN__LISTEN", "127.0.0.1:0")
        .env("METAGATE_WORKERS", "1")
        .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}]", issuer.url(JWKS)))
        .env("METAGATE_UPSTREAM__URL", upstream.url())
        .stdin(Stdio::null())
        .stdout(file("audit"))
        .stderr(file("log"))
        .spawn()
        .expect("a shell");
    let mut process = Running(child);
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
