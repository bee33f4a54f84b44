//! The requested host: from `Host`, and from the target or `:authority`.

use std::net::Ipv6Addr;

use http::{HeaderValue, Uri, Version};

use super::RequestFault;
use crate::message::Fields;
use crate::message::field_name::HOST;

pub(super) const NOT_A_HOST: &str = "Host is not a host and port";
pub(super) const MANY_HOSTS: &str = "more than one Host";
pub(super) const OTHER_HOST: &str = "Host differs from the target";
const BAD: RequestFault = RequestFault::BadTarget(NOT_A_HOST);
const NONE: RequestFault = RequestFault::BadTarget("no Host");

/// The longest name (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;

/// The requested host, as compared and as forwarded.
#[derive(Debug)]
pub(super) struct Hosts {
    /// Without port; a name in lower case, an IPv6 address in canonical form (RFC 5952).
    pub(super) host: Box<str>,
    /// The authority of the target, byte for byte, if it has one; or the authority that was sent without the dot that
    /// its name ends with.
    pub(super) target_host: Option<HeaderValue>,
}

impl Hosts {
    /// RFC 9112 section 3.2: exactly one `Host`, and if the target has an authority, both are the same.
    /// HTTP/2 may have `:authority` instead of `Host` (RFC 9113 section 8.3.1).
    pub(super) fn read(target: &Uri, version: Version, headers: &Fields) -> Result<Self, RequestFault> {
        let mut values = headers.get_all(HOST);
        let from_field = match (values.next(), values.next()) {
            (_, Some(_)) => return Err(RequestFault::BadTarget(MANY_HOSTS)),
            (Some(value), None) => Some(Authority::read(value.as_bytes())?),
            (None, None) if version == Version::HTTP_2 => None,
            (None, None) => return Err(NONE),
        };
        let target_text = target.authority().map(http::uri::Authority::as_str);
        let from_target = target_text.map(|text| Authority::read(text.as_bytes())).transpose()?;
        if let (Some(from_field), Some(from_target)) = (&from_field, &from_target)
            && !from_field.is_same(from_target, target.scheme_str())
        {
            return Err(RequestFault::BadTarget(OTHER_HOST));
        }
        let target_host = match from_target.or(from_field).ok_or(NONE)? {
            host if host.has_last_dot => Some(host.without_last_dot()?),
            _ => target_text.map(HeaderValue::from_str).transpose().map_err(|_| BAD)?,
        };
        let host = from_field.or(from_target).ok_or(NONE)?.host.canonical();
        Ok(Self { host, target_host })
    }
}

/// Whether `:authority` is a host and port (RFC 9113 section 8.3.1).
pub(super) fn check_authority(text: &[u8]) -> Result<(), RequestFault> {
    Authority::read(text).map(drop)
}

/// Whether a text is a host, with or without a port.
pub fn is_authority(text: &str) -> bool {
    check_authority(text.as_bytes()).is_ok()
}

/// `uri-host [ ":" port ]` (RFC 9110 section 7.2), without userinfo.
#[derive(Clone, Copy, Debug)]
struct Authority<'t> {
    host: Host<'t>,
    /// `None` if it is missing or empty, which mean the same (RFC 3986 section 3.2.3).
    port: Option<u16>,
    /// `:` and the port, as written; empty if it has neither.
    port_text: &'t [u8],
    /// Whether the name ends with a dot, which means that it is absolute (RFC 1034 section 3.1). To a resolver it is the
    /// same host, but not in a comparison of names, so the dot is neither compared nor forwarded.
    has_last_dot: bool,
}

#[derive(Clone, Copy, Debug)]
enum Host<'t> {
    Name(&'t str),
    Ipv6(Ipv6Addr),
}

impl<'t> Authority<'t> {
    fn read(text: &'t [u8]) -> Result<Self, RequestFault> {
        // The colons of an IPv6 address come before its closing bracket.
        let host_len = match text.first() {
            Some(b'[') => text.iter().rposition(|byte| *byte == b']').ok_or(BAD)? + 1,
            _ => text.iter().position(|byte| *byte == b':').unwrap_or(text.len()),
        };
        let (host, rest) = text.split_at_checked(host_len).ok_or(BAD)?;
        let port = match rest {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(port(digits).ok_or(BAD)?),
            _ => return Err(BAD),
        };
        let relative = host.strip_suffix(b".");
        Ok(Self {
            host: Host::read(relative.unwrap_or(host))?,
            port,
            port_text: rest,
            has_last_dot: relative.is_some(),
        })
    }

