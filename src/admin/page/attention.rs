//! What an operator should look at.

use std::time::Duration;

use super::super::view::{self, Outcome, Overview};
use super::{Text, duration, keys};
use crate::numeric_date::NumericDate;

/// A certificate that ends within this time is shown.
const CERTIFICATE: Duration = Duration::from_secs(30 * 24 * 3_600);
/// A token of a program that ends within this time is shown.
const TOKEN: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The most tokens that are named.
const MAX_TOKENS: usize = 5;

/// One thing to look at.
pub(super) struct Item {
    pub(super) class: &'static str,
    pub(super) title: &'static str,
    pub(super) text: Text,
}

impl Item {
    fn bad(title: &'static str, text: impl AsRef<str>) -> Self {
        Self { class: "bad", title, text: Text::of(text) }
    }

    fn warn(title: &'static str, text: impl AsRef<str>) -> Self {
        Self { class: "warn", title, text: Text::of(text) }
    }
}

/// Everything to look at, the most urgent first. `names` permits names of people.
pub(super) fn items(overview: &Overview, names: bool) -> Vec<Item> {
    let mut items = Vec::new();
    if !overview.upstream_up {
        items.push(Item::bad(
            "The backend is down.",
            format!("No connection to {} can be opened.", overview.config.upstream),
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
    if let Some(Outcome::Refused { errors, .. }) = overview.last_reload.as_ref().map(|last| &last.outcome) {
        items.push(Item::bad(
            "The last configuration was refused.",
            errors.first().map_or("", String::as_str),
        ));
    }
    for list in overview.revocations.iter().map(|list| &list.0) {
        if let Some(fault) = &list.failure {
            items.push(Item::bad(
                "A revocation list is not the current one.",
                format!("{}: {fault}", list.name),
            ));
        }
    }
    if let Some(fault) = overview.bots.as_ref().and_then(|bots| bots.0.failure.as_ref()) {
        items.push(Item::bad("The allow-list of bots is not in force.", fault));
    }
    certificate(overview, &mut items);
    for (entry, kid, count) in keys::left(&overview.sources, &overview.tokens) {
        let text = format!(
            "{count} tokens in use of {entry} were signed with {kid}, which has left its key set: they are refused now."
        );
        items.push(Item::warn("A key has left.", text));
    }
    tokens(overview, names, &mut items);
    for warning in &overview.config.warnings {
        items.push(Item::warn("Configuration.", warning));
    }
    items
}

fn certificate(overview: &Overview, items: &mut Vec<Item>) {
    let Some(ends) = overview.certificate_ends else { return };
    let left = view::seconds_since(overview.now, ends);
    if left == 0 {
        items.push(Item::bad("The certificate has ended.", view::time(ends)));
    } else if left < CERTIFICATE.as_secs() {
        items.push(Item::warn("The certificate ends soon.", format!("In {}.", duration(left))));
    }
}

/// Tokens of programs that end soon. Those of people are renewed all the time.
fn tokens(overview: &Overview, names: bool, items: &mut Vec<Item>) {
    let now = NumericDate::from(overview.now);
    let soon = now.plus(TOKEN.as_secs());
    let mut ending: Vec<_> = overview
        .tokens
        .iter()
        .filter(|token| token.is_of_program && token.is_long_lived())
        .filter_map(|token| Some((token.expires.filter(|end| *end < soon)?, token)))
        .collect();
    ending.sort_by_key(|(end, _)| *end);
    for (end, token) in ending.iter().take(MAX_TOKENS) {
        let who = if names { &*token.principal } else { token.class.as_str() };
        let left = u64::try_from(end.as_secs() - now.as_secs()).unwrap_or_default();
        items.push(Item::warn(
            "A token ends soon.",
            format!("{who} in {} (fingerprint {})", duration(left), token.fingerprint),
        ));
    }
    if let Some(more) = ending.len().checked_sub(MAX_TOKENS).filter(|more| *more > 0) {
        items.push(Item::warn("More tokens end soon:", more.to_string()));
    }
}
