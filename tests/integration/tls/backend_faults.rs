//! Why the backend cannot be reached over TLS: the audit record and one warning say it, the client does not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::{Certificates, serve_tls};
use crate::support::eventually;
use crate::support::gateway::{Setup, text};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::rsa;
use crate::support::token::Token;
use crate::support::upstream::Upstream;

/// Asks twice for a path of a backend at this URL, and looks for these parts in what was recorded.
#[track_caller]
fn assert_cause(url: &str, tls: &str, parts: &[&str]) {
    let issuer = Issuer::of(rsa());
    let config = format!(
        "upstream: {{url: \"{url}\"{tls}}}\nauthentication: {{publicKeyUrls: [\"{}\"]}}\n",
        issuer.url(JWKS)
    );
    let gateway = Setup::run().config(config).start();
    gateway.wait_ready();
    assert_eq!(gateway.metric("metagate_upstream_up", &[]), 1.0);
    for path in ["/a", "/b"] {
        let response = gateway.get_as(&Token::user(), path);
        assert_eq!(response.text(), r#"{"code":502,"message":"Backend is unreachable"}"#);
        let record = gateway.audit_of(path);
        assert_eq!(text(&record, "reason"), Some("upstream_unreachable"), "{record}");
        let detail = text(&record, "detail").unwrap_or_default();
        for part in parts {
            assert!(detail.contains(part), "{part}: {detail}");
        }
    }
    assert_eq!(gateway.metric("metagate_upstream_up", &[]), 0.0);
    let warned = || {
        let logs = gateway.logs();
        let unreachable =
            |log: &&serde_json::Value| text(log, "message") == Some("the backend is unreachable");
        logs.iter().filter(unreachable).cloned().collect::<Vec<_>>()
    };
    let warnings = eventually("a warning", || Some(warned()).filter(|warnings| !warnings.is_empty()));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(text(&warnings[0], "level"), Some("WARN"));
    assert_eq!(text(&warnings[0], "cause"), text(&gateway.audit_of("/a"), "detail"));
}

fn at(backend: SocketAddr) -> String {
    format!("https://localhost:{}", backend.port())
}

fn trusting(certificates: &Certificates) -> String {
    format!(", tls: {{caFile: {}}}", certificates.file("ca.pem").display())
}

#[test]
fn unknown_authority() {
    let certificates = Certificates::new();
    let url = at(certificates.serve(String::new()));
    assert_cause(&url, "", &["certificate of the backend is not trusted", "; set upstream.tls.caFile"]);
    let other = Certificates::new();
    assert_cause(&url, &trusting(&other), &["is not trusted", "upstream.tls.caFile has neither"]);
}

#[test]
fn certificate_for_another_name() {
    let certificates = Certificates::with(&["gms.example", "10.0.0.7"], 2100);
    let url = at(certificates.serve(String::new()));
    let parts = ["is not for the name localhost", "it is for gms.example", "in upstream.url"];
    assert_cause(&url, &trusting(&certificates), &parts);
}

/// A backend that is reached by an address, or by the name of a tunnel, has a certificate for its own name.
#[test]
fn the_configured_server_name_is_sent_and_must_be_that_of_the_certificate() {
    let certificates = Certificates::with(&["gms.example"], 2100);
    let backend = certificates.serve("hello".to_owned());
    let url = format!("https://127.0.0.1:{}", backend.port());
    let tls = |name: &str| {
        let ca = certificates.file("ca.pem").display().to_string();
        format!(", tls: {{caFile: {ca}, serverName: {name}}}")
    };
    let parts = ["is not for the name other.example", "it is for gms.example", "upstream.tls.serverName"];
    assert_cause(&url, &tls("other.example"), &parts);
    let issuer = Issuer::of(rsa());
    let config = format!(
        "upstream: {{url: \"{url}\"{}}}\nauthentication: {{publicKeyUrls: [\"{}\"]}}\n",
        tls("gms.example"),
        issuer.url(JWKS)
    );
    let gateway = Setup::run().config(config.clone()).start();
    gateway.wait_ready();
    assert_eq!(gateway.get_as(&Token::user(), "/a").text(), "hello");
    let finished = Setup::command(&["check"]).config(config).finish();
    assert!(finished.stdout.contains("answers 200"), "{}", finished.stdout);
}

#[test]
fn expired_certificate() {
    let certificates = Certificates::until(2020);
    let url = at(certificates.serve(String::new()));
    assert_cause(&url, &trusting(&certificates), &["expired at 2020-01-01T00:00:00Z"]);
}

#[test]
fn the_wrong_scheme() {
    // Most servers refuse the first byte of TLS like this. Some wait for the end of a line.
    let refusing = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = at(refusing.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut stream in refusing.incoming().flatten() {
            let _ = stream.read(&mut [0; 512]);
            let _ =
                stream.write_all(b"HTTP/1.1 400 Illegal character CNTL=0x16\r\nConnection: close\r\n\r\n");
        }
    });
    assert_cause(&url, "", &["does not speak TLS", "write http:// in upstream.url"]);
    let waiting = Upstream::echo();
    let url = waiting.url().replace("http://", "https://");
    let parts = ["no TLS handshake", "(upstream.connectTimeout)", "write http:// in upstream.url"];
    assert_cause(&format!("{url}\", connectTimeout: \"100ms"), "", &parts);
    let certificates = Certificates::new();
    let url = format!("http://{}", certificates.serve(String::new()));
    assert_cause(&url, "", &["speaks TLS; write https:// in upstream.url"]);
}

#[test]
fn missing_client_certificate() {
    let certificates = Certificates::new();
    for version in [&TLS13, &TLS12] {
        let url = at(serve_to_clients_with_a_certificate(&certificates, version));
        let parts = ["client certificate", "set upstream.tls.certFile and upstream.tls.keyFile"];
        assert_cause(&url, &trusting(&certificates), &parts);
    }
}

fn serve_to_clients_with_a_certificate(
    certificates: &Certificates,
    version: &'static SupportedProtocolVersion,
) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificates.ca.clone()).expect("an authority");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(vec![certificates.leaf.clone()], certificates.private_key())
        .expect("a pair");
    serve_tls(config, String::new())
}
