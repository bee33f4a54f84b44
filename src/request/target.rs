//! Every way in which a backend could read a path.
//!
//! The backends are servlet stacks. They remove `;parameters` from every segment and decode percent escapes, and
//! the order differs between them. A path is forwarded byte for byte, and a request is authorized for every
//! reading of its path. A path that is malformed or dangerous in any reading is refused.

use std::convert::Infallible;

use http::Uri;
use http::uri::PathAndQuery;

use super::RequestFault;
use super::uri::written;

/// A path as it was received, and the other paths that a backend could read it as.
#[derive(Clone, Debug)]
pub struct PathReadings {
    /// Its query may have stand-ins ([`super::written`]).
    raw: PathAndQuery,
    /// The target as it was received, if its query has stand-ins.
    received: Option<Box<str>>,
    /// See [`Self::is_plain`].
    is_plain: bool,
    /// The readings that differ from the raw path. Usually none.
    others: Vec<Box<[u8]>>,
    /// The paths that a backend that is itself a proxy would request. Usually none.
    rewritten: Vec<Box<[u8]>>,
}

pub(super) const NOT_A_PATH: &str = "path has an octet that a path cannot have";
pub(super) const NOT_A_QUERY: &str = "query has an octet that must be percent-encoded";
pub(super) const BAD_ESCAPE: &str = "path has a percent sign without two hex digits after it";
pub(super) const DOT_SEGMENT: &str = "path has a dot segment";
pub(super) const PARAMETER: &str = "path has a dot segment as Jersey reads it, because of a parameter";
pub(super) const CONTROL: &str = "path has a control character";
pub(super) const OVERLONG: &str = "path has overlong UTF-8";
pub(super) const DECODED_TWICE: &str = "path has a backslash or a fragment if it is decoded twice";
pub(super) const REWRITTEN: &str = "path continues in a segment that the backend cuts off";

const fn bad<T>(why: &'static str) -> Result<T, RequestFault> {
    Err(RequestFault::BadTarget(why))
}

impl PathReadings {
    /// Reads the target of a request in origin-form or absolute-form.
    pub fn of(target: &Uri) -> Result<Self, RequestFault> {
        // Authority-form and asterisk-form have no path (RFC 9112 section 3.2).
        let raw = target.path_and_query().ok_or(RequestFault::BadTarget("target has no path"))?;
        if target.scheme().is_some_and(|scheme| scheme.as_str() != "http" && scheme.as_str() != "https") {
            return Err(RequestFault::BadTarget("scheme is neither http nor https"));
        }
        let received = match raw.query() {
            Some(query) if !query.bytes().all(|byte| byte.is_ascii_graphic()) => Some(received(raw)?),
            _ => None,
        };
        let path = raw.path().as_bytes();
        let is_simple = is_simple(path);
        // Almost every path is simple and needs no allocation.
        let others = if is_simple { Vec::new() } else { readings(path)? };
        let has_marks = || path.iter().any(|byte| matches!(byte, b'%' | b';' | b'\\'));
        let is_plain = is_simple || (others.is_empty() && !has_marks());
        Ok(Self { raw: raw.clone(), received, is_plain, others, rewritten: Vec::new() })
    }

    /// Adds the readings of a backend that replaces the beginning of a path and forwards it. Rules about the service
    /// behind it must also match the path that arrives there. Routes are the backend's own, so they do not need it.
    pub(super) fn with_rewrites(mut self, rewrites: &[(&str, &str)]) -> Result<Self, RequestFault> {
        for (from, to) in rewrites {
            let found = self.all().filter_map(|path| rewritten(path, from, to).transpose());
            let found = found.collect::<Result<Vec<_>, _>>()?;
            self.rewritten.extend(found);
        }
        Ok(self)
    }

    /// The path and query to forward, with stand-ins for what [`PathAndQuery`] does not accept ([`super::uri_of`]). Use
    /// [`Self::query`] to read the query.
    pub fn path_and_query(&self) -> &PathAndQuery {
        &self.raw
    }

    /// The query as it was received, without `?`; empty if there is none.
    pub fn query(&self) -> &str {
        match &self.received {
            None => self.raw.query().unwrap_or_default(),
            Some(received) => received.split_once('?').map_or("", |(_, query)| query),
        }
    }

    /// The path as it was received.
    pub fn raw(&self) -> &str {
        self.raw.path()
    }

