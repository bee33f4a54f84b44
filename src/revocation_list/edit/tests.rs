use super::*;
use crate::config::Position;
use crate::numeric_date::NumericDate;
use crate::revocation::{Revocation, RevokedBy};

fn id(id: &str) -> WrittenEntry {
    let revocation = Revocation::new(RevokedBy::Id, id).unwrap();
    WrittenEntry { revocation, until: None, note: None, at: Position::START }
}

fn added(text: &str) -> String {
    with_entry(Path::new("list"), text, &id("new")).unwrap_or_else(|fault| panic!("{text:?}: {fault:?}"))
}

/// The list without these ids.
fn removed(text: &str, ids: &[&str]) -> String {
    let is_gone = |entry: &WrittenEntry| ids.contains(&entry.revocation.value());
    let (text, gone) = without(Path::new("list"), text, is_gone).unwrap();
    assert_eq!(gone.len(), ids.len());
    text
}

#[test]
fn an_entry_is_added_to_every_kind_of_list() {
    for (before, after) in [
        ("", "- jti: \"new\"\n"),
        ("# who and why\n", "# who and why\n- jti: \"new\"\n"),
        ("---\n", "---\n- jti: \"new\"\n"),
        ("[]", "- jti: \"new\""),
        ("[]\n", "- jti: \"new\"\n"),
        ("[ ]  # nobody\n", "- jti: \"new\"  # nobody\n"),
        ("# see [1]\n[]\n# and [2]\n", "# see [1]\n- jti: \"new\"\n# and [2]\n"),
        ("--- []\n", "---\n- jti: \"new\"\n"),
        ("[\n]\n", "- jti: \"new\"\n"),
        ("- jti: a", "- jti: a\n- jti: \"new\"\n"),
        ("- jti: a # [x]\n\n# end\n", "- jti: a # [x]\n\n# end\n- jti: \"new\"\n"),
        ("  - jti: a\n    note: |\n      long\n", "  - jti: a\n    note: |\n      long\n  - jti: \"new\"\n"),
        ("- jti: a\r\n", "- jti: a\r\n- jti: \"new\"\r\n"),
        ("\u{feff}- jti: a\n", "\u{feff}- jti: a\n- jti: \"new\"\n"),
        ("[{jti: a}]\n", "[{jti: a}, {jti: \"new\"}]\n"),
        ("[{jti: a}, ] # [x]\n", "[{jti: a}, {jti: \"new\"}] # [x]\n"),
        ("[\n  {jti: a}\n]\n", "[\n  {jti: a}, {jti: \"new\"}\n]\n"),
        ("[\n  {jti: a}, # one\n]\n", "[\n  {jti: a}, # one\n{jti: \"new\"}\n]\n"),
        ("[\n  {jti: a} # one\n]\n", "[\n  {jti: a} # one\n, {jti: \"new\"}\n]\n"),
        ("{\"jti\": \"a\"}", "{\"jti\": \"a\"}\n{\"jti\": \"new\"}\n"),
        ("\n{jti: a}\n\n", "\n{jti: a}\n\n{\"jti\": \"new\"}\n"),
    ] {
        assert_eq!(added(before), after, "{before:?}");
    }
}

#[test]
fn every_member_of_an_entry_is_written_in_every_kind_of_list() {
    let new = WrittenEntry {
        revocation: Revocation::new(RevokedBy::Subject, "ada \"x\" \\ \u{1b}[2J\u{2028}\u{e9}")
            .unwrap()
            .of_issuer(Some("https://idp.example/: #".into()))
            .issued_before(Some(NumericDate::from_secs(1_795_329_000))),
        until: Some(NumericDate::from_secs(1_795_330_000)),
        note: Some("left: - [the] company\nté \u{e0041}".into()),
        at: Position::START,
    };
    let path = Path::new("list");
    for text in ["", "[]", "- jti: a\n", "[{jti: a}]", "{\"jti\": \"a\"}\n"] {
        let after = with_entry(path, text, &new).unwrap();
        let last = entries(path, &after).unwrap().pop().unwrap();
        assert_eq!(WrittenEntry { at: Position::START, ..last }, new, "{after}");
        assert!(!after.contains(['\u{1b}', '\u{2028}', '\u{e0041}']), "{after:?}");
    }
    let block = with_entry(path, "", &new).unwrap();
    assert!(
        block.contains("\n  issuedBefore: 2026-11-22T06:30:00Z\n  until: 2026-11-22T06:46:40Z\n"),
        "{block}"
    );
}

