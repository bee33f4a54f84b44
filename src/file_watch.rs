//! Detects changed files by their content: the configuration and its certificates, the revocation list, and the
//! authorities of key sources. A key set in a file is not watched here, because it has to be fetched again anyway to
//! stay fresh.
//!
//! Comparing contents finds changes that file system events miss: a ConfigMap's symlink swap, a bind mount, an overlay,
//! a network file system.
//!
//! A revocation list may have 64 MiB, so a check first opens the file and asks for its metadata ([`Stamp`]: device,
//! inode, size, and the times of the last change of content and of metadata). The content is read only if it may have
//! changed since it was last read ([`LastRead`]):
//!
//! 1. *Another stamp.* A replaced file and a swapped symlink have another inode, or at least another `ctime`, which no
//!    program can set: a copy that keeps the old `mtime` and size is noticed too. The file is opened, and not only
//!    looked up, because opening makes a network file system ask its server.
//! 2. *A young stamp.* A file system's clock has ticks, of 2 seconds at worst. A file that is written twice in one tick
//!    may keep its stamp, so the content is read at each check until the stamp has been the same for longer than any
//!    tick ([`SETTLED`]). A later write then happens in a later tick and has another stamp. This counts time on this
//!    machine only, between two checks; the clock of a file server may be wrong.
//! 3. *An old look.* Some file systems do not keep times, and a memory-mapped file may change after its `mtime`. So the
//!    content is read every few minutes whatever the stamp says ([`READ_ANYWAY`]).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::digest::{Sha256, Sha256Writer};

/// More than a configuration or a certificate may have.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// How long a stamp must have been the same before the content is trusted to be the same too. Longer than a tick of any
/// file system's clock: FAT has 2 seconds.
const SETTLED: Duration = Duration::from_secs(5);
/// How often the content is read although the stamp is the same.
const READ_ANYWAY: Duration = Duration::from_secs(300);

/// The digest of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Content(Sha256);

/// Passes the bytes of a reader on and computes their digest.
pub(crate) struct Digesting<R> {
    reader: R,
    digest: Sha256Writer,
}

/// What the file system says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// When a file was last read, and its stamp just before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastRead {
    stamp: Stamp,
    /// When the stamp was first seen.
    first_seen: Instant,
    at: Instant,
}

impl Content {
    /// Reads to the end.
    pub(crate) fn of(reader: impl Read) -> io::Result<Self> {
        let mut digesting = Digesting::new(reader);
        io::copy(&mut digesting, &mut io::sink())?;
        Ok(digesting.content())
    }
}

