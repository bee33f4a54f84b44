//! The status page: one document that works without scripts, and a script that keeps it current.
//!
//! The template `page.html` escapes every value. Text from others is a [`Text`], in which what cannot be printed is
//! replaced, too.

use std::fmt;
use std::time::SystemTime;

use askama::Template;
use serde::Serialize;

use super::duration;
use super::view::{self, Overview, WorkerView};
use crate::history::LastHour;
use crate::metrics::Buckets;
use crate::printable;
use crate::refusals::Refusal;

mod attention;
mod certificates;
mod chart;
mod facts;
mod keys;
mod refused;
mod tokens;

use attention::Item;
use certificates::CertificateRow;
use chart::Chart;
use facts::Fact;
use keys::SourceRow;
use refused::RefusalRow;
use tokens::TokenTable;

/// Nothing is loaded from elsewhere, and nothing may frame the page. The style sheet is permitted by its hash.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'sha256-uFpFxfYgbbjF1EkRKe/4Kui5KIJO4LjyNWOA0k661Bc='; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Keeps the page current, at `/page.js`.
pub(super) const SCRIPT: &str = include_str!("page.js");

const STYLE: &str = include_str!("page.css");

/// The longest list of rules, and of tokens.
const MAX_ROWS: usize = 50;
/// How many refusals are shown. `GET /refusals` has more.
const MAX_REFUSALS: usize = 15;

/// Renders the page. Refusals and tokens contain names of people, so they are optional.
pub(super) fn render(overview: &Overview, refusals: Option<&[Refusal]>) -> String {
    // Writing to a string does not fail.
    Page::of(overview, refusals).render().unwrap_or_default()
}

/// What `GET /status` returns.
#[derive(Serialize)]
pub(super) struct Status {
    /// What an operator should look at, the most urgent first.
    needs_a_look: Vec<Item>,
    #[serde(flatten)]
    overview: Overview,
}

impl Status {
    /// Without names of people.
    pub(super) fn of(overview: Overview) -> Self {
        Self { needs_a_look: attention::items(&overview, false), overview }
    }
}

/// A text from others, for the page: what cannot be printed is replaced. The template escapes it.
struct Text(String);

impl Text {
    fn of(text: impl AsRef<str>) -> Self {
        Self(printable::line(text.as_ref()).into_owned())
    }

    /// A text of several lines.
    fn of_lines(text: &str) -> Self {
        Self(printable::lines(text).into_owned())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Template)]
#[template(path = "page.html", config = "src/admin/askama.toml")]
struct Page {
    style: &'static str,
    state: Word,
    attention: Vec<Item>,
    version: &'static str,
    uptime: String,
    backend: &'static str,
    upstream: Text,
    upstream_up: bool,
    /// `last hour`, or how long the process has run.
    period: String,
    rate: String,
    in_flight: usize,
    /// Of these, those that wait for the backend.
    waiting: i64,
    refused_part: String,
    most_refused: String,
    overhead: Quantiles,
    upstream_time: Quantiles,
    /// Those of the last few seconds.
    recent_overhead: Quantiles,
    recent_upstream: Quantiles,
    hit_rate: String,
    cache: Budget,
    connections: Budget,
    requests: Budget,
    memory: Budget,
    workers: Vec<WorkerRow>,
    chart: Chart,
    counts: Vec<Count>,
    certificates: Vec<CertificateRow>,
    reload: String,
    sources: Vec<SourceRow>,
    refusals: Option<Vec<RefusalRow>>,
    tokens: TokenTable,
    rules: Vec<RuleRow>,
    more_rules: usize,
    revocations: Vec<Fact>,
    /// None without an allow-list.
    bots: Option<Vec<Fact>>,
    configuration: Vec<Fact>,
    /// What is set, and where.
    settings: Option<Text>,
}

/// A word and how it is shown.
struct Word {
    class: &'static str,
    word: String,
}

