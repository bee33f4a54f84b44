//! Mistakes that new users make with key URLs, and what metagate says about each.
//!
//! `tests/data/key-url-mistakes.txt` has one block for each: a title, the key URL or the issuer, and what
//! `metagate keys` prints. Read a new output as the person who made the mistake: it must say what to write instead.

use std::fmt::Write as _;

use serde_json::json;

use super::faults::{not_tls, secure};
use super::nowhere;
use crate::support::gateway::Setup;
use crate::support::issuer::{Issuer, Reply};
use crate::support::keys::{self, key_set};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/key-url-mistakes.txt");

/// How the keys are named in the configuration.
enum Named {
    KeyUrl(String),
    /// By discovery from this issuer.
    Issuer(String),
}

fn page(content: &str) -> Reply {
    Reply::Status(200, vec![("Content-Type", "text/html".to_owned())], content.to_owned())
}

/// What a server says at each path.
fn documents() -> Vec<(&'static str, &'static str, Reply)> {
    let text = |text: &str| Reply::Json(text.to_owned());
    let redirect = |to: &str| Reply::Status(302, vec![("Location", to.to_owned())], String::new());
    let saml =
        "<?xml version=\"1.0\"?><EntityDescriptor entityID=\"https://idp.example\"></EntityDescriptor>";
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
    let google =
        json!({"c1b4": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"}).to_string();
    let discovery =
        json!({"issuer": "https://idp.example", "jwks_uri": "https://idp.example/keys?p=a\u{1b}[2J"});
    let encryption = keys::p256().jwk_with(json!({"use": "enc"}));
    vec![
        ("an HTML login page", "/login", page("<!doctype html><title>Sign in</title>")),
        ("a redirect to the login page of a proxy on this machine", "/sso", redirect("/login")),
        (
            "a redirect to a cloud's metadata",
            "/cloud",
            redirect("http://169.254.169.254/latest?token=secret"),
        ),
        ("the discovery document", "/.well-known/openid-configuration", text(&discovery.to_string())),
        ("a certificate", "/cert.pem", text(certificate)),
        ("Google's map of certificates (oauth2/v1/certs)", "/oauth2/v1/certs", text(&google)),
        ("SAML metadata", "/saml", Reply::Status(200, vec![], saml.to_owned())),
        ("an empty body", "/empty", Reply::Status(200, vec![], String::new())),
        ("an empty set", "/none", text(&key_set(&[]))),
        ("a set with a key for encryption only", "/enc", text(&key_set(&[encryption]))),
        ("an error in JSON", "/error", text(r#"{"error":"invalid_request"}"#)),
        ("a wrong path", "/jwk", Reply::Status(404, vec![], "not found".to_owned())),
        ("a URL that needs a login", "/private", Reply::Status(403, vec![], "forbidden".to_owned())),
        ("a server that fails", "/broken", Reply::Status(500, vec![], String::new())),
    ]
}

/// Discovery documents with a mistake. ISSUER is the URL of the server.
const DISCOVERED: [(&str, &str, &str); 6] = [
    ("discovery: no document at the issuer", "/realms/none", ""),
    ("discovery: a login page", "/realms/html", "<html>"),
    (
        "discovery: another issuer",
        "/realms/other",
        r#"{"issuer":"https://other.example/","jwks_uri":"ISSUER/keys"}"#,
    ),
    ("discovery: no jwks_uri", "/realms/without", r#"{"issuer":"ISSUER/realms/without"}"#),
    (
        "discovery: the jwks_uri is not a URL",
        "/realms/path",
        r#"{"issuer":"ISSUER/realms/path","jwks_uri":"/keys\u001b[2J"}"#,
    ),
    (
        "discovery: nothing at the jwks_uri",
        "/realms/gone",
        r#"{"issuer":"ISSUER/realms/gone","jwks_uri":"ISSUER/keys"}"#,
    ),
];

/// The name of an issuer is part of no output, so its address can be replaced.
fn cases(server: &Issuer) -> Vec<(&'static str, Named)> {
    let mut cases = Vec::new();
    for (title, path, reply) in documents() {
        server.set(path, reply);
        cases.push((title, Named::KeyUrl(server.url(path))));
    }
    let (tls, _) = secure(&["127.0.0.1"], (2020, 4000));
    // A name that no resolver is asked for, because no name has labels that long.
    let unknown = "x".repeat(70);
    cases.extend([
        ("a port that nothing listens on", Named::KeyUrl(format!("http://{}/jwks", nowhere()))),
        ("a name that does not exist", Named::KeyUrl(format!("http://{unknown}.example/jwks"))),
        ("http to a port for https", Named::KeyUrl(format!("http://{tls}/jwks"))),
        ("https to a port for http", Named::KeyUrl(format!("https://{}/jwks", not_tls()))),
        (
            "a self-signed certificate, or one of an unknown authority",
            Named::KeyUrl(format!("https://{tls}/jwks")),
        ),
    ]);
    for (title, path, document) in DISCOVERED {
        if !document.is_empty() {
            let document = document.replace("ISSUER", &server.url(""));
            server.set(&format!("{path}/.well-known/openid-configuration"), page(&document));
        }
        cases.push((title, Named::Issuer(server.url(path))));
    }
    cases
}

/// What `metagate keys` prints about one source, with ports replaced.
fn output(named: &Named) -> String {
    let entry = match named {
        Named::KeyUrl(url) => format!("{{name: idp, issuer: https://idp.example, publicKeyUrls: ['{url}']}}"),
        Named::Issuer(issuer) => format!("{{name: idp, issuer: '{issuer}'}}"),
    };
    let finished = Setup::command(&["keys"])
        .env("METAGATE_UPSTREAM__URL", "http://192.0.2.1:8585")
        .config(format!("authentication: {{issuers: [{entry}]}}"))
        .finish();
    assert_eq!(finished.code, Some(1), "{}{}", finished.stdout, finished.stderr);
    let is_time = |line: &&str| line.trim_start().starts_with("next refresh in ");
    let lines: String =
        finished.stdout.lines().filter(|line| !is_time(line)).map(|line| format!("{line}\n")).collect();
    without_ports(&lines)
}

fn without_ports(text: &str) -> String {
    let mut parts = text.split("127.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + "127.0.0.1:PORT" + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

#[test]
fn mistakes_with_key_urls_are_explained() {
    let server = Issuer::empty();
    let mut expected = "Key URLs and issuers with a mistake, and what `metagate keys` says about each. \
                        tests/integration/keys/golden.rs\nserves them; METAGATE_WRITE_DOCUMENTATION=1 \
                        cargo test --test integration key_urls writes the output.\n"
        .to_owned();
    for (title, named) in cases(&server) {
        write!(expected, "\n=== {title}\n{}", output(&named)).expect("a text");
    }
    let written = std::fs::read_to_string(DATA).unwrap_or_default();
    if written != expected && std::env::var_os("METAGATE_WRITE_DOCUMENTATION").is_some() {
        std::fs::write(DATA, expected).expect("the file");
        return;
    }
    for (number, (written, expected)) in written.lines().zip(expected.lines()).enumerate() {
        assert_eq!(written, expected, "{DATA}:{}: METAGATE_WRITE_DOCUMENTATION=1 writes it", number + 1);
    }
    assert_eq!(written.lines().count(), expected.lines().count());
    assert!(!written.contains("secret"), "no query of a URL that a server names in a redirect");
}
