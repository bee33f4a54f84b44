//! Why keys could not be fetched, in words that an operator can act on.

use std::borrow::Cow;
use std::error::Error;
use std::io;

use reqwest::StatusCode;
use rustls::{CertificateError, InvalidMessage};

use crate::jose::KeySetFault;
use crate::printable;

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("timed out")]
    Timeout,
    #[error("{0}")]
    Connection(String),
    #[error("answered {0}{hint}", hint = hint(*.0))]
    Status(StatusCode),
    #[error("body is larger than maxBytes")]
    TooLarge,
    #[error("body is compressed, and not as valid gzip")]
    Compressed,
    #[error("{0}")]
    NotAKeySet(KeySetFault),
    #[error("{fault}; its jwks_uri is {uri}", fault = KeySetFault::DiscoveryDocument)]
    DiscoveryDocument { uri: Cow<'static, str> },
    #[error("no key of the set can be used: {0}")]
    NoUsableKey(String),
    #[error("discovery document: {0}")]
    Discovery(Cow<'static, str>),
    /// Fetching what the source leads to failed.
    #[error("{what}: {cause}")]
    At { what: Cow<'static, str>, cause: Box<FetchError> },
    #[error("credentials: {0}")]
    Credential(String),
    #[error("{0}")]
    File(io::Error),
}

/// What a status probably means.
fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => ": there are no keys at this path",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ": set bearerTokenFile or headers if the keys need a login; most need none and may be at another URL"
        }
        _ => "",
    }
}

/// The results of a fetch in the metrics: without an error, and [`FetchError::as_str`].
pub(super) const RESULTS: [&str; 12] = [
    "ok",
    "not_modified",
    "timeout",
    "connection",
    "status",
    "too_large",
    "compressed",
    "not_a_key_set",
    "no_usable_key",
    "discovery",
    "credential",
    "file",
];

impl FetchError {
    /// The `result` label of the metric.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection(_) => "connection",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::Compressed => "compressed",
            Self::NotAKeySet(_) | Self::DiscoveryDocument { .. } => "not_a_key_set",
            Self::NoUsableKey(_) => "no_usable_key",
            Self::Discovery(_) => "discovery",
            Self::At { cause, .. } => cause.as_str(),
            Self::Credential(_) => "credential",
            Self::File(_) => "file",
        }
    }
}

/// Takes the cause from the end of the chain of errors.
impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        // Its text contains the whole URL.
        let error = error.without_url();
        let mut cause: &(dyn Error + 'static) = &error;
        let mut found = None;
        loop {
            found = found.or_else(|| tls_cause(cause)).or_else(|| not_http(cause));
            match cause.source() {
                Some(next) => cause = next,
                None => break,
            }
        }
        let cause = found.unwrap_or_else(|| io_cause(cause));
        Self::Connection(printable::line(&cause).into_owned())
    }
}

fn io_cause(cause: &(dyn Error + 'static)) -> String {
    match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        Some(io::ErrorKind::ConnectionReset) => "connection reset".to_owned(),
        Some(io::ErrorKind::UnexpectedEof) => "connection closed in the middle".to_owned(),
        Some(io::ErrorKind::HostUnreachable) => "host unreachable".to_owned(),
        Some(io::ErrorKind::NetworkUnreachable) => "network unreachable".to_owned(),
        _ => match cause.to_string() {
            text if text.contains("failed to lookup address") => "name cannot be resolved".to_owned(),
            text => text,
        },
    }
}

/// A response that is not HTTP: a server with TLS answers a plain request with an alert.
fn not_http(error: &(dyn Error + 'static)) -> Option<String> {
    let error = error.downcast_ref::<hyper::Error>()?;
    error.is_parse().then(|| "it does not speak HTTP: is it a port for https?".to_owned())
}

/// Finds rustls' error. It is wrapped in one or more `io::Error`s whose `source` skips it.
fn tls_cause(mut error: &(dyn Error + 'static)) -> Option<String> {
    while let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        error = inner;
    }
    let error = error.downcast_ref::<rustls::Error>()?;
    Some(match error {
        rustls::Error::InvalidCertificate(fault) => match fault {
            // A bad signature means an unknown authority with the name of a known one.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "certificate signed by unknown authority: set caFile to its certificate".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "certificate is for another name".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "certificate is not valid yet".to_owned()
            }
            other => format!("certificate is not accepted: {other}"),
        },
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS: is it a port for http?".to_owned()
        }
        other => format!("TLS: {other}"),
    })
}
