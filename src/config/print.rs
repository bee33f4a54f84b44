//! Prints the merged configuration as YAML, with the source of each value and without secrets.

use std::fmt::Write;

use figment::value::{Dict, Value};

use super::error::Origin;
use super::load::Loaded;
use super::merged::Merged;
use super::redaction::redacted;
use super::settings::{self, Key, Kind};
use super::variables;
use super::yaml_text::{self, scalar};

/// Every key with its value and its source. Secrets and the queries of URLs are `[redacted]`.
pub fn print(loaded: &Loaded) -> String {
    let mut out = String::new();
    section(&mut out, &loaded.merged, Some(&loaded.merged.root), &Place::default());
    out
}

/// The same, but only what is not a default.
pub fn print_set(loaded: &Loaded) -> String {
    let mut out = String::new();
    let place = Place { only_set: true, ..Place::default() };
    section(&mut out, &loaded.merged, Some(&loaded.merged.root), &place);
    out
}

/// A position in the configuration.
#[derive(Default)]
struct Place {
    path: String,
    schema: String,
    indent: usize,
    /// Whether this is an element of a list, which shows only the keys that are set.
    element: bool,
    /// Whether defaults are left out.
    only_set: bool,
}

fn section(out: &mut String, merged: &Merged, dict: Option<&Dict>, place: &Place) {
    for name in settings::children(&place.schema) {
        let value = dict.and_then(|dict| dict.get(name));
        if value.is_none() && place.element {
            continue;
        }
        let below = Place {
            path: settings::join(&place.path, name),
            schema: settings::join(&place.schema, name),
            indent: place.indent,
            element: place.element,
            only_set: place.only_set,
        };
        match settings::find(&below.schema) {
            Some(key) => entry(out, merged, key, name, value, &below),
            None => {
                let keys = value.and_then(Value::as_dict);
                if place.element && keys.is_some_and(Dict::is_empty) {
                    line(out, place.indent, &format!("{name}: {{}}"));
                    continue;
                }
                let below = Place { indent: place.indent + 2, ..below };
                let mut text = String::new();
                section(&mut text, merged, keys, &below);
                if !(place.only_set && text.is_empty()) {
                    line(out, place.indent, &format!("{name}:"));
                    out.push_str(&text);
                }
            }
        }
    }
}

fn entry(out: &mut String, merged: &Merged, key: &Key, name: &str, value: Option<&Value>, place: &Place) {
    let origin = value.and_then(|value| merged.origin(&place.path, value));
    if place.only_set && matches!(origin, None | Some(Origin::Default)) && !place.element {
        return;
    }
    let comment = match origin {
        Some(Origin::Default) => "default".to_owned(),
        Some(Origin::Environment(name)) => format!("env {name}"),
        Some(Origin::Flag(name)) => format!("flag {name}"),
        Some(file) => format!("from {file}"),
        None => "not set".to_owned(),
    };
    let elements = value.and_then(Value::as_array).filter(|items| !items.is_empty());
    match (key.kind, elements) {
        (Kind::Entries, Some(elements)) => {
            line(out, place.indent, &format!("{name}:  # {comment}"));
            for (index, element) in elements.iter().enumerate() {
                list_element(out, merged, element, place, index);
            }
        }
        (kind, _) => {
            let value = shown(kind, value);
            let space = if value.is_empty() { "" } else { " " };
            line(out, place.indent, &format!("{name}:{space}{value}  # {comment}"));
        }
    }
}

fn list_element(out: &mut String, merged: &Merged, element: &Value, place: &Place, index: usize) {
    let below = Place {
        path: format!("{}[{index}]", place.path),
        schema: format!("{}[]", place.schema),
        indent: place.indent + 4,
        element: true,
        only_set: place.only_set,
    };
    let mut text = String::new();
    section(&mut text, merged, element.as_dict(), &below);
    let dash = format!("{}- ", " ".repeat(place.indent + 2));
    match text.get(place.indent + 4..) {
        Some(rest) => out.extend([&dash, rest]),
        None => line(out, place.indent + 2, "- {}"),
    }
}

fn shown(kind: Kind, value: Option<&Value>) -> String {
    match (kind, value) {
        (_, None | Some(Value::Empty(..))) => String::new(),
        (Kind::Secret, Some(_)) => "\"[redacted]\"".to_owned(),
        (Kind::Url(_) | Kind::UrlOrUrls(_), Some(Value::String(_, url))) => scalar(&redacted(url)),
        (Kind::Urls(_) | Kind::KeyUrls | Kind::UrlOrUrls(_), Some(Value::Array(_, urls))) => {
            let urls = urls.iter().filter_map(Value::as_str).map(|url| scalar(&redacted(url)));
            format!("[{}]", urls.collect::<Vec<_>>().join(", "))
        }
        // JSON is YAML's flow style.
        (Kind::Free, Some(Value::String(_, json))) => yaml_text::json(&variables::escape(json)),
        (_, Some(value)) => flow(value),
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(_, text) => scalar(text),
        Value::Array(_, items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Dict(_, dict) => {
            let entries = dict.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        _ => String::new(),
    }
}

fn line(out: &mut String, indent: usize, text: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{:indent$}{text}", "");
}
