//! Checks keys that have an effect only with some backends.

use super::super::finding::FindingId;
use super::section::Section;
use crate::backend::{Backend, Preset};

/// Whether a key has an effect with this backend, which `has` decides from its preset. Warns if it has none.
pub(super) fn has_effect(
    section: &Section<'_>,
    key: &str,
    backend: Backend,
    has: impl Fn(&Preset) -> bool,
) -> bool {
    if has(backend.preset()) {
        return true;
    }
    let others = Backend::ALL.into_iter().filter(|other| has(other.preset()));
    let names: Vec<_> = others.map(Backend::as_str).collect();
    let message = format!("has no effect with backend {}", backend.as_str());
    let help = format!("it is for backend: {}", names.join(", "));
    section.report.warn(FindingId::NoEffect, &section.path(key), message, help);
    false
}
