//! The members of an X.509 certificate (RFC 5280 section 4.1) that name its key and its issuer.
//!
//! A certificate is used only for its public key. Its dates, names, usages and signature are not checked: whoever
//! wrote it into the configuration, or serves the key set, says that the key is trusted, and not the authority that
//! signed the certificate (RFC 7517 section 4.7, RFC 8725 section 3.10).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use spki::der::{Reader, Result, SliceReader, Tag, TagNumber};

use crate::digest::sha256_of_parts;

/// Slices of a certificate, each one element of DER.
#[derive(Clone, Copy, Debug)]
pub(super) struct Certificate<'c> {
    issuer: &'c [u8],
    subject: &'c [u8],
    /// See [`super::der::subject_public_key_info`].
    pub(super) public_key_info: &'c [u8],
    der: &'c [u8],
}

/// The digests by which a token or a key set may name a certificate (RFC 7515 sections 4.1.7 and 4.1.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thumbprints {
    /// `x5t`: the SHA-1 of its DER. It only selects a key, whose signature decides.
    pub sha1: Option<[u8; 20]>,
    /// `x5t#S256`: the SHA-256 of its DER.
    pub sha256: Option<[u8; 32]>,
}

impl<'c> Certificate<'c> {
    /// Reads a certificate in DER. OpenSSL's `TRUSTED CERTIFICATE` has settings after it, which are ignored.
    pub(super) fn parse(der: &'c [u8]) -> Option<Self> {
        let der = SliceReader::new(der).ok()?.tlv_bytes().ok()?;
        SliceReader::new(der)
            .ok()?
            .sequence(|certificate| {
                let signed = certificate.tlv_bytes()?;
                // The algorithm and the signature.
                certificate.tlv_bytes()?;
                certificate.tlv_bytes()?;
                let (issuer, subject, public_key_info) = SliceReader::new(signed)?.sequence(signed_part)?;
                Ok(Self { issuer, subject, public_key_info, der })
            })
            .ok()
    }

    /// The name of whom it belongs to, in DER.
    pub(super) fn subject(&self) -> &'c [u8] {
        self.subject
    }

    /// The name of the authority that issued it, in DER; `None` if it was issued by itself.
    pub(super) fn authority(&self) -> Option<&'c [u8]> {
        (self.issuer != self.subject).then_some(self.issuer)
    }

    pub(super) fn thumbprints(&self) -> Thumbprints {
        let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, self.der);
        Thumbprints { sha1: sha1.as_ref().try_into().ok(), sha256: Some(sha256_of_parts([self.der])) }
    }
}

/// Its issuer, its subject and its key.
fn signed_part<'c>(part: &mut impl Reader<'c>) -> Result<(&'c [u8], &'c [u8], &'c [u8])> {
    let version = Tag::ContextSpecific { constructed: true, number: TagNumber::N0 };
    if part.peek_tag()? == version {
        part.tlv_bytes()?;
    }
    // The serial number and the algorithm.
    part.tlv_bytes()?;
    part.tlv_bytes()?;
    let issuer = part.tlv_bytes()?;
    // The dates.
    part.tlv_bytes()?;
    let subject = part.tlv_bytes()?;
    let public_key_info = part.tlv_bytes()?;
    while !part.is_finished() {
        part.tlv_bytes()?;
    }
    Ok((issuer, subject, public_key_info))
}

impl Thumbprints {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sha1.is_none() && self.sha256.is_none()
    }

    /// Whether both name the same certificate: they have a digest in common, and none that differs.
    pub fn name_same(&self, other: &Self) -> bool {
        let sha1 = self.sha1.zip(other.sha1).map(|(own, other)| own == other);
        let sha256 = self.sha256.zip(other.sha256).map(|(own, other)| own == other);
        match (sha1, sha256) {
            (None, None) => false,
            (sha1, sha256) => sha1.unwrap_or(true) && sha256.unwrap_or(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_name_the_same_certificate_if_one_agrees_and_none_differs() {
        let of = |sha1: Option<u8>, sha256: Option<u8>| Thumbprints {
            sha1: sha1.map(|byte| [byte; 20]),
            sha256: sha256.map(|byte| [byte; 32]),
        };
        let certificate = of(Some(1), Some(2));
        for (claimed, same) in [
            (of(Some(1), Some(2)), true),
            (of(Some(1), None), true),
            (of(None, Some(2)), true),
            (of(Some(1), Some(3)), false),
            (of(Some(3), Some(2)), false),
            (of(Some(3), None), false),
            (of(None, None), false),
        ] {
            assert_eq!(certificate.name_same(&claimed), same, "{claimed:?}");
            assert_eq!(claimed.name_same(&certificate), same, "{claimed:?}");
        }
        assert!(!of(Some(1), None).name_same(&of(None, Some(2))), "nothing in common");
        assert!(of(None, None).is_empty() && !of(Some(1), None).is_empty() && !of(None, Some(1)).is_empty());
    }
}
