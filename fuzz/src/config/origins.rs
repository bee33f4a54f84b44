//! Which layer sets a key, read here a second time from the layers themselves.

use std::sync::LazyLock;

use metagate::config::{
    Document, FOREIGN_ENVIRONMENT, KEYS, Key, Kind, Loaded, Node, Origin, Value, environment_name, load,
    parse_document,
};

use super::config;
use super::layers::Layers;

/// The blocks of OpenMetadata's own files, in which other names stand for our keys.
pub const FOREIGN_BLOCKS: [&str; 4] =
    ["authenticationConfiguration", "authorizerConfiguration", "jwtTokenConfiguration", "openmetadata"];

/// What is known of a key before it is loaded.
struct Expected {
    origin: Origin,
    /// If it can be told without the rules for its kind.
    text: Option<String>,
}

/// The key that a variable of OpenMetadata or DataHub sets.
pub fn foreign_path(name: &str) -> Option<&'static str> {
    FOREIGN_ENVIRONMENT.iter().find(|(variable, _)| *variable == name).map(|(_, path)| *path)
}

/// The origin of each key is the last layer that sets it, and so is its text.
pub fn assert_reported(layers: &Layers, loaded: &Loaded) {
    let documents: Vec<_> = layers.files.iter().map(|text| document(text)).collect();
    for PlainKey { key, variable, default } in &*PLAIN_KEYS {
        let variable = variable.as_deref();
        let Some(expected) = expected(layers, &documents, key, variable, default.as_deref()) else {
            continue;
        };
        let reported = loaded.origin_at(key.path);
        let Some(Expected { origin, text }) = expected else {
            assert_eq!(reported, None, "{}", key.path);
            continue;
        };
        assert_eq!(reported.as_ref(), Some(&origin), "{}", key.path);
        if let Some(text) = text {
            assert_eq!(loaded.text_at(key.path).map(|(text, _)| text), Some(&*text), "{}", key.path);
        }
    }
}

/// A key outside of lists of maps.
struct PlainKey {
    key: &'static Key,
    variable: Option<String>,
    /// The text of its default.
    default: Option<String>,
}

static PLAIN_KEYS: LazyLock<Vec<PlainKey>> = LazyLock::new(|| {
    let default = |key: &Key| text_of(&parse_document(key.default).root).filter(|_| key.kind.is_scalar());
    plain_keys().map(|key| PlainKey { key, variable: environment_name(key), default: default(key) }).collect()
});

fn plain_keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| !key.path.contains("[]"))
}

/// `None` if it is not known here; `Some(None)` if no layer sets the key.
#[expect(clippy::option_option, reason = "unknown is not unset")]
fn expected(
    layers: &Layers,
    documents: &[Option<Document>],
    key: &Key,
    variable: Option<&str>,
    default: Option<&str>,
) -> Option<Option<Expected>> {
    let expected = |origin, text| Some(Some(Expected { origin, text }));
    let flags = &layers.sources.flags;
    let flag = match key.path {
        "listen" => flags.listen.as_ref().map(|_| ("--listen", None)),
        "upstream.url" => flags.upstream.as_ref().map(|text| ("--upstream", Some(text))),
        "backend" => flags.backend.as_ref().map(|text| ("--backend", Some(text))),
        "authentication.publicKeyUrls" => flags.public_keys.first().map(|_| ("--public-keys", None)),
        _ => None,
    };
    if let Some((name, text)) = flag {
        return expected(Origin::Flag(name.to_owned()), text.filter(|text| is_simple(text)).cloned());
    }
    let own = variable.filter(|name| layers.variable(name).is_some());
    let is_unset = |value: &str| matches!(value.trim(), "" | "\"\"" | "''");
    let is_theirs = |(name, path): &&(&str, &str)| {
        *path == key.path && layers.variable(name).is_some_and(|value| !is_unset(value))
    };
    let foreign = FOREIGN_ENVIRONMENT.iter().filter(is_theirs).map(|(name, _)| *name).next_back();
    if let Some(name) = own.or(foreign) {
        let text = layers.variable(name).filter(|text| is_simple(text) && key.kind.is_scalar());
        return expected(Origin::Environment(name.to_owned()), text.map(str::to_owned));
    }
    for (at, document) in documents.iter().enumerate().rev() {
        let node = key.path.split('.').try_fold(&document.as_ref()?.root, |node, name| node.get(name));
        let Some(node) = node.filter(|node| node.value != Value::Null || is_optional_header(key)) else {
            continue;
        };
        let origin = Origin::File { path: layers.path(at), line: node.at.line, column: node.at.column };
        return expected(origin, text_of(node).filter(|_| key.kind.is_scalar()));
    }
    if key.default.is_empty() {
        return Some(None);
    }
    expected(Origin::Default, default.map(str::to_owned))
}

