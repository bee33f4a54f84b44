//! Settings whose value is one of a closed set of words.

use super::*;
use crate::config::words::{RefusedKind, Word};

/// A file with one value at a path of the table, with one element in each list of the path.
fn with(path: &str, value: &str) -> Case {
    let nested = path.split('.').rev().fold(value.to_owned(), |below, name| match name.strip_suffix("[]") {
        Some(list) => format!("{{{list}: [{below}]}}"),
        None => format!("{{{name}: {below}}}"),
    });
    file(&nested).with(&[KEYS_URL, UPSTREAM])
}

/// Every key whose values are words, with its words.
fn keys() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    KEYS.iter().filter_map(|key| match key.kind {
        Kind::Word(words) | Kind::Words(words) => Some((key.path, words.accepted)),
        _ => None,
    })
}

fn refusals(path: &str, value: &str) -> Vec<String> {
    let result = with(path, value).result();
    let errors = result.err().map(|errors| errors.iter().map(shown).collect::<Vec<_>>()).unwrap_or_default();
    errors.into_iter().filter(|error| error.contains("is not accepted")).collect()
}

#[test]
fn an_unknown_word_is_an_error_that_names_the_accepted_ones() {
    let mut seen = 0;
    for (path, words) in keys() {
        let element_path = path.replace("[]", "[0]");
        for unknown in ["qqqqqqqq", &words[0].to_uppercase()] {
            // A number in capitals is the number.
            if words.contains(&unknown) {
                continue;
            }
            let refusals = refusals(path, &format!("'{unknown}'"));
            assert_eq!(refusals.len(), 1, "{path}: {refusals:?}");
            assert!(refusals[0].starts_with(&element_path), "{refusals:?}");
            let accepted = format!("\"{unknown}\" is not accepted; write one of: {}", words.join(", "));
            assert!(refusals[0].contains(&accepted), "{refusals:?}");
        }
        seen += 1;
    }
    assert!(seen >= 19, "only {seen} keys have words");
}

#[test]
fn every_word_is_accepted_by_the_parser_too() {
    for (path, words) in keys() {
        for word in words {
            assert_eq!(refusals(path, &format!("'{word}'")), [""; 0], "{path}: {word}");
        }
    }
}

#[test]
fn each_word_has_one_meaning() {
    fn hold<W: Word + PartialEq + std::fmt::Debug>() {
        assert_eq!(W::WORDS.accepted.len(), W::MEANINGS.len());
        for (word, meaning) in W::WORDS.accepted.iter().zip(W::MEANINGS) {
            assert_eq!(W::from_word(word).as_ref(), Ok(meaning));
            assert_eq!(W::MEANINGS.iter().filter(|other| *other == meaning).count(), 1, "{word}");
        }
        assert!(W::from_word("").is_err() && W::from_word("qqqqqqqq").is_err());
    }
    hold::<crate::backend::Backend>();
    hold::<crate::claims::NonExpiring>();
    hold::<crate::policy::Effect>();
    hold::<crate::policy::Mode>();
    hold::<crate::policy::Unreadable>();
    hold::<crate::request::OperationKind>();
    hold::<crate::request::ForwardAuthDialect>();
    hold::<ClientAuth>();
    hold::<LogFormat>();
    hold::<ProxyProtocol>();
    hold::<RefusedKind>();
    hold::<TlsVersion>();
    hold::<UpstreamAuthorization>();
    hold::<UpstreamProtocol>();
}
