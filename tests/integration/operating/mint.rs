//! The keys of minted tokens: made, published, checked, and good only at the backend.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::gateway::{DELIBERATE, Finished, Setup, text};
use crate::support::issuer::{Issuer, JWKS, Reply};
use crate::support::keys::{self, Key};
use crate::support::stage::Stage;
use crate::support::token::Token;
use crate::support::upstream::Upstream;
use crate::support::wire;

const PUBLISHED: &str = "/mint/jwks.json";
const MINTED_BY: &str = "https://metagate.example/backend";

fn command(arguments: &[&str]) -> Finished {
    Setup::command(arguments).finish()
}

/// A directory with the private key of each name.
fn directory(files: &[(&str, &Key)]) -> TempDir {
    let mode = fs::Permissions::from_mode(0o700);
    let directory = tempfile::Builder::new().permissions(mode).tempdir().expect("a directory");
    for (name, key) in files {
        write(&directory.path().join(name), key);
    }
    directory
}

fn write(path: &Path, key: &Key) {
    fs::write(path, key.private_pem()).expect("a key file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode");
}

fn path(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).to_str().expect("a path").to_owned()
}

/// A configuration that mints with these files.
fn config(files: &[&str]) -> String {
    format!(
        "backend: openmetadata\nauthentication: {{publicKeyUrls: ['ISSUER/jwks'], audiences: [a]}}\n\
         mint: {{issuer: '{MINTED_BY}', keyFiles: [{}]}}\n",
        files.join(", ")
    )
}

/// The modulus of each key at the published URL.
fn published(stage: &Stage) -> Vec<Value> {
    let set: Value = serde_json::from_str(&stage.gateway.probe(PUBLISHED).text()).expect("JSON");
    set["keys"].as_array().expect("keys").iter().map(|key| key["n"].clone()).collect()
}

#[test]
fn init_makes_a_key_once_and_show_prints_its_public_half() {
    let directory = directory(&[]);
    let file = path(&directory, "1.pem");
    let made = command(&["mint", "init", &file]);
    assert_eq!((made.code, &*made.stderr), (Some(0), ""));
    assert!(made.stdout.contains(&format!("keyFiles: [{file}]")), "{}", made.stdout);
    assert!(made.stdout.contains("any user of the backend"), "{}", made.stdout);
    let secret = fs::read_to_string(&file).expect("the key");
    assert_eq!(fs::metadata(&file).expect("the key").permissions().mode() & 0o7777, 0o600);
    let line = secret.lines().nth(5).expect("a line of the key");
    assert!(!made.stdout.contains(line));

    let again = command(&["mint", "init", &file]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("is not overwritten"), "{}", again.stderr);
    assert_eq!(fs::read_to_string(&file).expect("the key"), secret);

    let with_config = |arguments: &[&str]| {
        let text = config(&[&file]).replace("ISSUER", "https://idp.example");
        let setup = Setup::command(arguments).env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:9");
        setup.env("METAGATE_HEALTH__LISTEN", "127.0.0.1:4567").config(text).finish()
    };
    let shown = with_config(&["mint", "show", "--host", "metagate.svc"]);
    assert_eq!((shown.code, &*shown.stderr), (Some(0), ""));
    assert!(shown.stdout.contains("http://metagate.svc:4567/mint/jwks.json"), "{}", shown.stdout);
    assert!(!shown.stdout.contains(line));
    let json = with_config(&["mint", "show", "--json"]);
    let set: Value = serde_json::from_str(&json.stdout).expect("only a JWK Set");
    let kid = set["keys"][0]["kid"].as_str().expect("a kid");
    assert!(kid.starts_with("metagate-") && made.stdout.contains(kid), "{kid}");

    let rotated = with_config(&["mint", "rotate"]);
    assert_eq!((rotated.code, &*rotated.stderr), (Some(0), ""));
    let next = path(&directory, "2.pem");
    for list in [format!("keyFiles: [{file}, {next}]"), format!("keyFiles: [{next}, {file}]")] {
        assert!(rotated.stdout.contains(&list), "{list}: {}", rotated.stdout);
    }
    assert_eq!(fs::metadata(&next).expect("the new key").permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_to_string(&file).expect("the key"), secret, "the old one stays");
}

#[test]
fn the_public_keys_are_on_the_health_listener_only() {
    let files = directory(&[("1.pem", keys::rsa()), ("2.pem", keys::other_rsa())]);
    let config = config(&[&path(&files, "1.pem"), &path(&files, "2.pem")]);
    let stage = Stage::configured(Issuer::of(keys::p256()), &config);
    let response = stage.gateway.probe(PUBLISHED);
    assert_eq!(response.status, 200);
    assert_eq!(response.header("cache-control"), Some("max-age=300"));
    assert_eq!(response.header("content-type"), Some("application/jwk-set+json"));
    let set: Value = serde_json::from_str(&response.text()).expect("JSON");
    for (key, signing) in set["keys"].as_array().expect("keys").iter().zip([keys::rsa(), keys::other_rsa()]) {
        assert_eq!(key["n"], signing.jwk()["n"]);
        assert!(["d", "p", "q"].iter().all(|name| key.get(*name).is_none()), "nothing private");
    }
    for (method, status) in [("HEAD", 200), ("POST", 405), ("OPTIONS", 405)] {
        let response = wire::send(stage.gateway.listener("health"), method, PUBLISHED, &[], b"");
        assert_eq!(response.status, status, "{method}");
    }
    assert_eq!(stage.gateway.get(PUBLISHED, &[]).status, 200, "the backend's own page of that path");
    assert_eq!(stage.upstream.requests().len(), 1);

    let plain = Stage::plain(|setup| setup);
    assert_eq!(plain.gateway.probe(PUBLISHED).status, 404);
}

