//! Free memory of threads with a runtime, which goes back to the system when they are calm. mimalloc returns pages only while their
//! thread allocates or frees, and after a burst nothing does.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::MissedTickBehavior;

const WORTH_GIVING_BACK: usize = 4 << 20;
/// Giving back takes time, in which clients wait. So the rest is given back only once it is calm.
const SETTLED_INTERVALS: u32 = 4;
/// A thread has worked if it was busy for as long in an interval.
const WORTH_A_REST: Duration = Duration::from_millis(10);

/// How often a thread that has no other timer looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Returns this thread's free memory to the system. It takes time, in which the thread does nothing else.
pub(super) fn give_back() {
    // mimalloc collects all free memory before an allocation fails. There is no other way without unsafe code.
    let _ = std::hint::black_box(&mut Vec::<u8>::new()).try_reserve_exact(isize::MAX.unsigned_abs());
}

/// Gives it back whenever this thread, which has a runtime of its own, rests after work. Never ends.
pub(super) async fn give_back_at_rest() {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut rest, runtime) = (Rest::default(), Handle::current().metrics());
    loop {
        ticks.tick().await;
        if rest.begins(runtime.worker_total_busy_duration(0)) {
            give_back();
        }
    }
}

/// When memory that clients no longer hold is given back: whenever they hold much less, and once more when they have held
/// the same for a while, for what was freed in the meantime.
#[derive(Default)]
pub(super) struct Ebb {
    /// The most that was held since memory was last given back.
    most: usize,
    last: usize,
    /// For how many intervals no less was held, since memory was last given back.
    settled: Option<u32>,
}

impl Ebb {
    /// Called once in each interval with what is held now.
    pub(super) fn is_worth_giving_back(&mut self, held: usize) -> bool {
        let has_settled = held >= self.last;
        self.last = held;
        self.most = self.most.max(held);
        if self.most - held >= WORTH_GIVING_BACK {
            self.settled = Some(0);
        } else {
            let settled = self.settled.map(|before| if has_settled { before + 1 } else { 0 });
            if settled.is_none_or(|settled| settled < SETTLED_INTERVALS) {
                self.settled = settled;
                return false;
            }
            self.settled = None;
        }
        self.most = held;
        true
    }
}

/// When a thread that has worked rests. What its work needed besides what clients hold is free then, like that of a reload or of
/// a fetch of keys.
#[derive(Default)]
pub(super) struct Rest {
    last: Duration,
    /// For how many intervals it has worked little, since it last worked more.
    calm: Option<u32>,
}

impl Rest {
    /// Called once in each interval with the time that the thread has been busy since its start.
    pub(super) fn begins(&mut self, busy: Duration) -> bool {
        let has_worked = busy.saturating_sub(self.last) >= WORTH_A_REST;
        self.last = busy;
        self.calm = if has_worked { Some(0) } else { self.calm.map(|calm| calm + 1) };
        let begins = self.calm == Some(SETTLED_INTERVALS);
        if begins {
            self.calm = None;
        }
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_while_it_ebbs_and_once_after_that() {
        const MIB: usize = 1 << 20;
        const REST: usize = 13 * MIB / 2;
        let mut ebb = Ebb::default();
        let mut given =
            |held: &[usize]| held.iter().map(|held| ebb.is_worth_giving_back(*held)).collect::<Vec<_>>();
        assert_eq!(given(&[0, 3 * MIB, MIB, 0, 0, 0, 0, 0, 0]), [false; 9], "little");
        assert_eq!(given(&[20 * MIB, 16 * MIB, 13 * MIB, 10 * MIB]), [false, true, false, true]);
        assert_eq!(given(&[7 * MIB, 7 * MIB, 7 * MIB, REST]), [false; 4], "not calm yet");
        assert_eq!(given(&[REST; 4]), [false, false, false, true], "the rest, once");
        assert_eq!(given(&[REST, 4 * MIB, 4 * MIB, 4 * MIB, 4 * MIB, 4 * MIB]), [false; 6]);
    }
    #[test]
    fn a_rest_begins_once_after_work() {
        let mut rest = Rest::default();
        let mut begins = |milliseconds: &[u64]| {
            milliseconds.iter().map(|busy| rest.begins(Duration::from_millis(*busy))).collect::<Vec<_>>()
        };
        assert_eq!(begins(&[1, 2, 3, 4, 5, 6]), [false; 6], "has not worked");
        assert_eq!(begins(&[500, 501, 502, 511]), [false; 4], "nine milliseconds are little");
        assert_eq!(begins(&[521, 521, 521, 521]), [false; 4], "has worked again");
        assert_eq!(begins(&[522, 522, 522, 522, 522, 522]), [true, false, false, false, false, false]);
    }
}
