//! Keys that are fetched one by one.

use super::*;
use crate::jose::Algorithm;
use crate::test_support::{good_claims, with};

const ISSUER: &str = "https://idp.example";

fn by_kid(stub: &Stub) -> Config {
    let template = stub.url("/keys/{kid}");
    config(&format!("{{issuers: [{{name: a, issuer: '{ISSUER}', publicKeyUrls: ['{template}']}}]}}"))
}

fn token(kid: &str) -> String {
    RSA.token(Algorithm::RS256, Some(kid), &with(good_claims(), json!({"iss": ISSUER})))
}

fn kids(keys: &Keys) -> Vec<String> {
    let ring = keys.ring();
    let set = ring.sets[0].as_ref().expect("an entry without keys yet has an empty set");
    set.keys().iter().map(|key| key.kid().unwrap().to_owned()).collect()
}

fn paths(stub: &Stub) -> Vec<String> {
    stub.requests().into_iter().map(|request| request.path).collect()
}

#[tokio::test]
async fn a_key_is_fetched_when_a_token_names_it() {
    let stub = Stub::start(|_, _| ok(pem("PUBLIC KEY", &RSA.spki())));
    let keys = keys(&by_kid(&stub));
    assert!(keys.are_ready(), "nothing can be fetched before a token comes");
    keys.fetch_all().await;
    assert!(kids(&keys).is_empty() && stub.requests().is_empty());
    assert!(keys.want_key_of(0, &token("one")));
    keys.fetch_all().await;
    assert_eq!((kids(&keys), paths(&stub)), (vec!["one".to_owned()], vec!["/keys/one".to_owned()]));
    assert!(!keys.want_key_of(0, &token("one")), "it is known");
    assert!(keys.ring().sets[0].as_ref().unwrap().keys().iter().all(|key| !key.matches_any_kid()));
    for other in [token("../x"), token(""), token(&"k".repeat(65)), "a.b.c".to_owned(), String::new()] {
        assert!(!keys.want_key_of(0, &other), "{other}");
    }
}

#[tokio::test]
async fn one_attempt_asks_for_few_of_the_kids_that_are_wanted() {
    let stub = Stub::start(|_, _| status(403));
    let keys = keys(&by_kid(&stub));
    let wanted = (0..100).filter(|at| keys.want_key_of(0, &token(&format!("k{at}")))).count();
    assert_eq!(wanted, 64);
    keys.fetch_all().await;
    assert_eq!(paths(&stub), ["/keys/k0", "/keys/k1", "/keys/k2", "/keys/k3"]);
    assert!(keys.status()[0].failure.is_none(), "a kid without a key is no failure of the source");
}

#[tokio::test]
async fn a_kid_without_a_key_is_not_asked_for_again_for_a_while() {
    let stub = Stub::start(|_, _| status(404));
    let mut config = by_kid(&stub);
    config.jwks.unknown_key_cooldown = Duration::from_secs(3600);
    let remembering = keys(&config);
    assert!(remembering.want_key_of(0, &token("none")));
    remembering.fetch_all().await;
    assert!(!remembering.want_key_of(0, &token("none")));
    assert!(remembering.want_key_of(0, &token("another")));
    config.jwks.unknown_key_cooldown = Duration::ZERO;
    let forgetting = keys(&config);
    assert!(forgetting.want_key_of(0, &token("none")));
    forgetting.fetch_all().await;
    assert!(forgetting.want_key_of(0, &token("none")));
}

#[tokio::test]
async fn a_source_that_fails_keeps_its_keys_and_one_that_is_gone_does_not() {
    for (failure, kept) in [(403, true), (500, true), (404, false), (410, false)] {
        let stub = Stub::start(move |number, _| match number {
            0 => ok(pem("PUBLIC KEY", &RSA.spki())),
            _ => status(failure),
        });
        let mut config = by_kid(&stub);
        // Every key is due at once.
        config.jwks.refresh_interval = Duration::ZERO;
        let keys = keys(&config);
        keys.want_key_of(0, &token("one"));
        keys.fetch_all().await;
        assert_eq!(kids(&keys).is_empty(), !kept, "{failure}");
        keys.fetch_all().await;
        assert_eq!(kids(&keys).is_empty(), !kept, "{failure}");
        assert_eq!(
            (keys.status()[0].failure.is_some(), stub.requests().len() > 1),
            (kept, true),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn a_document_must_have_one_key_of_this_kid() {
    let two = document(&[RSA.jwk_named("one"), OTHER_RSA.jwk_named("two")]);
    for (body, good) in [
        (document(&[RSA.jwk_named("one")]), true),
        (document(&[RSA.jwk_named("two")]), false),
        (two, false),
        (format!("{}{}", pem("PUBLIC KEY", &RSA.spki()), pem("PUBLIC KEY", &P256.spki())), false),
        ("<html>".to_owned(), false),
        (String::new(), false),
    ] {
        let (text, answer) = (body.clone(), body);
        let stub = Stub::start(move |_, _| ok(answer.clone()));
        let keys = keys(&by_kid(&stub));
        keys.want_key_of(0, &token("one"));
        keys.fetch_all().await;
        assert_eq!(kids(&keys).len(), usize::from(good), "{text}");
        assert_eq!(keys.status()[0].failure.is_none(), good, "{text}");
    }
}

#[tokio::test]
async fn a_new_key_replaces_the_oldest_of_too_many() {
    let stub = Stub::start(|_, _| ok(pem("PUBLIC KEY", &RSA.spki())));
    let keys = keys(&by_kid(&stub));
    for at in 0..40 {
        assert!(keys.want_key_of(0, &token(&format!("k{at}"))));
        keys.fetch_all().await;
    }
    let kids = kids(&keys);
    assert_eq!((kids.len(), &*kids[0], &*kids[31]), (32, "k8", "k39"));
}
