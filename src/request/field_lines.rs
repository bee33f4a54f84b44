//! Field lines (RFC 9112 section 5), as their bytes arrive: those of a head, or those of a trailer section.

use std::ops::Range;

use super::grammar::{token_len, value_len};

/// The longest field name.
pub(super) const MAX_NAME: usize = 256;

pub(crate) const LINE_END: &str = "a line does not end with CR LF";

/// Reads field lines up to the empty line after them. Every byte is read once, and those of a line that does not arrive
/// at once up to twice.
#[derive(Clone, Debug)]
pub(crate) struct FieldLines {
    part: Part,
    at: usize,
    /// Where the current name or value begins.
    begin: usize,
    name: Range<usize>,
    /// How many more fields may follow.
    left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    LineStart,
    Name,
    Value,
    LineFeed,
    LastLineFeed,
}

/// A part of a field section that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FieldLine {
    /// A field, as positions in the bytes: its name, and its value without the white space around it.
    Field {
        /// The name.
        name: Range<usize>,
        /// The value.
        value: Range<usize>,
    },
    /// The empty line at the end.
    End,
}

/// Why field lines are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldFault {
    /// A line is malformed; the text says how.
    Malformed(&'static str),
    /// There are too many fields, or a name is too long.
    TooLarge,
}

const fn bad<T>(why: &'static str) -> Result<T, FieldFault> {
    Err(FieldFault::Malformed(why))
}

impl FieldLines {
    /// Starts at this position of the bytes. At most `limit` fields may follow.
    pub(crate) const fn new(at: usize, limit: usize) -> Self {
        Self { part: Part::LineStart, at, begin: at, name: 0..0, left: limit }
    }

    /// The position of the first byte that was not read.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// Reads up to the end of the next field's value, or to the end of the section. `bytes` starts at the same byte in
    /// every call. Returns `None` if they end before that.
    ///
    /// # Errors
    /// Why the line is refused. The bytes after it cannot be read.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Option<FieldLine>, FieldFault> {
        if self.part == Part::LineStart
            && let Some(line) = self.whole_line(bytes)
        {
            return Ok(Some(line));
        }
        while let Some(byte) = bytes.get(self.at) {
            match self.part {
                Part::LineStart => self.line_start(*byte)?,
                Part::Name => self.name(bytes)?,
                Part::Value => {
                    let Some(value) = self.value(bytes)? else { break };
                    return Ok(Some(FieldLine::Field { name: self.name.clone(), value }));
                }
                Part::LineFeed if *byte == b'\n' => self.advance_to(Part::LineStart),
                Part::LastLineFeed if *byte == b'\n' => {
                    self.at += 1;
                    return Ok(Some(FieldLine::End));
                }
                Part::LineFeed | Part::LastLineFeed => return bad(LINE_END),
            }
        }
        Ok(None)
    }

    /// Reads a line at once, as most arrive. `None` if it is not whole or is refused; then nothing has changed.
    fn whole_line(&mut self, bytes: &[u8]) -> Option<FieldLine> {
        let left = self.left.checked_sub(1)?;
        let line = bytes.get(self.at..)?;
        let name = token_len(line);
        let after = line.get(name..)?.strip_prefix(b":")?;
        let value = value_len(after);
        if name == 0 || name > MAX_NAME || !after.get(value..)?.starts_with(b"\r\n") {
            return None;
        }
        let begin = self.at + name + 1;
        let field =
            FieldLine::Field { name: self.at..self.at + name, value: trimmed(bytes, begin..begin + value) };
        (self.left, self.at) = (left, begin + value + 2);
        Some(field)
    }

    /// Accepts the byte at `at` and continues with `part`.
    fn advance_to(&mut self, part: Part) {
        self.at += 1;
        self.part = part;
        self.begin = self.at;
    }

    fn line_start(&mut self, byte: u8) -> Result<(), FieldFault> {
        match byte {
            b'\r' => self.advance_to(Part::LastLineFeed),
            b'\n' => return bad(LINE_END),
            b' ' | b'\t' => return bad("a field is folded, or begins with white space"),
            b':' => return bad("a field has no name"),
            _ => {
                self.left = self.left.checked_sub(1).ok_or(FieldFault::TooLarge)?;
                self.begin = self.at;
                self.part = Part::Name;
            }
        }
        Ok(())
    }

    fn name(&mut self, bytes: &[u8]) -> Result<(), FieldFault> {
        self.at += token_len(bytes.get(self.at..).unwrap_or_default());
        if self.at - self.begin > MAX_NAME {
            return Err(FieldFault::TooLarge);
        }
        match bytes.get(self.at) {
            None => Ok(()),
            Some(b':') => {
                self.name = self.begin..self.at;
                self.advance_to(Part::Value);
                Ok(())
            }
            Some(b' ' | b'\t') => bad("white space in or after a field name"),
            Some(b'\r' | b'\n') => bad("a field has no colon"),
            Some(_) => bad("a field name is not a token"),
        }
    }

    /// Returns where the value is, once its end has been read.
    fn value(&mut self, bytes: &[u8]) -> Result<Option<Range<usize>>, FieldFault> {
        self.at += value_len(bytes.get(self.at..).unwrap_or_default());
        match bytes.get(self.at) {
            None => Ok(None),
            Some(b'\r') => {
                let value = trimmed(bytes, self.begin..self.at);
                self.advance_to(Part::LineFeed);
                if bytes.get(self.at) == Some(&b'\n') {
                    self.advance_to(Part::LineStart);
                }
                Ok(Some(value))
            }
            Some(b'\n') => bad(LINE_END),
            Some(_) => bad("a field value has a control character"),
        }
    }
}

