//! ALPN on both sides. Two gateways in a row negotiate the HTTP version between them.

use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::Certificates;
use crate::support::gateway::{Gateway, Setup};
use crate::support::http2::Http2Client;
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::rsa;
use crate::support::message::Body;
use crate::support::stub::Next;
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::Client;

impl Certificates {
    /// The protocol that a listener selects for a client that offers these.
    fn negotiated(&self, gateway: &Gateway, offered: &[&str]) -> Result<Option<Vec<u8>>, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).expect("an authority");
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut stream = TcpStream::connect(gateway.proxy).expect("a listener");
        stream.set_read_timeout(Some(super::DEADLINE)).expect("a time-out");
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut stream) {
                let error = error.downcast::<rustls::Error>().expect("a TLS error");
                return Err(error);
            }
        }
        Ok(connection.alpn_protocol().map(<[u8]>::to_vec))
    }

    /// A gateway with a TLS listener.
    fn gateway(&self, issuer: &Issuer, upstream: &Upstream, streams: &str) -> Gateway {
        let gateway = Setup::run()
            .env("METAGATE_UPSTREAM__URL", upstream.url())
            .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
            .env("METAGATE_TLS__CERT_FILE", self.file("tls.crt").display().to_string())
            .env("METAGATE_TLS__KEY_FILE", self.file("tls.key").display().to_string())
            .env("METAGATE_LIMITS__CONCURRENT_STREAMS", streams)
            .start();
        gateway.wait_ready();
        gateway
    }

    /// A gateway in front of that one.
    fn in_front_of(&self, issuer: &Issuer, behind: &Gateway, protocol: &str) -> Gateway {
        let gateway = Setup::run()
            .env("METAGATE_UPSTREAM__URL", format!("https://localhost:{}", behind.proxy.port()))
            .env("METAGATE_UPSTREAM__TLS__CA_FILE", self.file("ca.pem").display().to_string())
            .env("METAGATE_UPSTREAM__PROTOCOL", protocol)
            .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
            .start();
        gateway.wait_ready();
        gateway
    }
}

#[test]
fn alpn_prefers_http2_and_falls_back_to_http1() {
    let certificates = Certificates::new();
    let (issuer, upstream) = (Issuer::of(rsa()), Upstream::echo());
    let both = certificates.gateway(&issuer, &upstream, "100");
    let settled = |gateway: &Gateway, offered: &[&str]| {
        let name = certificates.negotiated(gateway, offered).expect("a handshake");
        name.map(|name| String::from_utf8_lossy(&name).into_owned())
    };
    assert_eq!(settled(&both, &["http/1.1", "h2"]).as_deref(), Some("h2"));
    assert_eq!(settled(&both, &["http/1.1"]).as_deref(), Some("http/1.1"));
    assert_eq!(settled(&both, &[]), None);
    assert!(certificates.negotiated(&both, &["h3"]).is_err());
    let one = certificates.gateway(&issuer, &upstream, "0");
    assert_eq!(settled(&one, &["h2", "http/1.1"]).as_deref(), Some("http/1.1"));
    assert!(certificates.negotiated(&one, &["h2"]).is_err());
}

#[test]
fn upstream_protocol_selects_the_http_version() {
    let certificates = Certificates::new();
    let (issuer, upstream) = (Issuer::of(rsa()), Upstream::echo());
    let (both, only_http1) =
        (certificates.gateway(&issuer, &upstream, "100"), certificates.gateway(&issuer, &upstream, "0"));
    let token = bearer(&Token::user());
    for (protocol, behind, status) in [
        ("auto", &both, 200),
        ("auto", &only_http1, 200),
        ("http2", &both, 200),
        ("http2", &only_http1, 502),
        ("http1", &both, 200),
    ] {
        let front = certificates.in_front_of(&issuer, behind, protocol);
        let mut client = Http2Client::connect(front.proxy);
        let path = format!("/{protocol}-{status}");
        for _ in 0..10 {
            let response =
                client.send("POST", &path, &[("authorization", &token)], b"hello").expect("a response");
            assert_eq!(response.status, status, "{protocol}");
        }
        if status == 200 {
            let request = upstream.request_to(&path);
            assert_eq!(request.body, b"hello");
            assert_eq!(request.head.values("host"), ["gateway.test"]);
            assert_eq!(request.head.value("x-forwarded-proto"), Some("https"));
            // All ten requests used one connection, over both HTTP versions.
            assert_eq!(behind.metric("metagate_connections", &[]), 1.0, "{protocol}");
        }
    }
}

#[test]
fn websocket_uses_http1_if_alpn_would_select_http2() {
    let certificates = Certificates::new();
    let issuer = Issuer::of(rsa());
    let upstream = Upstream::scripted(|exchange| {
        if exchange.request.head.value("upgrade").is_none() {
            return echo(exchange);
        }
        exchange
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
        loop {
            let bytes = exchange.raw()?;
            if bytes.is_empty() {
                return Ok(Next::Close);
            }
            exchange.send(bytes)?;
        }
    });
    let behind = certificates.gateway(&issuer, &upstream, "100");
    let front = certificates.in_front_of(&issuer, &behind, "auto");
    assert_eq!(front.get_as(&Token::user(), "/x").status, 200);
    let mut client = Client::connect(front.proxy);
    let token = bearer(&Token::user());
    client.send(format!(
        "GET /socket HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ));
    assert_eq!(client.response_head().expect("a head").0, 101);
    let bytes = vec![7; 200_000];
    client.send(&bytes);
    let mut back = Vec::new();
    while back.len() < bytes.len() {
        back.extend(client.piece(&mut Body::UntilClose).expect("no end").expect("more"));
    }
    assert!(back == bytes);
    client.half_close();
    assert_eq!(behind.audit_of("/socket")["complete"], true);
    assert_eq!(front.audit_of("/socket")["complete"], true);
}
