//! The few members of a certificate (RFC 5280 section 4.1) that rustls does not show.

use std::time::{Duration, SystemTime};

use spki::der::asn1::{AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier, OctetStringRef, UtcTime};
use spki::der::{Decode as _, Reader, Result, SliceReader, Tag, TagNumber, Tagged as _};

/// What the holder of a certificate uses it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Server,
    Client,
}

const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

impl Purpose {
    /// Whether one of these usages (RFC 5280 section 4.2.1.12) is this purpose.
    fn is_in(self, usages: &[ObjectIdentifier]) -> bool {
        let own = match self {
            Self::Server => SERVER_AUTH,
            Self::Client => CLIENT_AUTH,
        };
        usages.iter().any(|usage| *usage == own || *usage == ANY_USAGE)
    }
}

/// A certificate of any version, as far as it is needed here. Nothing about it is verified.
#[derive(Debug)]
pub(super) struct Certificate<'c> {
    /// Both since the epoch, inclusive.
    pub(super) not_before: Duration,
    pub(super) not_after: Duration,
    /// The key with its algorithm, in DER.
    pub(super) public_key_info: &'c [u8],
    /// Whether it lists names in a `subjectAltName`.
    pub(super) has_names: bool,
    /// What it may be used for, if it says so.
    usages: Option<Vec<ObjectIdentifier>>,
}

impl<'c> Certificate<'c> {
    /// Reads a certificate in DER.
    pub(super) fn parse(der: &'c [u8]) -> Option<Self> {
        let mut reader = SliceReader::new(der).ok()?;
        let certificate = reader.sequence(|certificate| {
            let signed = certificate.sequence(signed_part)?;
            // The algorithm and the signature.
            skip(certificate)?;
            skip(certificate)?;
            Ok(signed)
        });
        certificate.ok().filter(|_| reader.is_finished())
    }

    /// Whether it may be used for this.
    pub(super) fn permits(&self, purpose: Purpose) -> bool {
        self.usages.as_ref().is_none_or(|usages| purpose.is_in(usages))
    }

    /// The time at which it ends.
    pub(super) fn end(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(self.not_after)
    }

    /// The algorithm of the key, without its outer header, and the bits of the key.
    pub(super) fn public_key(&self) -> Option<(&'c [u8], &'c [u8])> {
        let key = SliceReader::new(self.public_key_info).ok()?.sequence(|info| {
            let algorithm = AnyRef::decode(info)?;
            Ok((algorithm.value(), BitStringRef::decode(info)?))
        });
        let (algorithm, bits) = key.ok()?;
        Some((algorithm, bits.as_bytes()?))
    }
}

/// `TBSCertificate`.
fn signed_part<'c>(signed: &mut impl Reader<'c>) -> Result<Certificate<'c>> {
    if signed.peek_tag()?.is_context_specific() {
        // The version.
        skip(signed)?;
    }
    // Serial number, signature, issuer.
    (0..3).try_for_each(|_| skip(signed))?;
    let (not_before, not_after) = signed.sequence(|validity| Ok((time(validity)?, time(validity)?)))?;
    // The subject.
    skip(signed)?;
    let public_key_info = signed.tlv_bytes()?;
    let mut found = Certificate { not_before, not_after, public_key_info, has_names: false, usages: None };
    while !signed.is_finished() {
        let member = AnyRef::decode(signed)?;
        if matches!(member.tag(), Tag::ContextSpecific { number: TagNumber::N3, .. }) {
            SliceReader::new(member.value())?.sequence(|extensions| {
                while !extensions.is_finished() {
                    extensions.sequence(|extension| found.read_extension(extension))?;
                }
                Ok(())
            })?;
        }
    }
    Ok(found)
}

impl<'c> Certificate<'c> {
    fn read_extension(&mut self, extension: &mut impl Reader<'c>) -> Result<()> {
        let id = ObjectIdentifier::decode(extension)?;
        if extension.peek_tag()? == Tag::Boolean {
            // Whether it is critical.
            skip(extension)?;
        }
        let value = OctetStringRef::decode(extension)?.as_bytes();
        match id {
            SUBJECT_ALT_NAME => self.has_names = true,
            EXTENDED_KEY_USAGE => self.usages = Some(SliceReader::new(value)?.sequence(identifiers)?),
            _ => {}
        }
        Ok(())
    }
}

/// What follows the certificate in a `TRUSTED CERTIFICATE` of OpenSSL (`d2i_X509_AUX(3)`): for which purposes its owner
/// trusts it.
#[derive(Debug, Default)]
pub(super) struct Trust {
    trusted: Option<Vec<ObjectIdentifier>>,
    rejected: Vec<ObjectIdentifier>,
}

impl Trust {
    /// Splits such a block into the certificate and this.
    pub(super) fn split(block: &[u8]) -> Option<(&[u8], Self)> {
        let mut reader = SliceReader::new(block).ok()?;
        let certificate = reader.tlv_bytes().ok()?;
        if reader.is_finished() {
            return Some((certificate, Self::default()));
        }
        let trust = reader.sequence(|members| {
            let mut trust = Self::default();
            while !members.is_finished() {
                let member = AnyRef::decode(members)?;
                let list = || SliceReader::new(member.value()).and_then(|mut list| identifiers(&mut list));
                match member.tag() {
                    Tag::Sequence => trust.trusted = Some(list()?),
                    Tag::ContextSpecific { number: TagNumber::N0, .. } => trust.rejected = list()?,
                    _ => {}
                }
            }
            Ok(trust)
        });
        Some((certificate, trust.ok().filter(|_| reader.is_finished())?))
    }

    /// Whether its owner trusts it for this.
    pub(super) fn permits(&self, purpose: Purpose) -> bool {
        !purpose.is_in(&self.rejected) && self.trusted.as_ref().is_none_or(|trusted| purpose.is_in(trusted))
    }
}

fn identifiers<'c>(list: &mut impl Reader<'c>) -> Result<Vec<ObjectIdentifier>> {
    let mut found = Vec::new();
    while !list.is_finished() {
        found.push(ObjectIdentifier::decode(list)?);
    }
    Ok(found)
}

/// Every element has to be read to its end: the reader returns an error if bytes are left over.
fn skip<'c>(reader: &mut impl Reader<'c>) -> Result<()> {
    AnyRef::decode(reader).map(drop)
}

fn time<'c>(reader: &mut impl Reader<'c>) -> Result<Duration> {
    match reader.peek_tag()? {
        Tag::UtcTime => UtcTime::decode(reader).map(|time| time.to_unix_duration()),
        _ => GeneralizedTime::decode(reader).map(|time| time.to_unix_duration()),
    }
}
