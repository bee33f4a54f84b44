//! Verified names as field values.
//!
//! A field value is ASCII (RFC 9110 section 5.5), but a name may contain other characters. They are
//! percent-encoded as UTF-8 (RFC 3986 section 2.1). `%` is encoded too, so that different names have different
//! values.

use http::HeaderValue;

use crate::backend::ActorField;

/// One name.
pub(super) fn text(name: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(encoded(name, b"")).ok()
}

/// Several names, joined by commas. A comma in a name is encoded.
pub(super) fn list(names: &[Box<str>]) -> Option<HeaderValue> {
    let names: Vec<String> = names.iter().map(|name| encoded(name, b",")).collect();
    HeaderValue::try_from(names.join(",")).ok()
}

/// One name, in the form of a backend's actor field.
pub(super) fn actor(name: &str, field: &ActorField) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{}{}", field.prefix, encoded(name, field.encoded))).ok()
}

fn encoded(name: &str, also: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    let last = name.len().saturating_sub(1);
    for (at, byte) in name.bytes().enumerate() {
        // A space at either end would be trimmed.
        let edge = (at == 0 || at == last) && byte == b' ';
        if (byte.is_ascii_graphic() || byte == b' ') && byte != b'%' && !also.contains(&byte) && !edge {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;

    #[test]
    fn names_become_ascii_and_stay_distinct() {
        for (name, value) in [
            ("ada", "ada"),
            ("Ada Lovelace", "Ada Lovelace"),
            ("ada@example.org", "ada@example.org"),
            ("jos\u{e9}", "jos%C3%A9"),
            ("100%", "100%25"),
            (" ada ", "%20ada%20"),
            ("a\r\nb", "a%0D%0Ab"),
        ] {
            assert_eq!(text(name).unwrap(), value);
        }
        assert_eq!(list(&["Data Steward".into(), "a,b".into()]).unwrap(), "Data Steward,a%2Cb");
        let field = Backend::DataHubGms.preset().actor.unwrap();
        assert_eq!(actor("ada", &field).unwrap(), "urn:li:corpuser:ada");
        assert_eq!(actor("a,(b)", &field).unwrap(), "urn:li:corpuser:a%2C%28b%29");
    }
}
