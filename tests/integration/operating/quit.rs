//! `POST /quit` on the admin listener, for sidecars of Jobs.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::support::gateway::DELIBERATE;

fn stage(setup: impl FnOnce(Setup) -> Setup) -> (Stage, Gate) {
    let gate = Gate::default();
    let upstream = holding(&gate);
    let stage = Stage::with(Issuer::of(keys::rsa()), upstream, |given| {
        setup(given.env("METAGATE_ADMIN__QUIT", "true"))
    });
    (stage, gate)
}

fn hold(stage: &Stage) -> Client {
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(request_bytes("GET", "/held", &[("Authorization", &bearer(&Token::bot()))], b""));
    stage.upstream.wait_for("the request", |all| (!all.is_empty()).then_some(()));
    client
}

#[test]
fn quit_is_off_by_default() {
    let stage = Stage::plain(|setup| setup);
    let response = stage.gateway.ask_admin("POST", "/quit", &[DELIBERATE]);
    assert_eq!((response.status, &response.json()["message"]), (403, &"admin.quit is false".into()));
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/x").status, 200);
}

#[test]
fn quit_drains_and_exits_with_0() {
    let (mut stage, gate) = stage(|setup| setup);
    let mut client = hold(&stage);
    assert_eq!(stage.gateway.ask_admin("POST", "/quit", &[DELIBERATE]).status, 200);
    eventually("/readyz to answer 503", || (stage.gateway.probe("/readyz").status == 503).then_some(()));
    gate.open();
    let response = client.response().expect("the running request is finished");
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert_eq!(stage.gateway.wait_exit(), Some(0));
}

/// The script of a Job stops if the request fails, so the response must arrive although nothing delays the end.
#[test]
fn the_response_arrives_before_the_process_ends() {
    for _ in 0..10 {
        let (mut stage, _gate) = stage(|setup| setup);
        let response = stage.gateway.ask_admin("POST", "/quit", &[DELIBERATE]);
        assert_eq!((response.status, &response.json()["code"]), (200, &200.into()));
        assert_eq!(stage.gateway.wait_exit(), Some(0));
    }
}

#[test]
fn quit_is_protected_like_reload() {
    let (stage, _gate) = stage(|setup| setup);
    for (method, headers, status) in [
        ("POST", &[][..], 403),
        ("POST", &[DELIBERATE, ("Origin", "http://evil.example")], 403),
        ("POST", &[DELIBERATE, ("Sec-Fetch-Site", "cross-site")], 403),
        ("GET", &[DELIBERATE], 405),
    ] {
        assert_eq!(stage.gateway.ask_admin(method, "/quit", headers).status, status, "{method} {headers:?}");
    }
    let mut rebound = Client::connect(stage.gateway.admin());
    rebound.send(request_bytes("POST", "/quit", &[DELIBERATE, ("Content-Length", "0")], b""));
    assert_eq!(rebound.response().expect("a response").status, 403, "Host is gateway.test");
    assert_eq!(stage.gateway.probe("/readyz").status, 200);
    assert_eq!(stage.gateway.get("/quit", &[DELIBERATE]).status, 401, "it is not on the proxy's listener");
}

/// As on a drain that a signal began, where the second signal ends the process.
#[test]
fn the_second_signal_after_quit_exits_at_once() {
    let (mut stage, gate) = stage(|setup| setup.env("METAGATE_SHUTDOWN__DRAIN_TIMEOUT", "300s"));
    let _client = hold(&stage);
    assert_eq!(stage.gateway.ask_admin("POST", "/quit", &[DELIBERATE]).status, 200);
    eventually("/readyz to answer 503", || (stage.gateway.probe("/readyz").status == 503).then_some(()));
    stage.gateway.terminate();
    eventually("the signal to be logged", || {
        let is_it = |log: &serde_json::Value| {
            text(log, "message").is_some_and(|text| text.starts_with("signal while"))
        };
        stage.gateway.logs().iter().any(is_it).then_some(())
    });
    stage.gateway.terminate();
    assert_eq!(stage.gateway.wait_exit(), Some(1));
    gate.open();
}

/// The commands that the page gives to a job's container, in a shell.
#[test]
fn the_commands_of_the_page_end_the_sidecar() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (_, section) = page.split_once("### Jobs\n").expect("the section");
    let (section, _) = section.split_once("\n### ").expect("its end");
    let lines = section.lines().map(str::trim);
    let commands: Vec<&str> =
        lines.filter(|line| line.contains(":8687/quit") && !line.starts_with('`')).collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    for command in commands {
        let program = command.trim_start_matches("trap '").split(' ').next().unwrap_or_default();
        let is_here = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        if !is_here.is_ok_and(|found| found.status.success()) {
            println!("{program} is not installed: its command was not run");
            continue;
        }
        let (mut stage, _gate) = stage(|setup| setup);
        let command = command.replace("127.0.0.1:8687", &stage.gateway.admin().to_string());
        let status = Command::new("sh").args(["-c", &format!("{command}\nexit 0")]).status();
        assert!(status.expect("sh runs").success(), "{command}");
        assert_eq!(stage.gateway.wait_exit(), Some(0), "{command}");
    }
}
