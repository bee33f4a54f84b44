//! Fetching, keeping and sharing keys.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod by_kid;
mod credentials;
mod on_demand;
mod schedule;
mod script;
mod stub;
mod logging;
#[cfg(shuttle)]
mod models;

pub(super) use script::Script;

use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;

use super::allowance::BURST;
use super::*;
use crate::admission::Refresh;
use crate::config::{Sources, load};
use crate::test_support::{OTHER_RSA, P256, RSA, document, pem};
use crate::token_digest::TokenDigest;
use stub::{Response, Stub, ok, redirect, status};

/// A configuration with this below `authentication`.
fn config(authentication: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    let text = format!("upstream: {{url: 'http://192.0.2.1:8585'}}\nauthentication: {authentication}\n");
    std::fs::write(&path, text).unwrap();
    let loaded = load(&Sources { files: vec![path], ..Sources::default() });
    let mut config = loaded.unwrap_or_else(|errors| panic!("{errors}")).config;
    // Longer than any test waits; ends a test that hangs.
    config.jwks.timeout = Duration::from_secs(20);
    config.jwks.max_wait = Duration::from_secs(20);
    config.jwks.unknown_key_cooldown = Duration::ZERO;
    config
}

fn from_urls(urls: &[String]) -> Config {
    config(&format!("{{publicKeyUrls: {}}}", json!(urls)))
}

fn keys(config: &Config) -> Arc<Keys> {
    Keys::new(config, &Arc::new(Metrics::new())).unwrap()
}

/// Keys whose sources are refreshed while the test runs.
fn started(config: &Config) -> Arc<Keys> {
    let keys = keys(config);
    keys.start();
    keys
}

/// A refresh for a new token that the current keys do not verify.
async fn refresh(keys: &Keys, entry: usize) -> Refresh {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let text = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
    refresh_for(keys, entry, &text).await
}

async fn refresh_for(keys: &Keys, entry: usize, text: &str) -> Refresh {
    let digest = TokenDigest::of(text);
    let generation = keys.ring().generation;
    keys.refresh_for_token(Unverified { entry, digest, generation, client: None }).await
}

fn kids(keys: &Keys, entry: usize) -> Vec<String> {
    let ring = keys.ring();
    let set = ring.sets[entry].iter().flat_map(|set| set.keys());
    set.map(|key| key.kid().unwrap_or("-").to_owned()).collect()
}

fn failure(keys: &Keys) -> Option<String> {
    keys.status()[0].failure.clone()
}

fn set_of(kids: &[&str]) -> String {
    document(&kids.iter().map(|kid| RSA.jwk_named(kid)).collect::<Vec<_>>())
}

#[tokio::test]
async fn keys_are_available_after_the_first_fetch() {
    let stub = Stub::start(|_, _| ok(set_of(&["a"])));
    let keys = keys(&from_urls(&[stub.url("/jwks?secret=x")]));
    assert!(!keys.are_ready() && keys.ring().sets[0].is_none());
    keys.start();
    assert!(keys.wait_for(0, None).await);
    assert!(keys.are_ready());
    assert_eq!(kids(&keys, 0), ["a"]);
    let requests = stub.requests();
    assert_eq!((requests.len(), &*requests[0].path), (1, "/jwks?secret=x"));
    assert!(requests[0].field("authorization").is_none() && requests[0].field("cookie").is_none());
    let status = &keys.status()[0];
    assert!(status.fetched_at.is_some() && !status.name.contains("secret"), "{status:?}");
}

