//! The path below which an installation is reached, which is removed before a request is authorized and forwarded.
//!
//! 1. The target as received must begin with the prefix, byte for byte, and then end or continue with `/` or `?`. Nothing is
//!    decoded: `/%63atalog` and `/catalogue` are outside of `/catalog`.
//! 2. What follows becomes the target. Every check and every reading of the path ([`super::PathReadings`]) is of that, and
//!    that is forwarded. So no spelling of the prefix can change what is authorized.

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};

use super::RequestFault;
use crate::message::Fields;
use crate::message::field_name::{HOST, X_FORWARDED_HOST};

/// A prefix like `/catalog`: at least one segment, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPrefix {
    path: Box<str>,
    field: HeaderValue,
}

impl PathPrefix {
    /// `None` if this is not a path of plain segments: letters, digits and `-._~`.
    pub fn new(path: &str) -> Option<Self> {
        let is_octet = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let is_segment = |segment: &str| {
            !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(is_octet)
        };
        let is_plain = path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment));
        let field = HeaderValue::from_str(path).ok()?;
        is_plain.then(|| Self { path: path.into(), field })
    }

    /// The prefix.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// The value of `X-Forwarded-Prefix`.
    pub fn field(&self) -> &HeaderValue {
        &self.field
    }

    /// The target without the prefix.
    ///
    /// # Errors
    /// The target is outside of the prefix.
    pub fn strip(&self, target: &Uri) -> Result<Uri, RequestFault> {
        let path = target.path_and_query().ok_or(RequestFault::OutsidePrefix)?;
        let rest = self.rest(path.as_str()).ok_or(RequestFault::OutsidePrefix)?;
        let malformed = RequestFault::BadTarget("path is ambiguous or malformed");
        let path = match rest.starts_with('/') {
            true => PathAndQuery::try_from(rest),
            false => PathAndQuery::try_from(format!("/{rest}")),
        };
        let mut parts = target.clone().into_parts();
        parts.path_and_query = Some(path.map_err(|_| malformed)?);
        Uri::from_parts(parts).map_err(|_| malformed)
    }

    /// What follows the prefix in a path with its query; `None` outside of it.
    pub fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&*self.path).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
    }

    /// A backend's `Location` as the client has to see it; `None` if it stays as it is. A path, and a URL of one of `hosts`,
    /// get the prefix, unless they have it already.
    fn location(&self, location: &str, hosts: &[HeaderValue]) -> Option<String> {
        let (before, path) = match location.split_once("://") {
            _ if location.starts_with('/') => ("", location),
            Some((scheme, rest)) if ["http", "https"].contains(&scheme) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let authority = rest.get(..end)?;
                if !hosts.iter().any(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
                    return None;
                }
                location.split_at_checked(scheme.len() + 3 + end)?
            }
            _ => return None,
        };
        // `//host/path` names another host.
        let is_elsewhere = path.starts_with("//") || path.starts_with("/\\");
        let has_prefix = path.strip_prefix(&*self.path);
        let has_prefix = has_prefix.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']));
        (!is_elsewhere && !has_prefix).then(|| format!("{before}{}{path}", self.path))
    }
}

/// Adds the prefix to the redirects of one response.
#[derive(Clone, Debug)]
pub struct PrefixedRedirect<'p> {
    prefix: &'p PathPrefix,
    /// The hosts by which the client may have reached us.
    hosts: Vec<HeaderValue>,
}

impl<'p> PrefixedRedirect<'p> {
    /// For the response to a request with this target and these fields.
    pub fn of(prefix: &'p PathPrefix, target: &Uri, headers: &Fields) -> Self {
        let named = target.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        let fields = [headers.get_owned(HOST), headers.get_owned(X_FORWARDED_HOST)];
        Self { prefix, hosts: named.into_iter().chain(fields.into_iter().flatten()).collect() }
    }

