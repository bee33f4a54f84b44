//! One JSON Web Key (RFC 7517 section 4).
//!
//! Deviations of real issuers are accepted if the key stays unambiguous. Weak keys and keys for other purposes are
//! refused.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::DecodingKey;

use super::certificate::{Certificate, Thumbprints};
use super::public_key::{PublicKey, material, without_leading_zeros};
use super::verifier::{SignedMessage, Verifier};
use super::{Algorithm, AlgorithmSet, JsonObject, JsonValue, KeyDialect, KeyFamily, KeyFault, der};

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
    thumbprints: Thumbprints,
    verifier: Verifier,
}

impl VerificationKey {
    /// Reads one JWK.
    pub(super) fn from_jwk(members: &JsonObject, dialect: KeyDialect) -> Result<Self, KeyFault> {
        let kid = match text(members, "kid")? {
            Some(kid) if kid.len() > MAX_KID_BYTES => return Err(KeyFault::Malformed),
            kid => kid.map(Into::into),
        };
        check_purpose(members)?;
        let certificate = first_certificate(members);
        let certificate = certificate.as_deref().and_then(Certificate::parse);
        let key = match &certificate {
            Some(certificate) => certified_key(members, certificate)?,
            None => public_key(members)?,
        };
        let algorithms = match text(members, "alg")? {
            Some(name) => bound_algorithms(name, key.family, dialect)?,
            None => key.family.algorithms(),
        };
        let is_backends_own = dialect == KeyDialect::OpenMetadata;
        let thumbprints = match certificate {
            Some(certificate) => certificate.thumbprints(),
            None => declared_thumbprints(members),
        };
        Ok(Self { kid, is_backends_own, thumbprints, ..Self::from_public(&key, algorithms)? })
    }

    /// A secret shared with one issuer, for HS256. It has no `kid` and matches any.
    pub fn from_shared_secret(secret: &[u8]) -> Self {
        Self {
            kid: None,
            family: KeyFamily::Hmac,
            algorithms: KeyFamily::Hmac.algorithms(),
            bits: 8 * secret.len(),
            matches_any_kid: true,
            is_backends_own: false,
            material: material(&[secret]),
            thumbprints: Thumbprints::default(),
            verifier: Verifier::Secret(DecodingKey::from_secret(secret)),
        }
    }

    /// An RSA public key for every algorithm of its family, from the big-endian bytes of its modulus and exponent.
    ///
    /// # Errors
    /// The key is too short, too long or unsound.
    pub fn from_rsa_numbers(n: &[u8], e: &[u8]) -> Result<Self, KeyFault> {
        Self::of_family(&PublicKey::rsa(n, e)?)
    }

    /// A public key for these algorithms, without a `kid`.
    pub(super) fn from_public(key: &PublicKey, algorithms: AlgorithmSet) -> Result<Self, KeyFault> {
        Ok(Self {
            kid: None,
            family: key.family,
            algorithms,
            bits: key.bits,
            matches_any_kid: false,
            is_backends_own: false,
            material: key.material,
            thumbprints: Thumbprints::default(),
            verifier: Verifier::Public(key.prepare(algorithms)?),
        })
    }

    /// A public key for every algorithm of its family.
    pub(super) fn of_family(key: &PublicKey) -> Result<Self, KeyFault> {
        Self::from_public(key, key.family.algorithms())
    }

    /// The same for a key that may be a certificate's.
    pub(super) fn certified((key, thumbprints): der::Certified) -> Result<Self, KeyFault> {
        Ok(Self { thumbprints, ..Self::of_family(&key)? })
    }

    /// The same key for tokens with any `kid`. Keys from PEM files have no `kid`.
    pub(super) fn for_any_kid(self) -> Self {
        Self { matches_any_kid: true, ..self }
    }

