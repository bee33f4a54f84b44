//! Tests of the list in the store, without a server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use url::Url;

use super::super::tests::{config_with, gauges};
use super::*;
use crate::bots::BotToken;
use crate::config::BotSource;
use crate::metrics::Metrics;
use crate::numeric_date::NumericDate;
use crate::revocation_list::RevocationsInForce;

fn access(max_stale: Option<Duration>) -> Arc<StoreAccess> {
    let url = Url::parse("redis://127.0.0.1:1/0").unwrap();
    Arc::new(StoreAccess { max_stale, ..StoreAccess::of_url(url) })
}

struct Setup {
    config: Config,
    metrics: Arc<Metrics>,
    in_force: Arc<RevocationsInForce>,
}

impl Setup {
    fn new(max_stale: Option<Duration>) -> Self {
        let config = config_with(BotSource::Store(access(max_stale)));
        Self { config, metrics: Arc::new(Metrics::new()), in_force: Arc::default() }
    }

    fn list(&self, before: Option<&BotList>) -> Arc<BotList> {
        let list = BotList::new(&self.config, before, &self.metrics, &self.in_force, SystemTime::now());
        list.enter();
        list
    }
}

/// A bot with a token that ends `left` seconds from now.
fn bot(name: &str, left: u64) -> Bot {
    let now = NumericDate::from(SystemTime::now());
    let id = format!("id-{name}").into();
    let token = BotToken { id, created: now, expires: now.plus(left), note: None };
    Bot { name: name.into(), roles: Vec::new(), created: now, source_ips: Vec::new(), tokens: vec![token] }
}

fn whole(bots: &[&Bot], revision: u64) -> Update {
    Update::Whole { members: bots.iter().map(|bot| member_of(bot)).collect(), revision }
}

async fn apply(list: &Arc<BotList>, update: Update) -> Result<(), String> {
    let store = list.store().unwrap().clone();
    Following { store, list }.apply(update).await.map_err(|fault| fault.to_string())
}

fn fail(list: &Arc<BotList>) {
    Following { store: list.store().unwrap().clone(), list }.failed(&StoreFault::Timeout);
}

fn look(list: &Arc<BotList>, now: SystemTime) {
    Following { store: list.store().unwrap().clone(), list }.look_at_clock(now);
}

fn names(list: &BotList) -> Vec<String> {
    list.current().bots().iter().map(|bot| bot.name.to_string()).collect()
}

#[tokio::test]
async fn nothing_is_known_until_the_store_was_read_and_its_last_list_stays() {
    let setup = Setup::new(None);
    let list = setup.list(None);
    assert!(!list.is_ready() && !list.current().is_known());
    assert_eq!(
        list.missing().unwrap(),
        "no allow-list of bots from redis://127.0.0.1:1/0 (test): it has not been read yet"
    );
    fail(&list);
    assert!(list.missing().unwrap().ends_with("did not answer in time"));
    assert_eq!(gauges(&setup.metrics), (false, 0));
    apply(&list, whole(&[&bot("a", 60), &bot("b", 60)], 2)).await.unwrap();
    assert!(list.is_ready() && list.missing().is_none());
    assert_eq!((names(&list), gauges(&setup.metrics)), (vec!["a".to_owned(), "b".to_owned()], (true, 2)));
    let confirmed = list.status().unwrap().confirmed;
    fail(&list);
    assert!(list.is_ready() && names(&list).len() == 2);
    assert_eq!(gauges(&setup.metrics), (false, 2));
    let status = list.status().unwrap();
    assert_eq!((status.confirmed, status.source), (confirmed, "store"), "since when is known");
    let broken = vec![Member { text: "{}".to_owned(), until: None }];
    let error = apply(&list, Update::Whole { members: broken, revision: 3 }).await.unwrap_err();
    assert!(error.contains("an entry of the store is invalid"), "{error}");
    assert_eq!(names(&list).len(), 2);
    apply(&list, Update::Unchanged).await.unwrap();
    assert_eq!((gauges(&setup.metrics), list.status().unwrap().failure), ((true, 2), None));
}