    /// Rewrites `Location`.
    pub fn set(&self, headers: &mut Fields) {
        let location = headers.only("location").and_then(|value| value.to_str().ok().map(str::to_owned));
        let prefixed = location.and_then(|location| self.prefix.location(&location, &self.hosts));
        if let Some(value) = prefixed.and_then(|location| HeaderValue::try_from(location).ok()) {
            headers.insert(http::header::LOCATION, value);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::test_support::fields;

    fn catalog() -> PathPrefix {
        PathPrefix::new("/catalog").unwrap()
    }

    fn stripped(target: &str) -> Option<String> {
        catalog().strip(&target.parse().unwrap()).ok().map(|target| target.to_string())
    }

    #[test]
    fn a_prefix_has_plain_segments() {
        for good in ["/catalog", "/a/b", "/a.b/c_d~e-1"] {
            assert_eq!(PathPrefix::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "", "/", "catalog", "/a/", "//a", "/a//b", "/..", "/a/./b", "/%61", "/a;b", "/a?b", "/a b", "/ä",
            "/*",
        ] {
            assert_eq!(PathPrefix::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_follows_the_prefix_is_the_target() {
        for (target, rest) in [
            ("/catalog", "/"),
            ("/catalog/", "/"),
            ("/catalog?a=/b", "/?a=/b"),
            ("/catalog/api/v1?x", "/api/v1?x"),
            ("/catalog/a%2Fb;c", "/a%2Fb;c"),
            ("/catalog//x", "//x"),
            ("/catalog/catalog/x", "/catalog/x"),
            ("/catalog/%2e%2e/x", "/%2e%2e/x"),
            ("http://host:1/catalog/x", "http://host:1/x"),
            ("http://host/catalog", "http://host/"),
        ] {
            assert_eq!(stripped(target).as_deref(), Some(rest), "{target}");
        }
    }

    #[test]
    fn other_spellings_of_the_prefix_are_outside() {
        for target in [
            "/",
            "/catalogue",
            "/catalo",
            "/Catalog",
            "/%63atalog",
            "/%63atalog/x",
            "/catalog%2Fx",
            "/catalog;v=1",
            "/catalog;v=1/x",
            "/catalog\\x",
            "//catalog/x",
            "/./catalog/x",
            "/x/../catalog/x",
            "/x/catalog",
            "*",
            "http://catalog/x",
        ] {
            if let Ok(target) = target.parse::<Uri>() {
                assert_eq!(catalog().strip(&target).err(), Some(RequestFault::OutsidePrefix), "{target}");
            }
        }
    }

    #[test]
    fn redirects_get_the_prefix_once() {
        let hosts = [HeaderValue::from_static("gateway.example:8685")];
        let located = |location| catalog().location(location, &hosts);
        for (location, expected) in [
            ("/", "/catalog/"),
            ("/signin?a=/b", "/catalog/signin?a=/b"),
            ("/catalogue", "/catalog/catalogue"),
            ("http://gateway.example:8685/x", "http://gateway.example:8685/catalog/x"),
            ("https://Gateway.example:8685", "https://Gateway.example:8685/catalog"),
        ] {
            assert_eq!(located(location).as_deref(), Some(expected), "{location}");
        }
        for location in [
            "/catalog",
            "/catalog/x",
            "/catalog?x",
            "//other.example/x",
            "/\\other.example",
            "x",
            "../x",
            "?x",
            "",
            "http://other.example/x",
            "http://gateway.example/x",
            "http://gateway.example:8685/catalog/x",
            "http://gateway.example:8685@evil.example/",
            "javascript://gateway.example:8685/x",
        ] {
            assert_eq!(located(location), None, "{location}");
        }
    }

    #[test]
    fn redirects_of_every_host_that_the_client_may_have_used_get_the_prefix() {
        let (prefix, target) = (catalog(), "http://target.example/catalog/x".parse().unwrap());
        let sent = fields(&[("host", "host.example:8685"), ("x-forwarded-host", "outer.example")]);
        let redirect = PrefixedRedirect::of(&prefix, &target, &sent);
        for (location, expected) in [
            ("/x", "/catalog/x"),
            ("http://target.example/x", "http://target.example/catalog/x"),
            ("http://host.example:8685/x", "http://host.example:8685/catalog/x"),
            ("https://outer.example/x", "https://outer.example/catalog/x"),
            ("http://other.example/x", "http://other.example/x"),
            ("/catalog/x", "/catalog/x"),
        ] {
            let mut headers = fields(&[("location", location), ("x-other", "/x")]);
            redirect.set(&mut headers);
            let found = headers.only("location").map(|value| value.as_bytes().to_vec());
            assert_eq!(found.as_deref(), Some(expected.as_bytes()), "{location}");
            assert_eq!(headers.iter().count(), 2);
        }
        // Which of two counts is not known.
        let mut twice = fields(&[("location", "/x"), ("location", "/y")]);
        redirect.set(&mut twice);
        let values: Vec<_> = twice.get_all("location").map(|value| value.as_bytes().to_vec()).collect();
        assert_eq!(values, [b"/x", b"/y"]);
        let mut none = fields(&[("x-other", "/x")]);
        redirect.set(&mut none);
        assert!(!none.contains_key("location"));
    }

    #[test]
    fn the_backend_is_told_the_prefix() {
        assert_eq!(catalog().field(), "/catalog");
    }
}
