//! Bots of our own: made by the command, used through an entry of `exchange`, and worth nothing anywhere else.

mod commands;
mod store;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::openmetadata::{OpenMetadata, object};
use super::{directory, minted, write_key};
use crate::support::eventually;
use crate::support::gateway::{Finished, Gateway, Setup, text};
use crate::support::keys::{p256, rsa, third_rsa};
use crate::support::token::{Token, compact, now, parts};
use crate::support::wire::{self, Response};

const TABLES: &str = "/api/v1/tables";
const RULES: &str = "authorization:
  rules:
    - {name: writers, match: {methods: [PUT]}, require: {anyRole: [ingestion]}}
";

/// A gateway with an OpenMetadata behind it, and the files of its bots.
struct Bots {
    gateway: Gateway,
    backend: OpenMetadata,
    files: TempDir,
    config: String,
}

impl Bots {
    /// With more sections in the configuration. `prepare` may write files before the start.
    #[track_caller]
    fn with(more: &str, prepare: impl FnOnce(&Path)) -> Self {
        let (backend, files) = (OpenMetadata::start(), directory());
        write_key(&files.path().join("mint.pem"), third_rsa());
        let key = Setup::command(&["issuer", "init"]).arguments(&[&path(&files, "issuer.pem")]).finish();
        assert_eq!(key.code, Some(0), "{}", key.stderr);
        prepare(files.path());
        let config = config(&files, more);
        let gateway = start(&config, &backend);
        Self::of(gateway, backend, files, config)
    }

    fn of(gateway: Gateway, backend: OpenMetadata, files: TempDir, config: String) -> Self {
        backend.change(|database| database.key_urls = vec![gateway.health]);
        Self { gateway, backend, files, config }
    }

    #[track_caller]
    fn plain() -> Self {
        Self::with(RULES, |_| {})
    }

    /// `metagate bot` with these arguments.
    fn run(&self, arguments: &[&str]) -> Finished {
        let setup = Setup::command(&["bot"]).arguments(arguments).config(&*self.config);
        setup.env("METAGATE_UPSTREAM__URL", self.backend.upstream.url()).finish()
    }

    /// The token that a command prints.
    #[track_caller]
    fn token(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(!parts(&done.stdout).0.is_empty(), "{}", done.stdout);
        assert!(!done.stderr.contains(&done.stdout), "the token is on standard output only");
        done.stdout
    }

    /// A new bot, once the gateway accepts it.
    #[track_caller]
    fn create(&self, arguments: &[&str]) -> String {
        let token = self.token(&[&["create"], arguments].concat());
        self.wait_for(&token, 200);
        token
    }

    fn wait_for(&self, token: &str, status: u16) {
        eventually("the changed list", || (self.status(token) == Some(status)).then_some(()));
    }

    /// `None` if the response is cut off because its token ends meanwhile.
    fn status(&self, token: &str) -> Option<u16> {
        self.gateway.try_get_with(token, TABLES).map(|response| response.status)
    }

    /// The reason of a refusal, which must not reach the backend.
    #[track_caller]
    fn refusal(&self, token: &str, target: &str) -> (u16, String, String) {
        let status = self.gateway.get_with(token, target).status;
        let record = self.gateway.audit_of(target);
        assert!(self.backend.upstream.requests().iter().all(|request| request.head.target() != target));
        let of = |name: &str| text(&record, name).unwrap_or_default().to_owned();
        (status, of("reason"), of("detail"))
    }

    fn list(&self) -> PathBuf {
        self.files.path().join("bots.yaml")
    }
}

fn path(files: &TempDir, name: &str) -> String {
    files.path().join(name).display().to_string()
}

fn config(files: &TempDir, more: &str) -> String {
    let at = |name| path(files, name);
    format!(
        "backend: openmetadata
authentication: {{leeway: 0s}}
mint: {{issuer: 'https://metagate.example/backend', keyFiles: ['{}']}}
issuer: {{url: 'https://metagate.example', audience: metagate, keyFiles: ['{}'], bots: {{file: '{}'}}}}
exchange:
  - name: bots
    from: {{bots: [nightly, limited]}}
    as: {{user: ingestion-bot, email: ingestion-bot@open-metadata.org}}
{more}",
        at("mint.pem"),
        at("issuer.pem"),
        at("bots.yaml")
    )
}

