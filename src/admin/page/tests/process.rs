//! What does not work, what was lost, and what is at its limit.

use super::super::attention::items;
use super::*;
use crate::history::Recent;
use crate::metrics::{Metrics, RequestLabels};

/// Title and text of each item about a process that is changed like this, without those that [`overview`] has anyway.
fn found(change: impl FnOnce(&mut Overview)) -> Vec<String> {
    let shown = |overview: &Overview| {
        let items = items(overview, false);
        items.iter().map(|item| format!("{} {} {}", item.class, item.title, item.text)).collect::<Vec<_>>()
    };
    let mut changed = overview();
    change(&mut changed);
    let usual = shown(&overview());
    shown(&changed).into_iter().filter(|item| !usual.contains(item)).collect()
}

/// The last eight seconds of a process, after these events.
fn recent(events: impl FnOnce(&Metrics)) -> Recent {
    let metrics = Metrics::new();
    events(&metrics);
    let sample = metrics.sample();
    Recent {
        seconds: 8.0,
        requests: sample.requests,
        overhead: sample.overhead,
        upstream: sample.upstream,
        hit_rate: None,
        waiting: 0,
    }
}

fn ended(metrics: &Metrics, count: usize, decision: &'static str, reason: &'static str) {
    for _ in 0..count {
        metrics.overhead(Duration::from_micros(20));
        metrics.request(&RequestLabels { decision, reason, issuer: "", rule: "" }, Duration::from_millis(1));
    }
}

#[test]
fn nothing_is_listed_of_a_process_that_is_well() {
    assert_eq!(found(|_| {}), [] as [&str; 0]);
    let busy = found(|overview| {
        overview.workers[0].busy = 0.89;
        overview.workers[0].longest_delay_seconds = 0.19;
        overview.budgets.memory_bytes = Usage { used: 89, limit: 100 };
        overview.recent = recent(|metrics| {
            ended(metrics, 1_000, "allow", "");
            metrics.upstream(Duration::from_millis(900));
        });
    });
    assert_eq!(busy, [] as [&str; 0]);
}

#[test]
fn a_backend_that_is_down_is_first_and_says_why() {
    let down = |overview: &mut Overview| {
        overview.config.upstream = "http://backend:8585".to_owned();
        overview.upstream_up = false;
        overview.upstream_failure = Some("Connection refused (os error 111)".to_owned());
    };
    let mut changed = overview();
    down(&mut changed);
    let first = &items(&changed, false)[0];
    assert_eq!(
        format!("{} {}", first.title, first.text),
        "The backend is down. No connection to http://backend:8585 can be opened: Connection refused (os error 111)."
    );
    let status = serde_json::to_value(Status::of(changed)).unwrap();
    assert_eq!(status["needs_a_look"][0]["title"], "The backend is down.");
    assert_eq!(status["needs_a_look"][0]["level"], "bad");
    assert_eq!(status["upstream_failure"], "Connection refused (os error 111)");
    assert_eq!(status["version"], "0", "the rest of the status is there");
}

#[test]
fn records_that_are_lost_are_listed_with_the_cause() {
    let full = "No space left on device (os error 28)";
    let lost = |count| move |overview: &mut Overview| overview.last_hour.faults.audit_dropped = count;
    assert_eq!(
        found(|overview| {
            lost(7)(overview);
            overview.audit_failure = Some(full.to_owned());
        }),
        [format!("bad Audit records cannot be written. {full}; 7 lost in the last hour")]
    );
    assert_eq!(found(lost(7)), ["bad Audit records were lost. 7 in the last hour; now they are written"]);
    let all = found(|overview| {
        overview.last_hour.faults = Faults { panics: 1, audit_dropped: 0, log_dropped: 2, spans_lost: 3 };
    });
    assert_eq!(
        all,
        [
            "warn A bug ended requests. 1 panics in the last hour: see the log",
            "warn Lines of the log were lost. 2 in the last hour: standard error did not take them",
            "warn Spans were lost. 3 in the last hour: see the log and metagate_spans_total",
        ]
    );
}

#[test]
fn workers_that_are_late_or_busy_are_listed() {
    let late = |overdue_seconds, longest_delay_seconds, busy| {
        found(|overview| {
            let worker = WorkerView { busy, overdue_seconds, longest_delay_seconds, ..overview.workers[0] };
            overview.workers.push(worker);
        })
    };
    assert_eq!(
        late(0.002, 0.35, 0.0),
        [
            "warn A worker is behind. worker 1, by up to 350 ms in the last minute: its clients waited for that long"
        ]
    );
    assert_eq!(
        late(12.0, 12.0, 1.0),
        [
            "bad A worker does not come back. worker 1, for 12 s: its 12 tasks wait",
            "warn Workers are busy. 1 of 2: a few connections cost much.",
        ]
    );
    assert_eq!(
        found(|overview| overview.workers[0].busy = 0.95),
        ["warn All workers are busy. Processor time is the limit: add cores or replicas."]
    );
}

