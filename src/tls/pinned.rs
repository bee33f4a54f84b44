//! Trusts a server whose own certificate is in the file of authorities, for example one that
//! `openssl req -x509` made. `curl --cacert` does the same.
//!
//! 1. Every certificate is verified as usual first. If that succeeds, nothing else counts.
//! 2. Otherwise the server's certificate must be one of the file, byte for byte.
//! 3. It must be valid at this time, be permitted for servers if it has an `extendedKeyUsage`, and be for the name of
//!    the server if it has a `subjectAltName`. Without one, the file says which server it is.
//! 4. The server proves in the handshake that it has the private key, with the algorithms that are accepted of every
//!    server.
//!
//! Nothing else of a pinned certificate counts, neither its version nor whether it may issue others. It does not make
//! any other certificate valid.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};

use super::certificate::{Certificate, Purpose};

/// Verifies servers by their authorities, or by their certificate.
#[derive(Debug)]
pub(super) struct PinnedVerifier {
    /// By the authorities.
    usual: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedVerifier {
    pub(super) fn new(
        usual: Arc<WebPkiServerVerifier>,
        pinned: Vec<CertificateDer<'static>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self { usual, pinned, algorithms }
    }

    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        self.pinned.iter().any(|pinned| pinned == certificate)
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let usual = self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match usual {
            Err(_) if self.is_pinned(end_entity) => verify_pinned(end_entity, server_name, now),
            usual => usual,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.is_pinned(certificate) {
            return self.usual.verify_tls12_signature(message, certificate, signed);
        }
        let parsed = parsed(certificate)?;
        let (algorithm, key) = parsed.public_key().ok_or(CertificateError::BadEncoding)?;
        let scheme = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let fitting = scheme.into_iter().flat_map(|(_, algorithms)| *algorithms);
        let is_valid = fitting
            .filter(|fitting| fitting.public_key_alg_id().as_ref() == algorithm)
            .any(|fitting| fitting.verify_signature(key, message, signed.signature()).is_ok());
        if is_valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.is_pinned(certificate) {
            return self.usual.verify_tls13_signature(message, certificate, signed);
        }
        let parsed = parsed(certificate)?;
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key_info);
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// Step 3 above.
fn verify_pinned(
    certificate: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let parsed = parsed(certificate)?;
    let time = UnixTime::since_unix_epoch;
    if now.as_secs() < parsed.not_before.as_secs() {
        let not_before = time(parsed.not_before);
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if now.as_secs() > parsed.not_after.as_secs() {
        let not_after = time(parsed.not_after);
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    if !parsed.permits(Purpose::Server) {
        return Err(CertificateError::InvalidPurpose.into());
    }
    if parsed.has_names {
        verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)?;
    }
    Ok(ServerCertVerified::assertion())
}

fn parsed<'c>(certificate: &'c CertificateDer<'_>) -> Result<Certificate<'c>, Error> {
    Certificate::parse(certificate).ok_or_else(|| CertificateError::BadEncoding.into())
}
