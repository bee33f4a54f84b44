//! Lists that are written as one text.

use crate::config::document::{Position, Value};
use crate::config::settings::Kind;

/// In a flow list `[GET,PUT /docs]` the comma ends an item. A route has a path, so an item without one belongs to the
/// next.
pub(super) fn join_methods(items: Vec<(String, Position)>) -> Vec<(String, Position)> {
    let mut joined: Vec<(String, Position)> = Vec::new();
    for (text, at) in items {
        let methods =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase() || c == ',');
        match joined.last_mut().filter(|(before, _)| methods(before)) {
            Some((before, _)) => *before = format!("{before},{text}"),
            None => joined.push((text, at)),
        }
    }
    joined
}

/// Whether a value is a list of URLs, and not one URL with a comma in it.
pub(super) fn is_list_of_urls(value: &Value) -> bool {
    match value {
        Value::List(_) => true,
        Value::Scalar { text, .. } => {
            let is_url = |part: &str| part.starts_with("http://") || part.starts_with("https://");
            let mut parts = text.split([',', ' ']).filter(|part| !part.is_empty());
            text.starts_with('[') || (text.contains([',', ' ']) && parts.all(is_url))
        }
        Value::Map(_) | Value::Null => false,
    }
}

/// Whether a value is a list of maps.
pub(super) fn has_entries(kind: Kind, value: &Value) -> bool {
    matches!(kind, Kind::Entries) || matches!(kind, Kind::Listen) && has_maps(value)
}

/// Whether a value is a map, or a list with a map in it.
fn has_maps(value: &Value) -> bool {
    match value {
        Value::Map(_) => true,
        Value::List(nodes) => nodes.iter().any(|node| matches!(node.value, Value::Map(_))),
        Value::Scalar { .. } | Value::Null => false,
    }
}
