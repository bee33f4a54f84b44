//! Which tokens may determine their own class.

use super::*;

fn rules(own_tokens: OwnTokens) -> ClaimRules {
    ClaimRules { own_tokens, ..open_rules() }
}

fn known(issuers: &[&str]) -> OwnTokens {
    OwnTokens::Known(issuers.iter().map(|issuer| (*issuer).into()).collect())
}

#[test]
fn class_counts_only_in_the_backends_own_tokens() {
    let bot = good(json!({"isBot": true}));
    let kind = good(json!({"tokenType": "BOT"}));
    let personal = good(json!({"tokenType": "PERSONAL_ACCESS"}));
    let account = good(json!({"actorType": "USER", "type": "SERVICE_ACCOUNT"}));
    for (own_tokens, own) in [
        (OwnTokens::All, true),
        (known(&["https://idp.example"]), true),
        (known(&["open-metadata.org", "https://idp.example"]), true),
        (OwnTokens::None, false),
        (OwnTokens::default(), false),
        (known(&["https://idp.example/", "idp", ""]), false),
    ] {
        let rules = rules(own_tokens);
        for (claims, class) in [
            (&bot, TokenClass::Bot),
            (&kind, TokenClass::Bot),
            (&personal, TokenClass::PersonalAccess),
            (&account, TokenClass::ServiceAccount),
        ] {
            let token = validated(&rules, claims).unwrap();
            let expected = if own { class } else { TokenClass::User };
            assert_eq!((token.is_backends_own(), token.class()), (own, expected), "{rules:?} {claims}");
            assert_eq!(token.claimed_class(), class);
        }
    }
    let no_issuer = without(bot, "iss");
    assert_eq!(validated(&rules(known(&[""])), &no_issuer).unwrap().class(), TokenClass::User);
}

#[test]
fn key_of_openmetadatas_set_makes_a_token_its_own() {
    use crate::jose::{KeyDialect, KeySet, ParsedKeys, UnverifiedToken};
    use crate::test_support::{MAX_BYTES, P256, document};
    use crate::trust::{self, TrustedIssuer};

    let claims = good(json!({"isBot": true, "exp": null}));
    let text = P256.token(Algorithm::ES256, Some("a"), &claims);
    let validated = |dialect, own_tokens| {
        let document = document(&[P256.jwk_named("a")]);
        let keys = KeySet::new(ParsedKeys::parse(document.as_bytes(), dialect).unwrap().usable);
        let rules = ClaimRules { non_expiring: NonExpiring::Bots, ..rules(own_tokens) };
        let entry = TrustedIssuer { rules, ..crate::test_support::entry("idp", &[]) };
        let token = UnverifiedToken::parse(&text, MAX_BYTES).unwrap();
        trust::verify(&token, &entry, Some(&keys), NumericDate::from_secs(NOW)).map(|token| token.class())
    };
    let foreign = Err(trust::TokenFault::Claims(ClaimsFault::ForeignBot(BotPrivilege::Expiry)));
    assert_eq!(validated(KeyDialect::OpenMetadata, OwnTokens::default()), Ok(TokenClass::Bot));
    assert_eq!(validated(KeyDialect::OpenMetadata, OwnTokens::None), foreign);
    assert_eq!(validated(KeyDialect::Standard, OwnTokens::default()), foreign);
    assert_eq!(validated(KeyDialect::Standard, OwnTokens::All), Ok(TokenClass::Bot));
}

#[test]
fn foreign_bots_have_no_bot_privileges() {
    let rule = DomainRule {
        principal_domain: "example.org".into(),
        allowed: Vec::new(),
        own_issuer: "https://idp.example".into(),
        own_key_id: "own-key".into(),
    };
    let mapping = PrincipalMapping { username: "login".into(), email: "mail".into() };
    let mapped = PrincipalRules { mapping: Some(mapping), ..open_rules().principal };
    let bot = good(json!({"isBot": true}));
    for (claims, rules, privilege) in [
        (
            with(bot.clone(), json!({"exp": null})),
            ClaimRules { non_expiring: NonExpiring::Bots, ..open_rules() },
            BotPrivilege::Expiry,
        ),
        (bot.clone(), ClaimRules { principal: mapped, ..open_rules() }, BotPrivilege::Mapping),
        // The kid and iss of OpenMetadata's own tokens do not make a token its own either.
        (bot.clone(), ClaimRules { domain: Some(rule), ..open_rules() }, BotPrivilege::Domain),
    ] {
        assert_eq!(validated(&rules, &claims).map(|token| token.class()), Ok(TokenClass::Bot));
        let foreign = ClaimRules { own_tokens: OwnTokens::None, ..rules };
        assert_fault(&foreign, &claims, ClaimsFault::ForeignBot(privilege));
    }
    // A bot would be refused too, so the fault does not mention bots.
    let rules = ClaimRules { non_expiring: NonExpiring::None, ..rules(OwnTokens::None) };
    assert_fault(&rules, &with(bot, json!({"exp": null})), ClaimsFault::MissingExpiry);
}