#[track_caller]
fn start(config: &str, backend: &OpenMetadata) -> Gateway {
    let gateway = Setup::run().config(config).env("METAGATE_UPSTREAM__URL", backend.upstream.url()).start();
    gateway.wait_ready();
    gateway
}

/// The claims of a token.
fn claims_of(token: &str) -> Map<String, Value> {
    object(parts(token).1).expect("a claims set")
}

/// The `jti` of a token.
fn id(token: &str) -> String {
    claims_of(token)["jti"].as_str().expect("an id").to_owned()
}

fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_default()
}

#[test]
fn a_bot_acts_as_the_user_of_the_configuration_and_its_token_stays_here() {
    let bots = Bots::plain();
    let token = bots.create(&["nightly", "--role", "ingestion", "--note", "for ci"]);
    let response = bots.gateway.get_with(&token, TABLES);
    assert_eq!(body(&response)["name"], "ingestion-bot");
    let head = bots.backend.upstream.request_to(TABLES).head;
    assert_ne!(head.value("authorization"), Some(&*format!("Bearer {token}")));
    assert_eq!(minted(&head)["sub"], "ingestion-bot");
    assert_eq!(head.value("x-forwarded-user"), Some("ingestion-bot"));
    assert_eq!(head.value("x-forwarded-groups"), None, "roles are for rules of metagate alone");
    assert!(!format!("{head:?}").contains(parts(&token).1));
    let record = bots.gateway.audit_of(TABLES);
    assert_eq!(
        (
            text(&record, "principal"),
            text(&record, "subject"),
            text(&record, "exchange"),
            text(&record, "issuer")
        ),
        (Some("ingestion-bot"), Some("nightly"), Some("bots"), Some("metagate"))
    );
    let list = fs::read_to_string(bots.list()).expect("a list");
    assert!(list.contains(&id(&token)) && !list.contains(parts(&token).2), "{list}");
    bots.gateway.assert_no_token_in_output();
}

#[test]
fn a_bots_token_is_nothing_at_the_backend_itself() {
    let bots = Bots::plain();
    let token = bots.create(&["nightly"]);
    let url = bots.backend.upstream.url();
    let address = url.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address");
    let authorization = format!("Bearer {token}");
    let response = wire::get(address, TABLES, &[("Authorization", &authorization)]);
    assert_eq!((response.status, &body(&response)["message"]), (401, &json!("Invalid token: no such key")));
    // Its key is not at the URL that OpenMetadata reads.
    let published = wire::get(bots.gateway.health, "/mint/jwks.json", &[]).text();
    assert!(published.contains("RSA") && !published.contains("P-256"), "{published}");
}

#[test]
fn roles_come_from_the_list_and_change_with_it() {
    let bots = Bots::plain();
    let token = bots.create(&["nightly", "--role", "ingestion"]);
    let put = || {
        let authorization = format!("Bearer {token}");
        let response =
            wire::send(bots.gateway.proxy, "PUT", TABLES, &[("Authorization", &authorization)], b"");
        response.status
    };
    assert_eq!(put(), 200);
    let list = fs::read_to_string(bots.list()).expect("a list");
    fs::write(bots.list(), list.replace("\"ingestion\"", "\"reader\"")).expect("a list");
    eventually("the other role", || (put() == 403).then_some(()));
    assert_eq!(bots.gateway.get_with(&token, TABLES).status, 200, "only the rule is about it");
    fs::write(bots.list(), list).expect("a list");
    eventually("the role again", || (put() == 200).then_some(()));
}

