//! Public keys in PEM files (RFC 7468 section 13): `PUBLIC KEY` (SubjectPublicKeyInfo) and
//! `RSA PUBLIC KEY` (RFC 8017 appendix A.1.1).

use spki::der::asn1::UintRef;
use spki::der::{Decode as _, Reader as _, SliceReader};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::public_key::PublicKey;
use super::{KeyFamily, KeyFault, VerificationKey};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The key of each PEM block of `text`, in order; `None` if there is no PEM block.
pub(super) fn keys(text: &str) -> Option<Vec<Result<VerificationKey, KeyFault>>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let Some((label, body)) = after.split_once("-----") else {
            found.push(Err(KeyFault::Malformed));
            break;
        };
        let Some((body, after)) = body.split_once(&format!("-----END {label}-----")) else {
            found.push(Err(KeyFault::Malformed));
            break;
        };
        found.push(key(label, body).map(VerificationKey::for_any_kid));
        rest = after;
    }
    (!found.is_empty()).then_some(found)
}

fn key(label: &str, body: &str) -> Result<VerificationKey, KeyFault> {
    let base64: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(base64).map_err(|_| KeyFault::Malformed)?;
    let key = match label {
        "PUBLIC KEY" => subject_public_key_info(&der)?,
        "RSA PUBLIC KEY" => rsa_public_key(&der)?,
        "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => return Err(KeyFault::Certificate),
        label if label.contains("PRIVATE KEY") => return Err(KeyFault::Private),
        _ => return Err(KeyFault::UnknownType),
    };
    VerificationKey::from_public(&key, key.family.algorithms())
}

fn subject_public_key_info(der: &[u8]) -> Result<PublicKey, KeyFault> {
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyFault::Malformed)?;
    let bits = info.subject_public_key.as_bytes().ok_or(KeyFault::Malformed)?;
    if info.algorithm.oid == RSA_ENCRYPTION {
        rsa_public_key(bits)
    } else if info.algorithm.oid == ED25519 {
        PublicKey::ed25519(bits)
    } else if info.algorithm.oid == EC_PUBLIC_KEY {
        match info.algorithm.parameters_oid() {
            Ok(P256) => PublicKey::elliptic(KeyFamily::P256, bits),
            Ok(P384) => PublicKey::elliptic(KeyFamily::P384, bits),
            _ => Err(KeyFault::UnknownCurve),
        }
    } else {
        Err(KeyFault::UnknownType)
    }
}

fn rsa_public_key(der: &[u8]) -> Result<PublicKey, KeyFault> {
    let read = |der| -> spki::der::Result<(Vec<u8>, Vec<u8>)> {
        let mut reader = SliceReader::new(der)?;
        let numbers = reader.sequence(|sequence| {
            let n = UintRef::decode(sequence)?.as_bytes().to_vec();
            let e = UintRef::decode(sequence)?.as_bytes().to_vec();
            Ok((n, e))
        })?;
        reader.finish(numbers)
    };
    let (n, e) = read(der).map_err(|_| KeyFault::Malformed)?;
    PublicKey::rsa(&n, &e)
}
