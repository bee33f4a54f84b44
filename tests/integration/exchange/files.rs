//! `credential: tokenFile`.

use std::fs;

use super::{SPARK, directory, issuer, workload};
use crate::support::eventually;
use crate::support::gateway::{Setup, text};
use crate::support::upstream::Upstream;

#[test]
fn a_stored_token_is_read_again_when_it_changes() {
    let (issuer, upstream, files) = (issuer(), Upstream::echo(), directory());
    let file = files.path().join("token");
    let config = format!(
        "authentication:
  issuers:
    - {{name: cluster, issuer: https://cluster.example, publicKeyUrls: ['{}'], audiences: [metagate]}}
exchange:
  - name: spark
    from: {{issuer: cluster, subjects: ['{SPARK}']}}
    as: {{user: lineage}}
    credential: tokenFile
    tokenFile: {}
",
        issuer.url("/cluster"),
        file.display()
    );
    let gateway = Setup::run().env("METAGATE_UPSTREAM__URL", upstream.url()).config(config).start();
    gateway.wait_ready();
    let get = |path: &str| gateway.get_as(&workload(SPARK), path);
    let missing = get("/missing");
    assert_eq!((missing.status, missing.header("retry-after")), (503, Some("1")));
    let record = gateway.audit_of("/missing");
    assert_eq!(
        (text(&record, "reason"), text(&record, "principal")),
        (Some("credential_unavailable"), Some("lineage"))
    );
    assert!(
        text(&record, "detail")
            .is_some_and(|detail| detail.contains("exchange entry spark: its file cannot be read"))
    );
    assert!(upstream.requests().is_empty(), "the client's token took its place");

    let wait_for = |status: u16, credential: &str| {
        eventually("the file to be read", || {
            let response = get("/stored");
            let is_sent = || {
                let head = upstream.request_to("/stored").head;
                head.value("authorization") == Some(&format!("Bearer {credential}"))
            };
            (response.status == status && (status != 200 || is_sent())).then_some(())
        });
    };
    fs::write(&file, "stored-token-1\n").expect("a token");
    wait_for(200, "stored-token-1");
    // As the kubelet replaces a Secret.
    fs::write(files.path().join("next"), "stored-token-2").expect("a token");
    fs::rename(files.path().join("next"), &file).expect("replaced");
    wait_for(200, "stored-token-2");
    fs::remove_file(&file).expect("removed");
    wait_for(503, "");
    for stored in ["stored-token-1", "stored-token-2"] {
        assert!(!gateway.stderr().concat().contains(stored));
    }
    for request in upstream.requests() {
        assert!(
            request
                .head
                .value("authorization")
                .is_some_and(|value| value.starts_with("Bearer stored-token-"))
        );
    }
}
