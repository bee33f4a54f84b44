//! The tokens in use: which end first, and which never end.

use std::time::SystemTime;

use super::{MAX_ROWS, Text, duration};
use crate::claims::TokenClass;
use crate::numeric_date::NumericDate;
use crate::tokens_in_use::UsedToken;

/// The tokens in use.
pub(super) struct TokenTable {
    pub(super) kinds: Vec<Kind>,
    /// Those that never end; none if names are not shown.
    pub(super) endless: Vec<Endless>,
    pub(super) endless_count: usize,
}

/// The tokens of one class.
pub(super) struct Kind {
    pub(super) class: &'static str,
    pub(super) count: usize,
    pub(super) soonest: Text,
}

/// A token that never ends.
pub(super) struct Endless {
    pub(super) principal: Text,
    pub(super) class: &'static str,
    pub(super) fingerprint: Text,
    pub(super) last: String,
}

impl TokenTable {
    /// `names` permits names of people.
    pub(super) fn of(tokens: &[UsedToken], now: SystemTime, names: bool) -> Self {
        let now = NumericDate::from(now);
        let kinds = TokenClass::ALL.iter().filter_map(|class| Kind::of(*class, tokens, now, names));
        let mut endless: Vec<_> = tokens.iter().filter(|token| token.expires.is_none()).collect();
        endless.sort_by_key(|token| std::cmp::Reverse(token.last_verified));
        let rows = endless.iter().take(if names { MAX_ROWS } else { 0 });
        Self {
            kinds: kinds.collect(),
            endless: rows.map(|token| Endless::of(token, now)).collect(),
            endless_count: endless.len(),
        }
    }
}

impl Kind {
    fn of(class: TokenClass, tokens: &[UsedToken], now: NumericDate, names: bool) -> Option<Self> {
        let of_class = || tokens.iter().filter(|token| token.class == class);
        let count = of_class().count();
        let first = of_class().filter_map(|token| Some((token.expires?, token))).min_by_key(|(end, _)| *end);
        let soonest = first.map_or_else(
            || "never".to_owned(),
            |(end, token)| {
                let left = duration(seconds(end, now));
                if names { format!("{left}: {} ({})", token.principal, token.fingerprint) } else { left }
            },
        );
        (count > 0).then(|| Self { class: class.as_str(), count, soonest: Text::of(soonest) })
    }
}

impl Endless {
    fn of(token: &UsedToken, now: NumericDate) -> Self {
        Self {
            principal: Text::of(&token.principal),
            class: token.class.as_str(),
            fingerprint: Text::of(&token.fingerprint),
            last: format!("{} ago", duration(seconds(now, token.last_verified))),
        }
    }
}

/// Seconds from `then` to `time`.
fn seconds(time: NumericDate, then: NumericDate) -> u64 {
    u64::try_from(time.as_secs().saturating_sub(then.as_secs())).unwrap_or_default()
}
