//! A self-signed certificate as `caFile`, for the backend and for a key URL, in every form that `curl --cacert` takes.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::serve_tls;
use crate::support::gateway::Setup;
use crate::support::keys::rsa;
use crate::support::token::Token;

/// The content of a `caFile`, and the certificate and key of the server.
struct Pinned {
    file: Vec<u8>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn openssl(file: &str) -> Pinned {
    let key = include_bytes!("../../data/certificates/v1.key");
    let certificate = include_bytes!("../../data/certificates/v1.pem");
    Pinned {
        file: file.as_bytes().to_vec(),
        certificate: CertificateDer::from_pem_slice(certificate).expect("a certificate"),
        key: PrivateKeyDer::from_pem_slice(key).expect("a key"),
    }
}

/// As `openssl req -x509 -subj /CN=localhost` makes it.
fn plain(der: bool) -> Pinned {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "localhost");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    Pinned {
        file: if der { certificate.der().to_vec() } else { certificate.pem().into_bytes() },
        certificate: certificate.der().clone(),
        key: PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
    }
}

fn serve(pinned: &Pinned, body: &str) -> SocketAddr {
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Presents(Arc::new(CertifiedKey::new(
            vec![pinned.certificate.clone()],
            any_supported_type(&pinned.key).expect("a key"),
        )))));
    serve_tls(config, body.to_owned())
}

/// Presents a certificate of any version. rustls checks others.
#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl ResolvesServerCert for Presents {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

#[test]
fn a_self_signed_certificate_is_trusted_by_the_backend_and_the_key_sources() {
    let keys = format!(r#"{{"keys":[{}]}}"#, rsa().jwk());
    let forms = [
        plain(false),
        plain(true),
        openssl(include_str!("../../data/certificates/v1.pem")),
        openssl(include_str!("../../data/certificates/trusted.pem")),
    ];
    let directory = tempfile::tempdir().expect("a directory");
    let other = directory.path().join("other");
    fs::write(&other, plain(false).file).expect("a file");
    for (number, pinned) in forms.iter().enumerate() {
        let (backend, source) = (serve(pinned, "from the backend"), serve(pinned, &keys));
        let path = directory.path().join(number.to_string());
        fs::write(&path, &pinned.file).expect("a file");
        let config = |ca: &std::path::Path| {
            format!(
                "upstream: {{url: \"https://localhost:{}\", tls: {{caFile: {}}}}}\nauthentication: {{publicKeyUrls: [\"https://localhost:{}/jwks\"], caFile: {}, jwks: {{maxWait: 100ms}}}}\n",
                backend.port(),
                ca.display(),
                source.port(),
                path.display(),
            )
        };
        let gateway = Setup::run().config(config(&path)).start();
        gateway.wait_ready();
        let response = gateway.get_as(&Token::user(), "/x");
        assert_eq!((response.status, response.text()), (200, "from the backend".to_owned()), "{number}");
        let gateway = Setup::run().config(config(&other)).start();
        gateway.wait_ready();
        assert_eq!(gateway.get_as(&Token::user(), "/x").status, 502, "{number}: another certificate");
    }
}