#[tokio::test]
async fn concurrent_requests_share_one_refresh_and_then_the_cooldown_applies() {
    let (leave, has_leave) = mpsc::channel::<()>();
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let stub = Stub::start(move |number, _| {
        if number == 0 {
            return ok(set_of(&["a"]));
        }
        let _ = arrived.send(());
        let _ = has_leave.recv();
        ok(set_of(&["a", "b"]))
    });
    let mut config = from_urls(&[stub.url("/jwks")]);
    config.jwks.unknown_key_cooldown = Duration::from_secs(3600);
    let keys = started(&config);
    assert!(keys.wait_for(0, None).await);
    let before = keys.ring().generation;

    let mut refreshes = JoinSet::new();
    for _ in 0..50 {
        let keys = keys.clone();
        refreshes.spawn(async move { refresh(&keys, 0).await });
    }
    arrivals.recv().await.unwrap();
    // Some arrive while it is running.
    for _ in 0..50 {
        let keys = keys.clone();
        refreshes.spawn(async move { refresh(&keys, 0).await });
    }
    tokio::task::yield_now().await;
    drop(leave);
    let results = refreshes.join_all().await;
    assert!(results.into_iter().all(|found| found == Refresh::Changed), "every request tries again");
    assert_eq!(stub.requests().len(), 2, "one fetch at the start, one for a hundred unknown kids");
    assert_eq!(kids(&keys, 0), ["a", "b"]);
    assert_eq!(keys.ring().generation, before + 1);

    // A few more, and then none within the cooldown.
    for _ in 0..20 {
        assert_eq!(refresh(&keys, 0).await, Refresh::Unchanged);
    }
    assert_eq!(stub.requests().len(), 1 + BURST as usize);
    assert_eq!(refresh(&keys, 7).await, Refresh::Unchanged, "no such entry");
}

