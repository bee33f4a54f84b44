//! Huffman decoding of string literals (RFC 7541 section 5.2 and appendix B).
//!
//! The code is canonical: symbols of one length have consecutive codes in the order of their
//! values, so a table of lengths is enough.

use super::HpackError;

/// The length of each symbol's code. The last symbol is EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];

const MAX_LENGTH: usize = 30;
const EOS: u16 = 256;
/// Codes of at most this many bits are looked up in one step.
const SHORT: u32 = 8;

/// Decoding tables.
struct Code {
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    /// For each length, the index in `symbols` of its first code.
    index: [u32; MAX_LENGTH + 1],
    /// For each length, its first code.
    first: [u32; MAX_LENGTH + 1],
    /// For each length, the first code that is longer, shifted to 32 bits.
    end: [u64; MAX_LENGTH + 1],
    /// For each octet, the symbol whose code it starts with, and the length of that code; 0 if the code is longer.
    short: [(u8, u8); 1 << SHORT],
}

static CODE: Code = Code::new();

impl Code {
    const fn new() -> Self {
        let mut code = Self {
            symbols: [0; 257],
            index: [0; MAX_LENGTH + 1],
            first: [0; MAX_LENGTH + 1],
            end: [0; MAX_LENGTH + 1],
            short: [(0, 0); 1 << SHORT],
        };
        let (mut next, mut count, mut length) = (0_u32, 0_u32, 1_usize);
        while length <= MAX_LENGTH {
            next <<= 1;
            code.first[length] = next;
            code.index[length] = count;
            let mut symbol = 0;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == length {
                    code.symbols[count as usize] = symbol as u16;
                    code.add_short(symbol as u8, next, length as u32);
                    next += 1;
                    count += 1;
                }
                symbol += 1;
            }
            code.end[length] = (next as u64) << (32 - length);
            length += 1;
        }
        code
    }

    const fn add_short(&mut self, symbol: u8, code: u32, length: u32) {
        if length > SHORT {
            return;
        }
        let begin = code << (SHORT - length);
        let mut octet = begin;
        while octet < begin + (1 << (SHORT - length)) {
            self.short[octet as usize] = (symbol, length as u8);
            octet += 1;
        }
    }

    /// The symbol whose code this octet starts with, and the length of that code; 0 if the code is longer.
    #[inline]
    fn short(&self, octet: u8) -> (u8, u32) {
        let (symbol, length) = self.short.get(usize::from(octet)).copied().unwrap_or_default();
        (symbol, u32::from(length))
    }

    /// The symbol at the start of 32 bits, and the length of its code.
    fn symbol(&self, bits: u32) -> (u16, u32) {
        let (symbol, length) = self.short((bits >> (32 - SHORT)) as u8);
        if length > 0 {
            return (u16::from(symbol), length);
        }
        for length in SHORT as usize + 1..=MAX_LENGTH {
            let (end, first, index) = (self.end.get(length), self.first.get(length), self.index.get(length));
            if let (Some(end), Some(first), Some(index)) = (end, first, index)
                && u64::from(bits) < *end
            {
                let at = (bits >> (32 - length)).wrapping_sub(*first).wrapping_add(*index);
                let symbol = self.symbols.get(at as usize).copied().unwrap_or(EOS);
                return (symbol, length as u32);
            }
        }
        // The first thirty bits are ones.
        (EOS, MAX_LENGTH as u32)
    }
}

/// How many short codes are decoded between two looks at the input. They have at most 56 bits.
const AT_ONCE: usize = 7;

/// Appends the decoded octets to `into`.
pub(super) fn decode(coded: &[u8], into: &mut Vec<u8>) -> Result<(), HpackError> {
    // No code has less than five bits.
    into.reserve(coded.len().saturating_mul(8) / 5 + AT_ONCE);
    // The bits that are not decoded yet are the highest `count` of `window`. Those after them are the next ones, too.
    let (mut window, mut count, mut rest) = (0_u64, 0_u32, coded);
    while let Some(next) = rest.first_chunk::<8>() {
        window |= u64::from_be_bytes(*next) >> count;
        let octets = (63 - count) / 8;
        count += octets * 8;
        rest = rest.get(octets as usize..).unwrap_or_default();
        let mut symbols = [0; AT_ONCE];
        let mut decoded = 0;
        for slot in &mut symbols {
            let (symbol, length) = CODE.short((window >> (64 - SHORT)) as u8);
            if length == 0 {
                break;
            }
            *slot = symbol;
            decoded += 1;
            // At most eight bits, of which there are enough.
            window = window.wrapping_shl(length);
            count = count.wrapping_sub(length);
        }
        into.extend_from_slice(&symbols);
        into.truncate(into.len() - (AT_ONCE - decoded));
        if decoded == 0 {
            // A long code. There are at least 56 bits.
            let (symbol, length) = CODE.symbol((window >> 32) as u32);
            into.push(u8::try_from(symbol).map_err(|_| HpackError::Huffman)?);
            window <<= length;
            count -= length;
        }
    }
    decode_end(window.checked_shr(64 - count).unwrap_or(0), count, rest, into)
}

