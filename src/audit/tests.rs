//! The audit trail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::{Mutex, mpsc};
use std::time::{Instant, UNIX_EPOCH};

use serde_json::Value;

use super::*;

mod output;

/// Collects what was written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn lines(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "no half lines");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(super) fn record(path: &str) -> AuditRecord<'_> {
    AuditRecord {
        time: UNIX_EPOCH + Duration::from_millis(1_800_000_000_123),
        event: "request",
        request_id: "0001",
        trace_id: None,
        via: None,
        decision: "allow",
        reason: None,
        detail: None,
        rule: None,
        status: Some(200),
        complete: true,
        public: false,
        method: "GET",
        path,
        caller: AuditedCaller::Unverified(UnverifiedCaller::default()),
        issued_token_fingerprint: None,
        client: None,
        signals: SignalSet::default(),
        source_address: Some([192, 0, 2, 1].into()),
        duration: Duration::from_micros(1500),
        upstream: Some(Duration::from_micros(1250)),
        request_bytes: 0,
        response_bytes: 12,
    }
}

fn unverified<'r>(principal: Option<&'r str>, kid: Option<&'r str>) -> AuditedCaller<'r> {
    AuditedCaller::Unverified(UnverifiedCaller { principal, kid, ..UnverifiedCaller::default() })
}

fn start(out: impl Write + Send + 'static) -> (AuditTrail, AuditWriter, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let (trail, writer) = AuditTrail::start(out, metrics.clone()).unwrap();
    (trail, writer, metrics)
}

#[test]
fn every_record_is_one_line_of_json() {
    let written = Written::default();
    let (trail, writer, metrics) = start(written.clone());
    for number in 0..100 {
        trail.add(&record(&format!("/{number}")));
    }
    drop(writer);
    let lines = written.lines();
    assert_eq!(lines.len(), 100, "nothing is lost when the writer is dropped");
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(line["path"], format!("/{number}"), "in order");
    }
    assert_eq!(metrics.audit_dropped.get(), 0);
}

#[test]
fn a_record_omits_unknown_fields() {
    let written = Written::default();
    let (trail, writer, _) = start(written.clone());
    trail.add(&record("/a"));
    trail.add(&AuditRecord {
        decision: "deny",
        reason: Some("expired"),
        status: None,
        complete: false,
        caller: unverified(Some("ada"), Some("k")),
        source_address: Some("2001:db8::1".parse().unwrap()),
        ..record("/b")
    });
    drop(writer);
    let lines = written.lines();
    assert_eq!(
        lines[0],
        serde_json::json!({
            "time": "2027-01-15T08:00:00.123Z", "event": "request", "request_id": "0001", "decision": "allow",
            "status": 200, "complete": true, "method": "GET", "path": "/a", "source_address": "192.0.2.1",
            "duration_ms": 1.5, "upstream_ms": 1.25, "request_bytes": 0, "response_bytes": 12,
        })
    );
    assert_eq!((&lines[1]["reason"], &lines[1]["principal"]), (&"expired".into(), &"ada".into()));
    assert_eq!((&lines[1]["status"], &lines[1]["complete"]), (&Value::Null, &false.into()));
    assert_eq!(lines[1]["source_address"], "2001:db8::1");
}

#[test]
fn text_from_a_client_cannot_start_a_new_line() {
    let written = Written::default();
    let (trail, writer, _) = start(written.clone());
    let hostile = "a\r\n{\"decision\":\"allow\"}\u{1b}[2J\0\"\\\u{2028}\u{202e}\u{7f}";
    trail.add(&AuditRecord {
        request_id: hostile,
        caller: unverified(Some(hostile), Some(hostile)),
        ..record(hostile)
    });
    drop(writer);
    let lines = written.lines();
    assert_eq!(lines.len(), 1);
    for field in ["request_id", "principal", "kid", "path"] {
        assert_eq!(lines[0][field], hostile, "{field}");
    }
    let bytes = written.0.lock().unwrap().clone();
    let controls = bytes[..bytes.len() - 1].iter().filter(|byte| **byte < 0x20).count();
    assert_eq!(controls, 0, "control characters are escaped");
}

#[test]
fn records_from_many_threads_are_not_interleaved() {
    let written = Written::default();
    let (trail, writer, metrics) = start(written.clone());
    thread::scope(|scope| {
        for name in ["/a", "/b", "/c", "/d"] {
            let trail = trail.clone();
            scope.spawn(move || (0..250).for_each(|_| trail.add(&record(name))));
        }
    });
    drop(writer);
    assert_eq!((written.lines().len(), metrics.audit_dropped.get()), (1000, 0));
}

#[test]
fn records_of_all_workers_are_in_the_order_in_which_their_requests_ended() {
    let written = Written::default();
    let (trail, writer, _) = start(written.clone());
    let turns: Vec<_> = (0..200_u64).collect();
    // One thread after the other adds a record, each after the others were added.
    for turn in &turns {
        let trail = trail.clone();
        let add = move || {
            let time = UNIX_EPOCH + Duration::from_millis(1_800_000_000_000 + *turn);
            trail.add(&AuditRecord { time, request_bytes: *turn, ..record("/") });
        };
        thread::scope(|scope| scope.spawn(add).join().unwrap());
    }
    drop(writer);
    let order: Vec<_> = written.lines().iter().map(|line| line["request_bytes"].as_u64().unwrap()).collect();
    assert_eq!(order, turns);
}

