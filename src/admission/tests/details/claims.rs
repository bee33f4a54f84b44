//! Claims, and the revocation list.

use std::sync::Arc;

use super::*;
use crate::claims::{ClaimPath, MappedUser};
use crate::token_exchange::{ClaimValue, ExchangeEntry, ExchangeIssuer, TokenExchange};

pub(super) fn times(reason: Reason) -> Vec<Case> {
    let of = |claims: &serde_json::Value, detail| {
        case(Step::Claims, &RSA.token(Algorithm::RS256, Some("k"), claims), detail)
    };
    let without_exp = || without(claims(json!({})), "exp");
    match reason {
        Reason::Expired => vec![
            of(&claims(json!({"exp": NOW - 11_520})), "exp: expired 3h 12m ago (2027-01-15T04:48:00Z)"),
            of(&claims(json!({"exp": NOW - 40})), "exp: expired 40s ago (2027-01-15T07:59:20Z), leeway 30s"),
        ],
        Reason::NotYetValid => vec![
            of(&claims(json!({"nbf": NOW + 7200})), "nbf: valid only in 2h (2027-01-15T10:00:00Z)"),
            of(
                &claims(json!({"iat": NOW + 90})),
                "iat: issued in the future, in 1m 30s (2027-01-15T08:01:30Z), leeway 30s",
            ),
        ],
        Reason::MissingExpiry => vec![
            of(&without_exp(), "exp: token has none, and its class is user; entry okta has allowNonExpiring: none"),
            of(
                &with(without_exp(), json!({"exp": null, "isBot": true, "tokenType": "BOT"})),
                "exp: it is null, and its class is user; entry okta has allowNonExpiring: bots; isBot and tokenType are ignored: it is not one of the backend's own tokens",
            )
            .with_rules(|rules| {
                rules.own_tokens = OwnTokens::None;
                rules.non_expiring = crate::claims::NonExpiring::Bots;
            }),
            of(
                &with(without_exp(), json!({"tokenType": "PERSONAL_ACCESS"})),
                "exp: token has none, and its class is personal_access; entry okta has allowNonExpiring: none",
            ),
        ],
        _ => vec![
            of(
                &claims(json!({"exp": NOW + 86_400})),
                "exp: 1d after iat, entry okta allows 8h (maxLifetime)",
            ),
            of(
                &without(claims(json!({"exp": NOW + 86_400})), "iat"),
                "exp: 1d after now (it has no iat), entry okta allows 8h (maxLifetime)",
            ),
        ]
        .into_iter()
        .map(|case| case.with_rules(|rules| rules.max_lifetime = Some(Duration::from_secs(28_800))))
        .collect(),
    }
}

pub(super) fn audiences() -> Vec<Case> {
    [
        (json!({"aud": ["other", "x"]}), r#"aud: token has ["other","x"], entry okta accepts [openmetadata]"#),
        (json!({}), "aud: token has none, entry okta accepts [openmetadata]"),
        (
            json!({"aud": "OpenMetadata"}),
            r#"aud: token has "OpenMetadata", entry okta accepts [openmetadata] (differs only by letter case)"#,
        ),
        (
            json!({"aud": ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]}),
            r#"aud: token has ["1","2","3","4","5","6","7","8" and 2 more], entry okta accepts [openmetadata]"#,
        ),
    ]
    .into_iter()
    .map(|(more, detail)| case(Step::Claims, &token_of(more), detail))
    .map(|case| case.with_rules(|rules| rules.audiences = vec!["openmetadata".into()]))
    .chain([foreign_audience()])
    .collect()
}

fn foreign_audience() -> Case {
    let detail = r#"aud: token has ["openmetadata","sts.amazonaws.com"], entry okta accepts [openmetadata]; "sts.amazonaws.com" is the audience of another service"#;
    let token = token_of(json!({"aud": ["openmetadata", "sts.amazonaws.com"]}));
    case(Step::Claims, &token, detail).with_rules(|rules| {
        rules.audiences = vec!["openmetadata".into()];
        rules.refuses_foreign_audiences = true;
    })
}

pub(super) fn principals() -> Vec<Case> {
    let of = |more, detail| case(Step::Claims, &token_of(more), detail);
    let mapped = |rules: &mut crate::claims::ClaimRules| {
        rules.principal.mapping = Some(PrincipalMapping { username: "sub".into(), email: "mail".into() });
    };
    vec![
        of(
            json!({"sub": "", "email": 5}),
            r#"principal: none of [email, preferred_username, sub] names a user; email is 5; sub is ""; token has ["exp","iat","iss","sub","email"]"#,
        ),
        of(
            json!({"mail": "ada"}),
            r#"principal: token needs both of [sub, mail], the second with an @; sub is "ada"; mail is "ada"; token has ["exp","iat","iss","sub","mail"]"#,
        )
        .with_rules(mapped),
    ]
}

