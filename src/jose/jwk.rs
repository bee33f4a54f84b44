//! One JSON Web Key (RFC 7517 section 4).
//!
//! Deviations of real issuers are accepted if the key stays unambiguous. Weak keys and keys for other purposes are
//! refused.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RsaPublicKeyComponents,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::{Algorithm, AlgorithmSet, KeyDialect, KeyFamily, roca};
use crate::digest::sha256_of_parts;

const MAX_KID_BYTES: usize = 256;

/// A public key (or shared secret) and the algorithms that it may verify.
pub struct VerificationKey {
    kid: Option<Box<str>>,
    family: KeyFamily,
    algorithms: AlgorithmSet,
    bits: usize,
    matches_any_kid: bool,
    is_backends_own: bool,
    material: [u8; 32],
    decoding_key: DecodingKey,
}

/// Why an entry of a key set is not used. The other entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KeyFault {
    #[error("not a JSON object, or a member has the wrong type")]
    Malformed,
    #[error("key type (kty) is not RSA, EC or OKP")]
    UnknownType,
    #[error("curve (crv) is not P-256, P-384 or Ed25519")]
    UnknownCurve,
    #[error("alg is not a signature algorithm that is supported here, or not one of this key type")]
    UnsupportedAlgorithm,
    #[error("use is not sig")]
    NotForSignatures,
    #[error("key_ops does not contain verify")]
    NotForVerification,
    #[error("a symmetric key in a public key set")]
    Symmetric,
    #[error("holds private key members")]
    Private,
    #[error("RSA modulus is shorter than 2048 bits")]
    RsaTooShort,
    #[error("RSA modulus is longer than 8192 bits")]
    RsaTooLong,
    #[error(
        "RSA modulus is even or of a broken generator (CVE-2017-15361), or the exponent is even, below 3 or longer than 32 bits"
    )]
    RsaUnsound,
    #[error("the point is not on the curve or has the wrong length")]
    PointNotOnCurve,
    #[error("the point is of small order: anybody could sign for it")]
    SmallOrder,
    #[error("another key of the same set has the same kid and other key material")]
    DuplicateKeyId,
}

impl KeyFault {
    /// The word in metrics and JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownType => "unknown_kty",
            Self::UnknownCurve => "unknown_crv",
            Self::UnsupportedAlgorithm => "unsupported_alg",
            Self::NotForSignatures => "use_not_sig",
            Self::NotForVerification => "key_ops_without_verify",
            Self::Symmetric => "symmetric",
            Self::Private => "private",
            Self::RsaTooShort => "rsa_too_short",
            Self::RsaTooLong => "rsa_too_long",
            Self::RsaUnsound => "rsa_unsound",
            Self::PointNotOnCurve => "point_not_on_curve",
            Self::SmallOrder => "small_order",
            Self::DuplicateKeyId => "duplicate_kid",
        }
    }
}

impl VerificationKey {
    /// Reads one JWK.
    pub(super) fn from_jwk(members: &Map<String, Value>, dialect: KeyDialect) -> Result<Self, KeyFault> {
        let kid = match text(members, "kid")? {
            Some(kid) if kid.len() > MAX_KID_BYTES => return Err(KeyFault::Malformed),
            kid => kid.map(Into::into),
        };
        check_purpose(members)?;
        let mut key = match text(members, "kty")?.ok_or(KeyFault::Malformed)? {
            "RSA" => Self::rsa(&integer(members, "n")?, &integer(members, "e")?)?,
            "EC" => match text(members, "crv")? {
                Some("P-256") => Self::elliptic(KeyFamily::P256, &point(members, 32)?)?,
                Some("P-384") => Self::elliptic(KeyFamily::P384, &point(members, 48)?)?,
                _ => return Err(KeyFault::UnknownCurve),
            },
            "OKP" => match text(members, "crv")? {
                Some("Ed25519") => Self::ed25519(&bytes(members, "x")?)?,
                _ => return Err(KeyFault::UnknownCurve),
            },
            "oct" => return Err(KeyFault::Symmetric),
            _ => return Err(KeyFault::UnknownType),
        };
        key.kid = kid;
        key.is_backends_own = dialect == KeyDialect::OpenMetadata;
        if let Some(name) = text(members, "alg")? {
            key.algorithms = bound_algorithms(name, key.family, dialect)?;
        }
        Ok(key)
    }

