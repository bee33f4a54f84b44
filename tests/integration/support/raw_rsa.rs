//! Textbook RSA, for signatures that no library would make: applies the private key to any
//! encoding. Slow, and only for tests.

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384};

use super::keys::Key;

/// The modulus length of the test keys in bytes.
const SIZE: usize = 256;

/// `encoded ^ d mod n`.
pub fn apply(key: &Key, encoded: &[u8]) -> Vec<u8> {
    let (n, d) = key.rsa_private();
    power(encoded, &d, &n)
}

/// Encodings for RS256 with 2048 bits (RFC 8017 section 9.2), each with what is wrong with it.
pub fn pkcs1_variants(message: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    const PREFIX: &[u8] = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
    const WITHOUT_NULL: &[u8] = b"\x30\x2f\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x04\x20";
    const OF_SHA384: &[u8] = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x20";
    const LONG_LENGTH: &[u8] =
        b"\x30\x81\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
    let hash = digest::digest(&SHA256, message);
    let info = |prefix: &[u8]| [prefix, hash.as_ref()].concat();
    let whole = |start: &[u8], padding: u8, rest: &[u8]| {
        let filler = SIZE - start.len() - 1 - rest.len();
        [start, &vec![padding; filler], &[0], rest].concat()
    };
    let padded = |rest: &[u8]| whole(&[0, 1], 0xff, rest);
    let good = info(PREFIX);
    let mut odd_byte = padded(&good);
    odd_byte[20] = 0xfe;
    let mut no_separator = padded(&good);
    no_separator[SIZE - good.len() - 1] = 0xff;
    // Bleichenbacher 2006: short padding, and the verifier ignores what follows the hash.
    let garbage = [&[0, 1][..], &[0xff; 8], &[0], &good, &vec![0x5a; SIZE - 11 - good.len()]].concat();
    vec![
        ("as it should be", padded(&good)),
        ("garbage after the hash", garbage),
        ("no padding", [&[0, 1, 0][..], &good, &vec![0; SIZE - 3 - good.len()]].concat()),
        ("a byte of the padding changed", odd_byte),
        ("no zero after the padding", no_separator),
        ("block type 0", whole(&[0, 0], 0, &good)),
        ("block type 2", whole(&[0, 2], 0xff, &good)),
        ("without the NULL", padded(&info(WITHOUT_NULL))),
        ("another hash's name", padded(&info(OF_SHA384))),
        ("a length in long form", padded(&info(LONG_LENGTH))),
        ("the hash alone", padded(hash.as_ref())),
        ("a byte after the hash", padded(&[good.as_slice(), &[0]].concat())),
    ]
}

/// Encodings for PS256 with 2048 bits (RFC 8017 section 9.1.1).
pub fn pss_variants(message: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut other_trailer = pss(message, &SHA256, &SHA256, 32);
    other_trailer[SIZE - 1] = 0xcc;
    vec![
        ("as it should be", pss(message, &SHA256, &SHA256, 32)),
        ("no salt", pss(message, &SHA256, &SHA256, 0)),
        ("a salt of 20 bytes", pss(message, &SHA256, &SHA256, 20)),
        ("a salt of 31 bytes", pss(message, &SHA256, &SHA256, 31)),
        ("a salt of 33 bytes", pss(message, &SHA256, &SHA256, 33)),
        ("the longest salt", pss(message, &SHA256, &SHA256, SIZE - 34)),
        ("another hash", pss(message, &SHA384, &SHA256, 32)),
        ("another hash of the mask", pss(message, &SHA256, &SHA384, 32)),
        ("another trailer", other_trailer),
    ]
}