#[test]
fn workers_that_are_late_together_are_one_item() {
    let both = found(|overview| {
        let worker = WorkerView { longest_delay_seconds: 8.8, ..overview.workers[0] };
        overview.workers = vec![worker, WorkerView { longest_delay_seconds: 3.0, ..worker }];
    });
    assert_eq!(
        both,
        [
            "warn All workers were behind. By up to 8.8 s in the last minute: the process got no processor time, as with a CPU limit or a machine that is overloaded"
        ]
    );
}

#[test]
fn refusals_of_most_requests_are_listed_unless_a_user_interface_causes_them() {
    let refused = |count, reason| {
        found(|overview| {
            overview.last_hour.last_minutes = recent(|metrics| {
                ended(metrics, 30, "allow", "");
                ended(metrics, count, "deny", reason);
                ended(metrics, 2, "deny", "revoked");
                metrics.upstream(Duration::from_millis(1));
            });
        })
    };
    assert_eq!(
        refused(40, "unknown_key"),
        ["warn Most requests are refused. 58 % in the last 8 s: 40 unknown key, 2 revoked"]
    );
    for (count, reason) in [(20, "unknown_key"), (400, "expired"), (400, "missing_token")] {
        assert_eq!(refused(count, reason), [] as [&str; 0], "{count} {reason}");
    }
}

#[test]
fn limits_that_are_nearly_reached_are_listed() {
    let nearly = Usage { used: 95, limit: 100 };
    let found = found(|overview| {
        overview.budgets = Budgets {
            connections: nearly,
            requests: nearly,
            memory_bytes: nearly,
            token_cache_bytes: nearly,
        };
        overview.recent.hit_rate = Some(0.2);
    });
    assert_eq!(
        found,
        [
            "bad Connections are at their limit. 95 % of limits.connections",
            "bad Requests in flight are at their limit. 95 % of limits.requests",
            "bad The memory for clients is used up. 95 % of limits.memory",
            "warn The token cache is full. only 20 % are hits: tokenCache.maxBytes",
        ]
    );
}

#[test]
fn our_own_part_is_judged_by_enough_requests() {
    let slow = |count| {
        found(|overview| {
            overview.recent = recent(|metrics| {
                ended(metrics, count, "deny", "expired");
                (0..count).for_each(|_| metrics.overhead(Duration::from_millis(50)));
                metrics.upstream(Duration::from_millis(1));
            });
        })
    };
    assert_eq!(slow(199), [] as [&str; 0]);
    let [item] = &slow(200)[..] else { panic!("one item") };
    assert!(item.starts_with("warn metagate itself is slow. 98 ms at the 99th percentile"), "{item}");
}

#[test]
fn a_backend_that_is_slow_or_does_not_answer_is_listed() {
    let after = |events: fn(&Metrics)| found(|overview| overview.recent = recent(events));
    let slow = after(|metrics| metrics.upstream(Duration::from_secs(2)));
    assert_eq!(slow, ["warn The backend is slow. 1.8 s for half of the requests: clients wait for it"]);

    let decided = |metrics: &Metrics| (0..5).for_each(|_| metrics.overhead(Duration::from_micros(20)));
    assert_eq!(
        after(decided),
        ["bad The backend does not answer. none of 5 requests in the last 8 s has a response yet"]
    );
    // Some clients have given up, and some requests were not for the backend.
    let given_up = after(|metrics| {
        ended(metrics, 3, "error", "");
        ended(metrics, 1, "error", "upstream_timeout");
        ended(metrics, 50, "deny", "missing_token");
        ended(metrics, 20, "error", "keys_unavailable");
    });
    assert_eq!(
        given_up,
        ["bad The backend does not answer. none of 4 requests in the last 8 s has a response yet"]
    );
    for (decision, reason) in [("deny", "expired"), ("allow", ""), ("public", ""), ("would_deny", "expired")]
    {
        let without_backend = found(|overview| {
            overview.recent = recent(|metrics| ended(metrics, 500, decision, reason));
        });
        assert_eq!(without_backend, [] as [&str; 0], "{decision}, as of forward-auth");
    }
    let answered = after(|metrics| {
        (0..5).for_each(|_| metrics.overhead(Duration::from_micros(20)));
        metrics.upstream(Duration::from_millis(1));
    });
    assert_eq!(answered, [] as [&str; 0], "one has a response");
    // All clients wait, so none sends anything more.
    let waiting = |then, now| {
        found(|overview| {
            overview.upstream_waiting = now;
            overview.recent = Recent { waiting: then, ..recent(|_| {}) };
        })
    };
    assert_eq!(
        waiting(7, 5),
        [
            "bad The backend does not answer. 5 requests have waited for it for at least 8 s, and no other has a response"
        ]
    );
    assert_eq!(waiting(2, 9), [] as [&str; 0], "most of them have just begun");
    // Three requests a minute.
    let seldom = found(|overview| {
        let events = |metrics: &Metrics| (0..3).for_each(|_| metrics.overhead(Duration::from_micros(20)));
        overview.last_hour.last_minutes = Recent { seconds: 80.0, ..recent(events) };
    });
    assert_eq!(
        seldom,
        ["bad The backend does not answer. none of 3 requests in the last 80 s has a response yet"]
    );
}
