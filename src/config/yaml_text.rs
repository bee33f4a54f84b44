//! Values as YAML text.

use super::variables;

/// A scalar that YAML parses as the same text.
pub(super) fn scalar(text: &str) -> String {
    let text = &*variables::escape(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@+".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_/".contains(c));
    let null = ["null", "Null", "NULL"].contains(&text);
    if starts && text.chars().all(plain) && !text.ends_with(':') && !null {
        return text.to_owned();
    }
    // JSON's strings are YAML's double-quoted scalars.
    serde_json::Value::from(text).to_string()
}