#[test]
fn another_network_is_refused_with_its_address() {
    let bots = Bots::with("trustedProxies: [127.0.0.1]\n", |_| {});
    let token = bots.token(&["create", "limited", "--source", "10.0.0.0/8", "--source", "2001:db8::/32"]);
    let from = |address: &str, target: &str| {
        let authorization = format!("Bearer {token}");
        let fields = [("Authorization", &*authorization), ("X-Forwarded-For", address)];
        wire::get(bots.gateway.proxy, target, &fields).status
    };
    eventually("the list", || (from("10.1.2.3", TABLES) == 200).then_some(()));
    assert_eq!((from("192.0.2.1", "/api/v1/else"), from("2001:db8::7", TABLES)), (403, 200));
    let record = bots.gateway.audit_of("/api/v1/else");
    assert_eq!(text(&record, "reason"), Some("insufficient_permissions"));
    let detail = text(&record, "detail").unwrap_or_default();
    assert!(
        detail.contains("192.0.2.1") && detail.contains("10.0.0.0/8") && detail.contains("limited"),
        "{detail}"
    );
}

#[test]
fn regenerating_with_a_grace_time_leaves_no_gap() {
    let bots = Bots::plain();
    let first = bots.create(&["nightly"]);
    let second = bots.token(&["regenerate", "nightly", "--grace", "24h"]);
    bots.wait_for(&second, 200);
    assert_eq!(bots.status(&first), Some(200), "both are accepted");
    let listed: Value = serde_json::from_str(&bots.run(&["list", "--json"]).stdout).expect("JSON");
    assert_eq!(listed[0]["tokens"][0]["jti"], id(&first));
    assert_eq!(listed[0]["tokens"][1]["jti"], id(&second));
    // Without one, the older tokens end at once, as in OpenMetadata.
    let third = bots.token(&["regenerate", "nightly"]);
    bots.wait_for(&third, 200);
    assert_eq!(bots.refusal(&first, "/api/v1/first").1, "revoked");
    assert_eq!(bots.refusal(&second, "/api/v1/second").1, "revoked");
}

#[test]
fn a_token_that_is_not_listed_is_revoked_also_from_the_cache() {
    let bots = Bots::plain();
    let token = bots.create(&["nightly"]);
    assert_eq!(bots.status(&token), Some(200));
    assert!(bots.gateway.metric("metagate_token_cache_total", &[("result", "hit")]) >= 1.0);
    assert_eq!(bots.run(&["revoke", "nightly", "--jti", &id(&token)]).code, Some(0));
    bots.wait_for(&token, 401);
    let (status, reason, detail) = bots.refusal(&token, "/api/v1/revoked");
    assert_eq!((status, &*reason), (401, "revoked"));
    assert!(detail.contains(&id(&token)) && detail.contains("issuer.bots"), "{detail}");
    let again = bots.run(&["revoke", "nightly"]);
    assert!(again.code == Some(1) && again.stderr.contains("has no token"), "{}", again.stderr);
    // A whole bot.
    let other = bots.create(&["limited"]);
    assert_eq!(bots.run(&["delete", "limited"]).code, Some(0));
    bots.wait_for(&other, 401);
    assert_eq!(bots.run(&["delete", "limited"]).code, Some(1));
}

