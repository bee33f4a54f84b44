//! The program that sent a request, according to its `User-Agent` (RFC 9110 section 10.1.5).

use std::borrow::Cow;

/// The longest program name in an audit record, in bytes.
const MAX_BYTES: usize = 96;

/// The products of a `User-Agent`. The audit trail needs to show which programs a change would break, so comments,
/// which describe the user's machine, are left out. At most 96 bytes of printable ASCII, with other bytes as `?`;
/// `None` if nothing is left.
pub(super) fn products(value: &[u8]) -> Option<Cow<'_, str>> {
    let plain = value.len() <= MAX_BYTES && value.iter().all(|byte| is_plain(*byte));
    let value = value.trim_ascii();
    match str::from_utf8(value) {
        Ok("") => return None,
        // For example `python-requests/2.32.3`: no copy needed.
        Ok(text) if plain => return Some(text.into()),
        _ => {}
    }
    let mut out = String::new();
    let mut depth = 0_usize;
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            // A quoted-pair (RFC 9110 section 5.6.4).
            b'\\' if depth > 0 => drop(bytes.next()),
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            b' ' | b'\t' if out.is_empty() || out.ends_with(' ') => {}
            b' ' | b'\t' => out.push(' '),
            byte if byte.is_ascii_graphic() => out.push(char::from(*byte)),
            _ => out.push('?'),
        }
        if out.len() > MAX_BYTES {
            out.truncate(MAX_BYTES - 3);
            out.push_str("...");
            break;
        }
    }
    out.truncate(out.trim_end().len());
    (!out.is_empty()).then_some(out.into())
}

fn is_plain(byte: u8) -> bool {
    (byte.is_ascii_graphic() || byte == b' ') && !matches!(byte, b'(' | b')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_removed_from_products() {
        for (value, client) in [
            ("python-requests/2.32.3", "python-requests/2.32.3"),
            ("curl/8.9.1", "curl/8.9.1"),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                "Mozilla/5.0 AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36",
            ),
            ("DataHub-Client/1.0 (sdk; datahub; 0.14.1)", "DataHub-Client/1.0"),
            ("a (b (c) d) e", "a e"),
            (r"a (b \) still) e", "a e"),
            ("a ) b", "a b"),
            ("a (never closed", "a"),
            ("  a  ", "a"),
        ] {
            assert_eq!(products(value.as_bytes()).as_deref(), Some(client), "{value}");
        }
        for value in ["", "  ", "(nothing else)"] {
            assert_eq!(products(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn the_result_is_bounded_and_printable() {
        let long = "a".repeat(5000);
        let client = products(long.as_bytes()).unwrap();
        assert_eq!((client.len(), client.ends_with("...")), (MAX_BYTES, true));
        assert_eq!(products(b"a\xff\x1b[31m\tb").as_deref(), Some("a??[31m b"));
        for length in 90..110 {
            let value = [&b"x".repeat(length)[..], b"\xc3\xa4(", &b"y".repeat(length)].concat();
            assert!(products(&value).unwrap().len() <= MAX_BYTES);
        }
    }

    #[test]
    fn a_plain_product_is_not_copied() {
        assert!(matches!(products(b"python-requests/2.32.3"), Some(Cow::Borrowed(_))));
    }
}