fn pss(message: &[u8], hash: &'static Algorithm, mask: &'static Algorithm, salt_length: usize) -> Vec<u8> {
    let salt = vec![0x5a; salt_length];
    let inner = [&[0; 8], digest::digest(hash, message).as_ref(), &salt].concat();
    let h = digest::digest(hash, &inner);
    let length = SIZE - h.as_ref().len() - 1;
    let mut data = vec![0; length - salt_length - 1];
    data.push(1);
    data.extend(&salt);
    let masks = (0_u32..).flat_map(|counter| {
        digest::digest(mask, &[h.as_ref(), &counter.to_be_bytes()].concat()).as_ref().to_vec()
    });
    for (byte, mask) in data.iter_mut().zip(masks) {
        *byte ^= mask;
    }
    // The encoding is one bit shorter than the modulus.
    data[0] &= 0x7f;
    [&data, h.as_ref(), &[0xbc]].concat()
}

/// `base ^ exponent mod modulus`, big-endian, the modulus odd: square and multiply, each step by
/// Montgomery's method with 32-bit limbs.
fn power(base: &[u8], exponent: &[u8], modulus: &[u8]) -> Vec<u8> {
    let n = limbs(modulus);
    // -1 / n modulo 2^32, by Newton's iteration.
    let inverse = (0..5).fold(1_u32, |x, _| x.wrapping_mul(2_u32.wrapping_sub(n[0].wrapping_mul(x))));
    let negated = inverse.wrapping_neg();
    let mut one = vec![0; n.len()];
    one[0] = 1;
    // Doubling 1 once per bit of R gives R mod n; doubling as often again gives R * R mod n.
    let doubled = |number: &[u32]| (0..32 * n.len()).fold(number.to_vec(), |value, _| double(&value, &n));
    let r = doubled(&one);
    let times = |a: &[u32], b: &[u32]| multiply(a, b, &n, negated);
    let base = times(&limbs(base), &doubled(&r));
    let mut result = r;
    for bit in exponent.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        result = times(&result, &result);
        if bit == 1 {
            result = times(&result, &base);
        }
    }
    times(&result, &one).iter().rev().flat_map(|limb| limb.to_be_bytes()).collect()
}

fn limbs(number: &[u8]) -> Vec<u32> {
    number.rchunks(4).map(|chunk| chunk.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))).collect()
}

fn double(number: &[u32], n: &[u32]) -> Vec<u32> {
    let mut carry = 0;
    let mut twice: Vec<u32> = Vec::with_capacity(n.len() + 1);
    for limb in number {
        twice.push(limb << 1 | carry);
        carry = limb >> 31;
    }
    twice.push(carry);
    reduce_once(twice, n)
}

/// Reduces a number below `2n`, with one extra limb, to below `n`.
fn reduce_once(number: Vec<u32>, n: &[u32]) -> Vec<u32> {
    let mut borrow = 0;
    let mut less: Vec<u32> = Vec::with_capacity(number.len());
    for (at, limb) in number.iter().enumerate() {
        let difference = i64::from(*limb) - i64::from(*n.get(at).unwrap_or(&0)) - borrow;
        borrow = i64::from(difference < 0);
        less.push(difference as u32);
    }
    let mut result = if borrow == 0 { less } else { number };
    result.truncate(n.len());
    result
}

/// `a * b / R mod n`.
fn multiply(a: &[u32], b: &[u32], n: &[u32], negated: u32) -> Vec<u32> {
    let size = n.len();
    let mut sum = vec![0_u32; size + 2];
    for limb in a {
        add_product(&mut sum, *limb, b);
        let factor = sum[0].wrapping_mul(negated);
        add_product(&mut sum, factor, n);
        sum.remove(0);
        sum.push(0);
    }
    sum.truncate(size + 1);
    reduce_once(sum, n)
}

/// `sum += factor * number`.
fn add_product(sum: &mut [u32], factor: u32, number: &[u32]) {
    let mut carry = 0_u64;
    for (at, limb) in sum.iter_mut().enumerate() {
        let product = u64::from(factor) * u64::from(*number.get(at).unwrap_or(&0));
        let total = u64::from(*limb) + product + carry;
        *limb = total as u32;
        carry = total >> 32;
    }
}
