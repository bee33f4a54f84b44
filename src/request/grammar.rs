//! The octets that are allowed in each part of a message (RFC 9110 sections 5.5 and 5.6.2).

use wide::u8x16;

use crate::octets::{self, between, equal};

const TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(
            byte as u8,
            b'A'..=b'Z'
                | b'a'..=b'z'
                | b'0'..=b'9'
                | b'!'
                | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        byte += 1;
    }
    table
};

/// Whether this octet is allowed in a token.
pub(super) const fn is_tchar(byte: u8) -> bool {
    TCHAR[byte as usize]
}

/// The length of the token at the start of `bytes`.
pub(super) fn token_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_tchar(*byte)).unwrap_or(bytes.len())
}

/// Letters, digits, `-`, `_` and `.`: the octets of compact JWTs.
#[inline]
pub(super) fn jwt_octets(octets: u8x16) -> u8x16 {
    between(octets | u8x16::splat(0x20), b'a', b'z')
        | between(octets, b'0', b'9')
        | between(octets, b'-', b'.')
        | equal(octets, b'_')
}

/// Whether this octet is allowed in a field value: visible ASCII, space, tab or non-ASCII.
pub(super) const fn is_value_octet(byte: u8) -> bool {
    VALUE_OCTET[byte as usize]
}

const VALUE_OCTET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte == b'\t' as usize || (byte >= b' ' as usize && byte != 0x7f);
        byte += 1;
    }
    table
};

/// The length of the field value at the start of `bytes`. Values are most of a head, so many octets are checked at a
/// time.
pub(crate) fn value_len(bytes: &[u8]) -> usize {
    let controls = |octets| between(octets, 0, 0x1f) | equal(octets, 0x7f);
    let mut checked = 0;
    loop {
        let rest = bytes.get(checked..).unwrap_or_default();
        let Some(at) = octets::position(rest, controls) else { return bytes.len() };
        checked += at;
        // A tab is the only control character that is allowed.
        if rest.get(at) != Some(&b'\t') {
            return checked;
        }
        checked += 1;
    }
}

/// RFC 3986 section 3.3, and the quotes and braces that clients send unescaped.
pub(super) const fn is_path_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'<' | b'>' | b'?' | b'\\' | b'`')
}

/// RFC 3986 section 3.4, and what clients send unescaped: nothing after the first `?` changes how a server reads the
/// path. A fragment is no part of a target.
pub(super) const fn is_query_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

/// Why this octet is not allowed in a target.
pub(super) const fn bad_target_octet(byte: u8) -> &'static str {
    match byte {
        b'#' => "target has a fragment",
        b'\\' => "target has a backslash",
        b' ' => "target has a blank",
        _ if !byte.is_ascii() => "target is not ASCII",
        _ if byte.is_ascii_control() => "target has a control character",
        _ => "target has a character that must be percent-encoded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_len_agrees_with_checking_octet_by_octet() {
        for byte in 0..=u8::MAX {
            for at in 0..84 {
                let mut bytes = [b'x'; 84];
                bytes[at] = byte;
                let one = bytes.iter().position(|byte| !is_value_octet(*byte)).unwrap_or(84);
                assert_eq!(value_len(&bytes), one, "{byte:#x} at {at}");
                bytes = [0xff; 84];
                bytes[at] = byte;
                let one = bytes.iter().position(|byte| !is_value_octet(*byte)).unwrap_or(84);
                assert_eq!(value_len(&bytes), one, "{byte:#x} at {at} among others");
            }
        }
    }

    #[test]
    fn rfc_9110_section_5_6_2_tokens() {
        assert_eq!(token_len(b"X-a_b.c!#$%&'*+^`|~9: y"), 20);
        for byte in b"\"(),/:;<=>?@[\\]{} \t\r\n\0\x7f\x80\xff" {
            assert!(!is_tchar(*byte), "{byte:#x}");
        }
    }
}
