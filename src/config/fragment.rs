//! Values that are written as one string: in the environment, or in a file where a list is expected.
//!
//! Such a text is parsed as YAML first. OpenMetadata pastes these texts into its YAML, so quotes, brackets and comments
//! have the same meaning here. Helm charts rely on it: they wrap scalars in literal double quotes. If YAML cannot parse
//! a text that people commonly write (`[http://[::1]/x]`, `a, b`, `[::]:8685`), it is split at commas and brackets.

use std::net::Ipv6Addr;

use super::document::{self, Value};

/// The text of a single value; `None` if there is none.
pub(super) fn scalar(text: &str) -> Option<String> {
    let document = document::parse(text);
    match document.root.value {
        Value::Null if document.complete => None,
        Value::Scalar { text, .. } if document.problems.is_empty() => Some(text),
        _ => Some(text.trim().to_owned()),
    }
}

/// The items of a list. If `words` is set, blanks also separate items.
pub(super) fn list(text: &str, words: bool) -> Result<Vec<String>, String> {
    let document = document::parse(text);
    let items = match document.root.value {
        _ if !document.problems.is_empty() => split(text)?,
        Value::List(nodes) => match nodes.into_iter().map(|node| node.value).map(plain).collect() {
            Some(items) => items,
            None => split(text)?,
        },
        // Quotes around the whole list, as Helm puts them around scalars.
        Value::Scalar { text, quoted: true } if text.trim_start().starts_with('[') => {
            return list(&text, words);
        }
        Value::Scalar { text, quoted: true } => vec![text],
        Value::Scalar { text, quoted: false } => split(&text)?,
        Value::Null | Value::Map(_) => split(text)?,
    };
    if words {
        let words = items.iter().flat_map(|item| item.split_whitespace());
        // Quotes around the whole of `a, b`.
        let words = words.map(|word| word.trim_end_matches(',')).filter(|word| !word.is_empty());
        return Ok(words.map(str::to_owned).collect());
    }
    Ok(items)
}

/// The text of a secret, without one pair of double quotes around it.
pub(super) fn secret(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

fn plain(value: Value) -> Option<String> {
    match value {
        Value::Scalar { text, .. } => Some(text),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

/// Splits items at commas outside quotes and outside brackets within an item.
fn split(text: &str) -> Result<Vec<String>, String> {
    let text = without_comment(text).trim();
    let inner = match text.strip_prefix('[').filter(|_| !begins_with_address(text)) {
        Some(rest) => rest.strip_suffix(']').ok_or("begins with `[` but does not end with `]`")?,
        None => text,
    };
    let mut items = Vec::new();
    let mut item = String::new();
    let (mut depth, mut quote) = (0usize, None);
    for c in inner.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if item.trim().is_empty() => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                items.push(std::mem::take(&mut item));
                continue;
            }
            (None, _) => {}
        }
        item.push(c);
    }
    if quote.is_some() {
        return Err("has a quote that is not closed".to_owned());
    }
    items.push(item);
    let items = items.iter().map(|item| unquoted(item.trim()).to_owned());
    Ok(items.filter(|item| !item.is_empty()).collect())
}

/// Whether the text begins with an IPv6 address and a port, and not with the bracket of a list: `[::]:8685`.
fn begins_with_address(text: &str) -> bool {
    let address = text.strip_prefix('[').and_then(|rest| rest.split_once("]:"));
    address.is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok())
}

fn unquoted(item: &str) -> &str {
    let stripped = |quote| item.strip_prefix(quote).and_then(|item| item.strip_suffix(quote));
    stripped('"').or_else(|| stripped('\'')).unwrap_or(item)
}

