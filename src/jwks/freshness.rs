//! How long a fetched key set is fresh, according to HTTP caching (RFC 9111).

use std::time::{Duration, SystemTime};

use http::header::{AGE, CACHE_CONTROL, ETAG, EXPIRES, HeaderMap, HeaderValue};
use url::Url;

/// Bounds on the lifetime that a response may set.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(60);
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How long keys are fresh, and how to request newer ones conditionally.
#[derive(Clone, Debug, Default)]
pub(super) struct Freshness {
    /// From `Cache-Control` or `Expires`; with `None`, `refreshInterval` applies.
    pub(super) lifetime: Option<Duration>,
    pub(super) validator: Option<Validator>,
}

/// An entity tag, and the URL that it came from. It means nothing to other URLs.
#[derive(Clone, Debug)]
pub(super) struct Validator {
    pub(super) url: Url,
    pub(super) etag: HeaderValue,
}

impl Freshness {
    pub(super) fn read(url: &Url, headers: &HeaderMap) -> Self {
        let etag = headers.get(ETAG).cloned();
        Self {
            lifetime: lifetime(headers, SystemTime::now()),
            validator: etag.map(|etag| Validator { url: url.clone(), etag }),
        }
    }

    /// Updates the values that a 304 contains and keeps the others (RFC 9111 section 4.3.4).
    pub(super) fn renew(&mut self, newer: Self) {
        self.lifetime = newer.lifetime.or(self.lifetime);
        if newer.validator.is_some() {
            self.validator = newer.validator;
        }
    }
}

/// RFC 9111 section 4.2.1: `max-age` takes precedence over `Expires`, and `Age` is subtracted from it.
/// `None` if the response states no lifetime.
fn lifetime(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let directives = || text(CACHE_CONTROL).unwrap_or_default().split(',').map(str::trim);
    let max_age = directives().find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| value.trim_matches('"').parse::<u64>().ok())?
    });
    let uncached = directives().any(|directive| {
        directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache")
    });
    let stated = match max_age {
        Some(secs) => {
            let age = text(AGE).and_then(|age| age.parse::<u64>().ok()).unwrap_or(0);
            Duration::from_secs(secs.saturating_sub(age))
        }
        None if uncached => return None,
        None => {
            let expires = httpdate::parse_http_date(text(EXPIRES)?).ok()?;
            expires.duration_since(now).unwrap_or_default()
        }
    };
    Some(stated.clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(http::HeaderName, &'static str)]) -> Option<u64> {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        let now = httpdate::parse_http_date("Sun, 22 Nov 2026 00:00:00 GMT").unwrap();
        lifetime(&headers, now).map(|lifetime| lifetime.as_secs())
    }

    #[test]
    fn cache_fields_are_honoured_within_bounds() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[(CACHE_CONTROL, "public, max-age=3600")]), Some(3600));
        assert_eq!(read(&[(CACHE_CONTROL, "Max-Age=\"3600\""), (AGE, "600")]), Some(3000));
        assert_eq!(read(&[(CACHE_CONTROL, "max-age=0")]), Some(60));
        assert_eq!(read(&[(CACHE_CONTROL, "max-age=1000000000000")]), Some(86_400));
        assert_eq!(read(&[(CACHE_CONTROL, "max-age=99999999999999999999")]), None);
        assert_eq!(read(&[(CACHE_CONTROL, "no-store")]), None);
        assert_eq!(read(&[(EXPIRES, "Sun, 22 Nov 2026 01:00:00 GMT")]), Some(3600));
        assert_eq!(read(&[(EXPIRES, "Sat, 21 Nov 2026 01:00:00 GMT")]), Some(60));
        assert_eq!(read(&[(EXPIRES, "0")]), None);
        assert_eq!(
            read(&[(EXPIRES, "Sun, 22 Nov 2026 01:00:00 GMT"), (CACHE_CONTROL, "max-age=120")]),
            Some(120)
        );
    }
}
