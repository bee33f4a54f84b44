//! What becomes of issued tokens: keys that are replaced, replicas, changed entries, revocations.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use super::super::{openmetadata, write_key};
use super::{Jobs, MAIN, claims, form, post, run};
use crate::support::eventually;
use crate::support::gateway::text;
use crate::support::keys::other_p256;
use crate::support::token::parts;

fn kid(token: &str) -> String {
    let header = openmetadata::object(parts(token).0).expect("a header");
    header["kid"].as_str().expect("a kid").to_owned()
}

/// The steps of `metagate issuer rotate`, while an ingestion runs. No request fails.
#[test]
fn keys_are_replaced_within_an_ingestion() {
    let jobs = Jobs::start();
    write_key(&jobs.files.path().join("issuer-2.pem"), other_p256());
    let files = jobs.files.path().display();
    let (first, second) = (format!("'{files}/issuer.pem'"), format!("'{files}/issuer-2.pem'"));
    let token = jobs.issued(&run());
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let later = std::thread::scope(|scope| {
        let ingestion = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let response = jobs.gateway.get_with(&token, "/api/v1/ingestion");
                assert_eq!(response.status, 200, "{}", response.text());
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        let progress = || {
            let before = sent.load(Ordering::Relaxed);
            eventually("more requests", || {
                assert!(!ingestion.is_finished(), "a request failed");
                (sent.load(Ordering::Relaxed) >= before + 3).then_some(())
            });
        };
        progress();
        jobs.reload(&format!("[{first}]"), &format!("[{first}, {second}]"));
        progress();
        assert_eq!(kid(&jobs.issued(&run())), kid(&token), "known before it signs");
        jobs.reload(&format!("[{first}, {second}]"), &format!("[{second}, {first}]"));
        progress();
        let later = jobs.issued(&run());
        progress();
        stop.store(true, Ordering::Relaxed);
        ingestion.join().expect("an ingestion without a failure");
        later
    });
    assert_ne!(kid(&later), kid(&token));
    assert_eq!(jobs.ask(&later, "/api/v1/later").0, 200);
    // Removed too early, or because it was stolen.
    jobs.reload(&format!("[{second}, {first}]"), &format!("[{second}]"));
    assert_eq!(jobs.refusal(&token, "/api/v1/removed"), (401, "unknown_key".to_owned()));
    assert_eq!(jobs.ask(&later, "/api/v1/later").0, 200);
}

