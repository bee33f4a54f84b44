//! Advice for texts that are not YAML, or not what their author meant.

use super::{Node, Position, Value};

/// Advice about a text that cannot be parsed, from the line where parsing stopped and what the parser says.
pub(super) fn of(text: &str, at: Position, info: &str) -> Option<String> {
    let mut lines = text.lines().skip(at.line.saturating_sub(2));
    let before = if at.line > 1 { lines.next().unwrap_or_default() } else { "" };
    let line = lines.next().unwrap_or_default();
    // The parser may notice only in the next line.
    let either = |test: &dyn Fn(&str) -> bool| test(line) || test(before);
    let indented =
        |line: &str| line.starts_with(char::is_whitespace) && line.trim_start_matches(' ').starts_with('\t');
    let advice = if either(&|line| line.starts_with('\t') || indented(line)) {
        "YAML is indented with spaces: replace the tab"
    } else if either(&|line| value_of(line).starts_with("[::")) {
        "put quotes around an IPv6 address: \"[::]:8685\""
    } else if either(&|line| value_of(line).starts_with(['*', '&'])) {
        "put quotes around a value that begins with `*` or `&`"
    } else if either(&|line| value_of(line).starts_with(['@', '`', '%', '!'])) {
        "put quotes around a value that begins with a special character"
    } else if either(&|line| value_of(line).contains("{{") || line.trim_start().starts_with("{{")) {
        "this looks like a template that was not rendered: `{{ ... }}`"
    } else if either(&|line| {
        line.starts_with("<<<<<<<") || line.starts_with("=======") || line.starts_with(">>>>>>>")
    }) {
        "these are the marks of a merge conflict: keep one side"
    } else if info.contains("anchor or alias") {
        "put quotes around a value that begins with `*` or `&`"
    } else if info.contains("quoted scalar") || info.contains("unexpected end of stream") {
        "a quote is not closed: look at this line and those before it"
    } else if opens(before, '[', ']') || opens(before, '{', '}') {
        "a `[` or `{` of the line before is not closed"
    } else if line.trim_start().starts_with('-') && !line.trim_start().starts_with("- ") {
        "an item of a list begins with `- `, with a space"
    } else if info.contains("block mapping") {
        "indent all keys of a section equally, with spaces"
    } else if info.contains("mapping values") || info.contains("':'") || colon_without_space(line) {
        "write a space after the colon of a key, put quotes around a value that contains `: `, and indent all keys of a \
         section equally"
    } else {
        return None;
    };
    Some(advice.to_owned())
}

/// Advice about the second value of a key.
pub(super) fn of_second(key: &str, first: usize, node: &Node) -> Option<String> {
    Some(match &node.value {
        Value::Map(_) => format!(
            "put the keys of both under the `{key}:` of line {first}; lists with the same name become one list there"
        ),
        Value::List(_) => format!("put the items of both into the list of line {first}"),
        Value::Null | Value::Scalar { .. } => "keep one of them".to_owned(),
    })
}

/// The value of `key: value` or `- value`.
fn value_of(line: &str) -> &str {
    let line = line.trim_start();
    let item = line.strip_prefix("- ").unwrap_or(line);
    item.split_once(": ").map_or(item, |(_, value)| value.trim_start())
}

/// Whether a line looks like `key:value`.
fn colon_without_space(line: &str) -> bool {
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
    line.trim_start()
        .split_once(':')
        .is_some_and(|(key, rest)| word(key) && !rest.is_empty() && !rest.starts_with([' ', '/']))
}

/// Whether a line has more opening brackets than closing ones.
fn opens(line: &str, open: char, close: char) -> bool {
    line.matches(open).count() > line.matches(close).count()
}
