//! Revocation lists that are fetched, and what happens while a source has none.

use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::eventually;
use crate::support::gateway::{Setup, text};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::stub::Stub;
use crate::support::token::Token;
use crate::support::upstream::Upstream;

const URLS: &str = "METAGATE_AUTHENTICATION__REVOCATIONS__URLS";
const INTERVAL: &str = "METAGATE_AUTHENTICATION__REVOCATIONS__REFRESH_INTERVAL";
const STORE: &str = "METAGATE_AUTHENTICATION__REVOCATIONS__STORE__URL";
const CACHE: &str = "METAGATE_AUTHENTICATION__JWKS__CACHE_DIR";

/// A server of a list with an ETag. An empty text is an error.
fn lists(first: &str) -> (Stub, Arc<Mutex<String>>) {
    let list = Arc::new(Mutex::new(first.to_owned()));
    let served = list.clone();
    let stub = Stub::start(move |exchange| {
        let list = served.lock().unwrap_or_else(|broken| broken.into_inner()).clone();
        let etag = format!("\"{}\"", list.len());
        match exchange.request.head.value("if-none-match") {
            Some(known) if *known == *etag => exchange.reply(304, &[("ETag", &etag)], ""),
            _ if list.is_empty() => exchange.reply(500, &[], ""),
            _ => exchange.reply(200, &[("ETag", &etag)], list),
        }
    });
    (stub, list)
}

/// Without waiting until it is ready.
fn started(adjust: impl FnOnce(Setup) -> Setup) -> Stage {
    let (issuer, upstream) = (Issuer::of(keys::rsa()), Upstream::echo());
    let setup = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}]", issuer.url(JWKS)))
        .env("METAGATE_UPSTREAM__URL", upstream.url());
    Stage { gateway: adjust(setup).start(), upstream, issuer }
}

fn set(list: &Mutex<String>, text: &str) {
    text.clone_into(&mut list.lock().unwrap_or_else(|broken| broken.into_inner()));
}

fn ready(stage: &Stage) -> bool {
    stage.gateway.probe("/readyz").status == 200
}

fn status_of(stage: &Stage, target: &str) -> u16 {
    stage.gateway.get_as(&Token::user(), target).status
}

#[test]
fn a_list_from_a_url_is_followed_and_kept() {
    let (stub, list) = lists("[]");
    let url = format!("http://{}/list", stub.address);
    let stage = Stage::plain(|setup| setup.env(URLS, url.clone()).env(INTERVAL, "1s"));
    eventually("the first list", || ready(&stage).then_some(()));
    assert_eq!(status_of(&stage, "/api/a"), 200);
    set(&list, "{\"sub\": \"ada\", \"note\": \"left\"}");
    eventually("the token to be refused", || (status_of(&stage, "/api/b") == 401).then_some(()));
    stub.wait_for("a conditional request", |requests| {
        requests.iter().any(|request| request.head.value("if-none-match").is_some()).then_some(())
    });
    // A list that is broken or cannot be fetched changes nothing.
    let host = stub.address.to_string();
    let in_force = || stage.gateway.metric("metagate_revocations_in_force", &[("source", &host)]);
    for broken in ["- nonsense", ""] {
        set(&list, broken);
        eventually("the failure", || (in_force() == 0.0).then_some(()));
        assert_eq!(status_of(&stage, "/api/c"), 401, "{broken}");
        set(&list, "[{sub: ada}]");
        eventually("the end of the failure", || (in_force() == 1.0).then_some(()));
    }
    let status = stage.gateway.ask_admin("GET", "/status", &[]).json();
    let source = &status["revocations"][0];
    assert_eq!((&source["source"], &source["name"]), (&json!(host), &json!(url)));
    assert_eq!((&source["restored"], &source["entries"]["sub"]), (&json!(false), &json!(1)));
    assert!(source["failure"].is_null() && source["age_seconds"].is_u64(), "{source}");
}

#[test]
fn without_a_first_list_tokens_are_refused_and_the_process_is_not_ready() {
    let (_stub, list) = lists("");
    let url = format!("http://{}/list", _stub.address);
    let config = "authorization: {public: [\"GET /open\"]}\n";
    let stage = started(|setup| setup.config(config).env(URLS, url).env(INTERVAL, "1s"));
    let missing = eventually("the reason", || {
        let response = stage.gateway.probe("/readyz");
        let text = response.text();
        (response.status == 503 && text.contains("answered 500")).then_some(text)
    });
    assert!(missing.starts_with("no revocation list from http://127.0.0.1:"), "{missing}");
    assert_eq!(stage.gateway.probe("/livez").status, 200);
    let response = stage.gateway.get_as(&Token::user(), "/api/a");
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert_eq!(
        response.text(),
        r#"{"code":503,"message":"The revocation list is not available, try again"}"#
    );
    let record = stage.gateway.audit_of("/api/a");
    assert_eq!(
        (text(&record, "reason"), text(&record, "decision")),
        (Some("revocations_unavailable"), Some("error"))
    );
    assert_eq!(stage.gateway.get("/open", &[]).status, 200);
    assert_eq!(stage.upstream.requests().len(), 1);
    set(&list, "[]");
    eventually("the first list", || ready(&stage).then_some(()));
    assert_eq!(status_of(&stage, "/api/b"), 200);
}

#[test]
fn a_copy_of_the_list_survives_a_restart_without_its_server() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let cache = directory.path().to_str().expect("a path").to_owned();
    let (stub, _) = lists("[{sub: ada}]");
    let url = format!("http://{}/list", stub.address);
    let again =
        || started(|setup| setup.env(URLS, url.clone()).env(INTERVAL, "1s").env(CACHE, cache.clone()));
    let stage = again();
    eventually("the first list", || ready(&stage).then_some(()));
    let is_copy = |path: std::path::PathBuf| {
        let is_whole = path.extension().is_some_and(|extension| extension == "json");
        is_whole && std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"revocations http"))
    };
    eventually("the copy of the list", || {
        let mut files = std::fs::read_dir(directory.path()).ok()?.flatten();
        files.any(|file| is_copy(file.path())).then_some(())
    });
    drop((stage, stub));
    let stage = again();
    eventually("the copy", || ready(&stage).then_some(()));
    assert_eq!(status_of(&stage, "/api/a"), 401);
    let status = stage.gateway.ask_admin("GET", "/status", &[]).json();
    assert_eq!(status["revocations"][0]["restored"], json!(true));
}

#[test]
fn a_store_that_cannot_be_reached_is_named() {
    // Nothing listens there any more.
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let url = format!("redis://{closed}/0");
    let stage = started(|setup| setup.env(STORE, url.clone()));
    let missing = eventually("the reason", || {
        let text = stage.gateway.probe("/readyz").text();
        text.contains("connection refused").then_some(text)
    });
    assert!(
        missing.starts_with(&format!("no revocation list from {url} (default): {closed}: ")),
        "{missing}"
    );
    assert_eq!(status_of(&stage, "/api/a"), 503);
    let finished = Setup::command(&["revoke", "--store", "--jti", "a"]).env(STORE, url).finish();
    assert_eq!(finished.code, Some(1), "{}", finished.stdout);
    assert!(
        finished.stderr.contains(&format!("authentication.revocations.store: {closed}: connection refused")),
        "{}",
        finished.stderr
    );
}
