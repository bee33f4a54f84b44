//! Detects changed files by their content: the configuration and its certificates, the revocation list, and the
//! authorities of key sources. A key set in a file is not watched here, because it has to be fetched again anyway to
//! stay fresh.
//!
//! Comparing contents finds changes that file system events miss: a ConfigMap's symlink swap, a bind mount, an overlay,
//! a network file system. The files are few and small, so reading them once a second costs nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::digest::{Sha256, sha256};

/// Larger than any of these files may be.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The digest of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Content(Sha256);

impl Content {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(sha256(bytes))
    }
}

/// The content of each file; `None` if it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Contents(BTreeMap<PathBuf, Option<Content>>);

/// Reads files. Blocks.
pub(crate) fn read<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Contents {
    Contents(paths.into_iter().map(|path| (path.clone(), content(path))).collect())
}

fn content(path: &Path) -> Option<Content> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(Content::of(&bytes))
}

/// When to check files: now and then every `period`, delayed if a check takes longer.
pub(crate) fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Calls `look` on each of the [`ticks`] until the future is dropped. `look` may block. If it panics, it is called
/// again on the next tick.
pub(crate) async fn look_every(period: Duration, what: &str, look: impl Fn() + Clone + Send + 'static) {
    let mut ticks = ticks(period);
    loop {
        ticks.tick().await;
        if tokio::task::spawn_blocking(look.clone()).await.is_err() {
            tracing::error!("looking at the {what} panicked");
        }
    }
}

impl Contents {
    /// The files of `next` whose content differs.
    pub(crate) fn changes(&self, next: &Self) -> Vec<PathBuf> {
        let differs = |(path, content): &(&PathBuf, &Option<Content>)| self.0.get(*path) != Some(*content);
        next.0.iter().filter(differs).map(|(path, _)| path.clone()).collect()
    }

    /// The same files, with the contents of `known` for those that it has.
    pub(crate) fn with_known(mut self, known: &Self) -> Self {
        for (path, content) in &mut self.0 {
            if let Some(known) = known.0.get(path) {
                content.clone_from(known);
            }
        }
        self
    }
}

/// Watched files: the contents that were already handled, and a change that may not be complete yet.
#[derive(Debug)]
pub(crate) struct Watched {
    handled: Contents,
    pending: Option<Contents>,
}

impl Watched {
    /// `handled` are the contents that were last put into force or refused.
    pub(crate) fn new(handled: Contents) -> Self {
        Self { handled, pending: None }
    }

    /// Whether the contents have changed and were then the same in two checks. This waits for a file that is still
    /// being written, and for a certificate whose key follows a moment later.
    pub(crate) fn has_news(&mut self, now: &Contents) -> bool {
        if *now == self.handled {
            self.pending = None;
            return false;
        }
        let settled = self.pending.as_ref() == Some(now);
        self.pending = Some(now.clone());
        settled
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_change_is_news_once_two_checks_agree() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let look = || read([&path]);
        let mut watched = Watched::new(look());
        assert!(!watched.has_news(&look()), "nothing is there, as before");
        fs::write(&path, "half").unwrap();
        assert!(!watched.has_news(&look()));
        fs::write(&path, "whole").unwrap();
        assert!(!watched.has_news(&look()), "still being written");
        assert!(watched.has_news(&look()));
        assert_eq!(watched.handled.changes(&look()), std::slice::from_ref(&path));
        let (before, mut watched) = (look(), Watched::new(look()));
        assert!(!watched.has_news(&look()) && watched.handled.changes(&look()).is_empty());
        fs::write(&path, "other").unwrap();
        assert!(!watched.has_news(&look()));
        fs::write(&path, "whole").unwrap();
        assert!(!watched.has_news(&look()) && !watched.has_news(&look()), "it is what it was again");
        fs::write(&path, "later").unwrap();
        assert_eq!(look().with_known(&before), before, "what came after a look is news for the next one");
    }

    #[test]
    fn a_symlink_swap_is_a_change() {
        // As the kubelet does it: file -> ..data/file, ..data -> ..2026_1, and `..data` is replaced.
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (version, text) in [("..2026_1", "one"), ("..2026_2", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("file"), text).unwrap();
        }
        symlink("..2026_1", at("..data")).unwrap();
        symlink("..data/file", at("file")).unwrap();
        let before = read([&at("file")]);
        symlink("..2026_2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_eq!(before.changes(&read([&at("file")])), [at("file")]);
    }

    #[tokio::test(start_paused = true)]
    async fn watching_continues_after_a_panic() {
        let (sender, mut looks) = tokio::sync::mpsc::unbounded_channel();
        let look = move || {
            sender.send(()).unwrap();
            panic!("a look of the test");
        };
        let looking = tokio::spawn(look_every(Duration::from_secs(2), "file", look));
        for _ in 0..3 {
            looks.recv().await.unwrap();
        }
        looking.abort();
    }
}
