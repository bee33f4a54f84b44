//! Why the backend cannot be reached, in words that an operator can act on: what failed, and what to write instead.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rustls::{AlertDescription, CertificateError, InvalidMessage};

use crate::printable;

/// The longest text of another program in a cause, in characters.
const MAX_FOREIGN: usize = 200;
/// How many names of a certificate are listed.
const MAX_NAMES: usize = 3;
/// The end of the year 9999: later times cannot be written as RFC 3339.
const LAST_SECOND: u64 = 253_402_300_799;

/// Why a connection to the backend could not be opened.
#[derive(Debug)]
pub(super) struct OpenError {
    /// Whether it took too long.
    pub(super) is_timeout: bool,
    /// Whether it is about TLS or the protocol, so that waiting for the backend does not help.
    pub(super) is_permanent: bool,
    /// Whether there is no place for another connection.
    pub(super) is_limited: bool,
    cause: String,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl OpenError {
    /// Any failure with this cause.
    pub(super) fn new(cause: impl Into<String>) -> Self {
        Self { is_timeout: false, is_permanent: false, is_limited: false, cause: cause.into() }
    }

    /// A failure that is about TLS or the protocol.
    pub(super) fn permanent(cause: impl Into<String>) -> Self {
        Self { is_permanent: true, ..Self::new(cause) }
    }

    /// There was no `what` to the backend within `upstream.connectTimeout`.
    pub(super) fn timeout(what: &str, peer: &Peer<'_>, limit: Duration) -> Self {
        let limit = humantime::format_duration(limit);
        let cause = format!("no {what} with {peer} within {limit} (upstream.connectTimeout)");
        Self { is_timeout: true, ..Self::new(cause) }
    }

    /// No connection became free.
    pub(super) fn limited(waited: Duration) -> Self {
        let waited = humantime::format_duration(waited);
        let cause = format!(
            "there are upstream.maxConnections connections to the backend, and none became free within {waited}"
        );
        Self { is_limited: true, ..Self::new(cause) }
    }

    /// Adds a hint to the timeout of a TLS handshake: a plain server may wait for the end of a line.
    pub(super) fn without_handshake(self) -> Self {
        if !self.is_timeout {
            return self;
        }
        let hint = "; if the backend speaks plain HTTP on this port, write http:// in upstream.url";
        Self { cause: self.cause + hint, ..self }
    }

    /// The name of the backend has no address.
    pub(super) fn name(host: &str, error: Option<&io::Error>) -> Self {
        let text = error.map(ToString::to_string).unwrap_or_default();
        let is_temporary = ["Temporary failure", "Try again"].iter().any(|words| text.contains(words));
        Self::new(match error {
            Some(_) if is_temporary => format!("name {host} cannot be resolved: no name server answers"),
            Some(_) if !text.contains("lookup") => {
                format!("name {host} cannot be resolved: {}", foreign(&text))
            }
            _ => format!("name {host} not found"),
        })
    }

    /// An address does not accept the connection.
    pub(super) fn address(address: SocketAddr, error: &io::Error) -> Self {
        Self::new(match error.kind() {
            io::ErrorKind::ConnectionRefused => format!("connection refused by {address}"),
            io::ErrorKind::ConnectionReset => format!("connection reset by {address}"),
            io::ErrorKind::TimedOut => format!("{address} does not answer"),
            io::ErrorKind::HostUnreachable => format!("no route to the host of {address}"),
            io::ErrorKind::NetworkUnreachable => format!("no route to the network of {address}"),
            _ => format!("connection to {address}: {}", foreign(error)),
        })
    }

    /// A Unix domain socket does not accept the connection.
    pub(super) fn socket(path: &Path, error: &io::Error) -> Self {
        let path = path.display();
        Self::new(match error.kind() {
            io::ErrorKind::NotFound => format!("socket {path} does not exist"),
            io::ErrorKind::ConnectionRefused => format!("no process listens on the socket {path}"),
            _ => format!("socket {path}: {}", foreign(error)),
        })
    }

    /// The TLS handshake failed.
    pub(super) fn tls(peer: &Peer<'_>, error: &io::Error) -> Self {
        match tls_error(error) {
            Some(error) => Self::permanent(peer.tls_cause(error)),
            None => {
                Self::new(format!("{peer} closed the connection in the TLS handshake: {}", foreign(error)))
            }
        }
    }
}

/// What a cause says about the backend and about the configuration.
pub(super) struct Peer<'p> {
    /// The path of a Unix domain socket, instead of host and port.
    pub(super) socket: Option<&'p Path>,
    pub(super) host: &'p str,
    pub(super) port: u16,
    /// How many other URLs the backend has.
    pub(super) others: usize,
    /// The name that its certificate must have.
    pub(super) server_name: &'p str,
    /// Whether `upstream.tls.caFile` is set.
    pub(super) has_ca_file: bool,
    /// Whether `upstream.tls.certFile` is set.
    pub(super) has_identity: bool,
}

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket {
            Some(path) => write!(f, "the socket {}", path.display())?,
            None if self.host.contains(':') => write!(f, "[{}]:{}", self.host, self.port)?,
            None => write!(f, "{}:{}", self.host, self.port)?,
        }
        match self.others {
            0 => Ok(()),
            1 => f.write_str(" or the other URL in upstream.url"),
            others => write!(f, " or one of the {others} other URLs in upstream.url"),
        }
    }
}

