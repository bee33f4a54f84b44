//! Finds the octets of a path for which it was refused.
//!
//! The path is read as it was received, and with its escapes decoded once and twice. Every octet that is read knows
//! which octets of the received path it comes from. Nothing is copied.

use std::ops::Range;

use http::Uri;

use super::FaultPlace;
use crate::request::target::{
    BAD_ESCAPE, CONTROL, DECODED_TWICE, DOT_SEGMENT, NOT_A_PATH, NOT_A_QUERY, OVERLONG, PARAMETER,
};

/// The place in the path or query of a target that was refused with this text.
pub(super) fn part<'h>(why: &str, target: &'h Uri) -> Option<FaultPlace<'h>> {
    let path = target.path().as_bytes();
    if why == NOT_A_QUERY {
        let at = target.query()?.bytes().position(|byte| !byte.is_ascii_graphic())?;
        return Some(FaultPlace::Query(at + 1));
    }
    let found = octets(why, path)?;
    Some(FaultPlace::Path { at: found.start + 1, octets: path.get(found)? })
}

fn octets(why: &str, path: &[u8]) -> Option<Range<usize>> {
    let once = || Unescaped(as_received(path));
    let twice = || Unescaped(once());
    let first = |octet: Option<Octet>| octet.map(|octet| octet.from);
    match why {
        NOT_A_PATH => {
            first(as_received(path).find(|octet| !octet.value.is_ascii_graphic() || octet.is_mark()))
        }
        BAD_ESCAPE => {
            let at = path.windows(3).position(is_bad_escape);
            let at = at.or_else(|| {
                let tail = path.len().saturating_sub(2);
                Some(tail + path.get(tail..)?.iter().position(|byte| *byte == b'%')?)
            })?;
            Some(at..path.len().min(at + 3))
        }
        DOT_SEGMENT => {
            dot_segment(as_received(path)).or_else(|| dot_segment(once())).or_else(|| dot_segment(twice()))
        }
        PARAMETER => {
            let start = path.iter().position(|byte| *byte == b';')?;
            let len = path.get(start..)?.iter().position(|byte| *byte == b'/');
            Some(start..len.map_or(path.len(), |len| start + len))
        }
        CONTROL => first(once().find(Octet::is_control)).or_else(|| first(twice().find(Octet::is_control))),
        OVERLONG => overlong(once()).or_else(|| overlong(twice())),
        DECODED_TWICE => first(twice().find(Octet::is_mark)),
        _ => None,
    }
}

/// One octet of a reading, and the octets of the received path that it comes from.
#[derive(Clone, Debug)]
struct Octet {
    value: u8,
    from: Range<usize>,
}

impl Octet {
    fn is_mark(&self) -> bool {
        matches!(self.value, b'\\' | b'#')
    }

    fn is_control(&self) -> bool {
        self.value.is_ascii_control()
    }
}

fn as_received(path: &[u8]) -> impl Iterator<Item = Octet> + Clone {
    path.iter().enumerate().map(|(at, value)| Octet { value: *value, from: at..at + 1 })
}

/// A reading with its escapes decoded. Malformed ones stay.
#[derive(Clone)]
struct Unescaped<I>(I);

impl<I: Iterator<Item = Octet> + Clone> Iterator for Unescaped<I> {
    type Item = Octet;

