//! Searches for octets of a class, sixteen at a time, with the vectors that every processor of the platform has.
//! (Loops over single octets are vectorized in some builds and not in others.)

use wide::u8x16;

/// The position of the first octet in a class. `matches` sets all bits of the octets that are in it.
#[inline]
pub(crate) fn position(octets: &[u8], matches: impl Fn(u8x16) -> u8x16) -> Option<usize> {
    let matching = |block: &[u8; 16]| matches(u8x16::from(*block)).to_bitmask();
    let (blocks, rest) = octets.as_chunks::<16>();
    for (block, number) in blocks.iter().zip(0..) {
        let bits = matching(block);
        if bits != 0 {
            return Some(16 * number + first(bits));
        }
    }
    let missing = 16 - rest.len();
    // Octets that were already looked at do not match.
    let bits = match octets.last_chunk() {
        _ if rest.is_empty() => 0,
        Some(last) => matching(last) >> missing,
        None => {
            let mut block = [0; 16];
            block.iter_mut().zip(rest).for_each(|(place, octet)| *place = *octet);
            matching(&block) & (0xffff >> missing)
        }
    };
    (bits != 0).then(|| octets.len() - rest.len() + first(bits))
}

/// Whether no octet is in a class. See [`position`].
#[inline]
pub(crate) fn has_none(octets: &[u8], matches: impl Fn(u8x16) -> u8x16) -> bool {
    // A branch for each 64 octets.
    let (blocks, rest) = octets.as_chunks::<64>();
    let any = |block: &[u8; 64]| {
        let parts = block.as_chunks::<16>().0.iter();
        parts.fold(u8x16::ZERO, |any, part| any | matches(u8x16::from(*part))).to_bitmask() != 0
    };
    !blocks.iter().any(any) && position(rest, matches).is_none()
}

/// Whether both are the same octets. The time depends only on their number.
pub(crate) fn are_equal(one: &[u8], other: &[u8]) -> bool {
    let ((blocks, rest), (other_blocks, other_rest)) = (one.as_chunks::<16>(), other.as_chunks::<16>());
    let difference = |one: &[u8; 16], other: &[u8; 16]| u8x16::from(*one) ^ u8x16::from(*other);
    let pairs = blocks.iter().zip(other_blocks);
    let differences = pairs.fold(u8x16::ZERO, |sum, (one, other)| sum | difference(one, other));
    let rests = rest.iter().zip(other_rest).fold(0, |sum, (one, other)| sum | (one ^ other));
    one.len() == other.len() && rests == 0 && differences == u8x16::ZERO
}

/// The octets from `low` to `high`.
#[inline]
pub(crate) fn between(octets: u8x16, low: u8, high: u8) -> u8x16 {
    let above_low = octets - u8x16::splat(low);
    above_low.min(u8x16::splat(high - low)).simd_eq(above_low)
}

/// The octets that are this one.
#[inline]
pub(crate) fn equal(octets: u8x16, octet: u8) -> u8x16 {
    octets.simd_eq(u8x16::splat(octet))
}

fn first(bits: u32) -> usize {
    bits.trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_octet_of_a_class_is_found_wherever_it_is() {
        let class = |octets| between(octets, b'0', b'9') | equal(octets, 0xff);
        for octet in 0..=u8::MAX {
            let is_in = octet.is_ascii_digit() || octet == 0xff;
            for len in 0..90 {
                let mut octets = vec![b'x'; len];
                assert_eq!(position(&octets, class), None);
                assert!(has_none(&octets, class));
                for at in 0..len {
                    octets[at..].fill(octet);
                    assert_eq!(position(&octets, class), is_in.then_some(at), "{octet:#x} at {at} of {len}");
                    assert_eq!(has_none(&octets, class), !is_in);
                    octets[at..].fill(b'x');
                }
            }
        }
    }

    #[test]
    fn octets_that_fill_up_a_block_are_in_no_class() {
        assert!(has_none(b"x", |octets| equal(octets, 0)));
        assert_eq!(position(b"x\0", |octets| equal(octets, 0)), Some(1));
    }
}
