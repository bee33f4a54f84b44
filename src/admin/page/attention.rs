//! What an operator should look at.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::super::view::{self, CertificateView, Outcome, Overview};
use super::{Text, certificates, duration, keys};
use crate::backend::PUBLISHED_KEY_ID;
use crate::numeric_date::NumericDate;
use crate::signals::Signal;

mod process;

/// A token of a program that ends within this time is shown.
const TOKEN: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The most tokens that are named.
const MAX_TOKENS: usize = 5;

/// One thing to look at.
#[derive(Serialize)]
pub(super) struct Item {
    /// `bad`: something does not work. `warn`: it may not for long.
    #[serde(rename = "level")]
    pub(super) class: &'static str,
    pub(super) title: &'static str,
    #[serde(serialize_with = "text")]
    pub(super) text: Text,
}

fn text<S: Serializer>(text: &Text, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text.0)
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
    process::unreachable(overview, &mut items);
    process::faults(overview, &mut items);
    process::limits(overview, &mut items);
    process::refusals(overview, &mut items);
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
    let introspection = overview.introspection.as_ref();
    if let Some(fault) = introspection.and_then(|introspection| introspection.failure.as_ref()) {
        items.push(Item::warn("OpenMetadata does not say whether bots' tokens are current.", fault));
    }
    certificates(overview, &mut items);
    for (entry, kid, count) in keys::left(&overview.sources, &overview.tokens) {
        let [tokens, were, they_are] = words(count);
        let text = format!(
            "{count} {tokens} in use of {entry} {were} signed with {kid}, which has left its key set: {they_are} refused now."
        );
        items.push(Item::warn("A key has left.", text));
    }
    published_keys(overview, &mut items);
    tokens(overview, names, &mut items);
    signals(overview, names, &mut items);
    for warning in &overview.config.warnings {
        items.push(Item::warn("Configuration.", warning));
    }
    items
}

fn certificates(overview: &Overview, items: &mut Vec<Item>) {
    for CertificateView { setting, file, is_authorities, ends_at } in certificates::sorted(overview) {
        let left = view::seconds_since(overview.now, *ends_at);
        let which = if *is_authorities { "the last authority of " } else { "" };
        if left == 0 {
            let text = format!("{which}{setting}, {file}, at {}", view::time(*ends_at));
            items.push(Item::bad("A certificate has ended.", text));
        } else if left < certificates::SOON.as_secs() {
            let text = format!("{which}{setting}, {file}, in {}", duration(left));
            items.push(Item::warn("A certificate ends soon.", text));
        }
    }
}

/// The words about so many tokens.
fn words(count: usize) -> [&'static str; 3] {
    if count == 1 { ["token", "was", "it is"] } else { ["tokens", "were", "they are"] }
}

/// Tokens whose key ID is that of a key pair that OpenMetadata ships.
fn published_keys(overview: &Overview, items: &mut Vec<Item>) {
    let signed =
        overview.tokens.iter().filter(|token| token.kid.as_deref() == Some(PUBLISHED_KEY_ID)).count();
    if signed > 0 {
        let [tokens, were, _] = words(signed);
        let text = format!(
            "{signed} {tokens} in use {were} signed with {PUBLISHED_KEY_ID}, the key that OpenMetadata ships. If its key pair was \
             not replaced, anyone can sign tokens with it."
        );
        items.push(Item::bad("A published key.", text));
    }
}

/// The signals of the last hour: each with its number, and the last one.
fn signals(overview: &Overview, names: bool, items: &mut Vec<Item>) {
    for signal in Signal::ALL {
        let mut events = overview.signals.iter().filter(|event| event.signal == signal);
        let Some(last) = events.next() else { continue };
        let title = match signal {
            Signal::NewNetwork => "A program came from a new network.",
            Signal::NewClient => "A program's token was sent by another client.",
            Signal::TwoNetworks => "A program came from two networks in the same minute.",
            Signal::RefusalBurst => "A network got many refusals.",
        };
        let mut text =
            format!("{} in the last hour, the last at {}", events.count() + 1, view::time(last.time));
        let network = last.network.map(|network| network.to_string());
        let named = [
            (names, "program", last.principal.as_deref()),
            (names, "network", network.as_deref()),
            (names, "client", last.client.as_deref()),
            (true, "fingerprint", last.fingerprint.as_deref()),
        ];
        for (_, name, value) in named.into_iter().filter(|(shown, ..)| *shown) {
            if let Some(value) = value {
                text.push_str(&format!(", {name} {value}"));
            }
        }
        items.push(Item::warn(title, text));
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
