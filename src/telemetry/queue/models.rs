//! Threads that log while the queue is written, and is full.

#![allow(clippy::unwrap_used, reason = "tests")]

use shuttle::{future, thread};

use super::*;
use crate::sync::check;

const THREADS: usize = 3;
/// Two fit into the queue.
const LINE: &[u8] = b"a line.\n";
const LINES: usize = 2;

/// Takes every line.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Each line is either written or counted as dropped, and the notices say how many were. After `flush` nothing waits.
#[test]
fn every_line_is_written_or_counted() {
    check(|| {
        let (queue, written) = (LogQueue::default(), Written::default());
        let (writing, out) = (queue.clone(), written.clone());
        // Not a thread of the checker, because it never ends.
        drop(future::spawn(async move {
            writing.write_all_to(out, |queue, lines| queue.add(format!("{lines}\n").as_bytes()));
        }));
        let adding = [(); THREADS].map(|()| {
            let queue = queue.clone();
            thread::spawn(move || (0..LINES).for_each(|_| queue.add(LINE)))
        });
        adding.into_iter().for_each(|thread| thread.join().unwrap());
        queue.flush();
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let line = str::from_utf8(LINE).unwrap().trim_end();
        let (lines, notices): (Vec<_>, Vec<_>) = written.lines().partition(|written| *written == line);
        let dropped = THREADS * LINES - lines.len();
        let told: usize = notices.iter().map(|notice| notice.parse::<usize>().unwrap()).sum();
        assert_eq!((queue.dropped(), told), (dropped as u64, dropped));
    });
}
