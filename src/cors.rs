//! CORS: lets web applications of other origins send requests and read the responses (Fetch standard, section 3.2).
//!
//! 1. A preflight from an allowed origin is answered here, without a token: a browser cannot send one with it.
//! 2. Every other response gets the fields of this configuration, also a refusal. Those of the backend are removed, so
//!    that only this configuration says which origins may read a response.
//!
//! What must hold: an origin is compared byte for byte with what the configuration names. A browser serializes it in
//! only one way. `null`, the origin of sandboxed and local pages, is never allowed.
//!
//! CORS protects no resource: it tells browsers which pages may read a response. Requests are authorized as ever.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
};
use http::{HeaderName, HeaderValue, Method};

use crate::message::Fields;
use crate::message::field_name::{ORIGIN, VARY};

const REQUEST_METHOD: &str = "access-control-request-method";
/// All fields of responses that are about CORS begin with it.
const RESPONSE_FIELDS: &[u8] = b"access-control-";

/// Which origins are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// Every origin, written `*`.
    Any,
    /// This origin, as browsers serialize it (RFC 6454 section 6.2).
    Exact(Box<str>),
    /// Every sub-domain at any depth, but not the domain itself: `https://*.corp.example`.
    Subdomains {
        /// The scheme, with `://`.
        scheme: Box<str>,
        /// The domain and a port, with the dot before them.
        domain: Box<str>,
    },
}

impl OriginPattern {
    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => **exact == *origin,
            Self::Subdomains { scheme, domain } => origin
                .strip_prefix(&**scheme)
                .and_then(|host| host.strip_suffix(&**domain))
                .is_some_and(are_labels),
        }
    }
}

/// Whether these are the labels of a host name, as browsers write them. Anything else could belong to another host.
fn are_labels(text: &str) -> bool {
    text.split('.').all(|label| {
        let is_octet = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(is_octet)
    })
}

/// The CORS settings of one configuration.
#[derive(Clone, Debug)]
pub struct Cors {
    /// Never empty.
    pub origins: Vec<OriginPattern>,
    /// `Access-Control-Allow-Methods`.
    pub methods: HeaderValue,
    /// `Access-Control-Allow-Headers`; empty if no further fields are allowed.
    pub headers: HeaderValue,
    /// `Access-Control-Expose-Headers`; empty if no further fields may be read.
    pub exposed: HeaderValue,
    /// Whether browsers send cookies and client certificates. Never with [`OriginPattern::Any`].
    pub credentials: bool,
    /// `Access-Control-Max-Age`, in seconds.
    pub max_age: HeaderValue,
}

/// The CORS settings for one request.
#[derive(Clone, Debug)]
pub struct CrossOrigin<'c> {
    cors: &'c Cors,
    /// `Access-Control-Allow-Origin`, if the request's origin is allowed.
    allowed: Option<HeaderValue>,
}

/// Whether a browser asks if it may send a request: OPTIONS with one `Origin` and one method.
pub fn is_preflight(method: &Method, headers: &Fields) -> bool {
    method == Method::OPTIONS
        && headers.only(ORIGIN).is_some()
        && headers.only(REQUEST_METHOD).is_some_and(|method| !method.as_bytes().is_empty())
}

impl Cors {
    /// The settings for a request with these fields.
    pub fn of(&self, headers: &Fields) -> CrossOrigin<'_> {
        let allowed = if self.allows_any() {
            Some(HeaderValue::from_static("*"))
        } else {
            let is_allowed = |origin: &str| self.origins.iter().any(|pattern| pattern.matches(origin));
            let origin = headers.only(ORIGIN).and_then(|value| value.to_str().ok());
            origin.filter(|origin| is_allowed(origin)).and_then(|_| headers.get_owned(ORIGIN))
        };
        CrossOrigin { cors: self, allowed }
    }

    fn allows_any(&self) -> bool {
        self.origins.contains(&OriginPattern::Any)
    }
}

