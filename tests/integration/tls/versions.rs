//! The oldest TLS version that is accepted, by `minVersion`.

use std::net::TcpStream;

use rustls::version::{TLS12, TLS13};

use super::{Certificates, Versions, ask_over, listener};
use crate::support::gateway::Setup;
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::rsa;
use crate::support::token::{Token, bearer};

static ONLY_1_2: [&rustls::SupportedProtocolVersion; 1] = [&TLS12];
static ONLY_1_3: [&rustls::SupportedProtocolVersion; 1] = [&TLS13];

#[test]
fn listener_refuses_versions_below_min_version() {
    let certificates = Certificates::new();
    let token = bearer(&Token::user());
    for (more, from_1_2) in [("", true), (", minVersion: \"1.2\"", true), (", minVersion: \"1.3\"", false)] {
        let (_issuer, upstream, gateway) = listener(&certificates, more);
        let ask = |versions: Versions| {
            let stream = TcpStream::connect(gateway.proxy).expect("a listener");
            ask_over(certificates.over_with_versions(versions, stream, None), &token)
        };
        assert_eq!(ask(&ONLY_1_2).is_some(), from_1_2, "TLS 1.2 with {more:?}");
        assert!(ask(&ONLY_1_3).expect("a response").starts_with("HTTP/1.1 200 "), "TLS 1.3 with {more:?}");
        assert_eq!(upstream.requests().len(), if from_1_2 { 2 } else { 1 });
    }
}

#[test]
fn backend_connection_refuses_versions_below_min_version() {
    let certificates = Certificates::new();
    let issuer = Issuer::of(rsa());
    let status = |versions: Versions, min: &str| {
        let backend = certificates.serve_with_versions(versions, "hello".to_owned());
        let config = format!(
            "upstream: {{url: \"https://localhost:{}\", tls: {{caFile: {}, minVersion: {min}}}}}\nauthentication: {{publicKeyUrls: [\"{}\"]}}\n",
            backend.port(),
            certificates.file("ca.pem").display(),
            issuer.url(JWKS),
        );
        let gateway = Setup::run().config(config).start();
        gateway.wait_ready();
        gateway.get_as(&Token::user(), "/x").status
    };
    assert_eq!(status(&ONLY_1_2, "\"1.2\""), 200);
    assert_eq!(status(&ONLY_1_2, "\"1.3\""), 502);
    assert_eq!(status(&ONLY_1_3, "\"1.3\""), 200);
}