/// With the issuer's key, but not by the command.
#[test]
fn forged_tokens_are_refused() {
    let key = p256();
    let bots = Bots::with(RULES, |files| {
        write_key(&files.join("issuer.pem"), key);
    });
    let good = bots.create(&["nightly"]);
    let (header, claims) = (object(parts(&good).0).expect("a header"), claims_of(&good));
    let forged = |changes: Value| {
        let mut claims = claims.clone();
        claims.extend(changes.as_object().expect("changes").clone());
        compact(Value::Object(header.clone()).to_string(), Value::Object(claims).to_string(), "ES256", key)
    };
    assert_eq!(bots.status(&forged(json!({}))), Some(200), "the forger has the key");
    let with_type = |typ: &str| {
        let header = json!({"alg": "ES256", "kid": header["kid"], "typ": typ}).to_string();
        compact(header, Value::Object(claims.clone()).to_string(), "ES256", key)
    };
    for (at, (what, token, wanted)) in [
        ("an id that is not listed", forged(json!({"jti": "0".repeat(32)})), (401, "revoked")),
        ("no id", forged(json!({"jti": null})), (401, "revoked")),
        ("another bot", forged(json!({"sub": "limited"})), (401, "revoked")),
        ("without an end", forged(json!({"exp": null})), (401, "missing_expiry")),
        ("for years", forged(json!({"exp": now() + 400 * 86_400})), (401, "lifetime_too_long")),
        ("of no kind", forged(json!({"tokenType": "USER"})), (401, "malformed_token")),
        (
            "of OpenMetadata's kind",
            forged(json!({"tokenType": null, "isBot": true})),
            (401, "malformed_token"),
        ),
        ("for another audience", forged(json!({"aud": "openmetadata"})), (401, "wrong_audience")),
        ("of another type", with_type("JWT"), (401, "malformed_token")),
    ]
    .into_iter()
    .enumerate()
    {
        let (status, reason, _) = bots.refusal(&token, &format!("/api/v1/forged/{at}"));
        assert_eq!((status, &*reason), wanted, "{what}");
    }
    // Roles in the token are not roles: this bot has none in the list.
    let smuggled =
        forged(json!({"roles": ["ingestion"], "groups": ["ingestion"], "isBot": true, "user": "admin"}));
    let authorization = format!("Bearer {smuggled}");
    let response =
        wire::send(bots.gateway.proxy, "PUT", "/api/v1/x", &[("Authorization", &authorization)], b"");
    assert_eq!(response.status, 403);
    assert_eq!(text(&bots.gateway.audit_of("/api/v1/x"), "rule"), Some("writers"));
    // Another key of the trusted world signs nothing for this issuer.
    let foreign =
        Token::of(Value::Object(claims.clone())).header("typ", json!("at+jwt")).signed("RS256", rsa());
    assert_eq!(bots.refusal(&foreign.encode(), "/api/v1/rsa").1, "algorithm_not_allowed");
}

#[test]
fn replicas_with_the_same_files_agree() {
    let bots = Bots::plain();
    let token = bots.create(&["nightly"]);
    let other = start(&bots.config, &bots.backend);
    bots.backend.change(|database| database.key_urls.push(other.health));
    assert_eq!(other.get_with(&token, TABLES).status, 200);
    assert_eq!(bots.run(&["revoke", "nightly"]).code, Some(0));
    bots.wait_for(&token, 401);
    eventually("the other replica", || {
        (other.try_get_with(&token, TABLES).map(|response| response.status) == Some(401)).then_some(())
    });
}

#[test]
fn without_a_list_no_bot_gets_in_and_a_broken_one_changes_nothing() {
    let bots = Bots::with(RULES, |files| fs::write(files.join("bots.yaml"), "- broken").expect("a list"));
    let in_force = || bots.gateway.metric("metagate_bots_in_force", &[]);
    assert_eq!(in_force(), 0.0);
    assert!(bots.gateway.probe("/readyz").text().contains("no bot is accepted"));
    let refused = bots.run(&["create", "nightly"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("is invalid and was not changed"));
    assert_eq!(refused.stdout, "", "no token without an entry in the list");
    fs::remove_file(bots.list()).expect("no list");
    let token = bots.create(&["nightly"]);
    assert_eq!((in_force(), bots.gateway.metric("metagate_bots", &[])), (1.0, 1.0));
    fs::write(bots.list(), "").expect("an empty file");
    eventually("the gauge", || (in_force() == 0.0).then_some(()));
    assert_eq!(bots.status(&token), Some(200), "the list that was in force stays");
    let failed = |log: &Value| {
        text(log, "message").is_some_and(|text| text.contains("allow-list of bots is not used"))
    };
    assert!(bots.gateway.logs().iter().any(failed));
    let status = bots.gateway.ask_admin("GET", "/status", &[("X-Metagate", "1")]).json();
    assert_eq!(status["bots"]["bots"], 1);
    assert!(status["bots"]["failure"].as_str().is_some_and(|text| text.contains("is empty")), "{status}");
}