impl Peer<'_> {
    /// The cause if an error of an open connection is one of TLS. With TLS 1.3, a backend refuses a client certificate,
    /// or the lack of one, after the handshake.
    pub(super) fn late_tls_cause(&self, error: &io::Error) -> Option<String> {
        tls_error(error).map(|error| self.tls_cause(error))
    }

    fn tls_cause(&self, error: &rustls::Error) -> String {
        match error {
            rustls::Error::InvalidCertificate(fault) => self.certificate_cause(fault),
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                format!(
                    "{self} does not speak TLS; if the backend speaks plain HTTP on this port, write http:// in \
                     upstream.url"
                )
            }
            rustls::Error::AlertReceived(alert) => self.alert_cause(*alert),
            rustls::Error::PeerIncompatible(_) => {
                format!(
                    "{self} and metagate have no TLS version or cipher suite in common: {}",
                    foreign(error)
                )
            }
            other => format!("TLS with {self}: {}", foreign(other)),
        }
    }

    fn certificate_cause(&self, fault: &CertificateError) -> String {
        let fix = if self.has_ca_file {
            "upstream.tls.caFile has neither its authority nor the certificate itself"
        } else {
            "set upstream.tls.caFile"
        };
        match fault {
            // A bad signature means an unknown authority with the name of a known one.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                format!(
                    "certificate of the backend is not trusted: it is signed by an unknown authority; {fix}"
                )
            }
            CertificateError::NotValidForName => {
                format!("certificate of the backend is not for the name {}", self.server_name)
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names = presented.iter().take(MAX_NAMES).map(|name| foreign(readable(name)));
                let (names, more) = (names.collect::<Vec<_>>().join(", "), presented.len() > MAX_NAMES);
                let names = if names.is_empty() { "no name".to_owned() } else { names };
                format!(
                    "certificate of the backend is not for the name {}: it is for {names}{}; write a name of the \
                     certificate in upstream.url or in upstream.tls.serverName",
                    self.server_name,
                    if more { ", ..." } else { "" },
                )
            }
            CertificateError::Expired => "certificate of the backend has expired".to_owned(),
            CertificateError::ExpiredContext { not_after, .. } => {
                format!("certificate of the backend expired at {}", date(*not_after))
            }
            CertificateError::NotValidYet => "certificate of the backend is not valid yet".to_owned(),
            CertificateError::NotValidYetContext { not_before, .. } => {
                format!("certificate of the backend is not valid before {}", date(*not_before))
            }
            other => format!("certificate of the backend is not accepted: {}; {fix}", foreign(other)),
        }
    }

    fn alert_cause(&self, alert: AlertDescription) -> String {
        let name = foreign(format!("{alert:?}"));
        match alert {
            AlertDescription::CertificateRequired if !self.has_identity => {
                format!(
                    "{self} requires a client certificate; set upstream.tls.certFile and upstream.tls.keyFile"
                )
            }
            // With TLS 1.2 a missing client certificate has no alert of its own.
            AlertDescription::HandshakeFailure | AlertDescription::BadCertificate if !self.has_identity => {
                format!(
                    "{self} refused the TLS handshake ({name}); if it requires a client certificate, set \
                     upstream.tls.certFile and upstream.tls.keyFile"
                )
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied
                if self.has_identity =>
            {
                format!("{self} does not accept the client certificate in upstream.tls.certFile ({name})")
            }
            AlertDescription::ProtocolVersion => {
                format!("{self} speaks no TLS version that upstream.tls.minVersion allows ({name})")
            }
            AlertDescription::UnrecognisedName => {
                format!("{self} has no certificate for the name {} ({name})", self.server_name)
            }
            _ => format!("{self} refused TLS with the alert {name}"),
        }
    }
}

/// Finds rustls' error. It is wrapped in one or more `io::Error`s whose `source` skips it.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let mut error: &(dyn Error + 'static) = error;
    while let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        error = inner;
    }
    error.downcast_ref()
}

/// rustls writes the names of a certificate as `DnsName("a.example")`.
fn readable(name: &str) -> &str {
    name.split_once('"').and_then(|(_, rest)| rest.strip_suffix("\")")).unwrap_or(name)
}

