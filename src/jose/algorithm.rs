//! The signature algorithms of RFC 7518 section 3.1, RFC 8037 and RFC 9864 that metagate verifies.

use std::fmt;

/// A JWS signature algorithm. `none` has no variant, so no configuration can allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of RFC 7518 section 3.1")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EdDSA,
    HS256,
}

/// The kind of key that an algorithm requires (RFC 8725 section 3.1: a key is used with only one algorithm).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyFamily {
    /// `kty: RSA`
    Rsa,
    /// `kty: EC`, `crv: P-256`
    P256,
    /// `kty: EC`, `crv: P-384`
    P384,
    /// `kty: EC`, `crv: P-521`
    P521,
    /// `kty: OKP`, `crv: Ed25519`
    Ed25519,
    /// A secret shared with the issuer. Never read from a key set.
    Hmac,
}

impl Algorithm {
    /// Every algorithm that a public key can verify.
    pub const ASYMMETRIC: [Self; 10] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
    ];

    /// Every algorithm.
    pub const ALL: [Self; 11] = {
        let [rs256, rs384, rs512, ps256, ps384, ps512, es256, es384, es512, eddsa] = Self::ASYMMETRIC;
        [rs256, rs384, rs512, ps256, ps384, ps512, es256, es384, es512, eddsa, Self::HS256]
    };

    /// The algorithm of an `alg` value. Case-sensitive (RFC 7515 section 4.1.1). `Ed25519` (RFC 9864 section 2.2) is
    /// `EdDSA`, which is read only with keys on this curve.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "PS256" => Self::PS256,
            "PS384" => Self::PS384,
            "PS512" => Self::PS512,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "ES512" => Self::ES512,
            "EdDSA" | "Ed25519" => Self::EdDSA,
            "HS256" => Self::HS256,
            _ => return None,
        })
    }

    /// The name in a JOSE header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
            Self::HS256 => "HS256",
        }
    }

    /// The only kind of key that can verify signatures of this algorithm.
    pub const fn family(self) -> KeyFamily {
        match self {
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => {
                KeyFamily::Rsa
            }
            Self::ES256 => KeyFamily::P256,
            Self::ES384 => KeyFamily::P384,
            Self::ES512 => KeyFamily::P521,
            Self::EdDSA => KeyFamily::Ed25519,
            Self::HS256 => KeyFamily::Hmac,
        }
    }

    /// Whether a public-key signature is made over the SHA-256 of the message.
    pub(super) const fn hashes_with_sha256(self) -> bool {
        matches!(self, Self::RS256 | Self::PS256 | Self::ES256)
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl KeyFamily {
    /// The `kty` of its JWKs (RFC 7518 section 6.1, RFC 8037 section 2), or `secret`.
    pub const fn kty(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::P256 | Self::P384 | Self::P521 => "EC",
            Self::Ed25519 => "OKP",
            Self::Hmac => "secret",
        }
    }

    /// The `crv` of its JWKs, if they have one.
    pub const fn crv(self) -> Option<&'static str> {
        match self {
            Self::P256 => Some("P-256"),
            Self::P384 => Some("P-384"),
            Self::P521 => Some("P-521"),
            Self::Ed25519 => Some("Ed25519"),
            Self::Rsa | Self::Hmac => None,
        }
    }

    /// The algorithms that a key of this family can verify.
    pub fn algorithms(self) -> AlgorithmSet {
        Algorithm::ALL.into_iter().filter(|algorithm| algorithm.family() == self).collect()
    }
}

/// A set of algorithms: an allow-list, or those that one key may verify.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct AlgorithmSet(u16);

impl AlgorithmSet {
    /// Every algorithm that a public key can verify: the default allow-list.
    pub fn asymmetric() -> Self {
        Algorithm::ASYMMETRIC.into_iter().collect()
    }

    /// Whether the set contains `algorithm`.
    pub const fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & algorithm.bit() != 0
    }

    /// The algorithms in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The algorithms in the set, in the order of RFC 7518.
    pub fn iter(self) -> impl Iterator<Item = Algorithm> + Clone {
        Algorithm::ALL.into_iter().filter(move |algorithm| self.contains(*algorithm))
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        Self(algorithms.into_iter().fold(0, |set, algorithm| set | algorithm.bit()))
    }
}

impl fmt::Debug for AlgorithmSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_are_case_sensitive() {
        for algorithm in AlgorithmSet::asymmetric().iter().chain([Algorithm::HS256]) {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::from_name(&algorithm.name().to_lowercase()), None);
        }
        for name in ["none", "None", "NONE", "", "RS256 ", "ES256K", "Ed448", "ed25519", "HS384", "HS512"] {
            assert_eq!(Algorithm::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn default_allow_list_excludes_hmac() {
        assert!(!AlgorithmSet::asymmetric().contains(Algorithm::HS256));
        assert_eq!(AlgorithmSet::asymmetric().iter().count(), 10);
    }

    #[test]
    fn families_do_not_overlap() {
        use KeyFamily::*;
        let families = [Rsa, P256, P384, P521, Ed25519, Hmac];
        let count: usize = families.iter().map(|family| family.algorithms().iter().count()).sum();
        assert_eq!(count, 11);
        assert!(P256.algorithms().intersection(P384.algorithms()).is_empty());
    }

    #[test]
    fn rfc9864_ed25519_is_eddsa() {
        assert_eq!(Algorithm::from_name("Ed25519"), Some(Algorithm::EdDSA));
        assert_eq!(Algorithm::from_name("Ed448"), None);
    }

    /// RFC 7518 section 6.1 and RFC 8037 section 2.
    #[test]
    fn families_have_the_words_of_their_keys() {
        for (algorithm, kty, crv) in [
            (Algorithm::RS256, "RSA", None),
            (Algorithm::PS512, "RSA", None),
            (Algorithm::ES256, "EC", Some("P-256")),
            (Algorithm::ES384, "EC", Some("P-384")),
            (Algorithm::EdDSA, "OKP", Some("Ed25519")),
            (Algorithm::HS256, "secret", None),
        ] {
            let family = algorithm.family();
            assert_eq!((family.kty(), family.crv()), (kty, crv), "{algorithm:?}");
            assert!(family.algorithms().contains(algorithm));
        }
    }

    #[test]
    fn sets_are_united_and_intersected() {
        let set = |algorithms: &[Algorithm]| algorithms.iter().copied().collect::<AlgorithmSet>();
        let twice = set(&[Algorithm::RS256, Algorithm::ES256, Algorithm::RS256]);
        assert!(twice.iter().eq([Algorithm::RS256, Algorithm::ES256]), "a list may repeat an algorithm");
        let (one, other) =
            (set(&[Algorithm::RS256, Algorithm::ES256]), set(&[Algorithm::ES256, Algorithm::EdDSA]));
        let both = one.intersection(other);
        assert!(both.iter().eq([Algorithm::ES256]) && !both.is_empty());
        assert!(both.intersection(set(&[Algorithm::RS256])).is_empty());
        assert!(!AlgorithmSet::asymmetric().contains(Algorithm::HS256));
    }
}