    fn without_last_dot(&self) -> Result<HeaderValue, RequestFault> {
        let name = match self.host {
            Host::Name(name) => name.as_bytes(),
            // Its bracket comes last.
            Host::Ipv6(_) => return Err(BAD),
        };
        HeaderValue::from_bytes(&[name, self.port_text].concat()).map_err(|_| BAD)
    }

    /// Whether host and port are the same. A missing port is the default port of the scheme.
    fn is_same(&self, other: &Self, scheme: Option<&str>) -> bool {
        // RFC 9110 sections 4.2.1 and 4.2.2.
        let default = match scheme {
            Some("http") => Some(80),
            Some("https") => Some(443),
            _ => None,
        };
        let same_host = match (self.host, other.host) {
            (Host::Name(one), Host::Name(other)) => one.eq_ignore_ascii_case(other),
            (Host::Ipv6(one), Host::Ipv6(other)) => one == other,
            _ => false,
        };
        same_host && self.port.or(default) == other.port.or(default)
    }
}

impl<'t> Host<'t> {
    /// `host` of RFC 3986 section 3.2.2: an IPv6 address in brackets, or a name or IPv4 address.
    ///
    /// Refused although the grammar allows them: `IPvFuture`, because no such address exists;
    /// escapes, because they are another spelling of the same name; the comma, because it separates list members;
    /// and empty labels. (A dot after the last label was removed before.)
    fn read(text: &'t [u8]) -> Result<Self, RequestFault> {
        let text = str::from_utf8(text).map_err(|_| BAD)?;
        if let Some(address) = text.strip_prefix('[') {
            let address = address.strip_suffix(']').and_then(|address| address.parse().ok());
            return address.map(Self::Ipv6).ok_or(BAD);
        }
        // Every label has an octet, so a dot comes neither first nor last nor after another.
        let mut after_dot = true;
        for byte in text.bytes() {
            let is_dot = byte == b'.';
            if is_dot && after_dot || !is_dot && !is_name_octet(byte) {
                return Err(BAD);
            }
            after_dot = is_dot;
        }
        if after_dot || text.len() > MAX_NAME { Err(BAD) } else { Ok(Self::Name(text)) }
    }

    fn canonical(self) -> Box<str> {
        match self {
            Self::Name(name) => name.to_ascii_lowercase().into(),
            Self::Ipv6(address) => format!("[{address}]").into(),
        }
    }
}

/// A host without port, as in [`super::RequestFacts`]; `None` if the text is not a host.
pub fn canonical_host(text: &str) -> Option<Box<str>> {
    Host::read(text.strip_suffix('.').unwrap_or(text).as_bytes()).ok().map(Host::canonical)
}

/// Digits only: no sign, which `u16`'s own parser accepts.
fn port(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |port, byte| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        port.checked_mul(10)?.checked_add(digit.into())
    })
}

/// `unreserved` and `sub-delims` of RFC 3986 section 2, without the dot between labels and the comma.
const fn is_name_octet(byte: u8) -> bool {
    NAME_OCTET[byte as usize]
}

