//! The requests that are refused whatever the token says, alike for both backends.

use super::case::{Case, Expected, Words};
use crate::decision::Reason;

/// The longest body that the demo forwards.
pub(super) const BODY_BYTES: usize = 64 * 1024;

/// `path` is protected, `token` is good, and `target_bytes` is the longest target.
pub(super) fn refused(path: &str, token: &Words, target_bytes: usize) -> Vec<Case> {
    let get = |title, reason| Case::get(title, path, Expected::Refused(reason));
    let plain = |text| Words::plain(text);
    let dots = format!("{path}/%2e%2e/users");
    vec![
        get("no token", Reason::MissingToken),
        get("a password in place of a token", Reason::UnsupportedScheme).as_(&plain("Basic YWRhOmFkYQ==")),
        get("not a token", Reason::MalformedToken).as_(&plain("Bearer abc")),
        get("two tokens", Reason::AmbiguousCredentials).as_(token).as_(token),
        Case::get(
            "a path that the backend may read as another one",
            &dots,
            Expected::Refused(Reason::BadTarget),
        )
        .as_(token),
        get("the method TRACE", Reason::MethodNotAllowed).method("TRACE").as_(token),
        Case {
            target: Words::with_zeros("/", target_bytes + 1),
            ..get("a target that is too long", Reason::TargetTooLong)
        },
        get("fields that are too large", Reason::HeadTooLarge).with("X-Large", Words::with_zeros("", 70_000)),
        get("a body that is too large", Reason::PayloadTooLarge)
            .method("POST")
            .as_(token)
            .body(Words::with_zeros("", BODY_BYTES + 1)),
    ]
}
