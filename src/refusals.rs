//! The most recent refusals, to find out why a request was just refused.
//!
//! A fixed number is kept, only in memory. They never contain a token.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// How many refusals are kept.
const MAX_REFUSALS: usize = 100;
/// The longest text from a client, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// One request that was refused, or would have been in enforce mode.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub time: SystemTime,
    pub request_id: Box<str>,
    pub trace_id: Option<Box<str>>,
    pub via: Option<&'static str>,
    pub method: Box<str>,
    pub path: Box<str>,
    pub status: Option<u16>,
    pub decision: &'static str,
    pub reason: &'static str,
    pub detail: Option<Cow<'static, str>>,
    pub rule: Option<Box<str>>,
    pub principal: Option<Box<str>>,
    pub claimed_subject: Option<Box<str>>,
    pub token_class: Option<&'static str>,
    pub issuer: Option<Box<str>>,
    pub kid: Option<Box<str>>,
    pub token_fingerprint: Option<Box<str>>,
    pub client: Option<Box<str>>,
    pub source_address: Option<IpAddr>,
}

/// The most recent refusals, the oldest first.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<VecDeque<Refusal>>);

impl Refusals {
    /// Adds a refusal, and drops the oldest if there are too many.
    pub fn add(&self, refusal: Refusal) {
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Dropped after the lock is released.
        let _oldest = if refusals.len() >= MAX_REFUSALS { refusals.pop_front() } else { None };
        refusals.push_back(refusal);
    }

    /// All refusals, the newest first.
    pub fn newest_first(&self) -> Vec<Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

/// The beginning of a text from a client.
pub fn shortened(text: &str) -> Box<str> {
    match text.char_indices().find(|(at, character)| at + character.len_utf8() > MAX_TEXT_BYTES) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::net::Ipv4Addr;

    use super::*;

    fn refusal(path: &str) -> Refusal {
        Refusal {
            time: SystemTime::UNIX_EPOCH,
            request_id: "r".into(),
            trace_id: None,
            via: None,
            method: "GET".into(),
            path: shortened(path),
            status: Some(401),
            decision: "deny",
            reason: "expired",
            detail: None,
            rule: None,
            principal: None,
            claimed_subject: None,
            token_class: None,
            issuer: None,
            kid: None,
            token_fingerprint: None,
            client: None,
            source_address: Some(Ipv4Addr::LOCALHOST.into()),
        }
    }

    #[test]
    fn the_most_recent_refusals_are_returned_newest_first() {
        let refusals = Refusals::default();
        for number in 0..MAX_REFUSALS + 7 {
            refusals.add(refusal(&format!("/{number}")));
        }
        let recent = refusals.newest_first();
        assert_eq!(recent.len(), MAX_REFUSALS);
        assert_eq!((&*recent.first().unwrap().path, &*recent.last().unwrap().path), ("/106", "/7"));
    }

    #[test]
    fn texts_from_clients_are_shortened() {
        let long = "ä".repeat(MAX_TEXT_BYTES);
        assert_eq!(*shortened(&long), format!("{}...", "ä".repeat(MAX_TEXT_BYTES / 2)));
        assert_eq!(&*shortened("/short"), "/short");
    }
}
