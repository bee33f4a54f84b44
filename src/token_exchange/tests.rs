//! Which tokens an entry takes, and what becomes of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use serde_json::{Value, json};

use super::*;
use crate::claims::{ClaimRules, TokenClass};
use crate::test_support::{good_claims, open_rules, verified, with};

fn entry(subjects: &[&str], claims: &[(&str, Vec<ClaimValue>)]) -> ExchangeEntry {
    ExchangeEntry {
        issuer: "idp".into(),
        subjects: subjects.iter().map(|subject| (*subject).into()).collect(),
        claims: claims.iter().map(|(path, values)| (ClaimPath::new(path), values.clone())).collect(),
        user: Arc::new(MappedUser {
            index: 0,
            entry: "nightly".into(),
            user: "ingestion-bot".into(),
            email: Some("ingestion-bot@open-metadata.org".into()),
        }),
    }
}

fn exchange(entries: Vec<ExchangeEntry>, is_required: bool) -> TokenExchange {
    TokenExchange::new(entries, vec![ExchangeIssuer { name: "idp".into(), is_required }])
}

fn text(value: &str) -> ClaimValue {
    ClaimValue::String(value.into())
}

fn number(value: i64) -> ClaimValue {
    ClaimValue::Number(value.into())
}

#[track_caller]
fn is_taken(entry: ExchangeEntry, claims: Value) -> bool {
    let token = exchange(vec![entry], true).map(verified(claims));
    assert_eq!(token.mapped_user().is_none(), *token.mapping() == Mapping::Missing);
    token.mapped_user().is_some()
}

#[test]
fn the_user_takes_the_place_of_the_caller_and_nothing_is_smuggled() {
    let claims = json!({"sub": "job", "email": "boss@corp.example", "roles": ["Admin"], "isBot": true,
        "tokenType": "BOT", "scope": "metadata.write"});
    assert_eq!(verified(claims.clone()).class(), TokenClass::Bot);
    let token = exchange(vec![entry(&["job"], &[])], true).map(verified(claims));
    assert_eq!(
        (token.principal(), token.email()),
        ("ingestion-bot", Some("ingestion-bot@open-metadata.org"))
    );
    assert!(token.roles().is_empty() && !token.is_backends_own());
    assert_eq!(token.class(), TokenClass::User);
    assert_eq!((token.entry(), token.subject()), ("idp", Some("job")));
    assert_eq!(token.scopes(), ["metadata.write"].map(Box::<str>::from));
    let user = token.mapped_user().unwrap();
    assert_eq!((&*user.entry, &*user.user), ("nightly", "ingestion-bot"));
}

#[test]
fn subjects_are_compared_exactly() {
    let subject = "system:serviceaccount:spark:lineage";
    assert!(is_taken(entry(&["other", subject], &[]), json!({"sub": subject})));
    for other in [
        "system:serviceaccount:spark:lineage2",
        "system:serviceaccount:spark:line",
        "system:serviceaccount:spark:Lineage",
        "system:serviceaccount:spark:lineage ",
        "system:serviceaccount:*:lineage",
        "*",
        "",
    ] {
        assert!(!is_taken(entry(&[subject], &[]), json!({"sub": other, "email": "x@y"})), "{other}");
    }
    assert!(!is_taken(entry(&["*"], &[]), json!({"sub": subject})), "not a pattern");
}

#[test]
fn claims_are_compared_with_their_type() {
    let claims = json!({"text": "true", "yes": true, "id": "456789", "number": 456_789, "list": ["a", 1, [2]],
        "kubernetes.io": {"namespace": "spark"}, "null": null, "map": {"a": 1}});
    for (path, value, expected) in [
        ("text", text("true"), true),
        ("text", ClaimValue::Bool(true), false),
        ("yes", ClaimValue::Bool(true), true),
        ("yes", ClaimValue::Bool(false), false),
        ("yes", text("true"), false),
        ("id", text("456789"), true),
        ("id", number(456_789), false),
        ("number", number(456_789), true),
        ("number", text("456789"), false),
        ("list", text("a"), true),
        ("list", number(1), true),
        ("list", number(2), false),
        ("list", text("b"), false),
        ("\"kubernetes.io\".namespace", text("spark"), true),
        ("\"kubernetes.io\".namespace", text("spar"), false),
        ("\"kubernetes.io\".pod", text("spark"), false),
        ("absent", text(""), false),
        ("null", text("null"), false),
        ("null", text(""), false),
        ("map", text("a"), false),
    ] {
        let entry = entry(&[], &[(path, vec![text("another"), value.clone()])]);
        assert_eq!(is_taken(entry, claims.clone()), expected, "{path} {value:?}");
    }
}

