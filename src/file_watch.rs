//! Looking at files again and again, by content: for the configuration and its certificates, the
//! revocation list, and the authorities of key sources. (A key set in a file is fetched like every other,
//! because each reading makes it fresh.)
//!
//! Content sees what watching for events misses: a ConfigMap's symlink swap, a bind mount, an overlay,
//! a file on a network. The files are small and few; reading them once a second costs nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::digest::{Sha256, sha256};

/// More than any of these files may have.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What a file held at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Content(Sha256);

impl Content {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(sha256(bytes))
    }
}

/// What each file held; none where it cannot be read.
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

/// The moments to look at files: now, and then every `period`, later if one look takes longer than that.
pub(crate) fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Looks at files on each of the [`ticks`] until the future is dropped. `look` may block; if it panics,
/// it is called again at the next.
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
    /// The files whose content is another in `next`.
    pub(crate) fn changes(&self, next: &Self) -> Vec<PathBuf> {
        let differs = |(path, content): &(&PathBuf, &Option<Content>)| self.0.get(*path) != Some(*content);
        next.0.iter().filter(differs).map(|(path, _)| path.clone()).collect()
    }

    /// The same files, those that `known` has as they were then.
    pub(crate) fn with_known(mut self, known: &Self) -> Self {
        for (path, content) in &mut self.0 {
            if let Some(known) = known.0.get(path) {
                content.clone_from(known);
            }
        }
        self
    }
}

/// What was seen of some files, and what of it has been dealt with.
#[derive(Debug)]
pub(crate) struct Watched {
    done: Contents,
    pending: Option<Contents>,
}

impl Watched {
    /// What is in force, or has been refused, was made of these.
    pub(crate) fn new(done: Contents) -> Self {
        Self { done, pending: None }
    }

    /// `true` if there is something new that has stayed the same for two looks: a file that is being
    /// written, or a certificate whose key comes a moment later, is given time.
    pub(crate) fn has_news(&mut self, now: &Contents) -> bool {
        if *now == self.done {
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
    fn news_are_what_stays_for_two_looks() {
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
        assert_eq!(watched.done.changes(&look()), std::slice::from_ref(&path));
        let (before, mut watched) = (look(), Watched::new(look()));
        assert!(!watched.has_news(&look()) && watched.done.changes(&look()).is_empty());
        fs::write(&path, "other").unwrap();
        assert!(!watched.has_news(&look()));
        fs::write(&path, "whole").unwrap();
        assert!(!watched.has_news(&look()) && !watched.has_news(&look()), "it is what it was again");
        fs::write(&path, "later").unwrap();
        assert_eq!(look().with_known(&before), before, "what came after a look is news for the next one");
    }

    #[test]
    fn a_symlink_swap_is_seen() {
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
    async fn a_look_that_panics_is_not_the_last() {
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
