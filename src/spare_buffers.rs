//! Unused buffers of a worker, for reading from clients and backends and for writing heads. A connection that waits holds
//! none.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::BytesMut;

/// How many a worker keeps.
const MAX_SPARE: usize = 32;
/// The largest that it keeps.
const MAX_BYTES: usize = 16 * 1024;

thread_local! {
    static SPARE: RefCell<VecDeque<BytesMut>> = const { RefCell::new(VecDeque::new()) };
}

/// An empty buffer with room for so many bytes.
pub(crate) fn take(bytes: usize) -> BytesMut {
    let spare = SPARE.with_borrow_mut(|spare| {
        // Of the oldest one, the content is the most likely not to be in use any more.
        let mut buffer = spare.pop_front()?;
        if !buffer.try_reclaim(bytes) {
            spare.push_back(buffer);
            return None;
        }
        Some(buffer).filter(|buffer| buffer.capacity() <= MAX_BYTES)
    });
    spare.unwrap_or_else(|| BytesMut::with_capacity(bytes))
}

/// Keeps a buffer that has nothing more to be read, to be used again. Slices of its earlier content may still be in use.
pub(crate) fn keep(mut buffer: BytesMut) {
    buffer.clear();
    if (1..=MAX_BYTES).contains(&buffer.capacity()) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MAX_SPARE {
                spare.push_back(buffer);
            }
        });
    }
}
