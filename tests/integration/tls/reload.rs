//! Certificates that are replaced at run time.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::support::eventually;
use crate::support::gateway::text;

/// A mounted Secret as the kubelet creates it: the files are symlinks through `..data`.
struct Secret(TempDir);

impl Secret {
    fn new(certificates: &Certificates) -> Self {
        let secret = Self(tempfile::tempdir().expect("a directory"));
        secret.put("..1", certificates, certificates);
        for name in ["tls.crt", "tls.key", "ca.pem"] {
            symlink(format!("..data/{name}"), secret.at(name)).expect("a link");
        }
        secret
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// Replaces the contents atomically.
    fn put(&self, version: &str, certificate: &Certificates, key: &Certificates) {
        fs::create_dir(self.at(version)).expect("a directory");
        let copy = |from: &Path, name: &str| {
            fs::copy(from, self.at(version).join(name)).expect("a copy");
        };
        copy(&certificate.file("tls.crt"), "tls.crt");
        copy(&key.file("tls.key"), "tls.key");
        copy(&certificate.file("ca.pem"), "ca.pem");
        symlink(version, self.at("..data_tmp")).expect("a link");
        fs::rename(self.at("..data_tmp"), self.at("..data")).expect("the swap");
    }

    fn start(&self, more: &str) -> (Issuer, Upstream, Gateway) {
        let (issuer, upstream) = (Issuer::of(rsa()), Upstream::echo());
        let config = format!(
            "tls: {{certFile: {}, keyFile: {}{more}}}\nupstream: {{url: \"{}\"}}\nauthentication: {{publicKeyUrls: [\"{}\"]}}\n",
            self.at("tls.crt").display(),
            self.at("tls.key").display(),
            upstream.url(),
            issuer.url("/jwks"),
        );
        let gateway = Setup::run().config(config).start();
        gateway.wait_ready();
        (issuer, upstream, gateway)
    }
}

/// A connection that stays open.
pub(super) struct KeptConnection(StreamOwned<ClientConnection, TcpStream>);

impl KeptConnection {
    pub(super) fn connect(certificates: &Certificates, address: SocketAddr) -> Self {
        Self(certificates.connect(address, false))
    }

    pub(super) fn ask(&mut self) -> String {
        self.0.write_all(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
        let mut response = Vec::new();
        let mut byte = [0];
        while !response.ends_with(b"provided\"}") {
            assert_eq!(self.0.read(&mut byte).expect("a response"), 1, "{response:?}");
            response.push(byte[0]);
        }
        String::from_utf8(response).expect("text")
    }

    /// Waits until the connection is closed.
    pub(super) fn wait_closed(&mut self) {
        assert_eq!(self.0.read(&mut [0]).expect("an end"), 0);
    }
}

/// Whether a client that trusts only this CA gets a response.
fn gets_through(certificates: &Certificates, gateway: &Gateway, with_certificate: bool) -> bool {
    let token = bearer(&Token::user());
    let response = certificates.ask(gateway.proxy, with_certificate, &token);
    response.is_some_and(|response| response.starts_with("HTTP/1.1 200"))
}

#[test]
fn new_certificate_is_used_for_new_connections_only() {
    let (old, new) = (Certificates::new(), Certificates::new());
    let secret = Secret::new(&old);
    let (_issuer, _upstream, gateway) = secret.start("");
    let mut kept = KeptConnection::connect(&old, gateway.proxy);
    assert!(kept.ask().starts_with("HTTP/1.1 401"));
    assert!(gets_through(&old, &gateway, false) && !gets_through(&new, &gateway, false));
    secret.put("..2", &new, &new);
    eventually("the new certificate", || gets_through(&new, &gateway, false).then_some(()));
    assert!(!gets_through(&old, &gateway, false));
    let response = kept.ask();
    assert!(response.starts_with("HTTP/1.1 401") && !response.contains("connection: close"), "{response}");
    let trigger = || gateway.ask_admin("GET", "/status", &[]).json()["last_reload"]["trigger"].clone();
    eventually("the reload in the status", || (trigger() == "certificate").then_some(()));
    let end = gateway
        .metric("metagate_tls_certificate_not_after_timestamp_seconds", &[("setting", "tls.certFile")]);
    assert!(end > 1.8e9, "{end}");
}

#[test]
fn invalid_certificate_is_refused_and_the_current_one_kept() {
    let (old, new) = (Certificates::new(), Certificates::new());
    let secret = Secret::new(&old);
    let (_issuer, _upstream, gateway) = secret.start("");
    let refused = || gateway.metric("metagate_config_reloads_total", &[("result", "refused")]);
    secret.put("..2", &new, &old);
    eventually("a mismatched pair to be refused", || (refused() >= 1.0).then_some(()));
    assert!(gets_through(&old, &gateway, false));
    assert_eq!(gateway.metric("metagate_config_last_reload_successful", &[]), 0.0);
    // The metric may change before the log line arrives.
    let loud = eventually("an error in the log", || {
        gateway.logs().into_iter().find(|log| text(log, "level") == Some("ERROR"))
    });
    let names = |log: &Value, key: &str| {
        text(log, "error").is_some_and(|error| {
            error.starts_with(&format!("error: {key}: "))
                && error.contains("tls.crt")
                && error.contains("\n  --> ")
        })
    };
    assert!(names(&loud, "tls.keyFile"), "{loud}");

    // An expired certificate that is otherwise valid.
    let expired = Certificates::until(2020);
    secret.put("..3", &expired, &expired);
    eventually("an expired certificate to be refused", || (refused() >= 2.0).then_some(()));
    let expired = || gateway.logs().into_iter().find(|log| names(log, "tls.certFile"));
    eventually("the key in the log", expired);
    assert!(gets_through(&old, &gateway, false));

    secret.put("..4", &new, &new);
    eventually("a valid pair to be used", || gets_through(&new, &gateway, false).then_some(()));
    let successful = || gateway.metric("metagate_config_last_reload_successful", &[]) == 1.0;
    eventually("the reload to count as successful", || successful().then_some(()));
}

#[test]
fn client_ca_file_is_reloaded() {
    let (old, new) = (Certificates::new(), Certificates::new());
    let secret = Secret::new(&old);
    let (_issuer, _upstream, gateway) =
        secret.start(&format!(", clientCaFile: {}", secret.at("ca.pem").display()));
    assert!(gets_through(&old, &gateway, true) && !gets_through(&old, &gateway, false));
    secret.put("..2", &new, &new);
    eventually("the new authority", || gets_through(&new, &gateway, true).then_some(()));
    assert!(!gets_through(&new, &gateway, false), "a certificate is still required");
}

#[test]
fn optional_client_certificate_must_be_valid_if_sent() {
    let (own, other) = (Certificates::new(), Certificates::new());
    let secret = Secret::new(&own);
    let more = format!(", clientCaFile: {}, clientAuth: optional", secret.at("ca.pem").display());
    let (_issuer, upstream, gateway) = secret.start(&more);
    assert!(gets_through(&own, &gateway, false) && gets_through(&own, &gateway, true));
    let stranger = other.ask_as(&own, gateway.proxy);
    assert!(
        !stranger.is_some_and(|response| response.starts_with("HTTP/1.1 200")),
        "a certificate of another CA"
    );
    assert_eq!(upstream.requests().len(), 2);
}
