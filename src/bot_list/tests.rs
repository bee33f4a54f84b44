//! Tests of the allow-list in force.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::time::Instant;

use serde_json::json;

use super::*;
use crate::bots::BotToken;
use crate::claims::{ClaimRules, TokenKinds};
use crate::config::{BotFile, Sources, bots_text, load};
use crate::revocation_list::RevocationList;
use crate::test_support::{good_claims, open_rules, verified_by, with};

pub(super) const NOW: SystemTime = SystemTime::UNIX_EPOCH;

pub(super) fn list(names: &[&str]) -> String {
    let created = NumericDate::from_secs(0);
    let token = |name: &str| BotToken {
        id: format!("id-{name}").into(),
        created,
        expires: created.plus(100),
        note: None,
    };
    let bot = |name: &&str| Bot {
        name: (*name).into(),
        roles: Vec::new(),
        created,
        source_ips: Vec::new(),
        tokens: vec![token(name)],
    };
    bots_text(&names.iter().map(bot).collect::<Vec<_>>())
}

/// The token of a bot in [`list`].
pub(super) fn token_of(name: &str) -> Arc<VerifiedToken> {
    let kinds = TokenKinds { own: true, ..TokenKinds::default() };
    let claims = json!({"tokenType": "BOT", "sub": name, "jti": format!("id-{name}")});
    Arc::new(verified_by(&ClaimRules { kinds, ..open_rules() }, &with(good_claims(), claims)))
}

/// A configuration with this allow-list.
pub(super) fn config_with(source: BotSource) -> Config {
    let environment =
        [("AUTHENTICATION_PUBLIC_KEYS", "https://a/jwks"), ("METAGATE_UPSTREAM__URL", "http://b")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded = load(&Sources { environment: environment.into(), ..Sources::default() }).unwrap();
    Config { bots: Some(source), ..loaded.config }
}

struct Setup {
    _directory: tempfile::TempDir,
    file: BotFile,
    metrics: Arc<Metrics>,
    in_force: Arc<RevocationsInForce>,
}

impl Setup {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = BotFile::new(directory.path().join("bots.yaml"));
        Self { _directory: directory, file, metrics: Arc::new(Metrics::new()), in_force: Arc::default() }
    }

    fn write(&self, text: &str) {
        fs::write(self.file.path(), text).unwrap();
    }

    fn load(&self, before: Option<&Arc<BotList>>) -> Arc<BotList> {
        self.load_file(&self.file, before)
    }

    fn load_file(&self, file: &BotFile, before: Option<&Arc<BotList>>) -> Arc<BotList> {
        let before = before.map(|before| &**before);
        BotList::new(&config_with(BotSource::File(file.clone())), before, &self.metrics, &self.in_force, NOW)
    }

    fn enter(&self, before: Option<&Arc<BotList>>) -> Arc<BotList> {
        let list = self.load(before);
        list.enter();
        list
    }

    fn gauges(&self) -> (bool, usize) {
        gauges(&self.metrics)
    }
}

/// Whether the list in force is the current one, and the number of its bots.
pub(super) fn gauges(metrics: &Metrics) -> (bool, usize) {
    let text = metrics.encode(crate::metrics::ExpositionFormat::accepted(""));
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    (value("metagate_bots_in_force") == 1, value("metagate_bots"))
}

fn names(list: &BotList) -> Vec<String> {
    list.current().bots().iter().map(|bot| bot.name.to_string()).collect()
}

#[test]
fn without_a_list_at_the_start_no_bot_is_accepted_until_there_is_one() {
    let setup = Setup::new();
    setup.write("broken");
    let list_in_force = setup.enter(None);
    let status = list_in_force.status().unwrap();
    assert!(!status.is_known && status.failure.is_some() && !list_in_force.current().is_known());
    assert_eq!(setup.gauges(), (false, 0));
    list_in_force.look(Instant::now, NOW);
    assert!(!list_in_force.current().is_known(), "still broken");
    setup.write(&list(&["a"]));
    list_in_force.look(Instant::now, NOW);
    assert_eq!((names(&list_in_force), setup.gauges()), (vec!["a".to_owned()], (true, 1)));
    assert_eq!(list_in_force.status().unwrap().failure, None);
}

#[test]
fn a_broken_list_leaves_the_current_one_in_force() {
    let setup = Setup::new();
    setup.write(&list(&["a", "b"]));
    let before = setup.enter(None);
    assert_eq!(setup.gauges(), (true, 2));
    setup.write("- {name: a}");
    before.look(Instant::now, NOW);
    assert_eq!((names(&before).len(), setup.gauges()), (2, (false, 2)));
    // Also when the configuration is loaded again, unless it names another file.
    let after = setup.enter(Some(&before));
    assert_eq!((names(&after).len(), setup.gauges()), (2, (false, 2)));
    let other = setup.load_file(&BotFile::new("/no/such/file".into()), Some(&after));
    assert!(!other.current().is_known());
    setup.write(&list(&["b"]));
    after.look(Instant::now, NOW);
    assert_eq!((names(&after), setup.gauges()), (vec!["b".to_owned()], (true, 1)));
}

#[test]
fn only_the_list_in_force_ends_running_responses() {
    let setup = Setup::new();
    setup.write(&list(&["a"]));
    let (before, after) = (setup.load(None), setup.load(None));
    before.enter();
    after.enter();
    let version = || setup.in_force.version();
    let entered = version();
    setup.write(&list(&["b"]));
    before.look(Instant::now, NOW);
    assert_eq!(version(), entered, "the list of an earlier configuration");
    after.look(Instant::now, NOW);
    assert!(version() > entered);
    // The end of a token is a change too.
    let seen = version();
    after.look(Instant::now, NOW + Duration::from_secs(100));
    assert!(version() > seen && after.status().unwrap().tokens == 0);
}

#[test]
fn a_request_that_an_earlier_list_admits_after_a_reload_ends_with_its_bot() {
    let setup = Setup::new();
    let config = config_with(BotSource::File(setup.file.clone()));
    let load = |names: &[&str]| {
        setup.write(&list(names));
        let revocations = RevocationList::new(&config, None, &setup.metrics, &setup.in_force).unwrap();
        (revocations, setup.load(None))
    };
    let generations = [load(&["a", "b"]), load(&["b"])];
    for (revocations, bots) in &generations {
        revocations.enter();
        bots.enter();
    }
    let [(revocations, bots), _] = generations;
    for (name, ends) in [("a", true), ("b", false)] {
        let token = token_of(name);
        assert!(bots.find(&token, NOW.into()).is_ok(), "{name}");
        let mut watch = revocations.watch(token, "", revocations.version());
        assert_eq!(watch.revoked_by().is_some(), ends, "{name}");
    }
}