    /// Every reading, the raw one first.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> {
        let others = self.others.iter().chain(&self.rewritten);
        std::iter::once(self.raw.path().as_bytes()).chain(others.map(AsRef::as_ref))
    }

    /// Whether it can be read in only one way. Only such a path can match an open route.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The path without its trailing slash, if that slash is the only cause of a second reading.
    pub fn without_last_slash(&self) -> Option<&[u8]> {
        let raw = self.raw.path();
        let without = raw.strip_suffix('/').filter(|_| !raw.contains(['%', ';', '\\']))?;
        match &self.others[..] {
            [only] if **only == *without.as_bytes() && without != "/" => Some(without.as_bytes()),
            _ => None,
        }
    }
}

/// The target whose query has stand-ins.
fn received(raw: &PathAndQuery) -> Result<Box<str>, RequestFault> {
    let received = written(raw);
    if received.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(received.into()) } else { bad(NOT_A_QUERY) }
}

/// Whether a path contains nothing that any server reads in another way: no escape, parameter, backslash or fragment,
/// no empty segment, no segment that begins with a dot, and no slash at the end.
///
/// One pass without a branch for each byte. [`readings`] decides about every other path.
fn is_simple(path: &[u8]) -> bool {
    let is_simple_octet = |byte: u8| byte.is_ascii_graphic() & !matches!(byte, b'%' | b';' | b'\\' | b'#');
    let octets = path.iter().fold(true, |simple, byte| simple & is_simple_octet(*byte));
    let is_simple_pair = |first: u8, second: u8| (first != b'/') | ((second != b'/') & (second != b'.'));
    let after_first = path.get(1..).unwrap_or_default();
    let pairs = path.iter().zip(after_first).fold(true, |simple, (a, b)| simple & is_simple_pair(*a, *b));
    octets & pairs && (path == b"/" || (path.starts_with(b"/") && !path.ends_with(b"/")))
}

/// The readings of a raw path other than itself, or why it is refused.
fn readings(raw: &[u8]) -> Result<Vec<Box<[u8]>>, RequestFault> {
    if raw.first() != Some(&b'/')
        || !raw.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\' && *byte != b'#')
    {
        return bad(NOT_A_PATH);
    }
    check_segments(raw)?;
    let mut others: Vec<Box<[u8]>> = Vec::new();
    let mut add = |reading: Vec<u8>| {
        let known = reading == raw || others.iter().any(|other| **other == *reading);
        if !known {
            others.push(reading.into());
        }
    };
    let odd = raw.iter().any(|byte| matches!(byte, b'%' | b';'))
        || raw.windows(2).any(|pair| pair == b"//")
        || (raw.len() > 1 && raw.ends_with(b"/"));
    if !odd {
        return Ok(others);
    }
    let cut = without_parameters(raw);
    let decoded = decode(raw)?;
    let cut_then_decoded = decode(&cut)?;
    let decoded_then_cut = without_parameters(&decoded);
    for reading in [&cut, &decoded, &cut_then_decoded, &decoded_then_cut] {
        check_segments(reading)?;
        check_bytes(reading)?;
    }
    // If a careless server decodes twice, the path must not become dangerous. A percent sign that begins no escape may be
    // a part of a name.
    for once in [&decoded, &cut_then_decoded, &decoded_then_cut] {
        let twice = decode_leniently(once);
        if twice != **once {
            check_segments(&twice)?;
            check_bytes(&twice)?;
            if twice.contains(&b'\\') || twice.contains(&b'#') {
                return bad(DECODED_TWICE);
            }
        }
    }
    let below_mappings = below_mappings(raw, &[&cut, &cut_then_decoded]);
    if below_mappings.iter().any(|reading| has_dot_segment(reading)) {
        return bad(PARAMETER);
    }
    let latin1: Vec<_> = [&decoded, &cut_then_decoded]
        .into_iter()
        .filter_map(|path| as_latin1(path))
        .flat_map(|path| [merge_slashes(&path), path])
        .collect();
    let plain_slashes = [raw, &cut, &decoded, &cut_then_decoded, &decoded_then_cut].map(merge_slashes);
    let checked = [cut, decoded, cut_then_decoded, decoded_then_cut];
    for reading in checked.into_iter().chain(plain_slashes).chain(below_mappings).chain(latin1) {
        add(reading);
    }
    Ok(others)
}

/// The reading with everything up to and including `from` replaced by `to`. If `to` is empty and the segment
/// continues after `from`, the path is refused: the rest of the segment would become a path, or even a host.
fn rewritten(path: &[u8], from: &str, to: &str) -> Result<Option<Box<[u8]>>, RequestFault> {
    let found = path.windows(from.len()).position(|part| part == from.as_bytes());
    let Some(rest) = found.and_then(|at| path.get(at + from.len()..)) else { return Ok(None) };
    if !matches!(rest.first(), None | Some(b'/' | b';')) {
        return if to.is_empty() { bad(REWRITTEN) } else { Ok(None) };
    }
    let path = [to.as_bytes(), rest].concat();
    Ok(Some(if path.is_empty() { (*b"/").into() } else { path.into() }))
}

