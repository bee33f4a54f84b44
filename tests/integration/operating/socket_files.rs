//! Unix sockets, as the listener and to the backend.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use tempfile::TempDir;

use crate::support::DEADLINE;
use crate::support::gateway::{Setup, text};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;

/// Sends a request over a Unix socket and returns the response.
#[track_caller]
fn ask(path: &Path, target: &str, more: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("a listener");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    let token = bearer(&Token::bot());
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nAuthorization: {token}\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes()).expect("a request");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    response
}

fn setup(issuer: &Issuer, upstream: &str, listen: &Path, config: &str) -> Setup {
    Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", upstream)
        .env("METAGATE_LISTEN", format!("unix:{}", listen.display()))
        .config(config)
}

fn in_directory() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("metagate.sock");
    (directory, path)
}

/// A rule that every client with an address satisfies, and a client without one does not.
const RULE: &str = "authorization: {rules: [{name: near, match: {paths: [/near]}, require: {sourceIps: [0.0.0.0/0, \"::/0\"]}}]}\n";

#[test]
fn proxy_listens_on_a_unix_socket() {
    let (_directory, path) = in_directory();
    let (issuer, upstream) = (Issuer::of(keys::rsa()), Upstream::echo());
    // A stale socket of a process that exited.
    drop(UnixListener::bind(&path).expect("a socket"));
    let mut gateway = setup(&issuer, &upstream.url(), &path, RULE).start();
    gateway.wait_ready();
    let forged = "X-Forwarded-For: 10.0.0.1\r\n";
    assert!(ask(&path, "/x", forged).starts_with("HTTP/1.1 200"));
    assert_eq!(upstream.only_request().head.value("x-forwarded-for"), Some("unknown"));
    assert_eq!(gateway.audit_of("/x").get("source_address"), None);
    let refused = ask(&path, "/near", forged);
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    assert_eq!(text(&gateway.audit_of("/near"), "rule"), Some("near"));
    let second = setup(&issuer, &upstream.url(), &path, "").finish();
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("error: listen: cannot listen on unix:"), "{}", second.stderr);
    assert!(ask(&path, "/x", "").starts_with("HTTP/1.1 200"), "the first process still has the socket");
    gateway.terminate();
    assert_eq!(gateway.wait_exit(), Some(0));
}

#[test]
fn trusted_proxies_may_include_unix_sockets() {
    let (_directory, path) = in_directory();
    let (issuer, upstream) = (Issuer::of(keys::rsa()), Upstream::echo());
    let gateway = setup(&issuer, &upstream.url(), &path, &format!("{RULE}trustedProxies: [unix]\n")).start();
    gateway.wait_ready();
    assert!(ask(&path, "/near", "X-Forwarded-For: 203.0.113.7\r\n").starts_with("HTTP/1.1 200"));
    assert_eq!(text(&gateway.audit_of("/near"), "source_address"), Some("203.0.113.7"));
}

#[test]
fn unix_socket_may_be_passed_by_socket_activation() {
    let (_directory, path) = in_directory();
    let (issuer, upstream) = (Issuer::of(keys::rsa()), Upstream::echo());
    let socket = UnixListener::bind(&path).expect("a socket");
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", upstream.url())
        .activated(OwnedFd::from(socket), Some("proxy"))
        .start();
    gateway.wait_ready();
    assert!(ask(&path, "/x", "").starts_with("HTTP/1.1 200"));
}

/// A backend that responds to every request on its Unix socket and reports the request heads.
fn backend(path: &Path) -> Receiver<String> {
    let listener = UnixListener::bind(path).expect("a socket");
    let (sender, heads) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while reader.read_line(&mut head).is_ok_and(|length| length > 0) {
                if head.ends_with("\r\n\r\n") {
                    let _ = sender.send(std::mem::take(&mut head));
                    let _ = reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
            }
        }
    });
    heads
}

#[test]
fn requests_are_forwarded_over_a_unix_socket() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("backend.sock");
    let heads = backend(&path);
    let issuer = Issuer::of(keys::rsa());
    for form in ["unix:", "unix://"] {
        let gateway = Setup::run()
            .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
            .env("METAGATE_UPSTREAM__URL", format!("{form}{}", path.display()))
            .start();
        gateway.wait_ready();
        let response = gateway.get_as(&Token::bot(), "/a%2Fb?c=d");
        assert_eq!((response.status, response.text()), (200, "ok".to_owned()));
        let head = heads.recv_timeout(DEADLINE).expect("a request");
        assert!(head.starts_with("GET /a%2Fb?c=d HTTP/1.1\r\n"), "{head}");
        assert!(head.to_lowercase().contains("\r\nhost: gateway.test\r\n"), "{head}");
    }
}
