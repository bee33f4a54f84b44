//! The files of `docs/providers`, read from their pages and tested with key sets and tokens
//! in each provider's format. The keys are generated here.

mod identity_providers;
mod own_tokens;

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::gateway::{Setup, text};
use crate::support::issuer::{Issuer, Reply};
use crate::support::keys::{Key, key_set, other_rsa, url64};
use crate::support::stage::Stage;
use crate::support::token::{Token, now};
use crate::support::upstream::Upstream;

/// The pages, one after the other.
fn pages() -> String {
    let folder = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/providers")).expect("the folder");
    folder.map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("a page")).collect()
}

/// The files of the pages by name.
fn snippets() -> BTreeMap<String, String> {
    let document = pages();
    let mut found = BTreeMap::new();
    for part in document.split("<!-- snippet: ").skip(1) {
        let (name, rest) = part.split_once(" -->\n").expect("a name");
        let block = rest.strip_prefix("```yaml\n").expect("a block right after its name");
        let (block, _) = block.split_once("```").expect("an end of the block");
        assert!(found.insert(name.to_owned(), block.to_owned()).is_none(), "{name} is a duplicate");
    }
    found
}

/// The entry of that name.
pub(crate) fn snippet(name: &str) -> String {
    snippets().remove(name).unwrap_or_else(|| panic!("no entry {name} in the document"))
}

/// One entry of the document, adapted to local servers.
struct Provider {
    name: &'static str,
    config: String,
    issuer: Issuer,
    files: TempDir,
}

/// What is expected for an accepted token.
struct Expected {
    user: &'static str,
    groups: Option<&'static str>,
    class: &'static str,
}

fn user(user: &'static str, groups: &'static str) -> Expected {
    Expected { user, groups: (!groups.is_empty()).then_some(groups), class: "user" }
}

impl Provider {
    fn new(name: &'static str) -> Self {
        let config = snippet(name);
        let files = TempDir::new().expect("a directory");
        Self { name, config, issuer: Issuer::empty(), files }
    }

    /// Replaces a text in the entry, which must contain it.
    fn replace(mut self, old: &str, new: &str) -> Self {
        assert!(self.config.contains(old), "{old} is not in the entry {}", self.name);
        self.config = self.config.replace(old, new);
        self
    }

    /// Serves these keys in place of the provider, under the path of its URL.
    fn keys_at(self, url: &str, keys: &[Value]) -> Self {
        let (_, path) = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).expect("a path");
        let path = format!("/{path}");
        self.issuer.set(&path, Reply::Json(key_set(keys)));
        let own = self.issuer.url(&path);
        self.replace(url, &own)
    }

    /// Replaces the path of a secret in the entry with a file that has this secret.
    fn secret_at(self, path: &str, secret: &str) -> Self {
        let own = self.files.path().join("secret");
        fs::write(&own, format!("{secret}\n")).expect("a secret");
        self.replace(path, own.to_str().expect("a path"))
    }

    /// Tests the entry with tokens that it must accept and tokens that it must refuse.
    #[track_caller]
    fn check(self, good: &[(&str, Token, Expected)], bad: &[(&str, Token, &str)]) {
        let upstream = Upstream::echo();
        let gateway = Setup::run().env("METAGATE_UPSTREAM__URL", upstream.url()).config(&self.config).start();
        gateway.wait_ready();
        let stage = Stage { gateway, upstream, issuer: self.issuer };
        let mut wrong = Vec::new();
        for (index, (case, token, expected)) in good.iter().enumerate() {
            let path = format!("/api/good/{index}");
            let response = stage.gateway.get_as(token, &path);
            if response.status != 200 {
                wrong.push(format!("{case}: {} {}", response.status, response.text()));
                continue;
            }
            let request = stage.upstream.request_to(&path);
            let record = stage.gateway.audit_of(&path);
            let field = |name| request.head.value(name);
            let found =
                (field("x-forwarded-user"), field("x-forwarded-groups"), text(&record, "token_class"));
            if found != (Some(expected.user), expected.groups, Some(expected.class)) {
                wrong.push(format!("{case}: {found:?}"));
            }
        }
        for (index, (case, token, expected)) in bad.iter().enumerate() {
            let path = format!("/api/bad/{index}");
            let response = stage.gateway.get_as(token, &path);
            let record = stage.gateway.audit_of(&path);
            let found = text(&record, "reason").unwrap_or("allowed");
            let status = if *expected == "insufficient_permissions" { 403 } else { 401 };
            if found != *expected || response.status != status {
                wrong.push(format!("{case}: {} {found}, expected {expected}", response.status));
            }
        }
        assert!(wrong.is_empty(), "{}: {wrong:#?}", self.name);
        let requests = stage.upstream.requests().len();
        assert_eq!(requests, good.len(), "only valid tokens go upstream");
    }
}

