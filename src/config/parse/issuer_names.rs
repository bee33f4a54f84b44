//! Names of issuers in rules and revocations: the name of an entry, or an `iss` that an entry binds. No name refers to
//! two entries.

use std::collections::BTreeSet;

use super::super::{TrustEntry, values};
use super::section::Section;
use crate::backend::Backend;
use crate::policy::{Policy, Verdict};

/// The name of the simple list's entry.
pub(super) const SIMPLE_LIST: &str = "public-keys";

const AMBIGUOUS: &str = "rules and revocations could refer to either entry: give one of them another name";

/// An entry, with the keys that hold its name and its `iss`.
pub(super) struct NamedEntry<'a> {
    pub(super) section: Section<'a>,
    pub(super) name_key: &'static str,
    pub(super) issuer_key: &'static str,
    pub(super) entry: TrustEntry,
}

/// Refuses names and issuers that would refer to two entries.
pub(super) fn refuse_ambiguous_names(entries: &[NamedEntry<'_>]) {
    for (index, NamedEntry { section, name_key, issuer_key, entry }) in entries.iter().enumerate() {
        let before: Vec<_> = entries.iter().take(index).map(|named| &named.entry).collect();
        refuse_taken_name(section, name_key, entry, &before);
        for (position, issuer) in entry.rules.issuers.iter().enumerate() {
            let earlier = entry.rules.issuers.get(..position).unwrap_or_default();
            if earlier.contains(issuer) {
                section.error(issuer_key, format!("{} is written twice", values::quote(issuer)));
            } else {
                refuse_taken_issuer(section, issuer_key, entry, issuer, &before);
            }
        }
    }
}

fn refuse_taken_name(section: &Section<'_>, key: &str, entry: &TrustEntry, before: &[&TrustEntry]) {
    if *entry.name == *SIMPLE_LIST {
        section.error(key, format!("`{SIMPLE_LIST}` is the name of the simple list"));
    } else if before.iter().any(|other| other.name == entry.name) {
        section.error(key, format!("`{}` is the name of another issuer entry too", entry.name));
    } else if let Some(other) = before.iter().find(|other| other.rules.binds(&entry.name)) {
        let message = format!("`{}`, the name of this entry, is an issuer of `{}`", entry.name, other.name);
        section.error_with_help(key, message, AMBIGUOUS);
    }
}

fn refuse_taken_issuer(
    section: &Section<'_>,
    key: &str,
    entry: &TrustEntry,
    issuer: &str,
    before: &[&TrustEntry],
) {
    let quoted = values::quote(issuer);
    if let Some(other) = before.iter().find(|other| other.rules.binds(issuer)) {
        let help =
            "write one entry for each issuer, with all of its audiences; rules can tell its clients apart";
        section.error_with_help(key, format!("{quoted} belongs to the entry `{}` already", other.name), help);
    } else if issuer == SIMPLE_LIST
        || issuer != &*entry.name && before.iter().any(|other| *other.name == *issuer)
    {
        section.error_with_help(key, format!("{quoted} is the name of another entry"), AMBIGUOUS);
    }
}

/// Refuses rules about unknown issuers. Such a rule never matches or is never met, so a typo would disable a refusal.
pub(super) fn refuse_unknown_issuers(root: &Section<'_>, policy: &Policy, trust: &[TrustEntry]) {
    // An entry with an error is not in `trust`.
    let mut sections = Backend::products().filter(|product| product.signing_key.is_some());
    if root.report.knows("authentication") || sections.any(|product| root.report.knows(product.section)) {
        return;
    }
    let known = names_of_issuers(trust);
    for (rule, entry) in policy.rules.iter().zip(root.section("authorization").entries("rules")) {
        let required = match &rule.verdict {
            Verdict::Require(requirement) => requirement.issuers.as_slice(),
            Verdict::Allow | Verdict::Deny => &[],
        };
        for (section, names) in [("match", &*rule.matching.issuers), ("require", required)] {
            for name in names.iter().filter(|name| !known.contains(*name)) {
                let message =
                    format!("{} is neither the name nor the issuer of an entry", values::quote(name));
                entry.section(section).error_with_help("issuers", message, known_issuers(trust));
            }
        }
    }
}

/// The names of all entries, and every `iss` that an entry binds.
pub(super) fn names_of_issuers(trust: &[TrustEntry]) -> BTreeSet<Box<str>> {
    trust.iter().flat_map(|entry| entry.rules.issuers.iter().chain([&entry.name])).cloned().collect()
}

/// Advice that lists the accepted names.
fn known_issuers(trust: &[TrustEntry]) -> String {
    let names: Vec<_> = trust.iter().map(|entry| &*entry.name).collect();
    format!("write the name of an entry, or an issuer that one binds; the entries are: {}", names.join(", "))
}
