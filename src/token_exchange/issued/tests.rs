//! What an issued token has in it, and what becomes of it when the configuration has changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use serde_json::json;

use super::*;
use crate::claims::{ClaimPath, ClaimRules, TokenClass, TokenKinds};
use crate::revocation::{Revocation, Revocations, RevokedBy};
use crate::test_support::{NOW, good_claims, open_rules, verified_by, with};
use crate::token_exchange::ExchangeIssuer;

const IDP: &str = "https://idp.example";
const HOUR: Duration = Duration::from_secs(3600);

fn text(value: &str) -> ClaimValue {
    ClaimValue::String(value.into())
}

/// Takes runs of `main` in one repository.
fn nightly() -> ExchangeEntry {
    ExchangeEntry {
        issuer: "idp".into(),
        subjects: vec!["job".into(), "other-job".into()],
        claims: vec![
            (ClaimPath::new("repository"), vec![text("41"), text("42")]),
            (ClaimPath::new("\"k8s.io\".groups"), vec![text("ci")]),
        ],
        user: Arc::new(MappedUser { index: 0, entry: "nightly".into(), user: "bot".into(), email: None }),
    }
}

fn issuance() -> Issuance {
    Issuance { entry: "nightly".into(), lifetime: HOUR, issuers: vec![IDP.into()] }
}

fn exchange_of(entry: ExchangeEntry, issuance: Vec<Issuance>) -> TokenExchange {
    let issuer = |name: &str| ExchangeIssuer { name: name.into(), is_required: true };
    TokenExchange::new(vec![entry], vec![issuer("idp"), issuer("metagate")]).with_issuance(issuance)
}

fn exchange() -> TokenExchange {
    exchange_of(nightly(), vec![issuance()])
}

/// A verified token of the issuer that is mapped, with more claims.
fn run(exchange: &TokenExchange, more: Value) -> VerifiedToken {
    let rules = ClaimRules { issuers: vec![IDP.into()], ..open_rules() };
    let usual = json!({
        "sub": "job", "jti": "run-1", "repository": "42", "k8s.io": {"groups": ["all", "ci"]},
        "roles": ["Admin"], "email": "boss@corp.example", "isBot": true, "scope": "all",
    });
    exchange.map(verified_by(&rules, &with(with(good_claims(), usual), more)))
}

/// The claims of the token that is issued for this one.
fn issued_claims(exchange: &TokenExchange, token: &VerifiedToken) -> Value {
    let grant = exchange.issue(token).unwrap();
    let mut claims = json!({
        "iss": "https://metagate.example", "aud": "metagate", "sub": grant.subject, "jti": "issued-1",
        "iat": NOW - 1, "exp": NOW + 600, "tokenType": "EXCHANGED",
    });
    for (name, value) in grant.claims {
        claims[name] = value;
    }
    claims
}

/// A token with these claims, verified as metagate's own.
fn own(claims: &Value) -> VerifiedToken {
    let rules = ClaimRules {
        issuers: vec!["https://metagate.example".into()],
        kinds: TokenKinds { own: true, ..TokenKinds::default() },
        ..open_rules()
    };
    let signed = crate::test_support::signed(claims);
    crate::claims::validate(signed, "metagate", &rules, NumericDate::from_secs(NOW)).unwrap()
}

/// The issued token, when it is used under this configuration.
fn used(exchange: &TokenExchange, claims: &Value) -> VerifiedToken {
    exchange.map(own(claims))
}

#[track_caller]
fn issued() -> Value {
    let exchange = exchange();
    issued_claims(&exchange, &run(&exchange, json!({})))
}

