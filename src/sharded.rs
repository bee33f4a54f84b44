//! A value with a copy for each worker, so that workers do not contend for it.

use std::thread;

/// At most this many copies. More threads share them.
const MAX_SHARDS: usize = 16;

/// Copies of a value. Each thread always uses the same one. Threads that were started one after the other, such as the
/// workers, use different ones as long as there are enough.
#[derive(Debug)]
pub struct Sharded<T> {
    first: Shard<T>,
    others: Box<[Shard<T>]>,
}

/// Aligned so that two copies share no cache line. Processors fetch two lines of 64 bytes at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard<T>(T);

impl<T: Default> Default for Sharded<T> {
    /// About one copy for each core, up to 16.
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        // A power of two, so that choosing a copy needs no division.
        let others = cores.next_power_of_two().min(MAX_SHARDS) - 1;
        Self { first: Shard::default(), others: (0..others).map(|_| Shard::default()).collect() }
    }
}

impl<T> Sharded<T> {
    /// This thread's copy.
    pub fn own(&self) -> &T {
        let number = thread_number() & self.others.len();
        let shard = number.checked_sub(1).and_then(|index| self.others.get(index));
        &shard.unwrap_or(&self.first).0
    }

    /// All copies, always in the same order.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.others).map(|shard| &shard.0)
    }
}

/// The threads of a model are all of one thread of the system.
#[cfg(shuttle)]
fn thread_number() -> usize {
    usize::from(shuttle::current::me())
}

#[cfg(not(shuttle))]
fn thread_number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn threads_use_different_copies_and_lose_nothing() {
        let counts = Sharded::<AtomicUsize>::default();
        let copies = counts.all().count();
        assert!(copies.is_power_of_two() && copies <= MAX_SHARDS);
        thread::scope(|scope| {
            for _ in 0..4 * copies {
                scope.spawn(|| {
                    for _ in 0..10 {
                        counts.own().fetch_add(1, Ordering::Relaxed);
                    }
                    assert!(std::ptr::eq(counts.own(), counts.own()), "always the same");
                });
            }
        });
        let each: Vec<_> = counts.all().map(|count| count.load(Ordering::Relaxed)).collect();
        assert_eq!(each.iter().sum::<usize>(), 40 * copies, "{each:?}");
        assert!(copies == 1 || each.iter().filter(|count| **count > 0).count() > 1, "{each:?}");
    }
}
