//! The files of the section about CI in `docs/exchange.md`, as they are written there: the commands run in a shell, with
//! servers of the test in place of GitHub and the cluster.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::super::openmetadata::OpenMetadata;
use super::super::{directory, write_key};
use super::claims;
use crate::support::gateway::{Gateway, Setup};
use crate::support::https::HttpsServer;
use crate::support::issuer::{Issuer, Reply};
use crate::support::keys::{key_set, other_rsa, p256, rsa, third_rsa};
use crate::support::token::{Token, now};

const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";
const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// The file of this name on the page.
fn file(name: &str) -> String {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/exchange.md")).expect("the page");
    let (_, rest) =
        page.split_once(&format!("<!-- file: {name} -->\n```")).unwrap_or_else(|| panic!("no {name}"));
    let (_, rest) = rest.split_once('\n').expect("a block");
    rest.split_once("```").expect("an end of the block").0.to_owned()
}

#[track_caller]
fn replaced(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old} is not in {text}");
    text.replace(old, new)
}

/// Runs commands of the page in bash, as the job would; returns whether they succeeded, and what they wrote.
fn bash(script: &str, directory: &Path, environment: &[(&str, &str)]) -> (bool, String) {
    let output = Command::new("bash")
        .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
        .current_dir(directory)
        .env_clear()
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", directory.display()))
        .envs(environment.iter().copied())
        .output()
        .expect("bash");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn is_installed(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|found| found.status.success())
}

struct Site {
    gateway: Gateway,
    backend: OpenMetadata,
    issuer: Issuer,
    files: tempfile::TempDir,
    _cluster: HttpsServer,
}

/// The configuration of the page, with its two issuers.
fn site() -> Site {
    let (files, backend, issuer) = (directory(), OpenMetadata::start(), Issuer::empty());
    let cluster = HttpsServer::start(false, |head| match head.split(' ').nth(1) {
        Some("/openid/v1/jwks") => (200, key_set(&[rsa().jwk()])),
        _ => (404, String::new()),
    });
    issuer.publish("/github", &[other_rsa().jwk()]);
    write_key(&files.path().join("1.pem"), third_rsa());
    write_key(&files.path().join("issuer.pem"), p256());
    let pod = service_account("metagate", CLUSTER);
    for (name, text) in [("pod-token", &pod.encode()), ("ca.crt", &cluster.authority)] {
        fs::write(files.path().join(name), text).expect("a file");
    }
    let here = files.path().display();
    let config = file("ci/metagate.yaml");
    let line = format!("issuer: {GITHUB}\n");
    // Without its keys, an entry discovers them from its issuer, which is not reached here.
    let config =
        replaced(&config, &line, &format!("{line}      publicKeyUrls: ['{}']\n", issuer.url("/github")));
    let in_pod = format!("kubernetes: {{tokenFile: {here}/pod-token, caFile: {here}/ca.crt}}");
    let config = replaced(&config, "kubernetes: {}", &in_pod);
    let config = replaced(&config, "/etc/metagate/mint/1.pem", &format!("{here}/1.pem"));
    let config = replaced(&config, "/etc/metagate/issuer/1.pem", &format!("{here}/issuer.pem"));
    let gateway = Setup::run()
        .config(config)
        .env("METAGATE_UPSTREAM__URL", backend.upstream.url())
        .env("KUBERNETES_SERVICE_HOST", cluster.address.ip().to_string())
        .env("KUBERNETES_SERVICE_PORT", cluster.address.port().to_string())
        .start();
    gateway.wait_ready();
    backend.change(|database| database.key_urls = vec![gateway.health]);
    Site { gateway, backend, issuer, files, _cluster: cluster }
}

fn service_account(name: &str, audience: &str) -> Token {
    Token::of(json!({
        "iss": CLUSTER, "aud": [audience], "sub": format!("system:serviceaccount:airflow:{name}"),
        "iat": now(), "nbf": now(), "exp": now() + 600
    }))
}

impl Site {
    fn endpoint(&self) -> String {
        format!("http://{}", self.gateway.proxy)
    }

