use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::config::{Config, ReadList, Sources, load};
use crate::metrics::ExpositionFormat;
use crate::test_support::verified;

/// No entry of these tests has ended.
const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// The revocation list of a configuration with this file. Dropping the directory deletes the file.
fn started(list: &str) -> (TempDir, Arc<RevocationList>, Arc<Metrics>) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("list"), list).unwrap();
    let (revocations, metrics) = started_at(&directory.path().join("list"));
    (directory, revocations, metrics)
}

fn started_at(list: &Path) -> (Arc<RevocationList>, Arc<Metrics>) {
    let (metrics, in_force) = (Arc::new(Metrics::new()), Arc::new(RevocationsInForce::default()));
    let list = RevocationList::new(&config_with(list), None, &metrics, &in_force).unwrap();
    list.enter();
    (list, metrics)
}

pub(super) fn config_with(list: &Path) -> Config {
    config(&[("METAGATE_AUTHENTICATION__REVOCATIONS__FILE", list.to_str().unwrap())])
}

fn config(variables: &[(&str, &str)]) -> Config {
    let always = [
        ("AUTHENTICATION_PUBLIC_KEYS", "https://idp.example/jwks"),
        ("METAGATE_UPSTREAM__URL", "http://10.0.0.1:8585"),
    ];
    let environment = always.iter().chain(variables);
    let environment = environment.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(&Sources { environment, ..Sources::default() }).unwrap().config
}

fn revokes(list: &RevocationList, id: &str) -> bool {
    list.current().find(&verified(json!({"jti": id})), "").is_some()
}

fn sample(metrics: &Metrics, line: &str) -> bool {
    metrics.encode(ExpositionFormat::Text).lines().any(|exposed| exposed == line)
}

#[test]
fn the_initial_list_is_in_force_before_the_first_check() {
    let (_directory, list, metrics) = started("[{jti: a}, {sub: ada}]");
    assert!(revokes(&list, "a"));
    assert!(
        sample(&metrics, "metagate_revocations{kind=\"jti\"} 1"),
        "{}",
        metrics.encode(ExpositionFormat::Text)
    );
    assert!(sample(&metrics, "metagate_revocations{kind=\"kid\"} 0"));
}

#[test]
fn a_change_is_applied_and_counted() {
    let (directory, list, metrics) = started("[{jti: a}]");
    fs::write(directory.path().join("list"), "[{jti: b}, {jti: c}]").unwrap();
    list.look(Instant::now, NOW);
    assert!(!revokes(&list, "a") && revokes(&list, "b") && revokes(&list, "c"));
    assert!(sample(&metrics, "metagate_revocations{kind=\"jti\"} 2"));
    assert!(sample(&metrics, "metagate_revocations_in_force{source=\"file\"} 1"));
}

#[test]
fn an_unreadable_file_leaves_the_current_list_in_force() {
    let (directory, list, metrics) = started("[{jti: a}]");
    let file = directory.path().join("list");
    for broken in ["", "[{jti: b}", "[{jti: b}, {jit: c}]", "{\"jti\": \"b\"}\n{\"jti\": \"", "jti: b"] {
        fs::write(&file, broken).unwrap();
        list.look(Instant::now, NOW);
        assert!(revokes(&list, "a") && !revokes(&list, "b"), "{broken}");
        assert!(sample(&metrics, "metagate_revocations_in_force{source=\"file\"} 0"), "{broken}");
    }
    fs::remove_file(&file).unwrap();
    list.look(Instant::now, NOW);
    assert!(revokes(&list, "a"));
    // An unchanged file also ends the failure.
    fs::write(&file, "[{jti: a}]").unwrap();
    list.look(Instant::now, NOW);
    assert!(revokes(&list, "a"));
    assert!(sample(&metrics, "metagate_revocations_in_force{source=\"file\"} 1"));
    fs::write(&file, "[]").unwrap();
    list.look(Instant::now, NOW);
    assert!(!revokes(&list, "a"), "an empty list is written as one");
}

