//! `metagate report`: shows from the audit log which requests would be refused if report mode were turned off.

mod groups;
mod line;
mod path_pattern;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, write_out};
use crate::printable::is_printable;
use groups::{Group, Groups};
use line::Line;

/// The maximum length of a line. Audit records are much shorter.
const MAX_LINE_BYTES: u64 = 1024 * 1024;
/// The maximum width of a table column, in characters.
const MAX_COLUMN: usize = 48;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files with audit records, possibly between other lines or wrapped by a container runtime; standard input if left
    /// out or -.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Include requests that were refused, not only those that would have been.
    #[arg(long)]
    denied: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Counts of the lines read.
#[derive(Default)]
struct Summary {
    lines: u64,
    /// Audit records that could be parsed, one per request.
    records: u64,
    would_deny: u64,
    denied: u64,
    /// Lines that are not audit records.
    other: u64,
    /// Lines that begin like JSON but are truncated or too long.
    broken: u64,
    groups: Groups,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut summary = Summary::default();
    let mut unreadable = false;
    let stdin = [PathBuf::from("-")];
    let files = if arguments.files.is_empty() { &stdin[..] } else { &arguments.files };
    for file in files {
        if let Err(error) = read_file(&mut summary, file, arguments.denied) {
            eprintln!("error: {}: {error}", file.display());
            unreadable = true;
        }
    }
    write_out(&if arguments.json { json(summary) } else { text(summary, arguments.denied) })?;
    if unreadable { Err(Failure::Code(1)) } else { Ok(()) }
}

fn read_file(summary: &mut Summary, file: &Path, denied: bool) -> io::Result<()> {
    if file.as_os_str() == "-" {
        return summary.read(io::stdin().lock(), denied);
    }
    summary.read(BufReader::with_capacity(256 * 1024, File::open(file)?), denied)
}

impl Summary {
    /// Reads all lines, with only one in memory at a time.
    fn read(&mut self, mut source: impl BufRead, denied: bool) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let count = source.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
            if count == 0 {
                return Ok(());
            }
            self.lines += 1;
            if count as u64 == MAX_LINE_BYTES && !bytes.ends_with(b"\n") {
                self.broken += 1;
                skip_line(&mut source)?;
                continue;
            }
            self.add(Line::read(&bytes), denied);
        }
    }

    fn add(&mut self, line: Line<'_>, denied: bool) {
        let record = match line {
            Line::Record(record) => record,
            Line::Other => {
                self.other += 1;
                return;
            }
            Line::Broken => {
                self.broken += 1;
                return;
            }
        };
        self.records += 1;
        let wanted = match &*record.decision {
            "would_deny" => {
                self.would_deny += 1;
                true
            }
            "deny" => {
                self.denied += 1;
                denied
            }
            _ => false,
        };
        if wanted {
            self.groups.add(&record);
        }
    }
}

/// Skips the rest of a line.
fn skip_line(source: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                source.consume(at + 1);
                return Ok(());
            }
            None => {
                let length = buffer.len();
                source.consume(length);
            }
        }
    }
}

fn json(summary: Summary) -> String {
    let Summary { lines, records, would_deny, denied, other, broken, groups } = summary;
    let folded = groups.folded();
    let groups: Vec<_> = groups.sorted().iter().map(group_json).collect();
    let value = json!({
        "lines": lines,
        "records": records,
        "would_deny": would_deny,
        "denied": denied,
        "other_lines": other,
        "broken_lines": broken,
        "folded_records": folded,
        "groups": groups,
    });
    format!("{value:#}\n")
}

fn group_json(group: &Group) -> Value {
    let key = &group.key;
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "count": group.count,
        "decision": key.decision,
        "others": key.others,
        "principal": given(&key.principal),
        "principal_verified": key.verified,
        "token_class": given(&key.class),
        "issuer": given(&key.issuer),
        "client": given(&key.client),
        "method": key.method,
        "path": key.path,
        "reason": given(&key.reason),
        "rule": given(&key.rule),
        "first_seen": given(&group.first),
        "last_seen": given(&group.last),
    })
}

fn text(summary: Summary, denied: bool) -> String {
    let Summary { lines, records, would_deny, denied: refused, other, broken, groups } = summary;
    let folded = groups.folded();
    let groups = groups.sorted();
    let mut out = String::new();
    if !groups.is_empty() {
        out.push_str(&table(&groups));
        out.push('\n');
    }
    // Writing to a string does not fail.
    let _ = writeln!(out, "{would_deny} of {records} requests would have been refused");
    if denied || refused > 0 {
        let _ =
            writeln!(out, "{refused} were refused{}", if denied { "" } else { "; --denied shows them too" });
    }
    if folded > 0 {
        let most = groups::MAX_GROUPS;
        let _ = writeln!(out, "{folded} are folded into (others): there are more than {most} groups");
    }
    if broken > 0 {
        let _ = writeln!(out, "{broken} of {lines} lines are broken off or too long and were left out");
    }
    if records == 0 && other > 0 {
        let _ = writeln!(
            out,
            "none of {lines} lines is an audit record: those are on metagate's standard output"
        );
    }
    out
}

fn table(groups: &[Group]) -> String {
    let header = ["COUNT", "PRINCIPAL", "CLIENT", "REQUEST", "REASON", "RULE", "FIRST SEEN", "LAST SEEN"];
    let rows: Vec<[String; 8]> = groups.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(header.get(column).map(|name| name.len())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut out = String::new();
    for cells in std::iter::once(&header.map(str::to_owned)).chain(&rows) {
        let mut line = String::new();
        for (index, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            // Numbers are right-aligned.
            let _ = match index {
                0 => write!(line, "{cell:>width$}"),
                _ => write!(line, "  {cell:width$}"),
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn row(group: &Group) -> [String; 8] {
    let key = &group.key;
    let principal = match (key.principal.is_empty(), key.verified) {
        _ if key.others => "(others)".to_owned(),
        (true, _) => String::new(),
        (false, true) => format!("{} {}", key.class, key.principal),
        // The token was not verified: anyone can claim this name.
        (false, false) => format!("{} (claimed)", key.principal),
    };
    [
        group.count.to_string(),
        shown(&principal),
        shown(&key.client),
        shown(&format!("{} {}", key.method, key.path)),
        shown(&key.reason),
        shown(&key.rule),
        shown(&group.first),
        shown(&group.last),
    ]
}

/// A table cell: truncated, and without characters that could control a terminal, because clients choose some texts.
fn shown(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let safe = |c: char| if is_printable(c) { c } else { '\u{fffd}' };
    let mut cell: String = text.chars().take(MAX_COLUMN).map(safe).collect();
    if text.chars().nth(MAX_COLUMN).is_some() {
        cell.pop();
        cell.push('…');
    }
    cell
}

#[cfg(test)]
mod tests;
