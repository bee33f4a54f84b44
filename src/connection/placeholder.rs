//! The placeholder request that hyper gets in place of a refused HTTP/2 head. The service responds to it with the refusal.

/// Its target. Over HTTP/2 the stream number follows. No accepted head has a backslash in its target.
pub(super) const PLACEHOLDER: &str = "/\\";
