//! Counts similar requests in groups. Memory is bounded for any input.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::line::Record;
use super::path_pattern;

/// The maximum number of groups.
pub(super) const MAX_GROUPS: usize = 10_000;
/// The maximum number of additional groups for requests that do not fit into these.
const MAX_FOLDED_GROUPS: usize = 1_000;
/// The maximum length of a text in a group, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// What requests of one group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) decision: Box<str>,
    /// Whether this group collects requests that exceed the maximum number of groups.
    pub(super) others: bool,
    pub(super) principal: Box<str>,
    /// Whether the token that names the principal was verified.
    pub(super) verified: bool,
    pub(super) class: Box<str>,
    pub(super) issuer: Box<str>,
    pub(super) client: Box<str>,
    pub(super) method: Box<str>,
    pub(super) path: Box<str>,
    pub(super) reason: Box<str>,
    pub(super) rule: Box<str>,
}

/// One group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) key: Key,
    pub(super) count: u64,
    pub(super) first: Box<str>,
    pub(super) last: Box<str>,
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: HashMap<Key, (u64, Box<str>, Box<str>)>,
    folded: u64,
}

impl Groups {
    /// Counts one request.
    pub(super) fn add(&mut self, record: &Record<'_>) {
        let time = record.time.as_deref().unwrap_or_default();
        let Some(key) = self.count(key(record), time, MAX_GROUPS) else { return };
        self.folded += 1;
        // Keeps the fields with few different values, like the reason and the rule.
        let others = Key {
            others: true,
            principal: "".into(),
            verified: false,
            class: "".into(),
            client: "".into(),
            path: "/**".into(),
            ..key
        };
        self.count(others, time, MAX_GROUPS + MAX_FOLDED_GROUPS);
    }

    /// Counts a request in its group. Returns the key if that would exceed the maximum number of groups.
    fn count(&mut self, key: Key, time: &str, most: usize) -> Option<Key> {
        let full = self.groups.len() >= most;
        match self.groups.entry(key) {
            Entry::Occupied(mut entry) => {
                let (count, first, last) = entry.get_mut();
                *count += 1;
                // All times are RFC 3339 in UTC with the same number of digits, so text order is time order.
                if time < &**first {
                    *first = cut(time);
                }
                if time > &**last {
                    *last = cut(time);
                }
            }
            Entry::Vacant(entry) if full => return Some(entry.into_key()),
            Entry::Vacant(entry) => drop(entry.insert((1, cut(time), cut(time)))),
        }
        None
    }

    /// The number of requests that were folded into groups of others.
    pub(super) fn folded(&self) -> u64 {
        self.folded
    }

    /// The groups, the largest first.
    pub(super) fn sorted(self) -> Vec<Group> {
        let groups = self.groups.into_iter();
        let mut groups: Vec<_> =
            groups.map(|(key, (count, first, last))| Group { key, count, first, last }).collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.key.cmp(&b.key)));
        groups
    }
}

fn key(record: &Record<'_>) -> Key {
    let text = |text: &Option<std::borrow::Cow<'_, str>>| cut(text.as_deref().unwrap_or_default());
    let verified = record.principal.is_some();
    Key {
        decision: cut(&record.decision),
        others: false,
        principal: if verified { text(&record.principal) } else { text(&record.claimed_subject) },
        verified,
        class: text(&record.token_class),
        issuer: text(&record.issuer),
        client: text(&record.client),
        method: text(&record.method),
        path: cut(&path_pattern::of(record.path.as_deref().unwrap_or_default())),
        reason: text(&record.reason),
        rule: text(&record.rule),
    }
}

fn cut(text: &str) -> Box<str> {
    match text.char_indices().find(|(at, c)| at + c.len_utf8() > MAX_TEXT_BYTES) {
        Some((at, _)) => text[..at].into(),
        None => text.into(),
    }
}
