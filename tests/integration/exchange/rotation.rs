//! Keys that are replaced while requests arrive, and replicas with the same files.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{
    OpenMetadata, SPARK, Scene, config, directory, issuer, openmetadata, start, workload, write_key,
};
use crate::support::gateway::{DELIBERATE, Gateway, Setup};
use crate::support::keys::{encryption_rsa, third_rsa};
use crate::support::message::Head;
use crate::support::token::parts;

fn kid(head: &Head) -> String {
    let credential = head.value("authorization").expect("a credential").rsplit(' ').next().expect("a token");
    let header = openmetadata::object(parts(credential).0).expect("a header");
    header["kid"].as_str().expect("a kid").to_owned()
}

/// The steps of `metagate mint rotate`, with requests of several workloads in between. No request fails.
#[test]
fn a_key_is_replaced_without_losing_a_request() {
    let (issuer, backend, files) = (issuer(), OpenMetadata::start(), directory());
    let (first, second) = (files.path().join("1.pem"), files.path().join("2.pem"));
    write_key(&first, third_rsa());
    write_key(&second, encryption_rsa());
    let file = files.path().join("metagate.yaml");
    let with_keys = |keys: &[&Path]| {
        let list: Vec<_> = keys.iter().map(|path| format!("'{}'", path.display())).collect();
        let text = config(&issuer, &files, "");
        let text = text.replace(&format!("['{}']", first.display()), &format!("[{}]", list.join(", ")));
        std::fs::write(&file, text).expect("the configuration");
    };
    with_keys(&[&first]);
    let gateway = start_from(&file, &backend);
    let mut kids = Vec::new();
    let mut at = 0;
    let mut ask = || {
        for _ in 0..5 {
            at += 1;
            let path = format!("/api/v1/rotation/{at}");
            let response = gateway.get_as(&workload(SPARK), &path);
            assert_eq!(response.status, 200, "{path}: {}", response.text());
            kids.push(kid(&backend.upstream.request_to(&path).head));
        }
    };
    ask();
    for keys in [vec![&*first, &*second], vec![&*second, &*first], vec![&*second]] {
        with_keys(&keys);
        assert_eq!(gateway.ask_admin("POST", "/reload", &[DELIBERATE]).status, 200);
        ask();
    }
    assert_eq!((kids.len(), kids.iter().collect::<BTreeSet<_>>().len()), (20, 2));
    assert_eq!(kids[9], kids[0], "published before it signs");
    assert_ne!(kids[10], kids[0]);
}

/// A gateway with this configuration file, whose keys the backend knows.
fn start_from(file: &Path, backend: &OpenMetadata) -> Gateway {
    let gateway = Setup::run()
        .env("METAGATE_UPSTREAM__URL", backend.upstream.url())
        .arguments(&["--config", file.to_str().expect("a path")])
        .start();
    gateway.wait_ready();
    backend.change(|database| database.key_urls = vec![gateway.health]);
    gateway
}

/// OpenMetadata knows the address of one of them only.
#[test]
fn replicas_with_the_same_files_are_one() {
    let scene = Scene::plain();
    let other = start(&config(&scene.issuer, &scene.files, ""), &scene.backend);
    assert_eq!(other.get_as(&workload(SPARK), "/api/v1/other").status, 200);
    assert_eq!(scene.gateway.get_as(&workload(SPARK), "/api/v1/first").status, 200);
    assert_eq!(kid(&scene.sent("/api/v1/other")), kid(&scene.sent("/api/v1/first")));
    let published = |health| {
        let response = crate::support::wire::get(health, "/mint/jwks.json", &[]);
        serde_json::from_slice::<Value>(&response.body).expect("a key set")
    };
    assert_eq!(published(other.health), published(scene.gateway.health));
}

/// An entry that is removed takes effect at once, also for tokens that were mapped before.
#[test]
fn a_reload_takes_the_entries_as_a_whole() {
    let (issuer, backend, files) = (issuer(), OpenMetadata::start(), directory());
    write_key(&files.path().join("1.pem"), third_rsa());
    let file = files.path().join("metagate.yaml");
    let text = config(&issuer, &files, "");
    std::fs::write(&file, &text).expect("the configuration");
    let gateway = start_from(&file, &backend);
    let reload = |text: &str| {
        std::fs::write(&file, text).expect("the configuration");
        gateway.ask_admin("POST", "/reload", &[DELIBERATE]).status
    };
    assert_eq!(gateway.get_as(&workload(SPARK), "/api/v1/1").status, 200);
    assert_eq!(
        reload(&text.replace("user: lineage-bot, email: lineage-bot@", "user: ada, email: ada@")),
        200
    );
    let response = gateway.get_as(&workload(SPARK), "/api/v1/2");
    assert!(response.text().contains("\"name\":\"ada\""), "{}", response.text());
    // A broken entry leaves the ones in force.
    assert_ne!(
        reload(&text.replace("user: lineage-bot, email: lineage-bot@", "user: admin, email: admin@")),
        200
    );
    assert!(gateway.get_as(&workload(SPARK), "/api/v1/3").text().contains("\"name\":\"ada\""));
    assert_eq!(reload(&text.replace("spark:lineage'", "spark:another'")), 200);
    assert_eq!(gateway.get_as(&workload(SPARK), "/api/v1/4").status, 403);
}
