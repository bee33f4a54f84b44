//! Keys in a configuration file: a text, or YAML in the place of its JSON.

use serde_json::Value as Json;

use super::{Merging, Node, Value, Walk};

impl Walk<'_> {
    /// The text of keys. It is a single value: sources replace it as a whole.
    pub(super) fn key_set(&mut self, path: &str, node: &Node) -> Option<Merging> {
        let text = match &node.value {
            Value::Scalar { text, .. } => text.clone(),
            Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
                serde_json::json!({ "keys": json(node) }).to_string()
            }
            Value::List(items) => {
                let texts: Vec<_> = items.iter().filter_map(pem).collect();
                if texts.len() < items.len() {
                    let message =
                        "is a list of something else than keys; accepted: a list of PEM texts, or of JWKs";
                    self.error(path, node.at, message.to_owned());
                    return None;
                }
                texts.join("\n")
            }
            Value::Map(_) | Value::Null => json(node).to_string(),
        };
        Some(Merging::from(text))
    }
}

fn pem(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text.as_str()).filter(|text| text.contains("-----BEGIN ")),
        _ => None,
    }
}

/// Every value of a JWK that is read is a text, also a `kid` that looks like a number.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Scalar { text, .. } => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.node))).collect())
        }
    }
}
