//! The lines of the log that wait to be written, so that a request never waits for standard error.

use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd as _;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use crate::sync::thread::{self, ThreadId};
use crate::sync::{Condvar, Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
mod models;

/// How many bytes may wait. As many again are being written.
const MAX_WAITING_BYTES: usize = if cfg!(shuttle) { 16 } else { 1024 * 1024 };
/// How much memory of a burst is kept.
const KEPT_BYTES: usize = 64 * 1024;
/// How long [`LogQueue::flush`] waits: the process ends even if its log is not read.
const FLUSH_TIME: Duration = Duration::from_secs(1);
/// How long to wait before a non-blocking output that is full is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

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
    /// The thread that writes. The notice of dropped lines, its only line, has room in a full queue.
    writer: Option<ThreadId>,
    /// Lines that were dropped since the start.
    dropped: u64,
    /// How many of them a notice in the log has reported.
    reported: u64,
}

impl LogQueue {
    /// A queue that a thread of its own writes to standard error. Not through [`io::stderr`], because a write that waits
    /// would hold its lock.
    pub(super) fn start() -> io::Result<Self> {
        let out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Self::start_with(out, |_, lines| {
            tracing::warn!(
                lines,
                "lines of the log are missing here: standard error did not take them in time"
            );
        })
    }

    /// `report` adds the notice of so many dropped lines.
    fn start_with(
        out: impl Write + Send + 'static,
        report: impl Fn(&Self, u64) + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Self::default();
        let writing = queue.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_all_to(out, report))?;
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
        let is_full = state.waiting.len() + line.len() > MAX_WAITING_BYTES;
        if is_full && state.writer != Some(thread::current().id()) {
            state.dropped += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        drop(state);
        self.0.added.notify_one();
    }