pub(super) fn domains() -> Vec<Case> {
    let of = |more, detail: &'static str, allowed: &[&str]| {
        case(Step::Claims, &token_of(more), detail).with_rules(|rules| {
            rules.own_tokens = OwnTokens::None;
            rules.domain = Some(DomainRule {
                principal_domain: "example.org".into(),
                allowed: allowed.iter().map(|name| (*name).into()).collect(),
                own_issuer: "open-metadata.org".into(),
                own_key_id: "x".into(),
            });
        })
    };
    vec![
        of(
            json!({"email": "ada@evil.example"}),
            r#"domain: "evil.example" in email, wanted example.org (principalDomain)"#,
            &[],
        ),
        of(
            json!({"email": "ada@evil.example"}),
            r#"domain: "evil.example" in email, allowed [a.example, b.example] (allowedDomains)"#,
            &["a.example", "b.example"],
        ),
        of(json!({}), "domain: sub has none, wanted example.org (principalDomain)", &[]),
        of(
            json!({"isBot": true, "tokenType": "BOT"}),
            "domain: sub has none, wanted example.org (principalDomain); isBot and tokenType are ignored: it is not one of the backend's own tokens",
            &[],
        ),
    ]
}

/// A token that another source revokes is refused as revoked.
pub(super) fn no_list() -> Vec<Case> {
    let missing = RevocationLists::new([Arc::default()], Some("the store".into()));
    let detail = "there is no current revocation list of: \"the store\"";
    vec![
        case(Step::Revocation, &token_of(json!({"jti": "id-1"})), detail)
            .changed(|case| case.revocations = Some(missing)),
    ]
}

pub(super) fn revoked() -> Vec<Case> {
    let token = token_of(json!({"jti": "id-1"}));
    let of = |by, value: &str, detail| {
        case(Step::Revocation, &token, detail).changed(|case| {
            let entry = Revocation::new(by, value).unwrap();
            case.revocations = Some(Arc::new(Revocations::new([entry], None).unwrap()).into());
        })
    };
    let with = |remark, detail| {
        case(Step::Revocation, &token, detail).changed(|case| {
            let entry = Revocation::new(RevokedBy::Id, "id-1").unwrap();
            let mut list = Revocations::default();
            list.add(&entry, remark).unwrap();
            case.revocations = Some(Arc::new(list).into());
        })
    };
    let end = Some(NumericDate::from_secs(1_900_000_000));
    vec![
        with(
            Remark { until: end, note: Some("left \"us\"\n") },
            r#"its jti is revoked: "id-1"; note: "left \"us\"\u000a"; until 2030-03-17T17:46:40Z"#,
        ),
        with(Remark { until: end, note: None }, "its jti is revoked: \"id-1\"; until 2030-03-17T17:46:40Z"),
        with(Remark { until: None, note: Some("x") }, "its jti is revoked: \"id-1\"; note: \"x\""),
        of(RevokedBy::Id, "id-1", "its jti is revoked: \"id-1\""),
        of(RevokedBy::Subject, "ada", "its subject is revoked: \"ada\""),
        of(RevokedBy::Key, "k", "its key is revoked: \"k\""),
    ]
}

pub(super) fn unmapped() -> Vec<Case> {
    let entry = |name: &str, subjects: &[&str], claims: Vec<(ClaimPath, Vec<ClaimValue>)>| ExchangeEntry {
        issuer: "okta".into(),
        subjects: subjects.iter().map(|subject| (*subject).into()).collect(),
        claims,
        user: Arc::new(MappedUser { index: 0, entry: name.into(), user: "bot".into(), email: None }),
    };
    let wanted = vec![ClaimValue::String("a".into()), ClaimValue::Bool(true), ClaimValue::Number(5.into())];
    let of = |claims, entries: Vec<ExchangeEntry>, detail| {
        case(Step::Mapping, &token_of(claims), detail).changed(|case| {
            let issuers = vec![ExchangeIssuer { name: "okta".into(), is_required: true }];
            case.admission.authorizer.exchange = TokenExchange::new(entries, issuers);
        })
    };
    vec![
        of(
            json!({"ref": "pull/\"1\""}),
            vec![
                entry("spark", &["system:serviceaccount:spark:lineage"], Vec::new()),
                entry("nightly", &["ada"], vec![("ref".into(), wanted)]),
            ],
            r#"no entry of exchange takes sub "ada" of issuer okta; spark: sub is none of [system:serviceaccount:spark:lineage]; nightly: ref is "pull/\"1\"", wanted one of ["a", true, 5]"#,
        ),
        of(
            json!({}),
            ["a", "b", "c", "d", "e"].map(|name| entry(name, &["x"], Vec::new())).to_vec(),
            r#"no entry of exchange takes sub "ada" of issuer okta; a: sub is none of [x]; b: sub is none of [x]; c: sub is none of [x]; and 2 more entries"#,
        ),
    ]
}
