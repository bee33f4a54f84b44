//! Tokens that the backends issue themselves.

use serde_json::json;

use super::{Expected, Provider, refused, user};
use crate::support::keys::{DATAHUB_SECRET, Key, p256, rsa};
use crate::support::token::{Token, now};

fn of_class(user: &'static str, groups: &'static str, class: &'static str) -> Expected {
    Expected { class, ..super::user(user, groups) }
}

/// Basic, LDAP and SAML logins, sessions of confidential clients, bots, personal access tokens.
#[test]
fn openmetadata() {
    let kid = "Gb389a-9f76-gdjs-a92j-0242bk94356";
    let own = |token: Token| token.header("kid", json!(kid));
    let mut bad = refused(&own(Token::user()), "RS256", rsa(), kid, false);
    bad.push((
        "another installation's name",
        own(Token::user().issuer("catalog.acme.example")),
        "untrusted_issuer",
    ));
    bad.push((
        "a token that never expires",
        own(Token::personal().claim("exp", json!(null))),
        "missing_expiry",
    ));
    bad.push((
        "a bot by another algorithm",
        own(Token::bot().signed("RS512", rsa())),
        "algorithm_not_allowed",
    ));
    let key = rsa().jwk_openmetadata();
    let key = super::merged(key, json!({"kid": kid}));
    let impersonation =
        Token::user().claim("tokenType", json!("BOT")).claim("impersonatedUser", json!("ingestion-bot"));
    Provider::new("openmetadata").keys_at("http://localhost:8585/api/v1/system/config/jwks", &[key]).check(
        &[
            ("basic, LDAP or SAML", own(Token::user()), user("ada", "DataConsumer")),
            ("a bot", own(Token::bot()), of_class("ingestion-bot", "IngestionBotRole", "bot")),
            (
                "a bot without exp",
                own(Token::bot().without("exp")),
                of_class("ingestion-bot", "IngestionBotRole", "bot"),
            ),
            (
                "a personal access token",
                own(Token::personal()),
                of_class("ada", "DataConsumer", "personal_access"),
            ),
            ("a bot that impersonates a user", own(impersonation), user("ada", "DataConsumer")),
            (
                "with an address in preferred_username",
                own(Token::user().without("email").claim("preferred_username", json!("Ada@acme.example"))),
                user("ada", "DataConsumer"),
            ),
        ],
        &bad,
    );
}

#[test]
fn datahub() {
    let of_type = |name: &str| Token::datahub().claim("type", json!(name));
    let stranger: &'static Key =
        Box::leak(Box::new(Key::secret("another-signing-key-of-quite-some-characters")));
    let no_kid = |token: Token| token.without_header("kid").without_header("typ");
    let bad = [
        ("another secret", no_kid(Token::datahub().signed("HS256", stranger)), "invalid_signature"),
        ("expired", Token::datahub().expires_in(-3600), "expired"),
        ("another installation's name", Token::datahub().issuer("datahub-elsewhere"), "untrusted_issuer"),
        ("no issuer", Token::datahub().without("iss"), "untrusted_issuer"),
        ("by a public key", no_kid(Token::datahub().signed("RS256", rsa())), "algorithm_not_allowed"),
        ("by another public key", no_kid(Token::datahub().signed("ES256", p256())), "algorithm_not_allowed"),
        ("a longer hash", no_kid(Token::datahub().header("alg", json!("HS512"))), "algorithm_not_allowed"),
        ("nobody's", Token::datahub().without("actorId").without("sub"), "missing_principal"),
        ("a session without exp", of_type("SESSION").without("exp"), "missing_expiry"),
        ("a session with exp null", of_type("SESSION").claim("exp", json!(null)), "missing_expiry"),
        (
            "one that says isBot",
            of_type("SESSION").without("exp").claim("isBot", json!(true)),
            "missing_expiry",
        ),
        ("another type without exp", of_type("OTHER").without("exp"), "missing_expiry"),
        ("no type and no exp", Token::datahub().without("type").without("exp"), "missing_expiry"),
    ];
    let late = Token::datahub().claim("exp", json!(now() + 365 * 86_400));
    Provider::new("datahub").secret_at("/run/secrets/datahub-signing-key", DATAHUB_SECRET).check(
        &[
            ("a personal access token", Token::datahub(), of_class("ada", "", "personal_access")),
            ("one for a year", late, of_class("ada", "", "personal_access")),
            (
                "one that never expires",
                Token::datahub().without("exp"),
                of_class("ada", "", "personal_access"),
            ),
            (
                "a service account's that never expires",
                of_type("SERVICE_ACCOUNT").without("exp"),
                of_class("ada", "", "service_account"),
            ),
            (
                "one of version 1",
                Token::datahub().claim("version", json!("1")),
                of_class("ada", "", "personal_access"),
            ),
            ("a session", of_type("SESSION"), of_class("ada", "", "session")),
            ("a service account", of_type("SERVICE_ACCOUNT"), of_class("ada", "", "service_account")),
        ],
        &bad,
    );
}
