//! Parses `exchange[].from`: which tokens an entry takes.

use serde_json::Value;

use super::super::super::{TrustEntry, values};
use super::super::issuer::has_bots;
use super::super::section::Section;
use crate::bots::check_name;
use crate::claims::{ClaimPath, IssuedKind};
use crate::own_issuer::ENTRY;
use crate::token_exchange::{ClaimValue, ExchangeEntry};

/// Claims that say nothing about whose token it is: every token of an issuer may have the same.
const UNSPECIFIC: [&str; 7] = ["iss", "aud", "exp", "nbf", "iat", "typ", "token_use"];

/// Which tokens an entry takes.
pub(super) struct From {
    /// The name of their issuer entry.
    pub(super) issuer: Box<str>,
    pub(super) subjects: Vec<Box<str>>,
    pub(super) claims: Vec<(ClaimPath, Vec<ClaimValue>)>,
}

impl From {
    /// Reads the section; `None` if it has an error.
    pub(super) fn read(section: &Section<'_>, trust: &[TrustEntry], root: &Section<'_>) -> Option<Self> {
        if section.has("bots") {
            return bots(section, trust, root);
        }
        let issuer = issuer(section, trust, root);
        let subjects = section.list("subjects", subject);
        if subjects.as_ref().is_some_and(Vec::is_empty) && !section.in_error("subjects") {
            section.error("subjects", "is an empty list: no token would be taken");
            return None;
        }
        let claims = claims(section)?;
        let is_specific = |(path, _): &(ClaimPath, _)| !UNSPECIFIC.contains(&path.as_str());
        if subjects.is_none() && !claims.iter().any(is_specific) {
            section.missing(
                "subjects",
                "the entry would take every token of its issuer: it has neither subjects nor claims that say whose",
                "write `subjects: [<sub>]`, `claims: {<claim>: [<value>]}` or both",
            );
            return None;
        }
        Some(Self { issuer: issuer?, subjects: subjects.unwrap_or_default(), claims })
    }
}

/// Tokens of bots of our own: of the implicit issuer entry, and of the kind that bots have.
fn bots(section: &Section<'_>, trust: &[TrustEntry], root: &Section<'_>) -> Option<From> {
    for key in ["issuer", "subjects", "claims"] {
        if section.has(key) {
            section.error(key, "bots is also set; it names the tokens completely");
        }
    }
    let subjects = section.list("bots", |name| match check_name(name) {
        Ok(()) => Ok(Box::<str>::from(name)),
        Err(message) => Err(format!("{} {message}", values::quote(name))),
    })?;
    if subjects.is_empty() && !section.in_error("bots") {
        section.error("bots", "is an empty list: no token would be taken");
    }
    if !has_bots(root) {
        let help = "set issuer.bots.file or issuer.bots.store; docs/bots.md has the whole configuration";
        section.error_with_help("bots", "there is no allow-list of bots: issuer.bots is not set", help);
    }
    if section.in_error("bots") || !trust.iter().any(|entry| *entry.name == *ENTRY) {
        return None;
    }
    let bot = ClaimValue::String(IssuedKind::Bot.as_str().into());
    let claims = vec![(ClaimPath::new(IssuedKind::CLAIM), vec![bot])];
    Some(From { issuer: ENTRY.into(), subjects, claims })
}

/// The issuer entry, which must bind its tokens to metagate.
fn issuer(section: &Section<'_>, trust: &[TrustEntry], root: &Section<'_>) -> Option<Box<str>> {
    let Some(name) = section.text("issuer") else {
        let help = "write the name of an entry of authentication.issuers: `from: {issuer: cluster}`";
        section.missing("issuer", "an entry needs the issuer of its tokens", help);
        return None;
    };
    let authentication = root.section("authentication");
    let is_named = |entry: &Section<'_>| entry.text("name") == Some(name);
    if !authentication.entries("issuers").iter().any(is_named) {
        let message =
            format!("{} is not the name of an entry of authentication.issuers", values::quote(name));
        section.error_with_help(
            "issuer",
            message,
            "the simple list and a backend's own tokens cannot be exchanged",
        );
        return None;
    }
    // An entry with an error is not in `trust`, and its error is reported there.
    let entry = trust.iter().find(|entry| *entry.name == *name)?;
    if entry.rules.audiences.is_empty() {
        let message = format!(
            "the issuer entry {} has no audiences: a token that was made for any other service would act as this user",
            values::quote(name)
        );
        let help = "write an audience of your own in that entry, like `audiences: [metagate]`";
        section.error_with_help("issuer", message, help);
        return None;
    }
    Some(name.into())
}

/// A subject that is written out.
fn subject(text: &str) -> Result<Box<str>, String> {
    if text.contains('*') {
        let quoted = values::quote(text);
        return Err(format!(
            "{quoted} has a `*`; subjects are compared exactly, and patterns are not accepted"
        ));
    }
    values::filled_in(text).map(|()| text.into())
}

/// Claims with the JSON types of their values. `None` if there is an error.
fn claims(section: &Section<'_>) -> Option<Vec<(ClaimPath, Vec<ClaimValue>)>> {
    let Some(text) = section.text("claims") else { return Some(Vec::new()) };
    let Ok(Value::Object(members)) = serde_json::from_str(text) else {
        section.error("claims", "is not a map from claims to lists of values");
        return None;
    };
    let mut claims = Vec::new();
    for (name, value) in members {
        let values = match value {
            Value::Array(values) => values,
            one => vec![one],
        };
        let parsed = claim(&name, values);
        match parsed {
            Ok(claim) => claims.push(claim),
            Err(message) => section.error("claims", message),
        }
    }
    (!section.in_error("claims")).then_some(claims)
}

fn claim(name: &str, values: Vec<Value>) -> Result<(ClaimPath, Vec<ClaimValue>), String> {
    let quoted = values::quote(name);
    let path = values::claim_path(name)?;
    if values.is_empty() {
        return Err(format!("{quoted} has an empty list of values: no token would be taken"));
    }
    let value = |value| match value {
        Value::String(text) => Ok(ClaimValue::String(text.into())),
        Value::Bool(value) => Ok(ClaimValue::Bool(value)),
        Value::Number(number) => Ok(ClaimValue::Number(number)),
        Value::Null => {
            Err(format!("{quoted} has a value that is null; a claim that is absent never matches"))
        }
        Value::Array(_) | Value::Object(_) => {
            Err(format!("{quoted} has a value that is a list or a map; name the claim in it, like `a.b`"))
        }
    };
    Ok((path, values.into_iter().map(value).collect::<Result<_, _>>()?))
}

/// Refuses an entry that earlier ones leave no token: another user than meant would be used.
pub(super) fn refuse_unreachable<'e>(
    section: &Section<'_>,
    entry: &ExchangeEntry,
    earlier: impl Iterator<Item = &'e ExchangeEntry>,
) {
    for other in earlier.filter(|other| other.issuer == entry.issuer) {
        let all_subjects = other.subjects.is_empty()
            || !entry.subjects.is_empty()
                && entry.subjects.iter().all(|subject| other.subjects.contains(subject));
        let is_implied = |(path, values): &(ClaimPath, Vec<ClaimValue>)| {
            let same = entry.claims.iter().find(|(own, _)| own == path);
            same.is_some_and(|(_, own)| own.iter().all(|value| values.contains(value)))
        };
        if all_subjects && other.claims.iter().all(is_implied) {
            let message = format!("the entry `{}` takes all of its tokens before", other.user.entry);
            section.section("from").error_with_help(
                "issuer",
                message,
                "the first entry that takes a token decides",
            );
            return;
        }
    }
}
