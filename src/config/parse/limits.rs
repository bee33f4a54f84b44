//! Parses `limits`.

use super::super::{Discard, FailureLimit, Limits, memory, values};
use super::section::Section;
use crate::backend::Backend;
use crate::rate_limiter::RateLimit;

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
        failures: failures(&section.section("failures")),
        principal: rate(&section.section("principal")),
    }
}

fn failures(section: &Section<'_>) -> Option<FailureLimit> {
    let (ipv4_prefix, ipv6_prefix) = (section.count("ipv4Prefix"), section.count("ipv6Prefix"));
    Some(FailureLimit { rate: rate(section)?, ipv4_prefix, ipv6_prefix })
}

/// None if it is off, or if there is an error.
fn rate(section: &Section<'_>) -> Option<RateLimit> {
    let burst = section.count("burst");
    let (count, period) = section.need_value("rate", values::rate)?;
    let limit = RateLimit::new(count, period, burst);
    if limit.is_none() && !section.in_error("burst") {
        let message = "is more than this rate gives in a day";
        section.error_with_help("burst", message, "lower it, or raise rate");
    }
    limit
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
