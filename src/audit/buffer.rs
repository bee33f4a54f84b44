//! The lines that wait to be written: a buffer for each worker, and their order.

use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use super::AuditRecord;
use super::line::{self, DateText};
use crate::sharded::Sharded;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
mod models;

/// How much may be buffered, in all buffers.
const MAX_BUFFERED_BYTES: usize = 8 * 1024 * 1024;
/// The total is changed in steps of this size, so that not every line touches it.
const STEP: usize = 64 * 1024;
/// How much memory of a burst a buffer keeps.
const KEPT_BYTES: usize = 256 * 1024;
/// How much is written at once. Not more: the output has stalled if it does not take one piece in time, and if one
/// cannot be written, all its lines count as dropped.
const WRITE_BYTES: usize = 64 * 1024;

/// A buffer for each worker.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    shards: Sharded<Mutex<Buffer>>,
    /// What all buffers hold, in whole steps for each.
    held: AtomicUsize,
}

#[derive(Debug, Default)]
struct Buffer {
    lines: Lines,
    /// Its part of [`Buffers::held`].
    held: usize,
    date: DateText,
}

/// Lines in the order in which they were added.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    added: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    /// When its request ended, since the epoch.
    ended: Duration,
    length: usize,
}

impl Buffers {
    /// Adds the line of a record to this thread's buffer. Returns false if too much is buffered, or if the clock is so
    /// wrong that the record has no date.
    pub(super) fn add(&self, record: &AuditRecord<'_>) -> bool {
        // Seldom contended: this thread, the few that share its buffer, and the writer 50 times a second lock it.
        let buffer = &mut *lock(self.shards.own());
        let before = buffer.lines.bytes.len();
        if self.held.load(Ordering::Relaxed) > MAX_BUFFERED_BYTES {
            return false;
        }
        let Some(date) = buffer.date.at(record.time) else { return false };
        line::write(&mut buffer.lines.bytes, date, record);
        let ended = record.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ended = ended.saturating_add(record.duration);
        buffer.lines.added.push(Line { ended, length: buffer.lines.bytes.len() - before });
        let holds = buffer.lines.memory();
        if holds > buffer.held {
            let holds = holds.next_multiple_of(STEP);
            self.held.fetch_add(holds - buffer.held, Ordering::Relaxed);
            buffer.held = holds;
        }
        true
    }

    /// How many lines wait.
    pub(super) fn lines(&self) -> u64 {
        self.shards.all().map(|buffer| lock(buffer).lines.added.len() as u64).sum()
    }

    /// Takes all lines, and leaves the buffers of `taken`, which are empty, in their place.
    pub(super) fn take(&self, taken: &mut Taken) {
        // All are locked first. Otherwise a line could be taken without one that was added before it.
        let mut buffers: Vec<_> = self.shards.all().map(lock).collect();
        taken.buffers.resize_with(buffers.len(), Lines::default);
        for (buffer, taken) in buffers.iter_mut().zip(&mut taken.buffers) {
            std::mem::swap(&mut buffer.lines, taken);
            self.held.fetch_sub(std::mem::take(&mut buffer.held), Ordering::Relaxed);
        }
    }
}

impl Lines {
    fn memory(&self) -> usize {
        self.bytes.len() + self.added.len() * size_of::<Line>()
    }
}

/// Lines that were taken to be written.
#[derive(Debug, Default)]
pub(super) struct Taken {
    buffers: Vec<Lines>,
    merged: Vec<u8>,
}

impl Taken {
    /// How many lines were taken.
    pub(super) fn lines(&self) -> u64 {
        self.buffers.iter().map(|lines| lines.added.len() as u64).sum()
    }

    /// Passes pieces of whole lines and their number to `write`, in the order in which their requests ended.
    pub(super) fn write(&mut self, mut write: impl FnMut(&[u8], u64)) {
        let Self { buffers, merged } = self;
        let mut queues: Vec<_> =
            buffers.iter().filter(|lines| !lines.added.is_empty()).map(Queue::new).collect();
        if let [only] = &mut *queues {
            while let Some((piece, count)) = only.pop_piece() {
                write(piece, count);
            }
            return;
        }
        let mut count = 0;
        while let Some(line) = queues.iter_mut().min_by_key(|queue| queue.order()).and_then(Queue::pop) {
            merged.extend_from_slice(line);
            count += 1;
            if merged.len() >= WRITE_BYTES {
                write(merged, std::mem::take(&mut count));
                merged.clear();
            }
        }
        if !merged.is_empty() {
            write(merged, count);
            merged.clear();
        }
    }

    /// Empties the buffers, and releases the memory of a burst.
    pub(super) fn clear(&mut self) {
        for Lines { bytes, added } in &mut self.buffers {
            bytes.clear();
            bytes.shrink_to(KEPT_BYTES);
            added.clear();
            added.shrink_to(KEPT_BYTES / 16 / size_of::<Line>());
        }
        self.merged.shrink_to(2 * WRITE_BYTES);
    }
}

/// The lines of one buffer that are not written yet.
struct Queue<'l> {
    bytes: &'l [u8],
    lines: &'l [Line],
}

impl<'l> Queue<'l> {
    fn new(lines: &'l Lines) -> Self {
        Self { bytes: &lines.bytes, lines: &lines.added }
    }

    /// The queue whose next line ended first comes first, and empty queues last.
    fn order(&self) -> (bool, Option<Duration>) {
        let next = self.lines.first().map(|line| line.ended);
        (next.is_none(), next)
    }

    fn pop(&mut self) -> Option<&'l [u8]> {
        let (line, lines) = self.lines.split_first()?;
        let (bytes, rest) = self.bytes.split_at_checked(line.length)?;
        (self.bytes, self.lines) = (rest, lines);
        Some(bytes)
    }

    /// As many lines as fill one write, and their number.
    fn pop_piece(&mut self) -> Option<(&'l [u8], u64)> {
        let (mut length, mut count) = (0, 0);
        while length < WRITE_BYTES
            && let Some(line) = self.lines.get(count)
        {
            length += line.length;
            count += 1;
        }
        let (piece, rest) = self.bytes.split_at_checked(length)?;
        (self.bytes, self.lines) = (rest, self.lines.get(count..)?);
        (count > 0).then_some((piece, count as u64))
    }
}

fn lock(buffer: &Mutex<Buffer>) -> MutexGuard<'_, Buffer> {
    buffer.lock().unwrap_or_else(PoisonError::into_inner)
}