#[tokio::test]
async fn a_reload_continues_with_the_list_of_the_same_store() {
    let mut setup = Setup::new(None);
    let before = setup.list(None);
    apply(&before, whole(&[&bot("a", 60)], 1)).await.unwrap();
    let after = setup.list(Some(&before));
    assert!(after.is_ready() && names(&after) == ["a"]);
    let other = StoreAccess { namespace: "other".into(), ..(*access(None)).clone() };
    setup.config.bots = Some(BotSource::Store(Arc::new(other)));
    assert!(!setup.list(Some(&after)).is_ready());
}

/// A failover can lose the last changes, and with them the end of a token.
#[tokio::test]
async fn what_a_store_brings_back_is_not_accepted_until_it_changes() {
    let setup = Setup::new(None);
    let list = setup.list(None);
    let (a, b, long) = (bot("a", 60), bot("b", 60), bot("b", 90));
    apply(&list, whole(&[&a, &b], 7)).await.unwrap();
    // It has a bot that was deleted, and the longer token of another one.
    apply(&list, whole(&[&a, &long, &bot("deleted", 60)], 5)).await.unwrap();
    assert_eq!(names(&list), ["a"]);
    // Also in the next configuration, and after other changes.
    let list = setup.list(Some(&list));
    apply(&list, whole(&[&a, &long, &bot("new", 60)], 6)).await.unwrap();
    assert_eq!(names(&list), ["a", "new"]);
    // What has been changed since then is intended.
    apply(&list, whole(&[&a, &b], 7)).await.unwrap();
    assert_eq!(names(&list), ["a", "b"]);
}

#[tokio::test]
async fn tokens_end_and_an_old_list_is_not_trusted() {
    let minute = Duration::from_secs(60);
    let setup = Setup::new(Some(minute));
    let list = setup.list(None);
    apply(&list, whole(&[&bot("a", 30), &bot("b", 600)], 1)).await.unwrap();
    let now = SystemTime::now();
    look(&list, now + minute / 2 - Duration::from_secs(5));
    assert_eq!(list.status().unwrap().tokens, 2);
    look(&list, now + minute / 2 + Duration::from_secs(5));
    assert!(list.status().unwrap().tokens == 1 && list.is_ready());
    look(&list, now + minute + Duration::from_secs(5));
    assert!(!list.is_ready() && list.current().is_known());
    assert!(list.missing().unwrap().starts_with("no current allow-list"), "{:?}", list.missing());
    // Only a whole list ends that.
    let following = Following { store: list.store().unwrap().clone(), list: &list };
    assert!(following.needs_whole(&LastWhole::new()));
    apply(&list, whole(&[&bot("b", 600)], 1)).await.unwrap();
    assert!(list.is_ready());
}

#[tokio::test]
async fn a_copy_survives_a_restart_without_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(None);
    setup.config.jwks.cache_dir = Some(directory.path().to_owned());
    let (a, now) = (bot("a", 60), SystemTime::now());
    // As `apply` does it, but not in the background.
    let copy = setup.list(None).store().unwrap().copy.clone().unwrap();
    // One that is older than maxStale is not used.
    let mut strict = Setup::new(Some(Duration::from_secs(60)));
    strict.config.jwks.cache_dir = Some(directory.path().to_owned());
    copy.write("", now - Duration::from_secs(120)).unwrap();
    assert!(!strict.list(None).is_ready());
    copy.write(&[bot_json(&a), bot_json(&bot("ended", 0))].join("\n"), now).unwrap();
    let list = setup.list(None);
    assert!(list.is_ready() && names(&list) == ["a", "ended"]);
    let status = list.status().unwrap();
    assert!(status.restored && status.tokens == 1 && status.confirmed.is_some());
    assert_eq!(gauges(&setup.metrics), (false, 2), "the store has not confirmed it");
    apply(&list, whole(&[&a], 1)).await.unwrap();
    assert!(!list.status().unwrap().restored && names(&list) == ["a"]);
}
