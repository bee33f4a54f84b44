//! The octets that heads and bodies are made of (RFC 9110 sections 5.5 and 5.6.2).

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

/// Whether a token may have this octet.
pub(super) const fn is_tchar(byte: u8) -> bool {
    TCHAR[byte as usize]
}

/// How many octets at the start of `bytes` are a token's.
pub(super) fn token_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_tchar(*byte)).unwrap_or(bytes.len())
}

/// Whether a field value may have this octet: visible ones, blank, tab and what is not ASCII.
pub(super) const fn is_value_octet(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// How many octets at the start of `bytes` are a field value's. Values are most of a head, so they
/// are looked at eight octets at a time.
pub(super) fn value_len(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let plain = words.iter().position(|word| has_control(u64::from_le_bytes(*word))).unwrap_or(words.len());
    let rest = bytes.get(8 * plain..).unwrap_or_default();
    8 * plain + rest.iter().position(|byte| !is_value_octet(*byte)).unwrap_or(rest.len())
}

/// Whether one of eight octets is below a blank, or is DEL. (An octet less than `n` borrows from
/// its own high bit when `n` is taken from it; one that had that bit before is not ASCII.)
const fn has_control(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let delete = word ^ (ONES * 0x7f);
    let below_blank = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    let is_delete = delete.wrapping_sub(ONES) & !delete & HIGH;
    below_blank | is_delete != 0
}

/// RFC 3986 section 3.3, and the quotes and braces that clients send as they are.
pub(super) const fn is_path_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'<' | b'>' | b'?' | b'\\' | b'`')
}

/// RFC 3986 section 3.4, and what clients send as it is.
pub(super) const fn is_query_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\')
}

/// Why a target cannot have this octet.
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
    fn eight_octets_at_a_time_say_what_one_at_a_time_does() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                let mut bytes = [b'x'; 20];
                bytes[at] = byte;
                let one = bytes.iter().position(|byte| !is_value_octet(*byte)).unwrap_or(20);
                assert_eq!(value_len(&bytes), one, "{byte:#x} at {at}");
                bytes = [0xff; 20];
                bytes[at] = byte;
                let one = bytes.iter().position(|byte| !is_value_octet(*byte)).unwrap_or(20);
                assert_eq!(value_len(&bytes), one, "{byte:#x} at {at} among others");
            }
        }
    }

    #[test]
    fn tokens_are_those_of_rfc_9110() {
        assert_eq!(token_len(b"X-a_b.c!#$%&'*+^`|~9: y"), 20);
        for byte in b"\"(),/:;<=>?@[\\]{} \t\r\n\0\x7f\x80\xff" {
            assert!(!is_tchar(*byte), "{byte:#x}");
        }
    }
}
