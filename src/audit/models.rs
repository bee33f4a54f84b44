//! Requests that end while the trail is written.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::tests::record;
use super::*;
use crate::sync::{Condvar, Mutex, check};

const THREADS: usize = 2;
const LINES: usize = 2;

/// What was written so far.
#[derive(Clone, Default)]
struct Written(Arc<(Mutex<usize>, Condvar)>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        *self.0.0.lock().unwrap() += bytes.iter().filter(|byte| **byte == b'\n').count();
        self.0.1.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Every line is written once, and without another one after it: the thread that writes is awake whenever one waits.
#[test]
fn no_line_waits_for_another() {
    let metrics = Arc::new(Metrics::new());
    check(move || {
        let shared = Arc::new(Shared::new(metrics.clone()));
        let (written, writing) = (Written::default(), shared.clone());
        let out = written.clone();
        let writer = thread::spawn(move || writing.write_all_to(out));
        let trail = AuditTrail { shared: shared.clone(), writer: writer.thread().clone() };
        let adding = [(); THREADS].map(|()| {
            let trail = trail.clone();
            thread::spawn(move || (0..LINES).for_each(|_| trail.add(&record("/a"))))
        });
        let (lines, changed) = &*written.0;
        drop(changed.wait_while(lines.lock().unwrap(), |lines| *lines < THREADS * LINES).unwrap());
        adding.into_iter().for_each(|thread| thread.join().unwrap());
        shared.is_closed.store(true, Ordering::Release);
        writer.thread().unpark();
        writer.join().unwrap();
        assert_eq!((*lines.lock().unwrap(), shared.buffers.lines()), (THREADS * LINES, 0));
        assert_eq!(shared.taken.load(Ordering::Relaxed), 0);
    });
}
