//! Reads certificates and private keys from files: PEM as every tool writes it, and DER.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate::{Certificate, Purpose, Trust};
use super::{Fault, Role, TlsError};

/// The largest file: more than every public authority there is.
const MAX_BYTES: u64 = 16 << 20;

/// Labels of PEM that OpenSSL also takes for a certificate.
const OTHER_LABELS: [&str; 2] = ["X509 CERTIFICATE", "TRUSTED CERTIFICATE"];
const LABEL: &str = "CERTIFICATE";

/// The certificates of a file, at least one. A `TRUSTED CERTIFICATE` must be trusted for this purpose.
pub(super) fn certificates(
    path: &Path,
    role: Role,
    purpose: Purpose,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |fault| TlsError::new(role, path, fault);
    let bytes = read(path).map_err(|error| failed(Fault::Read(error)))?;
    if is_der(&bytes) {
        return match Certificate::parse(&bytes) {
            Some(_) => Ok(vec![bytes.into()]),
            None => Err(failed(Fault::NoCertificate)),
        };
    }
    let mut found = Vec::new();
    for block in CertificateDer::pem_slice_iter(with_one_label(&bytes).as_bytes()) {
        let block = block.map_err(|error| failed(Fault::Pem(error)))?;
        // Only a TRUSTED CERTIFICATE has more than the certificate itself.
        let Some((certificate, trust)) = Trust::split(&block) else {
            return Err(failed(Fault::NotACertificate));
        };
        if !trust.permits(purpose) {
            return Err(failed(Fault::NotTrustedFor));
        }
        found.push(CertificateDer::from(certificate.to_vec()));
    }
    if found.is_empty() { Err(failed(Fault::NoCertificate)) } else { Ok(found) }
}

/// The private key of a file.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let failed = |fault| TlsError::new(Role::Key, path, fault);
    let bytes = read(path).map_err(|error| failed(Fault::Read(error)))?;
    if is_der(&bytes) {
        return PrivateKeyDer::try_from(bytes).map_err(|_| failed(Fault::NoKey));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        failed(match error {
            _ if is_encrypted(&bytes) => Fault::EncryptedKey,
            rustls_pki_types::pem::Error::NoItemsFound => Fault::NoKey,
            error => Fault::Pem(error),
        })
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB"));
    }
    Ok(bytes)
}

/// Whether a file begins like a SEQUENCE of DER and is not PEM, before which any text may be.
fn is_der(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30) && !contains(bytes, "-----BEGIN ")
}

fn is_encrypted(bytes: &[u8]) -> bool {
    ["ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"].iter().any(|mark| contains(bytes, mark))
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// The text with the one label for certificates that rustls reads.
fn with_one_label(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    OTHER_LABELS.iter().fold(text.into_owned(), |text, other| {
        ["BEGIN", "END"].iter().fold(text, |text, end| {
            text.replace(&format!("-----{end} {other}-----"), &format!("-----{end} {LABEL}-----"))
        })
    })
}