/// The paths below a servlet's mapping as Jersey reads them. Jersey skips as many characters of the raw path as the
/// mapping has. So it reads `/api;v1/policies`, which the container matches to `/api/*`, as `v1/policies`.
/// The mapping is a prefix of the path as the container reads it.
fn below_mappings(raw: &[u8], servlet_paths: &[&Vec<u8>]) -> Vec<Vec<u8>> {
    /// More segments than a base path and the mapping of a servlet have together.
    const DEPTH: usize = 4;
    if !raw.contains(&b';') {
        return Vec::new();
    }
    let mut readings = Vec::new();
    for path in servlet_paths {
        let ends = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]).take(DEPTH) {
            if let (Some(mapping), Some(rest)) = (path.get(..end), raw.get(end + 1..)) {
                let below = merge_slashes(&without_parameters(rest));
                readings.push([mapping, b"/", &below].concat());
            }
        }
    }
    readings
}

/// Jetty 9 reads bytes that are not UTF-8 as ISO-8859-1. `%E9` then means the same as `%C3%A9`.
fn as_latin1(path: &[u8]) -> Option<Vec<u8>> {
    let text = || path.iter().map(|byte| char::from(*byte)).collect::<String>();
    str::from_utf8(path).is_err().then(|| text().into_bytes())
}

/// Refuses dot segments in a reading. The proxy and the backend could resolve them differently.
fn check_segments(path: &[u8]) -> Result<(), RequestFault> {
    if has_dot_segment(path) { bad(DOT_SEGMENT) } else { Ok(()) }
}

/// Whether a reading has a dot segment, with `/` or `\` as the separator.
fn has_dot_segment(path: &[u8]) -> bool {
    let dots = |segment: &[u8]| segment == b"." || segment == b"..";
    path.split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| dots(segment.split(|byte| *byte == b';').next().unwrap_or_default()))
}

/// Refuses control characters and overlong UTF-8 in a reading.
fn check_bytes(reading: &[u8]) -> Result<(), RequestFault> {
    if reading.windows(2).any(|pair| is_overlong(pair[0], pair[1])) {
        return bad(OVERLONG);
    }
    if reading.iter().any(u8::is_ascii_control) { bad(CONTROL) } else { Ok(()) }
}

/// Whether two octets begin an overlong UTF-8 sequence (RFC 3629 section 3). A careless decoder reads `C0 AE` as a dot
/// and `C0 AF` as a slash.
pub(super) const fn is_overlong(one: u8, two: u8) -> bool {
    match one {
        0xc0 | 0xc1 => matches!(two, 0x80..=0xbf),
        0xe0 => matches!(two, 0x80..=0x9f),
        0xf0 => matches!(two, 0x80..=0x8f),
        _ => false,
    }
}

/// Removes `;` and what follows it from every segment, as servlets do.
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let mut cut = Vec::with_capacity(path.len());
    let mut inside = false;
    for byte in path {
        match byte {
            b'/' => inside = false,
            b';' => inside = true,
            _ => {}
        }
        if !inside {
            cut.push(*byte);
        }
    }
    cut
}

/// Percent-decodes once (RFC 3986 section 2.1); refuses malformed escapes.
fn decode(path: &[u8]) -> Result<Vec<u8>, RequestFault> {
    decode_or(path, |_| bad(BAD_ESCAPE))
}

/// Percent-decodes once, and leaves malformed escapes as they are.
fn decode_leniently(path: &[u8]) -> Vec<u8> {
    decode_or(path, Ok::<_, Infallible>).unwrap_or_else(|never| match never {})
}

/// Percent-decodes once. `malformed` says what a percent sign is that begins no escape.
fn decode_or<E>(path: &[u8], malformed: impl Fn(u8) -> Result<u8, E>) -> Result<Vec<u8>, E> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)),
            _ => None,
        };
        let (octet, next) = match escaped {
            Some((high, low)) => (16 * high + low, after.get(2..).unwrap_or_default()),
            None if *byte == b'%' => (malformed(*byte)?, after),
            None => (*byte, after),
        };
        decoded.push(octet);
        rest = next;
    }
    Ok(decoded)
}

/// Removes empty segments and the trailing slash, as many servers do.
fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut merged: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path {
        if *byte != b'/' || merged.last() != Some(&b'/') {
            merged.push(*byte);
        }
    }
    if merged.len() > 1 && merged.ends_with(b"/") {
        merged.pop();
    }
    merged
}

#[cfg(test)]
mod tests;
