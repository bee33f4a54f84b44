//! Rate limit for fetches that tokens cause.

use std::time::Duration;

use tokio::time::Instant;

/// How many fetches tokens may cause in a row after a quiet period. Anyone can invent a kid. One that arrives
/// just before a rotation must not use up the fetch that the first token with the new key needs.
pub(super) const BURST: u32 = 3;

/// Counts the fetches of one source that tokens have caused: at most [`BURST`] in a row, and one per
/// cooldown in the long run (the generic cell rate algorithm).
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// When a full burst is available again.
    full_at: Option<Instant>,
}

impl Allowance {
    /// Takes one fetch.
    ///
    /// # Errors
    /// None is available; returns the time at which the next one is.
    pub(super) fn take(&mut self, now: Instant, cooldown: Duration) -> Result<(), Instant> {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now));
        let ahead = full_at - now;
        let most = cooldown * (BURST - 1);
        if ahead > most {
            return Err(now + (ahead - most));
        }
        self.full_at = Some(full_at + cooldown);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_a_burst_and_then_one_fetch_per_cooldown() {
        let (cooldown, start) = (Duration::from_secs(30), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut allowance = Allowance::default();
        for _ in 0..BURST {
            assert_eq!(allowance.take(start, cooldown), Ok(()));
        }
        assert_eq!(allowance.take(at(1), cooldown), Err(at(30)));
        assert_eq!(allowance.take(at(30), cooldown), Ok(()));
        assert_eq!(allowance.take(at(30), cooldown), Err(at(60)));
        // A minute without fetches restores two, and a longer time no more than the burst.
        assert_eq!(allowance.take(at(90), cooldown), Ok(()));
        assert_eq!(allowance.take(at(90), cooldown), Ok(()));
        assert_eq!(allowance.take(at(90), cooldown), Err(at(120)));
        for _ in 0..BURST {
            assert_eq!(allowance.take(at(10_000), cooldown), Ok(()));
        }
        assert_eq!(allowance.take(at(10_000), cooldown), Err(at(10_030)));
        // Without a cooldown there is no limit.
        let mut allowance = Allowance::default();
        assert!((0..100).all(|_| allowance.take(start, Duration::ZERO).is_ok()));
    }
}
