//! Threads that add lines while another one takes them.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use shuttle::thread;

use super::super::tests::record;
use super::*;

/// Each line is taken once, those of a thread in their order, and nothing counts as held in the end.
#[test]
fn no_line_is_lost_or_taken_twice() {
    shuttle::check_random(
        || {
            let buffers = Arc::new(Buffers::default());
            let adding: Vec<_> = ["/a", "/b"]
                .map(|path| {
                    let buffers = buffers.clone();
                    thread::spawn(move || {
                        for number in 0..3 {
                            assert!(buffers.add(&AuditRecord { request_bytes: number, ..record(path) }));
                        }
                    })
                })
                .into();
            let (mut taken, mut written) = (Taken::default(), Vec::new());
            let mut take = || {
                buffers.take(&mut taken);
                taken.write(|lines, _| written.extend_from_slice(lines));
                taken.clear();
            };
            (0..3).for_each(|_| take());
            adding.into_iter().for_each(|thread| thread.join().unwrap());
            take();
            let text = String::from_utf8(written).unwrap();
            for path in ["/a", "/b"] {
                let own = text.lines().filter(|line| line.contains(&format!("\"path\":\"{path}\"")));
                let order: Vec<_> = own
                    .map(|line| (0..3).find(|n| line.contains(&format!("\"request_bytes\":{n}"))))
                    .collect();
                assert_eq!(order, [Some(0), Some(1), Some(2)]);
            }
            assert_eq!(buffers.held.load(Ordering::Relaxed), 0);
        },
        5000,
    );
}
