//! Limits that depend on one another, or on the backend.

use super::*;

#[test]
fn the_default_of_the_target_is_that_of_the_backend_within_the_head() {
    let target = |text: &str| file(text).with(&[KEYS_URL, UPSTREAM]).config().limits.target_bytes;
    for (text, bytes) in [
        ("backend: generic", 8192),
        ("backend: openmetadata", 8192),
        ("backend: datahub-gms", 32_768),
        ("backend: datahub-frontend", 32_768),
        ("{backend: datahub-gms, limits: {headerBytes: 16KiB}}", 16_384),
        ("{backend: datahub-gms, limits: {headerBytes: 16KiB, targetBytes: 12KiB}}", 12_288),
        ("limits: {targetBytes: 60KiB}", 61_440),
        ("limits: {headerBytes: 8KiB, targetBytes: 8KiB}", 8192),
    ] {
        assert_eq!(target(text), bytes, "{text}");
    }
}

#[test]
fn a_target_that_no_head_has_room_for_is_an_error() {
    let case = |text: &str| file(text).with(&[KEYS_URL, UPSTREAM]);
    let errors = case("limits: {headerBytes: 16KiB, targetBytes: 20KiB}").errors();
    assert_error(&errors, "limits.targetBytes @ 1:43 | is more than limits.headerBytes (16384 bytes)");
    assert_error(
        &case("limits: {targetBytes: 64KiB}").errors(),
        "limits.targetBytes @ 1:23 | 64KiB is out of range",
    );
}

#[test]
fn failures_are_limited_unless_that_is_off() {
    use std::time::Duration;

    use crate::rate_limiter::RateLimit;

    let limits = |text: &str| file(text).with(&[KEYS_URL, UPSTREAM]).config().limits;
    let rate = |count, seconds, burst| RateLimit::new(count, Duration::from_secs(seconds), burst);
    let failures = |text: &str| limits(text).failures.map(|limit| limit.rate);
    assert_eq!(failures("backend: generic"), rate(5, 1, 100));
    assert_eq!(failures("limits: {failures: {rate: 30/m, burst: 7}}"), rate(30, 60, 7));
    for off in ["off", "false", "'off'", "no"] {
        assert_eq!(failures(&format!("limits: {{failures: {{rate: {off}}}}}")), None, "{off}");
    }
    let limit = limits("limits: {failures: {ipv4Prefix: 24, ipv6Prefix: 48}}").failures.unwrap();
    assert_eq!((limit.ipv4_prefix, limit.ipv6_prefix), (24, 48));
    for (address, network) in [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:0:1::1", "2001:db8::/48"),
    ] {
        assert_eq!(limit.network(address.parse().unwrap()).to_string(), network);
    }
    assert_eq!(limits("backend: generic").principal, None);
    assert_eq!(limits("limits: {principal: {rate: 1000/h}}").principal, rate(1000, 3600, 100));
}

#[test]
fn a_rate_that_cannot_be_kept_is_an_error() {
    let errors = |text: &str| file(text).with(&[KEYS_URL, UPSTREAM]).errors();
    for (text, error) in [
        (
            "limits: {failures: {rate: 5}}",
            "limits.failures.rate @ 1:27 | \"5\" is not a rate; write it like 5/s, 100/m or 1000/h, or off",
        ),
        ("limits: {failures: {rate: 5/d}}", "limits.failures.rate @ 1:27 | \"5/d\" is not a rate"),
        (
            "limits: {failures: {rate: 0/s}}",
            "limits.failures.rate @ 1:27 | \"0/s\" is out of range; accepted: 1/h to 10000/s, or off",
        ),
        (
            "limits: {principal: {rate: 10001/s}}",
            "limits.principal.rate @ 1:28 | \"10001/s\" is out of range",
        ),
        ("limits: {failures: {burst: 0}}", "limits.failures.burst @ 1:28 | 0 is out of range"),
        (
            "limits: {failures: {ipv6Prefix: 129}}",
            "limits.failures.ipv6Prefix @ 1:33 | 129 is out of range; accepted: 1 to 128",
        ),
        (
            "limits: {principal: {rate: 1/h, burst: 25}}",
            "limits.principal.burst @ 1:40 | is more than this rate gives in a day",
        ),
    ] {
        assert_error(&errors(text), error);
    }
}