#[test]
fn every_part_of_an_entry_must_be_met() {
    let both = || entry(&["job"], &[("ref", vec![text("main"), text("next")]), ("env", vec![text("prod")])]);
    let good = json!({"sub": "job", "ref": "next", "env": "prod"});
    assert!(is_taken(both(), good.clone()));
    for change in
        [json!({"sub": "other"}), json!({"ref": "pull/1"}), json!({"env": null}), json!({"env": "test"})]
    {
        assert!(!is_taken(both(), with(good.clone(), change.clone())), "{change}");
    }
}

#[test]
fn the_first_entry_that_takes_a_token_decides() {
    let named = |name: &str, subject: &str| {
        let mut entry = entry(&[subject], &[]);
        entry.user = Arc::new(MappedUser { entry: name.into(), ..(*entry.user).clone() });
        entry
    };
    let entries = vec![named("one", "a"), named("two", "b"), named("three", "b")];
    let token = exchange(entries, true).map(verified(json!({"sub": "b"})));
    assert_eq!(&*token.mapped_user().unwrap().entry, "two");
}

#[test]
fn unmapped_tokens_are_refused_or_stay_what_they_are() {
    let token = |is_required| {
        exchange(vec![entry(&["job"], &[])], is_required).map(verified(json!({"roles": ["R"]})))
    };
    assert_eq!(*token(true).mapping(), Mapping::Missing);
    let forwarded = token(false);
    assert_eq!((forwarded.mapping(), forwarded.principal()), (&Mapping::None, "ada"));
    assert_eq!(forwarded.roles(), ["R"].map(Box::<str>::from));
}

/// The same subject of another issuer is another workload.
#[test]
fn other_issuers_are_not_affected() {
    let issuers = vec![ExchangeIssuer { name: "other".into(), is_required: true }];
    let mut of_other = entry(&["ada"], &[]);
    of_other.issuer = "other".into();
    let exchange = TokenExchange::new(vec![of_other], issuers);
    assert_eq!(*exchange.map(verified(json!({"sub": "ada"}))).mapping(), Mapping::None);
    assert!(exchange.includes("other") && !exchange.includes("idp") && !exchange.is_empty());
    assert!(TokenExchange::default().is_empty());
}

/// An audience of somebody else in the list is enough to refuse the token.
#[test]
fn foreign_audiences_are_refused() {
    use crate::claims::{ClaimsFault, validate};
    use crate::numeric_date::NumericDate;
    use crate::test_support::{NOW, signed};

    let rules = |refuses_foreign_audiences| ClaimRules {
        audiences: vec!["metagate".into()],
        issuers: vec!["https://idp.example".into()],
        refuses_foreign_audiences,
        ..open_rules()
    };
    let fault = |rules: &ClaimRules, aud: Value| {
        let claims = with(good_claims(), json!({"aud": aud}));
        validate(signed(&claims), "idp", rules, NumericDate::from_secs(NOW)).err()
    };
    for aud in [json!("metagate"), json!(["metagate"]), json!(["account", "metagate"])] {
        assert_eq!(fault(&rules(true), aud), None);
    }
    for foreign in ["sts.amazonaws.com", "https://kubernetes.default.svc", "https://idp.example"] {
        for aud in [json!(["metagate", foreign]), json!([foreign, "metagate"])] {
            assert_eq!(fault(&rules(true), aud.clone()), Some(ClaimsFault::WrongAudience), "{aud}");
            assert_eq!(fault(&rules(false), aud), None);
        }
    }
}
