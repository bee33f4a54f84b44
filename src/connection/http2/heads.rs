//! Heads that were read and checked, kept for the service until h2 opens their streams.
//!
//! h2 gets a placeholder in place of each ([`super::blocks`]). A head is dropped if h2 refuses its stream.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::gateway::UnreadHead;
use crate::message::Head;

/// What the strict reader made of a head.
#[derive(Debug)]
pub(super) enum ReadHead {
    Accepted(Box<Head>),
    Refused(Box<UnreadHead>),
}

/// The heads of one connection, by their streams.
#[derive(Debug, Default)]
pub(super) struct Heads(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// In ascending order of their streams.
    heads: VecDeque<Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    stream: u32,
    head: ReadHead,
    bytes: usize,
}

impl Heads {
    /// Keeps a head that takes so many bytes. Stream numbers increase.
    pub(super) fn put(&self, stream: u32, head: ReadHead, bytes: usize) {
        let mut waiting = self.waiting();
        waiting.bytes = waiting.bytes.saturating_add(bytes);
        waiting.heads.push_back(Entry { stream, head, bytes });
    }

    /// The head of a stream that was opened.
    pub(super) fn take(&self, stream: u32) -> Option<ReadHead> {
        let mut waiting = self.waiting();
        let at = waiting.heads.binary_search_by_key(&stream, |entry| entry.stream).ok()?;
        let entry = waiting.heads.remove(at)?;
        waiting.bytes = waiting.bytes.saturating_sub(entry.bytes);
        if waiting.heads.is_empty() {
            // An idle connection keeps no large buffer.
            waiting.heads.shrink_to(USUAL_STREAMS);
        }
        Some(entry.head)
    }

    /// Drops the heads of streams after this one, which are not opened any more (RFC 9113 section 6.8).
    pub(super) fn drop_after(&self, last_stream: u32) {
        let mut waiting = self.waiting();
        while waiting.heads.back().is_some_and(|entry| entry.stream > last_stream) {
            if let Some(entry) = waiting.heads.pop_back() {
                waiting.bytes = waiting.bytes.saturating_sub(entry.bytes);
            }
        }
    }

    /// How many bytes the waiting heads take.
    pub(super) fn bytes(&self) -> usize {
        self.waiting().bytes
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many heads usually wait at most.
const USUAL_STREAMS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::RequestFault;

    fn head(why: &'static str) -> ReadHead {
        ReadHead::Refused(Box::new(UnreadHead::new(RequestFault::BadTarget(why).into(), b"GET", b"/")))
    }

    #[test]
    fn each_stream_gets_its_head_once() {
        let heads = Heads::default();
        let why = |stream| match heads.take(stream) {
            Some(ReadHead::Refused(head)) => Some(format!("{:?}", head.denial())),
            Some(ReadHead::Accepted(_)) | None => None,
        };
        heads.put(1, head("one"), 10);
        heads.put(7, head("seven"), 20);
        heads.put(9, head("nine"), 40);
        assert_eq!((heads.bytes(), why(3)), (70, None), "another stream");
        assert!(why(7).is_some_and(|text| text.contains("seven")));
        assert_eq!(heads.bytes(), 50);
        assert!(why(1).is_some_and(|text| text.contains("one")));
        assert_eq!(why(1), None);
        assert!(why(9).is_some_and(|text| text.contains("nine")));
        assert_eq!(heads.bytes(), 0);
    }

    #[test]
    fn heads_after_the_last_stream_of_goaway_are_dropped() {
        let heads = Heads::default();
        (1..100).step_by(2).for_each(|stream| heads.put(stream, head("x"), 1));
        heads.drop_after(u32::MAX >> 1);
        assert_eq!(heads.bytes(), 50);
        heads.drop_after(5);
        assert_eq!((heads.bytes(), heads.waiting().heads.len()), (3, 3));
        assert!(heads.take(5).is_some() && heads.take(7).is_none());
    }
}
