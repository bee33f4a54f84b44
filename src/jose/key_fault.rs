//! Why a key is not used.

/// Why an entry of a key set is not used. The other entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KeyFault {
    #[error("not a JSON object, or a member has the wrong type")]
    Malformed,
    #[error("damaged, or no public key and no certificate: was it cut off when it was copied?")]
    Damaged,
    #[error("key type (kty) is not RSA, EC or OKP")]
    UnknownType,
    #[error("curve (crv) is not P-256, P-384, P-521 or Ed25519")]
    UnknownCurve,
    #[error("alg is not a signature algorithm that is supported here, or not one of this key type")]
    UnsupportedAlgorithm,
    #[error("use is not sig")]
    NotForSignatures,
    #[error("key_ops does not contain verify")]
    NotForVerification,
    #[error("a symmetric key in a public key set")]
    Symmetric,
    #[error(
        "holds private key members: whoever can read them can sign tokens, so the issuer has to replace the key"
    )]
    Private,
    #[error("the certificate in x5c has another key than the other members (RFC 7517 section 4.7)")]
    CertificateMismatch,
    #[error(
        "the certificate of an authority that issued another one here: it signs certificates, not tokens"
    )]
    Authority,
    #[error("the set has more keys than jwks.maxKeys: this one and all after it are left out")]
    BeyondLimit,
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
            Self::Damaged => "damaged",
            Self::UnknownType => "unknown_kty",
            Self::UnknownCurve => "unknown_crv",
            Self::UnsupportedAlgorithm => "unsupported_alg",
            Self::NotForSignatures => "use_not_sig",
            Self::NotForVerification => "key_ops_without_verify",
            Self::Symmetric => "symmetric",
            Self::Private => "private",
            Self::CertificateMismatch => "x5c_mismatch",
            Self::Authority => "authority",
            Self::BeyondLimit => "beyond_max_keys",
            Self::RsaTooShort => "rsa_too_short",
            Self::RsaTooLong => "rsa_too_long",
            Self::RsaUnsound => "rsa_unsound",
            Self::PointNotOnCurve => "point_not_on_curve",
            Self::SmallOrder => "small_order",
            Self::DuplicateKeyId => "duplicate_kid",
        }
    }
}
