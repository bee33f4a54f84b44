//! The configurations and commands of `docs/bots.md`, as they are written there.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::gms::Gms;
use super::openmetadata::OpenMetadata;
use super::{directory, write_key};
use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup};
use crate::support::issuer::{Issuer, Reply};
use crate::support::keys::{DATAHUB_SECRET, spare_rsa, third_rsa};
use crate::support::token::Token;

/// The block after a mark.
fn block(mark: &str, language: &str) -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/bots.md")).expect("the page");
    let start = format!("<!-- {mark} -->\n```{language}\n");
    let (_, rest) = page.split_once(&start).unwrap_or_else(|| panic!("no {mark}"));
    rest.split_once("```").expect("an end of the block").0.to_owned()
}

/// The text with the directories of this machine.
fn here(text: &str, files: &TempDir) -> String {
    let text = text.replace("/etc/metagate", &files.path().display().to_string());
    text.replace("/run/secrets", &files.path().display().to_string())
}

/// Runs the commands of a block in a shell, in the directory of the configuration, and returns what they print.
#[track_caller]
fn shell(mark: &str, files: &TempDir, upstream: &str) -> String {
    let script = here(&block(&format!("commands: {mark}"), "sh"), files)
        .replace("metagate ", &format!("{} ", env!("CARGO_BIN_EXE_metagate")));
    let done = Command::new("/bin/sh")
        .args(["-euc", &script])
        .current_dir(files.path())
        .env_clear()
        .env("METAGATE_CONFIG", files.path().join("config.yaml"))
        .env("METAGATE_UPSTREAM__URL", upstream)
        .output()
        .expect("a shell");
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{script}\n{errors}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file").trim().to_owned()
}

fn wait_for(gateway: &Gateway, token: &str, path: &str, status: u16) -> String {
    eventually("the changed list", || {
        let response = gateway.try_get_with(token, path)?;
        (response.status == status).then(|| response.text())
    })
}

#[test]
fn openmetadata_in_one_minute() {
    let (files, backend, issuer) = (directory(), OpenMetadata::start(), Issuer::empty());
    issuer.publish("/api/v1/system/config/jwks", &[spare_rsa().jwk_openmetadata()]);
    for name in ["mint", "issuer", "bots"] {
        fs::create_dir(files.path().join(name)).expect("a directory");
    }
    shell("keys", &files, &backend.upstream.url());
    let keys = "http://127.0.0.1:8585/api/v1/system/config/jwks";
    let config = here(&block("file: openmetadata/metagate.yaml", "yaml"), &files);
    assert!(config.contains(keys));
    let config = config.replace(keys, &issuer.url("/api/v1/system/config/jwks"));
    fs::write(files.path().join("config.yaml"), &config).expect("a configuration");
    shell("create", &files, &backend.upstream.url());
    let gateway = Setup::run()
        .env("METAGATE_CONFIG", files.path().join("config.yaml").display().to_string())
        .env("METAGATE_UPSTREAM__URL", backend.upstream.url())
        .start();
    gateway.wait_ready();
    backend.change(|database| database.key_urls = vec![gateway.health]);
    let token = read(&files.path().join("nightly.token"));
    let tables = "/api/v1/tables";
    assert!(wait_for(&gateway, &token, tables, 200).contains("\"name\":\"ingestion-bot\""));
    // People are forwarded as before.
    let person = gateway.get_as(&Token::user().signed("RS256", spare_rsa()), tables);
    assert_eq!((person.status, person.text().contains("\"name\":\"ada\"")), (200, true));
    // Everything about its life, and the list for Kubernetes.
    let listed = shell("replace", &files, &backend.upstream.url());
    assert!(listed.contains("nightly: roles []") && listed.contains("# ingestion"), "{listed}");
    wait_for(&gateway, &token, tables, 401);
    let second = read(&files.path().join("nightly.token"));
    assert_ne!(second, token);
    wait_for(&gateway, &second, tables, 401);
    fs::remove_file(files.path().join("nightly.token")).expect("a token");
    shell("print", &files, &backend.upstream.url());
    let (printed, token) = (read(&files.path().join("bots.yaml")), read(&files.path().join("nightly.token")));
    fs::write(files.path().join("bots/bots.yaml"), printed).expect("a list");
    wait_for(&gateway, &token, tables, 200);
}

#[test]
fn datahub() {
    let (files, gms) = (directory(), Gms::start());
    for name in ["mint", "issuer", "bots"] {
        fs::create_dir(files.path().join(name)).expect("a directory");
    }
    fs::write(files.path().join("datahub-signing-key"), DATAHUB_SECRET).expect("a key");
    shell("keys", &files, &gms.upstream.url());
    let config = here(&block("file: datahub/metagate.yaml", "yaml"), &files);
    fs::write(files.path().join("config.yaml"), &config).expect("a configuration");
    shell("create", &files, &gms.upstream.url());
    let gateway = Setup::run()
        .env("METAGATE_CONFIG", files.path().join("config.yaml").display().to_string())
        .env("METAGATE_UPSTREAM__URL", gms.upstream.url())
        .start();
    gateway.wait_ready();
    let token = read(&files.path().join("nightly.token"));
    let body = wait_for(&gateway, &token, "/openapi/v3/entity/dataset", 200);
    assert!(body.contains("service_6f0c1c55-0b6e-4c7e-a7a5-0d8f5c1b2a3e"), "{body}");
}

/// One key for both would make every bot's token a login at OpenMetadata.
#[test]
fn check_finds_a_key_of_bots_at_openmetadata() {
    let (files, issuer) = (directory(), Issuer::empty());
    let at = |name: &str| files.path().join(name);
    write_key(&at("mint.pem"), third_rsa());
    let init =
        Setup::command(&["issuer", "init"]).arguments(&[at("issuer.pem").to_str().expect("a path")]).finish();
    assert_eq!(init.code, Some(0), "{}", init.stderr);
    let config = format!(
        "backend: openmetadata\nissuer: {{url: u, audience: metagate, keyFiles: ['{}']}}\n",
        at("issuer.pem").display()
    );
    let shown = Setup::command(&["issuer", "show", "--json"])
        .config(&*config)
        .env("METAGATE_UPSTREAM__URL", issuer.url(""))
        .finish();
    let keys: serde_json::Value = serde_json::from_str(&shown.stdout).expect("a key set");
    let check = || {
        let setup = Setup::command(&["check"]).config(&*config);
        let setup = ["LISTEN", "HEALTH__LISTEN", "ADMIN__LISTEN"]
            .into_iter()
            .fold(setup, |setup, key| setup.env(&format!("METAGATE_{key}"), "127.0.0.1:0"));
        setup.env("METAGATE_UPSTREAM__URL", issuer.url("")).finish()
    };
    let listed = serde_json::json!({"publicKeyUrls": [issuer.url("/listed")]});
    issuer.set("/api/v1/system/config/auth", Reply::Json(listed.to_string()));
    issuer.publish("/listed", &[third_rsa().jwk()]);
    assert!(!check().stdout.contains("issuer-key-listed"));
    issuer.publish("/listed", &[keys["keys"][0].clone()]);
    let done = check();
    assert!(done.code == Some(1) && done.stdout.contains("error[issuer-key-listed]"), "{}", done.stdout);
}
