//! Refused heads, kept for the service that responds to their placeholders.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::connection::placeholder::PLACEHOLDER;
use crate::gateway::UnreadHead;
use crate::request::RequestFault;

/// hyper takes requests as fast as it reads them. More than this are kept only for streams that never reach the
/// service, because they exceed the limit on concurrent streams.
const MAX_HEADS: usize = 256;

/// The refused heads of one connection, by their streams.
#[derive(Debug, Default)]
pub(super) struct RefusedHeads(Mutex<VecDeque<(u32, UnreadHead)>>);

impl RefusedHeads {
    /// Keeps a head for the service, and drops the oldest if there are too many.
    pub(super) fn put(&self, stream: u32, head: UnreadHead) {
        let mut heads = self.heads();
        if heads.len() >= MAX_HEADS {
            heads.pop_front();
        }
        heads.push_back((stream, head));
    }

    /// The head that the client sent, if the request with this path is a placeholder.
    pub(super) fn take(&self, path: &str) -> Option<UnreadHead> {
        let stream = path.strip_prefix(PLACEHOLDER)?;
        let unknown = || UnreadHead::new(RequestFault::BadTarget("head was refused").into(), b"", b"");
        let mut heads = self.heads();
        let at =
            stream.parse().ok().and_then(|stream: u32| heads.iter().position(|(other, _)| *other == stream));
        let found = at.and_then(|at| heads.remove(at));
        if heads.is_empty() {
            // An idle connection keeps no buffer.
            heads.shrink_to_fit();
        }
        Some(found.map_or_else(unknown, |(_, head)| head))
    }

    fn heads(&self) -> MutexGuard<'_, VecDeque<(u32, UnreadHead)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path of the placeholder for this stream.
pub(super) fn placeholder(stream: u32) -> String {
    format!("{PLACEHOLDER}{stream}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Denial;

    fn head(why: &'static str) -> UnreadHead {
        UnreadHead::new(RequestFault::BadTarget(why).into(), b"GET", b"/")
    }

    #[test]
    fn each_placeholder_gets_the_head_of_its_stream() {
        let heads = RefusedHeads::default();
        heads.put(1, head("one"));
        heads.put(7, head("seven"));
        let why = |path: &str| heads.take(path).map(|head| head.denial());
        let denial = |why| Some(Denial::from(RequestFault::BadTarget(why)));
        assert_eq!(why("/x"), None, "another request");
        assert_eq!(why(&placeholder(7)), denial("seven"));
        assert_eq!(why(&placeholder(1)), denial("one"));
        for gone in ["/\\1", "/\\", "/\\x", "/\\-1", "/\\99999999999"] {
            assert_eq!(why(gone), denial("head was refused"), "{gone}");
        }
    }

    #[test]
    fn the_oldest_heads_are_dropped_beyond_the_limit() {
        let heads = RefusedHeads::default();
        (0..1000).for_each(|stream| heads.put(stream, head("x")));
        assert_eq!(heads.heads().len(), MAX_HEADS);
        assert!(heads.heads().iter().all(|(stream, _)| *stream >= 1000 - MAX_HEADS as u32));
    }
}
