//! Which part of a request is refused.

use std::borrow::Cow;

use super::text::{Detail, Quoted};
use crate::request::FaultPlace;

/// The longest part of a request that is looked at to quote it, in bytes: more than is shown.
const MAX_OCTETS: usize = 1024;

/// A text about a refused request, with the part that it is about.
pub fn located(why: &'static str, place: Option<FaultPlace<'_>>) -> Cow<'static, str> {
    let Some(place) = place else { return why.into() };
    let detail = match place {
        FaultPlace::Path { at, octets: [octet] } if !octet.is_ascii_graphic() => {
            Detail::of(format_args!("{why}: octet 0x{octet:02X} at position {at} of the path"))
        }
        FaultPlace::Path { at, octets } => {
            let octets = text(octets);
            Detail::of(format_args!("{why}: {} at position {at} of the path", Quoted(&octets)))
        }
        FaultPlace::Query(at) => Detail::of(format_args!("{why}: at position {at} of the query")),
        FaultPlace::Line { number, at, octet } => {
            Detail::of(format_args!("{why}: octet 0x{octet:02X} at position {at} of line {number}"))
        }
        FaultPlace::Field(name) => Detail::of(format_args!("{why}: field {}", Quoted(&text(name)))),
        FaultPlace::Value(name, value) => {
            let (name, value) = (text(name), text(value));
            Detail::of(format_args!("{why}: field {} is {}", Quoted(&name), Quoted(&value)))
        }
        FaultPlace::Authority(authority) => {
            match authority.rsplit_once('@') {
                // It may be a password.
                Some((_, host)) => {
                    Detail::of(format_args!("{why}: the target has user information before {}", Quoted(host)))
                }
                None => Detail::of(format_args!("{why}: the target names {}", Quoted(authority))),
            }
        }
    };
    detail.finish()
}

fn text(octets: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(octets.get(..MAX_OCTETS).unwrap_or(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_quoted_escaped_and_bounded() {
        let long = [b'.'; 5000];
        for (place, expected) in [
            (FaultPlace::Path { at: 4, octets: b"%2e" }, r#"x: "%2e" at position 4 of the path"#.to_owned()),
            (
                FaultPlace::Path { at: 1, octets: b"\xe9" },
                "x: octet 0xE9 at position 1 of the path".to_owned(),
            ),
            (FaultPlace::Query(7), "x: at position 7 of the query".to_owned()),
            (
                FaultPlace::Line { number: 2, at: 3, octet: 7 },
                "x: octet 0x07 at position 3 of line 2".to_owned(),
            ),
            (FaultPlace::Field(b"a\x1b\xff"), "x: field \"a\\u001b\u{fffd}\"".to_owned()),
            (FaultPlace::Value(b"host", b"a\"b"), r#"x: field "host" is "a\"b""#.to_owned()),
            (FaultPlace::Authority("a"), r#"x: the target names "a""#.to_owned()),
            (
                FaultPlace::Authority("u:secret@h:1"),
                r#"x: the target has user information before "h:1""#.to_owned(),
            ),
            (
                FaultPlace::Path { at: 1, octets: &long },
                format!("x: \"{}...\" at position 1 of the path", ".".repeat(128)),
            ),
        ] {
            assert_eq!(located("x", Some(place)), expected);
        }
        assert_eq!(located("x", None), "x");
    }
}
