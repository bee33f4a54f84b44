//! Public keys in DER: SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), `RSAPublicKey` (RFC 8017 appendix A.1.1) and the
//! key of a certificate.

use spki::der::asn1::UintRef;
use spki::der::{Decode as _, Reader as _, SliceReader, Tag};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::certificate::{Certificate, Thumbprints};
use super::public_key::PublicKey;
use super::{KeyFamily, KeyFault};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A key, and the thumbprints of its certificate if it has one.
pub(super) type Certified = (PublicKey, Thumbprints);

/// The key of a file in DER, whatever its form.
pub(super) fn any_form(der: &[u8]) -> Result<Certified, KeyFault> {
    let (first, second) = first_tags(der).ok_or(KeyFault::Damaged)?;
    match (first, second) {
        (Tag::Sequence, Tag::BitString) => Ok((subject_public_key_info(der)?, Thumbprints::default())),
        (Tag::Sequence, Tag::Sequence) => certificate(&Certificate::parse(der).ok_or(KeyFault::Damaged)?),
        // PKCS #8 with a passphrase (RFC 5958 section 3).
        (Tag::Sequence, Tag::OctetString) => Err(KeyFault::Private),
        // A modulus is long. A short number is the version of a private key: PKCS #8, PKCS #1 or SEC 1.
        (Tag::Integer, _) if is_short(der) => Err(KeyFault::Private),
        (Tag::Integer, Tag::Integer) => Ok((rsa_public_key(der)?, Thumbprints::default())),
        _ => Err(KeyFault::Damaged),
    }
}

/// The key of a certificate, with the certificate's thumbprints.
pub(super) fn certificate(certificate: &Certificate<'_>) -> Result<Certified, KeyFault> {
    Ok((subject_public_key_info(certificate.public_key_info)?, certificate.thumbprints()))
}

pub(super) fn subject_public_key_info(der: &[u8]) -> Result<PublicKey, KeyFault> {
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyFault::Damaged)?;
    let bits = info.subject_public_key.as_bytes().ok_or(KeyFault::Damaged)?;
    if info.algorithm.oid == RSA_ENCRYPTION {
        rsa_public_key(bits)
    } else if info.algorithm.oid == ED25519 {
        PublicKey::ed25519(bits)
    } else if info.algorithm.oid == EC_PUBLIC_KEY {
        match info.algorithm.parameters_oid() {
            Ok(P256) => PublicKey::elliptic(KeyFamily::P256, bits),
            Ok(P384) => PublicKey::elliptic(KeyFamily::P384, bits),
            Ok(P521) => PublicKey::elliptic(KeyFamily::P521, bits),
            _ => Err(KeyFault::UnknownCurve),
        }
    } else {
        Err(KeyFault::UnknownType)
    }
}

pub(super) fn rsa_public_key(der: &[u8]) -> Result<PublicKey, KeyFault> {
    let read = |der| -> spki::der::Result<(Vec<u8>, Vec<u8>)> {
        let mut reader = SliceReader::new(der)?;
        let numbers = reader.sequence(|sequence| {
            let n = UintRef::decode(sequence)?.as_bytes().to_vec();
            let e = UintRef::decode(sequence)?.as_bytes().to_vec();
            Ok((n, e))
        })?;
        reader.finish(numbers)
    };
    let (n, e) = read(der).map_err(|_| KeyFault::Damaged)?;
    PublicKey::rsa(&n, &e)
}

/// The tags of the first two elements of a SEQUENCE.
fn first_tags(der: &[u8]) -> Option<(Tag, Tag)> {
    let tags = SliceReader::new(der).ok()?.sequence(|elements| {
        let first = elements.peek_tag()?;
        elements.tlv_bytes()?;
        let second = elements.peek_tag()?;
        while !elements.is_finished() {
            elements.tlv_bytes()?;
        }
        Ok((first, second))
    });
    tags.ok()
}

/// Whether the first number of a SEQUENCE has one byte.
fn is_short(der: &[u8]) -> bool {
    let first = SliceReader::new(der).ok().and_then(|mut reader| {
        reader
            .sequence(|elements| {
                let length = elements.tlv_bytes()?.len();
                while !elements.is_finished() {
                    elements.tlv_bytes()?;
                }
                Ok(length)
            })
            .ok()
    });
    first.is_some_and(|length| length <= 3)
}
