//! An output that fails, or takes nothing.

use super::*;

/// Fails while the flag is set, as a full disk does.
struct Disk(Arc<AtomicBool>);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.load(Ordering::SeqCst) {
            Err(std::io::ErrorKind::StorageFull.into())
        } else {
            Ok(bytes.len())
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn operators_see_why_records_are_lost_until_they_are_written_again() {
    let is_full = Arc::new(AtomicBool::new(true));
    let (trail, writer) = AuditTrail::start(Disk(is_full.clone()), Arc::default()).unwrap();
    let until = |failure: Option<&str>| {
        while trail.failure(Instant::now()).as_deref() != failure {
            trail.add(&record("/x"));
            thread::yield_now();
        }
    };
    assert_eq!(trail.failure(Instant::now()), None);
    until(Some("no storage space"));
    is_full.store(false, Ordering::SeqCst);
    until(None);
    drop(writer);
}

/// Takes nothing until it is told to.
struct Blocked(mpsc::Receiver<()>, mpsc::Sender<()>);

impl Write for Blocked {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.send(()).unwrap();
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn operators_see_that_the_output_takes_nothing() {
    let ((open, blocked), (writes, writing)) = (mpsc::channel(), mpsc::channel());
    let (trail, writer) = AuditTrail::start(Blocked(blocked, writes), Arc::default()).unwrap();
    trail.add(&record("/x"));
    writing.recv().unwrap();
    let now = Instant::now();
    assert_eq!(trail.failure(now), None, "not for long");
    let failure = trail.failure(now + Duration::from_secs(90)).unwrap();
    assert!(failure.starts_with("the output has taken nothing for ") && failure.ends_with(" s"), "{failure}");
    drop(open);
    drop(writer);
    assert_eq!(trail.failure(now + Duration::from_secs(90)), None);
}
