//! Hostile texts result in an error.

use std::time::{Duration, Instant};

use super::*;
use crate::config::document::{Position, Value, parse};

#[track_caller]
fn refused(text: &str, message: &str) {
    let document = parse(text);
    assert!(!document.complete);
    let found = &document.problems.last().unwrap().message;
    assert!(found.contains(message), "{found}");
}

#[test]
fn nesting_is_bounded() {
    refused(&"[".repeat(100_000), "");
    refused(&"{a: ".repeat(100_000), "");
    refused(&"- ".repeat(100_000), "");
    refused(&format!("{}{}", "[".repeat(34), "]".repeat(34)), "nested deeper than 32 levels");
    assert!(parse(&format!("{}{}", "[".repeat(33), "]".repeat(33))).complete);
    let block: String = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    refused(&block, "");
}

#[test]
fn aliases_cannot_multiply() {
    let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ('b'..='i').zip('a'..) {
        laughs
            .push_str(&format!("{name}: &{name} [*{before}, *{before}, *{before}, *{before}, *{before}]\n"));
    }
    refused(&laughs, "aliases make the text too long or too deep");
    let long = format!("a: &a {}\nb: [{}]", "x".repeat(500_000), "*a, ".repeat(100));
    refused(&long, "aliases make the text too long or too deep");
    let mut deep = "a: &a [x]\n".to_owned();
    for (name, before) in ('b'..='z').zip('a'..) {
        deep.push_str(&format!("{name}: &{name} [[*{before}]]\n"));
    }
    refused(&deep, "aliases make the text too long or too deep");
    // Nothing refers to these anchors, but each level keeps a copy of all levels below it.
    let nested = format!("{}{}{}", "&a [".repeat(20), "a,".repeat(20_000), "]".repeat(20));
    refused(&nested, "aliases make the text too long or too deep");
    refused("a: &x [*x]", "the alias refers to a value that contains it");
    refused("a: 1\nb: *x", "");
    refused("a: !!binary aGVsbG8=", "tags are not supported");
    refused("!x {a: 1}", "tags");
}

#[test]
fn an_alias_stands_for_a_copy() {
    let document = parse("a: &x {b: [1, &y two]}\nc: *x\nd: *y\n&z e: *x\n");
    assert!(document.complete, "{:?}", document.problems);
    assert_eq!(document.root.get("c"), document.root.get("a"));
    assert_eq!(document.root.get("d").unwrap().at, Position { line: 1, column: 18 });
    let config =
        file("x: &keys [https://a.example]\nopenmetadata: {config: {authentication: {publicKeys: *keys}}}")
            .with(&[UPSTREAM])
            .config();
    assert_eq!(urls(&config.trust[0]), ["https://a.example/"]);
}

#[test]
fn size_is_bounded() {
    refused(&"a".repeat(4 * 1024 * 1024 + 1), "longer than 4096 KiB");
    refused(&format!("[{}]", "a,".repeat(250_001)), "more than 250000 values");
    assert!(parse(&format!("[{}]", "a,".repeat(249_998))).complete);
    let keys: String = (0..20_000).map(|number| format!("k{number}: 1\n")).collect();
    refused(&format!("list: [{}]\n{keys}", "a,".repeat(231_000)), "more than 250000 values");
}

#[test]
fn a_second_document_is_refused() {
    refused("a: 1\n---\nb: 2", "a second document");
    assert!(parse("---\na: 1\n...\n").complete);
    assert!(parse("%YAML 1.2\n---\na: 1\n").complete);
}

#[test]
fn keys_must_be_scalars() {
    refused("? [a, b]\n: c", "a key must be a single word");
    refused("{[a]: b}", "a key must be a single word");
}

