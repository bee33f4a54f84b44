//! Makes untrusted text safe to print: it cannot control a terminal or disguise itself as other text.

#[cfg(feature = "server")]
use std::borrow::Cow;
#[cfg(feature = "server")]
use std::fmt::Write as _;

/// Whether a character is safe to print. Control characters are not (a terminal treats U+009B like `ESC [`), and
/// neither are characters that change the direction of text or have no width, and U+FFFE and U+FFFF, which YAML refuses.
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
                | '\u{fffe}'..='\u{ffff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Escapes a text of several lines. Every character that is not printable, except line feeds and tabs, becomes a
/// JSON escape like `\u001b` (RFC 8259 section 7).
///
/// The meaning of a JSON text does not change, because such characters occur only in its strings.
#[cfg(feature = "server")]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// Escapes a text of one line: like [`lines()`], but line breaks and tabs are escaped too.
#[cfg(feature = "server")]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

#[cfg(feature = "server")]
fn escaped(text: &str, exempt: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_plain = |c: char| is_printable(c) || exempt(c);
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut result = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_plain(c) {
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

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    const ODD: &str = "a\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\u{feff}\u{e0041}\r\nb\t\u{85}c\u{ffff}";

    #[test]
    fn unprintable_characters_are_escaped() {
        let expected = "a\\u001b[2J\\u009b31m\\u202e\\u200b\\ufeff\\udb40\\udc41\\u000d\nb\t\\u0085c\\uffff";
        assert_eq!(lines(ODD), expected);
        assert_eq!(line(ODD), expected.replace('\n', "\\u000a").replace('\t', "\\u0009"));
        for plain in ["", "key-1", "Schlüssel/é/鍵/🔑", "a \"b\" \\ c"] {
            assert!(matches!(line(plain), Cow::Borrowed(text) if text == plain), "{plain}");
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({ ODD: [ODD, "🔑"] });
        let text = format!("{value:#}");
        let printed = lines(&text);
        assert!(printed.chars().all(|c| is_printable(c) || c == '\n'), "{printed}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).ok(), Some(value));
    }
}
