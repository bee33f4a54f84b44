//! The metrics that every Prometheus client library has about its process, with the same names.

use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};

use super::since_epoch;

/// Reads the state of the process at each scrape.
#[derive(Debug)]
pub(super) struct Process {
    started: SystemTime,
}

impl Process {
    /// For a process that starts now.
    pub(super) fn starting() -> Self {
        Self { started: SystemTime::now() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name, help, unit, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?)
        };
        gauge(
            "process_start_time",
            "When the process started, seconds since the epoch.",
            Some(&Unit::Seconds),
            since_epoch(self.started),
        )?;
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            gauge("process_max_fds", "How many file descriptors the process may open.", None, limit as f64)?;
        }
        if let Some(open) = open_descriptors() {
            gauge("process_open_fds", "Open file descriptors.", None, open as f64)?;
        }
        if let Some(bytes) = resident_bytes() {
            let help = "Memory of the process that is in RAM.";
            gauge("process_resident_memory", help, Some(&Unit::Bytes), bytes as f64)?;
        }
        let Some(seconds) = processor_seconds() else { return Ok(()) };
        let metric = ConstCounter::new(seconds);
        let help = "Processor time of the process, user and system.";
        metric.encode(encoder.encode_descriptor(
            "process_cpu",
            help,
            Some(&Unit::Seconds),
            ConstCounter::<f64>::TYPE,
        )?)
    }
}

/// `None` on systems without `/proc`.
fn open_descriptors() -> Option<usize> {
    // Without the one that reads the directory.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

/// User and system time; `None` on systems without `/proc`. (The clock of the process would be more exact, but reading it
/// without `unsafe` takes code that valgrind cannot run, and instructions are counted with valgrind.)
fn processor_seconds() -> Option<f64> {
    processor_seconds_in(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

fn processor_seconds_in(stat: &str) -> Option<f64> {
    /// The unit of these fields (`USER_HZ`), on every architecture of Linux that is in use.
    const TICKS_PER_SECOND: f64 = 100.0;
    // The second field is the name of the program, in parentheses; it may have blanks.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

/// `None` on systems without `/proc`.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_after_any_program_name() {
        let rest = "S 1 42 42 0 -1 4194560 9000 0 3 0 1234 66 7 8 20 0 5 0 1000 1 1";
        for name in ["metagate", "a b", "a) 1 (b"] {
            assert_eq!(processor_seconds_in(&format!("42 ({name}) {rest}")), Some(13.0), "{name}");
        }
        for broken in ["", "42 (a)", "42 (a) S 1 2 3"] {
            assert_eq!(processor_seconds_in(broken), None, "{broken}");
        }
        assert!(processor_seconds().is_some());
    }
}
