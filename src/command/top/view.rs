//! The text of `metagate top`, from two states of the process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::admin::duration as duration_of;

/// How much of what needs a look is shown.
const MAX_ITEMS: usize = 12;
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
    let attention = attention(now);
    for (at, item) in attention.iter().take(MAX_ITEMS).enumerate() {
        line(if at == 0 { "needs a look" } else { "" }, item);
    }
    match attention.len().checked_sub(MAX_ITEMS) {
        Some(more) if more > 0 => line("", &format!("and {more} more: see the status page")),
        _ if attention.is_empty() => line("needs a look", "nothing"),
        _ => {}
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
    let waiting = now["upstream_waiting"].as_u64().map(|count| format!("{count} wait for the backend"));
    let in_flight = [Some(budget(&budgets["requests"], plain)), waiting];
    line("in flight", &joined(in_flight.into_iter().flatten()));
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

/// What needs a look, the most urgent first.
fn attention(now: &Value) -> Vec<String> {
    let item = |item: &Value| {
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        format!("{} {}", text("title"), text("text"))
    };
    now["needs_a_look"].as_array().into_iter().flatten().map(item).collect()
}

fn process(now: &Value) -> String {
    let word = |name: &str| now[name].as_str().unwrap_or_default();
    let state = match (now["draining"] == true, now["ready"] == true) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "not ready",
    };
    let up = duration_of(now["uptime_seconds"].as_u64().unwrap_or_default());
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
    let one = |(at, part): (usize, f64)| {
        let worker = &now["workers"][at];
        let tasks = worker["tasks"].as_u64().unwrap_or_default();
        let late = worker["longest_delay_seconds"].as_f64();
        let late = late.map_or(String::new(), |late| format!(", up to {} late", duration(late)));
        format!("{at}: {} busy, {tasks} tasks{late}", percent(part))
    };
    joined(workers(before, now, seconds).into_iter().enumerate().map(one))
}

/// The busy part of each worker, from 0 to 1.
fn workers(before: &Value, now: &Value, seconds: f64) -> Vec<f64> {
    let of = |state: &Value, at: usize| state["workers"][at]["busy_seconds"].as_f64();
    let count = now["workers"].as_array().map_or(0, Vec::len);
    let part = |at: usize| {
        let (earlier, later) = (of(before, at)?, of(now, at)?);
        // A process that was started again counts from zero.
        let busy = if later < earlier { later } else { later - earlier };
        // One that does not come back is not counted until it does.
        let stuck = now["workers"][at]["overdue_seconds"].as_f64().filter(|overdue| *overdue >= seconds);
        Some(stuck.map_or((busy / seconds).clamp(0.0, 1.0), |_| 1.0))
    };
    (0..count).map(|at| part(at).unwrap_or_default()).collect()
}

/// What is used of a budget.
fn part(budget: &Value) -> Option<f64> {
    let limit = budget["limit"].as_f64().filter(|limit| *limit > 0.0)?;
    Some(budget["used"].as_f64()? / limit)
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
    let part = part(budget).unwrap_or_default();
    format!("{} of {} ({})", show(used), show(limit), percent(part))
}

fn key_source(source: &Value) -> String {
    let text = |name: &str| source[name].as_str().unwrap_or_default();
    let usable = source["keys"].as_array().into_iter().flatten().filter(|key| key["usable"] == true).count();
    // Keys of the configuration have no age.
    let age = source["age_seconds"].as_u64();
    let age = age.map_or(String::new(), |age| format!(", fetched {} ago", duration_of(age)));
    let state = source["failure"].as_str().unwrap_or("ok");
    format!("{}  {}  {usable} usable{age}: {state}", text("issuer"), text("source"))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("  ")
}

fn number(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

fn duration(seconds: f64) -> String {
    match seconds {
        short if short < 0.001 => format!("{:.0} µs", short * 1e6),
        short if short < 1.0 => format!("{:.1} ms", short * 1e3),
        long => format!("{long:.1} s"),
    }
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
            "upstream_waiting": 1,
            "requests": {"allow": allowed, "deny: expired": refused, "deny: revoked": 2 * refused, "error": 0},
            "recent": {
                "overhead_seconds": {"p50": 0.000_025, "p99": 0.0009},
                "upstream_seconds": {"p50": 0.002, "p99": 1.25},
                "token_cache_hit_rate": 0.987,
            },
            "workers": [{"busy_seconds": busy, "tasks": 12, "delay_seconds": 0.001, "longest_delay_seconds": 0.0015}, {"busy_seconds": 0.0, "tasks": 3}],
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
metagate      1.2.3  ready  up 1 h 2 min  http://backend:8585 is up
needs a look  nothing
requests      106/s  allow 100  deny 6.0
time, ours    p50 25 µs  p99 900 µs
time, backend p50 2.0 ms  p99 1.2 s
workers       0: 25 % busy, 12 tasks, up to 1.5 ms late  1: 0 % busy, 3 tasks
connections   5 of 100 (5 %)
in flight     1 of 100 (1 %)  1 wait for the backend
memory        1.0 MiB of 10.0 MiB (10 %)
token cache   0.0 MiB of 32.0 MiB (0 %)  99 % hits
refused       revoked 4.0/s  expired 2.0/s
keys          okta  https://okta.example/keys  1 usable, fetched 1 min 5 s ago: ok
"
        );
    }

    #[test]
    fn what_needs_a_look_comes_first() {
        let item =
            |number: usize| json!({"level": "bad", "title": format!("Title {number}."), "text": "text"});
        let with = |count: usize| {
            let mut now = state(0, 0, 0.0);
            now["needs_a_look"] = (0..count).map(item).collect();
            let text = render(&state(0, 0, 0.0), &now, Duration::from_secs(1));
            text.lines().skip(1).take_while(|line| !line.starts_with("requests")).map(str::to_owned).collect()
        };
        let lines: Vec<String> = with(2);
        assert_eq!(lines, ["needs a look  Title 0. text", "              Title 1. text"]);
        let lines: Vec<String> = with(MAX_ITEMS);
        assert_eq!(lines.len(), MAX_ITEMS);
        let lines: Vec<String> = with(MAX_ITEMS + 3);
        assert_eq!(lines.len(), MAX_ITEMS + 1);
        assert_eq!(lines[MAX_ITEMS], "              and 3 more: see the status page");
    }

    #[test]
    fn a_worker_that_does_not_come_back_is_busy() {
        let mut now = state(0, 0, 0.0);
        now["workers"][0]["overdue_seconds"] = json!(7.5);
        now["workers"][0]["longest_delay_seconds"] = json!(7.5);
        let text = render(&state(0, 0, 0.0), &now, Duration::from_secs(2));
        assert!(text.contains("0: 100 % busy, 12 tasks, up to 7.5 s late  1: 0 % busy, 3 tasks\n"), "{text}");
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
