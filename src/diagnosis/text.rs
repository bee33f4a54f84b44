//! Bounded and printable text.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use crate::jose::JsonValue;
use crate::printable::is_printable;

/// The longest text, in bytes.
const MAX_BYTES: usize = 768;
/// The longest value in a text, in characters.
const MAX_VALUE_CHARS: usize = 128;
/// The most items of a list in a text.
const MAX_ITEMS: usize = 8;

/// A text for operators of bounded length. What would exceed the bound is replaced by `...`.
#[derive(Debug)]
pub struct Detail {
    text: String,
    is_cut: bool,
}

impl Detail {
    /// The text of these arguments.
    pub fn of(arguments: fmt::Arguments<'_>) -> Self {
        // Most texts need no second allocation.
        let mut detail = Self { text: String::with_capacity(128), is_cut: false };
        detail.add(arguments);
        detail
    }

    /// Appends.
    pub fn add(&mut self, arguments: fmt::Arguments<'_>) {
        // Only a text that is full fails.
        let _ = self.write_fmt(arguments);
    }

    /// Appends a value that a token's author chose, if there is one.
    pub fn add_value(&mut self, value: Option<&str>) {
        if let Some(value) = value {
            self.add(format_args!(": {}", Quoted(value)));
        }
    }

    /// The text.
    pub fn finish(self) -> Cow<'static, str> {
        let Self { mut text, is_cut } = self;
        if is_cut {
            text.push_str("...");
        }
        text.into()
    }
}

impl fmt::Write for Detail {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_BYTES - self.text.len().min(MAX_BYTES);
        if text.len() <= room && !self.is_cut {
            self.text.push_str(text);
            return Ok(());
        }
        self.is_cut = true;
        let end = text.floor_char_boundary(room);
        self.text.push_str(text.get(..end).unwrap_or_default());
        Err(fmt::Error)
    }
}

/// A text in quotes, shortened and escaped.
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A claim may have a whole token in it.
        if self.0.starts_with("eyJ") {
            return f.write_str("(a text like a token)");
        }
        f.write_char('"')?;
        let end = self.0.char_indices().nth(MAX_VALUE_CHARS).map(|(at, _)| at);
        write_escaped(f, self.0.get(..end.unwrap_or(self.0.len())).unwrap_or_default(), true)?;
        f.write_str(if end.is_some() { "...\"" } else { "\"" })
    }
}

/// A text that is not a token's, such as a URL of the configuration or an error of the network: without quotes, escaped
/// and shortened.
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(2 * MAX_VALUE_CHARS).map(|(at, _)| at);
        write_escaped(f, self.0.get(..end.unwrap_or(self.0.len())).unwrap_or_default(), false)?;
        if end.is_some() { f.write_str("...") } else { Ok(()) }
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str, quoted: bool) -> fmt::Result {
    let is_plain = |c: char| is_printable(c) && !(quoted && matches!(c, '"' | '\\'));
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| !is_plain(*c)) {
        f.write_str(rest.get(..at).unwrap_or_default())?;
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            _ => c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(f, "\\u{unit:04x}"))?,
        }
        rest = rest.get(at + c.len_utf8()..).unwrap_or_default();
    }
    f.write_str(rest)
}

/// A list of words from the configuration or of a closed set: `[a, b]`.
pub struct Words<I>(pub I);

impl<'a, I: Iterator<Item = &'a str> + Clone> fmt::Display for Words<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0.clone(), ", ", |f, word| write_escaped(f, word, false))
    }
}

/// A list of texts that a token's author chose: `["a","b"]`.
pub struct QuotedNames<I>(pub I);

impl<'a, I: Iterator<Item = &'a str> + Clone> fmt::Display for QuotedNames<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0.clone(), ",", |f, name| Quoted(name).fmt(f))
    }
}

/// A list of at most [`MAX_ITEMS`] items; then how many more there are.
fn list<T>(
    f: &mut fmt::Formatter<'_>,
    mut items: impl Iterator<Item = T>,
    separator: &str,
    mut item: impl FnMut(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    f.write_char('[')?;
    for (at, value) in items.by_ref().take(MAX_ITEMS).enumerate() {
        if at > 0 {
            f.write_str(separator)?;
        }
        item(f, value)?;
    }
    match items.count() {
        0 => f.write_char(']'),
        more => write!(f, " and {more} more]"),
    }
}

/// The value of a claim; `none` if there is none.
pub struct Claim<'a>(pub Option<JsonValue<'a>>);

impl fmt::Display for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none"),
            Some(JsonValue::Null) => f.write_str("null"),
            Some(JsonValue::Bool(value)) => write!(f, "{value}"),
            Some(JsonValue::Number(number)) => write!(f, "{number}"),
            Some(JsonValue::String(text)) => Quoted(text).fmt(f),
            Some(JsonValue::Array(items)) => list(f, items.iter(), ",", |f, value| match value {
                JsonValue::Array(_) => f.write_str("[...]"),
                value => Claim(Some(value)).fmt(f),
            }),
            Some(JsonValue::Object(_)) => f.write_str("{...}"),
        }
    }
}

/// The value of a claim, with its type.
pub struct Typed<'a>(pub Option<JsonValue<'a>>);

