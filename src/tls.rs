//! TLS configuration for rustls: one crypto provider (aws-lc-rs), TLS 1.2 and 1.3.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{ClientAuth, ClientTls, ServerTls, TlsVersion};

/// What is wrong with certificate files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: {cause}", path = .0.display(), cause = .1)]
    File(PathBuf, rustls_pki_types::pem::Error),
    #[error("{} holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error("{path}: {cause}", path = .0.display(), cause = .1)]
    Rejected(PathBuf, rustls::Error),
    #[error("{path}: the certificate expired at {end}", path = .0.display(), end = humantime::format_rfc3339_seconds(*.1))]
    Ended(PathBuf, SystemTime),
    #[error("client certificates: {0}")]
    ClientVerifier(rustls::server::VerifierBuilderError),
}

/// The names of the protocols in ALPN (RFC 7301).
pub const HTTP1: &[u8] = b"http/1.1";
/// HTTP/2 (RFC 9113 section 3.2).
pub const HTTP2: &[u8] = b"h2";

/// The TLS configuration of a listener.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    /// ALPN offers HTTP/1.1 and, if it is on, prefers HTTP/2.
    pub config: Arc<ServerConfig>,
    /// When the certificate expires.
    pub not_after: Option<SystemTime>,
}

/// Reads a listener's certificate, key and client authorities.
pub fn server_config(files: &ServerTls, http2: bool) -> Result<ListenerTls, TlsError> {
    let chain = certificates(&files.cert_file)?;
    let not_after = chain.first().and_then(not_after);
    let key = private_key(&files.key_file)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(files.min_version))
        .map_err(|error| TlsError::Rejected(files.cert_file.clone(), error))?;
    let builder = match &files.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            add_authorities(&mut roots, path)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            let verifier = match files.client_auth {
                ClientAuth::Required => verifier,
                ClientAuth::Optional => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(TlsError::ClientVerifier)?)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| TlsError::Rejected(files.cert_file.clone(), error))?;
    config.alpn_protocols = vec![HTTP1.to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, HTTP2.to_vec());
    }
    Ok(ListenerTls { config: Arc::new(config), not_after })
}

/// `notAfter` of a certificate (RFC 5280 section 4.1.2.5). rustls does not check it for a server's own certificate.
fn not_after(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    use spki::der::asn1::{AnyRef, GeneralizedTime, UtcTime};
    use spki::der::{Decode as _, Reader, Result, SliceReader, Tag};
    // Every element has to be read to its end: the reader returns an error if bytes are left over.
    fn skip<'r>(reader: &mut impl Reader<'r>) -> Result<()> {
        AnyRef::decode(reader).map(drop)
    }
    fn time<'r>(reader: &mut impl Reader<'r>) -> Result<Duration> {
        match reader.peek_header()?.tag {
            Tag::UtcTime => UtcTime::decode(reader).map(|time| time.to_unix_duration()),
            _ => GeneralizedTime::decode(reader).map(|time| time.to_unix_duration()),
        }
    }
    let end = SliceReader::new(certificate).ok()?.sequence(|certificate| {
        let end = certificate.sequence(|signed| {
            if signed.peek_header()?.tag.is_context_specific() {
                // The version.
                skip(signed)?;
            }
            // Serial number, signature, issuer.
            (0..3).try_for_each(|_| skip(signed))?;
            let end = signed.sequence(|validity| {
                time(validity)?;
                time(validity)
            })?;
            while !signed.is_finished() {
                skip(signed)?;
            }
            Ok(end)
        })?;
        while !certificate.is_finished() {
            skip(certificate)?;
        }
        Ok(end)
    });
    SystemTime::UNIX_EPOCH.checked_add(end.ok()?)
}

/// The TLS configuration of outgoing requests. It trusts the platform's authorities and those of `files`.
pub fn client_config(files: &ClientTls) -> Result<ClientConfig, TlsError> {
    let mut roots = platform_roots().clone();
    if let Some(path) = &files.ca_file {
        add_authorities(&mut roots, path)?;
    }
    let rejected = |error| TlsError::Rejected(files.ca_file.clone().unwrap_or_default(), error);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(files.min_version))
        .map_err(rejected)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(TlsError::ClientVerifier)?;
    let builder = builder.with_webpki_verifier(verifier);
    match &files.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder
            .with_client_auth_cert(certificates(chain)?, private_key(key)?)
            .map_err(|error| TlsError::Rejected(chain.clone(), error)),
    }
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_1_2: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    static FROM_1_3: [&SupportedProtocolVersion; 1] = [&TLS13];
    match min {
        TlsVersion::V12 => &FROM_1_2,
        TlsVersion::V13 => &FROM_1_3,
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())).clone()
}

/// The platform's authorities, or Mozilla's if it has none (an image from scratch). They are read once, when the first
/// TLS client is made, because reading them would take most of the time of a start.
fn platform_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "a platform certificate was not read");
        }
        let (added, ignored) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::info!(ignored, "no certificate authorities on this platform: using the built-in ones");
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        roots
    })
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::Rejected(path.to_owned(), error))?;
    }
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| TlsError::File(path.to_owned(), error);
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if chain.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::File(path.to_owned(), error))
}

/// Installs aws-lc-rs as the process-wide crypto provider. A second call changes nothing.
pub fn install_crypto_provider() {
    // Both return `Err` if a provider is already installed, which is fine.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}

/// The name that a server's certificate has to match.
pub fn server_name(host: &str) -> io::Result<rustls_pki_types::ServerName<'static>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    rustls_pki_types::ServerName::try_from(host.to_owned())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a server name"))
}
