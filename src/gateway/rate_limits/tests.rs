//! What is counted for whom. `tests/integration/limits/rates.rs` has the responses.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::test_support::verified;

const HOUR: Duration = Duration::from_secs(3600);

fn limits(failures: u32, principal: u32, mode: Mode) -> RateLimits {
    let rate = |burst| RateLimit::new(1, HOUR, burst);
    let failures = rate(failures).map(|rate| FailureLimit { rate, ipv4_prefix: 24, ipv6_prefix: 64 });
    RateLimits::new(failures, rate(principal), mode, Instant::now())
}

fn source(address: &str) -> FailureSource<'static> {
    FailureSource::via_forward_auth(address.parse().unwrap())
}

/// How many failures of an address it takes until the next token is refused.
fn failures_until_refused(limits: &RateLimits, address: &str) -> usize {
    let metrics = Metrics::new();
    (0..100)
        .take_while(|_| {
            let is_allowed = limits.check_failures(source(address), &metrics).is_ok();
            limits.count_failure(source(address));
            is_allowed
        })
        .count()
}

#[test]
fn a_network_is_limited_as_a_whole_and_no_other() {
    let limits = limits(3, 0, Mode::Enforce);
    assert_eq!(failures_until_refused(&limits, "192.0.2.1"), 3);
    assert_eq!(failures_until_refused(&limits, "192.0.2.254"), 0, "the same /24");
    assert_eq!(failures_until_refused(&limits, "::ffff:192.0.2.9"), 0, "an IPv4 address in IPv6 form");
    assert_eq!(failures_until_refused(&limits, "192.0.3.1"), 3);
    assert_eq!(failures_until_refused(&limits, "2001:db8::1"), 3);
    assert_eq!(failures_until_refused(&limits, "2001:db8::ffff"), 0, "the same /64");
    assert_eq!(failures_until_refused(&limits, "2001:db8:0:1::1"), 3);
}

#[test]
fn a_check_alone_is_no_failure() {
    let (limits, metrics) = (limits(1, 0, Mode::Enforce), Metrics::new());
    assert!((0..10).all(|_| limits.check_failures(source("192.0.2.1"), &metrics).is_ok()));
}

#[test]
fn a_client_without_an_address_is_not_limited() {
    let (limits, metrics) = (limits(1, 0, Mode::Enforce), Metrics::new());
    let unix = FailureSource { client: None, account: None };
    (0..10).for_each(|_| limits.count_failure(unix));
    assert!(limits.check_failures(unix, &metrics).is_ok());
}

#[test]
fn each_principal_of_an_entry_has_its_own_permits() {
    let (limits, metrics) = (limits(0, 2, Mode::Enforce), Metrics::new());
    let (ada, ben) = (verified(json!({"email": "ada@x"})), verified(json!({"email": "ben@x"})));
    assert_ne!(ada.principal(), ben.principal());
    assert!(limits.take_permit(&ada, &metrics).is_ok() && limits.take_permit(&ada, &metrics).is_ok());
    let wait = limits.take_permit(&ada, &metrics).unwrap_err();
    assert!((3500..=3600).contains(&wait.seconds()), "{wait:?}");
    assert!(limits.take_permit(&ben, &metrics).is_ok());
}

#[test]
fn report_mode_counts_and_refuses_nothing() {
    let (limits, metrics) = (limits(1, 1, Mode::Report), Metrics::new());
    let token = verified(json!({}));
    for _ in 0..3 {
        assert!(limits.check_failures(source("192.0.2.1"), &metrics).is_ok());
        limits.count_failure(source("192.0.2.1"));
        assert!(limits.take_permit(&token, &metrics).is_ok());
    }
    let text = metrics.encode(crate::metrics::ExpositionFormat::Text);
    for limit in ["failures", "principal"] {
        assert!(text.contains(&format!("metagate_rate_limited_total{{limit=\"{limit}\"}} 2")), "{text}");
    }
}

#[test]
fn a_reload_keeps_what_was_used_up_of_unchanged_limits() {
    let (metrics, token) = (Metrics::new(), verified(json!({})));
    let before = limits(2, 1, Mode::Enforce);
    assert_eq!(failures_until_refused(&before, "192.0.2.1"), 2);
    assert!(before.take_permit(&token, &metrics).is_ok());
    let reloaded = |failures, principal| {
        let mut limits = limits(failures, principal, Mode::Enforce);
        limits.keep_counts_of(&before);
        limits
    };
    assert!(reloaded(2, 1).check_failures(source("192.0.2.1"), &metrics).is_err());
    assert!(reloaded(2, 1).take_permit(&token, &metrics).is_err());
    assert!(reloaded(3, 2).check_failures(source("192.0.2.1"), &metrics).is_ok(), "another limit");
    assert!(reloaded(3, 2).take_permit(&token, &metrics).is_ok());
    assert!(reloaded(0, 0).check_failures(source("192.0.2.1"), &metrics).is_ok(), "turned off");
}
