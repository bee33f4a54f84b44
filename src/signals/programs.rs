//! The networks and products of each program.

use std::collections::HashMap;

use super::{LEARNING, MAX_KNOWN, MAX_PROGRAMS, Signal, SignalSet};

/// How many programs give way at once, so that finding them costs little for each.
const EVICTED: usize = MAX_PROGRAMS / 8;
/// Programs that often come from two networks in the same minute have a signal only after this time without it.
const PARALLEL: u64 = 24 * 3_600;

/// What is known of programs.
#[derive(Debug)]
pub(super) struct Programs {
    /// No signals before this time.
    learns_until: u64,
    programs: HashMap<u64, Program, foldhash::fast::RandomState>,
}

/// One use of a program's token. Names are hashes, times are seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) program: u64,
    /// None if the client has no address.
    pub(super) network: Option<u64>,
    pub(super) product: u64,
    pub(super) now: u64,
}

#[derive(Debug)]
struct Program {
    last: u64,
    networks: Known,
    products: Known,
    /// When it last came from two networks in the same minute.
    parallel: Option<u64>,
}

/// Known names of one kind. Each kind learns by itself: products are the client's choice, and must not silence what is
/// found out about its networks.
#[derive(Debug)]
struct Known {
    /// No signals before this time.
    learns_until: u64,
    /// Each with the minute in which it was last seen.
    names: Vec<(u64, u64)>,
}

impl Programs {
    pub(super) fn new(learns_until: u64) -> Self {
        Self { learns_until, programs: HashMap::default() }
    }

    /// Remembers a use, and returns its signals.
    pub(super) fn see(&mut self, used: &Use) -> SignalSet {
        if self.programs.len() >= MAX_PROGRAMS && !self.programs.contains_key(&used.program) {
            self.evict();
        }
        let program = self.programs.entry(used.program).or_insert_with(|| Program::new(used.now));
        let signals = program.see(used);
        if used.now < self.learns_until { SignalSet::default() } else { signals }
    }

    /// Forgets the ones not seen for the longest time.
    fn evict(&mut self) {
        let mut times: Vec<_> = self.programs.values().map(|program| program.last).collect();
        let (_, last, _) = times.select_nth_unstable(EVICTED - 1);
        let (last, mut left) = (*last, EVICTED);
        self.programs.retain(|_, program| {
            let goes = left > 0 && program.last <= last;
            left -= usize::from(goes);
            !goes
        });
    }
}

impl Program {
    fn new(now: u64) -> Self {
        Self { last: now, networks: Known::new(now), products: Known::new(now), parallel: None }
    }

    fn see(&mut self, used: &Use) -> SignalSet {
        let now = used.now;
        self.last = now;
        let mut signals = SignalSet::default();
        if let Some(network) = used.network {
            if self.networks.has_another(network, now) {
                let is_unusual = self.parallel.is_none_or(|last| now.saturating_sub(last) >= PARALLEL);
                if is_unusual && !self.networks.is_learning(now) {
                    signals = signals.with(Signal::TwoNetworks);
                }
                self.parallel = Some(now);
            }
            if self.networks.see(network, now) {
                signals = signals.with(Signal::NewNetwork);
            }
        }
        if self.products.see(used.product, now) {
            signals = signals.with(Signal::NewClient);
        }
        signals
    }
}

impl Known {
    fn new(now: u64) -> Self {
        Self { learns_until: now + LEARNING, names: Vec::new() }
    }

    fn is_learning(&self, now: u64) -> bool {
        now < self.learns_until
    }

    /// Whether another name was seen in this minute of the clock.
    fn has_another(&self, name: u64, now: u64) -> bool {
        self.names.iter().any(|(other, seen)| *other != name && *seen == now / 60)
    }

    /// Remembers a name. Returns whether it is a signal: it is new, and this is not learning.
    fn see(&mut self, name: u64, now: u64) -> bool {
        let minute = now / 60;
        if let Some((_, seen)) = self.names.iter_mut().find(|(known, _)| *known == name) {
            *seen = minute;
            return false;
        }
        let is_signal = !self.is_learning(now);
        if self.names.len() < MAX_KNOWN {
            self.names.push((name, minute));
        } else if let Some(oldest) = self.names.iter_mut().min_by_key(|(_, seen)| *seen) {
            *oldest = (name, minute);
            // Not while it is learning: that would never end if ever more names came.
            if is_signal {
                self.learns_until = now + LEARNING;
            }
        }
        is_signal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000;
    const LATER: u64 = START + 2 * LEARNING;

    fn used(program: u64, network: u64, product: u64, now: u64) -> Use {
        Use { program, network: Some(network), product, now }
    }

    fn words(signals: SignalSet) -> Vec<&'static str> {
        signals.iter().map(Signal::as_str).collect()
    }

