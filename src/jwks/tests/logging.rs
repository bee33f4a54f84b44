//! Keys stored on disk, and log lines. With a paused clock and without sockets.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use tokio::time::sleep;

use super::script::{HOUR, failed, idle, keys as found, keys_for, running, seconds, settings, settle};
use super::*;
use crate::jwks::persist::Store;
use crate::metrics::ExpositionFormat;

/// A configuration with stored keys that were fetched `age` ago.
fn stored(directory: &tempfile::TempDir, age: Duration) -> (Config, Store) {
    let mut config = settings(1);
    config.jwks.cache_dir = Some(directory.path().to_owned());
    let id = format!("{} http://keys.test/0", config.trust[0].name);
    let store = Store::new(directory.path(), &id, config.jwks.max_bytes);
    store.write(&set_of(&["old"]), std::time::SystemTime::now() - age).unwrap();
    (config, store)
}

#[tokio::test(start_paused = true)]
async fn stored_keys_are_used_at_once_until_they_are_stale() {
    let directory = tempfile::tempdir().unwrap();
    let (config, _) = stored(&directory, 20 * HOUR);
    let script = Script::new(|_| failed("connection refused"));
    let keys = idle(&config, &Arc::default(), &[&script]);
    assert!(keys.are_ready() && keys.status()[0].restored);
    assert_eq!(kids(&keys, 0), ["old"], "before anything was fetched");
    keys.start();
    settle().await;
    assert_eq!(script.count(), 1, "refreshed at once");
    assert!(keys.status()[0].restored && failure(&keys).is_some());
    sleep(4 * HOUR - Duration::from_secs(60)).await;
    assert_eq!(kids(&keys, 0), ["old"]);
    seconds(120).await;
    assert!(keys.ring().sets[0].is_none(), "24 hours from when they were fetched");

    let (config, _) = stored(&directory, 25 * HOUR);
    let keys = idle(&config, &Arc::default(), &[&script]);
    assert!(keys.ring().sets[0].is_none() && !keys.are_ready());
}

#[tokio::test(start_paused = true)]
async fn only_the_service_replaces_stored_keys() {
    let directory = tempfile::tempdir().unwrap();
    let (config, store) = stored(&directory, HOUR);
    let script = Script::new(|_| found(set_of(&["new"])));
    let read = || store.read(24 * HOUR, std::time::SystemTime::now()).unwrap().unwrap().document;
    let keys = idle(&config, &Arc::default(), &[&script]);
    keys.fetch_all().await;
    assert_eq!((kids(&keys, 0), keys.status()[0].restored), (vec!["new".to_owned()], false));
    assert!(read().contains("old"));

    let keys = idle(&config, &Arc::default(), &[&script]);
    keys.start();
    // The file is written by another thread, before the new keys are in use.
    while !read().contains("new") || keys.status()[0].restored {
        settle().await;
    }
    assert!(!keys.status()[0].restored);
    assert_eq!(kids(&keys, 0), ["new"]);
}

thread_local! {
    /// What this thread logged since [`Log::start`].
    static LOGGED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Collects what this thread logs; these tests run on one thread.
struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.iter_mut().for_each(|logged| logged.extend(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// One subscriber for the process. With one for each thread, tracing may cache an event as disabled because
    /// another thread reached it first.
    fn start() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let subscriber =
                tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(|| Self).finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
        });
        LOGGED.set(Some(Vec::new()));
        Self
    }

    /// The lines logged so far.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(LOGGED.take().unwrap()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn assert(&self, expected: &[&str]) {
        let lines = self.lines();
        assert_eq!(lines.len(), expected.len(), "{lines:#?}");
        for (line, words) in lines.iter().zip(expected) {
            assert!(words.split('|').all(|word| line.contains(word)), "{line:?} is not {words:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_change_of_state_logs_one_line() {
    let log = Log::start();
    let script = Script::new(|number| match number {
        0 | 1 => keys_for(set_of(&["a"]), Some(60)),
        2 | 3 | 5 | 7.. => failed("connection refused"),
        4 => failed("certificate signed by unknown authority"),
        _ => keys_for(set_of(&["a", "b"]), Some(60)),
    });
    let mut config = settings(1);
    config.jwks.max_stale = Duration::from_secs(600);
    let _keys = running(&config, &[&script]);
    seconds(3600).await;
    assert!(script.count() > 20, "many attempts: {}", script.count());
    log.assert(&[
        "INFO|keys are available|http://keys.test/0",
        "WARN|keys cannot be fetched|connection refused|kept_keys=1",
        "WARN|keys cannot be fetched|certificate signed by unknown authority",
        "INFO|the key set has changed|added=1 removed=0",
        "INFO|keys are available|keys=2",
        "WARN|keys cannot be fetched|connection refused|kept_keys=2",
        "ERROR|older than maxStale",
    ]);
}

#[tokio::test(start_paused = true)]
async fn unusable_keys_and_reused_kids_are_logged_once_and_counted() {
    let log = Log::start();
    let odd = json!({"kty": "oct", "kid": "secret", "k": "AA"});
    let set = move |keys: &[serde_json::Value]| {
        keys_for(document(&[keys, std::slice::from_ref(&odd)].concat()), Some(60))
    };
    let script = Script::new(move |number| match number {
        0 | 1 => set(&[RSA.jwk_named("a"), RSA.jwk_named("b")]),
        // Absent for a while, then back with other key material.
        2 => set(&[RSA.jwk_named("b")]),
        3 => set(&[OTHER_RSA.jwk_named("a"), RSA.jwk_named("b")]),
        _ => keys_for(set_of(&["b"]), None),
    });
    let metrics = Arc::new(Metrics::new());
    let keys = idle(&settings(1), &metrics, &[&script]);
    keys.start();
    let counted = |metric: &str| {
        let text = metrics.encode(ExpositionFormat::Text);
        let line = text.lines().find(|line| line.starts_with(metric));
        let ok = text.lines().find(|line| line.starts_with(metric) && line.contains("result=\"ok\""));
        ok.or(line).and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    seconds(180).await;
    assert_eq!(script.count(), 4);
    assert_eq!(counted("metagate_jwks_skipped_keys{").as_deref(), Some("1"));
    assert_eq!(counted("metagate_jwks_kid_reused_total{").as_deref(), Some("1"));
    assert_eq!(keys.status()[0].skipped.len(), 1);
    seconds(60).await;
    assert_eq!(counted("metagate_jwks_skipped_keys{").as_deref(), Some("0"));
    assert_eq!(counted("metagate_jwks_keys{").as_deref(), Some("1"));
    assert_eq!(counted("metagate_jwks_fetches_total{").as_deref(), Some("5"));
    for metric in ["last_success", "next_refresh"] {
        let time: f64 =
            counted(&format!("metagate_jwks_{metric}_timestamp_seconds{{")).unwrap().parse().unwrap();
        assert!(time > 1.7e9, "{metric}");
    }
    log.assert(&[
        "WARN|a key of the set is not used|secret",
        "INFO|keys are available",
        "INFO|the key set has changed|removed=1",
        "INFO|the key set has changed|added=1",
        "WARN|came back with other key material|kid=\"a\"",
        "INFO|the key set has changed",
    ]);
}

#[test]
fn sources_that_differ_only_in_their_query_have_distinct_names() {
    let urls = ["http://keys.test/jwks?p=a", "http://keys.test/jwks?p=b"].map(str::to_owned);
    let keys = keys(&from_urls(&urls));
    let names: Vec<_> = keys.status().into_iter().map(|source| source.name).collect();
    assert_eq!(names, ["http://keys.test/jwks", "http://keys.test/jwks #2"]);
}
