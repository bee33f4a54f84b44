//! Signals: what is unusual about a request, for people who look for stolen tokens. They never refuse one.
//!
//! | signal | what has happened |
//! | --- | --- |
//! | `new_network` | a program came from a client network that it did not come from before |
//! | `new_client` | a program's token was sent by another product than before, according to its `User-Agent` |
//! | `two_networks` | a program came from two client networks in the same minute of the clock, and not within the last day |
//! | `refusal_burst` | a client network got more than 20 refusals in a minute |
//!
//! - **A program** is the principal of a token of a bot, a personal access token or a service account, or a mapped identity.
//!   People change networks all the time.
//! - **Learning is silent**, for an hour: after the start for everybody, and for each program after it was first seen.
//!   Its networks are learned again each time that one of them had to give way to another after that, and so are its
//!   products. So a program that comes from ever more networks has one `new_network` an hour, and one that changes its
//!   `User-Agent` all the time still has signals of its networks.
//! - **Memory is bounded:** [`MAX_PROGRAMS`] programs with [`MAX_KNOWN`] networks and products each, all as hashes with a
//!   random key of this process. The programs not seen for the longest time give way. One that comes back learns again.
//! - **A request that is like one before it in the same minute of the clock** costs the comparison of one number with the
//!   four that are kept in its token ([`Signals::mark`]).
//!
//! A client network is the /24 of an IPv4 address and the /48 of an IPv6 address.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;

use crate::claims::VerifiedToken;
use crate::rate_limiter::{RateLimit, RateLimiter};

mod programs;
mod set;

use programs::{Programs, Use};
pub use set::{Signal, SignalSet};

/// How many programs are known.
const MAX_PROGRAMS: usize = 4_096;
/// How many networks, and how many products, are known of each.
const MAX_KNOWN: usize = 8;
/// How long learning takes, in seconds.
const LEARNING: u64 = 3_600;
/// A network may get so many refusals in a minute.
const REFUSALS: u32 = 20;
/// A network has at most one burst in this time.
const BURST_INTERVAL: Duration = Duration::from_secs(600);
/// How many events of each signal are kept for the status page, and for how long. Of each, because bursts need no token,
/// and must not push out the others.
const MAX_EVENTS: usize = 25;
const EVENTS_KEPT: Duration = Duration::from_secs(3_600);
/// How many bits of a mark are its minute. The others are a hash.
const MINUTE_BITS: u32 = 20;

/// What is known of programs and of networks.
#[derive(Debug)]
pub struct Signals {
    hash: foldhash::fast::RandomState,
    programs: Mutex<Programs>,
    refusals: Option<RateLimiter>,
    bursts: Option<RateLimiter>,
    /// Those of each signal, in the order of [`Signal::ALL`].
    events: Mutex<[VecDeque<SignalEvent>; Signal::ALL.len()]>,
}

/// A signal, for the status page.
#[derive(Clone, Debug)]
pub struct SignalEvent {
    pub time: SystemTime,
    pub signal: Signal,
    /// The program; of a burst, the caller of the last refusal, if its token was verified.
    pub principal: Option<Box<str>>,
    /// The token's fingerprint, if it was verified.
    pub fingerprint: Option<Box<str>>,
    pub network: Option<IpNet>,
    /// The product, without its version.
    pub client: Option<Box<str>>,
}

/// A request with a verified token.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'r> {
    pub token: &'r VerifiedToken,
    pub source: Option<IpAddr>,
    /// The products of its `User-Agent`.
    pub client: Option<&'r str>,
    pub time: SystemTime,
}

impl Signals {
    /// Nothing is known. Learning begins now.
    pub fn new(now: SystemTime) -> Self {
        let limiter =
            |count, period| Some(RateLimiter::new(RateLimit::new(count, period, count)?, Instant::now()));
        Self {
            hash: foldhash::fast::RandomState::default(),
            programs: Mutex::new(Programs::new(seconds(now) + LEARNING)),
            refusals: limiter(REFUSALS, Duration::from_secs(60)),
            bursts: limiter(1, BURST_INTERVAL),
            events: Mutex::default(),
        }
    }