/// A check that reads the file takes the list's lock and the processor for as long as the file is long.
#[test]
fn an_unchanged_file_is_not_read_again() {
    let (directory, list, metrics) = started("[{jti: a}]");
    let start = Instant::now();
    let look_at = |seconds| list.look(|| start + Duration::from_secs(seconds), NOW);
    let file = directory.path().join("list");
    // The first checks read it, because it may change within one tick of the file system's clock.
    for seconds in [0, 2, 4, 6] {
        look_at(seconds);
    }
    // Read again, it would be a problem: a version that is none makes every content a new one.
    let watched = list.file.as_ref().unwrap();
    let known = watched.seen.lock().unwrap().version.take();
    watched.state.has_grown(ReadList::default(), NOW);
    list.publish();
    for seconds in [8, 10, 12] {
        look_at(seconds);
    }
    assert!(!revokes(&list, "a"), "nothing was read");
    watched.seen.lock().unwrap().version = known;
    // A broken file is also read only once it has settled.
    fs::write(&file, "[{jti: b}").unwrap();
    for seconds in [14, 16, 18, 20] {
        look_at(seconds);
    }
    watched.state.is_unchanged(NOW);
    look_at(22);
    assert!(sample(&metrics, "metagate_revocations_in_force{source=\"file\"} 1"), "nothing was read");
    fs::write(&file, "[{jti: c}]").unwrap();
    look_at(24);
    assert!(revokes(&list, "c"));
}

#[test]
fn an_entry_ends_at_its_time() {
    let in_year = |year: u64| SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952);
    let (directory, list, metrics) = started(
        "[{jti: gone, until: 2001-01-01T00:00:00Z}, {jti: a, until: 2100-01-01T00:00:00Z}, {jti: b}]",
    );
    assert!(!revokes(&list, "gone") && revokes(&list, "a") && revokes(&list, "b"));
    list.look(Instant::now, in_year(2090));
    assert!(revokes(&list, "a"));
    list.look(Instant::now, in_year(2110));
    assert!(!revokes(&list, "a") && revokes(&list, "b"));
    assert!(
        sample(&metrics, "metagate_revocations{kind=\"jti\"} 1"),
        "{}",
        metrics.encode(ExpositionFormat::Text)
    );
    let since = list.status()[0].since;
    list.look(Instant::now, in_year(2120));
    assert_eq!(list.status()[0].since, since, "nothing more has ended");
    // A file that has settled is read again within minutes for the same reason.
    let start = Instant::now();
    fs::write(directory.path().join("list"), "[{jti: a, until: 2100-01-01T00:00:00Z}]").unwrap();
    for seconds in [0, 6, 12, 400] {
        let year = if seconds < 12 { 2090 } else { 2110 };
        list.look(|| start + Duration::from_secs(seconds), in_year(year));
    }
    assert!(!revokes(&list, "a"));
}

#[test]
fn the_status_has_the_list_in_force_and_the_failure_of_its_file() {
    let (directory, list, _metrics) = started("[{jti: a}, {sub: ada, issuer: nobody}]");
    let file = directory.path().join("list");
    let later = NOW + Duration::from_secs(10);
    fs::write(&file, "[{jti: a}, {sub: ada, issuer: nobody}, {sub: bob}]").unwrap();
    list.look(Instant::now, NOW);
    fs::write(&file, "- jit: a").unwrap();
    list.look(Instant::now, later);
    let status = list.status().remove(0);
    assert_eq!((status.since, status.checked), (Some(NOW), later));
    assert_eq!(status.entries.map(|(_, count)| count), [1, 0, 2, 0, 0]);
    assert_eq!(status.unknown_issuers, ["nobody"]);
    assert!(status.failure.is_some_and(|failure| failure.starts_with("line 1: \"jit\": unknown key")));
    fs::write(&file, "[]").unwrap();
    list.look(Instant::now, later);
    let status = list.status().remove(0);
    assert_eq!((status.since, status.failure), (Some(later), None));
}

#[test]
fn the_symlink_swap_of_a_config_map_is_applied() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (version, id) in [("..1", "a"), ("..2", "b")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("list"), format!("[{{jti: {id}}}]")).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/list", at("list")).unwrap();
    let (list, _metrics) = started_at(&at("list"));
    assert!(revokes(&list, "a"));
    symlink("..2", at("..tmp")).unwrap();
    fs::rename(at("..tmp"), at("..data")).unwrap();
    list.look(Instant::now, NOW);
    assert!(revokes(&list, "b") && !revokes(&list, "a"));
}

#[tokio::test]
async fn without_a_file_the_task_ends() {
    let list = RevocationList::new(&config(&[]), None, &Arc::new(Metrics::new()), &Arc::default()).unwrap();
    list.clone().run().await;
    assert!(!revokes(&list, "a"));
}

fn watch(list: &RevocationList, id: &str) -> TokenWatch {
    list.watch(Arc::new(verified(json!({"jti": id}))), "", list.version())
}

