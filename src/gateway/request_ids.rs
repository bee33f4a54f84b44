//! The IDs of requests: the client's, or a new one.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use http::HeaderValue;

use super::Gateway;
use crate::message::Fields;
use crate::message::field_name::X_REQUEST_ID;
use crate::random;

/// The length of an ID, unless its number has more than eight hex digits.
const USUAL_BYTES: usize = 24;
/// For how many IDs a thread has memory.
const IDS: usize = 64;

thread_local! {
    static MEMORY: RefCell<BytesMut> = RefCell::default();
}

/// A random prefix and a number, in hex.
pub(super) struct RequestIds {
    prefix: [u8; 16],
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        Self::starting(random::bits(), 0)
    }

    const fn starting(prefix: u64, next: u64) -> Self {
        Self { prefix: hex(prefix), next: AtomicU64::new(next) }
    }

    /// An ID that no other request has. It is the same as with `format!`, which needs ten times the work.
    pub(super) fn next(&self) -> HeaderValue {
        let number = hex(self.next.fetch_add(1, Ordering::Relaxed));
        let (high, low) = number.split_at(8);
        let zeros = high.iter().position(|digit| *digit != b'0').unwrap_or(high.len());
        let id = MEMORY.with_borrow_mut(|memory| {
            memory.reserve(if memory.capacity() < 2 * USUAL_BYTES { IDS * USUAL_BYTES } else { 0 });
            memory.extend_from_slice(&self.prefix);
            memory.extend_from_slice(high.get(zeros..).unwrap_or_default());
            memory.extend_from_slice(low);
            memory.split().freeze()
        });
        // Hex digits are valid in a field.
        HeaderValue::from_maybe_shared(id).unwrap_or(HeaderValue::from_static("-"))
    }
}

impl Gateway {
    /// The client's request ID if it is valid, otherwise a new one.
    pub(super) fn request_id(&self, headers: &Fields) -> HeaderValue {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let client_id = headers
            .get_owned(X_REQUEST_ID)
            .filter(|id| (1..=128).contains(&id.len()) && id.as_bytes().iter().all(plain));
        client_id.unwrap_or_else(|| self.request_ids.next())
    }
}

/// All sixteen hex digits. Spreads the nibbles over the octets, and then adds what makes digits of them.
const fn hex(number: u64) -> [u8; 16] {
    const ONES: u128 = u128::MAX / 255;
    let mut spread = number as u128;
    spread = (spread | spread << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f;
    // One in each octet that is ten or more.
    let letters = (spread + 6 * ONES) >> 4 & ONES;
    (spread + b'0' as u128 * ONES + (b'a' - b'0' - 10) as u128 * letters).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_prefix_and_the_number_in_hex() {
        for prefix in [0, 0xab, u64::MAX] {
            for number in [0, 9, 10, 0x1234_abcd, u32::MAX.into(), 1 << 32, 0xfeed_beef_cafe, u64::MAX - 1] {
                let ids = RequestIds::starting(prefix, number);
                assert_eq!(ids.next(), format!("{prefix:016x}{number:08x}"));
                assert_eq!(ids.next(), format!("{prefix:016x}{:08x}", number + 1));
            }
        }
    }
}
