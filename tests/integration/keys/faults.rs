//! Faults of a key server and their error messages.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::{nowhere, sources};
use crate::support::gateway::Setup;
use crate::support::issuer::{Issuer, Reply};
use crate::support::keys::{self, key_set};

#[test]
fn each_fault_has_its_own_message() {
    let issuer = Issuer::empty();
    let good = key_set(&[keys::rsa().jwk()]);
    let field = |name, value: &str| vec![(name, value.to_owned())];
    let html = "<!doctype html><title>Sign in</title>";
    let many: Vec<_> =
        (0..101).map(|number| keys::rsa().jwk_with(json!({"kid": number.to_string()}))).collect();
    let replies = [
        (
            "/html",
            Reply::Status(200, field("Content-Type", "text/html"), html.into()),
            "is this a login page?",
        ),
        ("/gzip", Reply::Status(200, field("Content-Encoding", "gzip"), "\u{1f}".into()), "compressed"),
        ("/drip", Reply::Drip, "timed out"),
        ("/endless", Reply::Endless, "larger than maxBytes"),
        ("/cut", Reply::CutShort(good.clone()), "closed in the middle"),
        ("/many", Reply::Json(key_set(&many)), ""),
        ("/none", Reply::Json(key_set(&[])), "it is empty"),
        ("/text", Reply::Json("\"keys\"".into()), "neither a JSON object"),
        (
            "/discovery",
            Reply::Json(r#"{"issuer":"https://a.example","jwks_uri":"https://a.example/keys?x=1"}"#.into()),
            r#"jwks_uri is "https://a.example/keys?x=1""#,
        ),
        (
            "/certificate",
            Reply::Json("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----".into()),
            "damaged, or no public key and no certificate",
        ),
        ("/503", Reply::Status(503, vec![], good.clone()), "answered 503"),
        ("/loop", Reply::Status(302, field("Location", "/loop"), String::new()), "more than 3 redirects"),
        ("/file", Reply::Status(302, field("Location", "file:///etc/passwd"), String::new()), "answered 302"),
        (
            "/cloud",
            Reply::Status(307, field("Location", "http://169.254.169.254/"), String::new()),
            "metadata",
        ),
        // A wrong content type is accepted, and so is one redirect.
        ("/plain", Reply::Status(200, field("Content-Type", "text/plain"), good.clone()), ""),
        ("/moved", Reply::Status(301, field("Location", "/plain"), String::new()), ""),
    ];
    let mut urls: Vec<_> = replies.iter().map(|(path, ..)| issuer.url(path)).collect();
    let mut causes: Vec<_> = replies.iter().map(|(.., cause)| *cause).collect();
    for (path, reply, _) in replies {
        issuer.set(path, reply);
    }
    urls.push(format!("http://{}/jwks", nowhere()));
    causes.push("connection refused");
    let (found, code) = sources(&urls, |setup| setup);
    assert_eq!(code, Some(1));
    for (source, cause) in found.iter().zip(causes) {
        match source["failure"].as_str() {
            Some(failure) => assert!(!cause.is_empty() && failure.contains(cause), "{source:#}"),
            None => assert!(cause.is_empty() && source["keys"][0]["usable"] == true, "{source:#}"),
        }
    }
    for request in issuer.requests() {
        assert_eq!(request.head.value("accept-encoding"), Some("identity"));
    }
}

/// A TLS server that serves a valid key set, and its CA certificate.
pub(super) fn secure(names: &[&str], years: (i32, i32)) -> (SocketAddr, String) {
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut leaf = CertificateParams::new(names).expect("parameters");
    (leaf.not_before, leaf.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
    let leaf = leaf.signed_by(&key, &authority).expect("a certificate");
    let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .expect("a pair");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(connection) = ServerConnection::new(config.clone()) else { continue };
            let mut tls = StreamOwned::new(connection, stream);
            let _ = respond(&mut tls);
        }
    });
    (address, authority.pem())
}