fn date(time: rustls_pki_types::UnixTime) -> impl fmt::Display {
    let since_epoch = Duration::from_secs(time.as_secs().min(LAST_SECOND));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since_epoch)
}

/// A text that another program chose, escaped and shortened.
pub(super) fn foreign(text: impl ToString) -> String {
    let text = text.to_string();
    let mut short: String = printable::line(&text).chars().take(MAX_FOREIGN).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Peer<'static> {
        Peer {
            socket: None,
            host: "gms",
            port: 8080,
            others: 0,
            server_name: "gms",
            has_ca_file: false,
            has_identity: false,
        }
    }

    fn with_identity() -> Peer<'static> {
        Peer { has_ca_file: true, has_identity: true, ..peer() }
    }

    #[track_caller]
    fn assert_cause(peer: &Peer<'_>, error: rustls::Error, parts: &[&str]) {
        // As tokio-rustls wraps it.
        let error = io::Error::new(io::ErrorKind::InvalidData, io::Error::other(error));
        let cause = OpenError::tls(peer, &error).to_string();
        for part in parts {
            assert!(cause.contains(part), "{part}: {cause}");
        }
        assert_eq!(peer.late_tls_cause(&error).as_deref(), Some(&*cause));
    }

    #[test]
    fn tls_faults_name_the_key_to_set() {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_cause(&peer(), unknown(), &["is not trusted", "; set upstream.tls.caFile"]);
        assert_cause(&with_identity(), unknown(), &["upstream.tls.caFile has neither"]);
        let plain = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_cause(&peer(), plain, &["gms:8080 does not speak TLS", "write http://"]);
        let required = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        assert_cause(
            &peer(),
            required.clone(),
            &["requires a client certificate", "set upstream.tls.certFile"],
        );
        let refused = rustls::Error::AlertReceived(AlertDescription::HandshakeFailure);
        assert_cause(&peer(), refused, &["HandshakeFailure", "set upstream.tls.certFile"]);
        let refused = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
        assert_cause(&with_identity(), refused, &["does not accept the client certificate", "UnknownCA"]);
        let version = rustls::Error::AlertReceived(AlertDescription::ProtocolVersion);
        assert_cause(&peer(), version, &["upstream.tls.minVersion"]);
    }

    #[test]
    fn names_and_times_of_a_certificate_are_bounded_and_escaped() {
        let presented = ["a\u{1b}[2J", "DnsName(\"b.example\")", "c", "d"].map(str::to_owned).to_vec();
        let expected = rustls_pki_types::ServerName::try_from("gms").expect("a name");
        let fault = CertificateError::NotValidForNameContext { expected, presented };
        let parts = ["not for the name gms: it is for a\\u001b[2J, b.example, c, ...;", "in upstream.url"];
        assert_cause(&peer(), rustls::Error::InvalidCertificate(fault), &parts);
        let long = CertificateError::NotValidForNameContext {
            expected: rustls_pki_types::ServerName::try_from("gms").expect("a name"),
            presented: vec!["a".repeat(1 << 16); 1000],
        };
        let error = io::Error::other(rustls::Error::InvalidCertificate(long));
        assert!(OpenError::tls(&peer(), &error).to_string().len() < 1000);
        let time = |secs| rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(secs));
        for (secs, text) in [(0, "1970-01-01T00:00:00Z"), (u64::MAX, "9999-12-31T23:59:59Z")] {
            let fault = CertificateError::ExpiredContext { time: time(0), not_after: time(secs) };
            assert_cause(&peer(), rustls::Error::InvalidCertificate(fault), &[text]);
        }
    }

    #[test]
    fn causes_name_the_address_and_the_name() {
        let address = ([127, 0, 0, 1], 8585).into();
        let refused = OpenError::address(address, &io::ErrorKind::ConnectionRefused.into());
        assert_eq!(refused.to_string(), "connection refused by 127.0.0.1:8585");
        let lookup = |text: &str| io::Error::other(format!("failed to lookup address information: {text}"));
        for (text, cause) in [
            ("Name or service not known", "name gms not found"),
            ("Name does not resolve", "name gms not found"),
            ("Temporary failure in name resolution", "name gms cannot be resolved: no name server answers"),
            ("Try again", "name gms cannot be resolved: no name server answers"),
        ] {
            assert_eq!(OpenError::name("gms", Some(&lookup(text))).to_string(), cause);
        }
        assert_eq!(OpenError::name("gms", None).to_string(), "name gms not found");
        let limit = Duration::from_secs(2);
        let late = OpenError::timeout("connection", &Peer { host: "::1", ..peer() }, limit);
        assert_eq!(late.to_string(), "no connection with [::1]:8080 within 2s (upstream.connectTimeout)");
        let missing = OpenError::socket(Path::new("/run/gms"), &io::ErrorKind::NotFound.into());
        assert_eq!(missing.to_string(), "socket /run/gms does not exist");
    }
}
