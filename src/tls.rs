//! TLS configuration for rustls: one crypto provider (aws-lc-rs), TLS 1.2 and 1.3.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;

use crate::config::{ClientAuth, ClientTls, ServerTls, TlsVersion};

mod certificate;
mod files;
mod pinned;

use certificate::{Certificate, Purpose};
use files::{certificates, private_key};
use pinned::PinnedVerifier;

/// What is wrong with a file, and with which.
#[derive(Debug)]
pub struct TlsError {
    /// What the file is used for.
    pub role: Role,
    path: PathBuf,
    fault: Fault,
}

/// What a file is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A certificate chain.
    Certificate,
    /// The private key of a certificate.
    Key,
    /// The authorities that are trusted.
    Authorities,
    /// No file: the URL of the peer.
    Url,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("is not valid PEM: {0}")]
    Pem(rustls_pki_types::pem::Error),
    #[error("holds no certificate: neither PEM (-----BEGIN CERTIFICATE-----) nor DER")]
    NoCertificate,
    #[error("holds a block that is not a certificate")]
    NotACertificate,
    #[error("holds a TRUSTED CERTIFICATE whose owner does not trust it for this purpose")]
    NotTrustedFor,
    #[error("holds no private key: neither PEM (-----BEGIN PRIVATE KEY-----) nor DER")]
    NoKey,
    #[error("holds an encrypted private key; write it without a passphrase: openssl pkey -in FILE -out NEW")]
    EncryptedKey,
    #[error("is not the key of the certificate in {}", .0.display())]
    NotItsKey(PathBuf),
    #[error("{0}")]
    Rejected(rustls::Error),
    #[error("the certificate expired at {}", humantime::format_rfc3339_seconds(*.0))]
    Ended(SystemTime),
    #[error("client certificates: {0}")]
    ClientVerifier(rustls::server::VerifierBuilderError),
    #[error("its host cannot be the name in a certificate")]
    NotAName,
}

impl TlsError {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is no such file.
    pub fn is_absent(&self) -> bool {
        matches!(&self.fault, Fault::Read(error) if error.kind() == io::ErrorKind::NotFound)
    }

    fn new(role: Role, path: &Path, fault: Fault) -> Self {
        Self { role, path: path.to_owned(), fault }
    }

    /// A certificate that has ended.
    pub fn ended(path: &Path, end: SystemTime) -> Self {
        Self::new(Role::Certificate, path, Fault::Ended(end))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Rejected(_) | Fault::Ended(_) | Fault::ClientVerifier(_) => {
                write!(f, "{}: {}", self.path.display(), self.fault)
            }
            _ => write!(f, "{} {}", self.path.display(), self.fault),
        }
    }
}

impl std::error::Error for TlsError {}

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
    let rejected = |error| rejected(&files.cert_file, &files.key_file, error);
    let chain = certificates(&files.cert_file, Role::Certificate, Purpose::Server)?;
    // rustls does not check it for a server's own certificate.
    let not_after = chain.first().and_then(|leaf| Certificate::parse(leaf)?.end());
    let key = private_key(&files.key_file)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(files.min_version))
        .map_err(rejected)?;
    let builder = match &files.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            add_authorities(&mut roots, path, Purpose::Client)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            let verifier = match files.client_auth {
                ClientAuth::Required => verifier,
                ClientAuth::Optional => verifier.allow_unauthenticated(),
            };
            let failed = |error| TlsError::new(Role::Authorities, path, Fault::ClientVerifier(error));
            builder.with_client_cert_verifier(verifier.build().map_err(failed)?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(rejected)?;
    config.alpn_protocols = vec![HTTP1.to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, HTTP2.to_vec());
    }
    Ok(ListenerTls { config: Arc::new(config), not_after })
}

/// Everything that is wrong with the files of a listener.
pub fn server_faults(files: &ServerTls) -> Vec<TlsError> {
    let authorities = files.client_ca_file.iter().map(|path| (path, Role::Authorities, Purpose::Client));
    let certificates =
        [(&files.cert_file, Role::Certificate, Purpose::Server)].into_iter().chain(authorities);
    faults(certificates, Some(&files.key_file), || server_config(files, true).err())
}