/// The text before a ` #` outside quotes.
fn without_comment(text: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (index, c) in text.char_indices() {
        match quote {
            Some(open) if open == c => quote = None,
            Some(_) => {}
            None if (c == '"' || c == '\'') && " [,".contains(before) => quote = Some(c),
            None if c == '#' && before.is_whitespace() => return &text[..index],
            None => {}
        }
        before = c;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_list() {
        for text in [
            "[https://a/x, http://b:8585/y]",
            "[https://a/x,http://b:8585/y]",
            "[https://a/x,  http://b:8585/y]",
            "[ https://a/x , http://b:8585/y ]",
            r#"["https://a/x","http://b:8585/y"]"#,
            "['https://a/x','http://b:8585/y']",
            "['https://a/x', \"http://b:8585/y\"]",
            r#""[https://a/x, http://b:8585/y]""#,
            r#""https://a/x, http://b:8585/y""#,
            "https://a/x,http://b:8585/y",
            "https://a/x, http://b:8585/y",
            "[https://a/x, http://b:8585/y]   # Update with your domain",
            "https://a/x, http://b:8585/y # two",
            "[https://a/x, http://b:8585/y,]",
            "[https://a/x,, http://b:8585/y]",
            "\n [https://a/x,\n  http://b:8585/y]\n",
            "- https://a/x\n- http://b:8585/y",
            "https://a/x http://b:8585/y",
            "https://a/x\nhttp://b:8585/y\n",
        ] {
            assert_eq!(list(text, true).unwrap(), ["https://a/x", "http://b:8585/y"], "{text}");
        }
    }

    #[test]
    fn lists_of_one_and_none() {
        for text in [
            "https://a/x",
            "\"https://a/x\"",
            "'https://a/x'",
            "[https://a/x]",
            "https://a/x  # one",
            "- https://a/x",
        ] {
            assert_eq!(list(text, true).unwrap(), ["https://a/x"], "{text}");
        }
        for text in ["[]", "[ ]", "[] # none"] {
            assert!(list(text, true).unwrap().is_empty(), "{text}");
        }
    }

    #[test]
    fn brackets_and_fragments_within_items() {
        assert_eq!(list("[http://[::1]:8585/jwks]", true).unwrap(), ["http://[::1]:8585/jwks"]);
        let two = list("[http://[::1]:8585/jwks, 'https://a/x'] # both", true).unwrap();
        assert_eq!(two, ["http://[::1]:8585/jwks", "https://a/x"]);
        assert_eq!(list("http://[::1]:8585/jwks", true).unwrap(), ["http://[::1]:8585/jwks"]);
        assert_eq!(
            list("https://a/x?y=[1,2], https://b", true).unwrap(),
            ["https://a/x?y=[1,2]", "https://b"]
        );
        assert_eq!(list("[https://a/x?y={1}]", true).unwrap(), ["https://a/x?y={1}"]);
        assert_eq!(list("[https://a/#x]", true).unwrap(), ["https://a/#x"]);
    }

    #[test]
    fn a_comma_in_an_item_needs_quotes() {
        assert_eq!(list("[https://a/x?y=1,2]", true).unwrap(), ["https://a/x?y=1", "2"]);
        assert_eq!(list("['https://a/x?y=1,2']", true).unwrap(), ["https://a/x?y=1,2"]);
        assert_eq!(list("\"https://a/x?y=1,2\"", true).unwrap(), ["https://a/x?y=1,2"]);
    }

    #[test]
    fn an_ipv6_address_with_a_port_is_no_list() {
        assert_eq!(list("[::]:8685", false).unwrap(), ["[::]:8685"]);
        assert_eq!(list("[::1]:1, [::1]:2", false).unwrap(), ["[::1]:1", "[::1]:2"]);
        assert_eq!(list("[[::]:8685, 0.0.0.0:8685]", false).unwrap(), ["[::]:8685", "0.0.0.0:8685"]);
        assert_eq!(list("[\"[::]:8685\", unix:/run/x]", false).unwrap(), ["[::]:8685", "unix:/run/x"]);
        assert!(list("[http://[::1]:80/x", false).is_err());
    }

    #[test]
    fn unclosed_brackets_and_quotes_are_errors() {
        for text in ["[https://a/x", "['https://a/x]", "[\"https://a/x, b]"] {
            assert!(list(text, true).is_err(), "{text}");
        }
    }

    #[test]
    fn scalars_as_yaml_and_as_text() {
        for (text, expected) in [
            ("basic", "basic"),
            ("\"basic\"", "basic"),
            ("'basic'", "basic"),
            ("  basic   # comment", "basic"),
            ("007", "007"),
            ("1.50", "1.50"),
            ("no", "no"),
            ("[::]:8685", "[::]:8685"),
            ("*:8685", "*:8685"),
            ("a: b", "a: b"),
            ("\"null\"", "null"),
            ("@x", "@x"),
        ] {
            assert_eq!(scalar(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "  ", "~", "null", "# nothing"] {
            assert_eq!(scalar(text), None, "{text}");
        }
    }

    #[test]
    fn a_secret_loses_one_pair_of_quotes_and_nothing_else() {
        for (text, expected) in
            [("a # b", "a # b"), ("\"a\"", "a"), ("\"\"a\"\"", "\"a\""), ("'a'", "'a'"), ("\"", "\"")]
        {
            assert_eq!(secret(text), expected);
        }
    }
}
