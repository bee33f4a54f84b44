//! `Upgrade`: switching to another protocol on the same connection (RFC 9110 section 7.8).

use super::connection::list_members;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, Version};

use crate::message::field_name::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use crate::message::{FieldValue, Fields};

/// The version of the WebSocket protocol (RFC 6455 section 4.1).
pub const WEBSOCKET_VERSION: &str = "13";

/// What is wrong with a WebSocket handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFault {
    /// `Sec-WebSocket-Version` is not 13, or does not occur exactly once.
    Version,
    /// `Sec-WebSocket-Key` is not 16 bytes in Base64, or does not occur exactly once.
    Key,
}

impl HandshakeFault {
    /// The text in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Version => "Sec-WebSocket-Version is not 13",
            Self::Key => "Sec-WebSocket-Key is not 16 bytes in Base64",
        }
    }
}

/// Checks the requirements of RFC 6455 section 4.2.1 that [`requested_protocol`] does not cover. A backend that does
/// not check them would switch protocols for a client that does not speak WebSocket.
pub fn check_websocket(headers: &Fields) -> Result<(), HandshakeFault> {
    let only = |name| headers.only(name).map(FieldValue::as_bytes);
    if only(SEC_WEBSOCKET_VERSION) != Some(WEBSOCKET_VERSION.as_bytes()) {
        return Err(HandshakeFault::Version);
    }
    // 16 bytes are 24 characters; other lengths need no decoding.
    let key = only(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let decoded = key.and_then(|key| STANDARD.decode(key).ok());
    if decoded.is_some_and(|key| key.len() == 16) { Ok(()) } else { Err(HandshakeFault::Key) }
}

/// The protocol that a request asks to switch to, in lower case.
///
/// Only a GET request over HTTP/1.1 with exactly one protocol, and with `Upgrade` named by `Connection`, can
/// switch. In other cases two servers could disagree about where the new protocol begins.
pub fn requested_protocol(method: &Method, version: Version, headers: &Fields) -> Option<String> {
    if method != Method::GET || version != Version::HTTP_11 || !names_upgrade(headers) {
        return None;
    }
    only_protocol(headers)
}

/// Asks for this protocol on the upstream connection.
pub fn set_upgrade(headers: &mut Fields, protocol: &str) {
    if let Ok(protocol) = HeaderValue::from_str(protocol) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// Whether the fields of a 101 response switch to this protocol.
pub fn is_granted(headers: &Fields, protocol: &str) -> bool {
    names_upgrade(headers) && only_protocol(headers).is_some_and(|granted| granted == protocol)
}

fn names_upgrade(headers: &Fields) -> bool {
    list_members(headers, CONNECTION).any(|option| option.eq_ignore_ascii_case(b"upgrade"))
}

fn only_protocol(headers: &Fields) -> Option<String> {
    let value = headers.only(UPGRADE)?.to_str().ok()?;
    let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    plain.then(|| value.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> Fields {
        list.iter().map(|(name, value)| (*name, HeaderValue::from_static(value))).collect()
    }

    fn protocol_of(list: &[(&'static str, &'static str)]) -> Option<String> {
        requested_protocol(&Method::GET, Version::HTTP_11, &headers(list))
    }

    #[test]
    fn upgrade_requires_get_over_http11_and_connection() {
        let whole = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        assert_eq!(protocol_of(&whole).as_deref(), Some("websocket"));
        assert_eq!(
            protocol_of(&[("connection", "x"), ("connection", "UPGRADE"), ("upgrade", "a/1")]).as_deref(),
            Some("a/1")
        );
        assert_eq!(requested_protocol(&Method::POST, Version::HTTP_11, &headers(&whole)), None);
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert_eq!(requested_protocol(&Method::GET, version, &headers(&whole)), None, "{version:?}");
        }
    }

    #[test]
    fn upgrade_requires_exactly_one_protocol() {
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
            assert_eq!(protocol_of(list), None, "{list:?}");
        }
    }

    #[test]
    fn a_fault_of_a_handshake_names_the_field() {
        assert!(HandshakeFault::Version.as_str().starts_with("Sec-WebSocket-Version "));
        assert!(HandshakeFault::Key.as_str().starts_with("Sec-WebSocket-Key "));
    }

    #[test]
    fn a_response_must_switch_to_the_requested_protocol() {
        let granted = |list: &[(&'static str, &'static str)]| is_granted(&headers(list), "websocket");
        assert!(granted(&[("connection", "upgrade"), ("upgrade", "WebSocket")]));
        assert!(!granted(&[("connection", "upgrade"), ("upgrade", "h2c")]));
        assert!(!granted(&[("upgrade", "websocket")]));
        assert!(!granted(&[("connection", "upgrade")]));
    }

    #[test]
    fn asking_replaces_the_clients_upgrade_fields() {
        let mut headers = headers(&[("connection", "upgrade, x"), ("upgrade", "WebSocket")]);
        set_upgrade(&mut headers, "websocket");
        assert_eq!(headers.get_all(CONNECTION).collect::<Vec<_>>(), ["Upgrade"]);
        assert_eq!(headers.get_all(UPGRADE).collect::<Vec<_>>(), ["websocket"]);
    }

    #[test]
    fn a_websocket_handshake_has_one_key_of_16_bytes_and_version_13() {
        const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        const VERSION: (&str, &str) = ("sec-websocket-version", "13");
        assert_eq!(check_websocket(&headers(&[KEY, VERSION])), Ok(()));
        for version in ["", "8", "12", "14", "777", "013", "13, 8", "13.0", "+13"] {
            let lines = [KEY, (VERSION.0, version)];
            assert_eq!(check_websocket(&headers(&lines)), Err(HandshakeFault::Version), "{version:?}");
        }
        assert_eq!(check_websocket(&headers(&[KEY])), Err(HandshakeFault::Version));
        assert_eq!(check_websocket(&headers(&[KEY, VERSION, VERSION])), Err(HandshakeFault::Version));
        for key in [
            "",
            "x",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ==, x",
            // 15 and 17 bytes, the URL-safe alphabet, and non-zero trailing bits.
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25jZTE=",
            "________________________",
            "-_-_-_-_-_-_-_-_-_-_-w==",
            "dGhlIHNhbXBsZSBub25jZR==",
            "dGhlIHNhbXBsZSB ub25jZQ=",
        ] {
            let lines = [(KEY.0, key), VERSION];
            assert_eq!(check_websocket(&headers(&lines)), Err(HandshakeFault::Key), "{key:?}");
        }
        assert_eq!(check_websocket(&headers(&[VERSION])), Err(HandshakeFault::Key));
        assert_eq!(check_websocket(&headers(&[KEY, KEY, VERSION])), Err(HandshakeFault::Key));
    }
}
