//! Which servers are trusted, by whole handshakes in memory.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, ServerConnection};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, ServerName};

use super::*;

const V1: &str = include_str!("../../tests/data/certificates/v1.pem");
const V1_KEY: &str = include_str!("../../tests/data/certificates/v1.key");
const TRUSTED: &str = include_str!("../../tests/data/certificates/trusted.pem");
const REJECTED: &str = include_str!("../../tests/data/certificates/rejected.pem");

/// A server's certificate, with the text of its file.
struct Server {
    pem: String,
    der: CertificateDer<'static>,
    key: String,
}

impl Server {
    /// As `openssl req -x509` makes it: a certificate for this common name that may issue others, and no other name.
    fn plain() -> Self {
        Self::with(|parameters| parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn with(adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "localhost");
        adjust(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), key: key.serialize_pem() }
    }

    fn v1() -> Self {
        let der = CertificateDer::from_pem_slice(V1.as_bytes()).unwrap();
        Self { pem: V1.to_owned(), der, key: V1_KEY.to_owned() }
    }

    /// Self-signed for these names.
    fn named(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Self::with(|parameters| *parameters = CertificateParams::new(names).unwrap())
    }
}

#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl ResolvesServerCert for Presents {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// The result of a handshake with `localhost`, which presents this certificate and has this key.
fn shake(
    ca_file: &[u8],
    certificate: &CertificateDer<'static>,
    key: &str,
    version: &'static SupportedProtocolVersion,
) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca");
    fs::write(&path, ca_file).unwrap();
    let files = ClientTls { ca_file: Some(path), ..ClientTls::default() };
    let client = client_config(&files).map_err(|error| error.to_string())?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();

    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let presented = CertifiedKey::new(vec![certificate.clone()], key);
    let server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Presents(Arc::new(presented))));
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();

    while client.is_handshaking() {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        server.read_tls(&mut flight.as_slice()).unwrap();
        server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        client.read_tls(&mut flight.as_slice()).unwrap();
        client.process_new_packets().map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[track_caller]
fn assert_trusted(ca_file: &[u8], server: &Server) {
    for version in [&TLS13, &TLS12] {
        assert_eq!(shake(ca_file, &server.der, &server.key, version), Ok(()), "{version:?}");
    }
}

#[track_caller]
fn assert_refused(ca_file: &[u8], server: &Server, why: &str) {
    for version in [&TLS13, &TLS12] {
        let error = shake(ca_file, &server.der, &server.key, version).unwrap_err();
        assert!(error.contains(why), "{version:?}: {why}: {error}");
    }
}

#[test]
fn a_server_is_trusted_by_its_own_certificate_in_every_form() {
    let plain = Server::plain();
    assert_trusted(plain.pem.as_bytes(), &plain);
    assert_trusted(&plain.der, &plain);
    assert_trusted(plain.pem.replace(" CERTIFICATE", " X509 CERTIFICATE").as_bytes(), &plain);
    let bundle = format!("# backends\n{}{}", Server::plain().pem, plain.pem);
    assert_trusted(bundle.as_bytes(), &plain);
    let v1 = Server::v1();
    assert_trusted(v1.pem.as_bytes(), &v1);
    assert_trusted(&v1.der, &v1);
    assert_trusted(TRUSTED.as_bytes(), &v1);
}

#[test]
fn a_certificate_that_its_owner_rejects_is_an_error() {
    assert_refused(REJECTED.as_bytes(), &Server::v1(), "does not trust it for this purpose");
}

#[test]
fn only_the_same_bytes_are_trusted() {
    let (pinned, other) = (Server::plain(), Server::plain());
    assert_refused(pinned.pem.as_bytes(), &other, "certificate");
    let v1 = Server::v1();
    assert_refused(pinned.pem.as_bytes(), &v1, "certificate");
}

#[test]
fn the_server_must_have_the_key() {
    for pinned in [Server::plain(), Server::v1()] {
        let thief = Server { key: Server::plain().key, ..pinned };
        assert_refused(thief.pem.as_bytes(), &thief, "invalid peer certificate");
    }
}

#[test]
fn validity_and_usage_of_a_pinned_certificate_count() {
    let year = rcgen::date_time_ymd;
    let expired = Server::with(|parameters| {
        (parameters.not_before, parameters.not_after) = (year(2019, 1, 1), year(2020, 1, 1));
    });
    assert_refused(expired.pem.as_bytes(), &expired, "expired");
    let future = Server::with(|parameters| parameters.not_before = year(2090, 1, 1));
    assert_refused(future.pem.as_bytes(), &future, "not valid yet");
    let usage = |usage| Server::with(|parameters| parameters.extended_key_usages = vec![usage]);
    let client = usage(ExtendedKeyUsagePurpose::ClientAuth);
    assert_refused(client.pem.as_bytes(), &client, "certificate");
    let server = usage(ExtendedKeyUsagePurpose::ServerAuth);
    assert_trusted(server.pem.as_bytes(), &server);
}

#[test]
fn names_of_a_pinned_certificate_count_if_it_has_any() {
    let fitting = Server::named(&["gms.example", "localhost"]);
    assert_trusted(fitting.pem.as_bytes(), &fitting);
    let foreign = Server::named(&["gms.example", "127.0.0.1"]);
    assert_refused(foreign.pem.as_bytes(), &foreign, "not valid for name");
}

/// A pinned certificate that may not issue others makes no other certificate valid.
#[test]
fn chains_are_verified_as_before() {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        Server { pem: leaf.pem(), der: leaf.der().clone(), key: key.serialize_pem() }
    };
    let leaf = issue("localhost");
    assert_trusted(authority.pem().as_bytes(), &leaf);
    assert_trusted(leaf.pem.as_bytes(), &leaf);
    assert_refused(leaf.pem.as_bytes(), &issue("localhost"), "certificate");
    assert_refused(authority.pem().as_bytes(), &issue("gms.example"), "not valid for name");
}

#[test]
fn damaged_certificates_are_refused_and_never_panic() {
    let der = Server::plain().der;
    for length in 0..der.len() {
        assert!(Certificate::parse(&der[..length]).is_none(), "{length}");
        assert!(certificate::Trust::split(&der[..length]).is_none(), "{length}");
    }
    for at in 0..der.len() {
        for flip in [1, 0x20, 0x80, 0xff] {
            let mut damaged = der.to_vec();
            damaged[at] ^= flip;
            let _ = Certificate::parse(&damaged).map(|certificate| certificate.public_key().is_some());
        }
    }
}

#[test]
fn files_that_hold_no_certificate_or_key_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let pair = |text: &str| {
        fs::write(&path, text).unwrap();
        let certificate = certificates(&path, Role::Authorities, Purpose::Server).unwrap_err().to_string();
        (certificate, private_key(&path).unwrap_err().to_string())
    };
    let (certificate, key) = pair("hello");
    assert!(certificate.contains("holds no certificate"), "{certificate}");
    assert!(key.contains("holds no private key"), "{key}");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(pair(encrypted).1.contains("without a passphrase"));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(pair(garbage).0.contains("not a certificate"));
    fs::remove_file(&path).unwrap();
    assert!(private_key(&path).unwrap_err().to_string().contains("cannot be read"));
}