/// A plain HTTP server.
pub(super) fn not_tls() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    address
}

fn respond(stream: &mut (impl Read + Write)) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let body = key_set(&[keys::rsa().jwk()]);
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    stream.flush()
}

#[test]
fn certificate_faults_are_named() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let trusted = |authorities: &[&str]| {
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, authorities.concat()).expect("a file");
        file.display().to_string()
    };
    let (good, ca) = secure(&["127.0.0.1"], (2020, 4000));
    let (unknown, _) = secure(&["127.0.0.1"], (2020, 4000));
    let (other, other_ca) = secure(&["idp.test"], (2020, 4000));
    let (old, old_ca) = secure(&["127.0.0.1"], (2020, 2021));
    let (early, early_ca) = secure(&["127.0.0.1"], (3999, 4000));
    let addresses = [good, unknown, other, old, early, not_tls()];
    let urls: Vec<_> = addresses.iter().map(|address| format!("https://{address}/jwks")).collect();
    let file = trusted(&[&ca, &other_ca, &old_ca, &early_ca]);
    let (found, _) = sources(&urls, |setup| setup.env("METAGATE_AUTHENTICATION__CA_FILE", file));
    let failures: Vec<_> = found.iter().map(|source| source["failure"].as_str()).collect();
    assert_eq!(
        failures,
        [
            None,
            Some("certificate signed by unknown authority: set caFile to its certificate"),
            Some("certificate is for another name"),
            Some("certificate has expired"),
            Some("certificate is not valid yet"),
            Some("it does not speak TLS: is it a port for http?"),
        ]
    );
}

#[test]
fn keys_command_shows_every_key_and_why_it_is_not_used() {
    let issuer = Issuer::with_keys(&[
        keys::rsa().jwk(),
        json!({"kty": "oct", "kid": "hidden", "k": "AAAA"}),
        keys::p256().jwk_with(json!({"kid": "locked", "use": "enc"})),
    ]);
    let url = issuer.url("/jwks");
    let (found, code) = sources(std::slice::from_ref(&url), |setup| setup);
    assert_eq!(code, Some(0), "one usable key is enough");
    let source = &found[0];
    assert_eq!(source["keys"].as_array().map(Vec::len), Some(3));
    assert_eq!((&source["keys"][0]["usable"], &source["restored"]), (&json!(true), &json!(false)));
    for key in [&source["keys"][1], &source["keys"][2]] {
        assert!(key["usable"] == false && key["reason"].is_string() && key["message"].is_string(), "{key}");
    }
    assert!(source["age_seconds"].as_u64().is_some_and(|age| age < 10), "{source:#}");
    let time = |name: &str| source[name].as_str().expect(name).to_owned();
    assert!(time("next_refresh_at") > time("fetched_at"), "{source:#}");

    let finished = Setup::command(&["check"])
        .env("AUTHENTICATION_PUBLIC_KEYS", &url)
        .env("METAGATE_UPSTREAM__URL", "http://192.0.2.1:8585")
        .finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stdout);
    for words in ["ok: public-keys: 1 keys from ", "  fetched ", "next refresh in "] {
        assert!(finished.stdout.contains(words), "{words}: {}", finished.stdout);
    }

    let set = key_set(&[keys::p384().jwk()]);
    let finished = Setup::command(&["keys"])
        .env("METAGATE_UPSTREAM__URL", "http://192.0.2.1:8585")
        .config(format!(
            "authentication:\n  publicKeyUrls: ['{url}']\n  issuers: [{{name: fixed, issuer: fixed, publicKeys: '{set}'}}]\n"
        ))
        .finish();
    for words in [
        "usable   kid=rsa-1",
        "not used kid=hidden",
        "  fetched ",
        "next refresh in ",
        "the configuration",
        "EC",
    ] {
        assert!(finished.stdout.contains(words), "{words}: {}", finished.stdout);
    }
}
