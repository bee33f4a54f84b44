//! Which requests get which token.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use secrecy::SecretSlice;

use super::*;
use crate::jose::Algorithm;
use crate::mint::{DatahubTokenType, PrincipalClaims, PrivateKey, SigningKeys, TargetUser};
use crate::test_support::{NOW, OTHER_RSA, RSA, SECRET, SigningKey};

pub(super) fn at(seconds: i64) -> NumericDate {
    NumericDate::from_secs(NOW + seconds)
}

pub(super) fn minter(rsa: &SigningKey) -> Arc<Minter> {
    let rsa = PrivateKey::from_pem(&rsa.private_pem()).unwrap();
    let secret = SecretSlice::from(SECRET.to_vec());
    let keys = SigningKeys::new(vec![rsa], Algorithm::RS256, Some(&secret));
    Arc::new(Minter::new("https://minted", keys, PrincipalClaims::default(), DatahubTokenType::default()))
}

pub(super) fn target(minter: &Minter, format: TokenFormat, name: &str) -> Arc<MintTarget> {
    let user = TargetUser { name, email: None };
    Arc::new(minter.prepare("entry", format, user, Duration::from_secs(300)).unwrap())
}

fn from(issuer: &'static str, subject: &'static str) -> Incoming<'static> {
    Incoming { issuer, subject, until: None }
}

pub(super) const JOB: Incoming<'static> = Incoming { issuer: "github", subject: "repo:a", until: None };

/// A cache with a minter and a target.
struct World {
    cache: MintCache,
    minter: Arc<Minter>,
    target: Arc<MintTarget>,
}

impl World {
    fn new(format: TokenFormat) -> Self {
        let minter = minter(&RSA);
        Self { cache: MintCache::default(), target: target(&minter, format, "bot"), minter }
    }

    async fn token(&self, incoming: Incoming<'_>, now: i64) -> Result<String, MintFault> {
        let token = self.cache.token(&self.minter, &self.target, incoming, at(now)).await?;
        Ok(token.authorization.to_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn an_identity_keeps_its_token() {
    for format in [TokenFormat::OpenMetadata, TokenFormat::DataHub] {
        let world = World::new(format);
        let first = world.token(JOB, 0).await.unwrap();
        for now in [0, 1, 149] {
            assert_eq!(world.token(JOB, now).await.unwrap(), first, "{now}");
        }
    }
}

#[tokio::test]
async fn each_identity_and_each_target_has_a_token_of_its_own() {
    let world = World::new(TokenFormat::DataHub);
    let mut tokens = BTreeSet::new();
    let identities = [JOB, from("github", "repo:b"), from("gitlab", "repo:a"), from("githubrepo:", "a")];
    for incoming in identities {
        assert!(tokens.insert(world.token(incoming, 0).await.unwrap()), "{incoming:?}");
    }
    let other = target(&world.minter, TokenFormat::DataHub, "other");
    let found = world.cache.token(&world.minter, &other, JOB, at(0)).await.unwrap();
    assert!(tokens.insert(found.authorization.to_str().unwrap().to_owned()));
    // A subject of 8 KiB is one like any other, and takes no more memory.
    let long = "s".repeat(8 * 1024);
    for subject in [&*long, &long[1..], "\u{0}\r\n\u{202e}", ""] {
        let incoming = Incoming { issuer: "github", subject, until: None };
        let token = world.token(incoming, 0).await.unwrap();
        assert_eq!(world.token(incoming, 1).await.unwrap(), token);
        assert!(tokens.insert(token));
    }
}

#[tokio::test]
async fn other_keys_find_no_earlier_token() {
    let world = World::new(TokenFormat::OpenMetadata);
    let first = world.token(JOB, 0).await.unwrap();
    let minter = minter(&OTHER_RSA);
    let reloaded = World { target: target(&minter, TokenFormat::OpenMetadata, "bot"), minter, ..world };
    assert_ne!(reloaded.token(JOB, 1).await.unwrap(), first);
}

#[tokio::test]
async fn a_token_is_renewed_in_the_background_at_half_of_its_life() {
    let world = World::new(TokenFormat::OpenMetadata);
    let first = world.token(JOB, 0).await.unwrap();
    let key = key(&world.target, JOB);
    let kept = |now| world.cache.kept(&key, &world.minter, &world.target, None, at(now)).unwrap();
    assert!(kept(149).1.is_none(), "not yet due");
    let (token, renewal) = kept(150);
    assert_eq!(token.authorization, first, "nobody waits");
    assert!(kept(150).1.is_none(), "one renewal at a time");
    renewal.unwrap().await.unwrap();
    let (token, renewal) = kept(151);
    assert_ne!(token.authorization, first);
    assert!(renewal.is_none());
    assert_eq!((token.issued, token.expires), (at(150), at(450)));
}

#[tokio::test]
async fn a_token_does_not_outlive_the_incoming_one() {
    let world = World::new(TokenFormat::DataHub);
    let until = |seconds| Incoming { until: Some(at(seconds)), ..JOB };
    let long = world.token(until(1000), 0).await.unwrap();
    // The same subject, with a token that ends sooner.
    let short = world.token(until(60), 0).await.unwrap();
    assert_ne!(long, short);
    assert_eq!(world.token(until(60), 29).await.unwrap(), short);
    assert_eq!(world.token(until(60), 60).await, Err(MintFault::Expired));
    assert_eq!(world.token(until(60), 61).await, Err(MintFault::Expired));
    assert!(world.token(until(1000), 60).await.is_ok(), "the other one is not affected");
}

#[tokio::test]
async fn of_simultaneous_first_requests_one_mints() {
    let world = World::new(TokenFormat::OpenMetadata);
    let (a, b, c) = tokio::join!(world.token(JOB, 0), world.token(JOB, 0), world.token(JOB, 0));
    assert!(a.is_ok() && a == b && b == c);
}

#[tokio::test]
async fn the_cache_is_bounded() {
    let world = World::new(TokenFormat::DataHub);
    let target = &world.target;
    for number in 0..MAX_ENTRIES + 2000 {
        let subject = number.to_string();
        let incoming = Incoming { issuer: "github", subject: &subject, until: None };
        world.cache.token(&world.minter, target, incoming, at(0)).await.unwrap();
    }
    let Tokens(tokens) = &world.cache.tokens;
    tokens.run_pending_tasks();
    assert!(tokens.entry_count() <= MAX_ENTRIES, "{}", tokens.entry_count());
    assert!(tokens.weighted_size() <= MAX_BYTES);
}
