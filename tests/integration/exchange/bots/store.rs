//! The allow-list in the store that replicas share.

use serde_json::json;

use super::{Bots, RULES, TABLES, config, id, start};
use crate::exchange::openmetadata::OpenMetadata;
use crate::exchange::{directory, write_key};
use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup, text};
use crate::support::keys::third_rsa;
use crate::support::revocation_store::RevocationStore;

/// A gateway whose allow-list is in a store. `more` are further keys of the store.
fn bots_in(url: &str, more: &str) -> Bots {
    let (backend, files) = (OpenMetadata::start(), directory());
    write_key(&files.path().join("mint.pem"), third_rsa());
    let key = files.path().join("issuer.pem").display().to_string();
    assert_eq!(Setup::command(&["issuer", "init"]).arguments(&[&key]).finish().code, Some(0));
    let list = format!("bots: {{file: '{}'}}", files.path().join("bots.yaml").display());
    let store = format!("{{leeway: 0s, revocations: {{store: {{url: '{url}', poll: 100ms{more}}}}}}}");
    let config = config(&files, RULES).replace(&list, "bots: {store: true}");
    let config = config.replace("{leeway: 0s}", &store);
    assert!(config.contains("store: true") && config.contains("redis://"), "{config}");
    let setup = Setup::run().config(&*config).env("METAGATE_UPSTREAM__URL", backend.upstream.url());
    Bots::of(setup.start(), backend, files, config)
}

fn is_ready(gateway: &Gateway) -> bool {
    gateway.probe("/readyz").status == 200
}

#[test]
fn every_replica_follows_the_list_in_the_store() {
    let store = RevocationStore::start();
    let bots = bots_in(&store.url(), "");
    bots.gateway.wait_ready();
    let other = start(&bots.config, &bots.backend);
    other.wait_ready();
    bots.backend.change(|database| database.key_urls.push(other.health));
    let status_of = |token: &str| other.try_get_with(token, TABLES).map(|response| response.status);
    let token = bots.create(&["nightly", "--role", "ingestion", "--note", "a \"note\""]);
    eventually("the other replica", || (status_of(&token) == Some(200)).then_some(()));
    let members = store.members_of("bots");
    assert!(members.len() == 1 && members[0].contains(&id(&token)), "{members:?}");
    assert!(!members[0].contains(&token), "no token is in the store");
    // A second bot leaves the first as it is; a name is given once.
    let limited = bots.create(&["limited"]);
    let again = bots.run(&["create", "nightly", "--store"]);
    assert!(
        again.code == Some(1) && again.stderr.contains("exists") && again.stdout.is_empty(),
        "{}",
        again.stderr
    );
    let regenerated = bots.token(&["regenerate", "nightly", "--grace", "24h"]);
    bots.wait_for(&regenerated, 200);
    let listed = bots.run(&["list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    let revoked = bots.run(&["revoke", "nightly"]);
    assert!(revoked.stderr.contains("in the store") && revoked.stderr.contains("within a second"));
    for token in [&token, &regenerated] {
        bots.wait_for(token, 401);
        eventually("the other replica", || (status_of(token) == Some(401)).then_some(()));
    }
    assert_eq!(bots.refusal(&token, "/api/v1/revoked").1, "revoked");
    assert_eq!(status_of(&limited), Some(200));
    assert_eq!(bots.run(&["delete", "limited"]).code, Some(0));
    bots.wait_for(&limited, 401);
    let checked = Setup::command(&["check"]).config(&*bots.config);
    let checked = checked.env("METAGATE_UPSTREAM__URL", bots.backend.upstream.url()).finish();
    let line = "warning[bot-token-ends]: issuer.bots.store: the bot nightly has no token";
    assert!(checked.stdout.contains(line), "{}", checked.stdout);
}

#[test]
fn while_the_store_is_unknown_bots_are_told_to_try_again() {
    // Nothing listens there any more.
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let bots = bots_in(&format!("redis://{closed}/0"), "");
    let reason = eventually("the reason", || {
        let text = bots.gateway.probe("/readyz").text();
        // Of both lists.
        (text.matches("connection refused").count() == 2).then_some(text)
    });
    assert!(reason.contains("allow-list of bots from redis://") && !is_ready(&bots.gateway), "{reason}");
    let refused = bots.run(&["create", "nightly"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("connection refused"), "{}", refused.stderr);
    assert_eq!(refused.stdout, "", "no token without an entry in the list");
    let status = bots.gateway.ask_admin("GET", "/status", &[]).json();
    assert_eq!((&status["bots"]["source"], &status["bots"]["file"]), (&json!("store"), &json!(null)));
    assert!(status["bots"]["failure"].is_string() && status["bots"]["confirmed_at"].is_null(), "{status}");
}

#[test]
fn the_last_list_stays_until_it_is_too_old() {
    let store = RevocationStore::start();
    let bots = bots_in(&store.url(), ", maxStale: 1s");
    bots.gateway.wait_ready();
    let token = bots.create(&["nightly"]);
    store.go_away();
    let in_force = || bots.gateway.metric("metagate_bots_in_force", &[]);
    eventually("the gauge", || (in_force() == 0.0).then_some(()));
    eventually("the end of the trust", || (!is_ready(&bots.gateway)).then_some(()));
    let (status, reason, detail) = bots.refusal(&token, "/api/v1/stale");
    assert_eq!((status, &*reason), (503, "revocations_unavailable"), "{detail}");
    assert!(bots.gateway.probe("/readyz").text().contains("no current"), "the reason");
    store.come_back();
    eventually("the list", || is_ready(&bots.gateway).then_some(()));
    bots.wait_for(&token, 200);
    let record = bots.gateway.audit_of("/api/v1/stale");
    assert_eq!(text(&record, "decision"), Some("error"));
}
