//! Which tokens the cache returns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use serde_json::json;

use super::*;
use crate::test_support::{NOW, verified};

const NOW_DATE: NumericDate = NumericDate::from_secs(NOW);

fn cache() -> TokenCache {
    TokenCache::new(1024 * 1024, Duration::from_secs(300))
}

fn token() -> Arc<VerifiedToken> {
    Arc::new(verified(json!({"exp": NOW + 10})))
}

#[test]
fn a_token_is_found_by_its_digest_and_generation() {
    let (cache, key) = (cache(), TokenDigest::of("a.b.c"));
    assert!(cache.get(&key, 1, NOW_DATE).is_none());
    let inserted = token();
    cache.insert(key, inserted.clone(), 1);
    assert!(Arc::ptr_eq(&cache.get(&key, 1, NOW_DATE).unwrap(), &inserted));
    assert!(cache.get(&TokenDigest::of("a.b.d"), 1, NOW_DATE).is_none());
}

#[test]
fn a_new_generation_of_keys_requires_another_verification() {
    let (cache, key) = (cache(), TokenDigest::of("a.b.c"));
    cache.insert(key, token(), 1);
    assert!(cache.get(&key, 2, NOW_DATE).is_none(), "the keys changed");
    assert!(cache.get(&key, 1, NOW_DATE).is_none(), "the entry was removed");
    cache.insert(key, token(), 2);
    assert!(cache.get(&key, 1, NOW_DATE).is_none(), "nor for older keys");
}

#[test]
fn times_are_checked_on_every_hit() {
    let (cache, key) = (cache(), TokenDigest::of("a.b.c"));
    cache.insert(key, token(), 1);
    let at = |secs| cache.get(&key, 1, NumericDate::from_secs(secs)).is_some();
    assert!(at(NOW + 39), "within the leeway");
    assert!(!at(NOW + 40), "expired while it was cached");
    assert!(!at(NOW), "and gone");
}

#[test]
fn its_size_is_bounded() {
    let cache = TokenCache::new(10_000, Duration::from_secs(300));
    for number in 0..1000 {
        cache.insert(TokenDigest::of(number.to_string()), token(), 1);
    }
    cache.tokens.run_pending_tasks();
    assert!(cache.tokens.weighted_size() <= 10_000, "{}", cache.tokens.weighted_size());
    let nothing = TokenCache::new(0, Duration::from_secs(300));
    nothing.insert(TokenDigest::of("a"), token(), 1);
    nothing.tokens.run_pending_tasks();
    assert!(nothing.get(&TokenDigest::of("a"), 1, NOW_DATE).is_none());
}

#[test]
fn no_token_is_kept_longer_than_max_ttl() {
    let cache = TokenCache::new(1024 * 1024, Duration::ZERO);
    let key = TokenDigest::of("a.b.c");
    cache.insert(key, token(), 1);
    assert!(cache.get(&key, 1, NOW_DATE).is_none());
}

#[test]
fn a_recent_token_is_found_by_its_text_in_the_same_second() {
    let (cache, now) = (cache(), NOW_DATE);
    let text = "header.claims.signature";
    assert!(cache.recent(text.as_bytes(), 1, now).is_none());
    let remembered = token();
    cache.remember(text.as_bytes(), &remembered, 1, now);
    assert!(Arc::ptr_eq(&cache.recent(text.as_bytes(), 1, now).unwrap(), &remembered));
    assert!(
        cache.recent("Header.claims.signature".as_bytes(), 1, now).is_none(),
        "another text in the same slot"
    );
    assert!(cache.recent(text.as_bytes(), 2, now).is_none(), "other keys");
    let next = NumericDate::from_secs(NOW + 1);
    assert!(cache.recent(text.as_bytes(), 1, next).is_none(), "another second");
    cache.remember(text.as_bytes(), &remembered, 2, next);
    assert!(
        cache.recent(text.as_bytes(), 2, next).is_some() && cache.recent(text.as_bytes(), 1, now).is_none()
    );
    assert_eq!(Arc::strong_count(&remembered), 2);
    let other = token();
    cache.remember("Header.claims.signature".as_bytes(), &other, 2, next);
    assert!(cache.recent(text.as_bytes(), 2, next).is_none(), "the slot was taken");
    assert_eq!(Arc::strong_count(&remembered), 1);
}

#[test]
fn few_texts_are_remembered_and_none_without_a_cache() {
    let (cache, one) = (cache(), token());
    for number in 0..10_000 {
        cache.remember(format!("header.claims.signature-{number}").as_bytes(), &one, 1, NOW_DATE);
    }
    assert!(Arc::strong_count(&one) <= 65, "{}", Arc::strong_count(&one));
    for text in ["short", &"x".repeat(5000)] {
        cache.remember(text.as_bytes(), &one, 1, NOW_DATE);
        assert!(cache.recent(text.as_bytes(), 1, NOW_DATE).is_none());
    }
    for cache in [TokenCache::new(0, Duration::from_secs(300)), TokenCache::new(1024, Duration::ZERO)] {
        cache.remember("header.claims.signature".as_bytes(), &one, 1, NOW_DATE);
        assert!(cache.recent("header.claims.signature".as_bytes(), 1, NOW_DATE).is_none());
    }
}