#[test]
fn replicas_with_the_same_files_are_one() {
    let jobs = Jobs::start();
    let other = jobs.replica();
    let here = jobs.issued(&run());
    let response = post(&other, &form(&run().encode()));
    let there = response.json()["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(kid(&here), kid(&there));
    assert_ne!(claims(&here)["jti"], claims(&there)["jti"]);
    for (gateway, token) in [(&other, &here), (&jobs.gateway, &there)] {
        assert_eq!(gateway.get_with(token, "/api/v1/tables").status, 200);
    }
}

/// The entry in force decides on each use.
#[test]
fn a_changed_entry_is_about_issued_tokens() {
    let jobs = Jobs::start();
    let token = jobs.issued(&run());
    let name = |path: &str| jobs.ask(&token, path).1["name"].clone();
    let refused = |path: &str| {
        let refused = jobs.refusal(&token, path);
        let detail = jobs.gateway.audit_of(path)["detail"].as_str().unwrap_or_default().to_owned();
        assert_eq!(refused, (403, "no_mapping".to_owned()), "{detail}");
        detail
    };
    assert_eq!(name("/api/v1/0"), "ingestion-bot");
    jobs.reload("user: ingestion-bot, email: ingestion-bot@", "user: ada, email: ada@");
    assert_eq!(name("/api/v1/1"), "ada");
    jobs.reload("ref: [refs/heads/main]", "ref: [refs/heads/next]");
    assert!(refused("/api/v1/2").contains("nightly-ci wants another value of ref"));
    jobs.reload("ref: [refs/heads/next]", "ref: [refs/heads/main], environment: [prod]");
    assert!(refused("/api/v1/3").contains("wants another value of environment"));
    jobs.reload(", environment: [prod]", "");
    assert_eq!(name("/api/v1/4"), "ada");
    jobs.reload("issuer: https://github.example,", "issuer: https://gitlab.example,");
    assert!(refused("/api/v1/5").contains("takes tokens of github, which has another iss now"));
    jobs.reload("issuer: https://gitlab.example,", "issuer: https://github.example,");
    jobs.reload("name: nightly-ci", "name: nightly");
    assert!(refused("/api/v1/6").contains("does not exist any more"));
    jobs.reload("name: nightly", "name: nightly-ci");
    jobs.reload("    tokenLifetime: 6h\n", "");
    assert!(refused("/api/v1/7").contains("nightly-ci has no tokenLifetime any more"));
    // The job's own token goes on.
    assert_eq!(jobs.ask(&run().encode(), "/api/v1/8").1["name"], "ada");
}

/// Replaces a list atomically.
fn replace(list: &Path, text: &str) {
    let new = list.with_extension("new");
    std::fs::write(&new, text).expect("a list");
    std::fs::rename(new, list).expect("a new list");
}

/// By what the issued token has, and by what the job's token had.
#[test]
fn issued_tokens_are_revoked_with_the_jobs_token() {
    let jobs = Jobs::start();
    let list = jobs.files.path().join("revoked.yaml");
    replace(&list, "[]\n");
    let line = format!("authentication:\n  revocations: {{file: '{}'}}\n", list.display());
    jobs.reload("authentication:\n", &line);
    let job = run();
    let token = jobs.issued(&job);
    let own = claims(&token);
    let fingerprint = own["origin"]["fingerprint"].as_str().expect("digits").to_owned();
    let id = own["jti"].as_str().expect("an id").to_owned();
    let entries = [
        format!("- jti: {id}\n"),
        "- jti: run-1\n  issuer: github\n".to_owned(),
        format!("- sub: {MAIN}\n  issuer: https://github.example\n- fingerprint: {}\n", &fingerprint[..16]),
    ];
    let now_is = |expected: u16| {
        let path = format!("/api/v1/{expected}");
        eventually("the list to be in force", || {
            (jobs.gateway.try_get_with(&token, &path).is_some_and(|response| response.status == expected))
                .then_some(())
        });
    };
    for entry in entries {
        now_is(200);
        replace(&list, &entry);
        now_is(401);
        let by_own_id = entry.contains(&id);
        // No further token is issued either, unless only the issued one is revoked.
        assert_eq!(jobs.request(&job).status, if by_own_id { 200 } else { 401 }, "{entry}");
        replace(&list, "[]\n");
    }
    now_is(200);
    let record = eventually("a record of a refusal", || {
        let is_one = |record: &serde_json::Value| {
            text(record, "path") == Some("/api/v1/401") && text(record, "reason").is_some()
        };
        jobs.gateway.audit().into_iter().find(is_one)
    });
    assert_eq!(
        (text(&record, "reason"), text(&record, "subject"), text(&record, "issuer")),
        (Some("revoked"), Some(MAIN), Some("github"))
    );
    // Entries about others.
    let others = "- sub: ingestion-bot\n- jti: run-1\n  issuer: other\n- kid: rsa-1\n  issuer: metagate\n";
    replace(&list, &format!("{others}- jti: marker\n"));
    let marker = run().claim("jti", json!("marker")).encode();
    eventually("the list to be in force", || {
        let response = jobs.gateway.try_get_with(&marker, "/api/v1/marker");
        response.is_some_and(|response| response.status == 401).then_some(())
    });
    assert_eq!(jobs.ask(&token, "/api/v1/other").0, 200);
}
