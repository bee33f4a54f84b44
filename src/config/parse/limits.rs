//! Parses `limits`.

use super::super::{Discard, Limits, memory, values};
use super::section::Section;

pub(super) fn limits(section: &Section<'_>) -> Limits {
    let (connections, requests) = (section.count("connections"), section.count("requests"));
    Limits {
        connections,
        connections_per_client: share(section.count("connectionsPerClient"), connections),
        requests,
        requests_per_client: share(section.count("requestsPerClient"), requests),
        memory: memory(section),
        unverified_timeout: section.duration("unverifiedTimeout"),
        discard: Discard { bytes: section.size("discardBytes"), timeout: section.duration("discardTimeout") },
        header_bytes: section.size("headerBytes"),
        header_count: section.count("headerCount"),
        header_read_timeout: section.duration("headerReadTimeout"),
        body_bytes: section.size("bodyBytes"),
        concurrent_streams: section.count("concurrentStreams"),
        token_bytes: section.size("tokenBytes"),
        graphql_bytes: section.size("graphqlBytes"),
    }
}

/// The share of one client address: as configured, or half of the total but at least 16. Never more than the total.
fn share(configured: usize, total: usize) -> usize {
    const SMALLEST: usize = 16;
    let share = if configured == 0 { (total / 2).max(SMALLEST) } else { configured };
    share.min(total)
}

fn memory(section: &Section<'_>) -> u64 {
    let read = |text: &str| match text {
        "auto" => Ok(memory::default_limit()),
        _ => values::size(text),
    };
    section.need_value("memory", read)
}