    /// A secret shared with one issuer, for HS256. It has no `kid` and matches any.
    pub fn from_shared_secret(secret: &[u8]) -> Self {
        let key = DecodingKey::from_secret(secret);
        Self { matches_any_kid: true, ..Self::new(KeyFamily::Hmac, 8 * secret.len(), key, &[secret]) }
    }

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
        RsaPublicKeyComponents { n, e }
            .to_parsed_public_key(&aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256)
            .map_err(|_| KeyFault::RsaUnsound)?;
        Ok(Self::new(KeyFamily::Rsa, bits, DecodingKey::from_rsa_raw_components(n, e), &[n, e]))
    }

    /// An EC key from its uncompressed point (SEC 1 section 2.3.3).
    pub(super) fn elliptic(family: KeyFamily, point: &[u8]) -> Result<Self, KeyFault> {
        let (bits, algorithm): (_, &'static dyn VerificationAlgorithm) = match family {
            KeyFamily::P256 => (256, &ECDSA_P256_SHA256_FIXED),
            KeyFamily::P384 => (384, &ECDSA_P384_SHA384_FIXED),
            KeyFamily::Rsa | KeyFamily::Ed25519 | KeyFamily::Hmac => return Err(KeyFault::UnknownCurve),
        };
        if point.len() != 1 + 2 * (bits / 8) || point[0] != 4 {
            return Err(KeyFault::PointNotOnCurve);
        }
        // Parsing checks that the point is on the curve.
        ParsedPublicKey::new(algorithm, point).map_err(|_| KeyFault::PointNotOnCurve)?;
        Ok(Self::new(family, bits, DecodingKey::from_ec_der(point), &[point]))
    }

    /// An Ed25519 key from its 32 bytes (RFC 8037 section 2).
    pub(super) fn ed25519(x: &[u8]) -> Result<Self, KeyFault> {
        if x.len() != 32 || ParsedPublicKey::new(&ED25519, x).is_err() {
            return Err(KeyFault::PointNotOnCurve);
        }
        if is_of_small_order(x) {
            return Err(KeyFault::SmallOrder);
        }
        Ok(Self::new(KeyFamily::Ed25519, 256, DecodingKey::from_ed_der(x), &[x]))
    }

    /// The same key for tokens with any `kid`. Keys from PEM files have no `kid`.
    pub(super) fn for_any_kid(self) -> Self {
        Self { matches_any_kid: true, ..self }
    }

    fn new(family: KeyFamily, bits: usize, decoding_key: DecodingKey, material: &[&[u8]]) -> Self {
        // Include the lengths, so that the same bytes split differently are different keys.
        let lengths: Vec<_> = material.iter().map(|part| (part.len() as u64).to_be_bytes()).collect();
        let parts = lengths.iter().zip(material).flat_map(|(length, part)| [&length[..], part]);
        Self {
            kid: None,
            family,
            algorithms: family.algorithms(),
            bits,
            matches_any_kid: false,
            is_backends_own: false,
            material: sha256_of_parts(parts),
            decoding_key,
        }
    }

    /// The `kid`, if the key has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The kind of key.
    pub fn family(&self) -> KeyFamily {
        self.family
    }

    /// The `kty`, or `secret`.
    pub fn kty(&self) -> &'static str {
        match self.family {
            KeyFamily::Rsa => "RSA",
            KeyFamily::P256 | KeyFamily::P384 => "EC",
            KeyFamily::Ed25519 => "OKP",
            KeyFamily::Hmac => "secret",
        }
    }

    /// The algorithms it may verify: its `alg`, or all of its family if it has no `alg`.
    pub fn algorithms(&self) -> AlgorithmSet {
        self.algorithms
    }

    /// The length in bits.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Whether it is tried for tokens with a `kid` that no key has.
    pub fn matches_any_kid(&self) -> bool {
        self.matches_any_kid
    }

    /// Whether it comes from OpenMetadata's own key set.
    pub fn is_backends_own(&self) -> bool {
        self.is_backends_own
    }

    /// A digest of the key material: equal for equal keys, even if their other members differ.
    pub fn material(&self) -> &[u8; 32] {
        &self.material
    }

    pub(super) fn decoding_key(&self) -> &DecodingKey {
        &self.decoding_key
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = f.debug_struct("VerificationKey");
        key.field("kid", &self.kid)
            .field("family", &self.family)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// RFC 7517 sections 4.2, 4.3 and 9.2.
fn check_purpose(members: &Map<String, Value>) -> Result<(), KeyFault> {
    if ["d", "p", "q", "dp", "dq", "qi", "oth"].iter().any(|name| members.contains_key(*name)) {
        return Err(KeyFault::Private);
    }
    // A secret next to a public key is a mistake of the issuer; do not rely on such a key.
    if members.contains_key("k") && text(members, "kty")? != Some("oct") {
        return Err(KeyFault::Private);
    }
    if text(members, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(KeyFault::NotForSignatures);
    }
    match members.get("key_ops") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => Ok(()),
        Some(Value::Array(_)) => Err(KeyFault::NotForVerification),
        Some(_) => Err(KeyFault::Malformed),
    }
}

/// The algorithms that a key's `alg` allows (RFC 8725 section 3.1).
fn bound_algorithms(name: &str, family: KeyFamily, dialect: KeyDialect) -> Result<AlgorithmSet, KeyFault> {
    let algorithm = Algorithm::from_name(name)
        .filter(|algorithm| algorithm.family() == family)
        .ok_or(KeyFault::UnsupportedAlgorithm)?;
    let pkcs1 = [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];
    match dialect {
        // OpenMetadata's key set always says RS256, even if it signs with RS384 or RS512.
        KeyDialect::OpenMetadata if pkcs1.contains(&algorithm) => Ok(pkcs1.into_iter().collect()),
        _ => Ok([algorithm].into_iter().collect()),
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, KeyFault> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(KeyFault::Malformed),
    }
}

/// Base64url as RFC 7518 requires, and its deviations in practice: OpenMetadata adds padding, others use the
/// standard alphabet. All encodings of a number mean the same key.
fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyFault> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const ENGINE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    let text = text(members, name)?.ok_or(KeyFault::Malformed)?.replace('+', "-").replace('/', "_");
    ENGINE.decode(text).map_err(|_| KeyFault::Malformed)
}

fn integer(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyFault> {
    let mut number = bytes(members, name)?;
    // OpenMetadata includes Java's sign byte. aws-lc would then refuse every signature.
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    if number.is_empty() { Err(KeyFault::Malformed) } else { Ok(number) }
}

/// `04 || x || y`, with each coordinate padded or trimmed to `size` bytes: some issuers drop leading zeros,
/// others add one.
fn point(members: &Map<String, Value>, size: usize) -> Result<Vec<u8>, KeyFault> {
    let mut point = vec![4];
    for name in ["x", "y"] {
        let coordinate = bytes(members, name)?;
        let number = without_leading_zeros(&coordinate);
        let padding = size.checked_sub(number.len()).ok_or(KeyFault::PointNotOnCurve)?;
        point.extend(std::iter::repeat_n(0, padding));
        point.extend_from_slice(number);
    }
    Ok(point)
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
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
