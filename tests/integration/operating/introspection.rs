//! Tokens of bots that OpenMetadata does not accept any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::json;

use crate::support::eventually;
use crate::support::gateway::{Setup, text};
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::Token;
use crate::support::upstream::Upstream;

const ASKED: &str = "/api/v1/users/loggedInUser";

/// A gateway in front of a model of OpenMetadata, which answers questions about a token with the status.
fn stage(introspect: &'static str) -> (Stage, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let answered = status.clone();
    let upstream = Upstream::scripted(move |exchange| {
        let is_asked = exchange.request.head.target() == ASKED;
        let status = if is_asked { answered.load(Ordering::Relaxed) } else { 200 };
        exchange.reply(status, &[], "{}")
    });
    let issuer = Issuer::of(keys::rsa());
    let config =
        format!("backend: openmetadata\nauthentication: {{revocations: {{introspect: {introspect}}}}}\n");
    let stage = Stage::with(issuer, upstream, |setup| {
        setup.config(config).env("METAGATE_AUTHENTICATION__BACKEND_TOKENS", "true")
    });
    (stage, status)
}

fn questions(stage: &Stage) -> usize {
    stage.upstream.requests().iter().filter(|request| request.head.target() == ASKED).count()
}

#[test]
fn a_replaced_token_of_a_bot_is_revoked_at_once() {
    let (stage, status) = stage("bots");
    let current = Token::bot().claim("jti", json!("current"));
    assert_eq!(stage.gateway.get_as(&current, "/api/v1/tables").status, 200);
    assert_eq!(questions(&stage), 1, "before the first request is forwarded");
    status.store(401, Ordering::Relaxed);
    let replaced = Token::bot().claim("jti", json!("replaced"));
    assert_eq!(stage.gateway.get_as(&replaced, "/api/v1/replaced").status, 401);
    let record = stage.gateway.audit_of("/api/v1/replaced");
    assert_eq!(text(&record, "reason"), Some("revoked"));
    let detail = text(&record, "detail").unwrap_or_default();
    assert!(detail.contains("OpenMetadata no longer accepts it"), "{detail}");
    assert!(stage.upstream.requests().iter().all(|request| request.head.target() != "/api/v1/replaced"));
    // Its answer is kept, and that for the other token too.
    assert_eq!(stage.gateway.get_as(&replaced, "/api/v1/again").status, 401);
    assert_eq!(stage.gateway.get_as(&current, "/api/v1/tables").status, 200);
    assert_eq!(questions(&stage), 2);
    // Nobody else is asked about.
    assert_eq!(stage.gateway.get_as(&Token::user(), "/api/v1/user").status, 200);
    assert_eq!(questions(&stage), 2);
    let count = |result| stage.gateway.metric("metagate_introspections_total", &[("result", result)]);
    assert_eq!((count("active"), count("inactive"), count("failed")), (1.0, 1.0, 0.0));
    let status = stage.gateway.ask_admin("GET", "/status", &[]).json();
    assert_eq!(status["introspection"], json!({"tokens": 2, "refused": 2, "failure": null}));
}

#[test]
fn without_an_answer_a_bot_is_let_in_and_openmetadata_decides() {
    let (stage, status) = stage("bots");
    status.store(503, Ordering::Relaxed);
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/api/v1/tables").status, 200);
    let failure =
        || stage.gateway.ask_admin("GET", "/status", &[]).json()["introspection"]["failure"].clone();
    eventually("the failure", || failure().as_str().is_some_and(|text| text.contains("503")).then_some(()));
}

#[test]
fn nobody_is_asked_unless_it_is_configured() {
    let (stage, _) = stage("\"off\"");
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/api/v1/tables").status, 200);
    assert_eq!(questions(&stage), 0);
    assert!(stage.gateway.ask_admin("GET", "/status", &[]).json()["introspection"].is_null());
    let config = "backend: generic\nauthentication: {revocations: {introspect: bots}}\n";
    let refused = Setup::command(&["check", "--offline"]).config(config).finish();
    let errors = format!("{}{}", refused.stdout, refused.stderr);
    assert!(
        errors.contains("authentication.revocations.introspect") && errors.contains("backend generic"),
        "{errors}"
    );
}
