//! Buffers that are not in use. A connection that waits for its client keeps none.

use std::cell::RefCell;

use bytes::BytesMut;

/// How many a worker keeps.
const MAX_SPARE: usize = 16;
/// The largest that it keeps.
const MAX_BYTES: usize = 16 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, which may have a capacity.
pub(super) fn take() -> BytesMut {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps an empty buffer for the next who needs one.
pub(super) fn keep(mut buffer: BytesMut) {
    // What was read from it before may still be in use elsewhere. Then only its end would be left.
    if buffer.try_reclaim(MIN_BYTES) && buffer.capacity() <= MAX_BYTES {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MAX_SPARE {
                spare.push(buffer);
            }
        });
    }
}

/// The smallest that it keeps.
const MIN_BYTES: usize = 4 * 1024;