/// A range of bytes without the white space at both of its ends (RFC 9110 section 5.5).
fn trimmed(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let text = bytes.get(range.clone()).unwrap_or_default();
    // Almost all have one blank before them and none after them.
    if let [b' ', first, .., last] = text
        && first.is_ascii_graphic()
        && last.is_ascii_graphic()
    {
        return range.start + 1..range.end;
    }
    let leading = text.len() - text.trim_ascii_start().len();
    let trailing = text.len() - text.trim_ascii_end().len();
    // Of only white space, both are all of it.
    let start = range.start + leading;
    start..(range.end - trailing).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields<'t> = Vec<(&'t str, &'t str)>;

    /// The names and values of all fields, and the length of the section. Checks that the result does not depend on how
    /// the bytes are split.
    #[track_caller]
    fn fields(text: &str, limit: usize) -> Result<(Fields<'_>, Option<usize>), FieldFault> {
        let read = |ends: &mut dyn Iterator<Item = usize>| {
            let (mut lines, mut fields) = (FieldLines::new(0, limit), Vec::new());
            for end in ends {
                while let Some(line) = lines.next(&text.as_bytes()[..end])? {
                    match line {
                        FieldLine::Field { name, value } => fields.push((&text[name], &text[value])),
                        FieldLine::End => return Ok((fields, Some(lines.at()))),
                    }
                }
                assert_eq!(lines.at(), end);
            }
            Ok((fields, None))
        };
        let whole = read(&mut [text.len()].into_iter());
        assert_eq!(read(&mut (0..=text.len())), whole, "byte by byte: {text:?}");
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            assert_eq!(read(&mut [at, text.len()].into_iter()), whole, "{text:?} split at {at}");
        }
        whole
    }

    #[test]
    fn fields_are_read_up_to_the_empty_line() {
        let text = "A: b\r\nC:\r\nD:\t \r\ne: f g \t\r\n\r\nnext";
        let expected = vec![("A", "b"), ("C", ""), ("D", ""), ("e", "f g")];
        assert_eq!(fields(text, 4), Ok((expected, Some(text.len() - 4))));
        assert_eq!(fields("\r\n", 0), Ok((vec![], Some(2))));
        assert_eq!(fields("A: b\r\n", 1), Ok((vec![("A", "b")], None)));
    }

    #[test]
    fn number_of_fields_and_names_are_limited() {
        assert_eq!(fields("A: b\r\nC: d\r\n\r\n", 1), Err(FieldFault::TooLarge));
        let long = |len: usize| format!("{}: b\r\n\r\n", "a".repeat(len));
        assert!(fields(&long(MAX_NAME), 1).is_ok());
        assert_eq!(fields(&long(MAX_NAME + 1), 1), Err(FieldFault::TooLarge));
    }

    #[test]
    fn malformed_lines_are_refused() {
        for (text, why) in [
            ("A: b\n\r\n", LINE_END),
            ("\n", LINE_END),
            ("A: b\r\r", LINE_END),
            ("\rA", LINE_END),
            (" A: b\r\n", "a field is folded, or begins with white space"),
            ("A: b\r\n c\r\n", "a field is folded, or begins with white space"),
            (": b\r\n", "a field has no name"),
            ("A : b\r\n", "white space in or after a field name"),
            ("A\r\n", "a field has no colon"),
            ("A@: b\r\n", "a field name is not a token"),
            ("@: b\r\n", "a field name is not a token"),
            ("A: \0\r\n", "a field value has a control character"),
        ] {
            assert_eq!(fields(text, 9), bad(why), "{text:?}");
        }
    }
}