/// Decodes the last octets, after the lowest `count` bits of `bits`.
fn decode_end(mut bits: u64, mut count: u32, rest: &[u8], into: &mut Vec<u8>) -> Result<(), HpackError> {
    let mut rest = rest.iter();
    loop {
        while count <= 32
            && let Some(octet) = rest.next()
        {
            bits = bits << 8 | u64::from(*octet);
            count += 8;
        }
        if count == 0 {
            return Ok(());
        }
        // At the end, fill up with ones: padding is a prefix of EOS.
        let window = match count {
            0..32 => bits << (32 - count) | ((1 << (32 - count)) - 1),
            _ => bits >> (count - 32),
        };
        let (symbol, length) = CODE.symbol(window as u32);
        if length > count {
            // Less than a symbol is padding: at most seven bits, all ones.
            let ones = (1_u64 << count) - 1;
            return if count < 8 && bits & ones == ones { Ok(()) } else { Err(HpackError::Huffman) };
        }
        match u8::try_from(symbol) {
            Ok(octet) => into.push(octet),
            Err(_) => return Err(HpackError::Huffman),
        }
        count -= length;
        bits &= (1 << count) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, HpackError> {
        let mut into = Vec::new();
        decode(coded, &mut into).map(|()| into)
    }

    /// The code of a symbol, right-aligned.
    fn code_of(symbol: usize) -> (u32, u32) {
        let length = usize::from(LENGTHS[symbol]);
        let at = CODE.symbols.iter().position(|other| usize::from(*other) == symbol).expect("a symbol");
        (CODE.first[length] + at as u32 - CODE.index[length], length as u32)
    }

    fn encoded(symbols: &[usize], padding: u64) -> Vec<u8> {
        let mut bits = String::new();
        for symbol in symbols {
            let (code, length) = code_of(*symbol);
            bits.push_str(&format!("{code:0width$b}", width = length as usize));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push(if padding == 0 { '0' } else { '1' });
        }
        bits.as_bytes()
            .chunks(8)
            .map(|octet| octet.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0')))
            .collect()
    }

    #[test]
    fn codes_match_rfc_7541_appendix_b() {
        for (symbol, code, length) in [
            (0, 0x1ff8, 13),
            (1, 0x7f_ffd8, 23),
            (10, 0x3fff_fffc, 30),
            (48, 0x0, 5),
            (116, 0x9, 5),
            (38, 0xf8, 8),
            (59, 0xfb, 8),
            (92, 0x7_fff0, 19),
            (127, 0xfff_fffc, 28),
            (128, 0xf_ffe6, 20),
            (199, 0x1ff_ffec, 25),
            (249, 0xfff_fffe, 28),
            (255, 0x3ff_ffee, 26),
            (256, 0x3fff_ffff, 30),
        ] {
            assert_eq!(code_of(symbol), (code, length), "{symbol}");
        }
    }

    #[test]
    fn every_pair_of_octets_round_trips() {
        for one in 0..256 {
            assert_eq!(decoded(&encoded(&[one], 1)), Ok(vec![one as u8]));
            for other in 0..256 {
                let coded = encoded(&[one, other, one], 1);
                assert_eq!(decoded(&coded), Ok(vec![one as u8, other as u8, one as u8]));
            }
        }
    }

    #[test]
    fn codes_of_all_lengths_round_trip_at_every_position() {
        // Long and short codes alternate, so that each begins at every bit of a window.
        let symbols: Vec<usize> = (0..2048).map(|number| (number * 37 + number / 256) % 256).collect();
        let text: Vec<u8> = symbols.iter().map(|symbol| *symbol as u8).collect();
        for begin in 0..64 {
            for length in [0, 1, 7, 8, 9, 64, 500] {
                let part = begin..begin + length;
                assert_eq!(decoded(&encoded(&symbols[part.clone()], 1)), Ok(text[part].to_vec()));
            }
        }
        let short: Vec<usize> = (0..300).map(|number| usize::from(b"0aZ;&"[number % 5])).collect();
        for length in 0..short.len() {
            let text: Vec<u8> = short[..length].iter().map(|symbol| *symbol as u8).collect();
            assert_eq!(decoded(&encoded(&short[..length], 1)), Ok(text));
        }
        for at in 0..40 {
            let mut with_eos = short[..40].to_vec();
            with_eos[at] = usize::from(EOS);
            assert_eq!(decoded(&encoded(&with_eos, 1)), Err(HpackError::Huffman), "EOS at {at}");
        }
    }

    #[test]
    fn padding_must_be_at_most_seven_ones() {
        assert_eq!(decoded(&[]), Ok(vec![]));
        // Five bits of `0` and three of padding.
        assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".to_vec()));
        for wrong in [0b0000_0110, 0b0000_0011, 0b0000_0000] {
            assert_eq!(decoded(&[wrong]), Err(HpackError::Huffman), "{wrong:#b}");
        }
        for wrong in [&[0xff][..], &[0b0000_0111, 0xff], &[0xff; 3], &[0xff; 4], &[0xff; 100]] {
            assert_eq!(decoded(wrong), Err(HpackError::Huffman), "{wrong:x?}");
        }
        assert_eq!(decoded(&encoded(&[97, 256, 97], 1)), Err(HpackError::Huffman), "EOS within a string");
        // A truncated long code.
        let coded = encoded(&[10], 1);
        assert_eq!(decoded(&coded), Ok(b"\n".to_vec()));
        assert_eq!(decoded(&coded[..3]), Err(HpackError::Huffman));
    }
}
