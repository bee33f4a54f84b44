//! `metagate report` on the audit records of a gateway in report mode.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::gateway::{Finished, Setup};
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};

fn report(arguments: &[&str]) -> Finished {
    Setup::command(&[&["report"], arguments].concat()).finish()
}

#[test]
fn report_lists_who_would_be_refused() {
    let config = "authentication: {publicKeyUrls: [ISSUER/jwks]}
authorization:
  mode: report
  rules: [{name: no-bots, match: {methods: [PUT, GET], paths: [\"/api/v1/tables/**\"]}, require: {tokenType: [user]}}]
";
    let stage = Stage::configured(Issuer::of(keys::rsa()), config);
    let agent = ("User-Agent", "metadata-ingestion/1.9 (linux)");
    let bot = bearer(&Token::bot());
    for path in ["/api/v1/tables/name/a.b.c", "/api/v1/tables/name/d%2Fe", "/api/v1/tables/name/f"] {
        stage.gateway.get(path, &[agent, ("Authorization", &bot)]);
        stage.gateway.audit_of(path);
    }
    stage.gateway.get("/runs/7", &[agent]);
    stage.gateway.get("/fine", &[agent, ("Authorization", &bearer(&Token::user()))]);
    stage.gateway.audit_of("/runs/7");
    stage.gateway.audit_of("/fine");

    let directory = TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
    let lines: Vec<String> = stage.gateway.audit().iter().map(Value::to_string).collect();
    let (first, rest) = lines.split_at(2);
    std::fs::write(path("plain"), format!("starting\n{}\n{{\"time\":\"20", first.join("\n")))
        .expect("a file");
    let wrapped = rest.iter().map(|line| json!({"log": format!("{line}\n"), "stream": "stdout"}).to_string());
    std::fs::write(path("docker"), wrapped.collect::<Vec<_>>().join("\n")).expect("a file");

    let finished = report(&[&path("plain"), &path("docker")]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    let shown: Vec<Vec<&str>> =
        finished.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        shown[0],
        ["COUNT", "PRINCIPAL", "CLIENT", "REQUEST", "REASON", "RULE", "FIRST", "SEEN", "LAST", "SEEN"]
    );
    let bot = [
        "3",
        "bot",
        "ingestion-bot@open-metadata.org",
        "metadata-ingestion/1.9",
        "GET",
        "/api/v1/tables/name/*",
        "insufficient_permissions",
        "no-bots",
    ];
    assert_eq!(shown[1][..8], bot, "{}", finished.stdout);
    let nobody = ["1", "-", "metadata-ingestion/1.9", "GET", "/runs/*", "missing_token", "-"];
    assert_eq!(shown[2][..7], nobody, "{}", finished.stdout);
    for line in ["4 of 5 requests would have been refused", "1 of 7 lines are broken off"] {
        assert!(finished.stdout.contains(line), "{line}: {}", finished.stdout);
    }

    let finished = report(&["--json", &path("plain"), &path("docker")]);
    let output: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(
        (&output["records"], &output["would_deny"], &output["broken_lines"]),
        (&5.into(), &4.into(), &1.into())
    );
    let group = &output["groups"][0];
    assert_eq!(
        (&group["count"], &group["principal"], &group["token_class"]),
        (&3.into(), &"ingestion-bot@open-metadata.org".into(), &"bot".into())
    );
    assert_eq!((&group["path"], &group["rule"]), (&"/api/v1/tables/name/*".into(), &"no-bots".into()));
    let (from, to) =
        (group["first_seen"].as_str().expect("a time"), group["last_seen"].as_str().expect("a time"));
    assert!(from <= to && from.ends_with('Z'), "{from} {to}");
}

fn over_stdin(arguments: &[&str], input: &[u8]) -> std::process::Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_metagate"))
        .arg("report")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("piped").write_all(input).expect("it reads");
    child.wait_with_output().expect("it ends")
}

#[test]
fn report_reads_stdin_and_with_denied_counts_refusals() {
    let line = |decision: &str| {
        format!(
            "2026-11-22T08:00:00Z stdout F {{\"event\":\"request\",\"decision\":\"{decision}\",\"reason\":\"expired\",\"method\":\"GET\",\"path\":\"/{decision}\"}}\n"
        )
    };
    let input = ["would_deny", "deny", "allow", "error"].map(line).concat();
    for arguments in [&[][..], &["-"]] {
        let output = over_stdin(arguments, input.as_bytes());
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(0));
        assert!(text.contains("GET /would_deny") && !text.contains("GET /deny"), "{text}");
        assert!(text.contains("1 of 4 requests would have been refused\n1 were refused; --denied"), "{text}");
    }
    let output = over_stdin(&["--denied"], input.as_bytes());
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("GET /would_deny") && text.contains("GET /deny"), "{text}");
    assert!(!text.contains("GET /allow") && !text.contains("GET /error"), "{text}");
}

#[test]
fn unparsable_input_is_counted() {
    let output = over_stdin(&[], &[0xff; 5000]);
    assert_eq!(output.status.code(), Some(0));
    let output = over_stdin(&[], "{\"".repeat(300_000).as_bytes());
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).expect("text").contains("1 of 1 lines are broken off"));
    let output = over_stdin(&[], b"a log\nof something else\n");
    assert!(String::from_utf8(output.stdout).expect("text").contains("none of 2 lines is an audit record"));
    assert_eq!(over_stdin(&[], b"").status.code(), Some(0));
}

#[test]
fn unreadable_file_exits_1_and_bad_usage_exits_2() {
    let finished = report(&["/no/such/file"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("/no/such/file"), "{}", finished.stderr);
    assert!(
        finished.stdout.contains("0 of 0 requests"),
        "the readable files are reported: {}",
        finished.stdout
    );
    assert_eq!(report(&["/"]).code, Some(1), "a directory");
    assert_eq!(report(&["--no-such-flag"]).code, Some(2));
}