/// Here no value is a value: the field is not set.
fn is_optional_header(key: &Key) -> bool {
    matches!(key.kind, Kind::OptionalHeader)
}

/// A document in our own format.
fn document(text: &str) -> Option<Document> {
    let document = parse_document(text.strip_prefix('\u{feff}').unwrap_or(text));
    let is_ours = !FOREIGN_BLOCKS[..3].iter().any(|block| text.contains(block))
        && document.root.get("openmetadata").and_then(|section| section.get("config")).is_none();
    is_ours.then_some(document)
}

/// The text of a scalar without expressions.
fn text_of(node: &Node) -> Option<String> {
    match &node.value {
        Value::Scalar { text, .. } if !text.contains('$') && !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// Whether a text is the same as YAML.
fn is_simple(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./".contains(c);
    !text.is_empty() && text.chars().all(is_plain) && !["null", "Null", "NULL"].contains(&text)
}

/// A value for a key that probably differs from the one that it has.
fn sample(key: &Key) -> Option<&'static str> {
    match key.kind {
        Kind::Bool => Some("true"),
        Kind::Integer(..) => Some("7"),
        Kind::Duration(..) => Some("7s"),
        Kind::Size(..) => Some("9KiB"),
        Kind::Rate => Some("7/s"),
        Kind::Word(words) => words.accepted.last().copied(),
        _ => None,
    }
}

/// One of some things, determined by the input.
fn choice<T>(layers: &Layers, from: Vec<T>) -> Option<T> {
    let at = (layers.number() / 5).checked_rem(from.len())?;
    from.into_iter().nth(at)
}

/// With a variable for one more key, only this key is another one.
pub fn assert_upper_wins(layers: &Layers, loaded: &Loaded) {
    let is_free = |key: &&Key| !matches!(loaded.origin_at(key.path), Some(Origin::Flag(_)));
    let keys =
        plain_keys().filter(is_free).filter_map(|key| Some((key, environment_name(key)?, sample(key)?)));
    let Some((key, name, value)) = choice(layers, keys.collect()) else { return };
    let mut upper = layers.only("");
    upper.sources = layers.sources.clone();
    upper.sources.environment.retain(|(variable, _)| *variable != name);
    upper.sources.environment.push((name.clone(), value.to_owned()));
    // With the others it may be an invalid configuration.
    let Ok(with) = load(&upper.sources) else { return };
    assert_eq!(with.text_at(key.path), Some((value, Some(Origin::Environment(name)))), "{}", key.path);
    for other in plain_keys().filter(|other| other.path != key.path) {
        assert_eq!(with.text_at(other.path), loaded.text_at(other.path), "{}", other.path);
        assert_eq!(with.origin_at(other.path), loaded.origin_at(other.path), "{}", other.path);
    }
}

/// A file below all others changes nothing about a key that one of them sets.
pub fn assert_lower_loses(layers: &Layers, loaded: &Loaded) {
    let is_set = |key: &&Key| !matches!(loaded.origin_at(key.path), None | Some(Origin::Default));
    // Any file wins over the backend that OpenMetadata's formats stand for.
    let has_foreign = layers.files.iter().any(|text| document(text).is_none());
    let is_free = |key: &&Key| !has_foreign || key.path != "backend";
    let keys = plain_keys().filter(is_set).filter(is_free).filter_map(|key| {
        let value = if key.default.is_empty() { sample(key)? } else { key.default };
        Some((key, value))
    });
    let Some((key, value)) = choice(layers, keys.collect()) else { return };
    let (sections, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
    let (mut text, mut indent) = (String::new(), String::new());
    for section in sections.split('.').filter(|section| !section.is_empty()) {
        text.push_str(&format!("{indent}{section}:\n"));
        indent.push_str("  ");
    }
    text.push_str(&format!("{indent}{name}: {value}\n"));
    let lower = layers.with_file(0, &text);
    let with = load(&lower.sources).unwrap_or_else(|errors| panic!("{text}{errors}"));
    assert_eq!(config(&with), config(loaded), "{text}");
    for key in plain_keys() {
        assert_eq!(with.origin_at(key.path), loaded.origin_at(key.path), "{text}: {}", key.path);
    }
}
