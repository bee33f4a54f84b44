//! Names of claims, and paths into nested ones.

use crate::jose::{JsonObject, JsonValue};

/// The path of a claim in the claims set, in one of three forms:
///
/// - dotted: `realm_access.roles`;
/// - dotted, with names in quotes that contain dots: `resource_access."my.app".roles`;
/// - a JSON Pointer (RFC 6901): `/resource_access/my.app/roles`.
///
/// The whole text is tried first as the name of one claim, because names may be URLs (`https://example.org/roles`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath {
    text: Box<str>,
    /// The names on the way; empty if the text can only be the name of one claim.
    segments: Box<[Box<str>]>,
    /// Whether a number may be the position in a list.
    is_pointer: bool,
}

impl ClaimPath {
    /// A path as it is written. A text that is not a path is the name of one claim.
    pub fn new(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|_| Self {
            text: text.into(),
            segments: Box::default(),
            is_pointer: false,
        })
    }

    /// The same.
    ///
    /// # Errors
    /// What is wrong with quotes or escapes.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let is_pointer = text.starts_with('/');
        let segments = if is_pointer {
            text.split('/').skip(1).map(unescaped).collect::<Result<_, _>>()?
        } else if text.contains('"') {
            quoted_segments(text)?
        } else if text.contains('.') {
            text.split('.').map(Into::into).collect()
        } else {
            Box::default()
        };
        Ok(Self { text: text.into(), segments, is_pointer })
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The value at this path, if there is one.
    pub fn find<'a>(&self, claims: &'a JsonObject) -> Option<JsonValue<'a>> {
        claims.get(&self.text).or_else(|| self.walk(claims))
    }

    /// The same. The name of a single claim may be in any ASCII case, as OpenMetadata reads it.
    pub fn find_ignoring_case<'a>(&self, claims: &'a JsonObject) -> Option<JsonValue<'a>> {
        claims.get_ignoring_case(&self.text).or_else(|| self.walk(claims))
    }

    fn walk<'a>(&self, claims: &'a JsonObject) -> Option<JsonValue<'a>> {
        let (first, rest) = self.segments.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, segment| match value {
            JsonValue::Object(members) => members.get(segment),
            JsonValue::Array(items) if self.is_pointer => items.iter().nth(position(segment)?),
            _ => None,
        })
    }
}

impl Default for ClaimPath {
    fn default() -> Self {
        Self::new("roles")
    }
}

impl From<&str> for ClaimPath {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// RFC 6901 section 4: digits without leading zeros.
fn position(segment: &str) -> Option<usize> {
    let is_number = segment.bytes().all(|byte| byte.is_ascii_digit());
    let is_canonical = segment == "0" || !segment.starts_with('0');
    if is_number && is_canonical { segment.parse().ok() } else { None }
}

/// RFC 6901 section 3: `~1` is `/`, `~0` is `~`.
fn unescaped(segment: &str) -> Result<Box<str>, &'static str> {
    let mut parts = segment.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (c, rest) = match part.strip_prefix('1') {
            Some(rest) => ('/', rest),
            None => ('~', part.strip_prefix('0').ok_or("`~` is followed by neither 0 nor 1")?),
        };
        text.push(c);
        text.push_str(rest);
    }
    Ok(text.into())
}

/// Names separated by dots, some of them in quotes. Within quotes `\"` and `\\` are escapes.
fn quoted_segments(text: &str) -> Result<Box<[Box<str>]>, &'static str> {
    let mut segments = Vec::new();
    let mut rest = text;
    loop {
        let after = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (segment, after) = unquoted(quoted)?;
                segments.push(segment);
                after
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                let (segment, after) = rest.split_at(end);
                if segment.contains('"') {
                    return Err("a quote is within a name: put the whole name into quotes");
                }
                segments.push(segment.into());
                after
            }
        };
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(segments.into()),
            None => return Err("after a name in quotes comes a dot"),
        }
    }
}

/// A name up to its closing quote, and what follows.
fn unquoted(text: &str) -> Result<(Box<str>, &str), &'static str> {
    let mut name = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok((name.into(), chars.as_str())),
            '\\' => match chars.next() {
                Some(escaped @ ('"' | '\\')) => name.push(escaped),
                _ => return Err("`\\` is followed by neither a quote nor `\\`"),
            },
            _ => name.push(c),
        }
    }
    Err("a quote is not closed")
}

#[cfg(test)]
impl PartialEq<Box<str>> for ClaimPath {
    fn eq(&self, other: &Box<str>) -> bool {
        self.text == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: &str = r#"{"roles": 1, "a": {"b": 2, "b.c": 3, "": 4, "x\"y": 5, "s/t": 6, "m~n": 7},
        "a.b": 8, "my.app": {"roles": 9}, "https://example.com/roles": 10, "kubernetes.io": {"pod": {"uid": 11}},
        "/a/b.c": 12, "list": [13, {"z": 14}], "https://example.com/x": {"roles": 15}, "\"a\".b": 16, "01": 17}"#;

    fn found(path: &str) -> Option<String> {
        let claims = JsonObject::parse(CLAIMS.as_bytes()).unwrap();
        ClaimPath::parse(path).unwrap().find(&claims).map(|value| match value {
            JsonValue::Number(number) => number.to_string(),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn three_forms_lead_to_a_claim() {
        for (path, value) in [
            ("roles", "1"),
            ("a.\"b\"", "2"),
            ("a.\"b.c\"", "3"),
            ("a.\"x\\\"y\"", "5"),
            ("a.", "4"),
            ("\"my.app\".roles", "9"),
            ("\"kubernetes.io\".pod.uid", "11"),
            ("\"https://example.com/x\".roles", "15"),
            ("/a/b", "2"),
            ("/a/b.c", "12"),
            ("/a/s~1t", "6"),
            ("/a/m~0n", "7"),
            ("/a/", "4"),
            ("/my.app/roles", "9"),
            ("/https:~1~1example.com~1x/roles", "15"),
            ("/list/0", "13"),
            ("/list/1/z", "14"),
            ("/01", "17"),
        ] {
            assert_eq!(found(path).as_deref(), Some(value), "{path}");
        }
        for path in
            ["a.b.c", "list.0", "/list/00", "/list/2", "/list/-", "/", "/roles/x", "my.app.roles", "A.b", ""]
        {
            assert_eq!(found(path), None, "{path}");
        }
    }

    /// What was a name before is one still.
    #[test]
    fn the_whole_text_comes_first() {
        for (path, value) in
            [("a.b", "8"), ("https://example.com/roles", "10"), ("/a/b.c", "12"), ("\"a\".b", "16")]
        {
            assert_eq!(found(path).as_deref(), Some(value), "{path}");
        }
        let claims = JsonObject::parse(CLAIMS.as_bytes()).unwrap();
        assert!(ClaimPath::new("ROLES").find(&claims).is_none());
        assert!(ClaimPath::new("ROLES").find_ignoring_case(&claims).is_some());
        assert!(ClaimPath::new("A.\"b\"").find_ignoring_case(&claims).is_none());
    }

    #[test]
    fn broken_paths_are_refused() {
        for path in ["\"a", "a\"b\"", "\"a\"b", "a.\"b\\n\"", "/a~2b", "/a~", "\"a\\"] {
            assert!(ClaimPath::parse(path).is_err(), "{path}");
            assert_eq!(ClaimPath::new(path).as_str(), path);
        }
    }
}
