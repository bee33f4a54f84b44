//! Changes the text of a revocation list, and nothing else in it: what people wrote there stays, comments included.
//!
//! A list is a block list, a flow list (`[...]`), or one JSON object per line. Changing YAML by its text can go wrong in
//! odd files, so each result is read again: it counts only if its entries are exactly the expected ones.

use std::path::Path;

use crate::config::{RevocationFile, RevocationFileFault, WrittenEntry, quoted_yaml as quoted};

/// How many closing brackets at the end of a flow list are tried: comments may contain some.
const TRIED_BRACKETS: usize = 8;

/// Why a list was not changed.
#[derive(Debug)]
pub enum EditFault {
    /// The list is invalid.
    Invalid(RevocationFileFault),
    /// The list is written in a way that cannot be changed without touching other parts of it.
    Unusual,
}

/// The entries of a list. A file without any text but comments has none; the process refuses such a file.
pub fn entries(path: &Path, text: &str) -> Result<Vec<WrittenEntry>, EditFault> {
    if is_blank(text) {
        return Ok(Vec::new());
    }
    RevocationFile::written(path, text.as_bytes()).map_err(EditFault::Invalid)
}

/// The list with an entry added at its end.
pub fn with_entry(path: &Path, text: &str, new: &WrittenEntry) -> Result<String, EditFault> {
    with_entries(path, text, std::slice::from_ref(new))
}

/// The list with these entries added at its end, at least one.
pub fn with_entries(path: &Path, text: &str, new: &[WrittenEntry]) -> Result<String, EditFault> {
    let mut expected = entries(path, text)?;
    let is_empty = expected.is_empty();
    expected.extend_from_slice(new);
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let at_end = |entry: String| {
        let line_end = if text.is_empty() || text.ends_with('\n') { "" } else { newline };
        vec![format!("{text}{line_end}{entry}{newline}")]
    };
    let all = |one: &dyn Fn(&WrittenEntry) -> String, between: &str| {
        new.iter().map(one).collect::<Vec<_>>().join(between)
    };
    let blocks = |indent: &str| all(&|entry| block(entry, indent, newline), newline);
    let candidates = match Shape::of(text) {
        Shape::Blank => at_end(blocks("")),
        Shape::JsonLines => at_end(all(&|entry| flow(entry, true), newline)),
        Shape::Block => at_end(blocks(block_indent(text))),
        Shape::Flow if is_empty => instead_of_brackets(text, &blocks(""), newline),
        Shape::Flow => before_last_bracket(text, &all(&|entry| flow(entry, false), ", ")),
    };
    first_with(path, candidates, &expected)
}

/// The list without the entries that `removed` selects.
pub fn without(
    path: &Path,
    text: &str,
    removed: impl Fn(&WrittenEntry) -> bool,
) -> Result<(String, Vec<WrittenEntry>), EditFault> {
    let all = entries(path, text)?;
    let mark: Vec<bool> = all.iter().map(&removed).collect();
    let (gone, kept): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|entry| removed(entry));
    if gone.is_empty() {
        return Ok((text.to_owned(), gone));
    }
    let candidates = match Shape::of(text) {
        Shape::Flow if kept.is_empty() => instead_of_brackets(text, "[]", "\n"),
        Shape::Flow => flow_without(text, &all, &mark),
        _ => vec![lines_without(text, &all, &mark)],
    };
    first_with(path, candidates, &kept).map(|text| (text, gone))
}

/// The first text with exactly these entries, in any place.
fn first_with(path: &Path, candidates: Vec<String>, expected: &[WrittenEntry]) -> Result<String, EditFault> {
    let same =
        |one: &WrittenEntry, other: &WrittenEntry| *one == WrittenEntry { at: one.at, ..other.clone() };
    let is_expected = |text: &String| {
        RevocationFile::written(path, text.as_bytes()).is_ok_and(|entries| {
            entries.len() == expected.len()
                && entries.iter().zip(expected).all(|(one, other)| same(one, other))
        })
    };
    candidates.into_iter().find(is_expected).ok_or(EditFault::Unusual)
}

