//! TLS on every side: the listener, the backend, the key sources.

mod admission;
mod alpn;
mod backend_faults;
mod ends;
mod pinned;
mod reload;
mod versions;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup};
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;

type Versions = &'static [&'static SupportedProtocolVersion];

const DEADLINE: Duration = Duration::from_secs(10);

/// A CA and a certificate that it issued for localhost, as objects and as files.
struct Certificates {
    directory: TempDir,
    ca: CertificateDer<'static>,
    leaf: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Certificates {
    fn new() -> Self {
        Self::until(2100)
    }

    /// With a leaf certificate that is valid until the first day of that year.
    fn until(year: i32) -> Self {
        Self::with(&["localhost", "127.0.0.1"], year)
    }

    fn with(names: &[&str], year: i32) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key"))
            .expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut leaf = CertificateParams::new(names).expect("parameters");
        leaf.not_after = rcgen::date_time_ymd(year, 1, 1);
        let leaf = leaf.signed_by(&key, &authority).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in
            [("ca.pem", authority.pem()), ("tls.crt", leaf.pem()), ("tls.key", key.serialize_pem())]
        {
            fs::write(directory.path().join(name), text).expect("a file");
        }
        let ca = authority.der().clone();
        Self { directory, ca, leaf: leaf.der().clone(), key: key.serialize_der() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.clone()).expect("a key")
    }

    /// A TLS server that responds to the first request of every connection with this body.
    fn serve(&self, body: String) -> SocketAddr {
        self.serve_with_versions(rustls::DEFAULT_VERSIONS, body)
    }

    fn serve_with_versions(&self, versions: Versions, body: String) -> SocketAddr {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.leaf.clone()], self.private_key())
            .expect("a pair");
        serve_tls(config, body)
    }

    /// The response that a TLS client which trusts this CA gets for one request. `None` if the
    /// handshake or the connection fails.
    fn ask(&self, address: SocketAddr, with_certificate: bool, token: &str) -> Option<String> {
        let identity = with_certificate.then_some(self);
        ask_over(self.connect_with(address, identity), token)
    }

    /// The same, with the certificate of `self` and the CA of `trusted`.
    fn ask_as(&self, trusted: &Self, address: SocketAddr) -> Option<String> {
        ask_over(trusted.connect_with(address, Some(self)), &bearer(&Token::user()))
    }

    fn connect(
        &self,
        address: SocketAddr,
        with_certificate: bool,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        self.connect_with(address, with_certificate.then_some(self))
    }

    fn connect_with(
        &self,
        address: SocketAddr,
        identity: Option<&Self>,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        self.over(TcpStream::connect(address).expect("a listener"), identity)
    }

    /// TLS over an existing connection, on which other bytes may have been sent.
    fn over(&self, stream: TcpStream, identity: Option<&Self>) -> StreamOwned<ClientConnection, TcpStream> {
        self.over_with_versions(rustls::DEFAULT_VERSIONS, stream, identity)
    }

    fn over_with_versions(
        &self,
        versions: Versions,
        stream: TcpStream,
        identity: Option<&Self>,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).expect("an authority");
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let config = match identity {
            Some(own) => {
                builder.with_client_auth_cert(vec![own.leaf.clone()], own.private_key()).expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from("localhost").expect("a name");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("a client"), stream)
    }
}

/// A TLS server that responds to the first request of every connection with this body.
fn serve_tls(config: ServerConfig, body: String) -> SocketAddr {
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, body) = (config.clone(), body.clone());
            thread::spawn(move || {
                let Ok(connection) = ServerConnection::new(config) else { return };
                let mut tls = StreamOwned::new(connection, stream);
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && matches!(tls.read(&mut byte), Ok(1)) {
                    head.push(byte[0]);
                }
                let response = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                if !head.is_empty() && tls.write_all(response.as_bytes()).is_ok() {
                    tls.conn.send_close_notify();
                    let _ = tls.flush();
                }
            });
        }
    });
    address
}

fn ask_over(mut tls: StreamOwned<ClientConnection, TcpStream>, token: &str) -> Option<String> {
    let request =
        format!("GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {token}\r\n\r\n");
    tls.write_all(request.as_bytes()).ok()?;
    let mut response = String::new();
    // An end without close_notify is an error; what was received before it counts.
    let _ = tls.read_to_string(&mut response);
    (!response.is_empty()).then_some(response)
}

fn listener(certificates: &Certificates, more: &str) -> (Issuer, Upstream, Gateway) {
    let (issuer, upstream) = (Issuer::of(rsa()), Upstream::echo());
    let config = format!(
        "tls: {{certFile: {}, keyFile: {}{more}}}\nupstream: {{url: \"{}\"}}\nauthentication: {{publicKeyUrls: [\"{}\"]}}\n",
        certificates.file("tls.crt").display(),
        certificates.file("tls.key").display(),
        upstream.url(),
        issuer.url("/jwks"),
    );
    let gateway = Setup::run().config(config).start();
    gateway.wait_ready();
    (issuer, upstream, gateway)
}