/// The keys of the simple list have the very key, as if the backend's list had been taken over.
#[test]
fn a_minted_token_is_refused_by_metagate_itself() {
    let files = directory(&[("1.pem", keys::rsa())]);
    let stage = Stage::configured(Issuer::of(keys::rsa()), &config(&[&path(&files, "1.pem")]));
    let token = || Token::user().claim("aud", json!("a"));
    assert_eq!(stage.gateway.get_as(&token(), "/api/own").status, 200, "the key itself is trusted");
    let minted = token().issuer(MINTED_BY).claim("aud", json!(["openmetadata", "a"]));
    assert_eq!(stage.gateway.get_as(&minted, "/api/minted").status, 401);
    assert_eq!(text(&stage.gateway.audit_of("/api/minted"), "reason"), Some("untrusted_issuer"));
    assert_eq!(stage.upstream.requests().len(), 1);
    let is_warned = |log: &Value| text(log, "id") == Some("mint-key-trusted");
    assert!(stage.gateway.logs().iter().any(is_warned), "{:?}", stage.gateway.logs());
}

#[test]
fn a_new_key_file_is_published_after_a_reload() {
    let files = directory(&[("1.pem", keys::rsa())]);
    let file = path(&files, "1.pem");
    let stage = Stage::configured(Issuer::of(keys::p256()), &config(&[&file]));
    assert_eq!(published(&stage), [keys::rsa().jwk()["n"].clone()]);
    let new = files.path().join("new");
    write(&new, keys::other_rsa());
    fs::rename(&new, &file).expect("another key");
    assert_eq!(stage.gateway.ask_admin("POST", "/reload", &[DELIBERATE]).status, 200);
    eventually("the new key is published", || {
        (published(&stage) == [keys::other_rsa().jwk()["n"].clone()]).then_some(())
    });
    // A broken one changes nothing.
    fs::write(&file, "nonsense").expect("a broken key");
    assert_ne!(stage.gateway.ask_admin("POST", "/reload", &[DELIBERATE]).status, 200);
    assert_eq!(published(&stage), [keys::other_rsa().jwk()["n"].clone()]);
}

#[test]
fn check_says_whether_openmetadata_lists_the_keys() {
    let files = directory(&[("1.pem", keys::rsa())]);
    let config = config(&[&path(&files, "1.pem")]);
    let backend = Issuer::of(keys::p256());
    backend.set("/api/v1/system/version", Reply::Json(json!({"version": "1.12.0"}).to_string()));
    let check = || {
        let text = config.replace("ISSUER", &backend.url(""));
        let setup = Setup::command(&["check"]).env("METAGATE_UPSTREAM__URL", backend.url(""));
        let setup = ["LISTEN", "HEALTH__LISTEN", "ADMIN__LISTEN"]
            .iter()
            .fold(setup, |setup, name| setup.env(&format!("METAGATE_{name}"), "127.0.0.1:0"));
        setup.config(text).finish().stdout
    };
    let lists = |urls: &[String]| {
        backend.set("/api/v1/system/config/auth", Reply::Json(json!({"publicKeyUrls": urls}).to_string()));
    };
    lists(&[backend.url(JWKS)]);
    let out = check();
    assert!(out.contains("[mint-keys-unlisted]") && out.contains("lists no URL that ends in"), "{out}");
    lists(&[backend.url(JWKS), backend.url(PUBLISHED)]);
    let out = check();
    assert!(out.contains("[mint-keys-unlisted]") && out.contains("it answers 404"), "{out}");
    backend.publish(PUBLISHED, &[keys::p256().jwk()]);
    let out = check();
    assert!(out.contains("[mint-keys-unlisted]") && out.contains("does not have every key"), "{out}");
    let stage = Stage::configured(Issuer::of(keys::p256()), &config);
    backend.set(PUBLISHED, Reply::Json(stage.gateway.probe(PUBLISHED).text()));
    let out = check();
    assert!(!out.contains("[mint-keys-unlisted]") && out.contains("OpenMetadata finds the keys"), "{out}");
    // The keys that metagate trusts have one of them.
    backend.publish(JWKS, &[keys::rsa().jwk()]);
    assert!(check().contains("[mint-key-trusted]"));
}

#[test]
fn a_configuration_without_keys_has_nothing_to_show() {
    let upstream = Upstream::echo();
    for words in [["mint", "show"], ["mint", "rotate"]] {
        let setup = Setup::command(&words).env("METAGATE_UPSTREAM__URL", upstream.url());
        let finished = setup.config("authentication: {publicKeyUrls: ['https://idp.example/jwks']}").finish();
        assert_eq!(finished.code, Some(1));
        assert!(finished.stderr.contains("metagate mint init"), "{}", finished.stderr);
    }
}
