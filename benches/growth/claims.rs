//! Tokens, key sets, revocations, and expressions about claims.

use std::hint::black_box;

use metagate::backend::Backend;
use metagate::decision::Caller;
use metagate::jose::{Algorithm, KeyChoice, KeyDialect, KeySet, ParsedKeys, UnverifiedToken};
use metagate::policy::{Budget, Expression, Subject};
use metagate::revocation::{Revocation, Revocations, RevokedBy};

use super::world;
use super::{Case, Run};

/// A token has at most 16 KiB, its decoded claims three quarters of that.
const MOST: usize = 12_000;

pub const CASES: &[Case] = &[
    Case::new("token: many claims", MOST, |size| parsed(members(size))),
    Case::new("token: a duplicate member at the end", MOST, |size| {
        let token = world::token(&format!("{},\"exp\":1", members(size)));
        Box::new(move || assert!(UnverifiedToken::parse(&token, world::TOKEN_BYTES).is_err()))
    }),
    Case::new("token: a long list", MOST, |size| {
        parsed(format!(",\"roles\":[\"a\"{}]", ",\"a\"".repeat(size / 4)))
    }),
    Case::new("token: scopes", MOST, |size| parsed(format!(",\"scope\":\"{}\"", "a ".repeat(size / 2)))),
    Case::new("token: audiences", MOST, |size| {
        parsed(format!(",\"aud\":[\"a\"{}]", ",\"a\"".repeat(size / 4)))
    }),
    Case::new("token: nested lists", MOST, |size| {
        refused(world::token(&format!(",\"a\":{}{}", "[".repeat(size / 2), "]".repeat(size / 2))))
    }),
    Case::new("token: a long kid", MOST, |size| {
        refused(world::signed(&format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(size)), "{}"))
    }),
    Case::new("token: crit", MOST, |size| {
        let list = "\"a\",".repeat(size / 4);
        refused(world::signed(&format!(r#"{{"alg":"HS256","crit":[{list}"b"]}}"#), "{}"))
    }),
    Case::new("keys: a set with many kids", 1000, |size| {
        let set = set_of(size);
        Box::new(move || {
            let parsed = ParsedKeys::parse_at_most(1000, set.as_bytes(), KeyDialect::Standard);
            assert!(parsed.is_ok_and(|parsed| parsed.usable.len() == size));
        })
    }),
    Case::new("keys: an unknown kid among many", 1000, |size| {
        let set = set_of(size);
        let parsed =
            ParsedKeys::parse_at_most(1000, set.as_bytes(), KeyDialect::Standard).expect("a key set");
        let keys = KeySet::new(parsed.usable);
        Box::new(move || {
            for _ in 0..10 {
                assert!(matches!(keys.choose(Some("none"), Algorithm::EdDSA), KeyChoice::UnknownKid));
            }
        })
    }),
    Case::new("keys: a set with one kid", 96, |size| {
        let key =
            r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let set = format!("{{\"keys\":[{}]}}", vec![key; size].join(","));
        Box::new(move || assert!(ParsedKeys::parse(set.as_bytes(), KeyDialect::Standard).is_ok()))
    }),
    Case::new("keys: a set over the limit", 64 << 10, |size| {
        let set = format!("{{\"keys\":[{{}}{}]}}", ",{}".repeat(size / 3));
        Box::new(move || {
            let parsed = ParsedKeys::parse(set.as_bytes(), KeyDialect::Standard);
            assert!(parsed.is_ok_and(|parsed| parsed.usable.is_empty()));
        })
    }),
    Case::new("keys: unterminated PEM", 64 << 10, |size| {
        let text = "-----BEGIN x-----\n".repeat(size / 18);
        Box::new(move || assert!(ParsedKeys::parse(text.as_bytes(), KeyDialect::Standard).is_ok()))
    }),
    Case::new("revocations: a list", 20_000, |size| {
        let of = |n: usize| Revocation::new(RevokedBy::Id, &format!("id{n}")).expect("an entry");
        let list: Vec<_> = (0..size).map(of).collect();
        let text = world::token(",\"jti\":\"id\"");
        let token = world::verified(&text);
        Box::new(move || {
            let list = Revocations::new(list.iter().cloned(), None).expect("room for all");
            assert!(list.find(&token, &text).is_none());
        })
    }),
    Case::new("when: a loop over roles", MOST, |size| {
        evaluated("claims.a.all(x, x != \"b\")", format!(",\"a\":[\"a\"{}]", ",\"a\"".repeat(size / 4)))
    }),
    Case::new("when: a loop within a loop", MOST, |size| {
        let list = format!("[1{}]", ",1".repeat(size / 4));
        evaluated("claims.a.all(x, claims.b.all(y, x != y))", format!(",\"a\":{list},\"b\":{list}"))
    }),
    Case::new("when: a search of a list in a loop", MOST, |size| {
        let list = format!("[1{}]", ",2".repeat(size / 4));
        evaluated(
            "claims.o.exists(o, o.a.exists(x, x + 2 in o.b))",
            format!(",\"o\":[{{\"a\":{list},\"b\":{list}}}]"),
        )
    }),
    Case::new("when: a list copied in a loop", MOST, |size| {
        let list = format!("[1{}]", ",1".repeat(size / 4));
        evaluated(
            "claims.o.all(o, o.a.map(x, o.b).size() > 0)",
            format!(",\"o\":[{{\"a\":{list},\"b\":{list}}}]"),
        )
    }),
    Case::new("when: indexOf of two long strings", MOST, |size| {
        let (text, part) = ("a".repeat(size / 2), format!("{}b", "a".repeat(size / 4)));
        evaluated("claims.a.indexOf(claims.b) > 0", format!(",\"a\":\"{text}\",\"b\":\"{part}\""))
    }),
    Case::new("when: contains of two long strings", MOST, |size| {
        let (text, part) = ("a".repeat(size / 2), format!("{}b", "a".repeat(size / 4)));
        evaluated("claims.a.contains(claims.b)", format!(",\"a\":\"{text}\",\"b\":\"{part}\""))
    }),
    Case::new("when: matches", MOST, |size| {
        evaluated("claims.a.matches(\"^(a+)+$\")", format!(",\"a\":\"{}b\"", "a".repeat(size)))
    }),
    Case::new("when: split", MOST, |size| {
        evaluated("claims.a.split(\",\").size() > 0", format!(",\"a\":\"{}\"", "a,".repeat(size / 2)))
    }),
    Case::new("when: parameters of the query", 8000, |size| {
        let expression = Expression::parse("request.query.a.size() > 0").expect("an expression");
        let facts = world::facts(
            Backend::Generic,
            &format!("/?{}", "a=1&".repeat(size / 4)),
            &world::fields::<&str>([]),
        );
        Box::new(move || {
            let subject = Subject { request: &facts, path: b"/", token: None, graphql: None };
            let _ = black_box(expression.evaluate(&subject, &Budget::default()));
        })
    }),
];

fn members(size: usize) -> String {
    (0..size / 9).map(|n| format!(",\"c{n:03}\":1")).collect()
}

/// A key set with so many different kids.
fn set_of(size: usize) -> String {
    let key = |n: usize| {
        format!(
            r#"{{"kty":"OKP","crv":"Ed25519","kid":"k{n}","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}"#
        )
    };
    format!("{{\"keys\":[{}]}}", (0..size).map(key).collect::<Vec<_>>().join(","))
}

fn refused(token: String) -> Run {
    Box::new(move || assert!(UnverifiedToken::parse(&token, world::TOKEN_BYTES).is_err()))
}

fn parsed(claims: String) -> Run {
    let token = world::token(&claims);
    Box::new(move || {
        black_box(world::verified(&token));
    })
}

fn evaluated(expression: &str, claims: String) -> Run {
    let expression = Expression::parse(expression).expect("an expression");
    let Caller::Token(token) = world::caller(&claims) else { return Box::new(|| {}) };
    let facts = world::facts(Backend::Generic, "/x", &world::fields::<&str>([]));
    Box::new(move || {
        let subject = Subject { request: &facts, path: b"/x", token: Some(&token), graphql: None };
        let _ = black_box(expression.evaluate(&subject, &Budget::default()));
    })
}