/// Everything that is wrong with the files for outgoing requests.
pub fn client_faults(files: &ClientTls) -> Vec<TlsError> {
    let authorities = files.ca_file.iter().map(|path| (path, Role::Authorities, Purpose::Server));
    let chain = files.identity.iter().map(|(chain, _)| (chain, Role::Certificate, Purpose::Client));
    let key = files.identity.as_ref().map(|(_, key)| key);
    faults(authorities.chain(chain), key, || client_config(files).err())
}

/// The faults of each file, or else of all together.
fn faults<'f>(
    holding_certificates: impl Iterator<Item = (&'f PathBuf, Role, Purpose)>,
    key: Option<&PathBuf>,
    together: impl FnOnce() -> Option<TlsError>,
) -> Vec<TlsError> {
    let read = |(path, role, purpose): (&PathBuf, _, _)| certificates(path, role, purpose).err();
    let mut found: Vec<_> = holding_certificates.filter_map(read).collect();
    found.extend(key.and_then(|key| private_key(key).err()));
    if found.is_empty() {
        found.extend(together());
    }
    found
}

/// When the certificate of a file ends: that of a chain's owner, or the last of the authorities. `None` if that cannot be
/// read.
pub fn end(path: &Path, role: Role) -> Option<SystemTime> {
    // Which purpose an authority is trusted for was checked before.
    let found = certificates(path, role, Purpose::Server).ok()?;
    let end = |certificate: &CertificateDer<'_>| Certificate::parse(certificate)?.end();
    match role {
        Role::Authorities => found.iter().filter_map(end).max(),
        _ => found.first().and_then(end),
    }
}

/// The TLS configuration of outgoing requests. It trusts the platform's authorities and those of `files`, and a server
/// whose own certificate is in `files` (see [`pinned`]).
pub fn client_config(files: &ClientTls) -> Result<ClientConfig, TlsError> {
    let mut roots = platform_roots().clone();
    let pinned = match &files.ca_file {
        Some(path) => add_authorities(&mut roots, path, Purpose::Server)?,
        None => Vec::new(),
    };
    let authorities = files.ca_file.as_deref().unwrap_or(Path::new(""));
    let failed = |fault| TlsError::new(Role::Authorities, authorities, fault);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(files.min_version))
        .map_err(|error| failed(Fault::Rejected(error)))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| failed(Fault::ClientVerifier(error)))?;
    let builder = if pinned.is_empty() {
        builder.with_webpki_verifier(verifier)
    } else {
        let algorithms = provider().signature_verification_algorithms;
        let verifier = Arc::new(PinnedVerifier::new(verifier, pinned, algorithms));
        builder.dangerous().with_custom_certificate_verifier(verifier)
    };
    match &files.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder
            .with_client_auth_cert(
                certificates(chain, Role::Certificate, Purpose::Client)?,
                private_key(key)?,
            )
            .map_err(|error| rejected(chain, key, error)),
    }
}

/// rustls does not take a certificate with its key.
fn rejected(certificate: &Path, key: &Path, error: rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::new(Role::Key, key, Fault::NotItsKey(certificate.to_owned()))
        }
        error => TlsError::new(Role::Certificate, certificate, Fault::Rejected(error)),
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

/// Adds the certificates of a file, and returns them.
fn add_authorities(
    roots: &mut RootCertStore,
    path: &Path,
    purpose: Purpose,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = certificates(path, Role::Authorities, purpose)?;
    for certificate in &found {
        let rejected = |error| TlsError::new(Role::Authorities, path, Fault::Rejected(error));
        roots.add(certificate.clone()).map_err(rejected)?;
    }
    Ok(found)
}

/// Installs aws-lc-rs as the process-wide crypto provider. A second call changes nothing.
pub fn install_crypto_provider() {
    // Both return `Err` if a provider is already installed, which is fine.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}

/// The name that a server's certificate has to match.
pub fn server_name(url: &url::Url) -> Result<rustls_pki_types::ServerName<'static>, TlsError> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    rustls_pki_types::ServerName::try_from(host.to_owned())
        .map_err(|_| TlsError::new(Role::Url, Path::new(url.as_str()), Fault::NotAName))
}

#[cfg(test)]
mod tests;
