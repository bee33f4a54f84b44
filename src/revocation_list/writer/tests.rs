//! What the task writes, and what it refuses.

use std::fs;
use std::future::pending;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Waker};

use super::*;
use crate::config::{Position, RevocationFile};
use crate::revocation::{Revocation, RevokedBy};

fn writer(path: &Path) -> RevocationWriter {
    let (queue, receiver) = mpsc::channel(MAX_WAITING);
    let target = Target::File(path.to_owned());
    RevocationWriter { queue, receiver: Mutex::new(receiver), target, wake: Arc::default() }
}

fn entry(number: usize) -> WrittenEntry {
    let revocation = Revocation::new(RevokedBy::Fingerprint, &format!("{number:064x}")).unwrap();
    WrittenEntry { revocation, until: None, note: None, at: Position::START }
}

fn count(path: &Path) -> usize {
    RevocationFile::written(path, &fs::read(path).unwrap()).unwrap().len()
}

#[tokio::test]
async fn the_queue_is_bounded_and_written_in_few_steps() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    fs::write(&path, "[]\n").unwrap();
    let writer = writer(&path);
    let mut waiting = Vec::new();
    for number in 0..MAX_WAITING {
        let mut enter = Box::pin(writer.enter(entry(number)));
        assert!(enter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        waiting.push(enter);
    }
    assert!(!writer.enter(entry(1000)).await, "the queue is full");
    // This one gives up.
    drop(waiting.pop());
    let steps = std::cell::Cell::new(0);
    let run = writer.run(|| {
        steps.set(steps.get() + 1);
        async {}
    });
    let all = async {
        for enter in waiting {
            assert!(enter.await);
        }
    };
    tokio::select! {
        () = all => {}
        () = run => unreachable!("it writes until it is dropped"),
    }
    assert_eq!((count(&path), steps.get()), (MAX_WAITING - 1, MAX_WAITING / MAX_AT_ONCE));
}

#[tokio::test]
async fn a_list_that_cannot_be_changed_is_said_to_the_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    let writer = writer(&path);
    let mut run = pin!(writer.run(pending));
    for invalid in ["- nonsense\n", "[{jti: a}] # ]\n- x\n"] {
        fs::write(&path, invalid).unwrap();
        let written = tokio::select! {
            written = writer.enter(entry(1)) => written,
            () = &mut run => unreachable!("it writes until it is dropped"),
        };
        assert!(!written);
        assert_eq!(fs::read_to_string(&path).unwrap(), invalid);
    }
}

#[test]
fn an_entry_that_the_file_has_is_not_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    fs::write(&path, "# mine\n- {jti: a}\n").unwrap();
    write_to_file(&path, &[entry(1), entry(2), entry(1)]).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# mine\n- {jti: a}\n"), "{text}");
    assert_eq!(count(&path), 3);
    write_to_file(&path, &[entry(2)]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}
