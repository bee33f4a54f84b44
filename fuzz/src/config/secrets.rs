//! No output contains a secret.
//!
//! [`SECRET`] may be anywhere in an input. If it is only where a secret belongs, no output may contain it.

use metagate::config::{
    ConfigErrors, KEYS, Key, Kind, Loaded, Node, Value, environment_names, parse_document, print, print_set,
};

use super::layers::Layers;
use super::origins::{FOREIGN_BLOCKS, foreign_path};

/// A good secret.
const SECRET: &str = "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u";
const PROXIES: [&str; 3] = ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"];

/// Where the secret is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Nowhere,
    /// In a value that is a secret, or that is not read.
    Hidden,
    /// In the part of a URL that may be secret. The URL is needed as a whole, so the configuration has it.
    InUrl,
    /// Where no secret is expected.
    Open,
}

/// Asserts that no output contains the secret.
pub fn assert_hidden(layers: &Layers, loaded: Result<&Loaded, &ConfigErrors>) {
    let place = place(layers);
    if matches!(place, Place::Nowhere | Place::Open) {
        return;
    }
    let mut shown = Vec::new();
    match loaded {
        Ok(loaded) => {
            shown.extend([print(loaded), print_set(loaded), format!("{:?} {:?}", loaded.infos, loaded.used)]);
            let findings = loaded.warnings.iter().chain(&loaded.accepted);
            shown.extend(findings.map(|finding| format!("{finding} {finding:?}")));
            if place == Place::Hidden {
                shown.push(format!("{loaded:?}"));
            }
        }
        Err(errors) => shown.push(format!("{errors} {errors:?}")),
    }
    for text in shown {
        assert!(!text.contains(SECRET), "{text}");
    }
}

/// The most open place in all layers.
fn place(layers: &Layers) -> Place {
    let variables = &layers.sources.environment;
    // What an expression in a file may be replaced by.
    let mut needles = vec![SECRET.to_owned()];
    needles.extend(
        variables.iter().filter(|(_, value)| value.contains(SECRET)).map(|(name, _)| format!("${{{name}")),
    );
    let is_needle = |text: &str| needles.iter().any(|needle| text.contains(needle));
    let flags = &layers.sources.flags;
    let others = [&flags.listen, &flags.backend].into_iter().flatten();
    let urls = flags.upstream.iter().chain(&flags.public_keys);
    let in_flags = others.map(|text| if is_needle(text) { Place::Open } else { Place::Nowhere });
    let in_flags = in_flags.chain(urls.map(|url| in_url(url, &is_needle)));
    let in_variables = variables.iter().map(|(name, value)| in_variable(name, value));
    let in_files = layers.files.iter().map(|text| in_file(text, &is_needle));
    in_flags.chain(in_variables).chain(in_files).max().unwrap_or(Place::Nowhere)
}

fn in_variable(name: &str, value: &str) -> Place {
    let is_secret = |text: &str| text.contains(SECRET);
    if name.contains(SECRET) {
        return Place::Open;
    }
    if !is_secret(value) {
        return Place::Nowhere;
    }
    let own = environment_names().into_iter().find(|(known, _)| known == name).map(|(_, path)| path);
    let key = own.or_else(|| foreign_path(name)).and_then(|path| KEYS.iter().find(|key| key.path == path));
    match key {
        Some(Key { kind: Kind::Entries, path, .. }) => {
            let document = parse_document(value);
            if document.complete { in_entries(path, &document.root, &is_secret) } else { Place::Open }
        }
        Some(key) => in_value(key, &Node::text(value, metagate::config::Position::START), &is_secret),
        None if PROXIES.contains(&&*name.to_ascii_uppercase()) => {
            // It may be written without a scheme.
            let url = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
            in_url(&url, &is_secret)
        }
        None if HEADERS.contains(&name) => {
            let is_named = |item: &str| item.split_once('=').is_some_and(|(name, _)| !is_secret(name));
            let is_hidden = value.split(',').all(|item| !is_secret(item) || is_named(item));
            if is_hidden { Place::Hidden } else { Place::Open }
        }
        None if name.starts_with("OTEL_") || name.starts_with("KUBERNETES_") => Place::Open,
        // Unknown ones of ours are only named. All others are read where a file refers to them.
        None => Place::Hidden,
    }
}