#[tokio::test]
async fn every_kind_of_failed_fetch_keeps_the_keys() {
    type Case = (fn() -> Response, &'static str);
    let responses: Vec<Case> = vec![
        (|| status(500), "500"),
        (|| status(404), "404"),
        (|| status(204), "204"),
        (|| status(304), "304"),
        (|| ok("<html>log in</html>"), "HTML"),
        (|| ok(""), "empty"),
        (|| ok("{\"keys\":[]"), "neither"),
        (|| ok("{\"keys\":[]}"), "it is empty"),
        (|| ok(document(&[json!({"kty": "oct", "k": "AA"})])), "symmetric"),
        (|| ok(format!("{}{}", set_of(&["a"]), " ".repeat(20_000))), "larger than maxBytes"),
        (|| redirect("ftp://127.0.0.1/jwks"), "weaker scheme"),
        (|| Response { fields: vec![("content-encoding", "gzip".into())], ..ok("x") }, "compressed"),
        (|| redirect("http://169.254.169.254/latest"), "metadata address"),
        (|| redirect("http://[::ffff:169.254.169.254]/"), "metadata address"),
    ];
    let causes: Vec<_> = responses.iter().map(|(_, cause)| *cause).collect();
    let stub = Stub::start(move |number, _| match number.checked_sub(1).and_then(|at| responses.get(at)) {
        Some((response, _)) => response(),
        None => ok(set_of(&["a"])),
    });
    let mut config = from_urls(&[stub.url("/jwks")]);
    config.jwks.max_bytes = 16 * 1024;
    let keys = started(&config);
    assert!(keys.wait_for(0, None).await);
    let before = keys.ring().generation;
    for cause in causes {
        assert_eq!(refresh(&keys, 0).await, Refresh::Unreachable, "{cause}");
        let found = failure(&keys).unwrap_or_else(|| panic!("no failure: {cause}"));
        assert!(found.contains(cause), "{found:?} says nothing of {cause:?}");
        assert_eq!(kids(&keys, 0), ["a"], "{cause}");
        assert_eq!(keys.ring().generation, before, "{cause}: the ring is the same");
    }
    assert_eq!(refresh(&keys, 0).await, Refresh::Unchanged);
    assert_eq!(failure(&keys), None, "and then it works again");
    assert!(keys.are_ready());
}

#[tokio::test]
async fn an_entity_tag_is_sent_back_and_304_keeps_the_keys() {
    let stub = Stub::start(|number, _| match number {
        0 => Response { fields: vec![("etag", "\"v1\"".into())], ..ok(set_of(&["a"])) },
        1 => status(304),
        _ => ok(set_of(&["b"])),
    });
    let keys = started(&from_urls(&[stub.url("/jwks")]));
    assert!(keys.wait_for(0, None).await);
    let before = keys.ring().generation;
    assert_eq!(refresh(&keys, 0).await, Refresh::Unchanged);
    assert_eq!((kids(&keys, 0), failure(&keys)), (vec!["a".to_owned()], None));
    assert_eq!(keys.ring().generation, before);
    assert_eq!(refresh(&keys, 0).await, Refresh::Changed);
    assert_eq!(kids(&keys, 0), ["b"], "a removed key is gone");
    let tags: Vec<_> =
        stub.requests().iter().map(|request| request.field("if-none-match").map(str::to_owned)).collect();
    assert_eq!(tags, [None, Some("\"v1\"".to_owned()), Some("\"v1\"".to_owned())]);
}

#[tokio::test]
async fn at_most_three_redirects_are_followed() {
    let stub = Stub::start(|_, request| match request.path.as_str() {
        "/good/0" => redirect("/good/1"),
        "/good/1" => redirect("/good/2"),
        "/good/2" => redirect("/good/3"),
        "/good/3" => ok(set_of(&["a"])),
        "/long/0" => redirect("/good/0"),
        _ => redirect("/loop"),
    });
    for (path, good, requests) in [("/good/0", true, 4), ("/long/0", false, 8), ("/loop", false, 12)] {
        let keys = keys(&from_urls(&[stub.url(path)]));
        keys.fetch_all().await;
        assert_eq!(failure(&keys).is_none(), good, "{path}: {:?}", failure(&keys));
        assert_eq!(stub.requests().len(), requests, "{path}");
    }
}

#[tokio::test]
async fn discovery_requires_the_configured_issuer() {
    let stub = Stub::start(|_, request| {
        let host = request.field("host").unwrap().to_owned();
        let document =
            |issuer: String, keys: &str| ok(json!({"issuer": issuer, "jwks_uri": keys}).to_string());
        match request.path.as_str() {
            "/good/.well-known/openid-configuration" => {
                document(format!("http://{host}/good"), &format!("http://{host}/keys"))
            }
            "/keys" => ok(set_of(&["a"])),
            "/other/.well-known/openid-configuration" => {
                document(format!("http://{host}/good"), &format!("http://{host}/keys"))
            }
            "/slash/.well-known/openid-configuration" => {
                document(format!("http://{host}/slash/"), &format!("http://{host}/keys"))
            }
            "/file/.well-known/openid-configuration" => {
                document(format!("http://{host}/file"), "file:///etc/passwd")
            }
            "/html/.well-known/openid-configuration" => ok("<html>"),
            _ => status(404),
        }
    });
    for (path, cause) in [
        ("/good", None),
        ("/other", Some("/good\", and the configured ones are [http://127.0.0.1")),
        ("/slash", Some("; its jwks_uri is \"http")),
        ("/file", Some("jwks_uri \"file:///etc/passwd\": it leads to a weaker scheme")),
        ("/html", Some("it is HTML")),
        ("/none", Some("404")),
    ] {
        let issuer = stub.url(path);
        let keys = keys(&config(&format!("{{issuers: [{{name: idp, issuer: '{issuer}'}}]}}")));
        keys.fetch_all().await;
        let found = failure(&keys);
        match cause {
            None => assert_eq!((found, kids(&keys, 0)), (None, vec!["a".to_owned()])),
            Some(cause) => {
                assert!(found.as_ref().is_some_and(|found| found.contains(cause)), "{path}: {found:?}")
            }
        }
        assert_eq!(keys.are_ready(), cause.is_none(), "{path}");
    }
}

#[tokio::test]
async fn files_may_contain_key_sets_pem_or_der() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("file://{}", path.display())
    };
    let set = file("set.json", &set_of(&["a"]));
    let public = file("key.pem", &pem("PUBLIC KEY", &P256.spki()));
    let binary = directory.path().join("key.der");
    std::fs::write(&binary, RSA.spki()).unwrap();
    let keys = keys(&from_urls(&[set, public, format!("file://{}", binary.display())]));
    keys.fetch_all().await;
    assert_eq!(kids(&keys, 0), ["a", "-", "-"]);
    for (url, cause) in [
        (format!("file://{}/none", directory.path().display()), "No such file"),
        (format!("file://{}", directory.path().display()), "directory"),
        (file("large", &format!("{}{}", set_of(&["a"]), " ".repeat(20_000))), "larger than maxBytes"),
        (file("text", "not a key"), "neither"),
        (file("private", &pem("PRIVATE KEY", b"x")), "private key members"),
    ] {
        let mut config = from_urls(&[url]);
        config.jwks.max_bytes = 16 * 1024;
        let keys = super::tests::keys(&config);
        keys.fetch_all().await;
        let found = failure(&keys).unwrap();
        assert!(found.contains(cause), "{found:?} says nothing of {cause:?}");
    }
}

