//! What does not work, what was lost, and which part of the process is at its limit.

use std::cmp::Reverse;

use super::super::{duration, seconds};
use super::{Item, Overview};
use crate::admin::{Usage, WorkerView};
use crate::history::Recent;

/// From here on a part counts as at its limit.
const AT_LIMIT: f64 = 0.9;
/// A backend whose median response takes longer than this is what clients wait for, in seconds.
const SLOW_BACKEND: f64 = 1.0;
/// So many requests without any response of the backend are no coincidence.
const UNANSWERED: u64 = 3;
/// So many requests that wait for long, while no other has a response, are no coincidence.
const STALLED: i64 = 3;
/// Our own part at the 99th percentile, in seconds. It is usually far below a millisecond.
const SLOW_OVERHEAD: f64 = 0.01;
/// Of fewer requests, a part says nothing.
const ENOUGH_TO_REFUSE: u64 = 20;
/// Of fewer requests, the 99th percentile is that of one of them.
const ENOUGH: u64 = 200;
/// With fewer hits, verifying tokens takes most of the processor time.
const FEW_HITS: f64 = 0.5;
/// A worker that runs a timer so late is behind, in seconds.
const BEHIND: f64 = 0.2;
/// A worker that is late for so long may not come back, in seconds.
const STUCK: f64 = 5.0;

/// The backend and the key servers.
pub(super) fn unreachable(overview: &Overview, items: &mut Vec<Item>) {
    if !overview.upstream_up {
        let cause = overview.upstream_failure.as_deref().unwrap_or("the cause is in the log");
        items.push(Item::bad(
            "The backend is down.",
            format!("No connection to {} can be opened: {cause}.", overview.config.upstream),
        ));
    }
    for source in overview.sources.iter().map(|source| &source.status) {
        if let Some(failure) = &source.failure {
            items.push(Item::bad(
                "Keys cannot be fetched.",
                format!("{} of {}: {failure}", source.name, source.entry),
            ));
        }
    }
}

/// What went wrong in the process itself in the last hour.
pub(super) fn faults(overview: &Overview, items: &mut Vec<Item>) {
    let faults = &overview.last_hour.faults;
    if let Some(cause) = &overview.audit_failure {
        let lost = faults.audit_dropped;
        items.push(Item::bad(
            "Audit records cannot be written.",
            format!("{cause}; {lost} lost in the last hour"),
        ));
    } else if faults.audit_dropped > 0 {
        let text = format!("{} in the last hour; now they are written", faults.audit_dropped);
        items.push(Item::bad("Audit records were lost.", text));
    }
    let lost = [
        (faults.panics, "A bug ended requests.", "panics in the last hour: see the log"),
        (
            faults.log_dropped,
            "Lines of the log were lost.",
            "in the last hour: standard error did not take them",
        ),
        (faults.spans_lost, "Spans were lost.", "in the last hour: see the log and metagate_spans_total"),
    ];
    for (count, title, text) in lost.into_iter().filter(|(count, ..)| *count > 0) {
        items.push(Item::warn(title, format!("{count} {text}")));
    }
}

/// Whether most requests of the last minutes were refused. Missing and expired tokens do not count: a user interface whose
/// session has ended, and health checks without a token, cause them.
pub(super) fn refusals(overview: &Overview, items: &mut Vec<Item>) {
    let recent = &overview.last_hour.last_minutes;
    let all: u64 = recent.requests.values().sum();
    let is_refusal = |decision, reason| {
        matches!(decision, "deny" | "would_deny") && !matches!(reason, "missing_token" | "expired")
    };
    let mut refused: Vec<_> =
        recent.requests.iter().filter(|((decision, reason), _)| is_refusal(*decision, *reason)).collect();
    let count: u64 = refused.iter().map(|(_, count)| **count).sum();
    if all < ENOUGH_TO_REFUSE || count * 2 < all {
        return;
    }
    refused.sort_by_key(|(_, count)| Reverse(**count));
    let reasons =
        refused.iter().take(3).map(|((_, reason), count)| format!("{count} {}", reason.replace('_', " ")));
    let reasons = reasons.collect::<Vec<_>>().join(", ");
    let text = format!("{} % in the last {:.0} s: {reasons}", count * 100 / all, recent.seconds);
    items.push(Item::warn("Most requests are refused.", text));
}

