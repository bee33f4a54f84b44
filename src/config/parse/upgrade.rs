//! Parses `upstream.upgrades`: the protocols that a connection may be upgraded to.

use super::super::values;

/// The name of a protocol (RFC 9110 section 7.8), in lower case. Versions of HTTP are refused, because requests on such
/// a connection would not be authorized.
pub(super) fn upgrade(text: &str) -> Result<Box<str>, String> {
    let name = text.to_ascii_lowercase();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("{} is not a protocol name", values::quote(text)));
    }
    match name.split('/').next() {
        Some("h2" | "h2c" | "http" | "spdy" | "tls") => {
            Err(format!("{} would let requests through without authorization", values::quote(text)))
        }
        _ => Ok(name.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::upgrade;

    #[test]
    fn upgrades_to_another_http_version_are_refused() {
        assert_eq!(upgrade("WebSocket").as_deref(), Ok("websocket"));
        assert_eq!(upgrade("tunnel/1").as_deref(), Ok("tunnel/1"));
        for name in [
            "h2c",
            "H2C",
            "h2",
            "HTTP/2.0",
            "http/1.1",
            "TLS/1.2",
            "SPDY/3.1",
            "",
            "a b",
            "a,b",
            "websocket, h2c",
        ] {
            assert!(upgrade(name).is_err(), "{name:?}");
        }
    }
}
