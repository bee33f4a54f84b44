//! What a parser or a matcher costs against the size of what a client sends.
//!
//! Each row doubles one input three times. `growth` is the exponent of the curve: 1 is linear, 2 is
//! quadratic. A row above [`MOST`] fails the run, so that nobody makes one by accident; a row that
//! ends flat has met a limit. Sizes go up to the limits of the default configuration.
//!
//! With debug assertions (`--profile dev`) the rows of many cookies are steep: `http::HeaderMap` then
//! looks at all its values whenever it removes one.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

#[path = "growth/claims.rs"]
mod claims;
#[path = "growth/graphql.rs"]
mod graphql;
#[path = "growth/heads.rs"]
mod heads;
#[path = "growth/targets.rs"]
mod targets;
#[path = "growth/world.rs"]
mod world;

/// The steepest curve that passes. Time is noisy, so it is not 1; a quadratic row has 1.7 and more.
const MOST: f64 = 1.45;
/// A row that is too steep is measured again: another process may have had the processor.
const TRIES: usize = 4;
/// What takes longer than this is interrupted on a busy machine: its processor time is taken.
const LONG: Duration = Duration::from_millis(2);
/// What is faster than this at its largest is noise.
const NOISE: Duration = Duration::from_micros(20);

/// One kind of input.
struct Case {
    name: &'static str,
    /// The largest size; it is begun with an eighth of it.
    largest: usize,
    /// What is measured, for an input of a size.
    prepare: fn(usize) -> Run,
}

type Run = Box<dyn FnMut()>;

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

/// The fastest of several runs: what else the machine does only makes one slower.
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

/// What this thread has had of a processor, as Linux tells it.
fn processor_time() -> Option<Duration> {
    // The count is brought up to date when the thread gives way.
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
    if steep.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("grows faster than its input: {}", steep.join(", "));
    ExitCode::FAILURE
}
