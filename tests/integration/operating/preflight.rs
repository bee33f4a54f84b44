//! `metagate check` proves what `run` will do: files, addresses and the backend.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

use crate::support::gateway::{Finished, Setup};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::rsa;
use crate::support::stub::Next;
use crate::support::upstream::Upstream;

/// A backend that has this one document.
fn serving(path: &'static str, document: &'static str) -> Upstream {
    Upstream::scripted(move |exchange| {
        let found = exchange.request.head.target() == path;
        let (status, body) = if found { ("200 OK", document) } else { ("404 Not Found", "{}") };
        let length = body.len();
        exchange.send(format!(
            "HTTP/1.1 {status}\r\nServer: test\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ))?;
        Ok(Next::Close)
    })
}

/// Runs `check` with free addresses, as the flags of `run` say.
#[track_caller]
fn check(issuer: &Issuer, more: &[&str]) -> Finished {
    let url = issuer.url(JWKS);
    let arguments = [&["check", "--json", "--listen", "127.0.0.1:0", "--public-keys", &url], more].concat();
    Setup::command(&arguments)
        .env("METAGATE_HEALTH__LISTEN", "127.0.0.1:0")
        .env("METAGATE_ADMIN__LISTEN", "127.0.0.1:0")
        .finish()
}

fn findings(finished: &Finished) -> Vec<(String, String, String)> {
    let output: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let findings = output["findings"].as_array().expect("a list");
    let all = findings
        .iter()
        .map(|finding| (text(finding, "level"), text(finding, "id"), text(finding, "message")));
    all.collect()
}

#[track_caller]
fn assert_finding(finished: &Finished, level: &str, id: &str, part: &str) {
    let found = findings(finished);
    let fits = |(l, i, message): &&(String, String, String)| l == level && i == id && message.contains(part);
    assert!(found.iter().any(|finding| fits(&finding)), "{level} {id} {part}: {found:?}");
}

const OPENMETADATA: (&str, &str) = ("/api/v1/system/version", r#"{"version":"1.13.1","revision":"x"}"#);
const GMS: (&str, &str) =
    ("/config", r#"{"noCode":"true","versions":{"acryldata/datahub":{"version":"v1.3.0"}}}"#);
const FRONTEND: (&str, &str) =
    ("/config", r#"{"status":"ok","config":{"application":"datahub-frontend","appVersion":"1.0"}}"#);

#[test]
fn the_backend_is_recognized_or_named() {
    let issuer = Issuer::of(rsa());
    for (backend, (path, document), name) in [
        ("openmetadata", OPENMETADATA, "is OpenMetadata 1.13.1"),
        ("datahub-gms", GMS, "is DataHub GMS v1.3.0"),
        ("datahub-frontend", FRONTEND, "is DataHub's frontend 1.0"),
        ("generic", OPENMETADATA, "answers 404 Not Found (Server: test)"),
    ] {
        let finished = check(&issuer, &["--backend", backend, "--upstream", &serving(path, document).url()]);
        assert_finding(&finished, "info", "", name);
        assert_eq!(finished.code, Some(0), "{backend}: {}", finished.stdout);
    }
    for (backend, (path, document), name) in [
        ("openmetadata", GMS, "is DataHub GMS v1.3.0"),
        ("datahub-gms", FRONTEND, "is DataHub's frontend 1.0"),
        ("datahub-frontend", OPENMETADATA, "is OpenMetadata 1.13.1"),
    ] {
        let finished = check(&issuer, &["--backend", backend, "--upstream", &serving(path, document).url()]);
        assert_finding(&finished, "error", "backend-mismatch", name);
        assert_eq!(finished.code, Some(1), "{backend}");
    }
    let other = serving("/", "{}");
    let finished = check(&issuer, &["--backend", "datahub-gms", "--upstream", &other.url()]);
    assert_finding(
        &finished,
        "warning",
        "backend-unknown",
        "GET /config answers 404 Not Found (Server: test)",
    );
}

#[test]
fn a_backend_that_is_absent_is_a_warning_and_one_with_another_protocol_an_error() {
    let issuer = Issuer::of(rsa());
    let absent = crate::forwarding::faults::closed_port();
    let finished = check(&issuer, &["--upstream", &absent]);
    assert_finding(&finished, "warning", "backend-unreachable", "connection refused by 127.0.0.1:");
    assert_eq!(finished.code, Some(0), "it may start later");
    let finished = check(&issuer, &["--upstream", &absent, "--strict"]);
    assert_eq!(finished.code, Some(1));
    let plain = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("https://{}", plain.local_addr().expect("an address"));
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for mut stream in plain.incoming().flatten() {
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let finished = check(&issuer, &["--upstream", &url]);
    assert_finding(&finished, "error", "backend-unreachable", "write http:// in upstream.url");
    assert_eq!(finished.code, Some(1));
}

#[test]
fn an_address_of_another_program_is_an_error_and_our_own_is_said() {
    let (issuer, upstream) = (Issuer::of(rsa()), Upstream::echo());
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("an address").to_string();
    let finished = check(&issuer, &["--upstream", &upstream.url(), "--listen", &address]);
    assert_eq!(finished.code, Some(2), "given twice: {}", finished.stderr);
    let check_at = |listen: &str, health: &str| {
        let url = issuer.url(JWKS);
        let arguments =
            ["check", "--json", "--listen", listen, "--public-keys", &url, "--upstream", &upstream.url()];
        Setup::command(&arguments)
            .env("METAGATE_HEALTH__LISTEN", health)
            .env("METAGATE_ADMIN__LISTEN", "127.0.0.1:0")
            .finish()
    };
    let finished = check_at(&address, "127.0.0.1:0");
    assert_finding(&finished, "error", "port-in-use", &format!("cannot listen on {address}: "));
    assert_eq!(finished.code, Some(1));
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", upstream.url())
        .start();
    let (listen, health) = (gateway.proxy.to_string(), gateway.health.to_string());
    let finished = check_at(&listen, &health);
    let remark = format!("that is running: listen ({listen}), health.listen ({health})");
    assert_finding(&finished, "info", "", &remark);
    assert_eq!(finished.code, Some(0), "{}", finished.stdout);
    assert_eq!(gateway.probe("/livez").status, 200);
}

/// A self-signed certificate that is valid from now on for so many days, and its key.
fn certificate(directory: &Path, name: &str, days: i64) {
    let mut parameters = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let end = std::time::SystemTime::now() + std::time::Duration::from_secs(86_400 * days.unsigned_abs());
    if days > 0 {
        parameters.not_after = end.into();
    } else {
        parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    fs::write(directory.join(format!("{name}.crt")), certificate.pem()).expect("a file");
    fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).expect("a file");
}

fn with_files(directory: &Path, certificate: &str, key: &str) -> String {
    let file = |name: &str| directory.join(name).display().to_string();
    format!(
        "tls:\n  certFile: {}\n  keyFile: {}\nupstream:\n  url: http://127.0.0.1:1\nauthentication:\n  issuers:\n    - {{name: a, issuer: x, audiences: [a], publicKeyUrls: [\"http://127.0.0.1:1/keys\"], caFile: {}}}\n    - {{name: b, issuer: y, audiences: [a], sharedSecretFile: {}}}\n",
        file(certificate),
        file(key),
        file("good.crt"),
        file("secret"),
    )
}

#[test]
fn files_are_checked_alike_by_run_and_check() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    fs::write(path.join("secret"), "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u").expect("a file");
    for (name, days) in [("good", 300), ("other", 300), ("soon", 10), ("old", -1)] {
        certificate(path, name, days);
    }
    for (crt, key, error) in [
        ("good.crt", "other.key", "error: tls.keyFile: "),
        ("none.crt", "good.key", "error: tls.certFile: "),
        ("good.key", "good.key", "holds no certificate"),
        ("good.crt", "good.crt", "error: tls.keyFile: "),
    ] {
        let config = with_files(path, crt, key);
        for command in ["run", "check"] {
            let finished = Setup::command(&[command]).config(config.clone()).finish();
            assert_eq!(finished.code, Some(2), "{command} {crt} {key}: {}", finished.stderr);
            assert!(finished.stderr.contains(error), "{error}: {}", finished.stderr);
            let place = if error.contains("keyFile") { "metagate.yaml:3:12" } else { "metagate.yaml:2:13" };
            assert!(finished.stderr.contains(place), "{place}: {}", finished.stderr);
        }
    }
    let checked = |name: &str| {
        let config = with_files(path, &format!("{name}.crt"), &format!("{name}.key"));
        Setup::command(&["check", "--offline", "--json"]).config(config).finish()
    };
    let good = findings(&checked("good"));
    assert!(good.iter().all(|(_, id, _)| id == "secret-readable"), "{good:?}");
    assert_finding(&checked("soon"), "warning", "certificate-expires", "soon.crt expires at ");
    let finished = checked("old");
    assert_finding(&finished, "error", "certificate-expired", "old.crt expired at 2020-01-01T00:00:00Z");
    assert_eq!(finished.code, Some(1), "the proxy runs with it");
}

#[test]
fn offline_skips_files_that_are_not_here() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = with_files(directory.path(), "tls.crt", "tls.key");
    let finished = Setup::command(&["check", "--offline", "--json"]).config(config.clone()).finish();
    assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
    for key in
        ["tls.certFile", "tls.keyFile", "authentication.issuers[0].caFile", "issuers[1].sharedSecretFile"]
    {
        assert_finding(&finished, "info", "", &format!("{key}: "));
    }
    let finished = Setup::command(&["check"]).config(config).finish();
    assert_eq!(finished.code, Some(2));
    assert!(finished.stderr.contains("sharedSecretFile"), "{}", finished.stderr);
}
