//! What is refused alike for both backends.

use serde_json::{Value, json};

use super::case::{Case, Expected, Words};
use super::guide::BadToken;
use super::issuer::{self, Issuer, but};
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

/// Tokens with these claims that no trusted key has signed.
pub(super) fn untrusted(issuer: &Issuer, claims: &Value) -> Vec<BadToken> {
    vec![
        (
            "STRAY",
            issuer.token_with_unknown_key(claims),
            "a token whose key is not published",
            Reason::UnknownKey,
        ),
        ("NONE", issuer::unsigned_token(claims), "a token without a signature", Reason::AlgorithmNotAllowed),
        (
            "HS256",
            issuer.confused_token(claims),
            "a token signed with the public key as a secret",
            Reason::AlgorithmNotAllowed,
        ),
        (
            "ROGUE",
            issuer.token(&but(claims, "iss", json!("https://rogue.demo"))),
            "a token of an issuer that is not trusted",
            Reason::UntrustedIssuer,
        ),
    ]
}

/// Genuine tokens of the identity provider and of the cluster that are refused. `audience` is the backend's.
pub(super) fn unsuitable(issuer: &Issuer, audience: &str, now: i64) -> Vec<BadToken> {
    let login = |audience, end| issuer.token(&issuer::login_claims(audience, now, end));
    let other_job = issuer::workload_claims(issuer::OTHER_JOB, now, now + 3600);
    vec![
        ("SHOP", login("shop", now + 3600), "a token for another service", Reason::WrongAudience),
        (
            "LONG",
            login(audience, now + 90 * 86_400),
            "a token that lives longer than its issuer's may",
            Reason::LifetimeTooLong,
        ),
        ("OTHER", issuer.token(&other_job), "a job that is not mapped to a user", Reason::NoMapping),
    ]
}
