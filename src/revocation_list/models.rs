//! A revocation that arrives while requests run and while a configuration enters into force.

#![allow(clippy::unwrap_used, reason = "tests")]

use shuttle::future::block_on;
use shuttle::thread;

use super::tests::config_with;
use super::*;
use crate::sync::check;
use crate::test_support::verified;

/// Whether a request looks its token up before or after the change, and whether its list is in force by then, it ends
/// with the revocation: nothing falls between the check and the watch.
#[test]
fn no_request_misses_a_revocation() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    std::fs::write(&path, "[]").unwrap();
    let config = config_with(&path);
    // Each list is as loaded with the configuration, until it looks.
    std::fs::write(&path, "[{jti: a}]").unwrap();
    let (metrics, token) = (Arc::new(Metrics::new()), Arc::new(verified(serde_json::json!({"jti": "a"}))));
    check(move || {
        let in_force = Arc::<RevocationsInForce>::default();
        let list = RevocationList::new(&config, None, &metrics, &in_force).unwrap();
        let (entering, looking) = (list.clone(), list.clone());
        let threads = [
            thread::spawn(move || entering.enter()),
            thread::spawn(move || looking.look(Instant::now, SystemTime::UNIX_EPOCH)),
        ];
        let seen = list.version();
        if list.current().find(&token, "").is_none() {
            block_on(list.watch(token.clone(), "", seen).revoked());
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    drop(directory);
}

/// A reload reads a list that revokes the token. No request that is still checked with the earlier list outlives it.
#[test]
fn no_request_outlives_a_token_that_a_reload_revokes() {
    let directory = tempfile::tempdir().unwrap();
    let config = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        config_with(&path)
    };
    let (earlier, later) = (config("earlier", "[]"), config("later", "[{jti: a}]"));
    let (metrics, token) = (Arc::new(Metrics::new()), Arc::new(verified(serde_json::json!({"jti": "a"}))));
    check(move || {
        let in_force = Arc::<RevocationsInForce>::default();
        let load = |config| RevocationList::new(config, None, &metrics, &in_force).unwrap();
        let before = load(&earlier);
        before.enter();
        let after = load(&later);
        let reload = thread::spawn(move || after.enter());
        // The second one begins when the later list is in force.
        for _ in 0..2 {
            let seen = before.version();
            assert!(before.current().find(&token, "").is_none());
            block_on(before.watch(token.clone(), "", seen).revoked());
        }
        reload.join().unwrap();
    });
}
