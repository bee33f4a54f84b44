//! The request that hyper gets in place of a head that is refused. The service answers it with the refusal.

/// Its target; over HTTP/2 the number of the stream follows. No head that passes has a backslash in its target.
pub(super) const PLACEHOLDER: &str = "/\\";
