//! The field names that this program knows, as numbers.

use std::fmt;

/// A field name that this program knows. Two of them are compared as numbers, so that looking for a field in a head does
/// not compare text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FieldName(u8);

macro_rules! names {
    ($($constant:ident = $text:literal,)*) => {
        #[repr(u8)]
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "each is the number of a constant")]
        enum Number { $($constant),* }

        $(
            #[doc = concat!("`", $text, "`")]
            pub const $constant: FieldName = FieldName(Number::$constant as u8);
        )*

        /// The names, in lower case, at their numbers.
        const TEXTS: &[&str] = &[$($text),*];
    };
}

// Those that the code asks for, and others that are frequent.
names! {
    ACCEPT = "accept",
    ACCEPT_ENCODING = "accept-encoding",
    ACCEPT_LANGUAGE = "accept-language",
    ACCESS_CONTROL_ALLOW_ORIGIN = "access-control-allow-origin",
    AGE = "age",
    ALLOW = "allow",
    AUTHORIZATION = "authorization",
    CACHE_CONTROL = "cache-control",
    CONNECTION = "connection",
    CONTENT_ENCODING = "content-encoding",
    CONTENT_LANGUAGE = "content-language",
    CONTENT_LENGTH = "content-length",
    CONTENT_SECURITY_POLICY = "content-security-policy",
    CONTENT_TYPE = "content-type",
    COOKIE = "cookie",
    DATE = "date",
    ETAG = "etag",
    EXPECT = "expect",
    EXPIRES = "expires",
    FORWARDED = "forwarded",
    GRPC_MESSAGE = "grpc-message",
    GRPC_STATUS = "grpc-status",
    GRPC_TIMEOUT = "grpc-timeout",
    HOST = "host",
    HTTP2_SETTINGS = "http2-settings",
    IF_MATCH = "if-match",
    IF_MODIFIED_SINCE = "if-modified-since",
    IF_NONE_MATCH = "if-none-match",
    KEEP_ALIVE = "keep-alive",
    LAST_MODIFIED = "last-modified",
    LINK = "link",
    LOCATION = "location",
    ORIGIN = "origin",
    PRAGMA = "pragma",
    PROXY_AUTHENTICATE = "proxy-authenticate",
    PROXY_AUTHORIZATION = "proxy-authorization",
    PROXY_CONNECTION = "proxy-connection",
    RANGE = "range",
    REFERER = "referer",
    RETRY_AFTER = "retry-after",
    SEC_FETCH_DEST = "sec-fetch-dest",
    SEC_FETCH_MODE = "sec-fetch-mode",
    SEC_FETCH_SITE = "sec-fetch-site",
    SEC_WEBSOCKET_EXTENSIONS = "sec-websocket-extensions",
    SEC_WEBSOCKET_KEY = "sec-websocket-key",
    SEC_WEBSOCKET_PROTOCOL = "sec-websocket-protocol",
    SEC_WEBSOCKET_VERSION = "sec-websocket-version",
    SERVER = "server",
    SET_COOKIE = "set-cookie",
    STRICT_TRANSPORT_SECURITY = "strict-transport-security",
    TE = "te",
    TRACEPARENT = "traceparent",
    TRACESTATE = "tracestate",
    TRAILER = "trailer",
    TRANSFER_ENCODING = "transfer-encoding",
    UPGRADE = "upgrade",
    UPGRADE_INSECURE_REQUESTS = "upgrade-insecure-requests",
    USER_AGENT = "user-agent",
    VARY = "vary",
    VIA = "via",
    WWW_AUTHENTICATE = "www-authenticate",
    X_CONTENT_TYPE_OPTIONS = "x-content-type-options",
    X_ENVOY_AUTH_HEADERS_TO_REMOVE = "x-envoy-auth-headers-to-remove",
    X_FORWARDED_EMAIL = "x-forwarded-email",
    X_FORWARDED_FOR = "x-forwarded-for",
    X_FORWARDED_GROUPS = "x-forwarded-groups",
    X_FORWARDED_HOST = "x-forwarded-host",
    X_FORWARDED_PORT = "x-forwarded-port",
    X_FORWARDED_PROTO = "x-forwarded-proto",
    X_FORWARDED_USER = "x-forwarded-user",
    X_FRAME_OPTIONS = "x-frame-options",
    X_METAGATE_REFUSAL = "x-metagate-refusal",
    X_REAL_IP = "x-real-ip",
    X_REQUEST_ID = "x-request-id",
    X_REQUESTED_WITH = "x-requested-with",
    X_XSS_PROTECTION = "x-xss-protection",
}

impl FieldName {
    /// How many there are. Each has a bit in [`super::Fields`].
    pub const COUNT: usize = {
        assert!(TEXTS.len() <= 128);
        TEXTS.len()
    };

    /// The known name with this text, which must be in lower case.
    pub fn of(text: &[u8]) -> Option<Self> {
        let mut slot = slot(text);
        loop {
            // The table has more slots than names, so there is an empty one.
            let number = *SLOTS.get(slot)?;
            let known = TEXTS.get(usize::from(number))?;
            if known.as_bytes() == text {
                return Some(Self(number));
            }
            slot = (slot + 1) % SLOTS.len();
        }
    }

    /// All of them, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TEXTS.len()).filter_map(|number| u8::try_from(number).ok()).map(Self)
    }

    /// The name, in lower case.
    pub fn as_str(self) -> &'static str {
        TEXTS.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    /// Its number, less than [`Self::COUNT`].
    pub const fn number(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const EMPTY: u8 = u8::MAX;

/// Numbers of names, each at the slot of its text, or else in the next free one.
static SLOTS: [u8; 256] = {
    let mut slots = [EMPTY; 256];
    let mut number = 0;
    while number < TEXTS.len() {
        let mut slot = slot(TEXTS[number].as_bytes());
        while slots[slot] != EMPTY {
            slot = (slot + 1) % slots.len();
        }
        slots[slot] = number as u8;
        number += 1;
    }
    slots
};

/// Depends on the length and three octets. The factors were found by trying: they separate almost all of the names.
const fn slot(text: &[u8]) -> usize {
    let len = text.len();
    if len == 0 {
        return 0;
    }
    let (first, middle, last) = (text[0] as usize, text[len / 2] as usize, text[len - 1] as usize);
    (len.wrapping_mul(35) ^ first.wrapping_mul(58) ^ middle.wrapping_mul(35) ^ last.wrapping_mul(108)) % 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_by_its_text() {
        for name in FieldName::all() {
            assert_eq!(FieldName::of(name.as_str().as_bytes()), Some(name));
            assert_eq!(http::HeaderName::from_static(name.as_str()).as_str(), name.as_str(), "in lower case");
            let mut other = name.as_str().as_bytes().to_vec();
            other.push(b'x');
            assert_eq!(FieldName::of(&other), None);
        }
        for text in ["", "x", "x-unknown", "hosts"] {
            assert_eq!(FieldName::of(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn few_names_share_a_slot() {
        let shared = TEXTS.iter().filter(|text| TEXTS[usize::from(SLOTS[slot(text.as_bytes())])] != **text);
        let shared: Vec<_> = shared.collect();
        assert!(shared.len() <= TEXTS.len() / 16, "{shared:?}");
    }
}