#[test]
fn scalars_keep_their_text() {
    let document = parse("[007, no, 1.50, 0x1F, .inf, 2026-01-01, '~', \"null\", ~, null, , |\n]");
    assert!(!document.complete || document.root.kind() == "a list");
    let document =
        parse("- 007\n- no\n- 1.50\n- 0x1F\n- '~'\n- \"null\"\n- ~\n- null\n-\n- NULL\n- |\n  a\n  b\n");
    let Value::List(items) = document.root.value else { panic!("a list") };
    let texts: Vec<_> = items
        .iter()
        .map(|item| match &item.value {
            Value::Scalar { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let expected = [
        Some("007"),
        Some("no"),
        Some("1.50"),
        Some("0x1F"),
        Some("~"),
        Some("null"),
        None,
        None,
        None,
        None,
        Some("a\nb\n"),
    ];
    assert_eq!(texts, expected);
}

#[test]
fn duplicate_keys_are_named_with_both_lines_and_do_not_stop_reading() {
    let document = parse("a: 1\nb: {c: 1, c: 2}\na: 3\na: 4\n");
    assert!(document.complete);
    let problems: Vec<_> = document.problems.iter().map(|p| (p.at.line, p.at.column, &*p.message)).collect();
    assert_eq!(
        problems,
        [
            (2, 11, "`c` is written twice, first in line 2"),
            (3, 1, "`a` is written twice, first in line 1"),
            (4, 1, "`a` is written twice, first in line 1"),
        ]
    );
    assert_eq!(document.root.get("a").map(|node| node.at.line), Some(1));
}

/// Every prefix of a text, and every replacement of one of its characters.
#[test]
fn mutated_texts_do_not_panic() {
    let text = "a: {b: [1, 'x', \"y\\n\"], ? c : d}\ne: |\n  f\n- &g *h !i #j\n%k\n--- l\n\t\"\u{0}\u{feff}ä\u{2028}";
    for (end, _) in text.char_indices() {
        let _ = parse(&text[..end]);
        for replacement in ["{", "[", "\"", "\n", ":", "-", "\u{0}", "&", "*"] {
            let _ = parse(&format!("{}{replacement}{}", &text[..end], &text[end..]));
            let _ = crate::config::fragment::list(&text[..end], true);
            let _ = crate::config::fragment::scalar(&text[..end]);
        }
    }
}

/// Random texts of YAML's special characters, the same in every run.
#[test]
fn random_texts_do_not_panic() {
    const PIECES: [&str; 36] = [
        "a", "b: ", "- ", "? ", ": ", "{", "}", "[", "]", ",", "\n", "  ", "\t", "'", "\"", "|", ">", "&x ",
        "*x", "!t ", "#", " #", "---", "...", "%", "~", "\\", "${", "\u{0}", "\u{feff}", "ä", "\r", "@", "`",
        "|+2", "<<",
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    #[expect(clippy::disallowed_methods, reason = "a setting of this test, not of the program")]
    let rounds = std::env::var("METAGATE_FUZZ_ROUNDS").map_or(2_000, |rounds| rounds.parse().unwrap());
    for _ in 0..rounds {
        let text: String = (0..next() % 40).map(|_| PIECES[next() % PIECES.len()]).collect();
        let document = parse(&text);
        assert_eq!(
            document.complete,
            document.root.value != Value::Null || document.problems.is_empty(),
            "{text:?}"
        );
        let _ = crate::config::fragment::list(&text, next() % 2 == 0);
        let _ = crate::config::substitution::substitute(&text, &|_| Some("x".to_owned()));
    }
}

/// The cost is linear in the size of the text.
#[test]
fn long_texts_are_read_quickly() {
    for piece in [
        "a",
        "a: b\n",
        "- a\n",
        "'",
        "\"\\n",
        "#\n",
        " ",
        "\n",
        "{a,",
        "? a\n",
        "a: |\n b\n",
        "${",
        "%a\n",
        "\t",
        ": ",
        "&",
        "|",
        "[a,",
    ] {
        let text = piece.repeat(1024 * 1024 / piece.len());
        let start = Instant::now();
        let _ = parse(&text);
        let _ = crate::config::substitution::substitute(&text, &|_| None);
        assert!(start.elapsed() < Duration::from_secs(10), "{piece:?} {:?}", start.elapsed());
    }
}

#[test]
fn a_hostile_file_is_an_error_of_load() {
    for text in
        ["[".repeat(50_000), format!("{}: 1", "k".repeat(500_000)), "\u{0}".to_owned(), "a".repeat(2 << 20)]
    {
        let start = Instant::now();
        let errors = file(&text).result().unwrap_err().to_string();
        assert!(errors.len() < 2000, "{}", errors.len());
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, [b'a', b':', b' ', 0xff]).unwrap();
    let errors = load(&Sources { files: vec![path], ..Sources::default() }).unwrap_err();
    assert!(errors.to_string().contains("is not UTF-8 text"));
}

#[test]
fn a_long_list_of_unknown_keys_is_reported_quickly() {
    let keys: String = (0..4_000).map(|number| format!("authentication{number}: 1\n")).collect();
    let start = Instant::now();
    assert_eq!(file(&keys).result().unwrap_err().iter().count(), 4_002);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
