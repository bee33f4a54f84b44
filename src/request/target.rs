//! Every way in which a backend could read a path.
//!
//! The backends are servlet stacks. They remove `;parameters` from every segment and decode percent escapes, and
//! the order differs between them. A path is forwarded byte for byte, and a request is authorized for every
//! reading of its path. A path that is malformed or dangerous in any reading is refused.

use http::Uri;
use http::uri::PathAndQuery;

use super::RequestFault;

/// A path as it was received, and the other paths that a backend could read it as.
#[derive(Clone, Debug)]
pub struct PathReadings {
    raw: PathAndQuery,
    /// The readings that differ from the raw path. Usually none.
    others: Vec<Box<[u8]>>,
    /// The paths that a backend that is itself a proxy would request. Usually none.
    rewritten: Vec<Box<[u8]>>,
}

const BAD: RequestFault = RequestFault::BadTarget("path is ambiguous or malformed");

impl PathReadings {
    /// Reads the target of a request in origin-form or absolute-form.
    pub fn of(target: &Uri) -> Result<Self, RequestFault> {
        // Authority-form and asterisk-form have no path (RFC 9112 section 3.2).
        let raw = target.path_and_query().ok_or(RequestFault::BadTarget("target has no path"))?;
        if target.scheme().is_some_and(|scheme| scheme.as_str() != "http" && scheme.as_str() != "https") {
            return Err(RequestFault::BadTarget("scheme is neither http nor https"));
        }
        if raw.query().is_some_and(|query| !query.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(BAD);
        }
        let others = readings(raw.path().as_bytes())?;
        Ok(Self { raw: raw.clone(), others, rewritten: Vec::new() })
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

    /// The path and query as they were received and are forwarded.
    pub fn path_and_query(&self) -> &PathAndQuery {
        &self.raw
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
        self.others.is_empty() && !self.raw.path().bytes().any(|byte| matches!(byte, b'%' | b';' | b'\\'))
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

/// The readings of a raw path other than itself, or why it is refused.
fn readings(raw: &[u8]) -> Result<Vec<Box<[u8]>>, RequestFault> {
    if raw.first() != Some(&b'/')
        || !raw.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\' && *byte != b'#')
    {
        return Err(BAD);
    }
    check_segments(raw)?;
    let mut others: Vec<Box<[u8]>> = Vec::new();
    let mut add = |reading: Vec<u8>| {
        let known = reading == raw || others.iter().any(|other| **other == *reading);
        if !known {
            others.push(reading.into());
        }
    };
    // Most paths return here, without an allocation.
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
    // If a careless server decodes twice, the path must not become dangerous. If the second decoding
    // fails, the name only contains a percent sign.
    for once in [&decoded, &cut_then_decoded, &decoded_then_cut] {
        if let Ok(twice) = decode(once)
            && twice != **once
        {
            check_segments(&twice)?;
            check_bytes(&twice)?;
            if twice.contains(&b'\\') || twice.contains(&b'#') {
                return Err(BAD);
            }
        }
    }
    let below_mappings = below_mappings(raw, &[&cut, &cut_then_decoded]);
    for reading in &below_mappings {
        check_segments(reading)?;
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
        return if to.is_empty() { Err(BAD) } else { Ok(None) };
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

/// Refuses dot segments in a reading, with `/` or `\` as the separator. The proxy and the backend could resolve
/// them differently.
fn check_segments(path: &[u8]) -> Result<(), RequestFault> {
    let dots = |segment: &[u8]| segment == b"." || segment == b"..";
    let found = path
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| dots(segment.split(|byte| *byte == b';').next().unwrap_or_default()));
    if found { Err(BAD) } else { Ok(()) }
}

/// Refuses control characters and overlong UTF-8 (RFC 3629 section 3) in a reading. A careless decoder reads `C0 AE`
/// as a dot and `C0 AF` as a slash.
fn check_bytes(reading: &[u8]) -> Result<(), RequestFault> {
    let overlong = reading.windows(2).any(|pair| match pair[0] {
        0xc0 | 0xc1 => matches!(pair[1], 0x80..=0xbf),
        0xe0 => matches!(pair[1], 0x80..=0x9f),
        0xf0 => matches!(pair[1], 0x80..=0x8f),
        _ => false,
    });
    if overlong || reading.iter().any(u8::is_ascii_control) { Err(BAD) } else { Ok(()) }
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
    let digit = |byte: Option<&u8>| {
        byte.and_then(|byte| char::from(*byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
    };
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let (high, low) = (digit(bytes.next()), digit(bytes.next()));
        let (Some(high), Some(low)) = (high, low) else { return Err(BAD) };
        decoded.push(16 * high + low);
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
mod tests {
    use super::*;

    fn read(path: &str) -> Result<Vec<String>, RequestFault> {
        let target = Uri::try_from(path).map_err(|_| BAD)?;
        let readings = PathReadings::of(&target)?;
        Ok(readings.all().map(|reading| String::from_utf8_lossy(reading).into_owned()).collect())
    }

    #[test]
    fn plain_path_has_one_reading() {
        for path in [
            "/",
            "/api/v1/tables",
            "/api/v1/tables/name/svc.db.sch.orders?limit=2",
            "/a/...",
            "/a/..b",
            "/~a/b:c@d",
        ] {
            let target = Uri::try_from(path).unwrap();
            let readings = PathReadings::of(&target).unwrap();
            assert!(readings.is_plain(), "{path}");
            assert_eq!(readings.all().count(), 1, "{path}");
        }
    }

    #[test]
    fn every_reading_is_listed() {
        let all = read("/api/v1;x%2fy/a%20b").unwrap();
        assert_eq!(all[0], "/api/v1;x%2fy/a%20b");
        assert!(all.contains(&"/api/v1/a%20b".to_owned()), "{all:?}");
        assert!(all.contains(&"/api/v1;x/y/a b".to_owned()), "{all:?}");
        assert!(all.contains(&"/api/v1/a b".to_owned()), "{all:?}");
        assert!(all.contains(&"/api/v1/y/a b".to_owned()), "{all:?}");
        assert!(read("//a//b/").unwrap().contains(&"/a/b".to_owned()));
        assert!(!PathReadings::of(&Uri::from_static("/a/")).unwrap().is_plain());
        assert!(!PathReadings::of(&Uri::from_static("/a%41")).unwrap().is_plain());
    }

    /// Observed with Jetty and Jersey: each is served as `/api/v1/policies` or as a path below it.
    #[test]
    fn text_after_a_parameter_may_be_read_as_the_path() {
        for path in [
            "/api;v1/policies",
            "/api;v1;y/policies",
            "/api;v1;/policies;z",
            "/api;v1/policies/",
            "/api;v1/policies;",
            "/api;/v1/policies",
        ] {
            let all = read(path).unwrap();
            assert!(all.contains(&"/api/v1/policies".to_owned()), "{path}: {all:?}");
        }
        assert!(read("/om/api;v1/policies").unwrap().contains(&"/om/api/v1/policies".to_owned()));
        assert!(read("/om;abcdv1/api/x").unwrap().contains(&"/om/api/v1/api/x".to_owned()));
        assert_eq!(read("/api;../policies"), Err(BAD));
        // The number of readings stays small however many parameters there are.
        assert!(read(&"/a;b".repeat(1000)).unwrap().len() < 20);
    }

    #[test]
    fn non_utf8_bytes_may_be_read_as_latin1() {
        assert!(read("/caf%e9").unwrap().contains(&"/caf\u{e9}".to_owned()));
        assert!(read("/caf%e9;x").unwrap().contains(&"/caf\u{e9}".to_owned()));
        assert_eq!(read("/caf%c3%a9").unwrap().len(), 2);
    }

    #[test]
    fn only_a_lone_trailing_slash_is_removed() {
        let without = |path: &'static str| {
            let readings = PathReadings::of(&Uri::from_static(path)).unwrap();
            readings.without_last_slash().map(|path| String::from_utf8_lossy(path).into_owned())
        };
        assert_eq!(without("/a/"), Some("/a".to_owned()));
        assert_eq!(without("/a/b/?x=/"), Some("/a/b".to_owned()));
        for path in ["/", "/a", "/a//", "//a/", "/a;b/", "/a%41/", "/a%2f/", "/a;/", "/a%2f", "//"] {
            assert_eq!(without(path), None, "{path}");
        }
    }

    #[test]
    fn entity_names_are_accepted() {
        for path in [
            "/entitiesV2/urn%3Ali%3Acorpuser%3Adatahub",
            "/api/v1/tables/name/a%2Fb",
            "/api/v1/tables/name/%22a.b%22",
            "/api/v1/tables/name/100%25",
            "/api/v1/tables/name/a%23b",
            "/api/v1/tables/name/HOST%5CSQL.db",
            "/api/v1/tables/name/%C3%A9",
            "/aspects/urn%3Ali%3Adataset%3A%28urn%3Ali%3AdataPlatform%3Ahive%2Csch.orders%2CPROD%29",
        ] {
            assert!(read(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn dangerous_paths_are_refused() {
        for path in [
            "/a/../b",
            "/a/./b",
            "/..",
            "/a/..",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/a/.%2e/b",
            "/a/..%2fb",
            "/a/%2e%2e%2fb",
            "/a/..%5cb",
            "/a/..;/b",
            "/a/..;x=y/b",
            "/a/%2e%2e;/b",
            "/a/..%3b/b",
            "/a/%252e%252e/b",
            "/a/%25%32%65%25%32%65/b",
            "/a%00",
            "/a%0d%0ab",
            "/a%7f",
            "/a%",
            "/a%zz",
            "/a%u002e",
            "/a\\b",
            "/a%255cb",
            "/a%2523b",
            "/a%2500",
            "/\u{e9}",
            "*",
        ] {
            assert_eq!(read(path), Err(BAD), "{path}");
        }
        assert!(PathReadings::of(&Uri::from_static("ftp://a/b")).is_err());
        assert!(PathReadings::of(&Uri::from_static("api")).is_err());
    }
}
