//! Patterns over path segments: `*` is one segment, `**` is the rest.

use std::fmt;

/// A pattern over the segments of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    pub(super) segments: Vec<Segment>,
    /// Whether the pattern ends in `**`.
    pub(super) open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Box<str>),
    Any,
}

/// Why a pattern cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PatternError {
    #[error("a path pattern starts with `/`, `{0}` does not")]
    NotAbsolute(String),
    #[error("`**` stands for the rest of a path and must be its last segment")]
    RestNotLast,
    #[error("`*` and `**` stand for whole segments, not for a part of `{0}`")]
    PartialWildcard(String),
    #[error(
        "a path pattern is written decoded, without `%`, `;`, `?`, `#`, `\\`, dot segments or control characters: `{0}`"
    )]
    NotPlain(String),
    #[error("`{0}` is not one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")]
    Method(String),
}

impl PathPattern {
    /// Reads a pattern such as `/api/v1/*/name/**`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let not_plain = |c: char| c.is_control() || c.is_whitespace() || "%;?#\\".contains(c);
        let Some(path) = text.strip_prefix('/') else {
            return Err(PatternError::NotAbsolute(text.to_owned()));
        };
        if text.contains(not_plain) {
            return Err(PatternError::NotPlain(text.to_owned()));
        }
        let (path, open) = match path.strip_suffix("**") {
            Some("") => return Ok(Self { segments: Vec::new(), open: true }),
            Some(path) if path.ends_with('/') => (&path[..path.len() - 1], true),
            _ => (path, false),
        };
        let segments = path.split('/').map(Segment::parse).collect::<Result<_, _>>()?;
        Ok(Self { segments, open })
    }

    /// Whether one reading of a path matches. `/a/**` also matches `/a` itself, so that a rule
    /// about everything below a collection covers the collection.
    pub fn matches(&self, path: &[u8]) -> bool {
        let Some(path) = path.strip_prefix(b"/") else { return false };
        let mut segments = path.split(|byte| *byte == b'/');
        for own in &self.segments {
            match (own, segments.next()) {
                (Segment::Literal(literal), Some(segment)) if literal.as_bytes() == segment => {}
                (Segment::Any, Some(segment)) if !segment.is_empty() => {}
                _ => return false,
            }
        }
        self.open || segments.next().is_none()
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        match text {
            "*" => Ok(Self::Any),
            "**" => Err(PatternError::RestNotLast),
            "." | ".." => Err(PatternError::NotPlain(text.to_owned())),
            _ if text.contains('*') => Err(PatternError::PartialWildcard(text.to_owned())),
            _ => Ok(Self::Literal(text.into())),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Any => f.write_str("/*")?,
            }
        }
        if self.open { f.write_str("/**") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching() {
        for (pattern, path, expected) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/a", "/a", true),
            ("/a", "/a/", false),
            ("/a", "/A", false),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/", false),
            ("/a/*", "/a", false),
            ("/a/*", "/a/b/c", false),
            ("/a/*/c", "/a/b/c", true),
            ("/a/**", "/a", true),
            ("/a/**", "/a/", true),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/ab", false),
            ("/**", "/", true),
            ("/**", "/a/b", true),
            ("/**", "*", false),
            ("/*/v1/**", "/api/v1/x", true),
        ] {
            let parsed = PathPattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(path.as_bytes()), expected, "{pattern} {path}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn bad_patterns_are_errors() {
        for pattern in [
            "", "a", "a/b", "/**/a", "/a*", "/a**", "/***", "/a/b*c", "/%2e", "/a;b", "/a?b", "/a#b", "/..",
            "/a/./b", "/a b", "/a\\b",
        ] {
            assert!(PathPattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
