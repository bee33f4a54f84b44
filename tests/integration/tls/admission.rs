//! Connections that a new TLS policy might not accept.

use super::reload::KeptConnection;
use super::*;

/// A gateway whose config file a test rewrites.
struct Listener {
    gateway: Gateway,
    issuer: Issuer,
    upstream: Upstream,
    directory: TempDir,
}

impl Listener {
    fn start(tls: &str) -> Self {
        let (issuer, upstream) = (Issuer::of(rsa()), Upstream::echo());
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("config.yaml");
        fs::write(&file, Self::config(&issuer, &upstream, tls)).expect("a configuration");
        let gateway = Setup::run().env("METAGATE_CONFIG", file.to_str().expect("a path")).start();
        gateway.wait_ready();
        Self { gateway, issuer, upstream, directory }
    }

    fn config(issuer: &Issuer, upstream: &Upstream, tls: &str) -> String {
        let (url, keys) = (upstream.url(), issuer.url("/jwks"));
        format!("upstream: {{url: \"{url}\"}}\nauthentication: {{publicKeyUrls: [\"{keys}\"]}}\n{tls}\n")
    }

    #[track_caller]
    fn reload(&self, tls: &str) {
        let text = Self::config(&self.issuer, &self.upstream, tls);
        fs::write(self.directory.path().join("config.yaml"), text).expect("a configuration");
        let response = self.gateway.ask_admin("POST", "/reload", &[("X-Metagate", "1")]);
        assert_eq!(response.status, 200, "{}", response.text());
    }
}

#[test]
fn connections_close_when_the_tls_policy_changes() {
    let (own, other) = (Certificates::new(), Certificates::new());
    let (cert, key) = (own.file("tls.crt"), own.file("tls.key"));
    let tls = |more: &str| format!("tls: {{certFile: {}, keyFile: {}{more}}}", cert.display(), key.display());
    let authorities = |of: &Certificates| format!(", clientCaFile: {}", of.file("ca.pem").display());
    let (none, required) = (tls(""), tls(&authorities(&own)));
    let optional = tls(&format!("{}, clientAuth: optional", authorities(&own)));
    let others = tls(&format!("{}, clientAuth: optional", authorities(&other)));
    let newer = tls(", minVersion: \"1.3\"");
    for (before, after) in [(&none, &required), (&optional, &required), (&optional, &others), (&none, &newer)]
    {
        let listener = Listener::start(before);
        let mut kept = KeptConnection::connect(&own, listener.gateway.proxy);
        assert!(!kept.ask().contains("connection: close"));
        listener.reload(before);
        assert!(!kept.ask().contains("connection: close"), "the same policy");
        listener.reload(after);
        assert!(kept.ask().contains("connection: close"), "{before} {after}");
        kept.wait_closed();
    }
}

#[test]
fn connections_close_when_the_client_ca_file_is_replaced() {
    let (own, other) = (Certificates::new(), Certificates::new());
    let (cert, key) = (own.file("tls.crt"), own.file("tls.key"));
    let directory = tempfile::tempdir().expect("a directory");
    let authorities = directory.path().join("ca.pem");
    fs::copy(own.file("ca.pem"), &authorities).expect("a copy");
    let tls = format!(
        "tls: {{certFile: {}, keyFile: {}, clientCaFile: {}, clientAuth: optional}}",
        cert.display(),
        key.display(),
        authorities.display()
    );
    let listener = Listener::start(&tls);
    let mut kept = KeptConnection::connect(&own, listener.gateway.proxy);
    assert!(!kept.ask().contains("connection: close"));
    fs::copy(other.file("ca.pem"), &authorities).expect("a copy");
    eventually("the connection to be closed", || kept.ask().contains("connection: close").then_some(()));
    kept.wait_closed();
}