    fn write_all_to(&self, out: impl Write, report: impl Fn(&Self, u64)) {
        self.lock().writer = Some(thread::current().id());
        let mut output = Output { out, is_torn: false };
        let (mut lines, mut reporting) = (Vec::new(), 0);
        loop {
            {
                let mut state = self.lock();
                while state.waiting.is_empty() {
                    state = self.0.added.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                mem::swap(&mut state.waiting, &mut lines);
                state.is_writing = true;
            }
            let written = output.write_lines(&lines);
            let lost = lines.iter().skip(written).filter(|byte| **byte == b'\n').count() as u64;
            lines.clear();
            lines.shrink_to(KEPT_BYTES);
            reporting = self.lock().settle(lost, reporting);
            if reporting > 0 {
                report(self, reporting);
            }
            self.lock().is_writing = false;
            self.0.written.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts lines that could not be written. Returns how many dropped lines to report now, with a line that is in the
    /// next batch. `reporting` is what the notice in this batch said.
    fn settle(&mut self, lost: u64, reporting: u64) -> u64 {
        self.dropped += lost;
        if lost > 0 {
            // The notice may be among them. So its lines are reported again, once the output takes lines.
            return 0;
        }
        self.reported += reporting;
        self.dropped - self.reported
    }
}

/// Where the lines go.
struct Output<W> {
    out: W,
    /// Whether a line was written only in part.
    is_torn: bool,
}

impl<W: Write> Output<W> {
    /// Writes lines, on a line of their own also after one that was written in part. Returns how many bytes of them were
    /// written: all, unless the output fails.
    fn write_lines(&mut self, lines: &[u8]) -> usize {
        if self.is_torn && self.write_bytes(b"\n") == 0 {
            return 0;
        }
        self.write_bytes(lines)
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.out.write(rest).map_err(|error| error.kind()) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(io::ErrorKind::Interrupted) => {}
                // Standard error is non-blocking if another process that shares it has set that.
                Err(io::ErrorKind::WouldBlock) => thread::sleep(RETRY_INTERVAL),
                Err(_) => break,
            }
        }
        if let Some(last) = bytes.get(..written).and_then(<[u8]>::last) {
            self.is_torn = *last != b'\n';
        }
        written
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

    const ALL: io::Result<usize> = Ok(usize::MAX);

    fn full() -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    /// An output that takes up to a number of bytes once it is permitted to.
    struct Gated {
        permits: Receiver<io::Result<usize>>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let most = self.permits.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
            let taken = &bytes[..most.min(bytes.len())];
            self.taken.send(taken.to_vec()).unwrap();
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A queue whose notices are the number of lines, and `lost`.
    fn queue() -> (LogQueue, Sender<io::Result<usize>>, Receiver<Vec<u8>>) {
        let ((permit, permits), (taken, lines)) = (channel(), channel());
        let report = |queue: &LogQueue, lines: u64| queue.add(format!("{lines} lost\n").as_bytes());
        (LogQueue::start_with(Gated { permits, taken }, report).unwrap(), permit, lines)
    }

    #[test]
    fn full_queue_drops_and_counts_lines_without_blocking() {
        let (mut queue, permit, lines) = queue();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        // The first is taken by the thread, which then waits, or still in the queue.
        queue.write_all(&line).unwrap();
        for _ in 0..4 * MAX_WAITING_BYTES / line.len() {
            queue.write_all(&line).unwrap();
        }
        let dropped = queue.dropped();
        assert!(dropped >= 2 * 1024, "{dropped}");
        // The queue is full when the notice is added.
        let notice = format!("{dropped} lost\n");
        let mut written = Vec::new();
        while !written.ends_with(notice.as_bytes()) {
            permit.send(ALL).unwrap();
            written.extend(lines.recv().unwrap());
        }
        let kept = (4 * 1024 + 1 - dropped) as usize;
        assert_eq!(written.len(), kept * line.len() + notice.len());
        queue.flush();
        let state = queue.lock();
        assert!(state.waiting.is_empty() && !state.is_writing);
        assert_eq!((state.dropped, state.reported), (dropped, dropped));
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_later_ones_are_written() {
        let (mut queue, permit, lines) = queue();
        queue.write_all(b"lost\n").unwrap();
        permit.send(full()).unwrap();
        queue.flush();
        assert_eq!(queue.dropped(), 1);
        queue.write_all(b"kept\n").unwrap();
        for expected in ["kept\n", "1 lost\n"] {
            permit.send(ALL).unwrap();
            assert_eq!(lines.recv().unwrap(), expected.as_bytes());
        }
        queue.flush();
        assert_eq!((queue.dropped(), queue.lock().reported), (1, 1));
    }

    #[test]
    fn a_failed_write_loses_only_the_lines_after_it_and_leaves_no_torn_line() {
        let (mut queue, permit, lines) = queue();
        queue.write_all(b"first\nsecond\nthird\n").unwrap();
        permit.send(Ok(9)).unwrap();
        permit.send(full()).unwrap();
        assert_eq!(lines.recv().unwrap(), b"first\nsec");
        queue.flush();
        assert_eq!(queue.dropped(), 2);
        queue.write_all(b"later\n").unwrap();
        for expected in ["\n", "later\n", "2 lost\n"] {
            permit.send(ALL).unwrap();
            assert_eq!(lines.recv().unwrap(), expected.as_bytes());
        }
    }

    #[test]
    fn a_notice_that_is_lost_is_repeated() {
        let (mut queue, permit, lines) = queue();
        queue.write_all(b"a\n").unwrap();
        permit.send(full()).unwrap();
        queue.flush();
        queue.write_all(b"b\n").unwrap();
        permit.send(ALL).unwrap();
        assert_eq!(lines.recv().unwrap(), b"b\n");
        // The notice.
        permit.send(full()).unwrap();
        queue.flush();
        assert_eq!((queue.dropped(), queue.lock().reported), (2, 0));
        queue.write_all(b"c\n").unwrap();
        for expected in ["c\n", "2 lost\n"] {
            permit.send(ALL).unwrap();
            assert_eq!(lines.recv().unwrap(), expected.as_bytes());
        }
        queue.flush();
        assert_eq!((queue.dropped(), queue.lock().reported), (2, 2));
    }

    #[test]
    fn non_blocking_output_that_is_full_is_tried_again() {
        let (mut queue, permit, lines) = queue();
        queue.write_all(b"a line\n").unwrap();
        for kind in [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted] {
            permit.send(Err(kind.into())).unwrap();
        }
        permit.send(Ok(2)).unwrap();
        permit.send(Err(io::ErrorKind::WouldBlock.into())).unwrap();
        permit.send(ALL).unwrap();
        assert_eq!([lines.recv().unwrap(), lines.recv().unwrap()].concat(), b"a line\n");
        queue.flush();
        assert_eq!(queue.dropped(), 0);
    }
}
