//! The JSON Schema of a configuration file, for editors.

use serde_json::{Map, Value, json};

use super::finding::FindingId;
use super::settings::{self, Key, Kind};
use super::values;

/// The JSON Schema (draft 2020-12) of a file in our own format.
pub fn schema() -> Value {
    let mut schema = object("");
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        schema.insert("title".to_owned(), json!("metagate"));
    }
    schema
}

fn object(path: &str) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for name in settings::children(path) {
        let below = settings::join(path, name);
        let value = match settings::find(&below) {
            Some(key) => {
                // Keys that are required outside lists may come from the environment.
                if path.ends_with("[]") && key.required {
                    required.push(name);
                }
                property(key)
            }
            None => object(&below),
        };
        properties.insert(name.to_owned(), value);
    }
    let types =
        if path.is_empty() || path.ends_with("[]") { json!("object") } else { json!(["object", "null"]) };
    let mut object = json!({ "type": types, "additionalProperties": false, "properties": properties });
    if let Some(object) = object.as_object_mut() {
        if !required.is_empty() {
            object.insert("required".to_owned(), json!(required));
        }
        if let Some(doc) = settings::section_doc(path) {
            object.insert("description".to_owned(), json!(doc));
        }
    }
    object
}

fn property(key: &Key) -> Value {
    let mut value = match key.kind {
        Kind::Entries | Kind::Listen => {
            let mut element = object(&format!("{}[]", key.path));
            let mut types = vec!["array", "null"];
            if let (Some(_), Some(element)) = (key.short_form, element.as_object_mut()) {
                element.insert("type".to_owned(), json!(["object", "string"]));
                types.extend(["object", "string"]);
            }
            json!({ "type": types, "items": element })
        }
        Kind::Claims => {
            json!({ "type": ["object", "null"], "additionalProperties": list(json!({ "type": "string" })) })
        }
        Kind::Free => json!({ "type": ["object", "null"] }),
        Kind::Body => json!({ "type": ["object", "string", "null"] }),
        Kind::KeySet => json!({ "type": ["object", "array", "string", "null"] }),
        kind if kind.is_list() => list(item(kind)),
        Kind::UrlOrUrls(schemes) => list(item(Kind::Urls(schemes))),
        kind => item(kind),
    };
    if let Some(value) = value.as_object_mut() {
        value.insert("description".to_owned(), json!(key.text()));
        if let Some(default) = default(key) {
            value.insert("default".to_owned(), default);
        }
    }
    value
}

/// A list, which may also be written as one string.
fn list(item: Value) -> Value {
    json!({ "anyOf": [{ "type": "array", "items": item }, { "type": ["string", "null"] }] })
}

/// A value, or an expression that is replaced by one.
fn item(kind: Kind) -> Value {
    let value = literal(kind);
    let texts = value.get("type").is_some_and(|types| types.to_string().contains("\"string\""));
    match texts && value.get("pattern").is_none() {
        true => value,
        false => json!({ "anyOf": [value, { "type": "string", "pattern": "\\$\\{" }] }),
    }
}

fn literal(kind: Kind) -> Value {
    match kind {
        Kind::Bool => json!({ "type": ["boolean", "null"] }),
        Kind::Integer(min, max) => json!({ "type": ["integer", "null"], "minimum": min, "maximum": max }),
        Kind::Duration(..) => json!({ "type": ["string", "null"], "pattern": "^([0-9]+(ms|s|m|h|d))+$" }),
        Kind::Rate => {
            json!({ "type": ["string", "boolean", "null"], "pattern": "^([0-9]+/[smh]|off)$", "not": { "const": true } })
        }
        Kind::AutoSize(..) => {
            json!({ "type": ["string", "integer", "null"], "pattern": "^(auto|[0-9]+ *(B|KiB|MiB|GiB|kB|KB|MB|GB)?)$" })
        }
        Kind::Size(..) => {
            json!({ "type": ["string", "integer", "null"], "pattern": "^[0-9]+ *(B|KiB|MiB|GiB|kB|KB|MB|GB)?$" })
        }
        Kind::Word(words) => {
            let words: Vec<Option<&str>> = words.accepted.iter().copied().map(Some).chain([None]).collect();
            json!({ "enum": words })
        }
        Kind::Words(words) => json!({ "enum": words.accepted }),
        Kind::Findings => {
            let ids = FindingId::ALL.iter().filter(|id| FindingId::parse(id.as_str()).is_ok());
            json!({ "enum": ids.map(|id| id.as_str()).collect::<Vec<_>>() })
        }
        Kind::Expectation => {
            let statuses = values::REFUSALS.iter().map(|status| json!(status.as_u16()));
            let accepted: Vec<_> =
                std::iter::once(json!("allow")).chain(statuses).chain([Value::Null]).collect();
            json!({ "enum": accepted })
        }
        Kind::Algorithm | Kind::Algorithms => {
            json!({ "enum": crate::jose::Algorithm::ASYMMETRIC.map(crate::jose::Algorithm::name) })
        }
        Kind::Url(schemes) | Kind::UrlOrUrls(schemes) => {
            json!({ "type": ["string", "null"], "pattern": url_pattern(schemes) })
        }
        Kind::Urls(schemes) => json!({ "type": "string", "pattern": url_pattern(schemes) }),
        Kind::KeyUrls => literal(Kind::Urls(values::KEY_URLS)),
        _ if kind.is_list() => json!({ "type": "string" }),
        // Names and texts may look like numbers.
        _ => json!({ "type": ["string", "number", "boolean", "null"] }),
    }
}

fn url_pattern(schemes: &[&str]) -> String {
    // The path of a socket may follow without `//`.
    let forms = schemes.iter().map(|scheme| match *scheme {
        "unix" => "unix:/".to_owned(),
        scheme => format!("{scheme}://"),
    });
    format!("^({})", forms.collect::<Vec<_>>().join("|"))
}

fn default(key: &Key) -> Option<Value> {
    let document = super::document::parse(key.default);
    match document.root.value {
        super::document::Value::Null => None,
        super::document::Value::List(nodes) => {
            let texts = nodes.into_iter().filter_map(|node| match node.value {
                super::document::Value::Scalar { text, .. } => Some(Value::from(text)),
                _ => None,
            });
            Some(texts.collect())
        }
        super::document::Value::Scalar { text, .. } => Some(match key.kind {
            Kind::Bool => Value::from(text == "true"),
            Kind::Integer(..) | Kind::Size(..) => {
                text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from)
            }
            _ => Value::from(text),
        }),
        super::document::Value::Map(_) => None,
    }
}
