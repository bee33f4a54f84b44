//! Patterns for path segments: `*` is one segment, `**` is the rest.

use std::fmt;

/// A pattern for the segments of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    pub(super) segments: Vec<Segment>,
    /// Whether the pattern ends in `**`, or in a `*` within its last segment.
    pub(super) open: bool,
    /// Whether the pattern begins with `/**`: the rest may start at any segment.
    pub(super) anywhere: bool,
    /// Whether the last segment ends in `*` and is a prefix.
    pub(super) partial: bool,
    /// The literal prefix with its slashes: the whole pattern, or up to the first `*`.
    literal: Box<str>,
    /// How many bytes of `literal` are compared exactly. The rest is compared without ASCII case.
    exact: usize,
    /// The number of segments in `literal`.
    literals: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// Parses a pattern such as `/api/v1/*/name/**`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let not_plain = |c: char| c.is_control() || c.is_whitespace() || "%;?#\\".contains(c);
        let Some(path) = text.strip_prefix('/') else {
            return Err(PatternError::NotAbsolute(text.to_owned()));
        };
        if text.contains(not_plain) {
            return Err(PatternError::NotPlain(text.to_owned()));
        }
        let (path, open) = match path.strip_suffix("**") {
            Some("") => return Ok(Self::of(Vec::new(), true)),
            Some(path) if path.ends_with('/') => (&path[..path.len() - 1], true),
            _ => (path, false),
        };
        let segments = path.split('/').map(Segment::parse).collect::<Result<_, _>>()?;
        Ok(Self::of(segments, open))
    }

    /// Parses a pattern of a preset, which may also be `/**/x/**` or `/x*`. After its first `exact` bytes it is
    /// compared without ASCII case.
    pub(super) fn parse_preset(text: &str, exact: usize) -> Result<Self, PatternError> {
        let anywhere = text.strip_prefix("/**").filter(|rest| rest.starts_with('/'));
        let rest = anywhere.unwrap_or(text);
        let partial = rest.strip_suffix('*').filter(|rest| !rest.ends_with(['*', '/']));
        let mut pattern = Self::parse(partial.unwrap_or(rest))?;
        pattern.anywhere = anywhere.is_some();
        pattern.exact = exact.min(pattern.literal.len());
        if partial.is_some() {
            (pattern.open, pattern.partial) = (true, true);
        }
        Ok(pattern)
    }

    fn of(segments: Vec<Segment>, open: bool) -> Self {
        let mut literal = String::new();
        let mut literals = 0;
        for segment in &segments {
            let Segment::Literal(text) = segment else { break };
            literal.push('/');
            literal.push_str(text);
            literals += 1;
        }
        let exact = literal.len();
        Self { segments, open, anywhere: false, partial: false, literal: literal.into(), exact, literals }
    }

    /// Whether one reading of a path matches. `/a/**` also matches `/a`, so a rule about everything below a
    /// collection includes the collection itself.
    pub fn matches(&self, path: &[u8]) -> bool {
        if path.first() != Some(&b'/') {
            return false;
        }
        if !self.anywhere {
            return self.matches_at_start(path);
        }
        let mut rest = path;
        while !self.matches_at_start(rest) {
            let next = rest.iter().skip(1).position(|byte| *byte == b'/');
            match next.and_then(|at| rest.get(at + 1..)) {
                Some(further) => rest = further,
                None => return false,
            }
        }
        true
    }

    fn matches_at_start(&self, path: &[u8]) -> bool {
        let literal = self.literal.as_bytes();
        // Fast path: most patterns are literal, and most paths differ in length.
        if !self.open && self.segments.len() == self.literals && path.len() != literal.len() {
            return false;
        }
        let Some((start, rest)) = path.split_at_checked(literal.len()) else { return false };
        let same = if self.ignores_case() {
            start.get(..self.exact) == literal.get(..self.exact) && start.eq_ignore_ascii_case(literal)
        } else {
            start == literal
        };
        same && self.matches_rest(rest)
    }

    /// Whether the part of a path after the literal prefix matches.
    fn matches_rest(&self, rest: &[u8]) -> bool {
        if self.segments.len() == self.literals {
            return rest.is_empty() || self.open && (self.partial || rest.starts_with(b"/"));
        }
        let Some(rest) = rest.strip_prefix(b"/") else { return false };
        let same = |literal: &str, segment: &[u8]| {
            if self.ignores_case() {
                segment.eq_ignore_ascii_case(literal.as_bytes())
            } else {
                segment == literal.as_bytes()
            }
        };
        let mut segments = rest.split(|byte| *byte == b'/');
        for pattern in self.segments.iter().skip(self.literals) {
            match (pattern, segments.next()) {
                (Segment::Literal(literal), Some(segment)) if same(literal, segment) => {}
                (Segment::Any, Some(segment)) if !segment.is_empty() => {}
                _ => return false,
            }
        }
        self.open || segments.next().is_none()
    }

    /// Whether a part of it is compared without ASCII case.
    pub fn ignores_case(&self) -> bool {
        self.exact < self.literal.len()
    }

    /// Whether every path below some point matches.
    pub(super) fn is_tree(&self) -> bool {
        self.open
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
        let anywhere = if self.anywhere { "/**" } else { "" };
        write!(f, "{anywhere}{}", self.literal)?;
        for segment in self.segments.iter().skip(self.literals) {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Any => f.write_str("/*")?,
            }
        }
        match (self.open, self.partial) {
            (false, _) => Ok(()),
            (true, false) => f.write_str("/**"),
            (true, true) => f.write_str("*"),
        }
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
            ("/*", "/", false),
            ("/*", "/a", true),
            ("/*/**", "/a", true),
            ("/*/**", "/a/b", true),
            ("/a/", "/a/", true),
            ("/a/", "/a", false),
            ("/a//**", "/a/x", false),
            ("/a//**", "/a//x", true),
            ("/a/b/*/c/**", "/a/b/x/c/d/e", true),
            ("/a/b/*/c/**", "/a/b//c/d", false),
        ] {
            let parsed = PathPattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(path.as_bytes()), expected, "{pattern} {path}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn patterns_of_presets() {
        for (pattern, exact, path, expected) in [
            ("/api/v1/x", 4, "/api/V1/X", true),
            ("/api/v1/x", 4, "/API/v1/x", false),
            ("/api/v1/x", 4, "/api/v1/xx", false),
            ("/api/v1/x", 0, "/API/V1/X", true),
            ("/api/v1/x", usize::MAX, "/api/V1/x", false),
            ("/mcp/**", 0, "/MCP", true),
            ("/mcp/**", 0, "/Mcp/x", true),
            ("/mcp/**", 0, "/mcpx", false),
            ("/mcp/*/Y", 0, "/mcp/x/y", true),
            ("/openapi*", 0, "/OpenAPI.json", true),
            ("/openapi*", 0, "/openapi", true),
            ("/openapi*", 0, "/openapi/a/b", true),
            ("/openapi*", 0, "/x/openapi", false),
            ("/openapi*", 0, "/opena", false),
            ("/**/api/**", 0, "/api", true),
            ("/**/api/**", 0, "/api/v1/x", true),
            ("/**/api/**", 0, "/a/b/API/v1", true),
            ("/**/api/**", 0, "/a/b/api", true),
            ("/**/api/**", 0, "/a/xapi/b", false),
            ("/**/api/**", 0, "/a/apix/b", false),
            ("/**/api/**", 0, "/", false),
            ("/**/api/**", 0, "*", false),
        ] {
            let parsed = PathPattern::parse_preset(pattern, exact).unwrap();
            assert_eq!(parsed.matches(path.as_bytes()), expected, "{pattern} {path}");
            assert_eq!(parsed.to_string(), pattern);
        }
        for pattern in ["", "x", "/a**", "/*a", "/a*/b", "/**x"] {
            assert!(PathPattern::parse_preset(pattern, 0).is_err(), "{pattern}");
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
        let error = |pattern| PathPattern::parse(pattern).unwrap_err();
        assert_eq!(error("/**/a"), PatternError::RestNotLast);
        assert_eq!(error("/a**/b"), PatternError::PartialWildcard("a**".to_owned()));
    }
}