/// How a list is written.
enum Shape {
    Blank,
    Block,
    Flow,
    JsonLines,
}

impl Shape {
    fn of(text: &str) -> Self {
        let first = text.trim_start_matches('\u{feff}').lines().find(|line| !line.trim().is_empty());
        if first.is_some_and(|line| line.trim_start().starts_with('{')) {
            return Self::JsonLines;
        }
        match text.lines().find(|line| !is_without_content(line)).map(|line| content(line).trim_start()) {
            None => Self::Blank,
            Some(line) if line.starts_with('[') => Self::Flow,
            Some(_) => Self::Block,
        }
    }
}

fn is_blank(text: &str) -> bool {
    matches!(Shape::of(text), Shape::Blank)
}

/// A blank line, a comment, or a mark of the document's beginning or end.
fn is_without_content(line: &str) -> bool {
    let line = content(line).trim();
    line.is_empty() || line.starts_with('#') || line == "..."
}

/// A line without the marks before the document.
fn content(line: &str) -> &str {
    let line = line.trim_start_matches('\u{feff}');
    line.strip_prefix("---").unwrap_or(line)
}

/// What stands before the first `-` of a block list.
fn block_indent(text: &str) -> &str {
    let first = text.lines().find(|line| !is_without_content(line)).unwrap_or_default();
    let first = first.trim_start_matches('\u{feff}');
    first.get(..first.len() - first.trim_start_matches(' ').len()).unwrap_or_default()
}

/// The text with `new` in place of an empty `[]`.
fn instead_of_brackets(text: &str, new: &str, newline: &str) -> Vec<String> {
    let Some(open) = text.lines().find(|line| !is_without_content(line)).and_then(|line| {
        let line_start = line.as_ptr().addr() - text.as_ptr().addr();
        line.find('[').map(|at| line_start + at)
    }) else {
        return Vec::new();
    };
    let before = text.get(..open).unwrap_or_default();
    let before_line = before.rsplit('\n').next().unwrap_or_default();
    let before = match before_line.trim_start_matches('\u{feff}').trim() {
        "" => before.trim_end_matches(' ').to_owned(),
        _ => format!("{}{newline}", before.trim_end_matches(' ')),
    };
    brackets(text)
        .filter(|close| *close > open)
        .map(|close| format!("{before}{new}{}", text.get(close + 1..).unwrap_or_default()))
        .collect()
}

/// The text with `new` before one of the last closing brackets.
fn before_last_bracket(text: &str, new: &str) -> Vec<String> {
    let with = |close| {
        let (before, after) = text.split_at(close);
        let (line, end) = (before.trim_end(), if before.ends_with('\n') { "\n" } else { "" });
        // A comma may stand after the last entry, and a comment too, which the next line must not become part of.
        [
            format!("{line}, {new}{end}{after}"),
            format!("{line} {new}{end}{after}"),
            format!("{before}{new}{end}{after}"),
            format!("{before}, {new}{end}{after}"),
        ]
    };
    brackets(text).flat_map(with).collect()
}

/// The last closing brackets. The first of them that closes the list is not in a comment after it.
fn brackets(text: &str) -> impl Iterator<Item = usize> {
    let mut last: Vec<_> = text.rmatch_indices(']').map(|(at, _)| at).take(TRIED_BRACKETS).collect();
    last.reverse();
    last.into_iter()
}

