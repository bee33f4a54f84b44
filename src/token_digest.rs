//! The keyed hash of a token's text, by which this process recognizes a token that it has seen before.
//!
//! It is SipHash-2-4 with 128 bits of output, a pseudorandom function, with a key that is chosen at random when the
//! process first needs it and that never leaves it.
//!
//! - **A collision would be another caller's identity:** a request whose token has the digest of a cached token is
//!   taken for that token. So clients must not be able to find collisions.
//! - **Clients cannot find one.** They choose tokens, but without the key they can compute no digest, and nothing in a
//!   response, in the log or in the time of a look-up shows one. What is left is to send tokens and hope: each has the
//!   digest of one of `n` cached tokens with a probability of `n` in 2^128. Preparing tokens offline does not help,
//!   because another process has another key. A bare hash of 64 bits does not have these properties
//!   (CVE-2026-35039).
//! - **A digest is no credential.** It has 16 bytes and its token hundreds, so the token does not follow from it,
//!   even with the key. A digest cannot be used in place of a token.
//! - **The memory of this process contains the key,** and with its key SipHash does not resist collisions. But the same
//!   memory contains the tokens of the requests in flight.
//!
//! SHA-256 has these properties without a key, but takes eight times as many instructions for every request.

use std::fmt;
use std::hash::Hasher as _;
use std::sync::LazyLock;

use aws_lc_rs::rand;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// The hash function of this process.
static KEYED: LazyLock<SipHasher24> = LazyLock::new(|| {
    let mut key = [0; 16];
    if rand::fill(&mut key).is_err() {
        // With a key that clients could know, a cached identity would not be safe. There would be no TLS either.
        std::process::abort();
    }
    SipHasher24::new_with_key(&key)
});

/// The digest of a token's whole text, including the signature. It has a meaning only in this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest(u128);

impl TokenDigest {
    /// The digest of this text.
    pub fn of(text: impl AsRef<[u8]>) -> Self {
        let mut hasher = *KEYED;
        hasher.write(text.as_ref());
        Self(hasher.finish128().as_u128())
    }

    /// The digest of a value of several parts. Their lengths keep them apart.
    pub fn of_parts<const N: usize>(parts: [&[u8]; N]) -> Self {
        let mut hasher = *KEYED;
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        Self(hasher.finish128().as_u128())
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::digest::hex;

    /// The vectors of SipHash's authors (`vectors_sip128` of the reference implementation).
    #[test]
    fn the_function_is_siphash_2_4_with_128_bits() {
        let key = std::array::from_fn(|at| at as u8);
        let message: Vec<u8> = (0..64).collect();
        for (len, expected) in [
            (0, "a3817f04ba25a8e66df67214c7550293"),
            (1, "da87c1d86b99af44347659119b22fc45"),
            (15, "5493e99933b0a8117e08ec0f97cfc3d9"),
        ] {
            let mut hasher = SipHasher24::new_with_key(&key);
            hasher.write(&message[..len]);
            assert_eq!(hex(&hasher.finish128().as_bytes()), expected, "{len}");
        }
    }

    #[test]
    fn the_key_is_random_and_stays_the_same() {
        let digest = TokenDigest::of("a.b.c");
        assert_eq!(digest, TokenDigest::of("a.b.c"));
        let mut unkeyed = SipHasher24::new_with_key(&[0; 16]);
        unkeyed.write(b"a.b.c");
        assert_ne!(digest.0, unkeyed.finish128().as_u128());
    }

    #[test]
    fn the_digest_covers_the_whole_token() {
        let texts = ["a.b.c", "a.b.d", "a.b.c ", "a.b", "A.b.c", "a.b.cc", "a.b.c\0", "", "\0"];
        let digests: BTreeSet<_> = texts.iter().map(|text| TokenDigest::of(text).0).collect();
        assert_eq!(digests.len(), texts.len());
    }

    #[test]
    fn the_digest_of_parts_depends_on_where_they_end() {
        let digests: BTreeSet<_> = [["ab", "c"], ["a", "bc"], ["abc", ""], ["", "abc"]]
            .map(|parts| TokenDigest::of_parts(parts.map(str::as_bytes)).0)
            .into();
        assert_eq!(digests.len(), 4);
        assert_eq!(TokenDigest::of_parts([b"a", b"b"]), TokenDigest::of_parts([b"a", b"b"]));
    }

    #[test]
    fn debug_output_does_not_show_it() {
        assert_eq!(format!("{:?}", TokenDigest::of("a.b.c")), "TokenDigest(..)");
    }
}
