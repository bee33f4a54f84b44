//! Asking for another protocol on the same connection (RFC 9110 section 7.8).

use super::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::{Method, Version};

/// The one protocol that a request asks to switch to, in lower case.
///
/// A request with a body, a list of protocols, or an `Upgrade` that `Connection` does not name
/// asks for nothing: two servers could disagree about where the new protocol begins.
pub fn asked_protocol(method: &Method, version: Version, fields: &HeaderMap) -> Option<String> {
    if method != Method::GET || version != Version::HTTP_11 || !names_upgrade(fields) {
        return None;
    }
    only_protocol(fields)
}

/// Asks for this protocol, on our own connection.
pub fn ask_for(fields: &mut HeaderMap, protocol: &str) {
    if let Ok(protocol) = HeaderValue::from_str(protocol) {
        fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(UPGRADE, protocol);
    }
}

/// Whether the fields of a 101 say that this protocol comes next.
pub fn is_granted(fields: &HeaderMap, protocol: &str) -> bool {
    names_upgrade(fields) && only_protocol(fields).is_some_and(|granted| granted == protocol)
}

fn names_upgrade(fields: &HeaderMap) -> bool {
    let names =
        fields.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    names.into_iter().any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

fn only_protocol(fields: &HeaderMap) -> Option<String> {
    let mut values = fields.get_all(UPGRADE).iter();
    let value = values.next()?.to_str().ok()?;
    let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    (plain && values.next().is_none()).then(|| value.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn asked(list: &[(&'static str, &'static str)]) -> Option<String> {
        asked_protocol(&Method::GET, Version::HTTP_11, &fields(list))
    }

    #[test]
    fn one_protocol_that_connection_names_is_asked_for() {
        let whole = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        assert_eq!(asked(&whole).as_deref(), Some("websocket"));
        assert_eq!(
            asked(&[("connection", "x"), ("connection", "UPGRADE"), ("upgrade", "a/1")]).as_deref(),
            Some("a/1")
        );
        assert_eq!(asked_protocol(&Method::POST, Version::HTTP_11, &fields(&whole)), None);
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert_eq!(asked_protocol(&Method::GET, version, &fields(&whole)), None, "{version:?}");
        }
    }

    #[test]
    fn anything_else_asks_for_nothing() {
        for list in [
            &[("upgrade", "websocket")][..],
            &[("connection", "upgrade")],
            &[("connection", "keep-alive"), ("upgrade", "websocket")],
            &[("connection", "upgrades"), ("upgrade", "websocket")],
            &[("connection", "upgrade"), ("upgrade", "h2c, websocket")],
            &[("connection", "upgrade"), ("upgrade", "h2c"), ("upgrade", "websocket")],
            &[("connection", "upgrade"), ("upgrade", "web socket")],
            &[("connection", "upgrade"), ("upgrade", "")],
        ] {
            assert_eq!(asked(list), None, "{list:?}");
        }
    }

    #[test]
    fn only_the_same_protocol_is_granted() {
        let granted = |list: &[(&'static str, &'static str)]| is_granted(&fields(list), "websocket");
        assert!(granted(&[("connection", "upgrade"), ("upgrade", "WebSocket")]));
        assert!(!granted(&[("connection", "upgrade"), ("upgrade", "h2c")]));
        assert!(!granted(&[("upgrade", "websocket")]));
        assert!(!granted(&[("connection", "upgrade")]));
    }

    #[test]
    fn asking_is_our_own_words() {
        let mut fields = fields(&[("connection", "upgrade, x"), ("upgrade", "WebSocket")]);
        ask_for(&mut fields, "websocket");
        assert_eq!(fields.get_all(CONNECTION).iter().collect::<Vec<_>>(), ["Upgrade"]);
        assert_eq!(fields.get_all(UPGRADE).iter().collect::<Vec<_>>(), ["websocket"]);
    }
}