#[test]
fn an_issued_token_has_no_right_of_the_exchanged_one() {
    let (exchange, claims) = (exchange(), issued());
    let names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["aud", "exchange", "exp", "iat", "iss", "jti", "origin", "sub", "tokenType"]);
    let fingerprint = run(&exchange, json!({})).fingerprint().full().to_owned();
    assert_eq!(
        claims["origin"],
        json!({
            "iss": IDP, "jti": "run-1", "iat": NOW - 60, "kids": ["own-key"], "fingerprint": fingerprint,
            "claims": {"repository": "42", "\"k8s.io\".groups": "ci"},
        })
    );
    assert_eq!((&claims["sub"], &claims["exchange"]), (&json!("job"), &json!("nightly")));
    let text = claims.to_string();
    for word in ["Admin", "boss", "isBot", "scope", "bot\"", "all"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[test]
fn its_user_is_the_one_of_the_configuration() {
    let claims = with(issued(), json!({"roles": ["Admin"], "email": "boss@corp.example", "isBot": true}));
    let token = used(&exchange(), &claims);
    let user = token.mapped_user().unwrap();
    assert_eq!((&*user.entry, &*user.user), ("nightly", "bot"));
    assert_eq!((token.principal(), token.email(), token.subject()), ("bot", None, Some("job")));
    assert!(token.roles().is_empty() && !token.is_backends_own());
    assert_eq!(token.class(), TokenClass::User);
    // It is one of the workload's issuer, so rules about that see it.
    assert_eq!((token.entry(), token.issuer()), ("idp", Some(IDP)));
    assert!(token.is_from("idp") && token.is_from(IDP) && !token.is_from("metagate"));
    let mut entry = nightly();
    entry.user = Arc::new(MappedUser { user: "another".into(), ..(*entry.user).clone() });
    assert_eq!(used(&exchange_of(entry, vec![issuance()]), &claims).principal(), "another");
}

#[test]
fn only_a_mapped_token_of_an_entry_that_allows_it_is_exchanged() {
    let refusal = |exchange: &TokenExchange, token: &VerifiedToken| exchange.issue(token).err();
    let usual = exchange();
    assert_eq!(refusal(&usual, &run(&usual, json!({}))), None);
    assert_eq!(refusal(&usual, &run(&usual, json!({"sub": "x"}))), Some(NotIssued::Unmapped));
    assert_eq!(refusal(&usual, &run(&usual, json!({"repository": "43"}))), Some(NotIssued::Unmapped));
    let inline = exchange_of(nightly(), Vec::new());
    assert_eq!(refusal(&inline, &run(&inline, json!({}))), Some(NotIssued::OnlyInline));
    assert_eq!(refusal(&usual, &used(&usual, &issued())), Some(NotIssued::IssuedBefore));
    let bot = own(&with(issued(), json!({"tokenType": "BOT"})));
    assert_eq!(refusal(&usual, &usual.map(bot)), Some(NotIssued::IssuedBefore));
    let any = exchange_of(ExchangeEntry { subjects: Vec::new(), ..nightly() }, vec![issuance()]);
    for subject in [json!(""), json!(null), json!("s".repeat(MAX_NAME_BYTES + 1))] {
        let token = run(&any, json!({"sub": subject}));
        assert_eq!(refusal(&any, &token), Some(NotIssued::NoSubject), "{subject}");
    }
}

/// The entry in force decides about tokens that were issued before.
#[test]
fn a_changed_entry_is_about_issued_tokens_too() {
    let claims = issued();
    let why = |exchange: &TokenExchange| {
        let token = used(exchange, &claims);
        let outdated = exchange.user_of_issued(&token).err().map(|why| format!("{why:?}"));
        assert_eq!(outdated.is_some(), *token.mapping() == Mapping::Missing, "{outdated:?}");
        outdated.map(|why| why.split(['(', ' ']).next().unwrap_or_default().to_owned())
    };
    let changed = |change: &dyn Fn(&mut ExchangeEntry)| {
        let mut entry = nightly();
        change(&mut entry);
        why(&exchange_of(entry, vec![issuance()]))
    };
    assert_eq!(why(&exchange()), None);
    assert_eq!(changed(&|entry| entry.subjects.clear()), None);
    assert_eq!(changed(&|entry| entry.claims.clear()), None);
    assert_eq!(changed(&|entry| entry.claims[0].1 = vec![text("42")]), None);
    let is = |word: &str| Some(word.to_owned());
    assert_eq!(changed(&|entry| entry.subjects = vec!["other-job".into()]), is("Subject"));
    assert_eq!(changed(&|entry| entry.claims[0].1 = vec![text("41")]), is("Claim"));
    assert_eq!(changed(&|entry| entry.claims[0].1 = vec![ClaimValue::Number(42.into())]), is("Claim"));
    assert_eq!(
        changed(&|entry| entry.claims.push((ClaimPath::new("ref"), vec![text("main")]))),
        is("Claim"),
        "not asked for when it was issued"
    );
    assert_eq!(why(&exchange_of(nightly(), Vec::new())), is("NotIssuing"));
    let elsewhere = Issuance { issuers: vec!["https://other.example".into()], ..issuance() };
    assert_eq!(why(&exchange_of(nightly(), vec![elsewhere])), is("Issuer"));
    let mut renamed = nightly();
    renamed.user = Arc::new(MappedUser { entry: "weekly".into(), ..(*renamed.user).clone() });
    let weekly = Issuance { entry: "weekly".into(), ..issuance() };
    assert_eq!(why(&exchange_of(renamed, vec![weekly])), is("NoEntry"));
}

/// Only metagate signs such tokens; one that it does not understand has no user.
#[test]
fn what_was_not_written_here_has_no_user() {
    let exchange = exchange();
    let origin = issued()["origin"].clone();
    let without = |name: &str| {
        let mut origin = origin.clone();
        origin.as_object_mut().unwrap().remove(name);
        json!({"origin": origin})
    };
    for more in [
        json!({"exchange": null}),
        json!({"exchange": ["nightly"]}),
        json!({"exchange": "Nightly"}),
        json!({"origin": null}),
        json!({"origin": IDP}),
        without("iss"),
        without("kids"),
        without("fingerprint"),
        without("claims"),
        json!({"origin": with(origin.clone(), json!({"jti": 1}))}),
        json!({"origin": with(origin.clone(), json!({"iat": "now"}))}),
        json!({"origin": with(origin.clone(), json!({"kids": [1]}))}),
    ] {
        let token = used(&exchange, &with(issued(), more.clone()));
        assert_eq!(*token.mapping(), Mapping::Missing, "{more}");
        assert_eq!((token.entry(), token.origin()), ("metagate", None), "{more}");
    }
    for optional in ["jti", "iat"] {
        assert!(used(&exchange, &with(issued(), without(optional))).mapped_user().is_some(), "{optional}");
    }
}

#[test]
fn both_tokens_can_be_revoked() {
    let exchange = exchange();
    let token = used(&exchange, &issued());
    let (own, origin) = (token.fingerprint().full(), &token.origin().unwrap().fingerprint);
    let revoked = |by, value: &str, issuer: Option<&str>, before: Option<i64>| {
        let entry = Revocation::new(by, value).unwrap().of_issuer(issuer.map(Into::into));
        let entry = entry.issued_before(before.map(NumericDate::from_secs));
        let list = Revocations::new([entry], None).unwrap();
        list.find(&token, "").map(|found| found.by)
    };
    for (by, value) in [
        (RevokedBy::Id, "issued-1"),
        (RevokedBy::Id, "run-1"),
        (RevokedBy::Fingerprint, own),
        (RevokedBy::Fingerprint, origin),
        (RevokedBy::Fingerprint, &origin[..16]),
        (RevokedBy::Subject, "job"),
        (RevokedBy::Key, "own-key"),
    ] {
        assert_eq!(revoked(by, value, None, None), Some(by), "{value}");
    }
    for (by, value) in [(RevokedBy::Id, "run-2"), (RevokedBy::Subject, "bot"), (RevokedBy::Key, "other")] {
        assert_eq!(revoked(by, value, None, None), None, "{value}");
    }
    let id = RevokedBy::Id;
    for (value, issuer, expected) in [
        ("run-1", "idp", true),
        ("run-1", IDP, true),
        ("run-1", "metagate", false),
        ("issued-1", "metagate", true),
        ("issued-1", "https://metagate.example", true),
        ("issued-1", "idp", false),
    ] {
        assert_eq!(revoked(id, value, Some(issuer), None), expected.then_some(id), "{value} of {issuer}");
    }
    // The workload's tokens that were issued before a time, with everything that was issued for them since.
    let subject = |before| revoked(RevokedBy::Subject, "job", Some("idp"), Some(before));
    assert_eq!(subject(NOW - 30), Some(RevokedBy::Subject), "only the exchanged token is older");
    assert_eq!(subject(NOW - 60), None);
}

#[test]
fn the_exchanged_token_is_known_by_the_first_digits() {
    let token = used(&exchange(), &issued());
    let origin = token.origin().unwrap();
    assert_eq!(origin.short_fingerprint(), &origin.fingerprint[..16]);
    assert_eq!((&*origin.issuer, origin.id.as_deref(), token.entry()), (IDP, Some("run-1"), "idp"));
    assert_eq!((MIN_TOKEN_LIFETIME, MAX_TOKEN_LIFETIME), (HOUR / 60, 6 * HOUR));
    assert!(exchange().issues() && !exchange_of(nightly(), Vec::new()).issues());
}

#[test]
fn a_subject_must_fit_into_a_name() {
    let entry = || ExchangeEntry { subjects: Vec::new(), ..nightly() };
    let exchange = exchange_of(entry(), vec![issuance()]);
    for (subject, is_issued) in [
        (json!("a".repeat(MAX_NAME_BYTES)), true),
        (json!("a"), true),
        (json!("a".repeat(MAX_NAME_BYTES + 1)), false),
    ] {
        let token =
            run(&exchange, json!({"sub": subject, "preferred_username": "ada", "email": "ada@corp.example"}));
        let issued = exchange.issue(&token).map(|grant| grant.subject.len());
        let expected =
            if is_issued { Ok(subject.as_str().unwrap().len()) } else { Err(NotIssued::NoSubject) };
        assert_eq!(issued, expected);
    }
}