fn in_file(text: &str, is_needle: &dyn Fn(&str) -> bool) -> Place {
    if !is_needle(text) {
        return Place::Nowhere;
    }
    let is_foreign = FOREIGN_BLOCKS.iter().any(|block| text.contains(block));
    let document = parse_document(text.strip_prefix('\u{feff}').unwrap_or(text));
    if is_foreign {
        // Its expressions are replaced in the text, and other names stand for our keys.
        return Place::Open;
    }
    if document.complete {
        return in_section("", &document.root, is_needle);
    }
    // It is not read, so no error may be about a value in it. A parser may name an anchor or a key.
    let is_value = |line: &str| {
        let value = line
            .trim_start()
            .trim_start_matches("- ")
            .split_once(": ")
            .map(|(key, value)| (key.trim(), value));
        value.is_some_and(|(key, value)| {
            !is_needle(key) && value.trim_matches(['"', '\'']).chars().all(is_plain)
        })
    };
    if text.lines().filter(|line| is_needle(line)).all(is_value) { Place::Hidden } else { Place::Open }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

/// In a map whose keys are in the table.
fn in_section(schema: &str, node: &Node, is_needle: &dyn Fn(&str) -> bool) -> Place {
    // Instead of a map, it is not shown.
    let Value::Map(entries) = &node.value else { return hidden(node, is_needle) };
    let places = entries.iter().map(|entry| {
        let path = if schema.is_empty() { entry.key.clone() } else { format!("{schema}.{}", entry.key) };
        let is_section =
            KEYS.iter().any(|key| key.path.strip_prefix(&*path).is_some_and(|rest| rest.starts_with('.')));
        let below = match KEYS.iter().find(|key| key.path == path) {
            _ if entry.key.contains(['.', '[']) => hidden(&entry.node, is_needle),
            Some(Key { kind: Kind::Entries, path, .. }) => in_entries(path, &entry.node, is_needle),
            Some(key) => in_value(key, &entry.node, is_needle),
            None if is_section => in_section(&path, &entry.node, is_needle),
            // The value of an unknown key is not read.
            None => hidden(&entry.node, is_needle),
        };
        if is_needle(&entry.key) { Place::Open } else { below }
    });
    places.max().unwrap_or(Place::Nowhere)
}

/// In a list of maps.
fn in_entries(path: &str, node: &Node, is_needle: &dyn Fn(&str) -> bool) -> Place {
    let schema = format!("{path}[]");
    match &node.value {
        Value::List(nodes) => {
            let places = nodes.iter().map(|node| match node.value {
                Value::Map(_) => in_section(&schema, node, is_needle),
                _ => open(node, is_needle),
            });
            places.max().unwrap_or(Place::Nowhere)
        }
        Value::Map(_) => in_section(&schema, node, is_needle),
        Value::Scalar { .. } | Value::Null => open(node, is_needle),
    }
}

fn in_value(key: &Key, node: &Node, is_needle: &dyn Fn(&str) -> bool) -> Place {
    match (key.kind, &node.value) {
        (Kind::Secret, _) => hidden(node, is_needle),
        (Kind::Url(_) | Kind::UrlOrUrls(_) | Kind::Urls(_) | Kind::KeyUrls, Value::Scalar { text, .. }) => {
            in_url(text, is_needle)
        }
        (Kind::UrlOrUrls(_) | Kind::Urls(_) | Kind::KeyUrls, Value::List(nodes)) => {
            nodes.iter().map(|node| in_value(key, node, is_needle)).max().unwrap_or(Place::Nowhere)
        }
        _ => open(node, is_needle),
    }
}

/// A secret in the query, the fragment or the user information of one URL.
fn in_url(url: &str, is_needle: &dyn Fn(&str) -> bool) -> Place {
    if !is_needle(url) {
        return Place::Nowhere;
    }
    let rest = url.split_once("://").map(|(scheme, rest)| (is_needle(scheme), rest));
    let Some((false, rest)) =
        rest.filter(|_| !url.contains([',', ' ', '[', '\'', '"', '\\', '\t', '\n', '\r', '$']))
    else {
        return Place::Open;
    };
    let shown = rest.find(['?', '#']).map_or(rest, |end| &rest[..end]);
    let (authority, path) = shown.split_at(shown.find('/').unwrap_or(shown.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if is_needle(host) || is_needle(path) { Place::Open } else { Place::InUrl }
}

fn hidden(node: &Node, is_needle: &dyn Fn(&str) -> bool) -> Place {
    if has(node, is_needle) { Place::Hidden } else { Place::Nowhere }
}

fn open(node: &Node, is_needle: &dyn Fn(&str) -> bool) -> Place {
    if has(node, is_needle) { Place::Open } else { Place::Nowhere }
}

/// Whether it is in a value or in a key.
fn has(node: &Node, is_needle: &dyn Fn(&str) -> bool) -> bool {
    match &node.value {
        Value::Null => false,
        Value::Scalar { text, .. } => is_needle(text),
        Value::List(items) => items.iter().any(|item| has(item, is_needle)),
        Value::Map(entries) => {
            entries.iter().any(|entry| is_needle(&entry.key) || has(&entry.node, is_needle))
        }
    }
}
