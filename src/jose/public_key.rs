//! Which public keys are accepted, and what is prepared so that verification need not parse them again.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaPublicKeyComponents,
    VerificationAlgorithm,
};

use super::{Algorithm, AlgorithmSet, KeyFamily, KeyFault, roca};
use crate::digest::{Sha256, sha256_of_parts};

/// A public key that passed all checks.
pub(super) struct PublicKey {
    pub(super) family: KeyFamily,
    pub(super) bits: usize,
    /// See [`super::VerificationKey::material`].
    pub(super) material: Sha256,
    /// The key for the first algorithm of its family.
    parsed: ParsedPublicKey,
}

/// One key, parsed for each algorithm that it may verify.
pub(super) type PreparedKeys = Box<[(Algorithm, ParsedPublicKey)]>;

impl PublicKey {
    /// An RSA key from the big-endian bytes of modulus and exponent.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyFault> {
        let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
        let bits = 8 * n.len() - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        match bits {
            0..2048 => return Err(KeyFault::RsaTooShort),
            2048..=8192 => {}
            _ => return Err(KeyFault::RsaTooLong),
        }
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        // With the exponent 1, every message would be its own signature.
        if !odd(n) || !odd(e) || e.len() > 4 || e == [1] || roca::has_fingerprint(n) {
            return Err(KeyFault::RsaUnsound);
        }
        let parsed = RsaPublicKeyComponents { n, e }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .map_err(|_| KeyFault::RsaUnsound)?;
        Ok(Self { family: KeyFamily::Rsa, bits, material: material(&[n, e]), parsed })
    }

    /// An EC key from its uncompressed point (SEC 1 section 2.3.3).
    pub(super) fn elliptic(family: KeyFamily, point: &[u8]) -> Result<Self, KeyFault> {
        let (bits, algorithm): (usize, &'static dyn VerificationAlgorithm) = match family {
            KeyFamily::P256 => (256, &ECDSA_P256_SHA256_FIXED),
            KeyFamily::P384 => (384, &ECDSA_P384_SHA384_FIXED),
            KeyFamily::P521 => (521, &ECDSA_P521_SHA512_FIXED),
            KeyFamily::Rsa | KeyFamily::Ed25519 | KeyFamily::Hmac => return Err(KeyFault::UnknownCurve),
        };
        if point.len() != 1 + 2 * bits.div_ceil(8) || point[0] != 4 {
            return Err(KeyFault::PointNotOnCurve);
        }
        // Parsing checks that the point is on the curve.
        let parsed = ParsedPublicKey::new(algorithm, point).map_err(|_| KeyFault::PointNotOnCurve)?;
        Ok(Self { family, bits, material: material(&[point]), parsed })
    }

    /// An Ed25519 key from its 32 bytes (RFC 8037 section 2).
    pub(super) fn ed25519(x: &[u8]) -> Result<Self, KeyFault> {
        if x.len() != 32 {
            return Err(KeyFault::PointNotOnCurve);
        }
        let parsed = ParsedPublicKey::new(&ED25519, x).map_err(|_| KeyFault::PointNotOnCurve)?;
        if is_of_small_order(x) {
            return Err(KeyFault::SmallOrder);
        }
        Ok(Self { family: KeyFamily::Ed25519, bits: 256, material: material(&[x]), parsed })
    }

    /// Prepares it for the algorithms of its family that are in `algorithms`.
    pub(super) fn prepare(&self, algorithms: AlgorithmSet) -> Result<PreparedKeys, KeyFault> {
        let prepare = |algorithm| {
            let key = match other_rsa_algorithm(algorithm) {
                Some(other) => {
                    ParsedPublicKey::new(other, self.parsed.as_ref()).map_err(|_| KeyFault::RsaUnsound)?
                }
                None => self.parsed.clone(),
            };
            Ok((algorithm, key))
        };
        self.family.algorithms().intersection(algorithms).iter().map(prepare).collect()
    }
}

/// The algorithms that are not the first of their family.
fn other_rsa_algorithm(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::RS256
        | Algorithm::ES256
        | Algorithm::ES384
        | Algorithm::ES512
        | Algorithm::EdDSA
        | Algorithm::HS256 => return None,
    })
}

/// A digest of these parts. It includes their lengths, so that the same bytes split differently are different keys.
pub(super) fn material(parts: &[&[u8]]) -> Sha256 {
    let lengths: Vec<_> = parts.iter().map(|part| (part.len() as u64).to_be_bytes()).collect();
    sha256_of_parts(lengths.iter().zip(parts).flat_map(|(length, part)| [&length[..], part]))
}

pub(super) fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// Whether an Ed25519 point is one of the eight points of small order, in any encoding.
/// Anybody can make signatures for such a key (RFC 8032 section 8.9 leaves the
/// check to the application; aws-lc does not do it).
fn is_of_small_order(x: &[u8]) -> bool {
    /// The first byte, the byte that is repeated in the middle, and the last byte.
    const PLAIN: [(u8, u8, u8); 5] =
        [(0, 0, 0), (1, 0, 0), (0xec, 0xff, 0x7f), (0xed, 0xff, 0x7f), (0xee, 0xff, 0x7f)];
    /// The y coordinates of the points of order eight, without their last byte.
    const ORDER_EIGHT: [(&[u8; 31], u8); 2] = [
        (
            b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\
              \xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc",
            0x05,
        ),
        (
            b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\
              \x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03",
            0x7a,
        ),
    ];
    let Some((last, start)) = x.split_last() else { return false };
    // The highest bit is the sign of the x coordinate.
    let last = last & 0x7f;
    let plain = |(first, middle, end): &(u8, u8, u8)| {
        last == *end && start.first() == Some(first) && start.iter().skip(1).all(|byte| byte == middle)
    };
    PLAIN.iter().any(plain)
        || ORDER_EIGHT.iter().any(|(point, end)| last == *end && start == point.as_slice())
}
