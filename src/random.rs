//! Random numbers for jitter and identifiers. They are not secret; secrets come from `aws_lc_rs::rand`.

use std::hash::{BuildHasher as _, RandomState};

/// 64 random bits, different at every call and in every process.
pub fn bits() -> u64 {
    // The hasher's keys are random, so the hash of any value is random.
    RandomState::new().hash_one(())
}

/// A random number from 0 (inclusive) to 1 (exclusive).
pub fn fraction() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let fraction = (bits() >> 11) as f64 / (1_u64 << 53) as f64;
    fraction
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_call_returns_different_bits() {
        let all: BTreeSet<u64> = (0..1000).map(|_| bits()).collect();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn fractions_cover_their_range() {
        let all: Vec<f64> = (0..2000).map(|_| fraction()).collect();
        let (least, most) = all.iter().fold((f64::MAX, 0.0_f64), |(a, b), x| (a.min(*x), b.max(*x)));
        assert!((0.0..0.05).contains(&least) && (0.95..1.0).contains(&most), "{least} {most}");
    }
}
