//! How the cost of parsers and matchers grows with the size of what a client sends, and how the cost of a request grows
//! with the size of the configuration.
//!
//! Each row of the first table doubles one input three times. `growth` is the exponent of the curve: 1 is linear, 2 is
//! quadratic. A row above [`MOST`] fails the run, to catch quadratic code early. A row that
//! flattens has reached a limit. Sizes go up to the limits of the default configuration.
//!
//! Each row of the second table is one request with an ever larger configuration. Its cost must stay the same: a row
//! whose largest size takes more than [`MOST_TIMES`] its smallest fails the run.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

#[path = "growth/claims.rs"]
mod claims;
#[path = "growth/graphql.rs"]
mod graphql;
#[path = "growth/heads.rs"]
mod heads;
#[path = "growth/settings.rs"]
mod settings;
#[path = "growth/targets.rs"]
mod targets;
#[path = "growth/world.rs"]
mod world;

/// The steepest growth that passes. It is above 1 because timings are noisy; a quadratic row has
/// 1.7 or more.
const MOST: f64 = 1.45;
/// The most that a request may cost with the largest configuration, in costs with the smallest. It should be 1.1; the
/// rest is noise. A linear search of ten thousand rules is 10 or more.
const MOST_TIMES: f64 = 1.3;
/// How often a steep row is measured, because another process may have used the processor.
const TRIES: usize = 4;
/// Runs longer than this may be interrupted on a busy machine, so their processor time is measured.
const LONG: Duration = Duration::from_millis(2);
/// A row whose largest size is faster than this is noise.
const NOISE: Duration = Duration::from_micros(20);

/// One kind of input.
struct Case {
    name: &'static str,
    /// The largest size. The first one is an eighth of it.
    largest: usize,
    /// Prepares what is measured, for an input of this size.
    prepare: fn(usize) -> Run,
}

type Run = Box<dyn FnMut()>;

/// A request whose cost must not depend on the size of a part of the configuration.
struct Constant {
    name: &'static str,
    sizes: &'static [usize],
    /// Prepares the request, with a configuration of this size.
    prepare: fn(usize) -> Run,
}

impl Constant {
    const fn new(name: &'static str, sizes: &'static [usize], prepare: fn(usize) -> Run) -> Self {
        Self { name, sizes, prepare }
    }

    /// Measures each size, prints the row, and returns whether the largest costs much more than the smallest.
    fn is_steep(&self, enough: Duration) -> bool {
        let mut best = vec![Duration::MAX; self.sizes.len()];
        let mut times = f64::MAX;
        for _ in 0..TRIES {
            for (best, size) in best.iter_mut().zip(self.sizes) {
                *best = fastest((self.prepare)(*size), enough).min(*best);
            }
            let (first, last) = (best[0], best[best.len() - 1]);
            times = last.as_secs_f64() / first.as_secs_f64().max(1e-9);
            if times <= MOST_TIMES {
                break;
            }
        }
        let costs = self
            .sizes
            .iter()
            .zip(&best)
            .map(|(size, time)| format!("{size}: {:.0}", time.as_secs_f64() * 1e6));
        println!("{:<44} {:<58} {times:>7.2}", self.name, costs.collect::<Vec<_>>().join("  "));
        times > MOST_TIMES
    }
}

impl Case {
    const fn new(name: &'static str, largest: usize, prepare: fn(usize) -> Run) -> Self {
        Self { name, largest, prepare }
    }

    fn sizes(&self) -> [usize; 4] {
        [8, 4, 2, 1].map(|part| self.largest / part)
    }

    fn measure(&self, enough: Duration) -> [Duration; 4] {
        self.sizes().map(|size| fastest((self.prepare)(size), enough))
    }
}

/// The fastest of several runs, because other load only makes a run slower.
fn fastest(mut run: Run, enough: Duration) -> Duration {
    run();
    let began = Instant::now();
    let mut best = Duration::MAX;
    let mut runs = 0;
    while runs < 5 || began.elapsed() < enough {
        let (start, before) = (Instant::now(), processor_time());
        run();
        let passed = start.elapsed();
        let used = if passed < LONG { None } else { processor_time().zip(before) };
        let used = used.and_then(|(after, before)| after.checked_sub(before)).filter(|used| *used > LONG / 4);
        best = best.min(used.unwrap_or(passed));
        runs += 1;
    }
    best
}

/// The processor time of this thread, from Linux.
fn processor_time() -> Option<Duration> {
    // Yielding updates the counter.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn exponent(times: &[Duration; 4]) -> f64 {
    if times[3] < NOISE {
        return 0.0;
    }
    (times[3].as_secs_f64() / times[0].as_secs_f64().max(1e-9)).log2() / 3.0
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--test");
    let filter = arguments.iter().find(|argument| !argument.starts_with("--"));
    let enough = Duration::from_millis(if quick { 2 } else { 50 });
    println!(
        "{:<44} {:>9} {:>10} {:>10} {:>10} {:>10} {:>7}",
        "", "largest", "1/8", "1/4", "1/2", "1", "growth"
    );
    let mut steep = Vec::new();
    for case in [heads::CASES, targets::CASES, claims::CASES, graphql::CASES].into_iter().flatten() {
        if filter.is_some_and(|filter| !case.name.contains(filter.as_str())) {
            continue;
        }
        let tries = (0..TRIES).map(|_| case.measure(enough));
        let times = tries
            .map(|times| (exponent(&times), times))
            .scan(false, |done, found| (!std::mem::replace(done, found.0 <= MOST)).then_some(found))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((growth, times)) = times else { continue };
        let [a, b, c, d] = times.map(|time| format!("{:.1} us", time.as_secs_f64() * 1e6));
        println!("{:<44} {:>9} {a:>10} {b:>10} {c:>10} {d:>10} {growth:>7.2}", case.name, case.largest);
        if growth > MOST {
            steep.push(case.name);
        }
    }
    println!("\n{:<44} {:<58} {:>7}", "", "us for 100 requests, by size", "times");
    for case in settings::CASES {
        if filter.is_none_or(|filter| case.name.contains(filter.as_str())) && case.is_steep(enough) {
            steep.push(case.name);
        }
    }
    if steep.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("grows faster than it may: {}", steep.join(", "));
    ExitCode::FAILURE
}
