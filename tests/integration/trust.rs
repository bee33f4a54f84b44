//! Which keys verify which tokens, and what each issuer's tokens must contain.

mod key_sets;
mod own_tokens;

use serde_json::json;

use crate::support::gateway::text;
use crate::support::issuer::{Issuer, JWKS, Reply};
use crate::support::keys::{self, DATAHUB_SECRET};
use crate::support::stage::Stage;
use crate::support::token::{Token, now};

const ALPHA: &str = "https://alpha.test";
const BETA: &str = "https://beta.test";

/// The reason of a refusal, or `allowed`.
#[track_caller]
fn outcome(stage: &Stage, token: &Token) -> String {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let path = format!("/case/{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let response = stage.gateway.get_as(token, &path);
    match response.status {
        200 => "allowed".to_owned(),
        401 => text(&stage.gateway.audit_of(&path), "reason").expect("a reason").to_owned(),
        status => panic!("{status}: {}", response.text()),
    }
}

/// Checks the outcomes of a table of tokens.
#[track_caller]
fn assert_outcomes(stage: &Stage, table: &[(&str, Token, &str)]) {
    let wrong: Vec<_> = table
        .iter()
        .map(|(name, token, expected)| (*name, outcome(stage, token), *expected))
        .filter(|(_, found, expected)| found != expected)
        .collect();
    assert!(wrong.is_empty(), "(case, found, expected): {wrong:#?}");
}

#[test]
fn simple_list_accepts_any_key_of_any_of_its_urls() {
    let issuer = Issuer::empty();
    issuer.publish("/one", &[keys::rsa().jwk()]);
    issuer.publish("/two", &[keys::p256().jwk()]);
    let stage = Stage::configured(issuer, "authentication: {publicKeyUrls: [ISSUER/one, ISSUER/two]}");
    assert_outcomes(
        &stage,
        &[
            ("a key of the first", Token::bot(), "allowed"),
            ("a key of the second", Token::user().signed("ES256", keys::p256()), "allowed"),
            ("any issuer", Token::user().issuer("https://anyone.test"), "allowed"),
            ("no issuer", Token::user().without("iss"), "allowed"),
            ("a key of neither", Token::user().signed("ES384", keys::p384()), "unknown_key"),
        ],
    );
}

#[test]
fn issuer_entry_takes_precedence_over_the_simple_list() {
    let issuer = Issuer::of(keys::rsa());
    issuer.publish("/alpha", &[keys::p256().jwk()]);
    let config = format!(
        "authentication:\n  publicKeyUrls: [ISSUER/jwks]\n  issuers: [{{name: alpha, issuer: {ALPHA}, publicKeyUrls: [ISSUER/alpha]}}]\n"
    );
    let stage = Stage::configured(issuer, &config);
    let alpha = Token::user().issuer(ALPHA);
    assert_outcomes(
        &stage,
        &[
            ("alpha with its own key", alpha.clone().signed("ES256", keys::p256()), "allowed"),
            ("alpha with a key of the list", alpha, "unknown_key"),
            ("another issuer with a key of the list", Token::user(), "allowed"),
            ("another issuer with alpha's key", Token::user().signed("ES256", keys::p256()), "unknown_key"),
        ],
    );
}

/// The holder of any key of the simple list can choose `iss`.
#[test]
fn entry_name_does_not_match_the_iss_of_a_simple_list_token() {
    let issuer = Issuer::of(keys::rsa());
    issuer.publish("/alpha", &[keys::p256().jwk()]);
    let config = format!(
        "authentication:\n  publicKeyUrls: [ISSUER/jwks]\n  issuers: [{{name: okta, issuer: {ALPHA}, publicKeyUrls: [ISSUER/alpha]}}]\nauthorization:\n  rules:\n    - {{name: by-name, match: {{paths: [/name]}}, require: {{issuers: [okta]}}}}\n    - {{name: by-iss, match: {{paths: [/iss]}}, require: {{issuers: [{ALPHA}]}}}}\n    - {{name: list, match: {{paths: [/list]}}, require: {{issuers: [public-keys]}}}}\n"
    );
    let stage = Stage::configured(issuer, &config);
    let alpha = Token::user().issuer(ALPHA).signed("ES256", keys::p256());
    let posing = Token::user().issuer("okta");
    let status =
        |token: &Token| ["/name", "/iss", "/list"].map(|path| stage.gateway.get_as(token, path).status);
    assert_eq!(status(&alpha), [200, 200, 403]);
    assert_eq!(status(&posing), [403, 403, 200]);
}

#[test]
fn openmetadata_algorithm_setting_restricts_the_simple_list() {
    let stage = Stage::plain(|setup| setup.env("AUTHENTICATION_TOKEN_VALIDATION_ALGORITHM", "\"RS384\""));
    assert_eq!(outcome(&stage, &Token::user().signed("RS384", keys::rsa())), "allowed");
    assert_eq!(outcome(&stage, &Token::user()), "algorithm_not_allowed");
}

#[test]
fn allow_non_expiring_says_which_tokens_need_no_expiry() {
    let bot = || Token::bot();
    let user = || Token::user().claim("exp", json!(null));
    let absent = |token: Token| token.without("exp");
    let mcp = || Token::user().claim("isBot", json!(true)).without("exp");
    let refused = "missing_expiry";
    for (setting, bots, users) in
        [("none", refused, refused), ("bots", "allowed", refused), ("any", "allowed", "allowed")]
    {
        let config = format!("authentication: {{publicKeyUrls: [ISSUER/jwks], allowNonExpiring: {setting}}}");
        let stage = Stage::configured(Issuer::of(keys::rsa()), &config);
        assert_outcomes(
            &stage,
            &[
                ("a bot, null", bot(), bots),
                ("a bot, absent", absent(bot()), bots),
                ("isBot alone", mcp(), bots),
                ("a user, null", user(), users),
                ("a user, absent", absent(user()), users),
                ("a personal token, absent", absent(Token::personal()), users),
                ("with expiry", Token::user(), "allowed"),
                ("a bot with expiry", bot().expires_in(60), "allowed"),
                ("an expired bot", bot().expires_in(-60), "expired"),
            ],
        );
    }
}

#[test]
fn issuer_entry_overrides_expiry_and_lifetime() {
    let config = format!(
        "authentication:\n  allowNonExpiring: any\n  issuers:\n    - {{name: alpha, issuer: {ALPHA}, publicKeyUrls: [ISSUER/jwks], allowNonExpiring: none, maxLifetime: 1h}}\n"
    );
    let stage = Stage::configured(Issuer::of(keys::rsa()), &config);
    let alpha = |issued: i64, expires: i64| {
        let now = now();
        Token::user().issuer(ALPHA).claim("iat", json!(now + issued)).claim("exp", json!(now + expires))
    };
    assert_outcomes(
        &stage,
        &[
            ("an hour", alpha(-10, 3590), "allowed"),
            ("one second too long", alpha(-10, 3591), "lifetime_too_long"),
            ("a year", alpha(0, 365 * 86_400), "lifetime_too_long"),
            ("without iat, from now", alpha(0, 7200).without("iat"), "lifetime_too_long"),
            ("no expiry", alpha(0, 0).without("exp"), "missing_expiry"),
        ],
    );
}

#[test]
fn clock_skew_is_tolerated_up_to_the_leeway() {
    for (leeway, inside, outside) in [("30s", 20, 45), ("0s", 0, 5), ("120s", 100, 140)] {
        let config = format!("authentication: {{publicKeyUrls: [ISSUER/jwks], leeway: {leeway}}}");
        let stage = Stage::configured(Issuer::of(keys::rsa()), &config);
        let nbf = |seconds: i64| Token::user().claim("nbf", json!(now() + seconds));
        let iat = |seconds: i64| Token::user().claim("iat", json!(now() + seconds));
        let table = [
            ("exp inside", Token::user().expires_in(if inside == 0 { 5 } else { -inside }), "allowed"),
            ("exp outside", Token::user().expires_in(-outside), "expired"),
            ("nbf inside", nbf(inside), "allowed"),
            ("nbf outside", nbf(outside), "not_yet_valid"),
            ("iat inside", iat(inside), "allowed"),
            ("iat outside", iat(outside), "not_yet_valid"),
        ];
        assert_outcomes(&stage, &table);
    }
}

#[test]
fn datahub_secret_verifies_only_datahub_tokens() {
    let stage = Stage::plain(|setup| setup.env("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", DATAHUB_SECRET));
    let renamed = Token::datahub().issuer("open-metadata.org");
    assert_outcomes(
        &stage,
        &[
            ("a personal access token", Token::datahub(), "allowed"),
            ("another issuer with the secret", renamed, "algorithm_not_allowed"),
            (
                "the issuer with a public key",
                Token::user().issuer("datahub-metadata-service"),
                "algorithm_not_allowed",
            ),
        ],
    );
    let stage = Stage::plain(|setup| {
        setup
            .env("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", DATAHUB_SECRET)
            .env("DATAHUB_TOKEN_SERVICE_ISSUER", "our-datahub")
    });
    assert_eq!(outcome(&stage, &Token::datahub().issuer("our-datahub")), "allowed");
    assert_ne!(outcome(&stage, &Token::datahub()), "allowed");
}

#[test]
fn entry_without_key_urls_uses_discovery() {
    let issuer = Issuer::of(keys::rsa());
    let base = issuer.url("");
    let document = json!({"issuer": base, "jwks_uri": issuer.url(JWKS)}).to_string();
    issuer.set("/.well-known/openid-configuration", Reply::Json(document));
    let stage = Stage::configured(issuer, "authentication: {issuers: [{name: found, issuer: \"ISSUER\"}]}");
    assert_eq!(outcome(&stage, &Token::user().issuer(&base)), "allowed");
    assert_eq!(outcome(&stage, &Token::user()), "untrusted_issuer");
}

#[test]
fn issuer_entry_restricts_token_types() {
    let issuer = Issuer::of(keys::rsa());
    let config = format!(
        "authentication:\n  issuers:\n    - {{name: alpha, issuer: {ALPHA}, publicKeyUrls: [ISSUER{JWKS}], tokenTypes: [at+jwt], requireTokenType: true, refuse: [idTokens]}}\n    - {{name: beta, issuer: {BETA}, publicKeyUrls: [ISSUER{JWKS}]}}\n"
    );
    let stage = Stage::configured(issuer, &config);
    let alpha = || Token::user().issuer(ALPHA).header("typ", json!("Application/AT+JWT"));
    let beta = || Token::user().issuer(BETA);
    let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    assert_outcomes(
        &stage,
        &[
            ("an access token", alpha(), "allowed"),
            ("typ JWT if at+jwt is required", alpha().header("typ", json!("JWT")), "malformed_token"),
            ("no typ if one is required", alpha().without_header("typ"), "malformed_token"),
            ("an ID token if those are refused", alpha().claim("nonce", json!("n")), "malformed_token"),
            (
                "a logout token, which this entry does not refuse",
                alpha().claim("events", events.clone()),
                "allowed",
            ),
            ("typ JWT", beta(), "allowed"),
            ("no typ", beta().without_header("typ"), "allowed"),
            ("an ID token", beta().claim("nonce", json!("n")).claim("at_hash", json!("h")), "allowed"),
            ("a logout token", beta().claim("events", events), "malformed_token"),
            ("a logout token by its typ", beta().header("typ", json!("logout+jwt")), "malformed_token"),
        ],
    );
    // A token of a refused type does not cause a key fetch.
    let strange = beta().header("typ", json!("dpop+jwt")).header("kid", json!("unknown"));
    let before = stage.issuer.hits(JWKS);
    assert_eq!(outcome(&stage, &strange), "malformed_token");
    assert_eq!(stage.issuer.hits(JWKS), before);
}
