//! Credentials for key servers, which no other server may see.

use std::sync::{Arc, Mutex};

use super::stub::Request;
use super::*;

/// What a request carried.
fn carried(request: &Request) -> (Option<&str>, Option<&str>) {
    (request.field("authorization"), request.field("x-api-key"))
}

const ALL: (Option<&str>, Option<&str>) = (Some("Bearer first-token"), Some("s3cret-value"));
const NONE: (Option<&str>, Option<&str>) = (None, None);

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("token", "first-token\n");
        files
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    /// An entry with a bearer token and a header.
    fn entry(&self, more: &str) -> Config {
        let token = self.path("token");
        config(&format!(
            "{{issuers: [{{name: a, audiences: [b], bearerTokenFile: '{token}', headers: [{{name: X-Api-Key, value: \
             s3cret-value}}], {more}}}]}}"
        ))
    }
}

#[tokio::test]
async fn credentials_are_sent_and_the_token_is_read_for_each_fetch() {
    let files = Files::new();
    let stub = Stub::start(|_, _| ok(set_of(&["a"])));
    let keys = keys(&files.entry(&format!("issuer: x, publicKeyUrls: ['{}']", stub.url("/jwks"))));
    keys.fetch_all().await;
    assert_eq!(kids(&keys, 0), ["a"]);
    files.write("token", "second");
    keys.fetch_all().await;
    let requests = stub.requests();
    assert_eq!(carried(&requests[0]), ALL);
    assert_eq!(requests[1].field("authorization"), Some("Bearer second"));

    // A file that is not there yet, or not complete, fails the fetch and keeps the keys.
    for broken in ["", "two words", "line\nbreak", "caf\u{e9}"] {
        files.write("token", broken);
        keys.fetch_all().await;
        let failure = failure(&keys).unwrap();
        assert!(failure.ends_with("does not hold a bearer token"), "{failure}");
        assert!(failure.starts_with("credentials: the file ") && !failure.contains("words"), "{failure}");
    }
    std::fs::remove_file(files.path("token")).unwrap();
    keys.fetch_all().await;
    assert!(failure(&keys).unwrap().contains("cannot be read"));
    assert_eq!((kids(&keys, 0), stub.requests().len()), (vec!["a".to_owned()], 2));
}

#[tokio::test]
async fn a_redirect_to_another_origin_gets_no_credentials() {
    let files = Files::new();
    let elsewhere = Stub::start(|_, _| ok(set_of(&["a"])));
    let target = elsewhere.url("/jwks");
    let home = Stub::start(move |_, request| match &*request.path {
        "/moved" => redirect("/away"),
        _ => redirect(target.clone()),
    });
    let keys = keys(&files.entry(&format!("issuer: x, publicKeyUrls: ['{}']", home.url("/moved"))));
    keys.fetch_all().await;
    assert_eq!((kids(&keys, 0), failure(&keys)), (vec!["a".to_owned()], None));
    assert_eq!(home.requests().iter().map(carried).collect::<Vec<_>>(), [ALL, ALL], "within the origin");
    assert_eq!(elsewhere.requests().iter().map(carried).collect::<Vec<_>>(), [NONE]);
}

#[tokio::test]
async fn a_redirect_to_a_forbidden_address_is_not_followed() {
    let files = Files::new();
    let home = Stub::start(|_, _| redirect("http://169.254.169.254/latest"));
    let keys = keys(&files.entry(&format!("issuer: x, publicKeyUrls: ['{}']", home.url("/"))));
    keys.fetch_all().await;
    assert!(failure(&keys).unwrap().contains("metadata address"));
}

#[tokio::test]
async fn keys_that_a_discovery_document_finds_elsewhere_get_no_credentials() {
    let files = Files::new();
    let elsewhere = Stub::start(|_, _| ok(set_of(&["a"])));
    let target = elsewhere.url("/jwks");
    let own = Arc::new(Mutex::new(String::new()));
    let issuer = own.clone();
    let home = Stub::start(move |_, _| {
        ok(json!({"issuer": *issuer.lock().unwrap(), "jwks_uri": target}).to_string())
    });
    *own.lock().unwrap() = home.url("/idp");
    let keys = keys(&files.entry(&format!("issuer: '{}'", home.url("/idp"))));
    keys.fetch_all().await;
    assert_eq!((kids(&keys, 0), failure(&keys)), (vec!["a".to_owned()], None));
    assert_eq!(carried(&home.requests()[0]), ALL);
    assert_eq!(carried(&elsewhere.requests()[0]), NONE);
}

#[tokio::test]
async fn other_credentials_are_another_source() {
    let files = Files::new();
    let stub = Stub::start(|_, _| ok(set_of(&["a"])));
    let entry = |more: &str| files.entry(&format!("issuer: x, publicKeyUrls: ['{}']{more}", stub.url("/")));
    let before = keys(&entry(""));
    let same = Keys::after(&before, &entry("")).unwrap();
    assert!(Arc::ptr_eq(&before.entries[0].sources[0], &same.entries[0].sources[0]));
    let mut changed = entry("");
    changed.trust[0].access.headers[0].1 = "another".parse().unwrap();
    let other = Keys::after(&before, &changed).unwrap();
    assert!(!Arc::ptr_eq(&before.entries[0].sources[0], &other.entries[0].sources[0]));
    assert!(!format!("{before:?} {changed:?}").contains("s3cret"));
}
