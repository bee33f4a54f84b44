//! Short ingestions of both Python clients, as `tests/real/exchange/run --trace` recorded them, through the exchange.

use serde_json::Value;

use super::gms::Gms;
use super::{SPARK, Scene, issuer, minted, workload};
use crate::forwarding::recorded::{Recorded, arrived};
use crate::support::gateway::{Gateway, Setup};
use crate::support::keys::DATAHUB_SECRET;
use crate::support::upstream::Upstream;
use crate::support::wire::Client;

const TRACE: &str = include_str!("../../data/ingestion-requests.jsonl");
/// Requests on protected and on public routes.
const OPENMETADATA: (usize, usize) = (9, 2);
const DATAHUB: (usize, usize) = (6, 3);
/// What each client asks first, and DataHub's again at the end. Nothing verifies the token there.
const PUBLIC: [&str; 2] = ["/api/v1/system/version", "/config"];

/// Sends the requests of one client; gives how many were on protected and on public routes.
#[track_caller]
fn replay(client: &str, gateway: &Gateway, upstream: &Upstream, user: (&str, &str)) -> (usize, usize) {
    let token = workload(SPARK).encode();
    let (mut protected, mut public) = (0, 0);
    for line in TRACE.lines() {
        let recorded = Recorded::read(line, &token);
        if recorded.client != client {
            continue;
        }
        let what = format!("{} {}", recorded.method, recorded.target);
        let mut connection = Client::connect(gateway.proxy);
        connection.send(recorded.bytes());
        let response = connection.response().unwrap_or_else(|error| panic!("{what}: {error}"));
        let request = upstream.request_to(&recorded.target);
        let unchanged = |fields: Vec<(String, String)>| {
            fields.into_iter().filter(|(name, _)| name != "authorization").collect::<Vec<_>>()
        };
        assert_eq!(unchanged(arrived(&request)), unchanged(recorded.end_to_end()), "{what}");
        assert_eq!(request.body, recorded.body, "{what}");
        if PUBLIC.contains(&recorded.target.as_str()) {
            assert_eq!(request.head.value("authorization"), None, "{what}: the job's own token");
            public += 1;
            continue;
        }
        // The models verify the minted token.
        assert_eq!(response.status, 200, "{what}: {}", response.text());
        let (claim, name) = user;
        assert_eq!(minted(&request.head)[claim], Value::from(name), "{what}");
        protected += 1;
    }
    (protected, public)
}

#[test]
fn a_recorded_ingestion_into_openmetadata_is_exchanged() {
    let scene = Scene::plain();
    let counts =
        replay("openmetadata-ingestion", &scene.gateway, &scene.backend.upstream, ("sub", "lineage-bot"));
    assert_eq!(counts, OPENMETADATA, "requests on protected and public routes");
}

#[test]
fn a_recorded_ingestion_into_datahub_is_exchanged() {
    let (issuer, gms) = (issuer(), Gms::start());
    let user = "service_6f0c1c55-0b6e-4c7e-a7a5-0d8f5c1b2a3e";
    let config = format!(
        "backend: datahub-gms
authentication:
  issuers:
    - {{name: cluster, issuer: https://cluster.example, publicKeyUrls: ['{}'], audiences: [metagate]}}
mint: {{issuer: 'https://metagate.example/backend', datahub: {{signingKey: {DATAHUB_SECRET}}}}}
exchange:
  - name: spark
    from: {{issuer: cluster, subjects: ['{SPARK}']}}
    as: {{user: {user}}}
",
        issuer.url("/cluster")
    );
    let gateway = Setup::run().config(config).env("METAGATE_UPSTREAM__URL", gms.upstream.url()).start();
    gateway.wait_ready();
    let counts = replay("acryl-datahub", &gateway, &gms.upstream, ("actorId", user));
    assert_eq!(counts, DATAHUB, "requests on protected and public routes");
}