#[test]
fn an_invalid_list_is_not_changed() {
    for text in ["- jit: a\n", "[{jti: a}", "jti: a\n", "{\"jti\": 1}\n{", "&x [*x]"] {
        let fault = with_entry(Path::new("list"), text, &id("new"));
        assert!(matches!(fault, Err(EditFault::Invalid(_) | EditFault::Unusual)), "{text}: {fault:?}");
    }
}

#[test]
fn entries_are_removed_and_comments_stay() {
    for (before, ids, after) in [
        ("- jti: a\n- jti: b\n", &["a"][..], "- jti: b\n"),
        ("- jti: a\n- jti: b\n", &["b"], "- jti: a\n"),
        (
            "# top\n- jti: a\n  note: x\n# about b\n- jti: b\n# end",
            &["a"],
            "# top\n# about b\n- jti: b\n# end",
        ),
        ("# top\n- jti: a\n# end\n", &["a"], "# top\n[]\n# end\n"),
        ("- jti: a\n- jti: b\n- jti: c\n", &["a", "c"], "- jti: b\n"),
        ("-\n  jti: a\n-\n  jti: b\n", &["b"], "-\n  jti: a\n"),
        ("  - jti: a\n    note: |\n      - jti: b\n  - jti: b\n", &["a"], "  - jti: b\n"),
        ("- jti: a\r\n- jti: b\r\n", &["a"], "- jti: b\r\n"),
        ("[{jti: a}, {jti: b}]\n", &["a"], "[{jti: b}]\n"),
        ("[{jti: a}, {jti: b}] # [x]\n", &["b"], "[{jti: a}] # [x]\n"),
        ("[{jti: a}]\n# [x]\n", &["a"], "[]\n# [x]\n"),
        (
            "[\n  {jti: \u{e9}, note: \u{e9}}, {jti: b},\n  {jti: c}\n]\n",
            &["b", "c"],
            "[\n  {jti: \u{e9}, note: \u{e9}}]\n",
        ),
        ("{\"jti\": \"a\"}\n{\"jti\": \"b\"}\n", &["a"], "{\"jti\": \"b\"}\n"),
        ("{\"jti\": \"a\"}\n", &["a"], "[]\n"),
    ] {
        assert_eq!(removed(before, ids), after, "{before:?}");
    }
    assert_eq!(removed("- jti: a # kept as it is", &[]), "- jti: a # kept as it is");
}

#[test]
fn what_was_added_can_be_removed() {
    for text in ["# top\n- jti: a\n", "[{jti: a}]\n", "{\"jti\": \"a\"}\n", "[{jti: a, note: 'x]'}]"] {
        assert_eq!(removed(&added(text), &["new"]), text);
    }
}

/// An entry that others refer to cannot be cut out.
#[test]
fn an_anchor_keeps_its_entry() {
    let text = "- &x {jti: a}\n- *x\n- {jti: b, note: &y n}\n- {jti: c, note: *y}\n";
    let only_b = |entry: &WrittenEntry| entry.revocation.value() == "b";
    assert!(matches!(without(Path::new("list"), text, only_b), Err(EditFault::Unusual)));
}

#[test]
fn several_entries_are_added_in_one_step() {
    for (before, after) in [
        ("", "- jti: \"b\"\n- jti: \"c\"\n"),
        ("[]\n", "- jti: \"b\"\n- jti: \"c\"\n"),
        ("  - jti: a\n", "  - jti: a\n  - jti: \"b\"\n  - jti: \"c\"\n"),
        ("[{jti: a}]\n", "[{jti: a}, {jti: \"b\"}, {jti: \"c\"}]\n"),
        ("{\"jti\": \"a\"}\n", "{\"jti\": \"a\"}\n{\"jti\": \"b\"}\n{\"jti\": \"c\"}\n"),
    ] {
        let text = with_entries(Path::new("list"), before, &[id("b"), id("c")]).unwrap();
        assert_eq!(text, after, "{before:?}");
    }
}

/// RFC 3339 has no form for years of more than four digits. A token may well say that it ends in one.
#[test]
fn a_time_after_the_year_9999_is_written() {
    let new = WrittenEntry { until: Some(NumericDate::from_secs(300_000_000_000)), ..id("new") };
    for text in ["- jti: a\n", "[{jti: a}]", "{\"jti\": \"a\"}\n"] {
        let after = with_entry(Path::new("list"), text, &new).unwrap();
        let last = entries(Path::new("list"), &after).unwrap().pop().unwrap();
        assert_eq!(last.until, new.until, "{after}");
    }
}
