//! The field `Date` of responses (RFC 9110 section 6.6.1).

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

thread_local! {
    /// The current second, with its date.
    static NOW: RefCell<(u64, Option<HeaderValue>)> = const { RefCell::new((0, None)) };
}

/// The current date. It is written once a second.
pub(super) fn date() -> Option<HeaderValue> {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    NOW.with_borrow_mut(|(cached, date)| {
        if *cached != second || date.is_none() {
            *date = HeaderValue::from_str(&httpdate::fmt_http_date(now)).ok();
            *cached = second;
        }
        date.clone()
    })
}
