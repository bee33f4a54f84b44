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
use rustix::time::{ClockId, clock_gettime};

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
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
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

/// `None` on systems without `/proc`.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}
