//! A bot that is removed while its requests run, and while a configuration enters into force.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::time::Instant;

use shuttle::future::block_on;
use shuttle::thread;

use super::tests::{NOW, config_with, list, token_of};
use super::*;
use crate::config::BotFile;
use crate::revocation_list::RevocationList;
use crate::sync::check;

/// The lists of one configuration.
struct Lists {
    revocations: Arc<RevocationList>,
    bots: Arc<BotList>,
}

impl Lists {
    /// As `Generation::enter` does it.
    fn enter(&self) {
        self.revocations.enter();
        self.bots.enter();
    }

    /// One request of a bot, which is refused or ends when the bot is removed.
    fn request(&self, token: &Arc<VerifiedToken>) {
        let seen = self.revocations.version();
        if self.bots.find(token, NOW.into()).is_ok() {
            block_on(self.revocations.watch(token.clone(), "", seen).revoked());
        }
    }
}

/// A configuration with a file, before its lists are loaded.
struct World<'m> {
    path: &'m Path,
    config: &'m Config,
    metrics: &'m Arc<Metrics>,
    in_force: Arc<RevocationsInForce>,
    /// Of the bot `a`.
    token: &'m Arc<VerifiedToken>,
}

impl World<'_> {
    /// Writes a file with these bots.
    fn write(&self, names: &[&str]) {
        fs::write(self.path, list(names)).unwrap();
    }

    fn load(&self) -> Lists {
        let Self { config, metrics, in_force, .. } = self;
        let revocations = RevocationList::new(config, None, metrics, in_force).unwrap();
        Lists { revocations, bots: BotList::new(config, None, metrics, in_force, NOW) }
    }
}

fn check_world(model: impl Fn(World<'_>) + Send + Sync + 'static) {
    let directory = tempfile::tempdir().unwrap();
    let config = config_with(BotSource::File(BotFile::new(directory.path().join("bots.yaml"))));
    let (metrics, token) = (Arc::new(Metrics::new()), token_of("a"));
    check(move || {
        let path = directory.path().join("bots.yaml");
        let (config, metrics, token) = (&config, &metrics, &token);
        model(World { path: &path, config, metrics, in_force: Arc::default(), token });
    });
}

/// Whether a request is checked before or after the bot is removed, and whether its list is in force by then, it does not
/// outlive the bot.
#[test]
fn no_request_misses_the_removal_of_its_bot() {
    check_world(|world| {
        world.write(&["a"]);
        let lists = world.load();
        world.write(&["b"]);
        lists.revocations.enter();
        let (entering, looking) = (lists.bots.clone(), lists.bots.clone());
        let threads =
            [thread::spawn(move || entering.enter()), thread::spawn(move || looking.look(Instant::now, NOW))];
        lists.request(world.token);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A reload reads the list without the bot. No request that is still checked with the earlier list outlives the bot.
#[test]
fn no_request_outlives_a_bot_that_a_reload_removes() {
    check_world(|world| {
        world.write(&["a"]);
        let before = world.load();
        before.enter();
        world.write(&["b"]);
        let after = world.load();
        let reload = thread::spawn(move || after.enter());
        // The second one begins when the later list is in force.
        (0..2).for_each(|_| before.request(world.token));
        reload.join().unwrap();
    });
}
