//! The parameters of a query, as any backend could read them.

use std::borrow::Cow;

/// The names and values of a query, decoded as forms are (`+` is a space), in their order.
///
/// Most servers split only at `&`, some also at `;`. If there is a `;`, the result lists the parameters of both
/// readings. `None` if an escape is malformed or the decoded text is not UTF-8, because backends read that in
/// different ways.
pub fn parameters(query: &str) -> Option<Vec<(Cow<'_, str>, Cow<'_, str>)>> {
    let mut found = Vec::new();
    for part in query.split('&') {
        found.push(parameter(part)?);
        if part.contains(';') {
            for part in part.split(';') {
                found.push(parameter(part)?);
            }
        }
    }
    found.retain(|(name, value)| !name.is_empty() || !value.is_empty());
    Some(found)
}

fn parameter(part: &str) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    Some((decode(name)?, decode(value)?))
}

/// Percent-decodes once, and reads `+` as a space. `None` if an escape is malformed or the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit =
                    || char::from(bytes.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit()?, digit()?);
                16 * high + low
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_once() {
        for (query, expected) in [
            ("", &[][..]),
            ("&&", &[]),
            ("action=ingest", &[("action", "ingest")]),
            ("a", &[("a", "")]),
            ("a=b=c", &[("a", "b=c")]),
            ("%61ction=inges%74", &[("action", "ingest")]),
            ("a=%2561", &[("a", "%61")]),
            ("a=x+y%2B", &[("a", "x y+")]),
            ("action=a&action=b", &[("action", "a"), ("action", "b")]),
            ("a=1;b=2", &[("a", "1;b=2"), ("a", "1"), ("b", "2")]),
            ("a=%C3%A9", &[("a", "\u{e9}")]),
        ] {
            let read = parameters(query).unwrap();
            let read: Vec<_> = read.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(read, expected, "{query}");
        }
    }

    #[test]
    fn undecodable_queries_are_refused() {
        for query in ["a=%", "a=%4", "a=%zz", "%g1=a", "a=%ff", "a=%C0%AE", "b=1&a=%u0061"] {
            assert_eq!(parameters(query), None, "{query}");
        }
    }
}
