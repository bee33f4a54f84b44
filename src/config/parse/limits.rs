//! `limits`: what clients may ask of us.

use super::super::{Discard, Limits, memory, values};
use super::section::Section;
use super::{count, fits, size, time};

pub(super) fn limits(section: &Section<'_>) -> Limits {
    let bytes = |name| section.need(name, |text| values::size(text).and_then(fits), 0);
    let (connections, requests) = (count(section, "connections"), count(section, "requests"));
    Limits {
        connections,
        connections_per_client: share(count(section, "connectionsPerClient"), connections),
        requests,
        requests_per_client: share(count(section, "requestsPerClient"), requests),
        memory: memory(section),
        unverified_timeout: time(section, "unverifiedTimeout"),
        discard: Discard { bytes: size(section, "discardBytes"), timeout: time(section, "discardTimeout") },
        header_bytes: bytes("headerBytes"),
        header_count: count(section, "headerCount"),
        header_read_timeout: time(section, "headerReadTimeout"),
        body_bytes: size(section, "bodyBytes"),
        concurrent_streams: section.need(
            "concurrentStreams",
            |text| values::integer(text).and_then(fits),
            100,
        ),
        token_bytes: bytes("tokenBytes"),
        graphql_bytes: bytes("graphqlBytes"),
    }
}

/// The share of one client address: as configured, or half of the total. A total of 16 or less may
/// be one client's.
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
    section.need("memory", read, 0)
}
