//! Text that others chose, made safe to print: nothing in it steers a terminal or looks like other text.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character is one to look at. Control characters are not (a terminal obeys U+009B as it obeys
/// `ESC [`), nor are those that turn the direction of a text or have no width.
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A text of several lines. Except for line feeds and tabs, every character that is not printable is written as a
/// JSON escape, like `\u001b` (RFC 8259 section 7).
///
/// A JSON text keeps its meaning: such characters stand only in its strings.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// A text that stays on its line: as [`lines()`], with line breaks and tabs escaped too.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

fn escaped(text: &str, kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let seen = |c: char| is_printable(c) || kept(c);
    if text.chars().all(seen) {
        return Cow::Borrowed(text);
    }
    let mut result = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if seen(c) {
            result.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a `String` does not fail.
            let _ = write!(result, "\\u{unit:04x}");
        }
    }
    Cow::Owned(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODD: &str = "a\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\u{feff}\u{e0041}\r\nb\t\u{85}c";

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        let expected = "a\\u001b[2J\\u009b31m\\u202e\\u200b\\ufeff\\udb40\\udc41\\u000d\nb\t\\u0085c";
        assert_eq!(lines(ODD), expected);
        assert_eq!(line(ODD), expected.replace('\n', "\\u000a").replace('\t', "\\u0009"));
        for plain in ["", "key-1", "Schlüssel/é/鍵/🔑", "a \"b\" \\ c"] {
            assert!(matches!(line(plain), Cow::Borrowed(text) if text == plain), "{plain}");
        }
    }

    #[test]
    fn json_says_the_same() {
        let value = serde_json::json!({ ODD: [ODD, "🔑"] });
        let text = format!("{value:#}");
        let printed = lines(&text);
        assert!(printed.chars().all(|c| is_printable(c) || c == '\n'), "{printed}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).ok(), Some(value));
    }
}
