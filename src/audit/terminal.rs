//! Audit records for people: one readable line each, when standard output is a terminal.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::Value;

use crate::printable;

/// Writes records, which arrive as lines of JSON, in a form that people can read.
#[derive(Debug)]
pub struct TerminalLines<W>(pub W);

impl<W: Write> Write for TerminalLines<W> {
    /// Whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.write_all(lines)?;
        Ok(lines.len())
    }

    fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut text = String::new();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(record) => readable(&mut text, &record),
                Err(_) => text.push_str(&printable::line(&String::from_utf8_lossy(line))),
            }
            text.push('\n');
        }
        self.0.write_all(text.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// `time decision status method path`, and what else is in the record, each with its name.
fn readable(text: &mut String, record: &Value) {
    let word = |name: &str| match record.get(name) {
        Some(Value::String(word)) => printable::line(word).into_owned(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(value) => value.to_string(),
    };
    // Writing to a `String` does not fail.
    let _ = write!(
        text,
        "{} {:<10} {} {} {}",
        word("time"),
        word("decision"),
        word("status"),
        word("method"),
        word("path")
    );
    let named = [
        ("", "reason"),
        ("", "detail"),
        ("rule=", "rule"),
        ("principal=", "principal"),
        ("claims=", "claimed_subject"),
        ("issuer=", "issuer"),
        ("from=", "source_address"),
        ("ms=", "duration_ms"),
        ("signals=", "signals"),
        ("id=", "request_id"),
    ];
    for (before, name) in named.into_iter().filter(|(_, name)| record.get(name).is_some()) {
        let _ = write!(text, "  {before}{}", word(name));
    }
    if record.get("complete") == Some(&Value::Bool(false)) {
        text.push_str("  incomplete");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn records_are_one_readable_line_each() {
        let mut out = TerminalLines(Vec::new());
        let records = [
            r#"{"time":"2026-11-27T04:22:49.123Z","event":"request","request_id":"r1","decision":"deny","reason":"expired","detail":"exp 5","status":401,"complete":true,"method":"GET","path":"/a\u001b[2J\n","issuer":"okta","source_address":"10.0.0.1","duration_ms":1.5}"#,
            r#"{"time":"2026-11-27T04:22:49.123Z","decision":"error","complete":false,"method":"GET","path":"/b"}"#,
        ];
        out.write_all((records.join("\n") + "\n").as_bytes()).unwrap();
        let text = String::from_utf8(out.0).unwrap();
        assert_eq!(
            text,
            "2026-11-27T04:22:49.123Z deny       401 GET /a\\u001b[2J\\u000a  expired  exp 5  issuer=okta  from=10.0.0.1  ms=1.5  id=r1\n\
             2026-11-27T04:22:49.123Z error      - GET /b  incomplete\n"
        );
    }
}