/// The median and the 99th percentile of a duration.
struct Quantiles {
    median: String,
    p99: String,
}

/// A number and its limit.
struct Budget {
    used: String,
    text: String,
    /// From 0 to 1.
    part: String,
}

/// A worker.
struct WorkerRow {
    number: usize,
    busy: Budget,
    tasks: usize,
    /// Its longest delay in the last minute.
    late: String,
}

/// Requests that ended alike.
struct Count {
    decision: &'static str,
    reason: &'static str,
    recent: u64,
    total: u64,
}

/// A rule, and what it decided.
struct RuleRow {
    class: &'static str,
    name: Text,
    decided: u64,
    refused: String,
}

impl Page {
    fn of(overview: &Overview, refusals: Option<&[Refusal]>) -> Self {
        let (hour, now) = (&overview.last_hour, overview.now);
        let (rules, more_rules) = rules(overview);
        let names = refusals.is_some();
        Self {
            style: STYLE,
            state: state(overview),
            attention: attention::items(overview, names),
            version: overview.version,
            uptime: duration(overview.uptime_seconds),
            backend: overview.config.backend,
            upstream: Text::of(&overview.config.upstream),
            upstream_up: overview.upstream_up,
            period: period(hour, now),
            rate: number(hour.rate),
            in_flight: overview.budgets.requests.used,
            waiting: overview.upstream_waiting,
            refused_part: percent(refused_part(hour)),
            most_refused: most_refused(hour),
            overhead: Quantiles::of(&hour.overhead),
            upstream_time: Quantiles::of(&hour.upstream),
            recent_overhead: Quantiles::of(&overview.recent.overhead),
            recent_upstream: Quantiles::of(&overview.recent.upstream),
            hit_rate: percent(hour.hit_rate),
            cache: Budget::of_bytes(overview.budgets.token_cache_bytes),
            connections: Budget::of(overview.budgets.connections),
            requests: Budget::of(overview.budgets.requests),
            memory: Budget::of_bytes(overview.budgets.memory_bytes),
            workers: overview.workers.iter().enumerate().map(WorkerRow::of).collect(),
            chart: Chart::of(&hour.minutes),
            counts: counts(overview),
            certificates: certificates::rows(overview),
            reload: facts::reload(overview),
            sources: overview.sources.iter().map(|source| SourceRow::of(source, overview)).collect(),
            refusals: refusals
                .map(|refusals| refusals.iter().take(MAX_REFUSALS).map(RefusalRow::of).collect()),
            tokens: TokenTable::of(&overview.tokens, now, names),
            rules,
            more_rules,
            revocations: facts::revocations(&overview.revocations),
            bots: overview.bots.as_ref().map(facts::bots),
            configuration: facts::configuration(overview),
            settings: names.then(|| Text::of_lines(&overview.config.settings)),
        }
    }
}

impl Quantiles {
    fn of(buckets: &Buckets) -> Self {
        let quantile = |part| buckets.quantile(part).map_or_else(|| "–".to_owned(), seconds);
        Self { median: quantile(0.5), p99: quantile(0.99) }
    }
}

impl Budget {
    fn of(usage: view::Usage) -> Self {
        Self::with(usage, |count| count.to_string())
    }

    fn of_bytes(usage: view::Usage) -> Self {
        Self::with(usage, |bytes| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)))
    }

    fn with(view::Usage { used, limit }: view::Usage, shown: impl Fn(usize) -> String) -> Self {
        let part = if limit == 0 { 0.0 } else { used as f64 / limit as f64 };
        Self {
            used: shown(used),
            text: format!("{} of {}", shown(used), shown(limit)),
            part: format!("{part:.3}"),
        }
    }
}

impl WorkerRow {
    fn of((number, worker): (usize, &WorkerView)) -> Self {
        let busy = Budget {
            used: percent(Some(worker.busy)),
            text: format!("{:.0} %", worker.busy * 100.0),
            part: format!("{:.3}", worker.busy),
        };
        Self { number, busy, tasks: worker.tasks, late: seconds(worker.longest_delay_seconds) }
    }
}

