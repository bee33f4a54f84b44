//! The part of each key in the requests.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::claims::{self, KeyUse};
use crate::test_support::{good_claims, open_rules, signed_with_kid};

/// The page's keys of an entry `idp` with the key `k-new` and one without a kid, after these requests in the last hour,
/// and the same as JSON.
fn shown(requests: &[(Option<&str>, u64)], in_use: &[&str]) -> (String, serde_json::Value) {
    let used_key = |(kid, requests): &(Option<&str>, u64)| {
        let now = NumericDate::from_secs(crate::test_support::NOW);
        let signed = signed_with_kid(*kid, &good_claims());
        let token = claims::validate(signed, "idp", &open_rules(), now).unwrap();
        (Arc::new(KeyUse::of(&token)), *requests)
    };
    let mut overview = overview();
    overview.sources[0].status.entry = "idp".into();
    overview.sources[0].status.usable = parsed(&[p256_key().jwk_named("k-new"), p256_key().jwk()]).usable;
    overview.last_hour.keys = requests.iter().map(used_key).collect();
    let token = |kid: &&str| UsedToken { entry: "idp".into(), ..used("etl", TokenClass::Bot, kid, None) };
    overview.tokens = in_use.iter().map(token).collect();
    let page = render(&overview, None);
    let (_, keys) = page.split_once("<td data-label=\"keys\" class=\"wrap mono\">k-new").unwrap();
    let keys = keys.split('<').next().unwrap();
    (format!("k-new{keys}"), serde_json::to_value(&overview).unwrap()["last_hour"]["keys"].clone())
}

#[test]
fn each_key_has_its_part_of_the_requests_of_its_entry() {
    let (page, json) =
        shown(&[(Some("k-new"), 996), (Some("k-old"), 3), (None, 1)], &["k-new", "any", "k-new"]);
    assert_eq!(page, "k-new 99 %, 2 tokens · without a kid &#60;1 %, 1 token");
    assert_eq!(json[0], json!({"issuer": "idp", "kid": "k-new", "requests": 996, "share": 0.996}));
    assert_eq!(json[2], json!({"issuer": "idp", "kid": null, "requests": 1, "share": 0.001}));
}

#[test]
fn a_key_with_idle_tokens_has_no_part_and_without_requests_there_are_none() {
    assert_eq!(shown(&[(None, 5)], &["k-new"]).0, "k-new 0 %, 1 token · without a kid 100 %");
    assert_eq!(shown(&[], &["k-new"]).0, "k-new, 1 token · without a kid");
}