    /// A number that is the same for requests from the same network with the same `User-Agent` in the same minute.
    pub fn mark(&self, source: Option<IpAddr>, user_agent: Option<&[u8]>, time: SystemTime) -> u64 {
        let hash = self.hash.hash_one((source.map(network_bits), user_agent));
        // Never zero.
        hash << MINUTE_BITS | minute(time) & ((1 << MINUTE_BITS) - 1) | 1 << (u64::BITS - 1)
    }

    /// The signals of a program's request. To be asked unless its token was just used alike.
    pub fn of_program(&self, sighting: &Sighting<'_>) -> SignalSet {
        let Sighting { token, source, client, time } = *sighting;
        let product = client.map(without_versions);
        let network = source.map(network_bits);
        let used = Use {
            program: self.hash.hash_one((token.entry(), token.principal())),
            network: network.map(|bits| self.hash.hash_one(bits)),
            product: self.hash.hash_one(&product),
            now: seconds(time),
        };
        let found = lock(&self.programs).see(&used);
        for signal in found.iter() {
            self.keep(SignalEvent {
                time,
                signal,
                principal: Some(token.principal().into()),
                fingerprint: Some(token.fingerprint().short().into()),
                network: source.map(network_of),
                client: product.clone().map(Into::into),
            });
        }
        found
    }

    /// The signals of a refused request that came from `source`. `token` is its verified token, if it has one.
    pub fn of_refusal(
        &self,
        source: IpAddr,
        token: Option<&VerifiedToken>,
        (time, now): (SystemTime, Instant),
    ) -> SignalSet {
        let (Some(refusals), Some(bursts)) = (&self.refusals, &self.bursts) else {
            return SignalSet::default();
        };
        let network = network_of(source);
        if refusals.try_take(&network, now).is_ok() || bursts.try_take(&network, now).is_err() {
            return SignalSet::default();
        }
        self.keep(SignalEvent {
            time,
            signal: Signal::RefusalBurst,
            principal: token.map(|token| token.principal().into()),
            fingerprint: token.map(|token| token.fingerprint().short().into()),
            network: Some(network),
            client: None,
        });
        SignalSet::default().with(Signal::RefusalBurst)
    }

    /// The signals of the last hour, the newest first: at most the last [`MAX_EVENTS`] of each.
    pub fn recent(&self, now: SystemTime) -> Vec<SignalEvent> {
        let is_recent = |event: &&SignalEvent| {
            now.duration_since(event.time).is_ok_and(|age| age < EVENTS_KEPT) || event.time > now
        };
        let mut recent: Vec<_> =
            lock(&self.events).iter().flatten().rev().filter(is_recent).cloned().collect();
        recent.sort_by_key(|event| Reverse(event.time));
        recent
    }

    fn keep(&self, event: SignalEvent) {
        let oldest = {
            let mut events = lock(&self.events);
            let Some(events) = events.get_mut(event.signal as usize) else { return };
            events.push_back(event);
            if events.len() > MAX_EVENTS { events.pop_front() } else { None }
        };
        // Only now, without the lock.
        drop(oldest);
    }
}

/// Whether a mark is of an earlier minute, or none.
pub fn is_past(mark: u64, now: SystemTime) -> bool {
    mark & ((1 << MINUTE_BITS) - 1) != minute(now) & ((1 << MINUTE_BITS) - 1) || mark == 0
}

/// Learning begins now.
impl Default for Signals {
    fn default() -> Self {
        Self::new(SystemTime::now())
    }
}

/// The bits of an address that name its network.
fn network_bits(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 80).unwrap_or_default() | 1 << 63,
    }
}

fn network_of(address: IpAddr) -> IpNet {
    let prefix = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, prefix).unwrap_or(IpNet::from(address)).trunc()
}

/// The names of products, without their versions: an update is no other program.
fn without_versions(products: &str) -> String {
    let names = products.split(' ').map(|product| product.split('/').next().unwrap_or_default());
    names.collect::<Vec<_>>().join(" ")
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn minute(time: SystemTime) -> u64 {
    seconds(time) / 60
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
