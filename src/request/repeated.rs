//! Field sections that were read before.
//!
//! Most clients send the same field lines with each request of a connection, and the longest of them is the token. A
//! section that equals, octet for octet, one that was accepted before is not read again, and what was derived from it is
//! still true.

use std::sync::Arc;

use super::field_lines::{FieldLine, FieldLines};
use super::framing::FramingFields;
use crate::message::{FieldSpans, Fields, Section};

/// The longest section that is kept, in bytes.
const MAX_BYTES: usize = 4096;
const MIN_BYTES: usize = 8;
const SLOTS: usize = 128;
const END: &[u8] = b"\r\n\r\n";

/// The sections that a worker has read repeatedly: at most 128, of at most 4 KiB each. Only those without a body and
/// without `Upgrade`.
#[derive(Debug)]
pub struct RepeatedSections(Box<[Slot]>);

#[derive(Clone, Debug, Default)]
struct Slot {
    key: u64,
    content: Content,
}

#[derive(Clone, Debug, Default)]
enum Content {
    /// A section with this key was received once.
    #[default]
    Once,
    Kept(Arc<Section>, Fields),
    /// The section cannot be kept.
    Unfit,
}

impl Default for RepeatedSections {
    fn default() -> Self {
        Self(vec![Slot::default(); SLOTS].into())
    }
}

impl RepeatedSections {
    /// The fields of these octets, if they are a section that was received before. They are what follows a request line, and all
    /// that has arrived. `None` also for octets that are more than a section, less than one, or malformed.
    pub(super) fn find(&mut self, octets: &[u8]) -> Option<Fields> {
        let key = key(octets)?;
        let slot = self.0.get_mut(key as usize % SLOTS)?;
        if slot.key != key {
            *slot = Slot { key, content: Content::Once };
            return None;
        }
        match &slot.content {
            Content::Kept(section, fields) if section.is(octets) => Some(fields.of_section(section)),
            Content::Unfit => None,
            Content::Once | Content::Kept(..) => {
                let Some(fields) = read(octets) else {
                    slot.content = Content::Unfit;
                    return None;
                };
                let section = Arc::new(Section::new(octets));
                let found = fields.of_section(&section);
                slot.content = Content::Kept(section, fields);
                Some(found)
            }
        }
    }
}

/// A number for a section: from its length, and from eight samples of it. Other sections may have the same.
fn key(octets: &[u8]) -> Option<u64> {
    const SAMPLES: usize = 8;
    // Odd, with bits all over it: that of 64-bit FNV-1a with its upper half filled from the golden ratio.
    const FACTOR: u64 = 0x9e37_79b1_0000_01b3;
    if !(MIN_BYTES..=MAX_BYTES).contains(&octets.len()) || !octets.ends_with(END) {
        return None;
    }
    let last = octets.len() - MIN_BYTES;
    (0..SAMPLES).try_fold(octets.len() as u64, |key, number| {
        let sample = octets.get(number * last / (SAMPLES - 1)..)?.first_chunk()?;
        Some((key ^ u64::from_le_bytes(*sample)).wrapping_mul(FACTOR).rotate_left(29))
    })
}

