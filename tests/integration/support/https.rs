//! A server with a certificate of a private authority.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// A server at a loopback address.
pub struct HttpsServer {
    pub address: SocketAddr,
    /// The certificate of its authority.
    pub authority: String,
    /// A certificate that it accepts from clients, and its key.
    pub client: (String, String),
    heads: Arc<Mutex<Vec<String>>>,
}

impl HttpsServer {
    /// `respond` gets the head of a request and returns a status and a body. If `asks` is set, clients must present a
    /// certificate.
    pub fn start(asks: bool, respond: impl Fn(&str) -> (u16, String) + Send + 'static) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key"))
            .expect("an authority");
        let certified = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
            (params.signed_by(&key, &authority).expect("a certificate"), key)
        };
        let (leaf, key) = certified("127.0.0.1");
        let (client, client_key) = certified("client.test");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("an authority");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .expect("a verifier");
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder =
            if asks { builder.with_client_cert_verifier(verifier) } else { builder.with_no_client_auth() };
        let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = Arc::new(builder.with_single_cert(vec![leaf.der().clone()], private).expect("a pair"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = heads.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(connection) = ServerConnection::new(config.clone()) else { continue };
                let mut tls = StreamOwned::new(connection, stream);
                let _ = exchange(&mut tls, &seen, &respond);
            }
        });
        Self {
            address,
            authority: authority.pem(),
            client: (client.pem(), client_key.serialize_pem()),
            heads,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// The heads of all requests.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("heads").clone()
    }
}

fn exchange(
    stream: &mut (impl Read + Write),
    seen: &Mutex<Vec<String>>,
    respond: &impl Fn(&str) -> (u16, String),
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (status, body) = respond(&head);
    seen.lock().expect("heads").push(head);
    write!(
        stream,
        "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}