impl<R> Digesting<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, digest: Sha256Writer::default() }
    }

    /// The content that was read.
    pub(crate) fn content(self) -> Content {
        Content(self.digest.finish())
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.digest.update(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

impl Stamp {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl LastRead {
    /// A read that begins `now`. The stamp was taken before that.
    pub(crate) fn new(before: Option<&Self>, stamp: Stamp, now: Instant) -> Self {
        let same = before.filter(|before| before.stamp == stamp);
        Self { stamp, first_seen: same.map_or(now, |before| before.first_seen), at: now }
    }

    /// Whether a file with this stamp still has the content that was read.
    pub(crate) fn holds(&self, stamp: Stamp, now: Instant) -> bool {
        self.stamp == stamp
            && self.at.saturating_duration_since(self.first_seen) >= SETTLED
            && now.saturating_duration_since(self.at) < READ_ANYWAY
    }
}

/// The content of each file; `None` if it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Contents(BTreeMap<PathBuf, Option<Content>>);

/// Reads files. Blocks.
pub(crate) fn read<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Contents {
    FileReader::default().read(paths, Instant::now)
}

/// Reads the same files again and again, and their content only if it may have changed.
#[derive(Debug, Default)]
pub(crate) struct FileReader {
    known: BTreeMap<PathBuf, (LastRead, Content)>,
    /// How often content was read.
    #[cfg(test)]
    reads: usize,
}

impl FileReader {
    /// Reads files. Blocks. Files that were read before and are not among these are forgotten.
    pub(crate) fn read<'p>(
        &mut self,
        paths: impl IntoIterator<Item = &'p PathBuf>,
        clock: impl Fn() -> Instant,
    ) -> Contents {
        let mut before = std::mem::take(&mut self.known);
        let mut contents = BTreeMap::new();
        for path in paths {
            let known = before.remove(path).or_else(|| self.known.get(path).copied());
            let now = self.content(path, known.as_ref(), &clock).ok();
            self.known.extend(now.map(|now| (path.clone(), now)));
            contents.insert(path.clone(), now.map(|(_, content)| content));
        }
        Contents(contents)
    }

    fn content(
        &mut self,
        path: &Path,
        known: Option<&(LastRead, Content)>,
        clock: &impl Fn() -> Instant,
    ) -> io::Result<(LastRead, Content)> {
        let file = File::open(path)?;
        let (stamp, now) = (Stamp::of(&file)?, clock());
        if let Some(known) = known.filter(|(last, _)| last.holds(stamp, now)) {
            return Ok(*known);
        }
        #[cfg(test)]
        {
            self.reads += 1;
        }
        Ok((LastRead::new(known.map(|(last, _)| last), stamp, now), Content::of(file.take(MAX_BYTES))?))
    }
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

    /// The same files, but those of `paths` as in `known`: with its content, or left out.
    pub(crate) fn with_paths_as_in<'p>(
        mut self,
        known: &Self,
        paths: impl IntoIterator<Item = &'p PathBuf>,
    ) -> Self {
        for path in paths {
            match known.0.get(path) {
                Some(content) => drop(self.0.insert(path.clone(), *content)),
                None => drop(self.0.remove(path)),
            }
        }
        self
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

    /// Reads one file at these seconds, and returns how often its content was read.
    fn read_at(
        reader: &mut FileReader,
        path: &PathBuf,
        start: Instant,
        seconds: &[u64],
    ) -> (usize, Contents) {
        let before = reader.reads;
        let mut contents = Contents::default();
        for second in seconds {
            contents = reader.read([path], || start + Duration::from_secs(*second));
        }
        (reader.reads - before, contents)
    }

    #[test]
    fn content_is_read_until_its_stamp_has_settled() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "one").unwrap();
        let (mut reader, start) = (FileReader::default(), Instant::now());
        let (reads, first) = read_at(&mut reader, &path, start, &[0, 1, 2, 3, 4, 5]);
        assert_eq!(reads, 6, "it may change within one tick of the file system's clock");
        let (reads, contents) = read_at(&mut reader, &path, start, &[6, 7, 60, 304]);
        assert_eq!((reads, contents), (0, first.clone()));
        let (reads, contents) = read_at(&mut reader, &path, start, &[305, 306]);
        assert_eq!((reads, contents), (1, first.clone()), "a file system may not keep times");
        // The same size, the same `mtime` and another file.
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let other = directory.path().join("other");
        fs::write(&other, "two").unwrap();
        File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
        fs::rename(&other, &path).unwrap();
        let (reads, contents) = read_at(&mut reader, &path, start, &[307]);
        assert_eq!(reads, 1);
        assert_eq!(first.changes(&contents), std::slice::from_ref(&path));
        fs::remove_file(&path).unwrap();
        let (_, gone) = read_at(&mut reader, &path, start, &[308]);
        assert_eq!(gone, Contents(BTreeMap::from([(path.clone(), None)])));
        assert!(reader.known.is_empty());
    }

    #[test]
    fn a_write_within_a_tick_is_found() {
        let stamp = Stamp { device: 1, inode: 2, size: 3, modified: (4, 0), changed: (4, 0) };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = LastRead::new(None, stamp, at(0));
        // However late the next check is: it may have been written again just after the first read.
        assert!(!first.holds(stamp, at(100)));
        let second = LastRead::new(Some(&first), stamp, at(100));
        assert!(second.holds(stamp, at(101)));
        for other in [
            Stamp { device: 0, ..stamp },
            Stamp { inode: 0, ..stamp },
            Stamp { size: 0, ..stamp },
            Stamp { modified: (4, 1), ..stamp },
            Stamp { changed: (4, 1), ..stamp },
        ] {
            assert!(!second.holds(other, at(101)), "{other:?}");
            assert!(!LastRead::new(Some(&second), other, at(101)).holds(other, at(102)), "{other:?}");
        }
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

    #[test]
    fn a_file_that_appeared_or_vanished_since_stays_a_difference() {
        let directory = tempfile::tempdir().unwrap();
        let [kept, gone, new] = ["kept", "gone", "new"].map(|name| directory.path().join(name));
        [&kept, &gone].into_iter().for_each(|path| fs::write(path, "old").unwrap());
        let known = read([&kept, &gone]);
        fs::write(&kept, "changed").unwrap();
        let now = read([&kept, &new]);
        assert_eq!(now.with_paths_as_in(&known, [&kept, &gone, &new]), known);
    }
}
