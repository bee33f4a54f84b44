//! The lines of the log that wait to be written, so that a request never waits for standard error.

use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// How many bytes may wait. As many again are being written.
const MAX_WAITING_BYTES: usize = 1024 * 1024;
/// How much memory of a burst is kept.
const KEPT_BYTES: usize = 64 * 1024;
/// How long [`LogQueue::flush`] waits: the process ends also if nobody reads its log.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// Lines on their way to the output, which one thread writes. A clone is another handle to the same queue.
#[derive(Clone, Debug, Default)]
pub struct LogQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the writing thread.
    added: Condvar,
    /// Wakes [`LogQueue::flush`].
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    is_writing: bool,
    /// Lines that were dropped since the start.
    dropped: u64,
    /// How many of them the log has told of.
    told: u64,
}

impl LogQueue {
    /// A queue that a thread of its own writes to standard error. Not through [`io::stderr`], because a write that waits
    /// would hold its lock.
    pub(super) fn start() -> io::Result<Self> {
        let out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Self::start_with(out)
    }

    fn start_with(out: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Self::default();
        let writing = queue.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_all_to(out))?;
        Ok(queue)
    }

    /// How many lines were dropped because the output did not take them.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Waits until every line is written, at most for a second.
    pub fn flush(&self) {
        let deadline = Instant::now() + FLUSH_TIME;
        let mut state = self.lock();
        while !state.waiting.is_empty() || state.is_writing {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
        }
    }

    fn add(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > MAX_WAITING_BYTES {
            state.dropped += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        drop(state);
        self.0.added.notify_one();
    }

    fn write_all_to(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            {
                let mut state = self.lock();
                while state.waiting.is_empty() {
                    state = self.0.added.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                mem::swap(&mut state.waiting, &mut lines);
                state.is_writing = true;
            }
            let is_written = out.write_all(&lines).is_ok();
            let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
            lines.clear();
            lines.shrink_to(KEPT_BYTES);
            let untold = {
                let mut state = self.lock();
                state.is_writing = false;
                if !is_written {
                    state.dropped += count;
                }
                // Of lines that could not be written, the log tells once it can be written.
                let untold = if is_written { state.dropped - state.told } else { 0 };
                state.told += untold;
                untold
            };
            self.0.written.notify_all();
            if untold > 0 {
                tracing::warn!(
                    lines = untold,
                    "lines of the log are missing here: standard error did not take them in time"
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes whole lines. tracing writes each with one call.
impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogQueue {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// An output that takes what it is given once it is permitted to.
    struct Gated {
        permits: Receiver<io::Result<()>>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.permits.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
            self.taken.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue() -> (LogQueue, Sender<io::Result<()>>, Receiver<Vec<u8>>) {
        let ((permit, permits), (taken, lines)) = (channel(), channel());
        (LogQueue::start_with(Gated { permits, taken }).unwrap(), permit, lines)
    }

    #[test]
    fn lines_that_do_not_fit_are_dropped_and_counted_and_nobody_waits() {
        let (mut queue, permit, lines) = queue();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        // The first is taken by the thread, which then waits, or still in the queue.
        queue.write_all(&line).unwrap();
        for _ in 0..4 * MAX_WAITING_BYTES / line.len() {
            queue.write_all(&line).unwrap();
        }
        assert!(queue.dropped() >= 2 * 1024, "{}", queue.dropped());
        let dropped = queue.dropped();
        let mut written = 0;
        while written < (4 * 1024 + 1 - dropped) as usize * line.len() {
            permit.send(Ok(())).unwrap();
            written += lines.recv().unwrap().len();
        }
        queue.flush();
        let state = queue.lock();
        assert!(state.waiting.is_empty() && !state.is_writing);
        assert_eq!((state.dropped, state.told), (dropped, dropped));
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_later_ones_are_written() {
        let (mut queue, permit, lines) = queue();
        queue.write_all(b"lost\n").unwrap();
        permit.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        queue.flush();
        assert_eq!(queue.dropped(), 1);
        queue.write_all(b"kept\n").unwrap();
        permit.send(Ok(())).unwrap();
        assert_eq!(lines.recv().unwrap(), b"kept\n");
        queue.flush();
        assert_eq!((queue.dropped(), queue.lock().told), (1, 1));
    }
}
