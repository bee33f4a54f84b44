//! How often tokens may cause a fetch.

use std::time::Duration;

use tokio::time::Instant;

/// The fetches that tokens may cause in a row after a quiet time. Anybody can make up a kid: one that
/// comes just before a rotation must not use up what the first token of the new key needs.
pub(super) const BURST: u32 = 3;

/// Counts the fetches of one source that tokens have caused: at most [`BURST`] in a row, and one per
/// cooldown in the long run (the generic cell rate algorithm).
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// When there would be room for a whole burst again.
    whole: Option<Instant>,
}

impl Allowance {
    /// Takes one fetch.
    ///
    /// # Errors
    /// There is none left; the moment from which there is one.
    pub(super) fn take(&mut self, now: Instant, cooldown: Duration) -> Result<(), Instant> {
        let whole = self.whole.map_or(now, |whole| whole.max(now));
        let ahead = whole - now;
        let most = cooldown * (BURST - 1);
        if ahead > most {
            return Err(now + (ahead - most));
        }
        self.whole = Some(whole + cooldown);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_per_cooldown() {
        let (cooldown, start) = (Duration::from_secs(30), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut allowance = Allowance::default();
        for _ in 0..BURST {
            assert_eq!(allowance.take(start, cooldown), Ok(()));
        }
        assert_eq!(allowance.take(at(1), cooldown), Err(at(30)));
        assert_eq!(allowance.take(at(30), cooldown), Ok(()));
        assert_eq!(allowance.take(at(30), cooldown), Err(at(60)));
        // A minute of quiet gives two back, and a longer one no more than the burst.
        assert_eq!(allowance.take(at(90), cooldown), Ok(()));
        assert_eq!(allowance.take(at(90), cooldown), Ok(()));
        assert_eq!(allowance.take(at(90), cooldown), Err(at(120)));
        for _ in 0..BURST {
            assert_eq!(allowance.take(at(10_000), cooldown), Ok(()));
        }
        assert_eq!(allowance.take(at(10_000), cooldown), Err(at(10_030)));
        // Without a cooldown there is always one.
        let mut allowance = Allowance::default();
        assert!((0..100).all(|_| allowance.take(start, Duration::ZERO).is_ok()));
    }
}
