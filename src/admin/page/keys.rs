//! The key sources, and the part of the requests whose tokens each key has signed.

use std::time::SystemTime;

use super::super::view::{self, Overview, SourceView};
use super::{Text, Word, duration};
use crate::jwks::SourceStatus;
use crate::tokens_in_use::UsedToken;

/// A key source.
pub(super) struct SourceRow {
    pub(super) entry: Text,
    pub(super) name: Text,
    pub(super) class: &'static str,
    pub(super) usable: usize,
    /// The ids of its keys, each with its part of the requests of its entry, and how many of the tokens in use it has
    /// signed.
    pub(super) keys: Text,
    /// The keys that are not used, and why.
    pub(super) skipped: Vec<Text>,
    pub(super) age: String,
    pub(super) next: String,
    pub(super) state: Word,
}

impl SourceRow {
    pub(super) fn of(SourceView { status, at }: &SourceView, overview: &Overview) -> Self {
        let usable = status.usable.len();
        let keys: Vec<_> =
            status.usable.iter().map(|key| share(&status.entry, key.kid(), overview)).collect();
        let skipped = status.skipped.iter().map(|skipped| {
            let kid = skipped.kid.as_deref().unwrap_or("without a kid");
            Text::of(format!("{kid}: {}", skipped.fault))
        });
        Self {
            entry: Text::of(&status.entry),
            name: Text::of(&status.name),
            class: if usable == 0 { "bad" } else { "ok" },
            usable,
            keys: Text::of(keys.join(" · ")),
            skipped: skipped.collect(),
            age: status.age_secs(*at).map(duration).unwrap_or_default(),
            next: next(status.next, *at),
            state: state(status),
        }
    }
}

fn next(next: Option<SystemTime>, now: SystemTime) -> String {
    match next.map(|next| view::seconds_since(now, next)) {
        None => String::new(),
        Some(0) => "now".to_owned(),
        Some(seconds) => duration(seconds),
    }
}

fn state(status: &SourceStatus) -> Word {
    match &status.failure {
        Some(failure) => Word { class: "bad", word: Text::of(failure).0 },
        None if status.restored => {
            Word { class: "warn", word: "from the cache directory, not fetched yet".to_owned() }
        }
        None if status.usable.is_empty() => Word { class: "bad", word: "no usable key".to_owned() },
        None => Word { class: "ok", word: "ok".to_owned() },
    }
}

/// A key with its part of the requests of its entry in the last hour, and its tokens in use.
fn share(entry: &str, kid: Option<&str>, overview: &Overview) -> String {
    let of_entry = overview.last_hour.keys.iter().filter(|(key, _)| *key.entry() == *entry);
    let (all, signed) = of_entry.fold((0, 0), |(all, signed), (key, requests)| {
        (all + requests, signed + if key.kid() == kid { *requests } else { 0 })
    });
    let mut text = kid.unwrap_or("without a kid").to_owned();
    match (signed * 100).checked_div(all) {
        Some(0) if signed > 0 => text.push_str(" <1 %"),
        Some(percent) => text.push_str(&format!(" {percent} %")),
        None => {}
    }
    let has_kid = |kid: &str| {
        let mut of_entry = overview.sources.iter().filter(|source| *source.status.entry == *entry);
        of_entry.any(|source| source.status.usable.iter().any(|key| key.kid() == Some(kid)))
    };
    // A token of a key without a kid may have any that no other key has.
    let is_its = |signed: Option<&str>| match kid {
        Some(kid) => signed == Some(kid),
        None => signed.is_none_or(|signed| !has_kid(signed)),
    };
    let tokens = overview.tokens.iter();
    match tokens.filter(|token| *token.entry == *entry && is_its(token.kid.as_deref())).count() {
        0 => {}
        1 => text.push_str(", 1 token"),
        count => text.push_str(&format!(", {count} tokens")),
    }
    text
}

/// The tokens in use that a key has signed which no source of their entry has any more: the name of the entry, the kid,
/// and how many there are.
pub(super) fn left(sources: &[SourceView], tokens: &[UsedToken]) -> Vec<(String, String, usize)> {
    let mut left: Vec<(String, String, usize)> = Vec::new();
    for token in tokens {
        let Some(kid) = token.kid.as_deref() else { continue };
        let mut of_entry = sources.iter().filter(|source| *source.status.entry == *token.entry).peekable();
        // Without sources, as in an entry with a shared secret, or without any key, nothing is known.
        let is_known =
            of_entry.peek().is_some() && of_entry.clone().any(|source| !source.status.usable.is_empty());
        let may_have_signed = |found: Option<&str>| found.is_none_or(|found| found == kid);
        if !is_known
            || of_entry.any(|source| source.status.usable.iter().any(|key| may_have_signed(key.kid())))
        {
            continue;
        }
        match left.iter_mut().find(|(entry, known, _)| **entry == *token.entry && known == kid) {
            Some((_, _, count)) => *count += 1,
            None => left.push((token.entry.to_string(), kid.to_owned(), 1)),
        }
    }
    left
}