impl CrossOrigin<'_> {
    /// The fields of the response to this request, if it is a preflight from an allowed origin.
    pub fn answer(&self, method: &Method, headers: &Fields) -> Option<Fields> {
        if self.allowed.is_none() || !is_preflight(method, headers) {
            return None;
        }
        let mut fields = Fields::new();
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, &self.cors.methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, &self.cors.headers),
            (ACCESS_CONTROL_MAX_AGE, &self.cors.max_age),
        ] {
            insert(&mut fields, name, value);
        }
        self.set_origin(&mut fields);
        Some(fields)
    }

    /// Sets the fields of a response to another request, and removes those that the backend has set.
    pub fn set(&self, fields: &mut Fields) {
        fields.retain(|field| !has_prefix(field.name().as_bytes(), RESPONSE_FIELDS));
        if self.allowed.is_some() {
            insert(fields, ACCESS_CONTROL_EXPOSE_HEADERS, &self.cors.exposed);
        }
        self.set_origin(fields);
    }

    fn set_origin(&self, fields: &mut Fields) {
        if let Some(origin) = &self.allowed {
            fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if self.cors.credentials {
                fields.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
        // Also if the origin is not allowed: a cache must not give this response to one that is.
        if !self.cors.allows_any() && !varies_by_origin(fields) {
            fields.append(VARY, HeaderValue::from_static("Origin"));
        }
    }
}

fn insert(fields: &mut Fields, name: HeaderName, value: &HeaderValue) {
    if !value.is_empty() {
        fields.insert(name, value.clone());
    }
}

fn has_prefix(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn varies_by_origin(fields: &Fields) -> bool {
    let mut members = fields.get_all(VARY).flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    members.any(|member| {
        let member = member.trim_ascii();
        member == b"*" || member.eq_ignore_ascii_case(b"origin")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn exact(origin: &str) -> OriginPattern {
        OriginPattern::Exact(origin.into())
    }

    fn cors(origins: Vec<OriginPattern>) -> Cors {
        Cors {
            origins,
            methods: HeaderValue::from_static("GET, PUT"),
            headers: HeaderValue::from_static("Authorization"),
            exposed: HeaderValue::from_static("WWW-Authenticate"),
            credentials: false,
            max_age: HeaderValue::from_static("600"),
        }
    }

    fn fields(list: &[(&'static str, &'static str)]) -> Fields {
        list.iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn shown(fields: &Fields) -> String {
        let shown = |field: crate::message::FieldRef<'_>| {
            format!("{}: {}", field.name(), String::from_utf8_lossy(field.value().as_bytes()))
        };
        fields.iter().map(shown).collect::<Vec<_>>().join("\n")
    }

    fn is_allowed(cors: &Cors, origin: &'static str) -> bool {
        cors.of(&fields(&[("origin", origin)])).allowed.is_some()
    }

    #[test]
    fn origins_are_compared_exactly() {
        let cors = cors(vec![exact("https://app.example"), exact("http://localhost:3000")]);
        for origin in ["https://app.example", "http://localhost:3000"] {
            assert!(is_allowed(&cors, origin), "{origin}");
        }
        for origin in [
            "http://app.example",
            "https://app.example:8443",
            "https://app.example:443",
            "https://app.example/",
            "https://APP.example",
            "https://app.example.evil",
            "https://evil-app.example",
            "https://x.app.example",
            "https://app.example https://evil",
            "http://localhost",
            "http://localhost:30000",
            "null",
            "*",
            "",
        ] {
            assert!(!is_allowed(&cors, origin), "{origin}");
        }
        let twice = fields(&[("origin", "https://app.example"), ("origin", "https://app.example")]);
        assert!(cors.of(&twice).allowed.is_none());
        assert!(cors.of(&Fields::new()).allowed.is_none());
    }

    #[test]
    fn a_wildcard_stands_for_sub_domains_only() {
        let pattern =
            OriginPattern::Subdomains { scheme: "https://".into(), domain: ".corp.example:8443".into() };
        let cors = cors(vec![pattern]);
        for origin in ["https://a.corp.example:8443", "https://x-1.a_b.corp.example:8443"] {
            assert!(is_allowed(&cors, origin), "{origin}");
        }
        for origin in [
            "https://corp.example:8443",
            "https://.corp.example:8443",
            "https://a..corp.example:8443",
            "https://acorp.example:8443",
            "https://a.corp.example",
            "http://a.corp.example:8443",
            "https://a.corp.example:8443.evil",
            "https://evil.test/.corp.example:8443",
            "https://evil.test#.corp.example:8443",
            "https://evil.test:1.corp.example:8443",
            "https://user@a.corp.example:8443",
            "https://A.corp.example:8443",
            "null",
        ] {
            assert!(!is_allowed(&cors, origin), "{origin}");
        }
    }

    #[test]
    fn only_an_options_with_origin_and_method_is_a_preflight() {
        let cors = cors(vec![exact("https://app.example")]);
        let origin = ("origin", "https://app.example");
        let method = ("access-control-request-method", "PUT");
        let answer = |request: &Method, list: &[_]| {
            let headers = fields(list);
            cors.of(&headers).answer(request, &headers)
        };
        let answered = answer(&Method::OPTIONS, &[origin, method]).unwrap();
        assert_eq!(
            shown(&answered),
            "access-control-allow-methods: GET, PUT\naccess-control-allow-headers: Authorization\n\
             access-control-max-age: 600\naccess-control-allow-origin: https://app.example\nvary: Origin"
        );
        assert!(answer(&Method::GET, &[origin, method]).is_none());
        for list in [
            &[origin][..],
            &[method],
            &[origin, ("access-control-request-method", "")],
            &[origin, method, method],
            &[origin, origin, method],
            &[("origin", "https://evil.example"), method],
            &[("origin", "null"), method],
        ] {
            assert!(answer(&Method::OPTIONS, list).is_none(), "{list:?}");
        }
    }

    #[test]
    fn fields_of_the_backend_are_replaced() {
        let listed = cors(vec![exact("https://app.example")]);
        let backend = [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "X-Secret"),
            ("vary", "Accept-Encoding"),
            ("content-type", "text/plain"),
        ];
        let mut response = fields(&backend);
        listed.of(&fields(&[("origin", "https://app.example")])).set(&mut response);
        assert_eq!(
            shown(&response),
            "vary: Accept-Encoding\ncontent-type: text/plain\n\
             access-control-expose-headers: WWW-Authenticate\n\
             access-control-allow-origin: https://app.example\nvary: Origin"
        );
        let mut response = fields(&backend);
        listed.of(&fields(&[("origin", "https://evil.example")])).set(&mut response);
        assert_eq!(shown(&response), "vary: Accept-Encoding\ncontent-type: text/plain\nvary: Origin");
        for varies in ["accept, ORIGIN", "*"] {
            let mut response = fields(&[("vary", varies)]);
            listed.of(&Fields::new()).set(&mut response);
            assert_eq!(shown(&response), format!("vary: {varies}"));
        }
    }

    #[test]
    fn any_origin_is_a_star_and_varies_by_nothing() {
        let mut response = Fields::new();
        cors(vec![OriginPattern::Any]).of(&fields(&[("origin", "null")])).set(&mut response);
        assert_eq!(
            shown(&response),
            "access-control-expose-headers: WWW-Authenticate\naccess-control-allow-origin: *"
        );
    }

    #[test]
    fn credentials_are_allowed_only_to_allowed_origins() {
        let cors = Cors { credentials: true, ..cors(vec![exact("https://app.example")]) };
        let allows = |origin| {
            let mut response = Fields::new();
            cors.of(&fields(&[("origin", origin)])).set(&mut response);
            shown(&response).contains("access-control-allow-credentials: true")
        };
        assert!(allows("https://app.example"));
        assert!(!allows("https://evil.example"));
    }
}
