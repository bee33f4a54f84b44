//! `exp`, `nbf`, `iat` and the lifetime, to the second.

use super::*;

const LEEWAY: i64 = 30;

/// The payload in OpenMetadata's documentation.
fn bot() -> Value {
    json!({
        "iss": "open-metadata.org", "sub": "ingestion-bot", "roles": ["IngestionBotRole"],
        "email": "ingestion-bot@open-metadata.org", "isBot": true, "tokenType": "BOT",
        "iat": 1_704_067_200, "exp": null,
    })
}

#[test]
fn exp_may_be_missing_only_if_the_rules_allow_it() {
    let user = with(bot(), json!({"isBot": false, "tokenType": "OM_USER"}));
    let datahub =
        |kind: &str| json!({"sub": "ada", "actorType": "USER", "actorId": "ada", "type": kind, "exp": null});
    let disguised = with(bot(), json!({"isBot": "true"}));
    for (claims, non_expiring, good) in [
        (bot(), NonExpiring::None, false),
        (bot(), NonExpiring::Bots, true),
        (bot(), NonExpiring::Any, true),
        (user.clone(), NonExpiring::None, false),
        (user.clone(), NonExpiring::Bots, false),
        (user.clone(), NonExpiring::Any, true),
        (user, NonExpiring::AccessTokens, false),
        (disguised, NonExpiring::Bots, false),
        (bot(), NonExpiring::AccessTokens, true),
        (
            with(bot(), json!({"isBot": false, "tokenType": "PERSONAL_ACCESS"})),
            NonExpiring::AccessTokens,
            true,
        ),
        (datahub("PERSONAL"), NonExpiring::Bots, false),
        (datahub("PERSONAL"), NonExpiring::AccessTokens, true),
        (datahub("SERVICE_ACCOUNT"), NonExpiring::AccessTokens, true),
        (datahub("OTHER"), NonExpiring::AccessTokens, false),
        (datahub("OTHER"), NonExpiring::Any, true),
        (datahub("SESSION"), NonExpiring::AccessTokens, false),
        (with(datahub("SESSION"), json!({"isBot": true})), NonExpiring::AccessTokens, false),
        // A session must expire.
        (datahub("SESSION"), NonExpiring::Any, false),
    ] {
        let mut rules = ClaimRules { non_expiring, ..open_rules() };
        rules.max_lifetime = Some(Duration::from_secs(1));
        for claims in [claims.clone(), without(claims, "exp")] {
            match validated(&rules, &claims) {
                Ok(token) => {
                    assert!(good, "{non_expiring:?} {claims}");
                    assert_eq!(token.expires(), None);
                    assert!(token.check_times(NumericDate::from_secs(i64::MAX)).is_ok());
                }
                Err(fault) => {
                    assert_eq!(
                        (fault, good),
                        (ClaimsFault::MissingExpiry, false),
                        "{non_expiring:?} {claims}"
                    );
                }
            }
        }
    }
}

#[test]
fn non_numeric_times_are_malformed() {
    let any = ClaimRules { non_expiring: NonExpiring::Any, ..open_rules() };
    for bad in [
        json!("1800000600"),
        json!(true),
        json!([]),
        json!([NOW + 600]),
        json!({}),
        json!(-1),
        json!(-0.5),
        json!(u64::MAX),
        json!(1e19),
        json!(""),
    ] {
        for name in ["exp", "nbf", "iat"] {
            assert_malformed(&any, &good(json!({name: bad})));
        }
    }
    // Null is only allowed for `exp`.
    assert_malformed(&any, &good(json!({"nbf": null})));
    assert_malformed(&any, &good(json!({"iat": null})));
}

