//! Which bots may act as another user of OpenMetadata.

use super::*;
use crate::claims::{ClaimRules, OwnTokens};
use crate::policy::Impersonation;
use crate::test_support::{good_claims, open_rules, verified_by, with};

const WISH: (&str, &str) = ("x-impersonate-user", "ada");
const NOT_NAMED: &str = "openmetadata.impersonation does not name this bot";

fn allowing(bots: &[&str]) -> Authorizer {
    let mut authorizer = authorizer(Backend::OpenMetadata);
    let bots = bots.iter().map(|bot| (*bot).into()).collect();
    authorizer.policy.impersonation = Some(Impersonation { issuer: "https://idp.example".into(), bots });
    authorizer
}

fn wished(authorizer: &Authorizer, path: &str, rules: &ClaimRules, claims: Value) -> Result<Permit, Denial> {
    let facts = facts(authorizer.backend, "POST", path, &[BEARER, WISH]);
    decide(authorizer, &facts, Some(verified_by(rules, &with(good_claims(), claims))))
}

#[track_caller]
fn assert_denied(outcome: Result<Permit, Denial>, detail: &str) {
    let denial = outcome.expect_err(detail);
    assert_eq!(denial.reason, Reason::ImpersonationDenied);
    // The values follow; `admission/tests/details.rs` has them.
    assert!(denial.detail.as_ref().is_some_and(|found| found.starts_with(detail)), "{denial:?}");
}

#[test]
fn impersonation_requires_configuration() {
    let bot = json!({"sub": "a-bot", "isBot": true});
    assert_denied(
        wished(&authorizer(Backend::OpenMetadata), "/api/v1/tables", &open_rules(), bot.clone()),
        NOT_NAMED,
    );
    assert_denied(wished(&allowing(&[]), "/api/v1/tables", &open_rules(), bot.clone()), NOT_NAMED);
    let permit = wished(&allowing(&["b", "a-bot"]), "/api/v1/tables", &open_rules(), bot.clone()).unwrap();
    assert!(permit.impersonates());
    // Without the field there is nothing to allow.
    let permit = decide_for(&allowing(&["a-bot"]), "GET", "/api/v1/tables", bot).unwrap();
    assert!(!permit.impersonates());
    // Another backend gives the field no meaning.
    assert!(
        !wished(&authorizer(Backend::Generic), "/api/v1/tables", &open_rules(), json!({}))
            .unwrap()
            .impersonates()
    );
}

#[test]
fn impersonation_requires_a_named_bot_with_openmetadatas_own_token() {
    let foreign = ClaimRules { own_tokens: OwnTokens::None, ..open_rules() };
    let bot = |more: Value| with(json!({"sub": "a-bot", "isBot": true}), more);
    for (rules, claims, detail) in [
        (&open_rules(), bot(json!({"isBot": false})), "it is not a bot's token"),
        (&open_rules(), bot(json!({"isBot": "true"})), "it is not a bot's token"),
        (&open_rules(), bot(json!({"isBot": false, "tokenType": "BOT"})), "it is not a bot's token"),
        (
            &open_rules(),
            bot(json!({"isBot": false, "tokenType": "PERSONAL_ACCESS"})),
            "it is not a bot's token",
        ),
        (&foreign, bot(json!({})), "it is not a bot's token"),
        (&open_rules(), bot(json!({"sub": "a-bot-2"})), NOT_NAMED),
        (&open_rules(), bot(json!({"sub": "A-bot"})), NOT_NAMED),
        (&open_rules(), bot(json!({"iss": "https://other"})), "it is not a token of openmetadata.issuer"),
        (&open_rules(), bot(json!({"iss": null})), "it is not a token of openmetadata.issuer"),
    ] {
        assert_denied(wished(&allowing(&["a-bot"]), "/api/v1/tables", rules, claims), detail);
    }
    let mut session = facts(Backend::OpenMetadata, "GET", "/api/x", &[WISH]);
    session.has_session_cookie = true;
    assert_denied(decide(&authorizer(Backend::OpenMetadata), &session, None), "it is not a bot's token");
}

#[test]
fn impersonation_is_refused_on_identity_endpoints() {
    let bot = || json!({"sub": "a-bot", "isBot": true});
    let authorizer = allowing(&["a-bot"]);
    for path in [
        "/api/v1/users/security/token",
        "/api/v1/users/security/token/7b4b4a9e-6c2b-4d3f-9c39-0a1b2c3d4e5f",
        "/api/v1/users/generateToken/7b4b4a9e-6c2b-4d3f-9c39-0a1b2c3d4e5f",
        "/api/v1/users/revokeToken",
        "/api/v1/users/token/7b4b4a9e-6c2b-4d3f-9c39-0a1b2c3d4e5f",
        "/api/v1/users/auth-mechanism/7b4b4a9e-6c2b-4d3f-9c39-0a1b2c3d4e5f",
        "/api/v1/users/changePassword",
        "/api/v1/users/generateRandomPwd",
        "/api/v1/users/logout",
        "/catalog/api/v1/users/logout",
        // In every reading and letter case.
        "/api/v1/USERS/Logout",
        "/api/v1/users;x/logout;y",
        "/api/v1/%75sers/%6cogout",
        "/api/v1//users///logout",
        "/api/v1/users%2flogout",
        "/api/v1/users/logout/?x=y",
    ] {
        let detail = "identity endpoints do not allow impersonation";
        assert_denied(wished(&authorizer, path, &open_rules(), bot()), detail);
    }
    for path in
        ["/api/v1/users", "/api/v1/users/name/token", "/api/v1/tables/logout", "/api/v1/usersx/logout"]
    {
        assert!(wished(&authorizer, path, &open_rules(), bot()).is_ok(), "{path}");
    }
}

#[test]
fn in_report_mode_a_denied_impersonation_is_forwarded_without_it() {
    let mut authorizer = allowing(&["a-bot"]);
    authorizer.policy.mode = Mode::Report;
    let bot = |name: &str| json!({"sub": name, "isBot": true});
    let permit = wished(&authorizer, "/api/v1/tables", &open_rules(), bot("other")).unwrap();
    assert_eq!(permit.would_deny().map(|denial| denial.reason), Some(Reason::ImpersonationDenied));
    assert!(!permit.impersonates());
    let permit = wished(&authorizer, "/api/v1/users/logout", &open_rules(), bot("a-bot")).unwrap();
    assert!(!permit.impersonates());
    assert!(wished(&authorizer, "/api/v1/tables", &open_rules(), bot("a-bot")).unwrap().impersonates());
}