#[tokio::test]
async fn a_changed_file_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("set.json");
    std::fs::write(&path, set_of(&["a"])).unwrap();
    let keys = started(&from_urls(&[format!("file://{}", path.display())]));
    assert!(keys.wait_for(0, None).await);
    std::fs::write(&path, set_of(&["b"])).unwrap();
    assert_eq!(refresh(&keys, 0).await, Refresh::Changed);
    assert_eq!(kids(&keys, 0), ["b"]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(refresh(&keys, 0).await, Refresh::Unreachable);
    assert_eq!((kids(&keys, 0), failure(&keys).is_some()), (vec!["b".to_owned()], true));
}

#[tokio::test]
async fn an_entity_tag_is_sent_only_to_its_own_url() {
    let stub = Stub::start(|number, request| match request.path.as_str() {
        "/.well-known/openid-configuration" => {
            let base = format!("http://{}", request.field("host").unwrap());
            ok(json!({"issuer": base, "jwks_uri": format!("{base}/keys/{}", number / 4)}).to_string())
        }
        path => match request.field("if-none-match") {
            Some(_) => status(304),
            None => Response { fields: vec![("etag", "\"1\"".into())], ..ok(set_of(&[path])) },
        },
    });
    let issuer = stub.url("");
    let keys = started(&config(&format!("{{issuers: [{{name: idp, issuer: '{issuer}'}}]}}")));
    assert!(keys.wait_for(0, None).await);
    assert_eq!(refresh(&keys, 0).await, Refresh::Unchanged);
    assert_eq!(kids(&keys, 0), ["/keys/0"], "304");
    assert_eq!(refresh(&keys, 0).await, Refresh::Changed);
    assert_eq!((kids(&keys, 0), failure(&keys)), (vec!["/keys/1".to_owned()], None), "it has moved");
}

#[tokio::test]
async fn a_failing_source_does_not_affect_the_others() {
    let stub = Stub::start(|_, request| match request.path.as_str() {
        "/dead" => status(503),
        "/other" => ok(document(&[OTHER_RSA.jwk_named("b")])),
        _ => ok(set_of(&["a"])),
    });
    let entries = format!(
        "{{issuers: [{{name: one, issuer: one, publicKeyUrls: ['{}', '{}', '{}']}}, {{name: two, issuer: two, publicKeyUrls: ['{}']}}]}}",
        stub.url("/dead"),
        stub.url("/live"),
        stub.url("/other"),
        stub.url("/dead")
    );
    let keys = keys(&config(&entries));
    keys.fetch_all().await;
    assert_eq!((kids(&keys, 0), kids(&keys, 1)), (vec!["a".to_owned(), "b".to_owned()], vec![]));
    assert!(!keys.are_ready(), "one entry has had no keys");
}

#[tokio::test]
async fn keys_expire_after_max_stale_and_readiness_stays() {
    let stub = Stub::start(|number, _| if number == 0 { ok(set_of(&["a"])) } else { status(500) });
    let mut config = from_urls(&[stub.url("/jwks")]);
    config.jwks.max_stale = Duration::ZERO;
    let keys = keys(&config);
    let mut changes = keys.changed.subscribe();
    keys.start();
    changes.wait_for(|generation| *generation == 3).await.unwrap();
    assert!(keys.ring().sets[0].is_none());
    assert!(keys.are_ready(), "a latch");
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_keys_at_most_max_wait() {
    let mut config = from_urls(&["http://127.0.0.1:9/jwks".to_owned()]);
    config.jwks.max_wait = Duration::from_secs(5);
    // No refresh task runs, so no keys arrive.
    let keys = keys(&config);
    let start = Instant::now();
    assert!(!keys.wait_for(0, None).await);
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert!(!keys.wait_for(7, None).await, "no such entry");
}

#[tokio::test]
async fn a_shared_secret_is_available_from_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u").unwrap();
    let entry =
        format!("{{issuers: [{{name: datahub, issuer: dh, sharedSecretFile: '{}'}}]}}", path.display());
    let keys = keys(&config(&entry));
    assert!(keys.are_ready() && keys.wait_for(0, None).await);
    assert_eq!(keys.ring().sets[0].as_ref().unwrap().keys().len(), 1);
    assert_eq!(refresh(&keys, 0).await, Refresh::Unchanged, "there is nothing to fetch");
    let status = keys.status();
    assert_eq!((status.len(), &*status[0].name, status[0].next), (1, "the configuration", None));
}
