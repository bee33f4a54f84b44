//! The text of `metagate top`, from two states of the process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::limits::{self, workers};
use super::text::{duration, percent};

/// How many reasons of refusals are shown.
const MAX_REASONS: usize = 5;
/// How many key sources are shown.
const MAX_SOURCES: usize = 8;

/// What happened between two answers of `/status`, and the state at the second one.
pub(super) fn render(before: &Value, now: &Value, between: Duration) -> String {
    let seconds = between.as_secs_f64().max(0.001);
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "{name:<14}{value}");
    };
    line("metagate", &process(now));
    let reached = limits::reached(before, now, seconds);
    for (at, limit) in reached.iter().enumerate() {
        line(if at == 0 { "at its limit" } else { "" }, limit);
    }
    if reached.is_empty() {
        line("at its limit", "nothing");
    }
    let rates = rates(before, now, seconds);
    // A sum of nothing would be -0.0.
    let total = rates.values().fold(0.0, |total, rate| total + rate);
    let parts = [format!("{}/s", number(total)), by_decision(&rates)];
    line("requests", &joined(parts.into_iter().filter(|part| !part.is_empty())));
    let recent = &now["recent"];
    line("time, ours", &quantiles(&recent["overhead_seconds"]));
    line("time, backend", &quantiles(&recent["upstream_seconds"]));
    line("workers", &busy(before, now, seconds));
    let budgets = &now["budgets"];
    line("connections", &budget(&budgets["connections"], plain));
    line("in flight", &budget(&budgets["requests"], plain));
    line("memory", &budget(&budgets["memory_bytes"], bytes));
    let hits = recent["token_cache_hit_rate"]
        .as_f64()
        .map_or("no look-ups".to_owned(), |hits| percent(hits) + " hits");
    line("token cache", &format!("{}  {hits}", budget(&budgets["token_cache_bytes"], bytes)));
    line("refused", &refusals(&rates));
    for (at, source) in now["sources"].as_array().into_iter().flatten().take(MAX_SOURCES).enumerate() {
        line(if at == 0 { "keys" } else { "" }, &key_source(source));
    }
    text
}

fn process(now: &Value) -> String {
    let word = |name: &str| now[name].as_str().unwrap_or_default();
    let state = match (now["draining"] == true, now["ready"] == true) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "not ready",
    };
    let up =
        humantime::format_duration(Duration::from_secs(now["uptime_seconds"].as_u64().unwrap_or_default()));
    let up = up.to_string().split(' ').take(2).collect::<Vec<_>>().join(" ");
    let backend = if now["upstream_up"] == false { "down" } else { "up" };
    let upstream = now["config"]["upstream"].as_str().unwrap_or_default();
    format!("{}  {state}  up {up}  {upstream} is {backend}", word("version"))
}

/// Requests per second by `decision`, or `decision: reason`.
fn rates(before: &Value, now: &Value, seconds: f64) -> BTreeMap<String, f64> {
    let requests = now["requests"].as_object().into_iter().flatten();
    let rate = |(how, count): (&String, &Value)| {
        let earlier = before["requests"][how].as_u64().unwrap_or_default();
        let count = count.as_u64().unwrap_or_default();
        // A process that was started again counts from zero.
        let since = if count < earlier { count } else { count - earlier };
        (since > 0).then(|| (how.clone(), since as f64 / seconds))
    };
    requests.filter_map(rate).collect()
}

fn by_decision(rates: &BTreeMap<String, f64>) -> String {
    let mut decisions = BTreeMap::<&str, f64>::new();
    for (how, rate) in rates {
        *decisions.entry(how.split(':').next().unwrap_or_default()).or_default() += rate;
    }
    joined(decisions.into_iter().map(|(decision, rate)| format!("{decision} {}", number(rate))))
}

fn refusals(rates: &BTreeMap<String, f64>) -> String {
    let mut reasons: Vec<_> =
        rates.iter().filter_map(|(how, rate)| Some((how.split_once(": ")?.1, *rate))).collect();
    reasons.sort_by(|one, other| other.1.total_cmp(&one.1));
    let shown = joined(
        reasons.iter().take(MAX_REASONS).map(|(reason, rate)| format!("{reason} {}/s", number(*rate))),
    );
    if shown.is_empty() { "none".to_owned() } else { shown }
}

fn busy(before: &Value, now: &Value, seconds: f64) -> String {
    let tasks = |at: usize| now["workers"][at]["tasks"].as_u64().unwrap_or_default();
    let workers = workers(before, now, seconds);
    joined(
        workers
            .iter()
            .enumerate()
            .map(|(at, part)| format!("{at}: {} busy, {} tasks", percent(*part), tasks(at))),
    )
}

fn quantiles(quantiles: &Value) -> String {
    match (quantiles["p50"].as_f64(), quantiles["p99"].as_f64()) {
        (Some(p50), Some(p99)) => format!("p50 {}  p99 {}", duration(p50), duration(p99)),
        _ => "no requests".to_owned(),
    }
}

fn budget(budget: &Value, show: fn(u64) -> String) -> String {
    let (used, limit) =
        (budget["used"].as_u64().unwrap_or_default(), budget["limit"].as_u64().unwrap_or_default());
    let part = limits::part(budget).unwrap_or_default();
    format!("{} of {} ({})", show(used), show(limit), percent(part))
}

fn key_source(source: &Value) -> String {
    let text = |name: &str| source[name].as_str().unwrap_or_default();
    let usable = source["keys"].as_array().into_iter().flatten().filter(|key| key["usable"] == true).count();
    // Keys of the configuration have no age.
    let age = source["age_seconds"].as_u64().map(Duration::from_secs);
    let age = age.map_or(String::new(), |age| format!(", fetched {} ago", humantime::format_duration(age)));
    let state = source["failure"].as_str().unwrap_or("ok");
    format!("{}  {}  {usable} usable{age}: {state}", text("issuer"), text("source"))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("  ")
}

