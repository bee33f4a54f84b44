//! The IDs of requests whose clients sent none.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::random;

/// Hex digits of the number in an ID, at least.
const NUMBER_DIGITS: u32 = 8;

/// A random prefix and a number, in hex.
pub(super) struct RequestIds {
    prefix: Box<str>,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        Self::starting(random::bits(), 0)
    }

    fn starting(prefix: u64, next: u64) -> Self {
        Self { prefix: format!("{prefix:016x}").into(), next: AtomicU64::new(next) }
    }

    /// An ID that no other request has. It is the same as with `format!`, which needs ten times the work.
    pub(super) fn next(&self) -> Box<str> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(NUMBER_DIGITS);
        let mut id = String::with_capacity(self.prefix.len() + digits as usize);
        id.push_str(&self.prefix);
        for place in (0..digits).rev() {
            id.extend(char::from_digit((number >> (4 * place)) as u32 & 15, 16));
        }
        id.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_prefix_and_the_number_in_hex() {
        for prefix in [0, 0xab, u64::MAX] {
            for number in [0, 9, 10, 0x1234_abcd, u32::MAX.into(), 1 << 32, 0xfeed_beef_cafe, u64::MAX - 1] {
                let ids = RequestIds::starting(prefix, number);
                assert_eq!(*ids.next(), *format!("{prefix:016x}{number:08x}"));
                assert_eq!(*ids.next(), *format!("{prefix:016x}{:08x}", number + 1));
            }
        }
    }
}
