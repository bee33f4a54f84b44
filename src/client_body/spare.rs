//! Unused buffers of a worker. A connection that waits for its client holds none.

use std::cell::RefCell;

use bytes::BytesMut;

/// How many a worker keeps.
const MAX_SPARE: usize = 16;
/// The smallest that it keeps.
const MIN_BYTES: usize = 4 * 1024;
/// The largest that it keeps.
const MAX_BYTES: usize = 16 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, which may have a capacity.
pub(super) fn take() -> BytesMut {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps an empty buffer to be used again.
pub(super) fn keep(mut buffer: BytesMut) {
    // While slices of its earlier content are in use, it cannot be reclaimed and is not kept.
    if buffer.try_reclaim(MIN_BYTES) && buffer.capacity() <= MAX_BYTES {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MAX_SPARE {
                spare.push(buffer);
            }
        });
    }
}
