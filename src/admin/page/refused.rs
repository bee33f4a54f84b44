//! The last refusals, each with everything that is known about it.

use super::super::view;
use super::Text;
use super::facts::Fact;
use crate::refusals::Refusal;

/// A refusal.
pub(super) struct RefusalRow {
    pub(super) time: String,
    pub(super) request: Text,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) detail: Text,
    pub(super) facts: Vec<Fact>,
    /// The command that explains it.
    pub(super) command: Text,
    pub(super) who: Text,
    pub(super) from: String,
    /// The ID of the request, in short: the facts have the whole one.
    pub(super) id: Text,
    /// What stays open when the page is refreshed.
    pub(super) key: Text,
}

impl RefusalRow {
    pub(super) fn of(refusal: &Refusal) -> Self {
        let claims = || refusal.claimed_subject.as_deref().map(|claimed| format!("claims {claimed}"));
        let who = refusal.principal.as_deref().map(ToOwned::to_owned).or_else(claims);
        Self {
            time: view::time(refusal.time).get(11..19).unwrap_or_default().to_owned(),
            request: Text::of(format!("{} {}", refusal.method, refusal.path)),
            status: refusal.status.map(|status| status.to_string()).unwrap_or_default(),
            reason: refusal.reason.replace('_', " "),
            detail: Text::of(refusal.detail.as_deref().unwrap_or_default()),
            facts: facts(refusal),
            command: Text::of(format!(
                "metagate explain --method {} --path {} --token-file FILE",
                quoted(&refusal.method),
                quoted(&refusal.path)
            )),
            who: Text::of(who.unwrap_or_default()),
            from: refusal.source_address.map(|address| address.to_string()).unwrap_or_default(),
            id: Text::of(shortened(&refusal.request_id)),
            key: Text::of(&refusal.request_id),
        }
    }
}

/// What is known about it. A value that the token only claims is marked.
fn facts(refusal: &Refusal) -> Vec<Fact> {
    let time = view::time(refusal.time);
    let known = [
        ("time", Some(time.as_str())),
        ("request", Some(&*refusal.request_id)),
        ("decision", Some(refusal.decision)),
        ("reason", Some(refusal.reason)),
        ("rule", refusal.rule.as_deref()),
        ("issuer", refusal.issuer.as_deref()),
        ("kid", refusal.kid.as_deref()),
        ("token class", refusal.token_class),
        ("fingerprint", refusal.token_fingerprint.as_deref()),
        ("principal", refusal.principal.as_deref()),
        ("claimed subject (not verified)", refusal.claimed_subject.as_deref()),
        ("client", refusal.client.as_deref()),
        ("via", refusal.via),
        ("trace", refusal.trace_id.as_deref()),
    ];
    known.into_iter().filter_map(|(name, value)| Some(Fact::of(name, value?))).collect()
}

/// The beginning and the end of a long ID. Those of metagate differ at the end.
fn shortened(id: &str) -> String {
    let chars: Vec<_> = id.chars().collect();
    match (chars.first_chunk::<4>(), chars.last_chunk::<6>()) {
        (Some(first), Some(last)) if chars.len() > 16 => first.iter().chain(&['…']).chain(last).collect(),
        _ => id.to_owned(),
    }
}

/// An argument for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ids_are_shortened_in_the_middle() {
        assert_eq!(shortened("95810cf07a3be2c100000143"), "9581…000143");
        assert_eq!(shortened("0123456789abcdef"), "0123456789abcdef");
        assert_eq!(shortened("ä".repeat(17).as_str()), "ääää…ääääää");
    }

    #[test]
    fn arguments_are_quoted_for_a_shell() {
        assert_eq!(quoted("/api/v1/tables/a%20b"), "/api/v1/tables/a%20b");
        assert_eq!(quoted("/a;rm -rf $HOME"), "'/a;rm -rf $HOME'");
        assert_eq!(quoted("/it's"), r"'/it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
