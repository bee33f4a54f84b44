//! What is made of lines.

use std::io::Cursor;

use super::*;

fn record(decision: &str, path: &str, more: &str) -> String {
    format!(
        r#"{{"time":"2026-11-22T08:00:00.000Z","event":"request","decision":"{decision}","reason":"insufficient_permissions","method":"GET","path":"{path}"{more}}}"#
    )
}

fn read(lines: impl AsRef<[u8]>) -> Summary {
    let mut summary = Summary::default();
    summary.read(Cursor::new(lines.as_ref()), false).unwrap();
    summary
}

#[test]
fn wrapped_records_are_found() {
    let plain = record("would_deny", "/a", r#","principal":"ada \"x\" \u00e9""#);
    let inner = Value::from(format!("{plain}\n"));
    for line in [
        plain.clone(),
        format!("  {plain}\r"),
        format!("2026-11-22T08:00:00.000000001Z stdout F {plain}"),
        format!("metagate-1  | {plain}"),
        format!("[pod/om-0/metagate] {plain}"),
        format!(r#"{{"log":{inner},"stream":"stdout","time":"2026-11-22T08:00:00Z"}}"#),
        format!(r#"{{"kubernetes":{{"pod":"x"}},"message":{inner}}}"#),
    ] {
        let summary = read(&line);
        assert_eq!((summary.records, summary.would_deny, summary.broken), (1, 1, 0), "{line}");
        let groups = summary.groups.sorted();
        assert_eq!(&*groups[0].key.principal, "ada \"x\" é", "{line}");
        assert!(groups[0].key.verified);
    }
}

#[test]
fn other_and_broken_lines_are_counted() {
    let good = record("would_deny", "/a", "");
    let deep = format!(r#"{{"a":{}"#, "[".repeat(10_000));
    for (line, other, broken) in [
        ("starting", 1, 0),
        ("", 1, 0),
        ("INFO request {\"a\": b} ended", 1, 0),
        (r#"{"level":"INFO","fields":{"message":"listening"}}"#, 1, 0),
        (r#"{"event":"other","decision":"would_deny"}"#, 1, 0),
        (r#"{"log":"starting\n","stream":"stdout"}"#, 1, 0),
        (&good[..good.len() - 10], 0, 1),
        (&format!("2026-11-22T08:00:00Z stdout P {}", &good[..40]), 0, 1),
        (r#"{"log":"{\"time\":\"2026","stream":"stdout"}"#, 0, 1),
        (&deep, 0, 1),
    ] {
        let summary = read(line);
        let lines = u64::from(!line.is_empty());
        assert_eq!((summary.other, summary.broken), (other.min(lines), broken), "{line:.80}");
        assert_eq!(summary.records, 0, "{line:.80}");
    }
    // The lines around a bad one are still counted.
    let around = [good.as_bytes(), b"\n{\"\xff\xfe\n\xff\n{\"half\n", good.as_bytes()].concat();
    let summary = read(around);
    assert_eq!((summary.records, summary.broken, summary.other, summary.lines), (2, 2, 1, 5));
}

#[test]
fn an_overlong_line_is_skipped() {
    let long = "x".repeat(3 * usize::try_from(MAX_LINE_BYTES).unwrap());
    let summary = read(format!("{{\"a\":\"{long}\n{}\n", record("would_deny", "/a", "")));
    assert_eq!((summary.lines, summary.broken, summary.records), (2, 1, 1));
    let summary = read(long);
    assert_eq!((summary.lines, summary.broken), (1, 1));
}

#[test]
fn similar_requests_are_grouped_and_the_largest_group_is_first() {
    let at = |time: &str, line: String| line.replace("2026-11-22T08:00:00.000Z", time) + "\n";
    let lines = [
        at("2026-11-22T08:00:02.000Z", record("would_deny", "/runs/1", "")),
        at("2026-11-22T08:00:01.000Z", record("would_deny", "/runs/2", "")),
        at("2026-11-22T08:00:09.000Z", record("would_deny", "/runs/3", "")),
        record("would_deny", "/runs/3", r#","claimed_subject":"ada""#) + "\n",
        record("deny", "/runs/4", "") + "\n",
        record("allow", "/runs/5", "") + "\n",
    ];
    let mut summary = read(lines.concat());
    assert_eq!((summary.records, summary.would_deny, summary.denied), (6, 4, 1));
    let groups = std::mem::take(&mut summary.groups).sorted();
    assert_eq!(groups.len(), 2, "what was really refused is not among them");
    assert_eq!((groups[0].count, &*groups[0].key.path), (3, "/runs/*"));
    let seen = (&*groups[0].first, &*groups[0].last);
    assert_eq!(seen, ("2026-11-22T08:00:01.000Z", "2026-11-22T08:00:09.000Z"));
    assert_eq!((&*groups[1].key.principal, groups[1].key.verified), ("ada", false));
    let mut with_denied = Summary::default();
    with_denied.read(Cursor::new(lines.concat()), true).unwrap();
    assert_eq!(with_denied.groups.sorted().len(), 3);
}

#[test]
fn groups_are_bounded_and_folded_requests_are_counted() {
    let mut summary = Summary::default();
    for number in 0..groups::MAX_GROUPS + 5 {
        let client = format!(r#","client":"{number}-{}""#, "x".repeat(10_000));
        summary.add(Line::read(record("would_deny", "/a", &client).as_bytes()), false);
    }
    // A request whose group exists is still counted there.
    let known = format!(r#","client":"0-{}""#, "x".repeat(10_000));
    summary.add(Line::read(record("would_deny", "/a", &known).as_bytes()), false);
    assert_eq!(summary.groups.folded(), 5);
    let shown = text(summary, false);
    assert!(shown.contains("5 are folded into (others)"), "{}", &shown[shown.len() - 300..]);
    let mut lines = shown.lines().skip(1);
    let (first, second) = (lines.next().unwrap(), lines.next().unwrap());
    assert!(first.trim_start().starts_with("5  (others)") && first.contains("GET /**"), "{first}");
    assert!(second.trim_start().starts_with("2 ") && second.len() < 400, "{second}");
}

#[test]
fn terminal_control_characters_are_replaced() {
    let line = record("would_deny", "/a", r#","principal":"\u001b[2Jada\u202e","client":"\u0007\u009b""#);
    let shown = text(read(line), false);
    assert!(!shown.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
    assert!(shown.contains("ada"));
}

/// Even if every request differs in a field that is never folded.
#[test]
fn groups_of_others_are_bounded_too() {
    let mut summary = Summary::default();
    for number in 0..groups::MAX_GROUPS + 5_000 {
        let line = record("would_deny", "/a", &format!(r#","rule":"{number}""#));
        summary.add(Line::read(line.as_bytes()), false);
    }
    assert_eq!((summary.would_deny, summary.groups.folded()), (15_000, 5_000));
    assert_eq!(summary.groups.sorted().len(), groups::MAX_GROUPS + 1_000);
}
