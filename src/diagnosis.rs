//! Says why a request or its token is refused: what was wanted, what was found, and how far apart they are.
//!
//! The texts are for operators: audit records, recent refusals, the status page and `metagate explain`. Clients never
//! see them.
//!
//! 1. Nothing is decided here. Each function gets the fault that verification has found, and looks again at the same
//!    token, entry and keys to describe it.
//! 2. A text is built once, and only for a token that is refused. It is bounded, and so is the work ([`Detail`]).
//! 3. Values that the token's author chose are quoted, shortened and escaped. No text contains a part of the token in
//!    its encoded form, so none can be put together to the token or its signature.

mod claim_values;
mod expiry;
mod form;
mod identity;
mod issuer;
mod key;
mod mapping;
mod place;
mod text;

use crate::claims::{BotPrivilege, ClaimsFault, VerifiedToken};
use crate::jose::{KeySet, UnverifiedToken};
use crate::numeric_date::NumericDate;
use crate::revocation::{Revoked, RevokedBy};
use crate::trust::{TokenFault, TrustedIssuer};

pub use form::unparsed;
pub use issuer::untrusted;
pub use key::{SourceSummary, name_sources};
pub use mapping::unmapped;
pub use place::located;
pub use text::{Claim, Detail, Plain, Quoted, QuotedNames, Span, Typed, Words};

/// What the entry that refused a token wanted, and what the token has.
pub fn refused(
    token: &UnverifiedToken<'_>,
    entry: &TrustedIssuer,
    keys: Option<&KeySet>,
    fault: TokenFault,
    now: NumericDate,
) -> Detail {
    let header = token.header();
    match fault {
        TokenFault::Malformed(why) => form::token_type(header.token_type.as_deref(), entry, why),
        TokenFault::AlgorithmNotAllowed => key::algorithm(header.algorithm, entry),
        TokenFault::WrongKeyAlgorithm => key::wrong_kind(header, keys),
        TokenFault::UntrustedIssuer => issuer::untrusted(token, std::slice::from_ref(entry)),
        TokenFault::WrongHeader => issuer::wrong_member(token, entry),
        TokenFault::UnknownKey => key::unknown(header, keys),
        TokenFault::KeysUnavailable => key::none(entry),
        TokenFault::InvalidSignature => key::signature(header, keys),
        TokenFault::Claims(fault) => claims(token, entry, keys, fault, now),
        // The revocation list sees only verified tokens.
        TokenFault::Revoked(by) => Detail::of(format_args!("{}", by.detail())),
    }
}

fn claims(
    token: &UnverifiedToken<'_>,
    entry: &TrustedIssuer,
    keys: Option<&KeySet>,
    fault: ClaimsFault,
    now: NumericDate,
) -> Detail {
    let claims = token.claims_for_operators();
    match fault {
        ClaimsFault::Malformed(why) => claim_values::malformed(claims, &entry.rules, why),
        ClaimsFault::Expired => expiry::expired(claims, &entry.rules, now),
        ClaimsFault::NotYetValid => expiry::not_yet_valid(claims, &entry.rules, now),
        ClaimsFault::MissingExpiry => expiry::missing(token, entry, keys),
        ClaimsFault::LifetimeTooLong => expiry::too_long(claims, entry, now),
        ClaimsFault::UntrustedIssuer => issuer::untrusted(token, std::slice::from_ref(entry)),
        ClaimsFault::WrongAudience => identity::audience(claims, entry),
        ClaimsFault::MissingPrincipal => identity::principal(claims, entry),
        ClaimsFault::WrongDomain => identity::domain(claims, &entry.rules),
        ClaimsFault::ForeignBot(privilege) => {
            let mut detail = match privilege {
                BotPrivilege::Expiry => expiry::missing(token, entry, keys),
                BotPrivilege::Mapping => identity::principal(claims, entry),
                BotPrivilege::Domain => identity::domain(claims, &entry.rules),
            };
            detail.add(format_args!("; {}", ClaimsFault::FOREIGN_BOT));
            detail
        }
    }
}

/// Which source of revocations has had no list yet.
pub fn no_revocation_list(source: &str) -> Detail {
    let mut detail = Detail::of(format_args!("there is no current revocation list of"));
    detail.add_value(Some(source));
    detail
}

/// What revoked a verified token: the entry of the list, its note and its end.
pub fn revoked(revoked: &Revoked, token: &VerifiedToken) -> Detail {
    let mut detail = Detail::of(format_args!(""));
    add_revoked(&mut detail, revoked, Some(token));
    detail
}

/// Appends what revoked a token.
pub fn add_revoked(detail: &mut Detail, revoked: &Revoked, token: Option<&VerifiedToken>) {
    detail.add(format_args!("{}", revoked.by.detail()));
    match (revoked.by, token) {
        (RevokedBy::Id | RevokedBy::Subject | RevokedBy::Key, _) => detail.add_value(Some(&revoked.value)),
        (RevokedBy::Fingerprint, Some(token)) => {
            detail.add(format_args!(": {}", token.fingerprint().short()));
        }
        // As much of it as finds the token in DataHub's list.
        (RevokedBy::Fingerprint | RevokedBy::DatahubTokenHash, _) => {
            let start = revoked.value.get(..16).unwrap_or(&revoked.value);
            detail.add(format_args!(": {start}..."));
        }
    }
    if let Some(note) = &revoked.note {
        detail.add(format_args!("; note: {}", Quoted(note)));
    }
    if let Some(until) = revoked.until {
        detail.add(format_args!("; until {until}"));
    }
}