#[test]
fn tls_listener_sets_x_forwarded_proto() {
    let certificates = Certificates::new();
    let (_issuer, upstream, gateway) = listener(&certificates, "");
    let response = certificates.ask(gateway.proxy, false, &bearer(&Token::user())).expect("a response");
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert_eq!(upstream.only_request().head.value("x-forwarded-proto"), Some("https"));
}

#[test]
fn proxy_protocol_header_precedes_tls() {
    let certificates = Certificates::new();
    let (_issuer, upstream, gateway) = listener(&certificates, "}\nproxyProtocol: require\nidentity: {");
    let token = bearer(&Token::user());
    assert_eq!(certificates.ask(gateway.proxy, false, &token), None);
    let mut stream = TcpStream::connect(gateway.proxy).expect("a listener");
    stream.write_all(b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n").expect("room");
    let response = ask_over(certificates.over(stream, None), &token).expect("a response");
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert_eq!(upstream.only_request().head.value("x-forwarded-for"), Some("192.0.2.7"));
}

#[test]
fn client_ca_file_requires_a_client_certificate() {
    let certificates = Certificates::new();
    let more = format!(", clientCaFile: {}", certificates.file("ca.pem").display());
    let (_issuer, upstream, gateway) = listener(&certificates, &more);
    let token = bearer(&Token::user());
    assert_eq!(certificates.ask(gateway.proxy, false, &token), None);
    assert!(upstream.requests().is_empty());
    assert!(certificates.ask(gateway.proxy, true, &token).expect("a response").starts_with("HTTP/1.1 200"));
}

#[test]
fn forward_auth_listener_uses_the_same_tls() {
    let certificates = Certificates::new();
    let authorities = certificates.file("ca.pem");
    let more = format!(
        ", clientCaFile: {}}}\nforwardAuth: {{listen: \"127.0.0.1:0\", target: request",
        authorities.display()
    );
    let (_issuer, _upstream, gateway) = listener(&certificates, &more);
    let (address, token) = (gateway.listener("forward-auth"), bearer(&Token::user()));
    assert_eq!(certificates.ask(address, false, &token), None);
    // Valid except for the missing client address, which a proxy would send.
    let response = certificates.ask(address, true, &token).expect("a response");
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
}

#[test]
fn ca_files_apply_to_the_backend_and_the_key_sources() {
    let certificates = Certificates::new();
    let backend = certificates.serve("from the backend".to_owned());
    let keys = certificates.serve(format!(r#"{{"keys":[{}]}}"#, rsa().jwk()));
    let config = |upstream_ca: &str, keys_ca: &str| {
        format!(
            "upstream: {{url: \"https://localhost:{}\"{upstream_ca}}}\nauthentication: {{publicKeyUrls: [\"https://localhost:{}/jwks\"]{keys_ca}, jwks: {{maxWait: 100ms}}}}\n",
            backend.port(),
            keys.port(),
        )
    };
    let ca = certificates.file("ca.pem").display().to_string();

    let gateway =
        Setup::run().config(config(&format!(", tls: {{caFile: {ca}}}"), &format!(", caFile: {ca}"))).start();
    gateway.wait_ready();
    let response = gateway.get_as(&Token::user(), "/x");
    assert_eq!((response.status, response.text()), (200, "from the backend".to_owned()));

    let gateway = Setup::run().config(config("", &format!(", caFile: {ca}"))).start();
    gateway.wait_ready();
    assert_eq!(gateway.get_as(&Token::user(), "/x").status, 502);

    let gateway = Setup::run().config(config("", "")).start();
    assert_eq!(gateway.get_as(&Token::user(), "/x").status, 503);
    let unknown = |line: &String| line.contains("certificate signed by unknown authority");
    // The response may arrive before the log line.
    eventually("the cause in the log", || gateway.stderr().iter().any(unknown).then_some(()));
}

#[test]
fn mismatched_certificate_and_key_are_a_startup_error() {
    let (one, other) = (Certificates::new(), Certificates::new());
    let start = |certificate: &Path, key: &Path| {
        let text = format!(
            "tls: {{certFile: {}, keyFile: {}}}\nupstream: {{url: \"http://127.0.0.1:1\"}}\nauthentication: {{publicKeyUrls: [\"http://127.0.0.1:1/jwks\"]}}\n",
            certificate.display(),
            key.display(),
        );
        Setup::run().config(text).finish()
    };
    for (certificate, key) in [
        (one.file("tls.crt"), other.file("tls.key")),
        (one.file("tls.crt"), one.file("ca.pem")),
        (one.file("missing"), one.file("tls.key")),
    ] {
        let finished = start(&certificate, &key);
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        assert!(
            finished.stderr.contains("tls.crt")
                || finished.stderr.contains("ca.pem")
                || finished.stderr.contains("missing"),
            "{}",
            finished.stderr
        );
    }
}
