//! Only the backend's own tokens can be bot tokens.

use serde_json::json;
use tempfile::TempDir;

use super::{ALPHA, assert_outcomes};
use crate::support::gateway::{Setup, text};
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::Token;

/// The path of OpenMetadata's own key set.
const OWN: &str = "/api/v1/system/config/jwks";
const REFUSED: &str = "missing_expiry";

fn issuer() -> Issuer {
    let issuer = Issuer::empty();
    issuer.publish(OWN, &[keys::rsa().jwk_openmetadata()]);
    // Includes a copy of OpenMetadata's own key.
    issuer.publish("/idp", &[keys::p256().jwk(), keys::rsa().jwk()]);
    issuer
}

/// Bot tokens without `exp`, signed with the identity provider's key.
fn foreign_bots() -> [(&'static str, Token, &'static str); 4] {
    let by_idp = |token: Token| token.signed("ES256", keys::p256());
    [
        ("an identity provider's", by_idp(Token::bot().issuer(ALPHA)), REFUSED),
        (
            "isBot alone",
            by_idp(Token::user().issuer(ALPHA).claim("isBot", json!(true)).without("exp")),
            REFUSED,
        ),
        ("tokenType alone", by_idp(Token::bot().issuer(ALPHA).without("isBot")), REFUSED),
        ("with OpenMetadata's iss", by_idp(Token::bot()), REFUSED),
    ]
}

#[test]
fn simple_list_accepts_bots_only_from_openmetadata_keys() {
    let stage = Stage::configured(
        issuer(),
        &format!("authentication: {{publicKeyUrls: [ISSUER/idp, 'ISSUER{OWN}']}}"),
    );
    assert_outcomes(&stage, &foreign_bots());
    assert_outcomes(
        &stage,
        &[
            ("OpenMetadata's", Token::bot(), "allowed"),
            (
                "from the identity provider, with exp",
                Token::bot().expires_in(60).signed("ES256", keys::p256()),
                "allowed",
            ),
        ],
    );
    let token = Token::bot().expires_in(60).signed("ES256", keys::p256());
    assert_eq!(stage.gateway.get_as(&token, "/foreign").status, 200);
    assert_eq!(text(&stage.gateway.audit_of("/foreign"), "token_class"), Some("user"));
    stage.gateway.get_as(&Token::bot(), "/own");
    assert_eq!(text(&stage.gateway.audit_of("/own"), "token_class"), Some("bot"));
    let refused = &foreign_bots()[0].1;
    stage.gateway.get_as(refused, "/refused");
    let record = stage.gateway.audit_of("/refused");
    assert!(
        text(&record, "detail").is_some_and(|detail| detail.contains("isBot and tokenType are ignored")),
        "{record}"
    );
}

#[test]
fn simple_list_without_openmetadata_keys_identifies_bots_by_iss() {
    let stage = Stage::configured(issuer(), "authentication: {publicKeyUrls: [ISSUER/idp]}");
    assert_outcomes(&stage, &foreign_bots()[..3]);
    assert_outcomes(&stage, &[("OpenMetadata's", Token::bot(), "allowed")]);
}

#[test]
fn entry_accepts_bots_if_it_is_the_backends_or_configured() {
    let entries = format!(
        "authentication:\n  issuers:\n    - {{name: idp, issuer: {ALPHA}, publicKeyUrls: [ISSUER/idp] SAID}}\n    - {{name: om, issuer: open-metadata.org, publicKeyUrls: ['ISSUER/idp']}}\n"
    );
    let idp = Token::bot().issuer(ALPHA).signed("ES256", keys::p256());
    for (said, expected) in
        [("", REFUSED), (", backendTokens: true", "allowed"), (", backendTokens: false", REFUSED)]
    {
        let stage = Stage::configured(issuer(), &entries.replace(" SAID", said));
        assert_outcomes(
            &stage,
            &[(said, idp.clone(), expected), ("OpenMetadata's", Token::bot(), "allowed")],
        );
    }
}

#[test]
fn explain_shows_that_bot_claims_are_ignored() {
    let issuer = issuer();
    let config =
        format!("authentication: {{publicKeyUrls: ['{}', '{}']}}", issuer.url("/idp"), issuer.url(OWN));
    let directory = TempDir::new().expect("a directory");
    let explained = |token: &Token| {
        let path = directory.path().join("token");
        std::fs::write(&path, token.encode()).expect("a token");
        let arguments = ["explain", "--token-file", path.to_str().expect("a path")];
        let setup = Setup::command(&arguments).env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:1");
        setup.config(config.clone()).finish().stdout
    };
    let foreign = Token::bot().expires_in(60).signed("ES256", keys::p256());
    let ignored = "that it is of class bot is ignored: it is not one of the backend's own tokens";
    assert!(explained(&foreign).contains(ignored), "{}", explained(&foreign));
    let refused = explained(&foreign.claim("exp", json!(null)));
    let line = "FAILED claims: missing_expiry: exp: it is null, and its class is user; entry public-keys has allowNonExpiring: bots; isBot and tokenType are ignored: it is not one of the backend's own tokens";
    assert!(refused.lines().any(|own| own == line), "{refused}");
    assert!(!explained(&Token::bot()).contains("ignored"));
}
