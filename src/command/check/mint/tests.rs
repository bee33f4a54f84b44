//! What is said about the responses of the backends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;

fn response(status: u16, body: &str) -> ProbeResponse {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    ProbeResponse { status, body: body.as_bytes().to_vec(), server: None }
}

fn message(text: &str) -> String {
    serde_json::json!({"code": 401, "message": text}).to_string()
}

#[test]
fn each_refusal_of_openmetadata_names_what_is_missing() {
    let user = response(200, r#"{"name": "ingestion-bot", "isBot": true}"#);
    assert_eq!(openmetadata("ingestion-bot", &user), Ok(()));
    let key = "Not Authorized! Token signing key not found in configured public keys due to x";
    // As OpenMetadata 1.1.0-SNAPSHOT responded.
    let old_key = "An exception with message [JWT Token keyID doesn't match the configured keyID.] was thrown while \
                   processing request.";
    let old_key = serde_json::json!({"code": 500, "responseMessage": old_key}).to_string();
    let algorithm = "Not Authorized! Invalid token. Token verification failed. Public key mismatch. due to x";
    for (status, body, expected, help) in [
        (200, r#"{"name": "admin"}"#.to_owned(), "for `admin`", "principalClaims"),
        (200, "<html>".to_owned(), "not a user", "upstream.url"),
        (404, message("user instance for x not found"), "no user `ingestion-bot`", "create"),
        (401, message(key), "does not find the key", "metagate mint show"),
        (500, old_key, "does not find the key", "metagate mint show"),
        (401, message(algorithm), "signature", "tokenValidationAlgorithm"),
        (
            401,
            message("Not Authorized! Email does not match the principal domain acme.com"),
            "domain",
            "email",
        ),
        (
            401,
            message("Invalid JWT token, none of the following claims are present [email]"),
            "claim",
            "email",
        ),
        (401, message("Expired token!"), "expired", "clock"),
        (401, message("Not Authorized! Invalid session."), "Invalid session", "log"),
        (503, String::new(), "503", "log"),
    ] {
        let (said, advice) =
            openmetadata("ingestion-bot", &response(status, &body)).err().unwrap_or_default();
        assert!(said.contains(expected), "{body}: {said}");
        assert!(advice.contains(help), "{body}: {advice}");
    }
}

#[test]
fn each_refusal_of_datahub_names_what_may_be_missing() {
    for status in [200, 403] {
        assert_eq!(datahub("ada", &response(status, "")), Ok(()));
    }
    for (status, expected) in [(401, "signing key"), (404, "create the user"), (500, "log")] {
        let (_, help) = datahub("ada", &response(status, "")).err().unwrap_or_default();
        assert!(help.contains(expected), "{status}: {help}");
    }
}

#[test]
fn a_backends_words_are_bounded_and_contain_no_token() {
    let said = format!("bad \u{1b}[2J eyJhbGciOi.eyJ.x {}", "long ".repeat(1000));
    let shown = words(&said);
    assert!(
        shown.starts_with("bad \\u001b[2J long") && shown.len() < 400 && !shown.contains("eyJ"),
        "{shown}"
    );
}

#[test]
fn names_are_encoded_in_paths() {
    assert_eq!(encoded("service_6f0c-1.x~"), "service_6f0c-1.x~");
    assert_eq!(encoded("ada@x/../é"), "ada%40x%2F..%2F%C3%A9");
}

/// A backend that answers each path with a status and a body, and returns the heads of all requests.
struct Backend {
    address: std::net::SocketAddr,
    heads: std::sync::mpsc::Receiver<String>,
}

impl Backend {
    fn start(answers: Vec<(&'static str, u16, String)>) -> Self {
        use std::io::{BufRead as _, BufReader, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heads) = std::sync::mpsc::channel();
        // It ends with the test's process, or when nobody reads the heads any more.
        std::thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let lines = BufReader::new(&socket).lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let path = head[0].split(' ').nth(1).unwrap().to_owned();
                let found = answers.iter().find(|(known, ..)| *known == path);
                let (status, body) = found.map_or((404, ""), |(_, status, body)| (*status, body));
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = socket.write_all(answer.as_bytes());
                if sender.send(head.join("\n")).is_err() {
                    break;
                }
            }
        });
        Self { address, heads }
    }
}

/// What is found about a token for `user` at this backend.
async fn found(backend: &Backend, name: &str, format: TokenFormat, user: &str) -> Vec<Finding> {
    crate::tls::install_crypto_provider();
    let directory = tempfile::tempdir().unwrap();
    let (key, file) = (directory.path().join("1.pem"), directory.path().join("config.yaml"));
    std::fs::write(&key, crate::test_support::RSA.private_pem()).unwrap();
    let text = format!(
        "backend: {name}\nupstream: {{url: 'http://{}'}}\n\
         authentication: {{issuers: [{{name: a, issuer: 'https://a', audiences: [m]}}]}}\n\
         mint: {{issuer: 'https://m', keyFiles: ['{}'], datahub: {{signingKey: 5hM0y8xQ2kWc7rTzN1bVfJ4pLsG9dEaU}}}}\n",
        backend.address,
        key.display()
    );
    std::fs::write(&file, text).unwrap();
    let sources = crate::config::Sources { files: vec![file], ..Default::default() };
    let loaded = crate::config::load(&sources).unwrap();
    let user = crate::mint::TargetUser { name: user, email: None };
    let minter = loaded.config.mint.clone().unwrap();
    let target = minter.prepare("nightly", format, user, crate::mint::DEFAULT_LIFETIME).unwrap();
    findings(&loaded, &[("exchange[0].as.user", &target)]).await
}

#[tokio::test]
async fn the_backend_is_asked_with_a_minted_token() {
    let me = "/api/v1/users/loggedInUser";
    let good = Backend::start(vec![(me, 200, r#"{"name": "ingestion-bot"}"#.to_owned())]);
    let accepted = found(&good, "openmetadata", TokenFormat::OpenMetadata, "ingestion-bot").await;
    assert_eq!(accepted.len(), 1, "{accepted:?}");
    assert!(
        accepted[0].id.is_none() && accepted[0].message.contains("accepts minted tokens of `ingestion-bot`")
    );
    let head = good.heads.recv().unwrap().to_lowercase();
    assert!(head.contains("\nauthorization: bearer eyj"), "{head}");

    let unknown_key = "Not Authorized! Token signing key not found in configured public keys";
    let bad = Backend::start(vec![(me, 401, message(unknown_key))]);
    let refused = found(&bad, "openmetadata", TokenFormat::OpenMetadata, "ingestion-bot").await;
    let [finding] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!((finding.id, &*finding.path), (Some(FindingId::MintRefused), "exchange[0].as.user"));
    assert!(finding.to_string().contains("metagate mint show") && !finding.to_string().contains("eyJ"));

    let path = "/openapi/v3/entity/corpuser/urn%3Ali%3Acorpuser%3Aada%40example.org";
    let gms = Backend::start(vec![(path, 200, "{}".to_owned())]);
    let accepted = found(&gms, "datahub-gms", TokenFormat::DataHub, "ada@example.org").await;
    assert!(accepted.len() == 1 && accepted[0].id.is_none(), "{accepted:?}");
}