    fn next(&mut self) -> Option<Octet> {
        let octet = self.0.next()?;
        if octet.value != b'%' {
            return Some(octet);
        }
        let mut after = self.0.clone();
        let mut digit = || {
            let octet = after.next()?;
            Some((hex_digit(octet.value)?, octet.from.end))
        };
        let (Some((high, _)), Some((low, end))) = (digit(), digit()) else { return Some(octet) };
        self.0 = after;
        Some(Octet { value: 16 * high + low, from: octet.from.start..end })
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn is_bad_escape(octets: &[u8]) -> bool {
    matches!(octets, [b'%', high, low] if hex_digit(*high).is_none() || hex_digit(*low).is_none())
}

/// The first segment that is one or two dots, without its parameters.
fn dot_segment(reading: impl Iterator<Item = Octet>) -> Option<Range<usize>> {
    /// What has been read of a segment.
    enum Segment {
        Dots(usize, Range<usize>),
        Other,
    }
    let mut segment = Segment::Dots(0, 0..0);
    for octet in reading {
        segment = match (octet.value, segment) {
            (b'/' | b'\\' | b';', Segment::Dots(1 | 2, from)) => return Some(from),
            (b'/' | b'\\', _) => Segment::Dots(0, 0..0),
            (b'.', Segment::Dots(0, _)) => Segment::Dots(1, octet.from),
            (b'.', Segment::Dots(count, from)) => Segment::Dots(count + 1, from.start..octet.from.end),
            _ => Segment::Other,
        };
    }
    match segment {
        Segment::Dots(1 | 2, from) => Some(from),
        Segment::Dots(..) | Segment::Other => None,
    }
}

/// The first overlong UTF-8 sequence, as far as it shows that it is one (RFC 3629 section 3).
fn overlong(reading: impl Iterator<Item = Octet> + Clone) -> Option<Range<usize>> {
    let mut pairs = reading.clone().zip(reading.skip(1));
    let found = pairs.find(|(one, two)| super::super::target::is_overlong(one.value, two.value));
    found.map(|(one, two)| one.from.start..two.from.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{PathReadings, RequestFault};

    fn found(path: &str) -> Option<(&'static str, usize, String)> {
        let target = Uri::try_from(path).unwrap();
        let Err(RequestFault::BadTarget(why)) = PathReadings::of(&target) else { return None };
        match part(why, &target) {
            Some(FaultPlace::Path { at, octets }) => {
                Some((why, at, String::from_utf8(octets.to_vec()).unwrap()))
            }
            other => panic!("{path}: {why}: {other:?}"),
        }
    }

    #[test]
    fn the_octets_of_each_fault_are_found() {
        for (path, why, at, octets) in [
            ("/a\\b", NOT_A_PATH, 3, "\\"),
            ("/a/../b", DOT_SEGMENT, 4, ".."),
            ("/a/..;x/b", DOT_SEGMENT, 4, ".."),
            ("/...;/.", DOT_SEGMENT, 7, "."),
            ("/a/%2e%2E", DOT_SEGMENT, 4, "%2e%2E"),
            ("/a%2f.%2e%5cb", DOT_SEGMENT, 6, ".%2e"),
            ("/a/%252e%2e/x", DOT_SEGMENT, 4, "%252e%2e"),
            ("/%C3%A9/%zz", BAD_ESCAPE, 9, "%zz"),
            ("/a/%zz/b", BAD_ESCAPE, 4, "%zz"),
            ("/a%2", BAD_ESCAPE, 3, "%2"),
            ("/a%", BAD_ESCAPE, 3, "%"),
            ("/api;../policies", PARAMETER, 5, ";.."),
            ("/a/%00", CONTROL, 4, "%00"),
            ("/a/%2500b", CONTROL, 4, "%2500"),
            ("/x%c0%ae", OVERLONG, 3, "%c0%ae"),
            ("/x%25c0%25ae", OVERLONG, 3, "%25c0%25ae"),
            ("/a%255c", DECODED_TWICE, 3, "%255c"),
            ("/a%2523b", DECODED_TWICE, 3, "%2523"),
        ] {
            assert_eq!(found(path), Some((why, at, octets.to_owned())), "{path}");
        }
        let query = Uri::try_from("/a?b=\u{e9}").unwrap();
        let Err(RequestFault::BadTarget(why)) = PathReadings::of(&query) else { panic!("it is accepted") };
        assert_eq!(part(why, &query), Some(FaultPlace::Query(3)));
    }

    /// Every path of up to five of these parts that is refused has a place.
    #[test]
    fn every_refused_path_has_a_place() {
        const PARTS: [&str; 9] = ["/", ".", "%2e", "%252e", ";", "%2f", "%5c", "%", "a"];
        let mut refused = 0;
        for number in 0..PARTS.len().pow(5) {
            let digits = (0..5).map(|place| number / PARTS.len().pow(place) % PARTS.len());
            let path: String = std::iter::once("/").chain(digits.map(|digit| PARTS[digit])).collect();
            refused += usize::from(found(&path).is_some());
        }
        assert!(refused > 10_000, "{refused}");
    }
}