#[test]
fn lines_of_a_thread_that_has_ended_are_written() {
    let (entered, has_entered) = mpsc::channel();
    let (trail, writer, _) = start(Notifying(entered));
    thread::spawn({
        let trail = trail.clone();
        move || trail.add(&record("/last"))
    })
    .join()
    .unwrap();
    // Nothing else is added, and the trail is not closed.
    assert!(has_entered.recv().unwrap().contains("/last"));
    trail.add(&record("/next"));
    assert!(has_entered.recv().unwrap().contains("/next"), "the writer is woken each time");
    drop(writer);
}

#[test]
fn a_record_without_a_date_is_dropped_and_counted() {
    let written = Written::default();
    let (trail, writer, metrics) = start(written.clone());
    for time in [UNIX_EPOCH - Duration::from_secs(1), UNIX_EPOCH + Duration::from_secs(253_402_300_800)] {
        trail.add(&AuditRecord { time, ..record("/a") });
    }
    trail.add(&record("/b"));
    drop(writer);
    assert_eq!((written.lines().len(), metrics.audit_dropped.get()), (1, 2));
}

/// Passes on each text that is written.
struct Notifying(mpsc::Sender<String>);

impl Write for Notifying {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_fail_to_be_written_are_counted() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (trail, writer, metrics) = start(Broken);
    for _ in 0..7 {
        trail.add(&record("/a"));
    }
    drop(writer);
    assert_eq!(metrics.audit_dropped.get(), 7);
}

#[test]
fn a_writer_that_hangs_loses_lines_but_does_not_block_or_grow_memory() {
    /// Signals each write, then blocks until it is released.
    struct Stuck(mpsc::Sender<()>, mpsc::Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.send(());
            let _ = self.1.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let (trail, writer, metrics) = start(Stuck(entered, released));
    trail.add(&record("/first"));
    has_entered.recv().unwrap();
    // From here on nothing is written, but adding still returns.
    let large = "x".repeat(1024 * 1024);
    // Each from another thread, because the limit is for all buffers together.
    for _ in 0..12 {
        thread::scope(|scope| scope.spawn(|| trail.add(&record(&large))).join().unwrap());
    }
    let dropped = metrics.audit_dropped.get();
    // Before any assertion can fail, because the writer waits for it.
    drop(release);
    drop(writer);
    assert_eq!(dropped, 4, "eight lines of a megabyte fit");
}

/// Signals each write, then blocks until it is released, and fails.
struct Stuck(mpsc::Sender<()>, mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(());
        let _ = self.1.recv();
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_hangs_does_not_keep_the_process_from_ending() {
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (trail, writer, metrics) = start(Stuck(entered, released));
    trail.add(&record("/a"));
    has_entered.recv().unwrap();
    let began = Instant::now();
    drop(writer);
    assert!(began.elapsed() >= SHUTDOWN_STALL_TIMEOUT, "it waited for the output");
    assert_eq!(metrics.audit_dropped.get(), 0, "the write has not ended");
    drop(release);
}

#[test]
fn a_stalled_writer_can_still_end_later() {
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (trail, writer, metrics) = start(Stuck(entered, released));
    trail.add(&record("/a"));
    has_entered.recv().unwrap();
    writer.close();
    let has_ended = writer.wait_while_it_writes(|| writer.ends_within(Duration::ZERO));
    drop(release);
    assert!(!has_ended);
    assert!(writer.ends_within(Duration::from_secs(60)));
    assert_eq!(metrics.audit_dropped.get(), 1);
}

#[test]
fn an_output_that_takes_a_little_at_a_time_gets_every_line_at_the_end() {
    /// Signals each write, and takes the piece once it is permitted.
    struct Slow(mpsc::Sender<()>, mpsc::Receiver<()>, Written);
    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.send(());
            let _ = self.1.recv();
            self.2.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (written, (entered, has_entered)) = (Written::default(), mpsc::channel());
    let (permit, permits) = mpsc::channel();
    let (trail, writer, metrics) = start(Slow(entered, permits, written.clone()));
    trail.add(&record("/first"));
    has_entered.recv().unwrap();
    // All in the buffer of this thread.
    let path = "x".repeat(16 * 1024);
    for _ in 0..100 {
        trail.add(&record(&path));
    }
    writer.close();
    let mut waits = 0;
    // In each wait one piece is taken, and the next one begins or the thread ends.
    let has_ended = writer.wait_while_it_writes(|| {
        waits += 1;
        permit.send(()).unwrap();
        has_entered.recv().is_err()
    });
    assert!(has_ended);
    assert!(waits >= 20, "{waits} pieces");
    drop(writer);
    assert_eq!((written.lines().len(), metrics.audit_dropped.get()), (101, 0));
}
