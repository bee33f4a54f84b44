//! Detects RSA keys of a broken generator (CVE-2017-15361, "ROCA"), whose private keys can be computed.
//!
//! Its primes are powers of 65537 modulo a product of many small primes, and so is their product. A modulus
//! that is such a power modulo every one of these primes is treated as one of its keys. The chance of a false
//! positive is about one in two hundred million.

/// The odd primes up to 167.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether this big-endian modulus has the fingerprint of the generator.
pub(super) fn has_fingerprint(n: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let remainder = n.iter().fold(0, |rest, byte| (256 * rest + u32::from(*byte)) % prime);
        // The powers repeat after at most `prime - 1` steps.
        let mut power = 1;
        (0..*prime).any(|_| {
            let found = power == remainder;
            power = power * (65_537 % prime) % prime;
            found
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{OTHER_RSA, RSA};

    #[test]
    fn only_powers_of_65537_have_the_fingerprint() {
        // Shorter than any accepted modulus, but with the same structure.
        let power = 65_537_u128.pow(7).to_be_bytes();
        assert!(has_fingerprint(&power));
        assert!(!has_fingerprint(&(65_537_u128.pow(7) + 2).to_be_bytes()));
        for key in [&RSA, &OTHER_RSA] {
            assert!(!has_fingerprint(&key.rsa_numbers().0));
        }
    }
}