const NAME_OCTET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(
            byte as u8,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')'
                | b'*' | b'+' | b';' | b'='
        );
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::fields;

    fn read(target: &str, version: Version, host: Option<&str>) -> Result<Hosts, RequestFault> {
        let lines: Vec<_> = host.map(|host| ("host", host)).into_iter().collect();
        Hosts::read(&Uri::try_from(target).expect("a target"), version, &fields(&lines))
    }

    fn of_field(host: &str) -> Option<String> {
        read("/x", Version::HTTP_11, Some(host)).ok().map(|hosts| hosts.host.into())
    }

    #[test]
    fn host_is_a_name_or_address_with_an_optional_port() {
        for (text, host) in [
            ("a", "a"),
            ("A.Example:8585", "a.example"),
            ("a:", "a"),
            ("a.", "a"),
            ("A.Example.:80", "a.example"),
            ("127.0.0.1.", "127.0.0.1"),
            ("a:0080", "a"),
            ("a:0", "a"),
            ("a:65535", "a"),
            ("127.0.0.1:65535", "127.0.0.1"),
            ("under_score.svc", "under_score.svc"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("a!$&'()*+;=-_~b", "a!$&'()*+;=-_~b"),
            ("[::1]", "[::1]"),
            ("[::1]:", "[::1]"),
            ("[::1]:8685", "[::1]"),
            ("[2001:DB8:0:0:0:0:0:1]", "[2001:db8::1]"),
            ("[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]"),
        ] {
            assert_eq!(of_field(text).as_deref(), Some(host), "{text}");
        }
    }

    #[test]
    fn malformed_hosts_are_refused() {
        let (long, longer) = ("a".repeat(MAX_NAME), "a".repeat(MAX_NAME + 1));
        assert_eq!(of_field(&long), Some(long.clone()));
        for text in [
            "",
            " ",
            ":",
            ":80",
            ".",
            "..",
            "..a",
            ".a",
            "a..b",
            "a..",
            "a..:80",
            ".:80",
            "a, b",
            "a,b",
            "user@a",
            "user:pass@a",
            "@a",
            "a/b",
            "a?b",
            "a#b",
            "a b",
            "a\tb",
            "a%00",
            "a%2eb",
            "a\\b",
            "<a>",
            "\"a\"",
            "http://a",
            "\u{e9}",
            "a:99999",
            "a:65536",
            "a:b",
            "a:+1",
            "a:-1",
            "a: 1",
            "a:1:2",
            "a::",
            "::1",
            "[]",
            "[zz]",
            "[ab..cd::1]",
            "[::1",
            "::1]",
            "[::1]]",
            "[[::1]]",
            "[::1]x",
            "[::1]:x",
            "x[::1]",
            "[::1].",
            "[::1].:80",
            "[:::1]",
            "[1::2::3]",
            "[1:2:3:4:5:6:7]",
            "[12345::]",
            "[127.0.0.1]",
            "[v1.a]",
            "[vF.::1]",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "[::1 ]",
            "[::g]",
            &longer,
        ] {
            assert_eq!(of_field(text), None, "{text:?}");
        }
    }

    #[test]
    fn missing_port_equals_the_default_port() {
        let same = |target: &str, host: &str| {
            let h2 = read(target, Version::HTTP_2, Some(host)).map(|hosts| hosts.target_host);
            assert_eq!(h2, read(target, Version::HTTP_11, Some(host)).map(|hosts| hosts.target_host));
            h2.is_ok()
        };
        for (target, host) in [
            ("http://a/", "a:80"),
            ("http://a:80/", "A"),
            ("http://a:/", "a"),
            ("http://a:/", "a:80"),
            ("https://a/", "a:443"),
            ("https://a:0443/", "a:"),
            ("http://[::1]/", "[0::1]:80"),
        ] {
            assert!(same(target, host), "{target} {host}");
        }
        for (target, host) in [
            ("http://a/", "a:443"),
            ("https://a/", "a:80"),
            ("http://a:80/", "a:443"),
            ("http://a:81/", "a"),
            ("https://a:80/", "a:443"),
            ("http://a/", "b"),
            ("http://[::1]/", "[::2]"),
        ] {
            assert!(!same(target, host), "{target} {host}");
        }
    }

    #[test]
    fn a_dot_after_the_last_label_is_neither_compared_nor_forwarded() {
        for (target, host, forwarded) in [
            ("/x", "A.Example.", Some("A.Example")),
            ("/x", "a.example.:080", Some("a.example:080")),
            ("/x", "a.example.:", Some("a.example:")),
            ("/x", "a.example", None),
            ("http://a.example./x", "a.example", Some("a.example")),
            ("http://a.example/x", "a.example.", Some("a.example")),
            ("http://a.example.:80/x", "a.example.", Some("a.example:80")),
        ] {
            let hosts = read(target, Version::HTTP_11, Some(host)).expect("a host");
            assert_eq!(
                hosts.target_host.as_ref().map(HeaderValue::as_bytes),
                forwarded.map(str::as_bytes),
                "{host}"
            );
            assert_eq!(&*hosts.host, "a.example");
        }
        let hosts = read("http://a.example.:81/x", Version::HTTP_2, None).expect("a host");
        assert_eq!(hosts.target_host.expect("a value"), "a.example:81");
    }

    #[test]
    fn target_host_is_kept_byte_for_byte() {
        for written in ["A.Example", "a:", "a:80", "a:0080", "[2001:DB8::0:1]:80"] {
            let hosts = read(&format!("http://{written}/x"), Version::HTTP_2, None).expect("a host");
            assert_eq!(hosts.target_host.expect("it names one").as_bytes(), written.as_bytes());
        }
    }

    #[test]
    fn a_configured_host_is_compared_as_a_received_one() {
        for (text, canonical) in [
            ("A.Example", Some("a.example")),
            ("a.example.", Some("a.example")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("[2001:DB8::0:1]", Some("[2001:db8::1]")),
            ("a.example:80", None),
            ("a b", None),
            ("", None),
        ] {
            assert_eq!(canonical_host(text).as_deref(), canonical, "{text}");
        }
    }

    #[test]
    fn an_authority_is_a_host_with_or_without_a_port() {
        for good in ["a.example", "a.example:8443", "192.0.2.1", "[2001:db8::1]:1"] {
            assert!(is_authority(good), "{good}");
        }
        for bad in ["", "a b", "user@a.example", "a.example/x", "a.example:x", "[2001:db8::1"] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