#[tokio::test]
async fn a_watch_sees_a_change_of_the_list_in_force() {
    let (directory, list, _) = started("[{jti: a}]");
    list.enter();
    let (mut revoked, mut other) = (watch(&list, "b"), watch(&list, "c"));
    assert_eq!((revoked.revoked_by(), other.revoked_by()), (None, None));
    let waiting = tokio::spawn(async move { revoked.revoked().await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    // A change that does not concern this token, then one that does.
    for text in ["[{jti: a}, {jti: x}]", "[{jti: b}]"] {
        fs::write(directory.path().join("list"), text).unwrap();
        list.look(Instant::now, NOW);
    }
    assert_eq!(waiting.await.unwrap().by, RevokedBy::Id);
    assert_eq!(other.revoked_by(), None);
}

#[test]
fn a_change_between_the_decision_and_the_watch_is_seen() {
    let (directory, list, _) = started("[]");
    list.enter();
    let seen = list.version();
    fs::write(directory.path().join("list"), "[{jti: a}]").unwrap();
    list.look(Instant::now, NOW);
    let mut late = list.watch(Arc::new(verified(json!({"jti": "a"}))), "", seen);
    assert_eq!(late.revoked_by().map(|found| found.by), Some(RevokedBy::Id));
    assert_eq!(late.revoked_by().map(|found| found.by), Some(RevokedBy::Id), "and stays so");
}

#[test]
fn a_watch_follows_the_configuration_in_force() {
    let in_force = Arc::new(RevocationsInForce::default());
    let (directory, before) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let list = |directory: &Path| {
        fs::write(directory.join("list"), "[]").unwrap();
        let config = config_with(&directory.join("list"));
        RevocationList::new(&config, None, &Arc::new(Metrics::new()), &in_force).unwrap()
    };
    let (old, new) = (list(before.path()), list(directory.path()));
    old.enter();
    let mut watch = watch(&old, "a");
    new.enter();
    // The task of the previous configuration may still be running.
    fs::write(before.path().join("list"), "[{jti: a}]").unwrap();
    old.look(Instant::now, NOW);
    assert_eq!(watch.revoked_by(), None);
    fs::write(directory.path().join("list"), "[{jti: a}]").unwrap();
    new.look(Instant::now, NOW);
    assert_eq!(watch.revoked_by().map(|found| found.by), Some(RevokedBy::Id));
}

/// With `maxStale`, what an old list does not revoke is not accepted either.
#[test]
fn a_list_that_is_too_old_is_no_list() {
    let (metrics, in_force) = (Arc::new(Metrics::new()), Arc::new(RevocationsInForce::default()));
    let url = [
        ("METAGATE_AUTHENTICATION__REVOCATIONS__URLS", "https://a.example/list"),
        ("METAGATE_AUTHENTICATION__REVOCATIONS__MAX_STALE", "1m"),
    ];
    let read = |list: &RevocationList, age: u64| {
        let state = &list.urls[0].state;
        let document = state.format().read("a", b"[{jti: a}]", NOW.into()).unwrap();
        state.has_list(document, SystemTime::now() - Duration::from_secs(age));
        list.publish();
    };
    let list = RevocationList::new(&config(&url), None, &metrics, &in_force).unwrap();
    list.enter();
    let check =
        |id: &str| list.current().check(&verified(json!({"jti": id})), "").map(|found| found.is_some());
    read(&list, 50);
    assert!(list.are_ready() && list.missing().is_empty());
    assert_eq!((check("a").ok(), check("b").ok()), (Some(true), Some(false)));
    read(&list, 70);
    assert!(!list.are_ready() && list.status()[0].stale);
    assert_eq!((check("a").ok(), check("b").ok()), (Some(true), None), "what it revokes stays revoked");
    assert!(list.missing()[0].starts_with("no current revocation list from https://a.example/list"));
    // Without the key it stays in force.
    let list = RevocationList::new(&config(&url[..1]), None, &metrics, &in_force).unwrap();
    read(&list, 70_000);
    assert!(list.are_ready() && !list.status()[0].stale);
}

#[test]
fn a_request_that_earlier_lists_admit_after_a_reload_is_looked_up_in_those_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let (metrics, in_force) = (Arc::new(Metrics::new()), Arc::new(RevocationsInForce::default()));
    let load = |list: &str| {
        fs::write(directory.path().join("list"), list).unwrap();
        RevocationList::new(&config_with(&directory.path().join("list")), None, &metrics, &in_force).unwrap()
    };
    let (before, after) = (load("[]"), load("[{jti: a}]"));
    before.enter();
    after.enter();
    let watch = |list: &RevocationList, id: &str| {
        list.watch(Arc::new(verified(json!({"jti": id}))), "", list.version()).revoked_by().is_some()
    };
    assert!(watch(&before, "a") && !watch(&before, "b"));
    // A request that these lists have admitted is not looked up a second time.
    assert!(!watch(&after, "a"));
}