    /// The user that the backend sees for the token in this file, and how long the token lives.
    #[track_caller]
    fn check(&self, token_file: &Path) -> (Value, i64) {
        use std::os::unix::fs::PermissionsExt as _;

        let mode = fs::metadata(token_file).expect("a token file").permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read it");
        let token = fs::read_to_string(token_file).expect("a token");
        let response = self.gateway.get_with(token.trim(), "/api/v1/tables");
        assert_eq!(response.status, 200, "{}", response.text());
        let direct = format!("Bearer {}", token.trim());
        let response_of_backend = crate::support::wire::get(
            self.backend.upstream.address,
            "/direct",
            &[("Authorization", &direct)],
        );
        assert_eq!(response_of_backend.status, 401);
        let life = claims(token.trim())["exp"].as_i64().expect("a time") - now();
        (response.json()["name"].clone(), life)
    }
}

#[test]
fn the_workflow_gets_a_token() {
    if !is_installed("jq") || !is_installed("curl") || !is_installed("bash") {
        println!("jq, curl or bash is not installed: the commands were not run");
        return;
    }
    let site = site();
    let workflow = file("ci/.github/workflows/ingest.yml");
    let (_, step) = workflow.split_once("        run: |\n").expect("the step");
    let (script, _) = step.split_once("      - run: metadata").expect("its end");
    assert_eq!(script.lines().count(), 2, "{script}");
    let script = replaced(script, "https://metagate.example", &site.endpoint());
    let ask = |repository: &str| {
        let job = Token::of(json!({
            "iss": GITHUB, "aud": "metagate.example", "sub": "repo:acme@123/docs@456789:ref:refs/heads/main",
            "repository_id": repository, "ref": "refs/heads/main", "iat": now(), "exp": now() + 300
        }));
        let answer = json!({"count": 1, "value": job.signed("RS256", other_rsa()).encode()}).to_string();
        site.issuer.set("/id-token?api-version=2.0&audience=metagate.example", Reply::Json(answer));
        let url = site.issuer.url("/id-token?api-version=2.0");
        let here = site.files.path();
        let environment = [
            ("ACTIONS_ID_TOKEN_REQUEST_URL", &*url),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "github"),
            ("RUNNER_TEMP", here.to_str().expect("a path")),
        ];
        bash(&script, here, &environment)
    };
    let (fine, text) = ask("456789");
    assert!(fine, "{text}");
    let token = site.files.path().join("metagate-token");
    let (name, life) = site.check(&token);
    assert_eq!(name, "ingestion-bot");
    assert!((6 * 3600 - 60..=6 * 3600).contains(&life), "{life}");
    let (fine, text) = ask("999");
    assert!(!fine && text.contains("403"), "another repository: {text}");
}

#[test]
fn the_airflow_job_gets_a_token() {
    if !is_installed("jq") || !is_installed("curl") || !is_installed("bash") {
        println!("jq, curl or bash is not installed: the commands were not run");
        return;
    }
    let site = site();
    let job = file("ci/dags/ingest.py");
    let (_, rest) = job.split_once("bash_command=\"\"\"").expect("the command");
    let (script, _) = rest.split_once("\"\"\"").expect("its end");
    // As Python reads it.
    let script = script.replace("\\\\", "\\");
    let script = replaced(&script, "https://metagate.example", &site.endpoint());
    let here = site.files.path();
    let script = replaced(&script, "/var/run/secrets/metagate/token", &format!("{}/token", here.display()));
    // In place of OpenMetadata's client.
    let client = "#!/bin/sh\ncp -p \"$METAGATE_TOKEN_FILE\" used && test \"$*\" = 'ingest -c /opt/airflow/ingest.yml'\n";
    fs::write(here.join("metadata"), client).expect("a program");
    fs::set_permissions(here.join("metadata"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("a mode");
    let run = |account: &str| {
        fs::write(here.join("token"), service_account(account, "metagate").encode() + "\n").expect("a token");
        bash(&script, here, &[("TMPDIR", here.to_str().expect("a path"))])
    };
    let (fine, text) = run("worker");
    assert!(fine, "{text}");
    let (name, life) = site.check(&here.join("used"));
    assert_eq!(name, "lineage-bot");
    assert!((2 * 3600 - 60..=2 * 3600).contains(&life), "{life}");
    let left = fs::read_dir(here).expect("a directory").filter_map(Result::ok);
    let left: Vec<_> = left
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with("tmp."))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    fs::remove_file(here.join("used")).expect("a file");
    assert!(!run("other").0 && !here.join("used").exists());
}
