//! Names with their values: the configuration, the revocation list and the allow-list of bots.

use super::super::view::{self, BotsView, Outcome, Overview, RevocationView};
use super::{Text, duration};

/// A name with its value.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    pub(super) value: Text,
}

impl Fact {
    pub(super) fn of(name: &'static str, value: impl AsRef<str>) -> Self {
        Self { name, class: "", value: Text::of(value) }
    }

    fn bad(name: &'static str, value: impl AsRef<str>) -> Self {
        Self { class: "bad", ..Self::of(name, value) }
    }
}

/// What became of the last reload, after "The configuration is".
pub(super) fn reload(overview: &Overview) -> String {
    match overview.last_reload.as_ref().map(|last| (&last.outcome, view::time(last.at))) {
        None => "the one that was read at the start.".to_owned(),
        Some((Outcome::Applied { .. }, at)) => format!("what was last read, at {at}."),
        Some((Outcome::Refused { .. }, at)) => format!("not what was read at {at}: that was refused."),
    }
}

/// The configuration in force.
pub(super) fn configuration(overview: &Overview) -> Vec<Fact> {
    let config = &overview.config;
    let mut facts = vec![
        Fact::of("file", config.file.as_deref().unwrap_or("none: environment and flags")),
        Fact::of("hash", &config.hash),
        Fact::of("in force since", view::time(config.loaded_at)),
        Fact::of("issuers", config.issuers.join(", ")),
    ];
    for warning in &config.warnings {
        facts.push(Fact { class: "warn", ..Fact::of("warning", warning) });
    }
    let Some(last) = &overview.last_reload else { return facts };
    let when = format!("{} ({})", view::time(last.at), last.trigger);
    match &last.outcome {
        Outcome::Applied { changed, changed_files, needs_restart, .. } => {
            let changed = [changed.as_slice(), changed_files.as_slice()].concat().join(", ");
            let changed = if changed.is_empty() { "nothing".to_owned() } else { changed };
            facts.push(Fact::of("last reload", format!("{when}: applied; changed: {changed}")));
            if !needs_restart.is_empty() {
                facts.push(Fact { class: "warn", ..Fact::of("needs a restart", needs_restart.join(", ")) });
            }
        }
        Outcome::Refused { errors, .. } => {
            facts.push(Fact::bad(
                "last reload",
                format!("{when}: REFUSED, keeping the current configuration"),
            ));
            facts.extend(errors.iter().map(|error| Fact::bad("error", error)));
        }
    }
    facts
}

/// The revocation list of each source.
pub(super) fn revocations(revocations: &[RevocationView]) -> Vec<Fact> {
    if revocations.is_empty() {
        return vec![Fact::of("list", "none: authentication.revocations is not set")];
    }
    revocations.iter().flat_map(revocation_list).collect()
}

fn revocation_list(RevocationView(status, now): &RevocationView) -> Vec<Fact> {
    let kinds = status.entries.iter().filter(|(_, count)| *count > 0);
    let kinds: Vec<_> = kinds.map(|(by, count)| format!("{count} by {}", by.as_str())).collect();
    let kinds = if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
    let ago = |time| format!("{} ago", duration(view::seconds_since(time, *now)));
    let mut facts = vec![
        Fact::of("list", &status.name),
        Fact::of("entries", kinds),
        Fact::of("in force since", status.since.map_or_else(|| "never".to_owned(), ago)),
        Fact::of("confirmed", status.confirmed.map_or_else(|| "never".to_owned(), ago)),
        Fact::of("checked", ago(status.checked)),
    ];
    if status.stale {
        let old = "older than maxStale: tokens that no list revokes are refused";
        facts.push(Fact::bad("too old", old));
    }
    if status.restored {
        let copy = "stored by an earlier run; the source has not confirmed it yet";
        facts.push(Fact { class: "warn", ..Fact::of("copy", copy) });
    }
    if let Some(fault) = &status.failure {
        let now = match status.since {
            Some(_) => "the list in force is an earlier one",
            None => "there is no list, and tokens are refused",
        };
        facts.push(Fact::bad("error", format!("{fault}; {now}")));
    }
    if !status.unknown_issuers.is_empty() {
        let unknown = status.unknown_issuers.join(", ");
        facts.push(Fact::bad("unknown issuers", format!("{unknown}: their entries revoke nothing")));
    }
    facts
}

/// The allow-list of bots.
pub(super) fn bots(BotsView(status, now): &BotsView) -> Vec<Fact> {
    let mut facts = vec![
        Fact::of("allow-list", &status.name),
        Fact::of("bots", format!("{} with {} tokens", status.bots, status.tokens)),
        Fact::of("in force since", format!("{} ago", duration(view::seconds_since(status.since, *now)))),
    ];
    if status.restored {
        let copy = "stored by an earlier run; the store has not confirmed it yet";
        facts.push(Fact { class: "warn", ..Fact::of("copy", copy) });
    }
    if let Some(fault) = &status.failure {
        let kept = if status.is_known { "the list in force is an earlier one" } else { "no bot is accepted" };
        facts.push(Fact::bad("error", format!("{fault}; {kept}")));
    }
    facts
}