    /// The same key, only for tokens with this `kid`.
    ///
    /// # Errors
    /// The key has another `kid`.
    pub fn named(self, kid: &str) -> Result<Self, KeyFault> {
        match &self.kid {
            Some(own) if **own != *kid => Err(KeyFault::DuplicateKeyId),
            _ => Ok(Self { kid: Some(kid.into()), matches_any_kid: false, ..self }),
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
        self.family.kty()
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

    /// The thumbprints of its certificate, by which a token without a `kid` may name it.
    pub fn thumbprints(&self) -> &Thumbprints {
        &self.thumbprints
    }

    /// Whether it made the signature with this algorithm (RFC 7515 section 5.2, step 8).
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &SignedMessage<'_>) -> bool {
        self.algorithms.contains(algorithm) && self.verifier.verifies(algorithm, message)
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

/// RFC 7518 section 6 and RFC 8037 section 2.
fn public_key(members: &JsonObject) -> Result<PublicKey, KeyFault> {
    match text(members, "kty")?.ok_or(KeyFault::Malformed)? {
        "RSA" => PublicKey::rsa(&integer(members, "n")?, &integer(members, "e")?),
        "EC" => match text(members, "crv")? {
            Some("P-256") => PublicKey::elliptic(KeyFamily::P256, &point(members, 32)?),
            Some("P-384") => PublicKey::elliptic(KeyFamily::P384, &point(members, 48)?),
            Some("P-521") => PublicKey::elliptic(KeyFamily::P521, &point(members, 66)?),
            _ => Err(KeyFault::UnknownCurve),
        },
        "OKP" => match text(members, "crv")? {
            Some("Ed25519") => PublicKey::ed25519(&bytes(members, "x")?),
            _ => Err(KeyFault::UnknownCurve),
        },
        "oct" => Err(KeyFault::Symmetric),
        _ => Err(KeyFault::UnknownType),
    }
}

/// The key of a JWK with a certificate. If its own members say which key it is, both must be the same
/// (RFC 7517 section 4.7).
fn certified_key(members: &JsonObject, certificate: &Certificate<'_>) -> Result<PublicKey, KeyFault> {
    let certified = der::subject_public_key_info(certificate.public_key_info);
    let has_own = ["n", "e", "x", "y"].iter().any(|name| member(members, name).is_some());
    if !has_own {
        let key = certified?;
        let kty = text(members, "kty")?.ok_or(KeyFault::Malformed)?;
        let is_same_curve = text(members, "crv")?.is_none_or(|crv| key.family.crv() == Some(crv));
        let agree = key.family.kty() == kty && is_same_curve;
        return if agree { Ok(key) } else { Err(KeyFault::CertificateMismatch) };
    }
    let key = public_key(members)?;
    match certified {
        Ok(certified) if certified.material != key.material => Err(KeyFault::CertificateMismatch),
        // A certificate of a kind that is not read here does not contradict the key.
        _ => Ok(key),
    }
}

/// The DER of the first certificate in `x5c`, which is standard base64 (RFC 7517 section 4.7). Anything else there is
/// no certificate.
fn first_certificate(members: &JsonObject) -> Option<Vec<u8>> {
    let Some(JsonValue::Array(chain)) = members.get("x5c") else { return None };
    let first = chain.iter().next()?.as_str()?;
    STANDARD.decode(first.split_ascii_whitespace().collect::<String>()).ok()
}

/// The thumbprints that a JWK without a certificate says that it has (RFC 7517 sections 4.8 and 4.9).
fn declared_thumbprints(members: &JsonObject) -> Thumbprints {
    let digest = |name| bytes(members, name).ok();
    Thumbprints {
        sha1: digest("x5t").and_then(|digest| digest.try_into().ok()),
        sha256: digest("x5t#S256").and_then(|digest| digest.try_into().ok()),
    }
}

/// RFC 7517 sections 4.2, 4.3 and 9.2.
fn check_purpose(members: &JsonObject) -> Result<(), KeyFault> {
    if ["d", "p", "q", "dp", "dq", "qi", "oth"].iter().any(|name| member(members, name).is_some()) {
        return Err(KeyFault::Private);
    }
    // A secret next to a public key is a mistake of the issuer; do not rely on such a key.
    if member(members, "k").is_some() && text(members, "kty")? != Some("oct") {
        return Err(KeyFault::Private);
    }
    if text(members, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(KeyFault::NotForSignatures);
    }
    match member(members, "key_ops") {
        None => Ok(()),
        Some(JsonValue::Array(operations)) => {
            let is_listed = operations.iter().any(|operation| operation.as_str() == Some("verify"));
            if is_listed { Ok(()) } else { Err(KeyFault::NotForVerification) }
        }
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

/// A member. `null` is written for an absent one by serializers that do not leave it out.
fn member<'a>(members: &'a JsonObject, name: &str) -> Option<JsonValue<'a>> {
    members.get(name).filter(|value| !matches!(value, JsonValue::Null))
}

fn text<'a>(members: &'a JsonObject, name: &str) -> Result<Option<&'a str>, KeyFault> {
    match member(members, name) {
        None => Ok(None),
        Some(JsonValue::String(text)) => Ok(Some(text)),
        Some(_) => Err(KeyFault::Malformed),
    }
}

/// Base64url as RFC 7518 requires, and its deviations in practice: OpenMetadata adds padding, others use the
/// standard alphabet. All encodings of a number mean the same key.
fn bytes(members: &JsonObject, name: &str) -> Result<Vec<u8>, KeyFault> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const ENGINE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    let text = text(members, name)?.ok_or(KeyFault::Malformed)?.replace('+', "-").replace('/', "_");
    ENGINE.decode(text).map_err(|_| KeyFault::Malformed)
}

fn integer(members: &JsonObject, name: &str) -> Result<Vec<u8>, KeyFault> {
    let mut number = bytes(members, name)?;
    // OpenMetadata includes Java's sign byte. aws-lc would then refuse every signature.
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    if number.is_empty() { Err(KeyFault::Malformed) } else { Ok(number) }
}

/// `04 || x || y`, with each coordinate padded or trimmed to `size` bytes: some issuers drop leading zeros,
/// others add one.
fn point(members: &JsonObject, size: usize) -> Result<Vec<u8>, KeyFault> {
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
