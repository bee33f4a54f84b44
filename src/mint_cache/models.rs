//! Requests of one identity that need a minted token at the same time.

#![allow(clippy::unwrap_used, reason = "tests")]

use shuttle::future::{JoinHandle, block_on, spawn};
use shuttle::thread;

use super::tests::{JOB, at, minter, target};
use super::*;
use crate::sync::check;
use crate::test_support::RSA;

const REQUESTS: usize = 3;

/// The token that a request was forwarded with.
type Forwarded = Result<MintedToken, MintFault>;

/// First requests of one identity.
fn first_requests(minter: &Arc<Minter>, target: &Arc<MintTarget>) -> [JoinHandle<Forwarded>; REQUESTS] {
    let cache = Arc::<MintCache>::default();
    [(); REQUESTS].map(|()| {
        let (cache, minter, target) = (cache.clone(), minter.clone(), target.clone());
        spawn(async move { cache.token(&minter, &target, JOB, at(0)).await })
    })
}

/// Each waits for its token, and all have the same: no two tokens that are minted are equal.
fn share_one_token(requests: impl IntoIterator<Item = JoinHandle<Forwarded>>) {
    let tokens: Vec<_> =
        requests.into_iter().map(|request| block_on(request).unwrap().unwrap().authorization).collect();
    assert!(tokens.windows(2).all(|pair| pair[0] == pair[1]), "they minted more than one");
}

/// Of concurrent first requests one mints, and the others get its token.
#[test]
fn first_requests_share_one_token() {
    let minter = minter(&RSA);
    let target = target(&minter, TokenFormat::OpenMetadata, "bot");
    check(move || share_one_token(first_requests(&minter, &target)));
}

/// A request that ends while it mints or waits, because its client has left, keeps no other one waiting.
#[test]
fn a_request_that_is_dropped_leaves_no_other_one_waiting() {
    let minter = minter(&RSA);
    let target = target(&minter, TokenFormat::OpenMetadata, "bot");
    check(move || {
        let [dropped, others @ ..] = first_requests(&minter, &target);
        dropped.abort();
        share_one_token(others);
    });
}

/// Of concurrent requests that find a token past half of its life, each gets it at once and one renews it.
#[test]
fn one_request_renews_a_token() {
    let minter = minter(&RSA);
    let target = target(&minter, TokenFormat::OpenMetadata, "bot");
    let (first, key) = (minter.mint(&target, at(0), None).unwrap(), key(&target, JOB));
    check(move || {
        let cache = Arc::<MintCache>::default();
        cache.tokens.insert(key, first.clone());
        let kept = |cache: &MintCache| cache.kept(&key, &minter, &target, None, at(150)).unwrap();
        let requests = [(); REQUESTS].map(|()| {
            let (cache, minter, target) = (cache.clone(), minter.clone(), target.clone());
            thread::spawn(move || cache.kept(&key, &minter, &target, None, at(150)).unwrap().1)
        });
        let renewals = requests.map(|request| request.join().unwrap());
        let renewals: Vec<_> =
            renewals.into_iter().flatten().map(|renewal| block_on(renewal).unwrap()).collect();
        assert_eq!(renewals.len(), 1);
        let (renewed, renewal) = kept(&cache);
        assert!(renewed.authorization != first.authorization && renewal.is_none());
    });
}