/// Why the process is slow, or refuses clients.
pub(super) fn limits(overview: &Overview, items: &mut Vec<Item>) {
    workers(overview, items);
    let budgets = &overview.budgets;
    for (usage, title, key) in [
        (budgets.connections, "Connections are at their limit.", "limits.connections"),
        (budgets.requests, "Requests in flight are at their limit.", "limits.requests"),
        (budgets.memory_bytes, "The memory for clients is used up.", "limits.memory"),
    ] {
        if let Some(part) = part(usage).filter(|part| *part >= AT_LIMIT) {
            items.push(Item::bad(title, format!("{:.0} % of {key}", part * 100.0)));
        }
    }
    let recent = &overview.recent;
    let is_full = part(budgets.token_cache_bytes).is_some_and(|part| part >= AT_LIMIT);
    if let Some(hits) = recent.hit_rate.filter(|hits| *hits < FEW_HITS && is_full) {
        let text = format!("only {:.0} % are hits: tokenCache.maxBytes", hits * 100.0);
        items.push(Item::warn("The token cache is full.", text));
    }
    let slow = recent.overhead.quantile(0.99).filter(|p99| *p99 > SLOW_OVERHEAD);
    if let Some(p99) = slow.filter(|_| recent.requests.values().sum::<u64>() >= ENOUGH) {
        let text = format!("{} at the 99th percentile, without the backend", seconds(p99));
        items.push(Item::warn("metagate itself is slow.", text));
    }
    backend(overview, items);
}

/// Whether clients wait for the backend.
fn backend(overview: &Overview, items: &mut Vec<Item>) {
    let recent = &overview.recent;
    if let Some(p50) = recent.upstream.quantile(0.5).filter(|p50| *p50 > SLOW_BACKEND) {
        let text = format!("{} for half of the requests: clients wait for it", seconds(p50));
        items.push(Item::warn("The backend is slow.", text));
    }
    if !overview.upstream_up {
        return;
    }
    let waiting = recent.waiting.min(overview.upstream_waiting);
    if recent.upstream.count() == 0 && waiting >= STALLED {
        let text = format!(
            "{waiting} requests have waited for it for at least {:.0} s, and no other has a response",
            recent.seconds
        );
        items.push(Item::bad("The backend does not answer.", text));
        return;
    }
    // One that answers nothing has no times. With few requests, only the longer time has enough of them.
    for period in [recent, &overview.last_hour.last_minutes] {
        let sent = forwarded(period);
        if period.upstream.count() == 0 && sent >= UNANSWERED {
            let text =
                format!("none of {sent} requests in the last {:.0} s has a response yet", period.seconds);
            items.push(Item::bad("The backend does not answer.", text));
            return;
        }
    }
}

/// How many requests may wait for the backend, or have given up waiting, in a time without any response of it: those that
/// were decided, without those that ended for another reason. One that ended as `allow` needed no backend, as forward-auth
/// does not.
fn forwarded(recent: &Recent) -> u64 {
    let ended = recent.requests.iter().filter(|((decision, reason), _)| {
        *decision != "error" || !reason.is_empty() && !reason.starts_with("upstream_")
    });
    recent.overhead.count().saturating_sub(ended.map(|(_, count)| count).sum())
}

fn workers(overview: &Overview, items: &mut Vec<Item>) {
    let workers = &overview.workers;
    let is_behind = |worker: &WorkerView| worker.longest_delay_seconds >= BEHIND;
    let all_behind = workers.len() > 1 && workers.iter().all(is_behind);
    if all_behind {
        let late = workers.iter().map(|worker| worker.longest_delay_seconds).fold(0.0, f64::max);
        let text = format!(
            "By up to {} in the last minute: the process got no processor time, as with a CPU limit or a machine that is overloaded",
            seconds(late)
        );
        items.push(Item::warn("All workers were behind.", text));
    }
    for (number, worker) in workers.iter().enumerate() {
        if worker.overdue_seconds >= STUCK {
            let late = duration(worker.overdue_seconds as u64);
            let text = format!("worker {number}, for {late}: its {} tasks wait", worker.tasks);
            items.push(Item::bad("A worker does not come back.", text));
        } else if is_behind(worker) && !all_behind {
            let late = seconds(worker.longest_delay_seconds);
            let text = format!(
                "worker {number}, by up to {late} in the last minute: its clients waited for that long"
            );
            items.push(Item::warn("A worker is behind.", text));
        }
    }
    let busy = workers.iter().filter(|worker| worker.busy >= AT_LIMIT).count();
    if busy > 0 && busy == workers.len() {
        items
            .push(Item::warn("All workers are busy.", "Processor time is the limit: add cores or replicas."));
    } else if busy > 0 {
        items.push(Item::warn(
            "Workers are busy.",
            format!("{busy} of {}: a few connections cost much.", workers.len()),
        ));
    }
}

/// What is used of a budget.
fn part(Usage { used, limit }: Usage) -> Option<f64> {
    (limit > 0).then(|| used as f64 / limit as f64)
}