/// Reads a section as any other. `None` if it has to be read as a part of its message, because it is malformed, says
/// where a body ends or asks for another protocol.
fn read(octets: &[u8]) -> Option<Fields> {
    let (mut lines, mut spans) = (FieldLines::new(0, MAX_BYTES), FieldSpans::new());
    let mut framing = FramingFields::new();
    while let FieldLine::Field { name, value } = lines.next(octets).ok()?? {
        let text = octets.get(name.clone())?;
        if text.eq_ignore_ascii_case(b"upgrade") {
            return None;
        }
        framing.add(text, octets.get(value.clone())?, true).ok()?;
        spans.push(name, value)?;
    }
    let is_whole = lines.at() == octets.len() && framing.stated().is_none();
    is_whole.then(|| Fields::of(spans, octets.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::field_name::HOST;
    use crate::request::{Framing, HeadLimits, HeadScanner};

    const LIMITS: HeadLimits = HeadLimits { bytes: 8192, target: 2048, fields: 100 };

    fn found(sections: &mut RepeatedSections, text: &str) -> bool {
        sections.find(text.as_bytes()).is_some()
    }

    #[test]
    fn a_section_is_found_from_its_second_time_on() {
        let mut sections = RepeatedSections::default();
        let (one, other) = ("Host: a\r\nX-Y: 1\r\n\r\n", "Host: a\r\nX-Y: 2\r\n\r\n");
        assert!(!found(&mut sections, one));
        assert!(found(&mut sections, one) && found(&mut sections, one));
        assert!(!found(&mut sections, other));
        assert!(found(&mut sections, other));
        let fields = sections.find(other.as_bytes()).unwrap();
        assert_eq!(fields.get(HOST).unwrap().as_bytes(), b"a");
        let section = fields.section().unwrap();
        assert!(section.is(other.as_bytes()) && !section.is(one.as_bytes()));
        let again = sections.find(other.as_bytes()).unwrap();
        assert!(Arc::ptr_eq(section, again.section().unwrap()), "with all that was derived from it");
    }

    /// Otherwise sections that differ only in a few octets would take each other's slot, and be read each time.
    #[test]
    fn a_key_depends_on_every_octet_of_a_short_section() {
        let text = format!("X: {}\r\n\r\n", "x".repeat(57));
        assert_eq!(text.len(), 64);
        for at in 0..text.len() - END.len() {
            for bit in 0..8 {
                let mut other = text.clone().into_bytes();
                other[at] ^= 1 << bit;
                assert_ne!(key(&other), key(text.as_bytes()), "bit {bit} of octet {at}");
            }
        }
    }

    /// Sections with the same key differ between the samples.
    #[test]
    fn a_key_is_not_enough() {
        let text = |byte: char| format!("Host: a\r\nX: {}{byte}{}\r\n\r\n", "x".repeat(200), "x".repeat(200));
        let (one, other) = (text('1'), text('2'));
        assert_eq!(key(one.as_bytes()), key(other.as_bytes()));
        let mut sections = RepeatedSections::default();
        for _ in 0..3 {
            for text in [&one, &other] {
                if let Some(fields) = sections.find(text.as_bytes()) {
                    assert!(fields.section().unwrap().is(text.as_bytes()));
                }
            }
        }
    }

    #[test]
    fn only_whole_sections_without_a_body_are_kept() {
        let long = format!("X: {}\r\n\r\n", "x".repeat(MAX_BYTES));
        for text in [
            "Host: a\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "Host: a\r\n X: 1\r\n\r\n",
            "Host: a\r\nX-Y: 1\r\n",
            "Content-Length: 0\r\n\r\n",
            "content-length: 5\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n",
            "Transfer-Encoding: gzip\r\n\r\n",
            "Host: a\r\nUPGRADE: h2c\r\n\r\n",
            "Host: a\r\nX: \0\r\n\r\n",
            "\r\n\r\n",
            &long,
        ] {
            let mut sections = RepeatedSections::default();
            assert!((0..3).all(|_| !found(&mut sections, text)), "{text:?}");
        }
    }

    /// Reads messages with and without knowing their sections.
    #[test]
    fn a_known_section_is_read_like_an_unknown_one() {
        let mut sections = RepeatedSections::default();
        let fields = [
            "",
            "Host: a\r\n",
            "hOST:a \r\nA:\r\nA: \t b c\t\r\nCookie: x\r\n",
            "X: \x7f\r\n",
            "Content-Length: 3\r\n",
        ];
        let lines = ["GET / HTTP/1.1", "POST /a?b HTTP/1.1", "GET / HTTP/1.0", "GET /a#b HTTP/1.1"];
        for field in fields {
            for line in lines.iter().chain(&lines).chain(&lines) {
                for rest in ["", "abc", "GET / HTTP/1.1\r\n\r\n"] {
                    let text = format!("{line}\r\nX-Filling: 1\r\n{field}\r\n{rest}");
                    let (mut known, mut plain) = (HeadScanner::new(LIMITS), HeadScanner::new(LIMITS));
                    let head = plain.scan(text.as_bytes());
                    assert_eq!(known.scan_with(text.as_bytes(), &mut sections), head, "{text:?}");
                    let Ok(Some(head)) = head else { continue };
                    let bytes = &text.as_bytes()[..head.len];
                    assert_eq!(
                        known.take_fields(bytes.into()).1,
                        plain.take_fields(bytes.into()).1,
                        "{text:?}"
                    );
                    assert_eq!(known.target_of(bytes), plain.target_of(bytes), "{text:?}");
                    assert_eq!(known.method_of(bytes), plain.method_of(bytes), "{text:?}");
                }
            }
        }
        let few = HeadLimits { fields: 1, ..LIMITS };
        let text = b"GET / HTTP/1.1\r\nX-Filling: 1\r\nHost: a\r\n\r\n";
        let mut known = HeadScanner::new(LIMITS);
        assert!(
            matches!(known.scan_with(text, &mut sections), Ok(Some(head)) if head.framing == Framing::None)
        );
        assert!(known.take_fields(text[..].into()).1.section().is_some(), "its fields were not read again");
        assert!(HeadScanner::new(few).scan_with(text, &mut sections).is_err());
        let short = HeadLimits { bytes: text.len() - 1, ..LIMITS };
        assert!(HeadScanner::new(short).scan_with(text, &mut sections).is_err());
    }
}