/// A flow list without the marked entries.
fn flow_without(text: &str, all: &[WrittenEntry], mark: &[bool]) -> Vec<String> {
    let text_start = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut starts = Vec::new();
    let mut lines = text.get(text_start..).unwrap_or_default().split_inclusive('\n').enumerate();
    let (mut line_at, mut current) = (text_start, lines.next());
    for entry in all {
        while let Some((number, line)) = current
            && number + 1 < entry.at.line
        {
            line_at += line.len();
            current = lines.next();
        }
        let line = current.map_or("", |(_, line)| line);
        let column = line.char_indices().nth(entry.at.column - 1).map_or(line.len(), |(at, _)| at);
        starts.push(line_at + column);
    }
    let with_end = |end: usize| {
        let ends = starts.iter().skip(1).copied().chain([end]);
        let mut result =
            text.get(..starts.first().copied().unwrap_or_default()).unwrap_or_default().to_owned();
        for ((start, end), is_gone) in starts.iter().zip(ends).zip(mark) {
            if !is_gone {
                result.push_str(text.get(*start..end).unwrap_or_default());
            }
        }
        let rest = text.get(end..).unwrap_or_default();
        let without_comma = result.trim_end().trim_end_matches(',').to_owned();
        [without_comma + rest, result + rest]
    };
    brackets(text).flat_map(with_end).collect()
}

/// A block list, or JSON lines, without the lines of the marked entries. Comments stay.
fn lines_without(text: &str, all: &[WrittenEntry], mark: &[bool]) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_json = matches!(Shape::of(text), Shape::JsonLines);
    let indent = block_indent(text);
    let is_dash = |line: &str| {
        line.trim_start_matches('\u{feff}').strip_prefix(indent).is_some_and(|line| line.starts_with('-'))
    };
    let mut starts = Vec::new();
    for entry in all {
        let floor = starts.last().map_or(0, |last| last + 1);
        let mut start = entry.at.line - 1;
        // The `-` may stand in a line of its own.
        while !is_json && start > floor && !lines.get(start).is_some_and(|line| is_dash(line)) {
            start -= 1;
        }
        starts.push(start);
    }
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    let mut result = lines.get(..starts.first().copied().unwrap_or_default()).unwrap_or_default().concat();
    let none_is_left = mark.iter().all(|is_gone| *is_gone);
    if none_is_left {
        result.push_str("[]\n");
    }
    for ((start, end), is_gone) in starts.iter().zip(ends).zip(mark) {
        let own = lines.get(*start..end).unwrap_or_default();
        // What follows the entry belongs to no entry, or to the next one.
        let after = own.iter().rposition(|line| !is_without_content(line)).map_or(0, |last| last + 1);
        let kept = if *is_gone { own.get(after..) } else { Some(own) };
        result.extend(kept.unwrap_or_default().iter().copied());
    }
    result
}

/// An entry of a block list, without the end of its last line.
pub fn block(entry: &WrittenEntry, indent: &str, newline: &str) -> String {
    let members: Vec<_> = members(entry).into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{indent}- {}", members.join(&format!("{newline}{indent}  ")))
}

/// An entry in braces; as JSON also its keys are in quotes.
fn flow(entry: &WrittenEntry, json: bool) -> String {
    let member = |(key, value): (&str, String)| {
        let is_quoted = value.starts_with('"');
        match json {
            true if is_quoted => format!("\"{key}\": {value}"),
            true => format!("\"{key}\": \"{value}\""),
            false => format!("{key}: {}", if is_quoted { value } else { format!("\"{value}\"") }),
        }
    };
    format!("{{{}}}", members(entry).into_iter().map(member).collect::<Vec<_>>().join(", "))
}

/// The members of an entry. Texts are in quotes.
fn members(entry: &WrittenEntry) -> Vec<(&'static str, String)> {
    let revocation = &entry.revocation;
    let mut members = vec![(revocation.by().as_str(), quoted(revocation.value()))];
    members.extend(revocation.issuer().map(|issuer| ("issuer", quoted(issuer))));
    members.extend(revocation.before().map(|time| ("issuedBefore", time.to_string())));
    members.extend(entry.until.map(|time| ("until", time.to_string())));
    members.extend(entry.note.as_deref().map(|note| ("note", quoted(note))));
    members
}

#[cfg(test)]
mod tests;
