//! Which parts of a process are at their limit, the most pressing first.

use serde_json::Value;

use super::text::{duration, percent};

/// From here on a part counts as at its limit.
const AT_LIMIT: f64 = 0.9;
/// A backend whose median response takes longer than this is what clients wait for.
const SLOW_BACKEND: f64 = 1.0;
/// Our own part at the 99th percentile. It is usually far below a millisecond.
const SLOW_OVERHEAD: f64 = 0.01;
/// Of fewer requests, the 99th percentile is that of one of them.
const ENOUGH: u64 = 200;
/// With fewer hits, verifying tokens takes most of the processor time.
const FEW_HITS: f64 = 0.5;

/// One sentence for each part at its limit.
pub(super) fn reached(before: &Value, now: &Value, seconds: f64) -> Vec<String> {
    let mut found = Vec::new();
    if now["upstream_up"] == false {
        found.push("The backend cannot be reached.".to_owned());
    }
    for source in now["sources"].as_array().into_iter().flatten() {
        if source["failure"].is_string() {
            let name = source["source"].as_str().unwrap_or_default();
            found.push(format!("Keys of {name} cannot be fetched."));
        }
    }
    let busy: Vec<f64> = workers(before, now, seconds);
    let at_limit = busy.iter().filter(|part| **part >= AT_LIMIT).count();
    if at_limit > 0 && at_limit == busy.len() {
        found.push("All workers are busy: processor time is the limit. Add cores or replicas.".to_owned());
    } else if at_limit > 0 {
        found.push(format!("{at_limit} of {} workers are busy: a few connections cost much.", busy.len()));
    }
    for (member, name, key) in [
        ("connections", "Connections", "limits.connections"),
        ("requests", "Requests in flight", "limits.requests"),
        ("memory_bytes", "The memory for clients", "limits.memory"),
    ] {
        if let Some(part) = part(&now["budgets"][member]).filter(|part| *part >= AT_LIMIT) {
            found.push(format!("{name}: {} of {key}.", percent(part)));
        }
    }
    let recent = &now["recent"];
    let hits = recent["token_cache_hit_rate"].as_f64();
    let is_full = part(&now["budgets"]["token_cache_bytes"]).is_some_and(|part| part >= AT_LIMIT);
    if let Some(hits) = hits.filter(|hits| *hits < FEW_HITS && is_full) {
        found.push(format!(
            "The token cache is full, and only {} are hits: tokenCache.maxBytes.",
            percent(hits)
        ));
    }
    let slow = recent["overhead_seconds"]["p99"].as_f64().filter(|p99| *p99 > SLOW_OVERHEAD);
    if let Some(p99) = slow.filter(|_| requests(recent) >= ENOUGH) {
        found.push(format!("Our own part takes {} at the 99th percentile.", duration(p99)));
    }
    if let Some(p50) = recent["upstream_seconds"]["p50"].as_f64().filter(|p50| *p50 > SLOW_BACKEND) {
        found.push(format!(
            "The backend takes {} for half of the requests: clients wait for it.",
            duration(p50)
        ));
    }
    found
}

/// How many requests there were.
fn requests(recent: &Value) -> u64 {
    recent["requests"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

/// What is used of a budget.
pub(super) fn part(budget: &Value) -> Option<f64> {
    let limit = budget["limit"].as_f64().filter(|limit| *limit > 0.0)?;
    Some(budget["used"].as_f64()? / limit)
}

/// The busy part of each worker, from 0 to 1.
pub(super) fn workers(before: &Value, now: &Value, seconds: f64) -> Vec<f64> {
    let of = |state: &Value, at: usize| state["workers"][at]["busy_seconds"].as_f64();
    let count = now["workers"].as_array().map_or(0, Vec::len);
    let part = |at| {
        let (earlier, later) = (of(before, at)?, of(now, at)?);
        // A process that was started again counts from zero.
        let busy = if later < earlier { later } else { later - earlier };
        Some((busy / seconds).clamp(0.0, 1.0))
    };
    (0..count).map(|at| part(at).unwrap_or_default()).collect()
}
