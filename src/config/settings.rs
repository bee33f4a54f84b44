//! Every configuration key, in one table.
//!
//! Unknown keys, the form of values, environment names, the JSON Schema, the example and the
//! documentation are all derived from it.

mod kind;
mod samples;
mod table;

pub use kind::{Key, Kind};
pub use table::KEYS;

/// The key at a path of the table.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The description of a section as a whole.
pub(super) fn section_doc(path: &str) -> Option<&'static str> {
    table::SECTIONS.iter().find(|(section, _)| *section == path).map(|(_, doc)| *doc)
}

/// Whether `path` is a section: a map whose keys are in the table. The root is a section.
pub(super) fn is_section(path: &str) -> bool {
    !children(path).is_empty()
}

/// The names directly below a section.
pub(super) fn children(path: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in KEYS {
        let below = match path {
            "" => Some(key.path),
            _ => key.path.strip_prefix(path).and_then(|rest| rest.strip_prefix('.')),
        };
        let name = below.map(|below| below.split(['.', '[']).next().unwrap_or(below));
        if let Some(name) = name.filter(|name| !names.contains(name)) {
            names.push(name);
        }
    }
    names
}

/// `name` below `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The environment variable of a key. `None` for keys within lists of maps.
pub fn environment_name(key: &Key) -> Option<String> {
    let environment = key.kind.is_scalar() || key.kind.is_list() || matches!(key.kind, Kind::Entries);
    if !environment || key.path.contains("[]") {
        return None;
    }
    let mut name = "METAGATE_".to_owned();
    for c in key.path.chars() {
        match c {
            '.' => name.push_str("__"),
            _ if c.is_ascii_uppercase() => name.extend(['_', c]),
            _ => name.push(c.to_ascii_uppercase()),
        }
    }
    Some(name)
}

/// Every `METAGATE_...` variable with the path of its key.
pub fn environment_names() -> Vec<(String, &'static str)> {
    KEYS.iter().filter_map(|key| environment_name(key).map(|name| (name, key.path))).collect()
}