/// Tokens that every provider's entry refuses, derived from one that it accepts. That one is signed
/// with `key`, which is in the set under `kid`. `audience` is whether the entry checks `aud`.
fn refused(
    good: &Token,
    alg: &str,
    key: &'static Key,
    kid: &str,
    audience: bool,
) -> Vec<(&'static str, Token, &'static str)> {
    let by = |key: &'static Key, kid: &str| good.clone().signed(alg, key).header("kid", json!(kid));
    let own = || by(key, kid);
    let issuer = good.text("iss");
    let slash = match issuer.strip_suffix('/') {
        Some(bare) => bare.to_owned(),
        None => format!("{issuer}/"),
    };
    let mut table = vec![
        ("expired", own().claim("iat", json!(now() - 7200)).expires_in(-3600), "expired"),
        ("no expiry", own().without("exp"), "missing_expiry"),
        ("a slash more or less in iss", own().issuer(&slash), "untrusted_issuer"),
        ("no issuer", own().without("iss"), "untrusted_issuer"),
        ("another's key under this kid", by(other_rsa_or(key), kid), "invalid_signature"),
        ("another's key under its own kid", by(other_rsa_or(key), "stranger"), "unknown_key"),
    ];
    if audience {
        table.push(("for another client", own().claim("aud", json!("another-client")), "wrong_audience"));
        table.push(("for nobody", own().without("aud"), "wrong_audience"));
    }
    table
}

/// A key that is in no set here.
fn other_rsa_or(key: &'static Key) -> &'static Key {
    if key.kid == crate::support::keys::p256().kid { crate::support::keys::other_p256() } else { other_rsa() }
}

/// The thumbprint and certificate that many providers add to a key. They must not be used, and
/// these are not even valid.
fn certificate(key: &Key) -> Value {
    let body = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, key.rsa_spki());
    json!({"x5t": url64(&key.public_bytes()[..20]), "x5c": [body]})
}

/// An RSA key as a JWK with these members, and without `alg` and `use` unless they are among them.
fn jwk(key: &Key, kid: &str, members: Value) -> Value {
    let mut jwk = key.jwk_with(json!({"kid": kid, "use": null}));
    let own = jwk.as_object_mut().expect("an object");
    own.extend(members.as_object().expect("an object").clone());
    jwk
}

fn merged(mut one: Value, more: Value) -> Value {
    one.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    one
}

#[test]
fn every_documented_entry_has_a_test() {
    let tried = [
        "auth0",
        "azure-v1",
        "azure-v2",
        "cognito-access",
        "cognito-id",
        "datahub",
        "google",
        "keycloak",
        "oidc",
        "okta",
        "onelogin",
        "openmetadata",
    ];
    let written: Vec<String> = snippets().into_keys().collect();
    assert_eq!(written, tried, "an entry without a test, or a test without an entry");
    assert_eq!(pages().matches("```yaml").count(), tried.len(), "a block without a name");
}
