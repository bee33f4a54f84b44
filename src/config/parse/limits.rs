//! Parses `limits`.

use super::super::{Discard, Limits, memory, values};
use super::section::Section;
use crate::backend::Backend;

pub(super) fn limits(section: &Section<'_>, backend: Backend) -> Limits {
    let header_bytes = section.size("headerBytes");
    let (connections, requests) = (section.count("connections"), section.count("requests"));
    Limits {
        connections,
        connections_per_client: share(section.count("connectionsPerClient"), connections),
        requests,
        requests_per_client: share(section.count("requestsPerClient"), requests),
        memory: memory(section),
        unverified_timeout: section.duration("unverifiedTimeout"),
        discard: Discard { bytes: section.size("discardBytes"), timeout: section.duration("discardTimeout") },
        header_bytes,
        target_bytes: target_bytes(section, header_bytes, backend),
        header_count: section.count("headerCount"),
        header_read_timeout: section.duration("headerReadTimeout"),
        body_bytes: section.size("bodyBytes"),
        concurrent_streams: section.count("concurrentStreams"),
        token_bytes: section.size("tokenBytes"),
        graphql_bytes: section.size("graphqlBytes"),
    }
}

/// The default fits into a head of the configured size; a configured value must.
fn target_bytes(section: &Section<'_>, header_bytes: usize, backend: Backend) -> usize {
    if !section.has("targetBytes") {
        return backend.preset().target_bytes.min(header_bytes);
    }
    let bytes = section.size("targetBytes");
    if bytes > header_bytes {
        let message =
            format!("is more than limits.headerBytes ({header_bytes} bytes), which includes the target");
        section.error_with_help("targetBytes", message, "raise limits.headerBytes too");
    }
    bytes
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