impl fmt::Display for Typed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            None | Some(JsonValue::Null) => "",
            Some(JsonValue::Bool(_)) => "the boolean ",
            Some(JsonValue::Number(_)) => "the number ",
            Some(JsonValue::String(_)) => "the text ",
            Some(JsonValue::Array(_)) => "the list ",
            Some(JsonValue::Object(_)) => "the map ",
        };
        write!(f, "{kind}{}", Claim(self.0))
    }
}

/// A number of seconds in its two largest units: `3h 12m`.
pub struct Span(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
        let mut rest = self.0;
        let largest = UNITS.iter().position(|(unit, _)| rest >= *unit).unwrap_or(UNITS.len() - 1);
        for (at, (unit, name)) in UNITS.iter().enumerate().skip(largest).take(2) {
            let count = rest / unit;
            rest %= unit;
            if at == largest {
                write!(f, "{count}{name}")?;
            } else if count > 0 {
                write!(f, " {count}{name}")?;
            }
        }
        Ok(())
    }
}

/// How two texts differ that a person may take for the same.
pub(super) fn near_miss(one: &str, other: &str) -> Option<&'static str> {
    const SCHEMES: [&str; 2] = ["https://", "http://"];
    let without_scheme = |text| SCHEMES.iter().find_map(|scheme| str::strip_prefix(text, scheme));
    let (a, b) = (one.trim(), other.trim());
    let slash = a.ends_with('/') != b.ends_with('/');
    let (c, d) = (a.trim_end_matches('/'), b.trim_end_matches('/'));
    if one == other {
        None
    } else if a == b {
        Some("white space around it")
    } else if c == d {
        Some("a trailing slash")
    } else if c.eq_ignore_ascii_case(d) {
        Some(if slash { "letter case and a trailing slash" } else { "letter case" })
    } else {
        let (c, d) = (without_scheme(c).unwrap_or(c), without_scheme(d).unwrap_or(d));
        match c.eq_ignore_ascii_case(d) {
            false => None,
            true if c != d => Some("http or https, and letter case"),
            true if slash => Some("http or https, and a trailing slash"),
            true => Some("http or https"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::JsonObject;

    #[test]
    fn values_are_quoted_escaped_and_shortened() {
        let odd = "a\"b\\\u{1b}[2J\u{202e}\u{e0041}\n";
        assert_eq!(Quoted(odd).to_string(), r#""a\"b\\\u001b[2J\u202e\udb40\udc41\u000a""#);
        assert_eq!(Quoted(&"ä".repeat(128)).to_string(), format!("\"{}\"", "ä".repeat(128)));
        assert_eq!(Quoted(&"ä".repeat(129)).to_string(), format!("\"{}...\"", "ä".repeat(128)));
        assert_eq!(Words(["a\u{7}", "b"].into_iter()).to_string(), r"[a\u0007, b]");
        assert_eq!(Quoted("eyJhbGciOiJub25lIn0.e30.").to_string(), "(a text like a token)");
        let many = ["x"; 12];
        assert_eq!(QuotedNames(many.into_iter().skip(3)).to_string().matches("\"x\"").count(), 8);
        assert!(Words(many.into_iter()).to_string().ends_with("x and 4 more]"));
    }

    #[test]
    fn claims_of_every_type_are_shown() {
        let claims = r#"{"a":[1,"b",null,[2],{"c":1}],"d":true,"e":null,"f":1.5,"g":{"h":1}}"#;
        let claims = JsonObject::parse(claims.as_bytes()).unwrap();
        let shown = |name| Claim(claims.get(name)).to_string();
        assert_eq!(shown("a"), r#"[1,"b",null,[...],{...}]"#);
        assert_eq!(["d", "e", "f", "g", "x"].map(shown), ["true", "null", "1.5", "{...}", "none"]);
    }

    #[test]
    fn texts_are_bounded() {
        let mut detail = Detail::of(format_args!("{}", "ä".repeat(400)));
        detail.add(format_args!("more"));
        assert_eq!(detail.finish(), format!("{}...", "ä".repeat(MAX_BYTES / 2)));
        assert_eq!(Detail::of(format_args!("{}", "x".repeat(MAX_BYTES))).finish().len(), MAX_BYTES);
    }

    #[test]
    fn spans_have_two_units() {
        for (secs, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (61, "1m 1s"),
            (3600, "1h"),
            (3601, "1h"),
            (11_520, "3h 12m"),
            (90_000, "1d 1h"),
            (86_400 * 400 + 60, "400d"),
        ] {
            assert_eq!(Span(secs).to_string(), text);
        }
    }

    #[test]
    fn near_misses_are_named() {
        for (one, other, expected) in [
            ("https://x", "https://x/", Some("a trailing slash")),
            ("https://x", "https://X", Some("letter case")),
            ("https://x/", "https://X", Some("letter case and a trailing slash")),
            ("http://x", "https://x", Some("http or https")),
            ("http://x/", "https://x", Some("http or https, and a trailing slash")),
            ("x", "https://x", Some("http or https")),
            ("http://x", "https://X", Some("http or https, and letter case")),
            (" a", "a", Some("white space around it")),
            ("https://x", "https://y", None),
            ("a", "a", None),
        ] {
            assert_eq!(near_miss(one, other), expected, "{one} {other}");
            assert_eq!(near_miss(other, one), expected, "{other} {one}");
        }
    }
}