fn state(overview: &Overview) -> Word {
    let (class, word) = match (overview.ready, overview.draining) {
        (true, _) => ("ok", "ready"),
        (false, true) => ("bad", "draining"),
        (false, false) => ("bad", "waiting for keys"),
    };
    Word { class, word: word.to_owned() }
}

/// How long the shown counts were counted.
fn period(hour: &LastHour, now: SystemTime) -> String {
    let seconds = hour.since.map_or(0, |since| view::seconds_since(since, now));
    match seconds / 60 {
        59.. => "last hour".to_owned(),
        0 => "last minute".to_owned(),
        minutes => format!("last {minutes} min"),
    }
}

fn refused_part(hour: &LastHour) -> Option<f64> {
    let all: u64 = hour.requests.values().sum();
    let refused: u64 = refusals_of(hour).map(|(_, count)| count).sum();
    (all > 0).then(|| refused as f64 / all as f64)
}

fn refusals_of(hour: &LastHour) -> impl Iterator<Item = (&'static str, u64)> {
    let is_refusal = |decision: &str| matches!(decision, "deny" | "would_deny");
    hour.requests
        .iter()
        .filter(move |((decision, _), _)| is_refusal(decision))
        .map(|((_, reason), count)| (*reason, *count))
}

/// The two most frequent reasons.
fn most_refused(hour: &LastHour) -> String {
    let mut reasons: Vec<_> = refusals_of(hour).collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words = reasons.iter().take(2).map(|(reason, count)| format!("{count} {}", reason.replace('_', " ")));
    let words: Vec<_> = words.collect();
    if words.is_empty() { "none".to_owned() } else { words.join(" · ") }
}

fn counts(overview: &Overview) -> Vec<Count> {
    let recent = |how: &(_, _)| overview.last_hour.requests.get(how).copied().unwrap_or_default();
    let count = |(how, total): (&(&'static str, &'static str), &u64)| Count {
        decision: how.0,
        reason: how.1,
        recent: recent(how),
        total: *total,
    };
    let mut counts: Vec<_> = overview.totals.iter().map(count).collect();
    counts.sort_by_key(|count| std::cmp::Reverse((count.recent, count.total)));
    counts
}

/// The rules that decided lately, those with the most refusals first; then some of the others, and how many more there are.
fn rules(overview: &Overview) -> (Vec<RuleRow>, usize) {
    let counts = |name: &str| overview.last_hour.rules.get(name).copied().unwrap_or_default();
    let mut rules: Vec<_> = overview.config.rules.iter().map(|name| (name, counts(name))).collect();
    rules
        .sort_by_key(|(_, counts)| std::cmp::Reverse((counts.refused + counts.would_refuse, counts.decided)));
    let more = rules.len().saturating_sub(MAX_ROWS);
    let row = |(name, counts): &(&String, crate::metrics::RuleCounts)| RuleRow {
        class: if counts.decided == 0 { "soft" } else { "" },
        name: Text::of(name),
        decided: counts.decided,
        refused: match (counts.decided, counts.would_refuse) {
            (0, _) => "never met".to_owned(),
            (_, 0) => counts.refused.to_string(),
            (_, would) if counts.refused == 0 => format!("{would} would be"),
            (_, would) => format!("{} and {would} would be", counts.refused),
        },
    };
    (rules.iter().take(MAX_ROWS).map(row).collect(), more)
}

/// A short time for people.
fn seconds(seconds: f64) -> String {
    match seconds {
        below if below < 0.001 => format!("{:.0} µs", below * 1e6),
        below if below < 1.0 => format!("{:.0} ms", below * 1e3),
        long => format!("{long:.1} s"),
    }
}

fn number(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| "–".to_owned(), |part| format!("{:.1}", part * 100.0))
}

#[cfg(test)]
mod tests;