    #[test]
    fn what_is_new_is_told_once_and_only_after_learning() {
        let mut programs = Programs::new(START + LEARNING);
        let mut see = |network, product, now| words(programs.see(&used(1, network, product, now)));
        assert!(see(1, 1, START).is_empty());
        assert!(see(2, 2, START + 300).is_empty(), "it still learns");
        assert!(see(1, 2, LATER).is_empty());
        assert_eq!(see(3, 2, LATER + 120), ["new_network"]);
        assert_eq!(see(3, 3, LATER + 121), ["new_client"]);
        assert!(see(3, 3, LATER + 122).is_empty());
        assert_eq!(see(4, 4, LATER + 300), ["new_network", "new_client"]);
    }

    #[test]
    fn nothing_is_told_soon_after_the_start_or_after_a_program_was_first_seen() {
        let mut programs = Programs::new(LATER);
        // Seen long enough, but the process has just started.
        programs.see(&used(1, 1, 1, START));
        assert!(programs.see(&used(1, 2, 2, LATER - 1)).is_empty());
        // Not seen long enough.
        assert!(programs.see(&used(2, 1, 1, LATER)).is_empty());
        assert!(programs.see(&used(2, 2, 2, LATER + LEARNING - 1)).is_empty());
        assert!(!programs.see(&used(2, 3, 2, LATER + LEARNING)).is_empty());
    }

    #[test]
    fn two_networks_in_one_minute_are_told_once_a_day() {
        let mut programs = Programs::new(START);
        programs.see(&used(1, 1, 1, START));
        programs.see(&used(1, 2, 1, START + 120));
        let mut see = |network, now| words(programs.see(&used(1, network, 1, now)));
        assert!(see(1, LATER).is_empty());
        assert_eq!(see(2, LATER + 59), ["two_networks"]);
        assert!(see(1, LATER + 59).is_empty());
        assert!(see(2, LATER + 60).is_empty(), "another minute");
        let day = LATER + PARALLEL;
        assert!(see(1, day).is_empty() && see(2, day).is_empty(), "less than a day ago");
        assert!(see(1, day + PARALLEL).is_empty());
        assert_eq!(see(2, day + PARALLEL + 1), ["two_networks"]);
    }

    /// The minutes after [`LATER`] in which this signal was found, of the uses of one program in each of 200 minutes.
    fn minutes_of(signal: Signal, used_in: impl Fn(u64) -> Use) -> Vec<u64> {
        let mut programs = Programs::new(START);
        programs.see(&used(1, 0, 0, START));
        (1..=200)
            .filter(|minute| {
                let used = Use { now: LATER + minute * 60, ..used_in(*minute) };
                programs.see(&used).iter().any(|found| found == signal)
            })
            .collect()
    }

    /// Otherwise it would have a signal for each of them, again and again. The first ones are those for which there is
    /// room, and the one that takes the place of another.
    #[test]
    fn a_program_with_ever_more_networks_or_products_has_one_signal_an_hour() {
        let expected = [1, 2, 3, 4, 5, 6, 7, 8, 68, 128, 188];
        assert_eq!(minutes_of(Signal::NewNetwork, |minute| used(1, minute, 0, 0)), expected);
        assert_eq!(minutes_of(Signal::NewClient, |minute| used(1, 0, minute, 0)), expected);
    }

    /// The client chooses its products.
    #[test]
    fn ever_more_products_do_not_silence_networks() {
        let used_in = |minute| used(1, minute / 50, minute, 0);
        assert_eq!(minutes_of(Signal::NewNetwork, used_in), [50, 100, 150, 200]);
    }

    #[test]
    fn memory_is_bounded_and_a_program_that_comes_back_learns_again() {
        let mut programs = Programs::new(START);
        let last = MAX_PROGRAMS as u64;
        for program in 0..=last {
            programs.see(&used(program, 1, 1, START + program));
        }
        assert_eq!(programs.programs.len(), MAX_PROGRAMS - EVICTED + 1);
        assert!(programs.programs.contains_key(&last) && !programs.programs.contains_key(&0));
        let now = LATER + last;
        assert!(programs.see(&used(0, 7, 7, now)).is_empty(), "forgotten");
        assert!(!programs.see(&used(last, 7, 7, now)).is_empty(), "known");
        for network in 0..1_000 {
            programs.see(&used(last, network, network, now + network));
        }
        let program = &programs.programs[&last];
        assert_eq!((program.networks.names.len(), program.products.names.len()), (MAX_KNOWN, MAX_KNOWN));
    }
}
