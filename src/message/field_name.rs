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

        /// The beginnings of their lines.
        static LINE_STARTS: [&str; TEXTS.len()] = [$(concat!($text, ": ")),*];
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
        let summary = Summary::of(text);
        let mut slot = summary.slot();
        loop {
            // The table has more slots than names, so there is an empty one.
            let number = *SLOTS.get(slot)?;
            if *SUMMARIES.get(usize::from(number))? == summary {
                let name = Self(number);
                return (text.len() <= Summary::WHOLE || name.as_str().as_bytes() == text).then_some(name);
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

    /// The name, in lower case, a colon and a blank.
    pub(super) fn line_start(self) -> &'static str {
        LINE_STARTS.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    /// Its number, less than [`Self::COUNT`].
    pub const fn number(self) -> usize {
        self.0 as usize
    }
}

/// A set of known names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldNames(u128);

impl FieldNames {
    /// No names.
    pub const NONE: Self = Self(0);

    /// These names.
    pub const fn of(names: &[FieldName]) -> Self {
        let mut set = Self::NONE;
        let mut rest = names;
        while let [name, others @ ..] = rest {
            set.add(*name);
            rest = others;
        }
        set
    }

    /// Adds a name.
    pub const fn add(&mut self, name: FieldName) {
        self.0 |= 1 << name.0;
    }

    /// Whether this name is in it.
    pub const fn has(self, name: FieldName) -> bool {
        self.0 & (1 << name.0) != 0
    }

    /// Whether it has no name.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The names that are not in another set.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Its names, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = FieldName> {
        FieldName::all().filter(move |name| self.has(*name))
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a name is looked up by: its length and its ends, which are all of a name that is not long.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Summary {
    len: usize,
    first: u64,
    last: u64,
}

impl Summary {
    /// The longest name that its summary determines.
    const WHOLE: usize = 16;

    const fn of(text: &[u8]) -> Self {
        let len = text.len();
        let (first, last) = match (text.first_chunk(), text.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (text.first_chunk(), text.last_chunk(), text) {
                (Some(first), Some(last), _) => {
                    (u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64)
                }
                (.., [first, middle @ .., last]) => {
                    let middle = if let [middle] = middle { *middle } else { 0 };
                    (*first as u64, (middle as u64) << 8 | *last as u64)
                }
                (.., [only]) => (*only as u64, 0),
                (.., []) => (0, 0),
            },
        };
        Self { len, first, last }
    }

    /// The factors were found by trying: they separate almost all of the names.
    const fn slot(&self) -> usize {
        let first = (self.first ^ (self.len as u64) << 56).wrapping_mul(0x176031f40e7a490b);
        let last = self.last.wrapping_mul(0x18db44aa917d333d);
        (first.wrapping_add(last) >> 56) as usize
    }
}

static SUMMARIES: [Summary; TEXTS.len()] = {
    let mut summaries = [Summary { len: 0, first: 0, last: 0 }; TEXTS.len()];
    let mut number = 0;
    while number < TEXTS.len() {
        summaries[number] = Summary::of(TEXTS[number].as_bytes());
        number += 1;
    }
    summaries
};

const EMPTY: u8 = u8::MAX;

/// Numbers of names, each at the slot of its text, or else in the next free one.
static SLOTS: [u8; 256] = {
    let mut slots = [EMPTY; 256];
    let mut number = 0;
    while number < TEXTS.len() {
        let mut slot = Summary::of(TEXTS[number].as_bytes()).slot();
        while slots[slot] != EMPTY {
            slot = (slot + 1) % slots.len();
        }
        slots[slot] = number as u8;
        number += 1;
    }
    slots
};

/// Puts a name into lower case, many octets at a time.
pub(super) fn make_lower_case(name: &mut [u8]) {
    if name.len() < 8 {
        return name.make_ascii_lowercase();
    }
    let (words, _) = name.as_chunks_mut();
    for word in words {
        *word = lower_case(*word);
    }
    if let Some(last) = name.last_chunk_mut() {
        *last = lower_case(*last);
    }
}

/// Adding sets the high bit of an ASCII octet from `A` on, or above `Z`.
const fn lower_case(word: [u8; 8]) -> [u8; 8] {
    const ONES: u64 = u64::MAX / 255;
    let word = u64::from_le_bytes(word);
    let ascii = word & (0x7f * ONES);
    let from_a = ascii.wrapping_add((0x80 - b'A' as u64) * ONES);
    let above_z = ascii.wrapping_add((0x7f - b'Z' as u64) * ONES);
    let is_upper = from_a & !above_z & !word & (0x80 * ONES);
    (word | is_upper >> 2).to_le_bytes()
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
    fn names_are_told_apart_in_every_octet() {
        for text in TEXTS {
            for at in 0..text.len() {
                let mut other = text.as_bytes().to_vec();
                other[at] ^= 1;
                assert!(
                    FieldName::of(&other).is_none_or(|name| name.as_str().as_bytes() == other),
                    "{other:?}"
                );
            }
        }
    }

    #[test]
    fn each_octet_is_put_into_lower_case() {
        for octet in 0..=u8::MAX {
            for len in 1..20 {
                for at in 0..len {
                    let mut name = vec![b'X'; len];
                    name[at] = octet;
                    let expected = name.to_ascii_lowercase();
                    make_lower_case(&mut name);
                    assert_eq!(name, expected, "{octet:#x} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn few_names_share_a_slot() {
        let slot = |text: &str| Summary::of(text.as_bytes()).slot();
        let shared = TEXTS.iter().filter(|text| TEXTS[usize::from(SLOTS[slot(text)])] != **text);
        let shared: Vec<_> = shared.collect();
        assert!(shared.len() <= TEXTS.len() / 16, "{shared:?}");
    }
}
