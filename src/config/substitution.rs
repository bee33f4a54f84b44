//! Replaces `${NAME:-default}` like Dropwizard's `EnvironmentVariableSubstitutor`: in the text, before YAML is parsed.
//! So a value may be a quoted word, a list or a comment. Defaults may contain further expressions.
//!
//! A variable that is neither set nor has a default stays as it is, and so does `$${`, a literal `${`. `variables`
//! handles both in the values that are read.

use super::document::{MAX_BYTES, Position};
use super::variables::expression_length;

const MAX_NESTING: usize = 16;
const MAX_EXPRESSIONS: usize = 10_000;
const MAX_EXPRESSION_BYTES: usize = 4 * 1024;

/// A text with its expressions replaced.
pub(super) struct Substituted {
    /// The text.
    pub(super) text: String,
    /// The character offsets of line starts: in the text and in the original.
    lines: (Vec<usize>, Vec<usize>),
    /// The character offsets of runs: in the text, in the original, and whether the run is a copy.
    runs: Vec<(usize, usize, bool)>,
}

/// Replaces every expression of `original`.
///
/// # Errors
/// The position of the expression that makes the text too long, or that exceeds the limit on expressions.
pub(super) fn substitute(
    original: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Substituted, Position> {
    let lines = (Vec::new(), line_starts(original));
    let mut result = Substituted { text: String::new(), lines, runs: vec![(0, 0, true)] };
    let mut rest = original;
    let (mut written, mut read) = (0, 0);
    while let Some(start) = rest.find("${") {
        let escaped = rest[..start].ends_with('$');
        let end = if escaped { None } else { expression_length(&rest[start..], MAX_EXPRESSION_BYTES) };
        let copied = &rest[..start];
        result.text.push_str(copied);
        let expression = &rest[start..];
        let (value, consumed) = match end {
            Some(end) => (expand(&expression[..end], lookup, 0), end),
            None => ("${".to_owned(), 2),
        };
        result.text.push_str(&value);
        written += copied.chars().count();
        read += copied.chars().count();
        result.runs.push((written, read, false));
        if result.text.len() > MAX_BYTES || result.runs.len() > 2 * MAX_EXPRESSIONS {
            return Err(position_of(&result.lines.1, read));
        }
        written += value.chars().count();
        read += expression[..consumed].chars().count();
        result.runs.push((written, read, true));
        rest = &expression[consumed..];
    }
    result.text.push_str(rest);
    result.lines.0 = line_starts(&result.text);
    Ok(result)
}

impl Substituted {
    /// Whether a value at this position is the content of an expression, or a quote around one.
    pub(super) fn is_replaced(&self, position: Position) -> bool {
        let line = self.lines.0.get(position.line.saturating_sub(1)).copied().unwrap_or_default();
        let index = line + position.column.saturating_sub(1);
        let begins = |(written, _, copied): &(usize, usize, bool)| {
            !copied && (*written == index || *written == index + 1)
        };
        // The runs are in order.
        let from = self.runs.partition_point(|(written, ..)| *written < index);
        self.runs.iter().skip(from).take_while(|(written, ..)| *written <= index + 1).any(begins)
    }

    /// The position in the original text. A replaced part has the position of its `${`.
    pub(super) fn original(&self, position: Position) -> Position {
        let line = self.lines.0.get(position.line.saturating_sub(1)).copied().unwrap_or_default();
        let index = line + position.column.saturating_sub(1);
        let after = self.runs.partition_point(|(written, ..)| *written <= index);
        let Some((written, read, copied)) = after.checked_sub(1).and_then(|last| self.runs.get(last)) else {
            return position;
        };
        position_of(&self.lines.1, if *copied { read + (index - written) } else { *read })
    }
}

/// The number of characters before each line.
fn line_starts(text: &str) -> Vec<usize> {
    let breaks = text.chars().enumerate().filter(|(_, c)| *c == '\n').map(|(index, _)| index + 1);
    std::iter::once(0).chain(breaks).collect()
}

fn position_of(lines: &[usize], index: usize) -> Position {
    let line = lines.partition_point(|start| *start <= index);
    let start = line.checked_sub(1).and_then(|line| lines.get(line)).copied().unwrap_or_default();
    Position { line: line.max(1), column: index - start + 1 }
}

/// The value of `${NAME}` or `${NAME:-default}`.
fn expand(expression: &str, lookup: &dyn Fn(&str) -> Option<String>, depth: usize) -> String {
    let inner = expression.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    match (lookup(name), default) {
        (Some(value), _) => value,
        (None, Some(default)) if depth < MAX_NESTING => expand_all(default, lookup, depth + 1),
        (None, _) => expression.to_owned(),
    }
}

fn expand_all(text: &str, lookup: &dyn Fn(&str) -> Option<String>, depth: usize) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = expression_length(&rest[start..], MAX_EXPRESSION_BYTES) else { break };
        result.push_str(&rest[..start]);
        result.push_str(&expand(&rest[start..start + length], lookup, depth));
        rest = &rest[start + length..];
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Substituted {
        let lookup = |name: &str| match name {
            "A" => Some("[x, y]".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        substitute(text, &lookup).unwrap_or_else(|_| panic!("too long"))
    }

    #[test]
    fn values_defaults_and_nesting() {
        for (text, expected) in [
            ("a: ${A}", "a: [x, y]"),
            ("a: ${A:-z}", "a: [x, y]"),
            ("a: ${B:-z}", "a: z"),
            ("a: ${B:-}", "a: "),
            ("a: ${EMPTY:-z}", "a: "),
            ("a: ${B}", "a: ${B}"),
            ("a: ${B:-${A:-z}} b", "a: [x, y] b"),
            ("a: ${B:-${C:-z}}", "a: z"),
            ("a: ${B:-${C:-${D:-{}}}}", "a: {}"),
            ("a: ${B:-x${C:-y}z}", "a: xyz"),
            ("a: $${A}", "a: $${A}"),
            ("a: ${A", "a: ${A"),
            ("${A}${A}", "[x, y][x, y]"),
            ("a: $A {A}", "a: $A {A}"),
            ("ä: ${B:-ö}", "ä: ö"),
        ] {
            assert_eq!(run(text).text, expected, "{text}");
        }
    }

    #[test]
    fn positions_are_those_of_the_original() {
        let substituted = run("a: 1\nbä: ${A:-z} # x\nc: 2");
        let original = |line, column| substituted.original(Position { line, column });
        assert_eq!(original(1, 4), Position { line: 1, column: 4 });
        assert_eq!(original(2, 5), Position { line: 2, column: 5 });
        assert_eq!(original(2, 9), Position { line: 2, column: 5 }, "inside a value");
        assert_eq!(original(2, 12), Position { line: 2, column: 13 }, "after a value");
        assert_eq!(original(3, 4), Position { line: 3, column: 4 });
    }

    #[test]
    fn growth_and_nesting_are_bounded() {
        let big = |_: &str| Some("x".repeat(MAX_BYTES / 2));
        assert!(substitute("${A}${A}${A}", &big).is_err());
        let deep = "${B:-".repeat(100_000);
        let closed = format!("{deep}{}", "}".repeat(100_000));
        assert!(substitute(&closed, &|_| None).is_err());
        let forty = format!("{}x{}", "${B:-".repeat(40), "}".repeat(40));
        assert!(run(&forty).text.starts_with("${B:-"));
    }
}