#[test]
fn exp_is_the_first_second_of_expiry() {
    for (exp, now, good) in [
        (json!(NOW), NOW + LEEWAY - 1, true),
        (json!(NOW), NOW + LEEWAY, false),
        (json!(NOW), NOW + LEEWAY + 1, false),
        (json!(NOW), NOW, true),
        (json!(NOW as f64 + 0.5), NOW + LEEWAY, true),
        (json!(NOW as f64 + 0.5), NOW + LEEWAY + 1, false),
        (json!(0), NOW, false),
        (json!(i64::MAX), i64::MAX - 1, true),
    ] {
        let claims = with(without(good_claims(), "iat"), json!({"exp": exp}));
        let outcome = validated_at(&open_rules(), &claims, now);
        assert_eq!(outcome.is_ok(), good, "{exp} at {now}");
        assert!(outcome.err().is_none_or(|fault| fault == ClaimsFault::Expired), "{exp} at {now}");
    }
    let rules = ClaimRules { leeway: Duration::ZERO, ..open_rules() };
    let claims = good(json!({"exp": NOW}));
    assert!(validated_at(&rules, &claims, NOW - 1).is_ok());
    assert!(validated_at(&rules, &claims, NOW).is_err());
}

#[test]
fn nbf_and_iat_may_be_in_the_future_by_the_leeway() {
    for name in ["nbf", "iat"] {
        for (value, good) in [
            (json!(NOW), true),
            (json!(NOW + LEEWAY), true),
            (json!(NOW + LEEWAY + 1), false),
            (json!((NOW + LEEWAY) as f64 - 0.5), true),
            (json!((NOW + LEEWAY) as f64 + 0.5), false),
            (json!(NOW + 3600), false),
            (json!(0), true),
        ] {
            let outcome = validated(&open_rules(), &with(good_claims(), json!({name: value})));
            let fault = (!good).then_some(ClaimsFault::NotYetValid);
            assert_eq!(outcome.err(), fault, "{name} {value}");
        }
    }
}

#[test]
fn lifetime_is_measured_from_iat_or_from_now() {
    let rules = ClaimRules { max_lifetime: Some(Duration::from_secs(3600)), ..open_rules() };
    for (iat, exp, good) in [
        (Some(NOW - 3000), NOW + 600, true),
        (Some(NOW - 3000), NOW + 601, false),
        (Some(NOW), NOW + 3600, true),
        (Some(NOW), NOW + 3601, false),
        (None, NOW + 3600, true),
        (None, NOW + 3601, false),
        (Some(0), i64::MAX, false),
        (None, 1_000_000_000_000_000_000, false),
        (Some(NOW + 10), NOW, true),
    ] {
        let mut claims = json!({"sub": "ada", "exp": exp});
        if let Some(iat) = iat {
            claims["iat"] = iat.into();
        }
        let fault = (!good).then_some(ClaimsFault::LifetimeTooLong);
        assert_eq!(validated(&rules, &claims).err(), fault, "{iat:?} {exp}");
    }
    let no_limit = good(json!({"exp": 1_000_000_000_000_000_000_i64}));
    assert!(validated(&open_rules(), &no_limit).is_ok());
    let forever = ClaimRules { max_lifetime: Some(Duration::MAX), ..open_rules() };
    assert!(validated(&forever, &no_limit).is_ok());
}

#[test]
fn times_can_be_checked_again_later() {
    let token = verified(json!({"exp": NOW + 10}));
    assert_eq!(token.check_times(NumericDate::from_secs(NOW + 10 + LEEWAY - 1)), Ok(()));
    assert_eq!(token.check_times(NumericDate::from_secs(NOW + 10 + LEEWAY)), Err(ClaimsFault::Expired));
    // The clock was set back.
    assert_eq!(token.check_times(NumericDate::from_secs(NOW - 3600)), Err(ClaimsFault::NotYetValid));
}

#[test]
fn a_token_is_valid_until_exp_and_the_leeway() {
    let until = |claims: Value| verified(claims).valid_until();
    assert_eq!(until(json!({"exp": NOW + 60})), Some(NumericDate::from_secs(NOW + 60 + LEEWAY)));
    let endless = verified_by(&ClaimRules { non_expiring: NonExpiring::Any, ..open_rules() }, &bot());
    assert_eq!(endless.valid_until(), None);
}