fn number(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn plain(count: u64) -> String {
    count.to_string()
}

fn bytes(count: u64) -> String {
    format!("{:.1} MiB", count as f64 / (1 << 20) as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(allowed: u64, refused: u64, busy: f64) -> Value {
        json!({
            "version": "1.2.3", "uptime_seconds": 3_725, "ready": true, "draining": false, "upstream_up": true,
            "config": {"upstream": "http://backend:8585"},
            "requests": {"allow": allowed, "deny: expired": refused, "deny: revoked": 2 * refused, "error": 0},
            "recent": {
                "overhead_seconds": {"p50": 0.000_025, "p99": 0.0009},
                "upstream_seconds": {"p50": 0.002, "p99": 1.25},
                "token_cache_hit_rate": 0.987,
            },
            "workers": [{"busy_seconds": busy, "tasks": 12}, {"busy_seconds": 0.0, "tasks": 3}],
            "budgets": {
                "connections": {"used": 5, "limit": 100}, "requests": {"used": 1, "limit": 100},
                "memory_bytes": {"used": 1_048_576, "limit": 10_485_760},
                "token_cache_bytes": {"used": 0, "limit": 33_554_432},
            },
            "sources": [{
                "issuer": "okta", "source": "https://okta.example/keys", "failure": null, "age_seconds": 65,
                "keys": [{"usable": true}, {"usable": false}],
            }],
        })
    }

    #[test]
    fn rates_are_those_between_two_states() {
        let text = render(&state(100, 10, 1.0), &state(300, 14, 1.5), Duration::from_secs(2));
        assert_eq!(
            text,
            "\
metagate      1.2.3  ready  up 1h 2m  http://backend:8585 is up
at its limit  nothing
requests      106/s  allow 100  deny 6.0
time, ours    p50 25 µs  p99 900 µs
time, backend p50 2.0 ms  p99 1.2 s
workers       0: 25 % busy, 12 tasks  1: 0 % busy, 3 tasks
connections   5 of 100 (5 %)
in flight     1 of 100 (1 %)
memory        1.0 MiB of 10.0 MiB (10 %)
token cache   0.0 MiB of 32.0 MiB (0 %)  99 % hits
refused       revoked 4.0/s  expired 2.0/s
keys          okta  https://okta.example/keys  1 usable, fetched 1m 5s ago: ok
"
        );
    }

    #[test]
    fn the_part_at_its_limit_comes_first() {
        let limits = |change: fn(&mut Value), busy| {
            let mut now = state(0, 0, busy);
            change(&mut now);
            limits::reached(&state(0, 0, 0.0), &now, 1.0)
        };
        assert!(limits(|_| {}, 0.89).is_empty());
        assert_eq!(limits(|_| {}, 0.95), ["1 of 2 workers are busy: a few connections cost much."]);
        let all = |now: &mut Value| now["workers"] = json!([{"busy_seconds": 0.95}]);
        assert_eq!(
            limits(all, 0.0),
            ["All workers are busy: processor time is the limit. Add cores or replicas."]
        );
        let full = |now: &mut Value| {
            now["budgets"]["memory_bytes"]["used"] = json!(10_000_000);
            now["upstream_up"] = json!(false);
            now["recent"]["upstream_seconds"]["p50"] = json!(2.5);
        };
        assert_eq!(
            limits(full, 0.0),
            [
                "The backend cannot be reached.",
                "The memory for clients: 95 % of limits.memory.",
                "The backend takes 2.5 s for half of the requests: clients wait for it.",
            ]
        );
        let few_hits = |now: &mut Value| {
            now["budgets"]["token_cache_bytes"]["used"] = json!(33_000_000);
            now["recent"]["token_cache_hit_rate"] = json!(0.2);
            now["sources"][0]["failure"] = json!("timeout");
            now["sources"][0]["age_seconds"] = json!(null);
        };
        assert_eq!(
            limits(few_hits, 0.0),
            [
                "Keys of https://okta.example/keys cannot be fetched.",
                "The token cache is full, and only 20 % are hits: tokenCache.maxBytes.",
            ]
        );
    }

    #[test]
    fn our_own_part_is_judged_by_enough_requests() {
        let slow = |requests: u64| {
            let mut now = state(0, 0, 0.0);
            now["recent"]["overhead_seconds"]["p99"] = json!(0.02);
            now["recent"]["requests"] = json!({"allow": requests, "deny: expired": 1});
            limits::reached(&state(0, 0, 0.0), &now, 1.0)
        };
        assert!(slow(100).is_empty());
        assert_eq!(slow(199), ["Our own part takes 20.0 ms at the 99th percentile."]);
    }

    #[test]
    fn a_process_that_was_started_again_counts_from_zero() {
        let text = render(&state(100, 10, 9.0), &state(4, 1, 0.1), Duration::from_secs(2));
        assert!(text.contains("requests      3.5/s  allow 2.0  deny 1.5\n"), "{text}");
        assert!(text.contains("0: 5 % busy"), "{text}");
        assert!(text.contains("refused       revoked 1.0/s  expired 0.5/s\n"), "{text}");
        let idle = render(&state(4, 1, 0.1), &state(4, 1, 0.1), Duration::from_secs(2));
        assert!(idle.contains("requests      0.0/s\n") && idle.contains("refused       none\n"), "{idle}");
        let empty = render(&json!({}), &json!({}), Duration::from_secs(1));
        assert!(empty.contains("no requests") && empty.contains("no look-ups"), "{empty}");
    }
}
