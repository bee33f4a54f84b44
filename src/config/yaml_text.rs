//! Values as YAML text.

use std::fmt::Write as _;

use super::variables;
use crate::printable::{self, is_printable};

/// A scalar that YAML parses as the same text.
pub(super) fn scalar(text: &str) -> String {
    let text = &*variables::escape(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@+".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_/".contains(c));
    let null = ["null", "Null", "NULL"].contains(&text);
    if starts && text.chars().all(plain) && !text.ends_with(':') && !null {
        return text.to_owned();
    }
    json(&serde_json::Value::from(text).to_string())
}

/// A JSON text as YAML, whose double-quoted scalars are JSON's strings but for some characters.
pub(super) fn json(text: &str) -> String {
    printable::line(text).into_owned()
}

/// A double-quoted string of YAML, and of JSON unless it has invisible characters beyond U+FFFF.
pub fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for character in value.chars() {
        let code = u32::from(character);
        // Writing to a `String` does not fail.
        let _ = match character {
            '"' | '\\' => write!(text, "\\{character}"),
            _ if is_printable(character) => write!(text, "{character}"),
            _ if code > 0xffff => write!(text, "\\U{code:08x}"),
            _ => write!(text, "\\u{code:04x}"),
        };
    }
    text.push('"');
    text
}
